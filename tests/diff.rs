//! What changed between two packages, or an expert's files and a package.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own their effects")]

mod packages;

use std::collections::BTreeMap;

use expert_build::format::archive::Limits;
use expert_build::format::json::{self, Value};
use expert_build::format::segment::Compression;
use expert_build::ops::diff::{Content, Diff, Side, diff};
use packages::{Native, key, path, put, safetensors};

fn pointers(diff: &Diff) -> Vec<&str> {
    diff.manifest.iter().map(|change| change.pointer.as_str()).collect()
}

#[test]
fn two_packages_with_equal_files_are_equal() {
    let dir = tempfile::tempdir().unwrap();
    let sides = Compression::ALL.map(|compression| {
        let mut native = Native::new(compression);
        native.manifest.set("package", json::parse(b"{}").unwrap());
        Side::Package(put(dir.path(), compression.as_str(), &native.bytes(None)))
    });
    for (old, new) in [(&sides[0], &sides[0]), (&sides[0], &sides[1]), (&sides[1], &sides[2])] {
        let found = diff(old, new, Limits::default()).unwrap();
        assert!(found.equal && found.files.is_empty() && found.weights.is_empty(), "{found:?}");
    }
}

#[test]
fn keys_files_and_tensors_are_named() {
    let dir = tempfile::tempdir().unwrap();
    // Over one block of values, so that the places of later ones count.
    let values: Vec<f32> = (0..70_000u32).map(|i| (i % 17) as f32).collect();
    let mut moved = values.clone();
    moved[69_999] += 3.0;
    let old_weights = safetensors(&[
        ("same", &[70_000], &values),
        ("moved", &[70_000], &values),
        ("shape", &[4], &[1.0; 4]),
        ("gone", &[1], &[1.0]),
    ]);
    let new_weights = safetensors(&[
        ("new", &[1], &[1.0]),
        ("moved", &[70_000], &moved),
        ("shape", &[2, 2], &[1.0; 4]),
        ("same", &[70_000], &values),
    ]);
    for (a, b) in [(Compression::Gzip, Compression::Gzip), (Compression::Zstd, Compression::None)] {
        let mut old = Native::new(a);
        let mut new = Native::new(b);
        old.files.insert("adapter_model.safetensors".into(), old_weights.clone());
        new.files.insert("adapter_model.safetensors".into(), new_weights.clone());
        new.files.remove("LICENSE");
        new.files.insert("NOTICE".into(), b"new".to_vec());
        new.manifest.set("version", Value::string("2.0.0"));
        new.manifest.set("added", Value::number(1));
        new.manifest.remove("license");
        let old = Side::Package(put(dir.path(), "old", &old.bytes(None)));
        let new = Side::Package(put(dir.path(), "new", &new.bytes(Some(&key(1)))));
        let found = diff(&old, &new, Limits::default()).unwrap();
        assert!(!found.equal);
        let named = pointers(&found);
        for pointer in ["/version", "/license", "/added", "/integrity/pubkey"] {
            assert!(named.contains(&pointer), "{pointer}: {named:?}");
        }
        assert!(!named.iter().any(|p| p.starts_with("/integrity/files") || p.starts_with("/integrity/signature/")));
        let version = found.manifest.iter().find(|change| change.pointer == "/version").unwrap();
        assert_eq!(
            serde_json::to_value(version).unwrap(),
            serde_json::json!({"pointer": "/version", "old": "1.2.3", "new": "2.0.0"})
        );
        let files: Vec<_> = found.files.iter().map(|f| (f.path.as_str(), f.old.is_some(), f.new.is_some())).collect();
        assert_eq!(
            files,
            [
                ("LICENSE", true, false),
                ("NOTICE", false, true),
                ("adapter_model.safetensors", true, true),
                ("signature.sig", false, true)
            ]
        );
        let [weights] = &found.weights[..] else { panic!("{found:?}") };
        assert_eq!((weights.total, weights.changed.len(), &weights.fault), (5, 4, &None));
        let of = |name: &str| weights.changed.iter().find(|tensor| tensor.name == name).unwrap();
        assert!(of("gone").new.is_none() && of("new").old.is_none());
        assert_eq!((&of("shape").new.as_ref().unwrap().shape, of("shape").distance), (&vec![2, 2], None));
        let distance = of("moved").distance.unwrap();
        assert_eq!((distance.max_abs, distance.differing, distance.not_finite), (3.0, 1, 0));
        let length = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        assert!((distance.relative_l2 - 3.0 / length).abs() < 1e-12);
        assert!(distance.cosine.unwrap() > 0.999_99 && distance.cosine.unwrap() < 1.0);
    }
}

#[test]
fn an_experts_files_are_compared_with_a_package() {
    let dir = tempfile::tempdir().unwrap();
    let mut native = Native::new(Compression::Zstd);
    let source = native.manifest.clone();
    // What packaging fills in.
    let filled = String::from_utf8(packages_text(&source)).unwrap();
    let filled = filled.replace("\"r\": 4,", "\"r\": 4, \"sha256\": \"00\", \"size_bytes\": 12,");
    native.manifest = json::parse(filled.as_bytes()).unwrap();
    let package = Side::Package(put(dir.path(), "p.expert", &native.bytes(Some(&key(1)))));
    let mut files: BTreeMap<_, _> = native
        .files
        .iter()
        .map(|(name, bytes)| (path(name), Content::Disk(put(dir.path(), &name.replace('/', "_"), bytes))))
        .collect();
    let mut bare = source.clone();
    bare.remove("package");
    files.insert(path("manifest.json"), Content::Bytes(packages_text(&bare)));
    let side = |files: &BTreeMap<_, _>| Side::Files { name: "sql".into(), files: files.clone() };
    let found = diff(&side(&files), &package, Limits::default()).unwrap();
    assert!(found.equal, "{found:#?}");

    let Some(Content::Disk(weights)) = files.get(&path("adapter_model.safetensors")).cloned() else { panic!() };
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 0x40;
    std::fs::write(&weights, &bytes).unwrap();
    files.insert(path("extra"), Content::Bytes(vec![1]));
    let found = diff(&package, &side(&files), Limits::default()).unwrap();
    assert_eq!((found.old.ends_with("p.expert"), found.new.as_str()), (true, "sql"));
    assert_eq!(found.files.len(), 2);
    assert_eq!((found.weights[0].total, found.weights[0].changed.len()), (2, 1));
    assert_eq!(found.weights[0].changed[0].distance.unwrap().not_finite, 2);

    std::fs::write(&weights, b"no tensors").unwrap();
    let found = diff(&package, &side(&files), Limits::default()).unwrap();
    assert!(found.weights[0].fault.as_ref().unwrap().starts_with("the second cannot be read"));
    std::fs::remove_file(&weights).unwrap();
    assert_eq!(diff(&package, &side(&files), Limits::default()).unwrap_err().exit_code(), 3);
}

fn packages_text(value: &Value) -> Vec<u8> {
    expert_build::format::json_write::pretty(value).into_bytes()
}
