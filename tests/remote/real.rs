//! What every real server must do: results and blobs there and back, counted; what is missing, evicted, cut off.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use expert_build::store::Remote;
use expert_build::store::remote::{
    ActionResult, CasDigest, Connection, FailureKind, OutputFile, OutputFolder, Traffic, Upload,
};

use crate::ground::{action, client, connection, fetch, noise, path, stream, upload};
use crate::servers::{BuildGrid, Server};

fn file(bytes: &[u8]) -> OutputFile {
    OutputFile { digest: CasDigest::of(bytes), contents: None }
}

/// Results and blobs, there and back.
fn there_and_back(connection: &Connection) {
    let remote = client(connection);
    let told = remote.capabilities();
    assert!((65_536..=4_000_000).contains(&told.max_batch_bytes), "{told:?}");
    let action = action("there and back");
    assert_eq!(remote.result(&action, &["out/one"]), Ok(None));

    let large = noise(5 << 20, 1);
    let (one, two) = (Arc::new(b"one".to_vec()), noise(70_000, 2));
    let folder = BTreeMap::from([
        (path("a/b/.c/d"), CasDigest::of(&one)),
        (path("a/b/e"), CasDigest::of(&one)),
        (path("f"), CasDigest::of(&large)),
    ]);
    let result = ActionResult {
        files: BTreeMap::from([
            ("out/one".into(), file(&one)),
            ("out/same".into(), file(&one)),
            ("out/two".into(), file(&two)),
            ("empty".into(), file(b"")),
        ]),
        folders: BTreeMap::from([("tree".into(), OutputFolder::Files(folder.clone()))]),
        ..ActionResult::default()
    };
    let blobs = || [&one, &two, &one, &large, &Arc::new(Vec::new())].map(upload);
    let total = (one.len() + two.len() + large.len()) as u64;

    let before = remote.traffic();
    assert_eq!(remote.upload(&blobs()), Ok(total));
    let after = remote.traffic();
    assert_eq!(after.calls - before.calls, 3, "one question, one batch, one stream");
    assert_eq!((after.sent - before.sent, after.present), (total, 0));
    assert_eq!(remote.upload(&blobs()), Ok(0));
    let again = remote.traffic();
    assert_eq!((again.calls - after.calls, again.sent - after.sent, again.present), (1, 0, 3));

    remote.update(&action, &result).unwrap();
    assert_eq!(remote.traffic().calls - again.calls, 2, "the messages, the result");

    // Somebody else, with a connection of their own.
    let other = client(connection);
    let kept = other.result(&action, &["out/one", "empty"]).unwrap().expect("a hit");
    assert_eq!(kept.files.keys().collect::<Vec<_>>(), ["empty", "out/one", "out/same", "out/two"]);
    for (name, file) in &kept.files {
        assert_eq!(file.digest, result.files[name].digest, "{name}");
        if let Some(contents) = &file.contents {
            assert_eq!(CasDigest::of(contents), file.digest, "{name}");
        }
    }
    let OutputFolder::Tree(tree) = kept.folders["tree"] else { panic!("a server tells trees") };
    assert_eq!(other.tree(tree).unwrap(), folder);
    for blob in [&one, &two, &large] {
        let digest = CasDigest::of(blob);
        assert!(fetch(&other, digest).unwrap() == **blob && stream(&other, digest).unwrap() == **blob);
    }
    assert_eq!(other.traffic().failures, 0);
    let mut cut = 0;
    let full = other.stream(CasDigest::of(&large), &mut |piece| {
        cut += piece.len();
        if cut > 2 << 20 { Err(io::Error::other("the disk is full")) } else { Ok(()) }
    });
    assert_eq!(full.unwrap_err().kind, FailureKind::Local);
    assert!(fetch(&other, CasDigest::of(&one)).unwrap() == *one, "the connection is as good as before");

    // Another namespace is another action.
    let apart = client(&Connection { namespace: "apart".into(), ..connection.clone() });
    assert_eq!(apart.result(&action, &[]), Ok(None));
    assert_ne!(apart.key(&action), remote.key(&action));
}

/// Many blobs at once: batches, questions of a hundred.
fn many(connection: &Connection) {
    let remote = client(connection);
    let blobs: Vec<Arc<Vec<u8>>> = (0..250).map(|seed| noise(1000 + seed as usize, 1000 + seed)).collect();
    let digests: Vec<CasDigest> = blobs.iter().map(|blob| CasDigest::of(blob)).collect();
    let calls = |act: &dyn Fn()| {
        let before: Traffic = remote.traffic();
        act();
        remote.traffic().calls - before.calls
    };
    assert_eq!(calls(&|| assert_eq!(remote.missing(&digests).unwrap(), digests)), 3);
    let uploads: Vec<Upload<'_>> = blobs.iter().map(upload).collect();
    assert_eq!(calls(&|| assert!(remote.upload(&uploads).unwrap() > 250_000)), 4);
    assert_eq!(calls(&|| assert_eq!(remote.missing(&digests), Ok(Vec::new()))), 3);
    let mut wanted = digests.clone();
    let nowhere = CasDigest::of(b"nowhere");
    wanted.extend([nowhere, digests[0], CasDigest::of(b"")]);
    let mut got = BTreeMap::new();
    let before = remote.traffic();
    let fetched = remote.fetch(&wanted, 1200, &mut |digest, blob| {
        assert!(got.insert(digest, blob).is_none(), "{digest} is told twice");
    });
    fetched.unwrap();
    assert_eq!((remote.traffic().calls - before.calls, got.len()), (1, 252));
    assert_eq!(got.remove(&nowhere).unwrap().unwrap_err().kind, FailureKind::Missing);
    assert_eq!(got.remove(&CasDigest::of(b"")).unwrap(), Ok(Vec::new()));
    for (blob, digest) in blobs.iter().zip(&digests) {
        match &got[digest] {
            Ok(bytes) => assert!(bytes == &**blob && blob.len() <= 1200),
            Err(failure) => assert!(failure.kind == FailureKind::Wrong && blob.len() > 1200, "{failure}"),
        }
    }
}

/// What is not there, or is not ours to believe.
fn missing(connection: &Connection, evict: &dyn Fn(&str)) {
    let remote = client(connection);
    let nowhere = CasDigest::of(b"nowhere");
    assert_eq!(fetch(&remote, nowhere).unwrap_err().kind, FailureKind::Missing);
    assert_eq!(stream(&remote, nowhere).unwrap_err().kind, FailureKind::Missing);
    let far = CasDigest { size: 50 << 20, ..nowhere };
    assert_eq!(stream(&remote, far).unwrap_err().kind, FailureKind::Missing);
    assert_eq!(remote.tree(nowhere).unwrap_err().kind, FailureKind::Missing);

    // A result that is there says nothing of its blobs.
    let (action, out) = (action("evicted"), noise(5000, 77));
    remote.upload(&[upload(&out)]).unwrap();
    let result = ActionResult { files: BTreeMap::from([("out/one".into(), file(&out))]), ..ActionResult::default() };
    remote.update(&action, &result).unwrap();
    assert!(remote.result(&action, &[]).unwrap().is_some());
    evict(&CasDigest::of(&out).sha256.hex());
    assert_eq!(fetch(&remote, CasDigest::of(&out)).unwrap_err().kind, FailureKind::Missing);
    assert_eq!(stream(&remote, CasDigest::of(&out)).unwrap_err().kind, FailureKind::Missing);
    assert_eq!(remote.traffic().failures, 0, "a miss is no failure");
}

/// This side's files change, end early or cannot be read: nothing wrong gets into the cache, and the failure is ours.
fn changed(connection: &Connection) {
    let remote = client(connection);
    for len in [3000, 5 << 20] {
        let right = noise(len, 55);
        let mut other = right.to_vec();
        other[len - 1] ^= 1;
        let wrongs: [(&str, Vec<u8>); 3] = [
            ("other bytes", other),
            ("it ended after", right[..len - 10].to_vec()),
            ("more bytes", [&right[..], b"x"].concat()),
        ];
        for (what, bytes) in wrongs {
            let mut wrong = upload(&Arc::new(bytes));
            wrong.digest = CasDigest::of(&right);
            let failure = remote.upload(&[wrong]).unwrap_err();
            assert!(failure.kind == FailureKind::Local && failure.message.contains(what), "{failure}");
        }
        let broken = Upload {
            digest: CasDigest::of(&right),
            open: Box::new(|| Err(io::Error::from(io::ErrorKind::PermissionDenied))),
        };
        assert_eq!(remote.upload(&[broken]).unwrap_err().kind, FailureKind::Local);
        assert_eq!(remote.missing(&[CasDigest::of(&right)]).unwrap().len(), 1);
        let opened = AtomicUsize::new(0);
        let counted = Upload {
            digest: CasDigest::of(&right),
            open: Box::new(|| {
                opened.fetch_add(1, Ordering::Relaxed);
                (upload(&right).open)()
            }),
        };
        assert_eq!(remote.upload(&[counted]), Ok(len as u64));
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        assert_eq!(remote.upload(&[upload(&right)]), Ok(0));
    }
}

/// Several threads and two clients at once.
fn together(connection: &Connection) {
    let remotes = [client(connection), client(connection)];
    let large = noise(5 << 20, 400);
    std::thread::scope(|scope| {
        for turn in 0..6u64 {
            let (remote, large) = (&remotes[turn as usize % 2], &large);
            scope.spawn(move || {
                let own = noise(100_000, 500 + turn);
                remote.upload(&[upload(&own), upload(large)]).unwrap();
                assert!(fetch(remote, CasDigest::of(&own)).unwrap() == *own);
                assert!(stream(remote, CasDigest::of(large)).unwrap() == **large);
            });
        }
    });
}

#[test]
fn buildbox_casd() {
    let Some(server) = Server::casd(&[]) else { return };
    let connection = connection(server.port);
    there_and_back(&connection);
    many(&connection);
    missing(&connection, &|hash| server.evict(hash));
    changed(&connection);
    together(&connection);
}

#[test]
fn build_grid() {
    let Some(server) = Server::build_grid(&BuildGrid::default()) else { return };
    let connection = Connection { instance: "some/where".into(), ..connection(server.port) };
    there_and_back(&connection);
    many(&connection);
    missing(&connection, &|hash| server.evict(hash));
    changed(&connection);
    together(&connection);
}
