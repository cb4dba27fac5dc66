//! `Integrity`: the `integrity` object of a packaged manifest, written (`seal`) and read back.
//!
//! ```text
//! "integrity": {
//!   "publisher": "hivellm",                   always
//!   "signature_algorithm": "ed25519",         always, so that existing readers parse the object
//!   "created_at": "2026-01-02T03:04:05Z",     only where SOURCE_DATE_EPOCH gives it
//!   "pubkey": "ed25519:<64 hex>",             once signed
//!   "signature": "<128 hex>",                 once signed; over the lines of `files` (see `format::signature`)
//!   "files": { "<path>": "<64 hex>", … }      every entry of the archive but `signature.sig`
//! }
//! ```
//! `files["manifest.json"]` is the SHA-256 of the RFC 8785 canonical JSON of this manifest without `integrity.files` and
//! `integrity.signature`. So publisher and public key are covered too. Other tools write `public_key` and `timestamp`,
//! and prefix hashes with `sha256:`; that is read, never written.

use std::collections::BTreeMap;

use crate::base::{RelPath, Sha256};
use crate::format::json::Value;
use crate::format::json_write::canonical;
use crate::format::signature::{ALGORITHM, PrivateKey, PublicKey, Signature, message};

/// The manifest's place in a package.
pub const MANIFEST: &str = "manifest.json";
/// The place of the signature, beside its copy in the manifest.
pub const SIGNATURE: &str = "signature.sig";
/// Every key of `integrity` that `seal` writes or, as another tool's claim about older bytes, drops.
const KNOWN: [&str; 8] =
    ["created_at", "publisher", "pubkey", "signature_algorithm", "signature", "files", "public_key", "timestamp"];

/// What `integrity` says, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Integrity {
    /// Path → hash.
    pub files: BTreeMap<RelPath, Sha256>,
    /// Entries of `files` whose path or hash cannot be one: path, and what is wrong.
    pub unreadable: Vec<(String, String)>,
    /// Do any hashes have the prefix `sha256:`?
    pub prefixed: bool,
    /// Who says that it made the package.
    pub publisher: Option<String>,
    /// When, as it says.
    pub created_at: Option<String>,
    /// `signature_algorithm`.
    pub algorithm: Option<String>,
    /// `pubkey`, or another tool's `public_key`.
    pub pubkey: Option<String>,
    /// `signature`.
    pub signature: Option<String>,
}

impl Integrity {
    /// What this manifest says; `None` where it has no `integrity` object.
    pub fn read(manifest: &Value) -> Option<Self> {
        let object = manifest.get("integrity")?;
        if object.members().is_empty() {
            return None;
        }
        let text = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| object.get(key)?.as_str());
            found.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let mut it = Self {
            publisher: text(&["publisher"]),
            created_at: text(&["created_at", "timestamp"]),
            algorithm: text(&["signature_algorithm"]),
            pubkey: text(&["pubkey", "public_key"]),
            signature: text(&["signature"]),
            ..Self::default()
        };
        for member in object.get("files").map_or(&[][..], Value::members) {
            let path = RelPath::new(&*member.key).map_err(|e| e.to_string());
            let hash = member.value.as_str().unwrap_or_default();
            it.prefixed |= hash.starts_with("sha256:");
            match (path, hash.parse::<Sha256>()) {
                (Ok(path), Ok(hash)) => {
                    it.files.insert(path, hash);
                }
                (Err(fault), _) => it.unreadable.push((member.key.to_string(), fault)),
                (_, Err(fault)) => it.unreadable.push((member.key.to_string(), fault.to_string())),
            }
        }
        Some(it)
    }

    /// What may have been signed: the lines of `files`, and the same with the hashes as they were written.
    pub fn messages(&self) -> Vec<String> {
        let mut found = vec![message(&self.files)];
        if self.prefixed {
            let lines: Vec<String> = self.files.iter().map(|(path, hash)| format!("{path}:sha256:{hash}")).collect();
            found.push(lines.join("\n"));
        }
        found
    }
}

/// SHA-256 of the canonical JSON of the manifest without `integrity.files` and `integrity.signature`.
pub fn manifest_hash(manifest: &Value) -> Sha256 {
    let mut bare = manifest.clone();
    if let Some(integrity) = bare.get_mut("integrity") {
        integrity.remove("files");
        integrity.remove("signature");
    }
    Sha256::of(canonical(&bare).as_bytes())
}

/// What `seal` writes beside the hashes.
#[derive(Debug, Clone, Copy)]
pub struct Seal<'a> {
    /// Who publishes the package.
    pub publisher: &'a str,
    /// RFC 3339 time, where one is given.
    pub created_at: Option<&'a str>,
    /// Signs, where there is one.
    pub key: Option<&'a PrivateKey>,
}

/// Who signs, and how.
type By<'s> = (PublicKey, &'s dyn Fn(&str) -> Signature);

/// Writes `integrity` into a packaged manifest. `files` holds every entry of the archive; those of the manifest and of
/// the signature are set aside. Unknown keys of `integrity` stay. Returns the signature where there is a key.
pub fn seal(manifest: &mut Value, files: &BTreeMap<RelPath, Sha256>, seal: &Seal<'_>) -> Option<Signature> {
    match seal.key {
        Some(key) => sealed(manifest, files, seal, Some((key.public(), &|message| key.sign(message.as_bytes())))),
        None => sealed(manifest, files, seal, None),
    }
}

/// The same with a signature that was made elsewhere, by the key with this public half. It fits if the manifest and the
/// files are what was signed then.
pub fn seal_again(
    manifest: &mut Value,
    files: &BTreeMap<RelPath, Sha256>,
    seal: &Seal<'_>,
    made: (PublicKey, Signature),
) {
    sealed(manifest, files, seal, Some((made.0, &|_| made.1)));
}

fn sealed(
    manifest: &mut Value,
    files: &BTreeMap<RelPath, Sha256>,
    seal: &Seal<'_>,
    by: Option<By<'_>>,
) -> Option<Signature> {
    let mut integrity = Value::object([]);
    integrity.set("publisher", Value::string(seal.publisher));
    integrity.set("signature_algorithm", Value::string(ALGORITHM));
    if let Some(time) = seal.created_at {
        integrity.set("created_at", Value::string(time));
    }
    if let Some((public, _)) = by {
        integrity.set("pubkey", Value::string(public.to_string()));
    }
    for member in manifest.get("integrity").map_or(&[][..], Value::members) {
        if !KNOWN.contains(&&*member.key) {
            integrity.set(&member.key, member.value.clone());
        }
    }
    manifest.set("integrity", integrity);

    let mut all = files.clone();
    all.remove(SIGNATURE);
    all.insert(RelPath::new(MANIFEST).expect("a fine path"), manifest_hash(manifest));
    let signature = by.map(|(_, sign)| sign(&message(&all)));
    if let Some(integrity) = manifest.get_mut("integrity") {
        if let Some(signature) = signature {
            integrity.set("signature", Value::string(signature.to_string()));
        }
        let lines = all.iter().map(|(path, hash)| (path.as_str().into(), Value::string(hash.hex())));
        integrity.set("files", Value::object(lines));
    }
    signature
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Integrity, Seal, manifest_hash, seal};
    use crate::base::{RelPath, Sha256};
    use crate::format::json::parse;
    use crate::format::json_write::pretty;
    use crate::format::signature::{PrivateKey, PublicKey};

    fn files(paths: &[&str]) -> BTreeMap<RelPath, Sha256> {
        paths.iter().map(|p| (RelPath::new(*p).unwrap(), Sha256::of(p.as_bytes()))).collect()
    }

    #[test]
    fn sealing_covers_manifest_publisher_and_key() {
        let key = PrivateKey::from_seed(&[7; 32]);
        let mut manifest =
            parse(br#"{"name":"x","integrity":{"note":1,"timestamp":"old","files":{}},"z":1.50}"#).unwrap();
        let how = Seal { publisher: "me", created_at: Some("2026-01-02T03:04:05Z"), key: Some(&key) };
        let signature = seal(&mut manifest, &files(&["manifest.json", "a", "signature.sig"]), &how).unwrap();
        let text = pretty(&manifest);
        assert!(text.contains("\"note\": 1") && text.contains("1.50") && !text.contains("timestamp"), "{text}");

        let again = parse(text.as_bytes()).unwrap();
        let read = Integrity::read(&again).unwrap();
        assert_eq!(read.files.keys().map(RelPath::as_str).collect::<Vec<_>>(), ["a", "manifest.json"]);
        assert_eq!(read.files["manifest.json"], manifest_hash(&again));
        assert_eq!(read.signature, Some(signature.to_string()));
        let public: PublicKey = read.pubkey.as_deref().unwrap().parse().unwrap();
        assert!(public.verifies(read.messages()[0].as_bytes(), &signature));

        for (from, to) in [("\"me\"", "\"you\""), ("\"name\": \"x\"", "\"name\": \"y\""), ("ed25519:", "ed25519:0")] {
            let changed = parse(text.replace(from, to).as_bytes()).unwrap();
            assert_ne!(manifest_hash(&changed), read.files["manifest.json"], "{from} is covered");
        }
    }

    #[test]
    fn sealing_twice_gives_the_same_manifest() {
        let how = Seal { publisher: "me", created_at: None, key: None };
        let mut once = parse(br#"{"integrity":{"pubkey":"ed25519:00","signature":"00"},"b":1}"#).unwrap();
        assert_eq!(seal(&mut once, &files(&["a"]), &how), None);
        let read = Integrity::read(&once).unwrap();
        assert_eq!((read.pubkey, read.signature, read.algorithm.as_deref()), (None, None, Some("ed25519")));
        let mut twice = once.clone();
        seal(&mut twice, &files(&["a"]), &how);
        assert_eq!(pretty(&twice), pretty(&once));
    }

    #[test]
    fn other_tools_integrity_is_read() {
        let hash = Sha256::of(b"").hex();
        let text = format!(
            r#"{{"integrity":{{"timestamp":"t","public_key":"k","signature":"s","files":{{"a":"sha256:{hash}","../b":"{hash}","c":"12"}}}}}}"#
        );
        let read = Integrity::read(&parse(text.as_bytes()).unwrap()).unwrap();
        assert_eq!((read.created_at.as_deref(), read.pubkey.as_deref()), (Some("t"), Some("k")));
        assert_eq!(read.files.len(), 1);
        assert_eq!(read.unreadable.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["../b", "c"]);
        assert_eq!(read.messages(), [format!("a:{hash}"), format!("a:sha256:{hash}")]);
        assert_eq!(Integrity::read(&parse(b"{}").unwrap()), None);
    }
}
