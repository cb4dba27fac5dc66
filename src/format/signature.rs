//! `PrivateKey`, `PublicKey`, `Signature`: Ed25519 over the hashes of a package, and the forms in which keys are kept.
//!
//! What is signed: one line `path:hex` for each entry of `integrity.files`, sorted by the bytes of the path, joined by
//! `\n`, without a final newline (RFC 8032 Ed25519, no context, no prehash).
//!
//! Private keys: PKCS#8 PEM (RFC 8410; written as version 1, which every OpenSSL reads), 32 raw bytes (what the older
//! `expert-cli keygen` wrote), or 64 hex digits. Public keys: `ed25519:<hex>`, 64 hex digits, SPKI PEM, or 32 raw bytes.
//! Knows nothing of files, manifests or trust.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, KeypairBytes};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::base::digest::{hex, unhex};
use crate::base::{RelPath, Sha256};

/// The one algorithm that packages are signed with, as `integrity.signature_algorithm` names it.
pub const ALGORITHM: &str = "ed25519";

/// What is signed: `path:hex` lines in byte order of the paths, without a final newline.
pub fn message(files: &BTreeMap<RelPath, Sha256>) -> String {
    let lines: Vec<String> = files.iter().map(|(path, hash)| format!("{path}:{hash}")).collect();
    lines.join("\n")
}

/// Why some bytes are not a key or a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// A private key was expected.
    #[error("not a private key: PKCS#8 PEM, 32 raw bytes or 64 hex digits are expected")]
    Private,
    /// A public key was expected.
    #[error("not a public key: `ed25519:` and 64 hex digits, or an SPKI PEM, are expected")]
    Public,
    /// A public key stands where a private one is needed.
    #[error("this is a public key; signing needs the private one")]
    PublicForPrivate,
    /// A private key stands where a public one is needed.
    #[error("this is a private key; give the public one (the `.pub` file beside it)")]
    PrivateForPublic,
    /// The private key is locked with a passphrase.
    #[error("the private key is encrypted; decrypt it first (`openssl pkcs8 -in KEY -out PLAIN`)")]
    Encrypted,
    /// OpenSSH's own container.
    #[error("OpenSSH's key format is not read; make a key with `expert-build keygen`")]
    OpenSsh,
    /// PEM of another kind of key, or damaged.
    #[error("the PEM does not hold an Ed25519 key")]
    NotEd25519,
    /// A point of small order: anyone could sign for it.
    #[error("the public key is weak: signatures under it prove nothing")]
    Weak,
    /// Not 128 hex digits.
    #[error("not a signature: 128 hex digits are expected")]
    Signature,
}

/// A private Ed25519 key. Wiped from memory when dropped, never shown.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// The key of this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads any of the private forms.
    pub fn read(bytes: &[u8]) -> Result<Self, NotAKey> {
        if let Ok(seed) = <&[u8; 32]>::try_from(bytes) {
            return Ok(Self::from_seed(seed));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NotAKey::Private)?.trim();
        if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY") {
            return Err(NotAKey::Encrypted);
        }
        if text.contains("-----BEGIN OPENSSH") {
            return Err(NotAKey::OpenSsh);
        }
        if text.starts_with("ed25519:") || text.contains("-----BEGIN PUBLIC KEY") {
            return Err(NotAKey::PublicForPrivate);
        }
        if text.starts_with("-----BEGIN") {
            return SigningKey::from_pkcs8_pem(text).map(Self).map_err(|_| NotAKey::NotEd25519);
        }
        let seed = Zeroizing::new(unhex::<32>(text).ok_or(NotAKey::Private)?);
        Ok(Self::from_seed(&seed))
    }

    /// PKCS#8 PEM.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        pair.to_pkcs8_pem(LineEnding::LF).expect("32 bytes always encode")
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs these bytes.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

/// The public half alone: a secret must not get into a log.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(for {})", self.public())
    }
}

/// A public Ed25519 key, written `ed25519:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key of these bytes, unless they are no point or a weak one.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, NotAKey> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| NotAKey::Public)?;
        if key.is_weak() { Err(NotAKey::Weak) } else { Ok(Self(key)) }
    }

    /// Reads any of the public forms.
    pub fn read(bytes: &[u8]) -> Result<Self, NotAKey> {
        if let Ok(raw) = <&[u8; 32]>::try_from(bytes) {
            return Self::from_bytes(raw);
        }
        std::str::from_utf8(bytes).map_err(|_| NotAKey::Public)?.parse()
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Does this key's owner vouch for these bytes? Strict: no malleable or mixed-order signature passes.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let text = text.trim();
        if text.contains("PRIVATE KEY-----") {
            return Err(NotAKey::PrivateForPublic);
        }
        if text.starts_with("-----BEGIN") {
            let key = VerifyingKey::from_public_key_pem(text).map_err(|_| NotAKey::NotEd25519)?;
            return Self::from_bytes(key.as_bytes());
        }
        let digits = text.strip_prefix("ed25519:").unwrap_or(text);
        Self::from_bytes(&unhex(digits).ok_or(NotAKey::Public)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", hex(self.bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An Ed25519 signature, written as 128 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature from its 64 bytes.
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub const fn bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl FromStr for Signature {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        unhex(text.trim()).map(Self).ok_or(NotAKey::Signature)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{NotAKey, PrivateKey, PublicKey, message};
    use crate::base::digest::{hex, unhex};
    use crate::base::{RelPath, Sha256};

    /// RFC 8032, section 7.1, test 2.
    const SEED: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNED_72: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    /// RFC 8410, section 10.3 and 10.1.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const SPKI: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn signs_as_rfc_8032_says() {
        let key = PrivateKey::read(SEED.as_bytes()).unwrap();
        assert_eq!(key.public().to_string(), format!("ed25519:{PUBLIC}"));
        let signature = key.sign(&[0x72]);
        assert_eq!(signature.to_string(), SIGNED_72);
        assert!(key.public().verifies(&[0x72], &SIGNED_72.parse().unwrap()));
        assert!(!key.public().verifies(&[0x73], &signature));
        let mut flipped: [u8; 64] = unhex(SIGNED_72).unwrap();
        flipped[63] ^= 0x10;
        assert!(!key.public().verifies(&[0x72], &hex(&flipped).parse().unwrap()));
    }

    #[test]
    fn every_form_of_a_key_is_read() {
        let key = PrivateKey::read(PEM.as_bytes()).unwrap();
        assert_eq!(*key.to_pem(), PEM, "written as version 1, byte for byte");
        assert_eq!(key.public(), SPKI.parse().unwrap());
        let seed: [u8; 32] = unhex(SEED).unwrap();
        assert_eq!(PrivateKey::read(&seed).unwrap().public().to_string(), format!("ed25519:{PUBLIC}"));
        for text in [format!("ed25519:{PUBLIC}\n"), PUBLIC.to_uppercase()] {
            assert_eq!(PublicKey::read(text.as_bytes()).unwrap().to_string(), format!("ed25519:{PUBLIC}"));
        }
        assert_eq!(PublicKey::read(key.public().bytes()).unwrap(), key.public());
    }

    #[test]
    fn what_is_not_a_key_is_named() {
        for (text, fault) in [
            ("", NotAKey::Private),
            ("zz", NotAKey::Private),
            (SPKI, NotAKey::PublicForPrivate),
            ("ed25519:00", NotAKey::PublicForPrivate),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", NotAKey::Encrypted),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n", NotAKey::OpenSsh),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", NotAKey::NotEd25519),
            (&PEM[..60], NotAKey::NotEd25519),
        ] {
            assert_eq!(PrivateKey::read(text.as_bytes()).map(|_| ()), Err(fault), "{text}");
        }
        let zero = "0".repeat(64);
        for (text, fault) in [
            (PEM, NotAKey::PrivateForPublic),
            ("ed25519:12", NotAKey::Public),
            (&format!("01{}", &zero[2..]), NotAKey::Weak),
            (&zero, NotAKey::Weak),
        ] {
            assert_eq!(text.parse::<PublicKey>(), Err(fault), "{text}");
        }
        assert_eq!("00".parse::<super::Signature>(), Err(NotAKey::Signature));
    }

    #[test]
    fn a_private_key_is_never_shown() {
        let shown = format!("{:?}", PrivateKey::read(SEED.as_bytes()).unwrap());
        assert!(shown.contains(PUBLIC) && !shown.contains(&SEED[..16]), "{shown}");
    }

    #[test]
    fn the_message_is_sorted_lines_without_a_final_newline() {
        let files: BTreeMap<_, _> =
            ["b", "a/b", "a-b"].map(|p| (RelPath::new(p).unwrap(), Sha256::of(b""))).into_iter().collect();
        let hash = Sha256::of(b"").hex();
        assert_eq!(message(&files), format!("a-b:{hash}\na/b:{hash}\nb:{hash}"));
    }
}
