//! Servers that die, lines that break, bytes that change: no wrong package, and the next run goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::proxy::{Action, Proxy, reply};
use crate::server::Server;
use crate::space::Space;

/// What is done to the first request that fits.
fn once(
    fits: impl Fn(&crate::proxy::Request) -> bool + Send + 'static,
    mut action: impl FnMut() -> Action + Send + 'static,
) -> impl FnMut(&crate::proxy::Request) -> Action + Send {
    let done = AtomicUsize::new(0);
    move |request| match fits(request) && done.fetch_add(1, Ordering::SeqCst) == 0 {
        true => action(),
        false => Action::Pass,
    }
}

#[test]
fn a_push_goes_on_after_the_server_died() {
    let Some(server) = Server::start() else { return };
    let port = server.port;
    let server = Arc::new(Mutex::new(server));
    // Not held by the proxy, which outlives the test: whoever drops the server ends it.
    let dying = Arc::downgrade(&server);
    // The config is sent after the layer: so the layer is what is cut.
    let rule = once(
        |r| r.is("PUT", "/blobs/"),
        move || {
            let dying = dying.clone();
            Action::CutUpload(1_000_000, Box::new(move || dying.upgrade().unwrap().lock().unwrap().kill()))
        },
    );
    let proxy = Proxy::start(port, rule);
    let space = Space::new();
    let bytes = space.big_package("sql.expert");
    let to = format!("{}/sql:1", proxy.host());
    space.run(&format!("push {to} sql.expert")).fails(3, "cannot push to").says("(tried 6 times)");
    server.lock().unwrap().restart();
    space.run(&format!("pull {to} -o out")).fails(3, "the registry has no");
    space.run(&format!("push {to} sql.expert")).ok().says("2 blobs sent");
    space.run(&format!("pull {to} -o out")).ok();
    assert!(std::fs::read(space.path("out/sql.expert")).unwrap() == bytes);
}

#[test]
fn a_pull_goes_on_where_the_server_died() {
    let Some(server) = Server::start() else { return };
    let port = server.port;
    let server = Arc::new(Mutex::new(server));
    // Not held by the proxy, which outlives the test: whoever drops the server ends it.
    let dying = Arc::downgrade(&server);
    let rule = once(
        |r| r.is("GET", "/blobs/"),
        move || {
            let dying = dying.clone();
            Action::CutDownload(1_000_000, Box::new(move || dying.upgrade().unwrap().lock().unwrap().kill()))
        },
    );
    let proxy = Proxy::start(port, rule);
    let space = Space::new();
    let bytes = space.big_package("sql.expert");
    let to = format!("{}/sql:1", proxy.host());
    space.run(&format!("push {to} sql.expert")).ok();
    space.run(&format!("pull {to} -o out")).fails(3, "cannot pull from").says("the same command goes on from there");
    assert!(!space.path("out/sql.expert").exists());
    server.lock().unwrap().restart();
    proxy.seen();
    space.run(&format!("pull {to} -o out")).ok();
    let ranges: Vec<u64> = proxy
        .seen()
        .iter()
        .filter_map(|request| request.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .collect();
    assert!(matches!(ranges[..], [from] if from > 0 && from <= 1_000_000), "{ranges:?}");
    assert!(std::fs::read(space.path("out/sql.expert")).unwrap() == bytes);
    assert_eq!(space.files("out").len(), 2, "{:?}", space.files("out"));
}

/// Has something of a blob arrived?
fn began(out: &std::path::Path) -> bool {
    let folders = std::fs::read_dir(out).into_iter().flatten().flatten();
    let mut files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    files.any(|file| file.metadata().is_ok_and(|meta| meta.len() > 0))
}

/// The one that is killed is ours.
#[test]
fn a_pull_goes_on_where_it_was_killed() {
    let Some(server) = Server::start() else { return };
    let ours: Arc<Mutex<Option<std::process::Child>>> = Arc::default();
    let (dying, space) = (ours.clone(), Space::new());
    let out = space.path("out");
    let rule = once(
        |r| r.is("GET", "/blobs/"),
        move || {
            let (dying, out) = (dying.clone(), out.clone());
            Action::CutDownload(
                1_500_000,
                Box::new(move || {
                    while !began(&out) {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                    // The lock is held until the child is there to be killed.
                    dying.lock().unwrap().as_mut().unwrap().kill().unwrap();
                }),
            )
        },
    );
    let proxy = Proxy::start(server.port, rule);
    let bytes = space.big_package("sql.expert");
    let to = format!("{}/sql:1", proxy.host());
    space.run(&format!("push {to} sql.expert")).ok();
    let mut slot = ours.lock().unwrap();
    *slot = Some(space.command().args(["pull", &to, "-o", "out"]).spawn().unwrap());
    drop(slot);
    let ended = loop {
        if let Some(status) = ours.lock().unwrap().as_mut().unwrap().try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(!ended.success() && !space.path("out/sql.expert").exists(), "{ended}");
    proxy.seen();
    space.run(&format!("pull {to} -o out")).ok();
    assert!(std::fs::read(space.path("out/sql.expert")).unwrap() == bytes);
    assert!(proxy.seen().iter().any(|request| request.header("range").is_some()));
    assert_eq!(space.files("out").len(), 2, "{:?}", space.files("out"));
}

/// Proxies of the environment are for other machines.
#[test]
fn a_proxy_is_used_but_not_for_this_machine() {
    let Some(server) = Server::start() else { return };
    let between = Proxy::start(0, |_| Action::Reply(reply("404 Not Found", &[], b"")));
    let space = Space::new();
    space.big_package("sql.expert");
    let run = |line: &str| {
        let mut command = space.command();
        command.args(line.split(' ')).env("http_proxy", format!("http://{}", between.host()));
        crate::space::Run::of(line, &command.output().unwrap())
    };
    run(&format!("push {}/sql:1 sql.expert", server.host())).ok();
    assert_eq!(between.seen().len(), 0);
    run("pull --plain-http registry.invalid:5000/sql:1").fails(3, "the registry has no");
    assert!(between.seen()[0].path.starts_with("http://registry.invalid:5000/v2/"));
}

#[test]
fn what_passes_is_tried_again_in_the_same_run() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    let bytes = space.big_package("sql.expert");
    let busy = Arc::new(AtomicUsize::new(0));
    let count = busy.clone();
    let mut cut = once(|r| r.is("GET", "/blobs/"), || Action::CutDownload(700_000, Box::new(|| ())));
    let mut cut_upload = once(|r| r.is("PUT", "/blobs/"), || Action::CutUpload(9, Box::new(|| ())));
    let proxy = Proxy::start(server.port, move |request| {
        // Every third request is refused for now.
        if count.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
            let status = ["503 Service Unavailable", "429 Too Many Requests", "500 Internal Server Error"];
            let which = count.load(Ordering::SeqCst) / 3 % 3;
            return Action::Reply(reply(status[which], &["Retry-After: 0"], b"<html>"));
        }
        match request.method.as_str() {
            "GET" => cut(request),
            _ => cut_upload(request),
        }
    });
    let to = format!("{}/sql:1", proxy.host());
    space.run(&format!("push {to} sql.expert")).ok();
    space.run(&format!("pull {to} -o out")).ok();
    assert!(proxy.seen().iter().any(|request| request.header("range") == Some("bytes=700000-")));
    assert!(std::fs::read(space.path("out/sql.expert")).unwrap() == bytes);
    // What stays wrong is not.
    let proxy = Proxy::start(0, |_| {
        Action::Reply(reply("403 Forbidden", &[], br#"{"errors": [{"code": "DENIED", "message": "not\u001byou"}]}"#))
    });
    let refused = space.run(&format!("push {}/sql:1 sql.expert", proxy.host())).fails(3, "403 Forbidden");
    assert!(refused.stderr.contains(r"403 Forbidden") && !refused.stderr.contains('\u{1b}'), "{}", refused.stderr);
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn nobody_answers() {
    let space = Space::new();
    space.big_package("sql.expert");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    space.run(&format!("pull 127.0.0.1:{port}/sql:1")).fails(3, "onnection refused");
}

#[test]
fn other_bytes_are_never_taken() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    let bytes = space.big_package("sql.expert");
    let flipping = |part: &'static str, at| {
        Proxy::start(server.port, move |request| match request.is("GET", part) {
            true => Action::Flip(at),
            false => Action::Pass,
        })
    };
    space.run(&format!("push {}/sql:1 sql.expert", server.host())).ok();
    space.run(&format!("push --as modelpack {}/mp:1 sql.expert", server.host())).ok();
    for (name, at) in [("sql", 2_000_000), ("mp", 100)] {
        let proxy = flipping("/blobs/", at);
        let run = space.run(&format!("pull {}/{name}:1 -o out", proxy.host()));
        run.fails(5, "the registry sends other bytes than the manifest names");
        assert_eq!(space.files("out"), Vec::<String>::new());
    }
    let proxy = flipping("/manifests/", 300);
    space.run(&format!("pull {}/sql:1 -o out", proxy.host())).fails(5, "the registry sends another manifest");
    assert_eq!(space.files("out"), Vec::<String>::new());

    // What an earlier run left may be wrong as well: it is begun again.
    let proxy = Proxy::start(server.port, once(|r| r.is("GET", "/blobs/"), || Action::Flip(5)));
    let cut =
        Proxy::start(proxy.port, |request| match request.is("GET", "/blobs/") && request.header("range").is_none() {
            true => Action::CutDownload(100_000, Box::new(|| ())),
            false if request.is("GET", "/blobs/") => Action::Reply(reply("404 Not Found", &[], b"")),
            false => Action::Pass,
        });
    space.run(&format!("pull {}/sql:1 -o out", cut.host())).fails(3, "404 Not Found");
    assert_eq!(space.files("out").len(), 1, "what was received is kept");
    space.run(&format!("pull {}/sql:1 -o out", server.host())).ok();
    assert!(std::fs::read(space.path("out/sql.expert")).unwrap() == bytes);
}
