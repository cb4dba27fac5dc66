//! A registry that means harm: nothing outside the folder, no memory without a limit, no package that is none.

use expert_build::base::Sha256;
use expert_build::format::segment::Compression;
use serde_json::{Value, json};

use crate::packages::Native;
use crate::proxy::{Action, Proxy, reply};
use crate::space::Space;

/// The config is whatever a registry says: it may let a package be refused early, never be taken.
#[test]
fn a_config_that_lies_vouches_for_nothing() {
    let space = Space::new();
    let key = crate::packages::key(7);
    let signed = Native::new(Compression::Gzip).entries(Some(&key)).swap_remove(0).1;
    let package = Native::new(Compression::Gzip).bytes(None);
    let mut document = manifest(&descriptor(&package));
    document["config"] = descriptor(&signed);
    let config = Sha256::of(&signed).hex();
    let document = document.to_string().into_bytes();
    let proxy = Proxy::start(0, move |request| {
        let body = match &request.path {
            path if path.contains("/manifests/") => &document,
            path if path.contains(&config) => &signed,
            _ => &package,
        };
        Action::Reply(reply("200 OK", &[], body))
    });
    let more = format!("--require-signature --key {}", key.public());
    pull(&space, &proxy, &more).fails(5, "the package is not signed");
    assert!(!space.path("deep/out/x.expert").exists());
}

/// A registry that has one manifest, and gives this blob whatever is asked for.
fn registry(manifest: Vec<u8>, blob: Vec<u8>) -> Proxy {
    Proxy::start(0, move |request| {
        Action::Reply(reply("200 OK", &[], if request.path.contains("/manifests/") { &manifest } else { &blob }))
    })
}

fn descriptor(bytes: &[u8]) -> Value {
    json!({"mediaType": "application/vnd.expert.package.v1.tar+gzip", "size": bytes.len(),
        "digest": format!("sha256:{}", Sha256::of(bytes)), "annotations": {"org.opencontainers.image.title": "x.expert"}})
}

fn manifest(layer: &Value) -> Value {
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.expert.package.v1", "config": descriptor(b"{}"), "layers": [layer]})
}

fn pull(space: &Space, proxy: &Proxy, more: &str) -> crate::space::Run {
    space.run(&format!("pull {}/x:1 -o deep/out {more}", proxy.host()))
}

#[test]
fn names_lead_nowhere_else() {
    let space = Space::new();
    let package = Native::new(Compression::Gzip).bytes(None);
    for title in
        ["../../x.expert", "/tmp/x.expert", "a/x.expert", "..", ".bashrc", ".x.expert", "x", "x\u{1b}.expert", ""]
    {
        let mut layer = descriptor(&package);
        layer["annotations"]["org.opencontainers.image.title"] = title.into();
        let proxy = registry(manifest(&layer).to_string().into_bytes(), package.clone());
        pull(&space, &proxy, "").fails(5, "which is no name of a package");
    }
    assert_eq!(space.files(""), Vec::<String>::new());
    let proxy = registry(manifest(&descriptor(&package)).to_string().into_bytes(), package.clone());
    pull(&space, &proxy, "").ok();
    assert_eq!(space.files(""), ["deep/out/x.expert", "deep/out/x.expert.sha256"]);
}

#[test]
fn sizes_are_bounded() {
    let space = Space::new();
    let package = Native::new(Compression::Gzip).bytes(None);
    let good = manifest(&descriptor(&package)).to_string().into_bytes();

    let endless = |status: &'static str| {
        Proxy::start(0, move |_| {
            Action::Endless(format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{{").into_bytes())
        })
    };
    pull(&space, &endless("200 OK"), "").fails(5, "has more than 4194304 bytes");
    pull(&space, &endless("403 Forbidden"), "").fails(3, "403 Forbidden");

    let long = [&package[..], b"more"].concat();
    pull(&space, &registry(good.clone(), long), "").fails(5, "the registry sends more than the");
    pull(&space, &registry(good.clone(), package.clone()), "--max-size 1KiB").fails(5, "`--max-size`");
    let mut huge = descriptor(&package);
    huge["size"] = u64::MAX.into();
    pull(&space, &registry(manifest(&huge).to_string().into_bytes(), package.clone()), "").fails(5, "`--max-size`");
    assert_eq!(space.files(""), Vec::<String>::new());
}

#[test]
fn what_is_no_package_is_not_put_in_place() {
    let space = Space::new();
    let notes = b"these are no tar archive, whatever they say".repeat(100);
    let proxy = registry(manifest(&descriptor(&notes)).to_string().into_bytes(), notes);
    let run = pull(&space, &proxy, "").fails(5, &format!("`{}/x:1`: ", proxy.host()));
    assert!(!run.stderr.contains("expert-build-part"), "{}", run.stderr);

    let mut native = Native::new(Compression::Gzip);
    let entries = native.entries(None);
    native.files.insert("README.md".into(), b"another".to_vec());
    let mut torn = entries;
    torn.iter_mut().find(|(path, _)| path == "README.md").unwrap().1 = b"another".to_vec();
    let torn = crate::packages::pack(&torn, Compression::Gzip);
    let proxy = registry(manifest(&descriptor(&torn)).to_string().into_bytes(), torn);
    pull(&space, &proxy, "").fails(5, "`README.md`: ");

    for (document, what) in [
        (json!({"schemaVersion": 2}), "missing field"),
        (json!([]), "invalid length"),
        (
            json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}),
            "a list of 0",
        ),
        (
            json!({"schemaVersion": 2, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 1,
            "digest": format!("sha256:{}", "0".repeat(64))}, "layers": []}),
            "it is no package but",
        ),
    ] {
        let proxy = registry(document.to_string().into_bytes(), Vec::new());
        pull(&space, &proxy, "").fails(5, what);
    }
    let named = format!("sha256:{}", "0".repeat(64));
    let proxy = registry(b"{}".to_vec(), Vec::new());
    space.run(&format!("pull {}/x@{named}", proxy.host())).fails(5, "another manifest than it names");
    assert_eq!(space.files(""), Vec::<String>::new());
}

#[test]
fn redirects_end() {
    let space = Space::new();
    let proxy = Proxy::start(0, |request| {
        let to = format!("Location: {}x", request.path);
        Action::Reply(reply("302 Found", &[&to], b""))
    });
    pull(&space, &proxy, "").fails(3, "it redirects without end");
    assert!(proxy.seen().len() < 15);
}
