//! The manifest end to end: real and wrong ones get their verdicts, and the JSON schema gives the same ones.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own their effects")]

mod fixtures;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expert_build::base::{At, Diagnostic, RelPath, Severity, Sha256};
use expert_build::check::{manifest, manifest_files};
use expert_build::format::manifest::Manifest;
use expert_build::format::manifest_schema::schema;

fn folders(below: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

fn pointer(found: &Diagnostic) -> Option<&str> {
    match &found.at {
        At::Text { pointer, .. } => pointer.as_deref(),
        _ => None,
    }
}

/// Manifests that must give no error, by name.
fn good(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = folders(&dir.join("experts")).iter().map(|path| path.join("manifest.json")).collect();
    assert!(paths.len() >= 8, "the fixtures have eight good experts");
    paths.push(dir.join("public/expert-sql/manifest.json"));
    paths.push(dir.join("public/hivellm-expert/manifest_v1.json"));
    paths.push(dir.join("public/hivellm-expert/manifest_v2.json"));
    paths.into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn the_schema_on_disk_is_the_one_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/manifest.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, schema()).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == schema(), "run this test with UPDATE_SCHEMA=1 to write it");
}
