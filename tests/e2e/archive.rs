//! `Entries`: a package as others read it: by the `tar`, `flate2` and `zstd` crates, not by our own reader.

use std::io::Read as _;

use serde_json::Value;

/// One entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub kind: tar::EntryType,
    pub mode: u32,
    pub owner: (u64, u64, String, String),
    pub mtime: u64,
    pub content: Vec<u8>,
}

/// The entries of a package, in its order.
pub fn entries(package: &[u8]) -> Vec<Entry> {
    let mut bytes = Vec::new();
    match package {
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(package).read_to_end(&mut bytes).expect("a gzip member"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            bytes = zstd::decode_all(package).expect("zstd frames");
            bytes.len()
        }
        _ => {
            bytes = package.to_vec();
            bytes.len()
        }
    };
    let mut archive = tar::Archive::new(&*bytes);
    let mut entries = Vec::new();
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("a tar entry");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("the content of an entry");
        let header = entry.header();
        let name = |name: Result<Option<&str>, _>| name.expect("UTF-8").unwrap_or("").to_owned();
        let numbers = (header.uid().expect("a number"), header.gid().expect("a number"));
        entries.push(Entry {
            path: entry.path().expect("a path").to_str().expect("UTF-8").to_owned(),
            kind: header.entry_type(),
            mode: header.mode().expect("a number"),
            owner: (numbers.0, numbers.1, name(header.username()), name(header.groupname())),
            mtime: header.mtime().expect("a number"),
            content,
        });
    }
    entries
}

/// The paths in a package.
pub fn paths(package: &[u8]) -> Vec<String> {
    entries(package).into_iter().map(|entry| entry.path).collect()
}

/// The content of one file.
#[track_caller]
pub fn content(package: &[u8], path: &str) -> Vec<u8> {
    let entry = entries(package).into_iter().find(|entry| entry.path == path);
    entry.unwrap_or_else(|| panic!("`{path}` is not in the package")).content
}

/// The manifest.
pub fn manifest(package: &[u8]) -> Value {
    serde_json::from_slice(&content(package, "manifest.json")).expect("the manifest is JSON")
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
