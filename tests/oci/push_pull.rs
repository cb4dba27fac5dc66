//! What goes to a registry comes back: the same bytes, verified, and nothing twice.

use expert_build::base::Sha256;
use expert_build::format::segment::Compression;
use serde_json::Value;

use crate::proxy::{Action, Proxy};
use crate::server::Server;
use crate::space::Space;

/// A document of the registry, asked for in the plainest way there is.
fn document(host: &str, path: &str) -> (Value, Vec<u8>) {
    use std::io::{Read as _, Write as _};
    let mut connection = std::net::TcpStream::connect(host).unwrap();
    let types = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
    write!(connection, "GET /v2/{path} HTTP/1.0\r\nHost: {host}\r\nAccept: {types}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(at + 4);
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    (serde_json::from_slice(&body).unwrap_or_default(), body)
}

#[test]
fn a_package_comes_back_as_it_was() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    for (compression, signed) in
        [(Compression::Gzip, false), (Compression::Zstd, true), (Compression::None, false), (Compression::Gzip, true)]
    {
        let bytes = space.package("dist/sql.v1.2.3.expert", compression, signed);
        let host = server.host();
        let to = format!("{host}/a/{compression}-{signed}");
        let pushed = space.run(&format!("push {to} dist/sql.v1.2.3.expert")).ok();
        assert!(pushed.stdout.starts_with(&format!("{to}:1.2.3@sha256:")), "{}", pushed.stdout);
        let (manifest, raw) = document(&host, &format!("a/{compression}-{signed}/manifests/1.2.3"));
        assert_eq!(pushed.digest(), format!("sha256:{}", Sha256::of(&raw)));
        assert_eq!(manifest["artifactType"], "application/vnd.expert.package.v1");
        assert_eq!(manifest["layers"][0]["digest"], format!("sha256:{}", Sha256::of(&bytes)));
        assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "sql.v1.2.3.expert");
        let (config, _) = document(
            &host,
            &format!("a/{compression}-{signed}/blobs/{}", manifest["config"]["digest"].as_str().unwrap()),
        );
        assert!(config["integrity"]["files"].is_object(), "the config is the manifest");

        for reference in [format!("{to}:1.2.3"), format!("{to}@{}", pushed.digest())] {
            let folder = space.path("out");
            let pulled = space.run(&format!("pull {reference} -o out")).ok();
            assert_eq!(pulled.stdout, "out/sql.v1.2.3.expert\n");
            let said = if signed { "signed with ed25519:" } else { "not signed" };
            let pulled = pulled.says(said).says(&pushed.digest());
            assert!(std::fs::read(folder.join("sql.v1.2.3.expert")).unwrap() == bytes, "{}", pulled.stderr);
            assert_eq!(space.files("out"), ["out/sql.v1.2.3.expert", "out/sql.v1.2.3.expert.sha256"]);
            space.run("verify out/sql.v1.2.3.expert").ok();
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

#[test]
fn what_is_there_is_neither_sent_nor_received_again() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::start(server.port, |_| Action::Pass);
    let space = Space::new();
    space.package("sql.expert", Compression::Gzip, true);
    let to = format!("{}/sql:1", proxy.host());
    let first = space.run(&format!("push {to} sql.expert")).ok().says("4 blobs sent");
    let again = space.run(&format!("push {to} sql.expert")).ok().says("nothing to send, 4 there before");
    assert_eq!(first.stdout, again.stdout);
    // Layer, config, signature and its empty config.
    assert_eq!(proxy.count("POST"), 4);
    space.run(&format!("pull {to}")).ok().says("it was there");
    assert!(proxy.seen().iter().all(|request| !request.path.contains("/blobs/")));
    space.write("sql.expert", b"another");
    let refused = space.run(&format!("pull {to}")).fails(2, "is there and is not what would be pulled");
    assert!(refused.stderr.contains("`--force` replaces it"));
    space.run(&format!("pull {to} --force")).ok();
    space.run("verify sql.expert").ok();
}

#[test]
fn a_signature_is_a_referrer_that_the_fallback_tag_lists() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    space.package("sql.expert", Compression::Zstd, true);
    let host = server.host();
    // This registry knows no referrers, so the tag is made; a second push adds nothing.
    for _ in 0..2 {
        let digest = space.run(&format!("push {host}/sql:1 sql.expert")).ok().says("with its signature").digest();
        let (index, _) = document(&host, &format!("sql/manifests/{}", digest.replace(':', "-")));
        let listed = index["manifests"].as_array().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0]["artifactType"], "application/vnd.expert.signature.v1");
        let key = listed[0]["annotations"]["vnd.expert.signature.key"].as_str().unwrap();
        assert!(key.starts_with("ed25519:"));
        let (signature, _) = document(&host, &format!("sql/manifests/{}", listed[0]["digest"].as_str().unwrap()));
        assert_eq!(signature["subject"]["digest"], digest);
        let layer = signature["layers"][0]["digest"].as_str().unwrap();
        let (_, text) = document(&host, &format!("sql/blobs/{layer}"));
        let there = space.run("cat sql.expert signature.sig").ok().stdout;
        assert_eq!(String::from_utf8(text).unwrap(), there);
    }
    // The package signed by nobody has none.
    space.package("plain.expert", Compression::Zstd, false);
    space.run(&format!("push {host}/plain:1 plain.expert")).ok();
    space.run(&format!("pull {host}/plain:1 -o out --require-signature")).fails(5, "a signature is required");
    assert_eq!(space.files("out").len(), 0);
}

#[test]
fn a_registry_that_knows_referrers_needs_no_tag() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::start(server.port, |request| match request.is("PUT", "/manifests/sha256:") {
        true => Action::Header("OCI-Subject: sha256:0"),
        false => Action::Pass,
    });
    let space = Space::new();
    space.package("sql.expert", Compression::Gzip, true);
    space.run(&format!("push {}/sql:1 sql.expert", proxy.host())).ok().says("with its signature");
    assert!(proxy.seen().iter().all(|request| !request.path.contains("/manifests/sha256-")));
}

#[test]
fn several_packages_go_below_a_namespace() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    space.package("dist/sql.v1.2.3.expert", Compression::Gzip, false);
    space.package("dist/Sql-Other.expert", Compression::Zstd, false);
    let to = format!("{}/ns/experts/", server.host());
    let run = space.run(&format!("push {to} dist/sql.v1.2.3.expert dist/Sql-Other.expert")).ok();
    let names: Vec<&str> = run.stdout.lines().map(|line| line.split_once('@').unwrap().0).collect();
    assert_eq!(names, [format!("{to}sql:1.2.3"), format!("{to}sql-other:1.2.3")]);

    let one = to.trim_end_matches('/');
    space.run(&format!("push {one} dist/sql.v1.2.3.expert dist/Sql-Other.expert")).fails(2, "cannot all be pushed");
    space.package("other/sql.v1.2.3.expert", Compression::None, false);
    space.run(&format!("push {to} dist/sql.v1.2.3.expert other/sql.v1.2.3.expert")).fails(2, "would both be");
}

#[test]
fn only_what_is_whole_is_pushed_and_only_what_is_trusted_is_pulled() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::start(server.port, |_| Action::Pass);
    let space = Space::new();
    let mut bytes = space.package("sql.expert", Compression::None, true);
    let to = format!("{}/sql:1", proxy.host());
    space.run(&format!("push {to} sql.expert")).ok();
    let other = expert_build::format::signature::PrivateKey::from_seed(&[9; 32]).public();
    proxy.seen();
    for form in ["package", "modelpack"] {
        space.run(&format!("push --as {form} {to}-{form} sql.expert")).ok();
        proxy.seen();
        // Its manifest says enough: the package itself is not even asked for.
        space.run(&format!("pull {to}-{form} -o out --key {other}")).fails(5, "which is not trusted");
        assert_eq!((proxy.seen().len(), space.files("out").len()), (2, 0));
        let own = crate::packages::key(7).public();
        space.run(&format!("pull {to}-{form} -o out --key {own} --require-signature")).ok();
        std::fs::remove_dir_all(space.path("out")).unwrap();
    }

    proxy.seen();
    let at = bytes.windows(5).position(|five| five == b"# SQL").unwrap();
    bytes[at] ^= 1;
    space.write("torn.expert", &bytes);
    space.run(&format!("push {to} torn.expert")).fails(5, "`torn.expert`: not pushed: `README.md`:");
    assert_eq!(proxy.seen().len(), 0, "nothing was sent");
}

#[test]
fn events_are_as_the_schema_says() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    space.big_package("sql.expert");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/events.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let to = format!("{}/sql:1", server.host());
    for (line, answer) in [(format!("push {to} sql.expert"), "pushed"), (format!("pull {to} -o out"), "pulled")] {
        let run = space.run(&format!("--message-format json {line}")).ok();
        let mut events: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = events.pop().unwrap();
        assert_eq!((&last["reason"], &last["v"]), (&answer.into(), &1.into()));
        assert!(last["digest"].as_str().unwrap().starts_with("sha256:"));
        for event in &events {
            assert!(validator.is_valid(event), "{event}: {:?}", validator.iter_errors(event).next());
        }
        let states: Vec<&str> = events.iter().map(|event| event["state"].as_str().unwrap()).collect();
        assert_eq!((states[0], *states.last().unwrap()), ("begun", "done"));
        assert!(answer == "pushed" || states.contains(&"moving"), "{states:?}");
    }
    let run = space.run(&format!("--message-format json pull {}/none:1", server.host()));
    let failure: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((failure["reason"].as_str(), failure["exit_code"].as_u64()), (Some("failure"), Some(3)));
}
