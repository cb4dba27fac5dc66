//! `compose`: the manifest as it stands in a package, made of the source manifest and the files' hashes.
//!
//! The source's keys, their order and the texts of numbers stay as they are. What changes, and nothing else:
//!
//! 1. Schema 2.0 with several base models: `base_models` holds the package's model alone.
//! 2. An adapter whose weights are in the package: `path`, where there is one, is the weights' path in the package;
//!    `sha256` is their hash in bare lower-case hex and `size_bytes` their size. Either is written over in its place if
//!    it is empty, null or the same value, and added at the end of the adapter if absent. Another value is an error.
//! 3. Other references that moved (`soft_prompts[].path`, `training.decoding.grammar_file`) are rewritten in place.
//! 4. `package` is set: `{"format_version": 1, "archive": "tar", "compression": …, "level": …}`.
//! 5. `integrity` is set, and whatever the source had there is gone: `publisher` and `signature_algorithm` always,
//!    `created_at`, `pubkey` and `signature` where they are known, then `files` in byte order of the paths.
//!    Without a publisher the manifest's `author` is the publisher, else the empty text.
//!
//! 4 and 5 keep the place of a key of that name in the source, else they stand at the end, in this order. The text is
//! indented by two spaces and ends with a newline. Equal input gives equal bytes.
//!
//! `integrity.files["manifest.json"]` is the SHA-256 of the RFC 8785 canonical JSON of exactly this document without
//! `integrity.files` and `integrity.signature`. So a signature over the `files` covers everything in the manifest, the
//! publisher and the public key included, and adding the signature changes no hash.

use std::collections::BTreeMap;

use crate::base::{Error, RelPath, Result, Sha256};
use crate::format::json::{Node, Value};
use crate::format::json_write;
use crate::format::manifest::{Adapter, Manifest, Schema};

/// The manifest's path in a package.
pub const MANIFEST: &str = "manifest.json";

/// What the package is, beyond the manifest's own words.
#[derive(Debug, Clone, Copy)]
pub struct PackageInfo<'a> {
    /// `gzip`, `zstd` or `none`.
    pub compression: &'a str,
    /// The compression level.
    pub level: u32,
    /// Which of several base models the package is for: its name, or the last segment of it.
    pub model: Option<&'a str>,
    /// Who publishes it.
    pub publisher: Option<&'a str>,
    /// `ed25519:<hex>`, where the package is going to be signed.
    pub pubkey: Option<&'a str>,
    /// RFC 3339, where `SOURCE_DATE_EPOCH` gives it.
    pub created_at: Option<&'a str>,
    /// The pointer of an adapter in the source manifest → its weights' path in the package.
    pub weights: &'a BTreeMap<String, RelPath>,
    /// The pointer of any other reference in the source manifest → the file's path in the package.
    pub moved: &'a BTreeMap<String, RelPath>,
}

/// A manifest for a package, with or without its signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Composed {
    root: Value,
    files: BTreeMap<RelPath, Sha256>,
}

/// Makes the manifest of a package. `files` is every entry of the archive but the manifest and `signature.sig`, with
/// hash and size.
pub fn compose(
    manifest: &Manifest,
    package: &PackageInfo<'_>,
    files: &BTreeMap<RelPath, (Sha256, u64)>,
) -> Result<Composed> {
    let mut root = manifest.root.clone();
    for adapter in manifest.adapters() {
        if let Some(weights) = package.weights.get(&adapter.pointer) {
            let Some((sha256, size)) = files.get(weights) else {
                return Err(Error::Bug(format!("the weights `{weights}` are not among the package's files")));
            };
            let value = root.pointer_mut(&adapter.pointer).expect("adapters have the pointers they were read at");
            fill(value, adapter, weights, *sha256, *size)?;
        }
    }
    for (pointer, path) in package.moved {
        match root.pointer_mut(pointer) {
            Some(value) => *value = Value::string(path.as_str()),
            None => return Err(Error::Bug(format!("the manifest has nothing at `{pointer}`"))),
        }
    }
    keep_model(&mut root, manifest, package.model)?;
    root.set("package", package_block(package));
    root.set("integrity", integrity_block(manifest, package));

    let own = Sha256::of(json_write::canonical(&root).as_bytes());
    let mut hashes: BTreeMap<RelPath, Sha256> = files.iter().map(|(path, (sha, _))| (path.clone(), *sha)).collect();
    let path = RelPath::new(MANIFEST).expect("a plain file name");
    if hashes.insert(path, own).is_some() {
        return Err(Error::Bug(format!("`{MANIFEST}` is the composed manifest and no other file")));
    }
    let list = hashes.iter().map(|(path, sha)| (Box::from(path.as_str()), Value::string(sha.hex())));
    let list = Value::object(list);
    root.get_mut("integrity").expect("it was just set").set("files", list);
    Ok(Composed { root, files: hashes })
}

impl Composed {
    /// Every file of the package and its hash, the manifest's own included.
    pub fn files(&self) -> &BTreeMap<RelPath, Sha256> {
        &self.files
    }

    /// The hash that stands for the manifest in `integrity.files`.
    pub fn manifest_sha256(&self) -> Sha256 {
        self.files[MANIFEST]
    }

    /// What a signature is made over.
    pub fn message(&self) -> String {
        crate::format::signature::message(&self.files)
    }

    /// The same manifest with this signature (hex); another signature is replaced.
    #[must_use]
    pub fn with_signature(mut self, signature: &str) -> Self {
        let integrity = self.root.get_mut("integrity").expect("every composed manifest has it");
        let files = integrity.remove("files").expect("every composed manifest has it");
        integrity.set("signature", Value::string(signature));
        integrity.set("files", files);
        self
    }

    /// The text for the package.
    pub fn text(&self) -> String {
        json_write::pretty(&self.root)
    }

    /// The document.
    pub fn root(&self) -> &Value {
        &self.root
    }
}

fn fill(value: &mut Value, adapter: &Adapter, weights: &RelPath, sha256: Sha256, size: u64) -> Result<()> {
    let disagree = |key: &str, written: &str| {
        Err(Error::integrity(format!(
            "`{key}` of the adapter at `{}` is `{written}`, `{weights}` has another",
            adapter.pointer
        )))
    };
    match value.get("sha256").map(|hash| &hash.node) {
        None | Some(Node::Null) => {}
        Some(Node::String(text)) if text.is_empty() || text.parse() == Ok(sha256) => {}
        Some(Node::String(text)) => return disagree("sha256", text),
        Some(_) => return disagree("sha256", "not a text"),
    }
    match adapter.size_bytes {
        Some(written) if written != size => return disagree("size_bytes", &written.to_string()),
        _ => {}
    }
    value.set("sha256", Value::string(sha256.hex()));
    value.set("size_bytes", Value::number(size));
    if adapter.path.is_some() {
        value.set("path", Value::string(weights.as_str()));
    }
    Ok(())
}

fn keep_model(root: &mut Value, manifest: &Manifest, model: Option<&str>) -> Result<()> {
    if manifest.schema == Schema::V1 || manifest.base_models.len() < 2 && model.is_none() {
        return Ok(());
    }
    let Some(name) = model else {
        return Err(Error::Bug("a package of a manifest with several base models is for one of them".into()));
    };
    let Some(kept) = manifest.model(name) else {
        let names: Vec<&str> = manifest.base_models.iter().map(|model| model.name.as_str()).collect();
        let help = format!("its base models are: {}", names.join(", "));
        return Err(Error::usage_help(format!("`{}` has no base model `{name}`", manifest.name), help));
    };
    let kept = root.pointer(&kept.pointer).expect("models have the pointers they were read at").clone();
    root.set("base_models", Value::made(Node::Array(vec![kept])));
    Ok(())
}

fn package_block(package: &PackageInfo<'_>) -> Value {
    Value::object([
        ("format_version".into(), Value::number(1)),
        ("archive".into(), Value::string("tar")),
        ("compression".into(), Value::string(package.compression)),
        ("level".into(), Value::number(u64::from(package.level))),
    ])
}

fn integrity_block(manifest: &Manifest, package: &PackageInfo<'_>) -> Value {
    let publisher = package.publisher.or(manifest.author.as_deref()).unwrap_or_default();
    let known = [
        ("publisher", Some(publisher)),
        ("signature_algorithm", Some("ed25519")),
        ("created_at", package.created_at),
        ("pubkey", package.pubkey),
    ];
    Value::object(known.into_iter().filter_map(|(key, text)| Some((key.into(), Value::string(text?)))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Composed, PackageInfo, compose};
    use crate::base::{Error, RelPath, Sha256};
    use crate::format::json;
    use crate::format::json_write::canonical;
    use crate::format::manifest::Manifest;

    const TWO: &str = r#"{"integrity":{"files":{"old":"x"},"junk":1},"name":"e","version":"1.0.0","x":5e-05,
        "base_models":[{"name":"A","adapters":[{"path":"weights/a/m.safetensors","sha256":"","r":8.0}]},
                       {"name":"dir/B","adapters":[{"path":"weights/b/m.safetensors","_comment":"é"}]}],
        "soft_prompts":[{"path":"p/s.pt"}],"author":"me"}"#;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a path")
    }

    fn make(text: &str, model: Option<&str>, pubkey: Option<&str>) -> Result<Composed, Error> {
        let manifest = Manifest::read(text.as_bytes(), "manifest.json").0.expect("a manifest");
        let weights = manifest.adapters().map(|a| (a.pointer.clone(), path("adapter_model.safetensors"))).collect();
        let moved = manifest.soft_prompts.iter().map(|p| (p.path.pointer.clone(), path("soft_prompts/s.pt"))).collect();
        let files = ["soft_prompts/s.pt", "adapter_model.safetensors", "LICENSE"];
        let files = files.map(|name| (path(name), (Sha256::of(name.as_bytes()), 7)));
        let package = PackageInfo {
            compression: "gzip",
            level: 6,
            model,
            publisher: None,
            pubkey,
            created_at: None,
            weights: &weights,
            moved: &moved,
        };
        compose(&manifest, &package, &BTreeMap::from(files))
    }

    #[test]
    fn one_model_filled_in_and_the_rest_kept() {
        let made = make(TWO, Some("B"), None).expect("composed");
        let weights = Sha256::of(b"adapter_model.safetensors").hex();
        let own = made.manifest_sha256().hex();
        assert_eq!(
            canonical(&json::parse(made.text().as_bytes()).expect("JSON")),
            canonical(made.root()),
            "the text reads back as the document"
        );
        let expected = format!(
            r#"{{
  "integrity": {{
    "publisher": "me",
    "signature_algorithm": "ed25519",
    "files": {{
      "LICENSE": "{}",
      "adapter_model.safetensors": "{weights}",
      "manifest.json": "{own}",
      "soft_prompts/s.pt": "{}"
    }}
  }},
  "name": "e",
  "version": "1.0.0",
  "x": 5e-05,
  "base_models": [
    {{
      "name": "dir/B",
      "adapters": [
        {{
          "path": "adapter_model.safetensors",
          "_comment": "é",
          "sha256": "{weights}",
          "size_bytes": 7
        }}
      ]
    }}
  ],
  "soft_prompts": [
    {{
      "path": "soft_prompts/s.pt"
    }}
  ],
  "author": "me",
  "package": {{
    "format_version": 1,
    "archive": "tar",
    "compression": "gzip",
    "level": 6
  }}
}}
"#,
            Sha256::of(b"LICENSE").hex(),
            Sha256::of(b"soft_prompts/s.pt").hex()
        );
        assert_eq!(made.text(), expected);
        // The canonical text, written out by hand.
        let hashed = format!(
            r#"{{"author":"me","base_models":[{{"adapters":[{{"_comment":"é","path":"adapter_model.safetensors","sha256":"{weights}","size_bytes":7}}],"name":"dir/B"}}],"integrity":{{"publisher":"me","signature_algorithm":"ed25519"}},"name":"e","package":{{"archive":"tar","compression":"gzip","format_version":1,"level":6}},"soft_prompts":[{{"path":"soft_prompts/s.pt"}}],"version":"1.0.0","x":0.00005}}"#
        );
        assert_eq!(made.manifest_sha256(), Sha256::of(hashed.as_bytes()));
    }

    #[test]
    fn a_signature_changes_no_hash_and_covers_the_key() {
        let plain = make(TWO, Some("A"), None).expect("composed");
        let keyed = make(TWO, Some("A"), Some("ed25519:00")).expect("composed");
        assert_ne!(plain.manifest_sha256(), keyed.manifest_sha256());
        assert!(keyed.message().starts_with("LICENSE:") && !keyed.message().ends_with('\n'));
        assert_eq!(keyed.message().lines().count(), 4);
        let signed = keyed.clone().with_signature("aa").with_signature("bb");
        assert_eq!(signed.message(), keyed.message());
        let lines = "    \"pubkey\": \"ed25519:00\",\n    \"signature\": \"bb\",\n    \"files\": {";
        assert!(signed.text().contains(lines), "{}", signed.text());
        let mut stripped = signed.root().clone();
        let integrity = stripped.get_mut("integrity").expect("there");
        assert!(integrity.remove("files").is_some() && integrity.remove("signature").is_some());
        assert_eq!(Sha256::of(canonical(&stripped).as_bytes()), signed.manifest_sha256());
    }

    #[test]
    fn what_disagrees_or_is_not_there_is_refused() {
        let wrong = TWO.replace(r#""sha256":"""#, r#""sha256":"adapter_hash""#);
        assert!(matches!(make(&wrong, Some("A"), None), Err(Error::Integrity { .. })));
        let wrong = TWO.replace(r#""sha256":"""#, r#""size_bytes":8"#);
        assert!(matches!(make(&wrong, Some("A"), None), Err(Error::Integrity { .. })));
        let same = Sha256::of(b"adapter_model.safetensors").hex().to_uppercase();
        let same = TWO.replace(r#""sha256":"""#, &format!(r#""sha256":"sha256:{same}""#));
        let zero = TWO.replace("8.0}", "8.0,\"size_bytes\":0}");
        let text = |manifest: &str| make(manifest, Some("A"), None).map(|made| made.text()).expect("composed");
        assert_eq!(text(&same), text(&zero));
        assert!(matches!(make(TWO, Some("C"), None), Err(Error::Usage { .. })));
        assert!(matches!(make(TWO, None, None), Err(Error::Bug(_))));
    }
}
