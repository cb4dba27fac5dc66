//! `Trusted`: a public key whose signatures count, and for what.

use std::path::Path;

use crate::base::{Error, Result};
use crate::format::model_signing::ModelPublicKey;
use crate::format::signature::PublicKey;
use crate::store::keys;

/// A trusted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The key.
    pub key: Key,
    /// Whose it is: for the report.
    pub name: String,
    /// Where it stands: a flag, or a place in a settings file.
    pub origin: String,
}

/// Kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Ed25519: of packages and their provenance.
    Package(PublicKey),
    /// P-256: of OpenSSF model signatures.
    Model(ModelPublicKey),
}

impl Trusted {
    /// The key, where it is one of packages.
    pub fn package(&self) -> Option<PublicKey> {
        if let Key::Package(key) = self.key { Some(key) } else { None }
    }

    /// The key, where it is one of model signatures.
    pub fn model(&self) -> Option<&ModelPublicKey> {
        if let Key::Model(key) = &self.key { Some(key) } else { None }
    }
}

impl From<PublicKey> for Key {
    fn from(key: PublicKey) -> Self {
        Self::Package(key)
    }
}

impl From<ModelPublicKey> for Key {
    fn from(key: ModelPublicKey) -> Self {
        Self::Model(key)
    }
}

/// A public key of either kind: its text, or the file that holds it.
pub fn trusted_key(key: &str) -> Result<Key> {
    if key.starts_with("ed25519:") {
        return key.parse().map(Key::Package).map_err(|e| Error::usage(format!("`{key}`: {e}")));
    }
    let bytes = keys::read_public(Path::new(key))?;
    match (PublicKey::read(&bytes), ModelPublicKey::read(&bytes)) {
        (Ok(key), _) => Ok(key.into()),
        (_, Some(key)) => Ok(key.into()),
        (Err(e), _) => Err(Error::usage(format!("`{key}`: {e}"))),
    }
}
