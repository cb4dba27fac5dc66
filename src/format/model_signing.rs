//! `Bundle`: an OpenSSF model signature: the hashes of a model's files, signed with a P-256 key, in a sigstore bundle.
//!
//! ```text
//! {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
//!  "verificationMaterial": {"publicKey": {"hint": "<SHA-256 of the public key's PEM>"}, "tlogEntries": []},
//!  "dsseEnvelope": <DSSE, signed with ECDSA P-256 over SHA-256, as ASN.1 DER>}
//! ```
//! The statement is an in-toto Statement v1 with the predicate `https://model_signing/signature/v1.0`: `serialization`
//! says how the files were hashed, `resources` is each file with its SHA-256, sorted by name, and the one subject is the
//! SHA-256 of those hashes, as bytes, one after the other. Nonces are RFC 6979's: equal files give equal bundles.
//!
//! Private keys: PKCS#8 or SEC 1 PEM. Public keys: SPKI PEM.
//! Sources: OpenSSF Model Signing 1.0, sigstore bundle 0.3, and PyPI's `model-signing` 1.1, which the tests run.

use std::collections::BTreeMap;
use std::fmt;

use p256::SecretKey;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding,
};
use serde_json::{Value, json};
use sha2::Digest as _;
use zeroize::Zeroizing;

use crate::base::Sha256;
use crate::format::dsse::{self, Envelope, Signed};

/// What the name of a package or folder is followed by.
pub const ENDING: &str = ".sigstore.json";
/// The kind of statement.
const PREDICATE: &str = "https://model_signing/signature/v1.0";
/// The kind of bundle.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A private P-256 key. Wiped from memory when dropped, never shown.
pub struct ModelKey(SigningKey);

/// What is signed of a model.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    /// Its name: that of its folder.
    pub name: &'a str,
    /// Every file with its hash, by its path in the folder.
    pub files: &'a BTreeMap<String, Sha256>,
    /// Paths in the folder that do not count.
    pub ignored: &'a [String],
}

impl ModelKey {
    /// The key of these bytes; `None` for the few that are no scalar of the curve.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        SecretKey::from_slice(seed).ok().map(|key| Self(key.into()))
    }

    /// Reads a PEM. The error is a phrase.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not a private key: PEM is expected")?.trim();
        if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY") {
            return Err("the private key is encrypted; decrypt it first (`openssl pkcs8 -in KEY -out PLAIN`)".into());
        }
        if text.contains("-----BEGIN PUBLIC KEY") {
            return Err("this is a public key; signing needs the private one".into());
        }
        // OpenSSL writes the curve's name in a block of its own before the key.
        let key = match text.find("-----BEGIN EC PRIVATE KEY") {
            Some(at) => SecretKey::from_sec1_pem(&text[at..]).ok(),
            None => SecretKey::from_pkcs8_pem(text).ok(),
        };
        let key = key.ok_or("not a P-256 key: model signatures are made with ECDSA on that curve; `expert-build keygen --algorithm p256` makes one")?;
        Ok(Self(key.into()))
    }

    /// PKCS#8 PEM.
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.0.to_pkcs8_pem(LineEnding::LF).expect("a scalar always encodes")
    }

    /// Its public half, as SPKI PEM.
    pub fn public_pem(&self) -> String {
        self.0.verifying_key().to_public_key_pem(LineEnding::LF).expect("a point always encodes")
    }
}

/// The hash of the public half alone: a secret must not get into a log.
impl fmt::Debug for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelKey(for {})", Sha256::of(self.public_pem().as_bytes()))
    }
}

/// The bundle, as JSON on one line.
pub fn bundle(model: &Model<'_>, key: &ModelKey) -> String {
    let statement = statement(model);
    let signature: DerSignature = key.0.sign(&dsse::message(&statement));
    let signed = Signed { key: String::new(), signature: signature.as_bytes().to_vec() };
    let envelope = Envelope { statement, signatures: vec![signed] };
    let hint = Sha256::of(key.public_pem().as_bytes()).hex();
    let bundle = json!({
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": envelope.value(),
    });
    format!("{bundle}\n")
}

fn statement(model: &Model<'_>) -> String {
    let mut root = sha2::Sha256::new();
    let mut resources = Vec::with_capacity(model.files.len());
    for (name, hash) in model.files {
        root.update(hash.bytes());
        resources.push(json!({"name": name, "algorithm": "sha256", "digest": hash.hex()}));
    }
    let root = Sha256::new(root.finalize().into());
    let mut serialization = json!({"method": "files", "hash_type": "sha256", "allow_symlinks": false});
    if !model.ignored.is_empty() {
        serialization["ignore_paths"] = model.ignored.into();
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": model.name, "digest": {"sha256": root.hex()}}],
        "predicateType": PREDICATE,
        "predicate": {"serialization": serialization, "resources": resources},
    })
    .to_string()
}

/// The files that a bundle vouches for, if this public key (SPKI PEM) signed it. The error is a phrase.
pub fn open(bundle: &str, public_pem: &str) -> Result<BTreeMap<String, Sha256>, String> {
    let key = VerifyingKey::from_public_key_pem(public_pem.trim())
        .map_err(|_| "not a public P-256 key: SPKI PEM is expected".to_owned())?;
    let bundle: Value = serde_json::from_str(bundle).map_err(|e| format!("the bundle is not JSON: {e}"))?;
    if bundle["mediaType"].as_str() != Some(MEDIA_TYPE) {
        return Err("this is no sigstore bundle of version 0.3".into());
    }
    let envelope = Envelope::read(&bundle["dsseEnvelope"])?;
    let message = dsse::message(&envelope.statement);
    let signatures = envelope.signatures.iter().filter_map(|s| DerSignature::from_bytes(&s.signature).ok());
    if !signatures.into_iter().any(|signature| key.verify(&message, &signature).is_ok()) {
        return Err("the bundle is not signed by this key".into());
    }
    let statement: Value =
        serde_json::from_str(&envelope.statement).map_err(|e| format!("the statement is not JSON: {e}"))?;
    if statement["predicateType"].as_str() != Some(PREDICATE) {
        return Err("the bundle does not state a model's files".into());
    }
    let resources = statement["predicate"]["resources"].as_array().ok_or("the statement names no files")?;
    let file = |file: &Value| {
        let known = file["algorithm"].as_str() == Some("sha256");
        let hash = file["digest"].as_str().filter(|_| known).and_then(|hash| hash.parse().ok());
        Some((file["name"].as_str()?.to_owned(), hash?))
    };
    resources.iter().map(|it| file(it).ok_or_else(|| "a file of the statement has no SHA-256".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Model, ModelKey, bundle, open};
    use crate::base::Sha256;

    fn key(n: u8) -> ModelKey {
        ModelKey::from_seed(&[n; 32]).expect("a small scalar")
    }

    #[test]
    fn a_bundle_opens_for_its_key_alone_and_is_the_same_every_time() {
        let files = BTreeMap::from([("a/b".to_owned(), Sha256::of(b"1")), ("c".to_owned(), Sha256::of(b"2"))]);
        let model = Model { name: "m", files: &files, ignored: &[] };
        let made = bundle(&model, &key(1));
        assert_eq!(made, bundle(&model, &key(1)));
        assert_eq!(open(&made, &key(1).public_pem()).as_ref(), Ok(&files));
        assert!(open(&made, &key(2).public_pem()).unwrap_err().contains("not signed by this key"));
        let forged = made.replace("\"payload\":\"eyJ", "\"payload\":\"eyK");
        assert_ne!(forged, made);
        assert!(open(&forged, &key(1).public_pem()).is_err());
        for (text, says) in [("", "not JSON"), ("{}", "no sigstore bundle")] {
            assert!(open(text, &key(1).public_pem()).unwrap_err().contains(says), "{text}");
        }
        assert!(open(&made, "ed25519:00").unwrap_err().contains("not a public P-256 key"));
    }

    #[test]
    fn the_subject_is_the_hash_of_the_hashes() {
        let files = BTreeMap::from([("a".to_owned(), Sha256::of(b"1"))]);
        let ignored = [".git".to_owned()];
        let statement = super::statement(&Model { name: "m", files: &files, ignored: &ignored });
        let value: serde_json::Value = serde_json::from_str(&statement).unwrap();
        assert_eq!(value["subject"][0]["digest"]["sha256"], Sha256::of(Sha256::of(b"1").bytes()).hex());
        assert_eq!(value["predicate"]["serialization"]["ignore_paths"][0], ".git");
    }

    /// RFC 5915 form of the same key, as `openssl ec` writes it, with the block of `openssl ecparam -genkey` before it.
    #[test]
    fn every_form_of_a_key_is_read_and_what_is_none_is_named() {
        let key = key(3);
        let pem = key.to_pem();
        let again = ModelKey::read(pem.as_bytes()).unwrap();
        assert_eq!(again.public_pem(), key.public_pem());
        let sec1 = p256::SecretKey::from_slice(&[3; 32]).unwrap().to_sec1_pem(p256::pkcs8::LineEnding::LF).unwrap();
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let both = format!("{parameters}{}", &*sec1);
        assert_eq!(ModelKey::read(both.as_bytes()).unwrap().public_pem(), key.public_pem());
        let ed25519 = crate::format::signature::PrivateKey::from_seed(&[1; 32]).to_pem();
        for (text, says) in [
            ("", "not a P-256 key"),
            (ed25519.as_str(), "not a P-256 key"),
            (&key.public_pem(), "a public key"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "encrypted"),
        ] {
            assert!(ModelKey::read(text.as_bytes()).unwrap_err().contains(says), "{text}");
        }
        let shown = format!("{key:?}");
        assert!(!shown.contains("PRIVATE") && shown.starts_with("ModelKey(for "), "{shown}");
    }
}
