//! Limits of batches and messages, wrong and disordered answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use expert_build::store::Remote;
use expert_build::store::remote::{ActionResult, CasDigest, FailureKind, GrpcRemote, OutputFile, OutputFolder};

use crate::fake::{Behaviour, Fake, Twist};
use crate::ground::{action, client, connection, fetch, noise, path, stream, upload};

fn against(behaviour: Behaviour) -> (Fake, GrpcRemote) {
    let fake = Fake::start(behaviour);
    let remote = client(&connection(fake.port));
    (fake, remote)
}

/// Sends and fetches blobs of many sizes, whatever that takes.
fn all_get_through(fake: &Fake, remote: &GrpcRemote) {
    let blobs: Vec<Arc<Vec<u8>>> =
        [1, 100, 30_000, 65_000, 65_536, 100_000, 1 << 20, 3_000_000].iter().map(|len| noise(*len, 9)).collect();
    remote.upload(&blobs.iter().map(upload).collect::<Vec<_>>()).unwrap();
    for blob in &blobs {
        assert!(fake.has(blob), "{} bytes", blob.len());
    }
    let digests: Vec<CasDigest> = blobs.iter().map(|blob| CasDigest::of(blob)).collect();
    let mut got = BTreeMap::new();
    remote.fetch(&digests, u64::MAX, &mut |digest, blob| drop(got.insert(digest, blob.unwrap()))).unwrap();
    for (blob, digest) in blobs.iter().zip(&digests) {
        assert!(got[digest] == **blob);
    }
}

#[test]
fn no_limit_means_four_megabytes() {
    let (fake, remote) = against(Behaviour { max_batch: 0, ..Behaviour::default() });
    assert_eq!(remote.capabilities().max_batch_bytes, 4_000_000);
    let blobs: Vec<Arc<Vec<u8>>> = (0..9).map(|seed| noise(1_000_000, seed)).collect();
    remote.upload(&blobs.iter().map(upload).collect::<Vec<_>>()).unwrap();
    assert_eq!((fake.calls("BatchUpdateBlobs"), fake.calls("Write")), (3, 0));
    let mut left: Vec<CasDigest> = blobs.iter().map(|blob| CasDigest::of(blob)).collect();
    remote.fetch(&left.clone(), u64::MAX, &mut |digest, _| left.retain(|other| *other != digest)).unwrap();
    assert_eq!((fake.calls("BatchReadBlobs"), fake.calls("Read"), left.len()), (3, 0, 0));
}

#[test]
fn a_limit_of_64_kib_is_kept() {
    let limits = (65_536, 65_536);
    let (fake, remote) = against(Behaviour { max_batch: 65_536, limits, piece: 30_000, ..Behaviour::default() });
    let mut pieces = 0;
    all_get_through(&fake, &remote);
    remote
        .stream(CasDigest::of(&noise(3_000_000, 9)), &mut |_| {
            pieces += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(pieces, 100);
    assert_eq!(remote.traffic().failures, 0);
}

#[test]
fn a_limit_that_is_lower_than_was_said_is_found() {
    let (fake, remote) = against(Behaviour { limits: (65_536, 65_536), piece: 30_000, ..Behaviour::default() });
    all_get_through(&fake, &remote);
    // Batches of what is sent do not even reach its methods.
    assert!(fake.calls("Write") > 5 && fake.calls("BatchReadBlobs") > 0 && fake.calls("Read") > 5);
}

#[test]
fn several_streams_find_it_at_once() {
    let (fake, remote) = against(Behaviour { limits: (65_536, usize::MAX), ..Behaviour::default() });
    let blobs: Vec<Arc<Vec<u8>>> = (0..4).map(|seed| noise(5 << 20, seed)).collect();
    remote.upload(&blobs.iter().map(upload).collect::<Vec<_>>()).unwrap();
    assert!(blobs.iter().all(|blob| fake.has(blob)));
}

#[test]
fn large_messages_are_taken() {
    let (fake, remote) = against(Behaviour { piece: 12 << 20, ..Behaviour::default() });
    let large = noise(12 << 20, 3);
    let digest = fake.put(&large);
    assert!(stream(&remote, digest).unwrap() == *large);
    let action = action("large");
    let result =
        ActionResult { files: BTreeMap::from([("out/one".into(), output(&large))]), ..ActionResult::default() };
    remote.update(&action, &result).unwrap();
    let kept = remote.result(&action, &["out/one"]).unwrap().unwrap();
    assert!(kept.files["out/one"].contents.as_ref().unwrap() == &*large);
}

fn output(bytes: &[u8]) -> OutputFile {
    OutputFile { digest: CasDigest::of(bytes), contents: None }
}

#[test]
fn other_bytes_are_never_taken() {
    for twist in [Twist::Flip, Twist::Short, Twist::Long] {
        let (fake, remote) = against(Behaviour { twist, piece: 100_000, ..Behaviour::default() });
        let (small, large) = (fake.put(&noise(5000, 1)), fake.put(&noise(5 << 20, 2)));
        for digest in [small, large] {
            let (fetched, streamed) = (fetch(&remote, digest).unwrap_err(), stream(&remote, digest).unwrap_err());
            assert_eq!([fetched.kind, streamed.kind], [FailureKind::Wrong; 2], "{fetched} {streamed}");
        }
        // One wrong blob is no reason not to hand over the others.
        let (mut wrong, more) = (0, fake.put(b"more"));
        remote.fetch(&[small, more, large], u64::MAX, &mut |_, blob| wrong += usize::from(blob.is_err())).unwrap();
        assert_eq!(wrong, 3);
        let action = action("wrong");
        let files = BTreeMap::from([("out/one".into(), OutputFile { digest: small, contents: None })]);
        remote.update(&action, &ActionResult { files, ..ActionResult::default() }).unwrap();
        assert_eq!(remote.result(&action, &["out/one"]).unwrap_err().kind, FailureKind::Wrong);
        assert!(remote.result(&action, &[]).unwrap().is_some());
        assert!(remote.traffic().failures >= 8);
    }
}

#[test]
fn answers_are_matched_by_digest() {
    let (fake, remote) = against(Behaviour { twist: Twist::Shuffle, ..Behaviour::default() });
    let blobs: Vec<Arc<Vec<u8>>> = (0..20).map(|seed| noise(100 + seed as usize, seed)).collect();
    remote.upload(&blobs.iter().map(upload).collect::<Vec<_>>()).unwrap();
    let digests: Vec<CasDigest> = blobs.iter().map(|blob| CasDigest::of(blob)).collect();
    let mut got = BTreeMap::new();
    remote.fetch(&digests, u64::MAX, &mut |digest, blob| assert!(got.insert(digest, blob.unwrap()).is_none())).unwrap();
    assert!(blobs.iter().zip(&digests).all(|(blob, digest)| got[digest] == **blob) && got.len() == 20);
    assert_eq!(fake.calls("BatchReadBlobs"), 1);
}

#[test]
fn what_is_left_out_is_not_there() {
    let (fake, remote) = against(Behaviour { twist: Twist::Omit, ..Behaviour::default() });
    assert_eq!(fetch(&remote, fake.put(b"abc")).unwrap_err().kind, FailureKind::Missing);
    let failure = remote.upload(&[upload(&noise(10, 1))]).unwrap_err();
    assert!(failure.kind == FailureKind::Wrong && failure.message.contains("does not say"), "{failure}");
}

#[test]
fn names_that_are_no_sha256_are_refused() {
    let (_fake, remote) = against(Behaviour { twist: Twist::NoSha256, ..Behaviour::default() });
    let files = BTreeMap::from([("out/one".into(), output(b"x"))]);
    remote.update(&action("names"), &ActionResult { files, ..ActionResult::default() }).unwrap();
    assert_eq!(remote.result(&action("names"), &[]).unwrap_err().kind, FailureKind::Wrong);
}

#[test]
fn results_are_kept_after_all_that_they_name() {
    let (fake, remote) = against(Behaviour::default());
    let folder = BTreeMap::from([(path(".a/.b/c"), CasDigest::of(b"x")), (path("d"), CasDigest::of(b"x"))]);
    let result = ActionResult {
        files: BTreeMap::from([("out/one".into(), output(b"x"))]),
        folders: BTreeMap::from([("out/two".into(), OutputFolder::Files(folder.clone()))]),
        exit_code: 0,
        stderr: b"what differs from machine to machine".to_vec(),
    };
    let action = action("order");
    remote.update(&action, &result).unwrap();
    {
        let kept = fake.kept.lock().unwrap();
        assert_eq!(kept.calls, ["GetCapabilities", "BatchUpdateBlobs", "UpdateActionResult"]);
        let told = kept.results.values().next().unwrap();
        assert!(told.stderr_raw.is_empty() && told.stdout_raw.is_empty());
        let key = remote.key(&action);
        assert_eq!(kept.results.keys().collect::<Vec<_>>(), [&key.sha256.hex()]);
        assert_eq!(kept.blobs[&key.sha256.hex()].len() as u64, key.size);
    }
    let told = remote.result(&action, &[]).unwrap().unwrap();
    let OutputFolder::Tree(tree) = told.folders["out/two"] else { panic!() };
    assert_eq!(remote.tree(tree).unwrap(), folder);
    // A failure that someone kept is none of ours.
    remote.update(&action, &ActionResult { exit_code: 1, ..result }).unwrap();
    assert_eq!(remote.result(&action, &[]), Ok(None));
}

#[test]
fn instances_may_be_empty_or_hold_slashes() {
    for instance in ["", "one", "some/where/else"] {
        let fake = Fake::start(Behaviour { max_batch: 1000, ..Behaviour::default() });
        let mut connection = connection(fake.port);
        connection.instance = instance.into();
        let remote = client(&connection);
        remote.upload(&[upload(&noise(100, 1)), upload(&noise(5000, 2))]).unwrap();
        assert!(fetch(&remote, CasDigest::of(&noise(5000, 2))).is_ok());
        assert_eq!(remote.result(&action("x"), &[]), Ok(None));
        let kept = fake.kept.lock().unwrap();
        // A call of `Write` knows it once its first message is there.
        assert!(kept.instances.iter().all(|seen| seen == instance || seen.is_empty()), "{:?}", kept.instances);
        assert!(kept.instances.iter().filter(|seen| *seen == instance).count() >= 6);
    }
}
