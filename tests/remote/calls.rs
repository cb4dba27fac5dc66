//! Calls that fail: what is tried again and how often, deadlines, refusals; credentials that are never told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use expert_build::store::Remote;
use expert_build::store::remote::{ActionResult, CasDigest, Connection, FailureKind, GrpcRemote, Patience};
use tonic::{Code, Status};

use crate::fake::{Behaviour, Fake};
use crate::ground::{action, client, connection, fetch, noise, upload};

/// A server where each method fails so often at first.
fn failing(code: Code, times: usize) -> Fake {
    Fake::start(Behaviour {
        before: Box::new(move |method, nth, _| match method != "GetCapabilities" && nth < times {
            true => Err(Status::new(code, "not now")),
            false => Ok(()),
        }),
        ..Behaviour::default()
    })
}

#[test]
fn what_may_pass_is_tried_again() {
    for code in [Code::Unavailable, Code::Aborted, Code::ResourceExhausted] {
        let fake = failing(code, 2);
        let remote = client(&connection(fake.port));
        let (action, small, large) = (action("again"), noise(100, 1), noise(5 << 20, 2));
        assert_eq!(remote.result(&action, &[]), Ok(None));
        assert_eq!(fake.calls("GetActionResult"), 3);
        remote.upload(&[upload(&small), upload(&large)]).unwrap();
        remote.update(&action, &ActionResult::default()).unwrap();
        assert!(fetch(&remote, CasDigest::of(&small)).unwrap() == *small);
        assert!(fetch(&remote, CasDigest::of(&large)).unwrap() == *large);
        let traffic = remote.traffic();
        assert_eq!(traffic.failures, 0);
        let methods = ["FindMissingBlobs", "BatchUpdateBlobs", "Write", "UpdateActionResult", "BatchReadBlobs", "Read"];
        let calls: Vec<usize> = methods.iter().map(|method| fake.calls(method)).collect();
        assert_eq!(calls, [3, 4, 3, 3, 3, 3], "the second batch goes through at once");
        assert_eq!(traffic.calls, fake.kept.lock().unwrap().calls.len() as u64);
    }
}

#[test]
fn five_tries_and_no_more() {
    let fake = failing(Code::Unavailable, usize::MAX);
    let remote = client(&connection(fake.port));
    let began = Instant::now();
    let failure = remote.result(&action("never"), &[]).unwrap_err();
    assert_eq!((failure.kind, fake.calls("GetActionResult")), (FailureKind::Unavailable, 5));
    assert!(began.elapsed() >= Duration::from_millis(750), "100, 200, 400, 800 ms, at least half of it");
    assert!(failure.message.contains("Unavailable: not now"), "{failure}");
    assert_eq!(remote.traffic().failures, 1);
    // Where one blob cannot be had for such a reason, the next cannot either: each is told, none is asked for.
    let digests: Vec<CasDigest> = (5..100).map(|size| CasDigest { size: size << 20, ..CasDigest::of(b"x") }).collect();
    let mut told = 0;
    let failed = remote.fetch(&digests, u64::MAX, &mut |_, blob| told += usize::from(blob.is_err()));
    assert_eq!((failed.unwrap_err().kind, told), (FailureKind::Unavailable, 95));
    assert!(fake.calls("Read") <= 20, "{}", fake.calls("Read"));
}

#[test]
fn what_stays_is_not_tried_again() {
    for (code, kind) in [
        (Code::PermissionDenied, FailureKind::Denied),
        (Code::Unauthenticated, FailureKind::Denied),
        (Code::Unimplemented, FailureKind::Unsupported),
        (Code::Internal, FailureKind::Other),
        (Code::DataLoss, FailureKind::Wrong),
        (Code::DeadlineExceeded, FailureKind::Unavailable),
    ] {
        let fake = failing(code, usize::MAX);
        let remote = client(&connection(fake.port));
        assert_eq!(remote.result(&action("once"), &[]).unwrap_err().kind, kind);
        assert_eq!(remote.upload(&[upload(&noise(10, 1))]).unwrap_err().kind, kind);
        assert_eq!(fetch(&remote, CasDigest::of(b"x")).unwrap_err().kind, kind);
        let large = CasDigest { size: 5 << 20, ..CasDigest::of(b"x") };
        assert_eq!(fetch(&remote, large).unwrap_err().kind, kind);
        assert_eq!((remote.traffic().calls, remote.traffic().failures), (5, 4));
    }
}

#[test]
fn a_server_that_only_reads_says_so() {
    // Most say that results may be written even so, as this one does.
    let fake = Fake::start(Behaviour {
        before: Box::new(|method, _, _| match method {
            "BatchUpdateBlobs" | "Write" | "UpdateActionResult" => Err(Status::unimplemented("read-only")),
            _ => Ok(()),
        }),
        ..Behaviour::default()
    });
    let remote = client(&connection(fake.port));
    assert!(remote.capabilities().update_enabled);
    let update = remote.update(&action("read-only"), &ActionResult::default()).unwrap_err();
    let small = remote.upload(&[upload(&noise(10, 1))]).unwrap_err();
    let large = remote.upload(&[upload(&noise(5 << 20, 1))]).unwrap_err();
    assert_eq!([update.kind, small.kind, large.kind], [FailureKind::Unsupported; 3]);
    assert_eq!(remote.traffic().failures, 3);
    assert_eq!(remote.result(&action("read-only"), &[]), Ok(None));
}

#[test]
fn slow_servers_are_not_waited_for() {
    let fake = Fake::start(Behaviour {
        before: Box::new(|_, _, _| Ok(())),
        slow: Duration::from_secs(20),
        ..Behaviour::default()
    });
    let patience = Patience { lookup: Duration::from_millis(300), idle: Duration::from_millis(500), ..patience() };
    let remote = GrpcRemote::new(&Connection { patience, ..connection(fake.port) }).unwrap();
    let began = Instant::now();
    assert_eq!(remote.greet().unwrap_err().kind, FailureKind::Unavailable);
    let failure = remote.result(&action("slow"), &[]).unwrap_err();
    assert!(failure.kind == FailureKind::Unavailable && failure.message.contains("silent for 0.3 s"), "{failure}");
    let large = CasDigest { size: 5 << 20, ..CasDigest::of(b"x") };
    assert_eq!(fetch(&remote, large).unwrap_err().kind, FailureKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(remote.traffic().calls, 3, "each once");
}

fn patience() -> Patience {
    Patience::default()
}

#[test]
fn nobody_is_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let remote = GrpcRemote::new(&connection(port)).unwrap();
    let failure = remote.greet().unwrap_err();
    assert!(failure.kind == FailureKind::Unavailable && failure.message.contains("refused"), "{failure}");
    assert_eq!((remote.traffic().calls, remote.traffic().failures), (5, 1));
    // Something is there, but it does not speak the protocol.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let remote = GrpcRemote::new(&connection(port)).unwrap();
    assert_eq!(remote.greet().unwrap_err().kind, FailureKind::Unavailable);
}

#[test]
fn a_host_that_does_not_answer_is_tried_once() {
    // A full queue of connections drops those that come, as a firewall does.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        queued.push(stream);
        assert!(queued.len() < 10_000);
    }
    let patience = Patience { connect: Duration::from_millis(500), ..patience() };
    let remote = GrpcRemote::new(&Connection { patience, ..connection(address.port()) }).unwrap();
    let began = Instant::now();
    assert_eq!(remote.greet().unwrap_err().kind, FailureKind::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(remote.traffic().calls, 1);
}

#[test]
fn credentials_are_sent_and_never_told() {
    let secret = "correct horse battery staple 1234567890";
    let checked: Arc<AtomicUsize> = Arc::default();
    let seen = checked.clone();
    let fake = Fake::start(Behaviour {
        before: Box::new(move |_, _, headers| {
            let told = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            seen.fetch_add(1, Ordering::Relaxed);
            match told {
                Some(told) if told == format!("Bearer {secret}") => Ok(()),
                told => Err(Status::unauthenticated(format!("not you: {}", told.unwrap_or_default()))),
            }
        }),
        ..Behaviour::default()
    });
    let header = |value: &str| ("Authorization".to_owned(), value.to_owned().into());
    let right = Connection { headers: vec![header(&format!("Bearer {secret}"))], ..connection(fake.port) };
    let remote = client(&right);
    assert_eq!(remote.result(&action("token"), &[]), Ok(None));
    let large = noise(5 << 20, 1);
    remote.upload(&[upload(&large), upload(&noise(10, 1))]).unwrap();
    assert!(fetch(&remote, CasDigest::of(&large)).is_ok());
    assert_eq!(checked.load(Ordering::Relaxed) as u64, remote.traffic().calls);

    let wrong = Connection { headers: vec![header("Bearer hunter2hunter2hunter2")], ..connection(fake.port) };
    let remote = GrpcRemote::new(&wrong).unwrap();
    let failure = remote.greet().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    let shown = format!("{failure} {failure:?} {wrong:?} {remote:?}");
    assert!(shown.contains("not you: (hidden)") && !shown.contains("hunter2"), "{shown}");
    let none = client_error(&connection(fake.port));
    assert_eq!(none, FailureKind::Denied);
}

fn client_error(connection: &Connection) -> FailureKind {
    GrpcRemote::new(connection).unwrap().greet().unwrap_err().kind
}

#[test]
fn paths_and_trees_that_lead_elsewhere_are_refused() {
    use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
    use prost::Message as _;
    let fake = Fake::start(Behaviour::default());
    let remote = client(&connection(fake.port));
    let key = remote.key(&action("elsewhere")).sha256.hex();
    let told = |result: reapi::ActionResult| {
        fake.kept.lock().unwrap().results.insert(key.clone(), result);
        remote.result(&action("elsewhere"), &[]).map(drop).map_err(|failure| failure.kind)
    };
    let digest = |bytes: &[u8]| {
        let digest = CasDigest::of(bytes);
        Some(reapi::Digest { hash: digest.sha256.hex(), size_bytes: bytes.len() as i64 })
    };
    let file = |path: &str| reapi::OutputFile { path: path.into(), digest: digest(b"x"), ..Default::default() };
    assert_eq!(told(reapi::ActionResult { output_files: vec![file("a/b")], ..Default::default() }), Ok(()));
    for path in ["../a", "/etc/passwd", "a//b", "a/../../b", "", "a\u{1b}"] {
        let result = reapi::ActionResult { output_files: vec![file(path)], ..Default::default() };
        assert_eq!(told(result), Err(FailureKind::Wrong), "{path}");
    }
    let twice = reapi::ActionResult { output_files: vec![file("a"), file("a")], ..Default::default() };
    assert_eq!(told(twice), Err(FailureKind::Wrong));
    let link = reapi::OutputSymlink { path: "a".into(), target: "/etc/passwd".into(), ..Default::default() };
    let links = reapi::ActionResult { output_symlinks: vec![link], ..Default::default() };
    assert_eq!(told(links), Err(FailureKind::Wrong));

    let tree = |tree: reapi::Tree| {
        let digest = fake.put(&tree.encode_to_vec());
        remote.tree(digest).map_err(|failure| failure.kind)
    };
    let node = |name: &str| reapi::FileNode { name: name.into(), digest: digest(b"x"), ..Default::default() };
    let folder = |files: Vec<reapi::FileNode>| reapi::Directory { files, ..Default::default() };
    let root = |root: reapi::Directory| reapi::Tree { root: Some(root), children: Vec::new() };
    assert_eq!(tree(root(folder(vec![node("a")]))).unwrap().len(), 1);
    for name in ["..", "a/b", "", ".", "/"] {
        assert_eq!(tree(root(folder(vec![node(name)]))), Err(FailureKind::Wrong), "{name}");
    }
    assert_eq!(tree(root(folder(vec![node("a"), node("a")]))), Err(FailureKind::Wrong));
    let symlinks = vec![reapi::SymlinkNode { name: "a".into(), target: "/".into(), ..Default::default() }];
    assert_eq!(tree(root(reapi::Directory { symlinks, ..Default::default() })), Err(FailureKind::Wrong));
    // A small message that stands for a huge number of folders.
    let mut children = vec![folder(vec![])];
    for _ in 0..60 {
        let below = digest(&children.last().unwrap().encode_to_vec());
        let node = |name: &str| reapi::DirectoryNode { name: name.into(), digest: below.clone() };
        children.push(reapi::Directory { directories: vec![node("a"), node("b")], ..Default::default() });
    }
    let began = Instant::now();
    let bomb = reapi::Tree { root: children.pop(), children };
    assert_eq!(tree(bomb), Err(FailureKind::Wrong));
    assert!(began.elapsed() < Duration::from_secs(20));
    let absent = reapi::DirectoryNode { name: "a".into(), digest: digest(b"nowhere") };
    let lacking = reapi::Directory { directories: vec![absent], ..Default::default() };
    assert_eq!(tree(root(lacking)), Err(FailureKind::Wrong));
    assert_eq!(remote.tree(fake.put(b"\xff\xff")).map_err(|failure| failure.kind), Err(FailureKind::Wrong));
    assert_eq!(remote.tree(fake.put(b"")), Ok(BTreeMap::new()));
}
