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
/// The kind of bundle that is written.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Both of its names: the second is the one that it was born with.
const MEDIA_TYPES: [&str; 2] = [MEDIA_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3"];

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

/// A public P-256 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelPublicKey(VerifyingKey);

impl ModelPublicKey {
    /// Reads an SPKI PEM; `None` where it is none, or of another kind of key.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        VerifyingKey::from_public_key_pem(std::str::from_utf8(bytes).ok()?.trim()).ok().map(Self)
    }

    /// By what bundles name it: the SHA-256 of its PEM, as `keygen` writes that.
    pub fn hint(&self) -> Sha256 {
        Sha256::of(self.0.to_public_key_pem(LineEnding::LF).expect("a point always encodes").as_bytes())
    }
}

/// As its file is named by `sha256sum`.
impl fmt::Display for ModelPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p256:{}", self.hint())
    }
}

/// A bundle that was read. What it says counts for nothing until [`is_by`](Self::is_by) says who says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Every file that it vouches for.
    pub files: BTreeMap<String, Sha256>,
    /// Paths for which it does not vouch, and which may hold anything.
    pub ignored: Vec<String>,
    /// How it names the key that signed it; none where a certificate takes the key's place.
    pub hint: Option<String>,
    envelope: Envelope,
}

impl Bundle {
    /// Reads a bundle. The error is a phrase.
    pub fn read(bundle: &str) -> Result<Self, String> {
        let bundle: Value = serde_json::from_str(bundle).map_err(|e| format!("is not JSON: {e}"))?;
        if !bundle["mediaType"].as_str().is_some_and(|kind| MEDIA_TYPES.contains(&kind)) {
            return Err("is no sigstore bundle of version 0.3".into());
        }
        let hint = bundle["verificationMaterial"]["publicKey"]["hint"].as_str().map(str::to_owned);
        let envelope = Envelope::read(&bundle["dsseEnvelope"])?;
        let statement: Value = serde_json::from_str(&envelope.statement)
            .map_err(|e| format!("holds a statement that is not JSON: {e}"))?;
        if statement["predicateType"].as_str() != Some(PREDICATE) {
            return Err("does not state a model's files".into());
        }
        let predicate = &statement["predicate"];
        let how = &predicate["serialization"];
        for (key, known) in [("method", "files"), ("hash_type", "sha256")] {
            match how[key].as_str() {
                Some(value) if value == known => {}
                Some(value) => {
                    let value = value.escape_debug();
                    return Err(format!("hashes files in a way that is not known here (`{key}` is `{value}`)"));
                }
                None => return Err(format!("does not say how files were hashed (`{key}`)")),
            }
        }
        let mut root = sha2::Sha256::new();
        let mut files = BTreeMap::new();
        for resource in predicate["resources"].as_array().ok_or("names no files")? {
            let known = resource["algorithm"].as_str() == Some("sha256");
            let hash: Option<Sha256> = resource["digest"].as_str().filter(|_| known).and_then(|hash| hash.parse().ok());
            let (Some(name), Some(hash)) = (resource["name"].as_str(), hash) else {
                return Err("names a file without its SHA-256".into());
            };
            root.update(hash.bytes());
            if files.insert(name.to_owned(), hash).is_some() {
                return Err(format!("names `{}` twice", name.escape_debug()));
            }
        }
        let root = Sha256::new(root.finalize().into()).hex();
        let subjects = statement["subject"].as_array().map_or(&[][..], Vec::as_slice);
        if !matches!(subjects, [one] if one["digest"]["sha256"].as_str() == Some(&root)) {
            return Err("contradicts itself: its subject is not the hash of its files".into());
        }
        let ignored = how["ignore_paths"].as_array().map_or(&[][..], Vec::as_slice);
        let ignored = ignored.iter().filter_map(|path| path.as_str().map(str::to_owned)).collect();
        Ok(Self { files, ignored, hint, envelope })
    }

    /// Did this key sign it?
    pub fn is_by(&self, key: &ModelPublicKey) -> bool {
        let message = dsse::message(&self.envelope.statement);
        let signatures = self.envelope.signatures.iter();
        let mut signatures = signatures.filter_map(|signed| DerSignature::from_bytes(&signed.signature).ok());
        signatures.any(|signature| key.0.verify(&message, &signature).is_ok())
    }

    /// Does it leave this file open?
    pub fn ignores(&self, path: &str) -> bool {
        self.ignored
            .iter()
            .any(|ignored| path.strip_prefix(&**ignored).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Bundle, Model, ModelKey, ModelPublicKey, bundle};
    use crate::base::Sha256;
    use crate::format::dsse::{Envelope, Signed, message};

    fn key(n: u8) -> ModelKey {
        ModelKey::from_seed(&[n; 32]).expect("a small scalar")
    }

    fn public(n: u8) -> ModelPublicKey {
        ModelPublicKey::read(key(n).public_pem().as_bytes()).expect("its own form")
    }

    #[test]
    fn a_bundle_is_by_its_key_alone_and_is_the_same_every_time() {
        let files = BTreeMap::from([("a/b".to_owned(), Sha256::of(b"1")), ("c".to_owned(), Sha256::of(b"2"))]);
        let ignored = ["d".to_owned()];
        let made = bundle(&Model { name: "m", files: &files, ignored: &ignored }, &key(1));
        assert_eq!(made, bundle(&Model { name: "m", files: &files, ignored: &ignored }, &key(1)));
        let read = Bundle::read(&made).unwrap();
        assert_eq!(read.files, files);
        assert!(read.is_by(&public(1)) && !read.is_by(&public(2)));
        assert_eq!(read.hint, Some(public(1).hint().hex()));
        for (path, ignored) in [("d", true), ("d/e", true), ("de", false), ("a/b", false)] {
            assert_eq!(read.ignores(path), ignored, "{path}");
        }
        let forged = made.replace("\"payload\":\"eyJ", "\"payload\":\"eyK");
        assert_ne!(forged, made);
        assert!(!Bundle::read(&forged).is_ok_and(|bundle| bundle.is_by(&public(1))));
        for text in ["", "ed25519:00", &crate::format::signature::PrivateKey::from_seed(&[1; 32]).public().to_string()]
        {
            assert_eq!(ModelPublicKey::read(text.as_bytes()), None, "{text}");
        }
    }

    /// Whoever has the key may sign anything: what makes no sense is refused all the same.
    #[test]
    fn a_bundle_that_makes_no_sense_is_refused() {
        let files = BTreeMap::from([("a".to_owned(), Sha256::of(b"1")), ("b".to_owned(), Sha256::of(b"2"))]);
        let good = super::statement(&Model { name: "m", files: &files, ignored: &[] });
        let read = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            let statement = good.replace(from, to);
            let signature: p256::ecdsa::DerSignature =
                p256::ecdsa::signature::Signer::sign(&key(1).0, &message(&statement));
            let signed = Signed { key: String::new(), signature: signature.as_bytes().to_vec() };
            let envelope = Envelope { statement, signatures: vec![signed] };
            let bundle = serde_json::json!({"mediaType": super::MEDIA_TYPE, "dsseEnvelope": envelope.value()});
            Bundle::read(&bundle.to_string())
        };
        let fine = read("\"m\"", "\"n\"").unwrap();
        assert!(fine.is_by(&public(1)) && fine.hint.is_none());
        let hash = Sha256::of(b"2").hex();
        for (from, to, says) in [
            ("signature/v1.0", "signature/v2.0", "does not state a model's files"),
            ("\"method\":\"files\"", "\"method\":\"shards\"", "`method` is `shards`"),
            ("\"hash_type\":\"sha256\"", "\"hash_type\":\"blake2b\"", "`hash_type` is `blake2b`"),
            ("\"hash_type\":\"sha256\",", "", "does not say how files were hashed"),
            ("\"resources\":", "\"others\":", "names no files"),
            ("\"name\":\"b\"", "\"name\":\"a\"", "names `a` twice"),
            ("\"name\":\"b\"", "\"name\":1", "without its SHA-256"),
            (&*hash, "12", "without its SHA-256"),
            (&*hash, &Sha256::of(b"3").hex(), "its subject is not the hash of its files"),
        ] {
            assert!(read(from, to).unwrap_err().contains(says), "{from}");
        }
        for (text, says) in [("", "not JSON"), ("{}", "no sigstore bundle")] {
            assert!(Bundle::read(text).unwrap_err().contains(says), "{text}");
        }
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
