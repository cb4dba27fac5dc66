//! Who may: passwords, credential helpers, tokens, certificates; and where credentials go.

use std::sync::{Arc, Mutex};

use expert_build::format::segment::Compression;

use crate::proxy::{Action, Proxy, reply};
use crate::server::{Server, Wants};
use crate::space::{Run, Space};

/// `me:hunter2` and `me:wrong`, as docker writes them.
const RIGHT: &str = "bWU6aHVudGVyMg==";
const WRONG: &str = "bWU6d3Jvbmc=";

fn login(space: &Space, path: &str, host: &str, auth: &str) {
    space.write(path, format!(r#"{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}"#).as_bytes());
}

#[test]
fn a_password_is_needed_and_comes_from_dockers_configuration() {
    let Some(server) = Server::wanting(&Wants { password: true, ..Wants::default() }) else { return };
    let space = Space::new();
    space.package("sql.expert", Compression::Gzip, true);
    let host = server.host();
    let push = format!("push {host}/sql:1 sql.expert");
    let pull = format!("pull {host}/sql:1 -o out");
    space.run(&push).fails(3, &format!("`docker login {host}`"));
    login(&space, "home/.docker/config.json", &host, WRONG);
    space.run(&push).fails(3, "refuses the login that docker's configuration has");
    space.run(&pull).fails(3, "refuses the login that docker's configuration has");
    login(&space, "home/.docker/config.json", &host, RIGHT);
    space.run(&push).ok();
    space.run(&pull).ok();
    // DOCKER_CONFIG comes first.
    login(&space, "other/config.json", &host, WRONG);
    let mut elsewhere = space.command();
    elsewhere.args(pull.split(' ')).env("DOCKER_CONFIG", space.path("other"));
    Run::of("with DOCKER_CONFIG", &elsewhere.output().unwrap()).fails(3, "refuses the login");
    space.write("home/.docker/config.json", b"{");
    space.run(&push).fails(3, "cannot be read as docker's configuration");
}

#[test]
fn a_credential_helper_is_asked() {
    let Some(server) = Server::wanting(&Wants { password: true, ..Wants::default() }) else { return };
    let space = Space::new();
    space.package("sql.expert", Compression::Gzip, false);
    let host = server.host();
    space.write("home/.docker/config.json", br#"{"credsStore": "test"}"#);
    let helper = |script: &str| {
        // Written by a process of its own: what another test's child has open for writing cannot be run.
        std::fs::create_dir_all(space.path("bin")).unwrap();
        let path = space.path("bin/docker-credential-test");
        let text = format!("#!/bin/sh\n{script}\n");
        let mut write = std::process::Command::new("/bin/sh");
        write.args(["-c", r#"printf %s "$1" > "$2" && chmod 755 "$2""#, "write", &text]).arg(path);
        assert!(write.status().unwrap().success());
        let mut command = space.command();
        command.env("PATH", format!("{}:/usr/bin:/bin", space.path("bin").display()));
        command.args(["push", &format!("{host}/sql:1"), "sql.expert"]);
        Run::of(script, &command.output().unwrap())
    };
    helper("read host; echo hunter2; echo locked >&2; exit 1")
        .fails(3, "the helper `docker-credential-test` failed: locked");
    helper("read host; echo credentials not found in native keychain; exit 1").fails(3, "`docker login");
    helper(&format!(r#"read host; [ "$host" = {host} ] && echo '{{"Username": "me", "Secret": "hunter2"}}'"#)).ok();
}

/// A registry that wants a token, as those in the cloud do.
#[test]
fn a_token_is_got_from_the_service_that_the_registry_names() {
    let Some(server) = Server::start() else { return };
    let own: Arc<Mutex<u16>> = Arc::default();
    let port = own.clone();
    let proxy = Proxy::start(server.port, move |request| {
        let basic = format!("Basic {RIGHT}");
        if request.path.starts_with("/token?") {
            return Action::Reply(match request.header("authorization") == Some(&basic) {
                true => reply("200 OK", &[], br#"{"token": "t0k3n"}"#),
                false => reply("401 Unauthorized", &[], b""),
            });
        }
        match request.header("authorization") {
            Some("Bearer t0k3n") => Action::Pass,
            _ => {
                let realm = format!("http://127.0.0.1:{}/token", *port.lock().unwrap());
                let wants = format!(r#"WWW-Authenticate: Bearer realm="{realm}",service="test""#);
                Action::Reply(reply("401 Unauthorized", &[&wants], b"{}"))
            }
        }
    });
    *own.lock().unwrap() = proxy.port;
    let space = Space::new();
    space.package("sql.expert", Compression::Gzip, true);
    let host = proxy.host();
    space.run(&format!("push {host}/a/sql:1 sql.expert")).fails(3, "`docker login");
    login(&space, "home/.docker/config.json", &host, WRONG);
    space.run(&format!("push {host}/a/sql:1 sql.expert")).fails(3, "refuses the login");
    login(&space, "home/.docker/config.json", &host, RIGHT);
    proxy.seen();
    space.run(&format!("push {host}/a/sql:1 sql.expert")).ok();
    space.run(&format!("pull {host}/a/sql:1 -o out")).ok();
    let tokens: Vec<String> = proxy.seen().into_iter().map(|r| r.path).filter(|p| p.contains("/token")).collect();
    // One for all of the push, one for all of the pull: each is kept for its scope.
    let scope = |actions: &str| format!("/token?service=test&scope=repository%3Aa%2Fsql%3A{actions}");
    assert_eq!(tokens, [scope("pull%2Cpush"), scope("pull")]);
}

#[test]
fn certificates_are_checked() {
    let Some(server) = Server::wanting(&Wants { tls: true, ..Wants::default() }) else { return };
    let space = Space::new();
    space.package("sql.expert", Compression::Gzip, true);
    let (ours, other) = server.authorities();
    let host = server.host();
    let push = |ca: &str| space.run(&format!("push {host}/sql:1 sql.expert {ca}"));
    push(&format!("--ca-file {}", other.display())).fails(3, "invalid peer certificate");
    push("--ca-file sql.expert").fails(3, "cannot use the certificates in");
    push("--ca-file nowhere.pem").fails(3, "cannot read the certificates in `nowhere.pem`");
    push(&format!("--ca-file {}", ours.display())).ok();
    space.run(&format!("pull {host}/sql:1 -o out --ca-file {}", ours.display())).ok();
    space
        .run(&format!("pull {host}/sql:1 -o out --plain-http --ca-file {}", ours.display()))
        .fails(2, "cannot be used");
}

#[test]
fn credentials_in_a_reference_are_refused_and_never_told() {
    let space = Space::new();
    space.package("sql.expert", Compression::Gzip, false);
    for line in [
        "push me:hunter2@oci.lan/sql:1 sql.expert",
        "push https://me:hunter2@oci.lan/sql:1 sql.expert",
        "push me:hunter2@oci.lan/sql/ sql.expert",
        "pull me:hunter2@oci.lan/sql:1",
        "--message-format json pull https://me:hunter2@oci.lan/sql:1",
    ] {
        space.run(line).fails(2, "a user or password in a reference is never taken");
    }
}

/// A registry may send a client elsewhere, for blobs that lie in a cloud's storage: its credentials stay behind.
#[test]
fn credentials_go_to_no_other_host() {
    let Some(server) = Server::wanting(&Wants { password: true, ..Wants::default() }) else { return };
    let space = Space::new();
    let bytes = space.package("sql.expert", Compression::Gzip, false);
    let storage = Proxy::start(0, move |request| match request.method.as_str() {
        "GET" => Action::Reply(reply("200 OK", &[], &bytes)),
        _ => Action::Reply(reply("201 Created", &[], b"")),
    });
    let elsewhere = format!("Location: http://localhost:{}/signed?key=1", storage.port);
    let place = elsewhere.clone();
    let layer = expert_build::base::Sha256::of(&std::fs::read(space.path("sql.expert")).unwrap()).hex();
    let registry = Proxy::start(server.port, move |request| {
        if request.is("GET", &layer) {
            return Action::Reply(reply("307 Temporary Redirect", &[&elsewhere], b""));
        }
        Action::Pass
    });
    login(&space, "home/.docker/config.json", &registry.host(), RIGHT);
    let to = format!("{}/sql:1", registry.host());
    space.run(&format!("push {to} sql.expert")).ok();
    space.run(&format!("pull {to} -o out")).ok();
    assert!(registry.seen().iter().any(|request| request.header("authorization").is_some()));
    let there = storage.seen();
    assert_eq!(there.len(), 1);
    assert!(there.iter().all(|request| request.header("authorization").is_none()), "{there:?}");

    // The same where an upload goes on elsewhere.
    let registry = Proxy::start(server.port, move |request| match request.is("POST", "/uploads/") {
        true if request.header("authorization").is_some() => Action::Reply(reply("202 Accepted", &[&place], b"")),
        _ => Action::Pass,
    });
    login(&space, "home/.docker/config.json", &registry.host(), RIGHT);
    // The storage forgets what it is given, so the registry refuses the manifest.
    space.run(&format!("push {}/other:1 sql.expert", registry.host())).fails(3, "BLOB_UNKNOWN");
    let there = storage.seen();
    assert_eq!(there.len(), 2, "the layer and the config");
    assert!(there.iter().all(|request| request.method == "PUT" && request.path.contains("key=1&digest=sha256")));
    assert!(there.iter().all(|request| request.header("authorization").is_none()), "{there:?}");
}
