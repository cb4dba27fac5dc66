//! `--as modelpack`: other tools can take the files, we make the very package of them again, and equal files are sent once.

use std::process::Command;

use expert_build::format::segment::Compression;

use crate::packages::{Native, key, noise};
use crate::proxy::{Action, Proxy, reply};
use crate::server::{Server, find};
use crate::space::Space;

#[test]
fn the_very_package_is_made_again() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    for (compression, signed) in [(Compression::Gzip, true), (Compression::Zstd, true), (Compression::None, false)] {
        let bytes = space.package("sql.v1.2.3.expert", compression, signed);
        let to = format!("{}/mp/{compression}", server.host());
        let pushed = space.run(&format!("push --as modelpack {to} sql.v1.2.3.expert")).ok();
        assert_eq!(pushed.stderr.contains("with its signature"), signed);
        let pulled = space.run(&format!("pull {to}@{} -o out-{compression}", pushed.digest())).ok();
        assert_eq!(pulled.stdout, format!("out-{compression}/sql.v1.2.3.expert\n"));
        assert!(std::fs::read(space.path(pulled.stdout.trim())).unwrap() == bytes);
        assert_eq!(space.files(&format!("out-{compression}")).len(), 2, "nothing is left beside it");
        space.run(&format!("pull {to}:1.2.3 -o out-{compression}")).ok().says("it was there");
    }
}

/// What the engine assembled from cached segments, with all threads, is what one thread makes of the files.
#[test]
fn what_was_built_is_made_again() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    let expert = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/experts/sql/manifest.json");
    for packing in ["gzip", "zstd --level 9", "none"] {
        let form = packing.split(' ').next().unwrap();
        let build =
            format!("--cache-dir cache package --manifest {expert} --output {form}.expert --compression {packing}");
        space.run(&build).ok();
        let to = format!("{}/built/{form}:1", server.host());
        space.run(&format!("push --as modelpack {to} {form}.expert")).ok();
        space.run(&format!("pull {to} -o out")).ok();
        let bytes = |path: &str| std::fs::read(space.path(path)).unwrap();
        assert!(bytes(&format!("out/{form}.expert")) == bytes(&format!("{form}.expert")));
    }
}

#[test]
fn equal_layers_are_sent_once() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::start(server.port, |_| Action::Pass);
    let space = Space::new();
    // Two packages that share all but their README, and one of them holds a file twice.
    for (name, readme) in [("one.expert", "# one"), ("two.expert", "# two")] {
        let mut native = Native::new(Compression::Gzip);
        native.files.insert("README.md".into(), readme.into());
        native.files.insert("tokenizer-copy.json".into(), native.files["tokenizer.json"].clone());
        space.write(name, &native.bytes(None));
    }
    let to = format!("{}/mp/", proxy.host());
    let run = space.run(&format!("push --as modelpack {to} one.expert two.expert")).ok();
    let seen = proxy.seen();
    let blobs: Vec<&str> =
        seen.iter().filter(|r| r.is("PUT", "/blobs/")).map(|r| r.path.rsplit_once("digest=").unwrap().1).collect();
    let mut distinct = blobs.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(blobs.len(), distinct.len(), "a blob was sent twice");
    // manifest.json, seven files of which two are the same, and the config; then manifest, README and config alone.
    assert_eq!(blobs.len(), 8 + 3, "{}", run.stderr);
    assert!(run.stderr.contains("5 taken from another repository"), "{}", run.stderr);
    for name in ["one", "two"] {
        space.run(&format!("pull {to}{name}:1.2.3 -o out")).ok();
        let same = std::fs::read(space.path(&format!("out/{name}.expert"))).unwrap();
        assert!(same == std::fs::read(space.path(&format!("{name}.expert"))).unwrap());
    }
}

/// Who may not read the other repository, or asks a registry that takes nothing over, sends the blob.
#[test]
fn what_is_not_taken_over_is_sent() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    space.package("one.expert", Compression::Gzip, false);
    space.package("two.expert", Compression::Gzip, false);
    for (place, answer) in [("a", "403 Forbidden"), ("b", "405 Method Not Allowed"), ("c", "401 Unauthorized")] {
        let proxy = Proxy::start(server.port, move |request| match request.path.contains("mount=") {
            true => Action::Reply(reply(answer, &[], b"")),
            false => Action::Pass,
        });
        let to = format!("{}/{place}/", proxy.host());
        let run = space.run(&format!("push {to} one.expert two.expert")).ok();
        assert!(!run.stderr.contains("another repository"), "{}", run.stderr);
        assert!(proxy.seen().iter().any(|request| request.path.contains("mount=")));
        space.run(&format!("pull {to}two:1.2.3 -o out-{place}")).ok();
    }
}

/// The client is another project's: PyPI `modelpack-client`.
#[test]
fn an_independent_client_takes_the_files() {
    let Some(server) = Server::start() else { return };
    let named = std::env::var_os("EXPERT_BUILD_MODELPACK_CLIENT").map(std::path::PathBuf::from);
    let Some(client) = named.or_else(|| find("modelpack")) else {
        eprintln!("SKIPPED: modelpack is not installed (pip install modelpack-client)");
        return;
    };
    let space = Space::new();
    let mut native = Native::new(Compression::Zstd);
    native.files.insert("soft_prompts/intro.pt".into(), noise(70_000));
    space.write("sql.expert", &native.bytes(Some(&key(3))));
    let to = format!("{}/mp/sql:1", server.host());
    space.run(&format!("push --as modelpack {to} sql.expert")).ok();
    let mut pull = Command::new(client);
    pull.args(["--insecure", "pull", &to]).arg(space.path("taken")).env_clear().env("HOME", space.path("home"));
    let done = pull.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let entries = native.entries(Some(&key(3)));
    assert_eq!(space.files("taken").len(), entries.len());
    for (path, bytes) in entries {
        assert!(std::fs::read(space.path("taken").join(&path)).unwrap() == bytes, "{path}");
    }
}

#[test]
fn what_would_not_come_out_the_same_is_refused() {
    let Some(server) = Server::start() else { return };
    let space = Space::new();
    let tar = Native::new(Compression::None).bytes(None);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &tar).unwrap();
    space.write("sql.expert", &encoder.finish().unwrap());
    let to = format!("{}/mp/sql:1", server.host());
    let refused = space.run(&format!("push --as modelpack {to} sql.expert"));
    refused.fails(2, "would not come out the same").says("`--as package`");
    space.run(&format!("push {to} sql.expert")).ok();
}
