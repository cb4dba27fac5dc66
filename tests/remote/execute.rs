//! Actions on workers: of the fake server, which loses them, and of buildbox-casd, which runs them.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
use bazel_remote_apis::google::rpc;
use expert_build::store::Remote;
use expert_build::store::remote::{Action, CasDigest, Connection, FailureKind, GrpcRemote, Input, Patience};
use tonic::Code;

use crate::fake::{Behaviour, Fake};
use crate::ground::{action, client, connection, fetch, noise, path, upload};
use crate::servers::Server;
use crate::workers::{Told, Workers};

fn done(exit_code: i32, cached_result: bool) -> Told {
    let result = reapi::ActionResult { exit_code, ..Default::default() };
    Told::Done(Box::new(reapi::ExecuteResponse { result: Some(result), cached_result, ..Default::default() }))
}

fn refused(code: Code) -> Told {
    let status = rpc::Status { code: code as i32, message: "no".into(), ..Default::default() };
    Told::Done(Box::new(reapi::ExecuteResponse { status: Some(status), ..Default::default() }))
}

fn telling(calls: Vec<Vec<Told>>) -> (Fake, GrpcRemote) {
    let fake = Fake::start(Behaviour { workers: Workers(Mutex::new(calls)), ..Behaviour::default() });
    let patience = Patience { idle: Duration::from_millis(1500), ..Patience::default() };
    let remote = client(&Connection { patience, ..connection(fake.port) });
    (fake, remote)
}

/// The exit code or the kind of failure, and how often `Execute`, `WaitExecution` and `Execute` without a cache were called.
fn outcome(calls: Vec<Vec<Told>>) -> (Result<i32, FailureKind>, [usize; 3]) {
    let (fake, remote) = telling(calls);
    let result = remote.execute(&action("run"), &|| false);
    assert_eq!(fake.calls("BatchUpdateBlobs"), 1, "its messages are there");
    let called = ["Execute", "WaitExecution", "Execute anew"].map(|method| fake.calls(method));
    (result.map(|result| result.exit_code).map_err(|failure| failure.kind), called)
}

#[test]
fn executions_are_followed_to_their_end() {
    use Told::{Failed, Fails, Queued, Silence};
    assert_eq!(outcome(vec![vec![Queued, Queued, done(0, false)]]), (Ok(0), [1, 0, 0]));
    assert_eq!(outcome(vec![vec![done(3, false)]]), (Ok(3), [1, 0, 0]));
    // The connection breaks, ends without a word, or is silent: it is asked for again by its name.
    let broken =
        vec![vec![Queued, Fails(Code::Unavailable)], vec![Queued], vec![Queued, Silence], vec![done(0, false)]];
    assert_eq!(outcome(broken), (Ok(0), [1, 3, 0]));
    // One that does not say at once how things stand is dead.
    assert_eq!(outcome(vec![vec![Queued, Silence], vec![Silence]]), (Err(FailureKind::Unavailable), [1, 1, 0]));
    assert_eq!(outcome(vec![vec![Silence]]), (Err(FailureKind::Unavailable), [1, 0, 0]));
    // It is forgotten: it begins again.
    let forgotten = vec![vec![Queued], vec![Fails(Code::NotFound)], vec![Queued, done(0, false)]];
    assert_eq!(outcome(forgotten), (Ok(0), [2, 1, 0]));
    // It never gets a name.
    assert_eq!(outcome(vec![vec![Fails(Code::Unavailable)], vec![done(0, false)]]), (Ok(0), [2, 0, 0]));
    let never = (0..9).map(|_| vec![Fails(Code::Unavailable)]).collect();
    assert_eq!(outcome(never), (Err(FailureKind::Unavailable), [5, 0, 0]));
    assert_eq!(outcome(vec![vec![refused(Code::Unavailable)], vec![done(0, false)]]), (Ok(0), [2, 0, 0]));
    // What failed then is run anew now, once.
    assert_eq!(outcome(vec![vec![done(1, true)], vec![done(0, false)]]), (Ok(0), [1, 0, 1]));
    assert_eq!(outcome(vec![vec![done(1, true)], vec![done(1, true)]]), (Ok(1), [1, 0, 1]));
    for (told, kind) in [
        (refused(Code::FailedPrecondition), FailureKind::Missing),
        (refused(Code::DeadlineExceeded), FailureKind::Other),
        (Failed(Code::PermissionDenied, "no"), FailureKind::Denied),
        (Fails(Code::Unimplemented), FailureKind::Unsupported),
        (Fails(Code::InvalidArgument), FailureKind::Other),
    ] {
        assert_eq!(outcome(vec![vec![told]]), (Err(kind), [1, 0, 0]));
    }
}

#[test]
fn a_stopped_run_stops_its_actions() {
    let (fake, remote) = telling(vec![vec![Told::Queued, Told::Silence]]);
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| remote.execute(&action("stop"), &|| stop.load(Ordering::Relaxed)));
        while fake.calls("Execute") == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
        assert_eq!(run.join().unwrap().unwrap_err().kind, FailureKind::Cancelled);
    });
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!((fake.calls("CancelOperation"), remote.traffic().failures), (1, 0));
}

#[test]
fn what_an_action_wrote_to_stderr_is_told() {
    let result = reapi::ActionResult { exit_code: 1, stderr_raw: vec![b'x'; 100_000], ..Default::default() };
    let response = reapi::ExecuteResponse { result: Some(result), ..Default::default() };
    let (_fake, remote) = telling(vec![vec![Told::Done(Box::new(response))]]);
    assert_eq!(remote.execute(&action("x"), &|| false).unwrap().stderr.len(), 64 << 10);

    let digest = CasDigest::of(b"it is broken");
    let stderr_digest = Some(reapi::Digest { hash: digest.sha256.hex(), size_bytes: 12 });
    let result = reapi::ActionResult { exit_code: 1, stderr_digest, ..Default::default() };
    let response = reapi::ExecuteResponse { result: Some(result), ..Default::default() };
    let told = || vec![vec![Told::Done(Box::new(response.clone()))]];
    let (fake, remote) = telling(told());
    fake.put(b"it is broken");
    assert_eq!(remote.execute(&action("x"), &|| false).unwrap().stderr, b"it is broken");
    let (_fake, remote) = telling(told());
    assert_eq!(remote.execute(&action("x"), &|| false).unwrap().stderr, b"", "it is gone, which changes nothing");
}

/// A program that runs where there is nothing else: writes what it was given, in a folder too, and fails where it is told to.
const TOOL: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments[0] == "fail" {
        eprintln!("as told");
        std::process::exit(7);
    }
    let text = std::fs::read("in/.hidden/deep/one").unwrap();
    std::fs::create_dir_all("out/folder/.below").unwrap();
    std::fs::write("out/one", format!("{} {} {}", arguments[0], std::env::var("A").unwrap(), text.len())).unwrap();
    std::fs::write("out/folder/.below/two", text).unwrap();
}
"#;

#[test]
fn buildbox_casd_runs_actions() {
    let Some(server) = Server::casd(&[]) else { return };
    let Some(tool) = static_tool(server.folder.path()) else { return };
    let remote = client(&connection(server.port));
    if !remote.capabilities().exec_enabled {
        eprintln!("SKIPPED: buildbox-casd does not execute");
        return;
    }
    let (tool, text) = (Arc::new(tool), noise(3_000_000, 1));
    let input = |bytes: &Arc<Vec<u8>>, executable| Input { digest: CasDigest::of(bytes), executable };
    let run = |argument: &str| Action {
        arguments: vec!["./tool".into(), argument.into()],
        inputs: BTreeMap::from([
            (path("tool"), input(&tool, true)),
            (path("in/.hidden/deep/one"), input(&text, false)),
            (path("in/same"), input(&text, false)),
        ]),
        output_paths: vec!["out/one".into(), "out/folder".into()],
        platform: BTreeMap::new(),
        ..action(argument)
    };
    // The inputs are not there yet. It says so by an error of its own, where the protocol has FAILED_PRECONDITION.
    let missing = remote.execute(&run("hello"), &|| false).unwrap_err();
    assert!(missing.message.contains("Tree is not completely available"), "{missing}");
    remote.upload(&[upload(&tool), upload(&text)]).unwrap();
    let ran = match remote.execute(&run("hello"), &|| false) {
        Ok(ran) if ran.exit_code == 0 => ran,
        other => {
            // The sandbox needs namespaces, which not every machine grants.
            assert!(sandbox_is_refused(), "{other:?} {}", server.log());
            eprintln!("SKIPPED: bubblewrap may not make a sandbox here");
            return;
        }
    };
    assert_eq!(fetch(&remote, ran.files["out/one"].digest).unwrap(), b"hello 1 3000000");
    let expert_build::store::remote::OutputFolder::Tree(tree) = ran.folders["out/folder"] else { panic!() };
    assert_eq!(remote.tree(tree).unwrap(), BTreeMap::from([(path(".below/two"), CasDigest::of(&text))]));
    let kept = remote.result(&run("hello"), &["out/one"]).unwrap().expect("it is kept");
    assert_eq!(kept.files["out/one"].digest, ran.files["out/one"].digest);
    let failed = remote.execute(&run("fail"), &|| false).unwrap();
    assert_eq!((failed.exit_code, &*failed.stderr), (7, &b"as told\n"[..]));
    assert_eq!(remote.result(&run("fail"), &[]), Ok(None));
}

fn sandbox_is_refused() -> bool {
    let tried = Command::new("bwrap").args(["--unshare-all", "--ro-bind", "/", "/", "true"]).output();
    tried.is_ok_and(|tried| !tried.status.success()) || Command::new("bwrap").arg("--version").output().is_err()
}

/// The tool, which needs no library.
fn static_tool(folder: &std::path::Path) -> Option<Vec<u8>> {
    let (source, program) = (folder.join("tool.rs"), folder.join("tool"));
    std::fs::write(&source, TOOL).unwrap();
    let made = Command::new(option_env!("RUSTC").unwrap_or("rustc"))
        .args(["-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"])
        .arg(&program)
        .arg(&source)
        .output();
    match made {
        Ok(made) if made.status.success() => Some(std::fs::read(program).unwrap()),
        _ => {
            eprintln!("SKIPPED: rustc does not make a static program here");
            None
        }
    }
}
