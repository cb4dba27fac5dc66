//! `keygen`: a new key pair in two files, and the public half of a private key that exists.

use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::base::{Error, Result};
use crate::format::model_signing::ModelKey;
use crate::format::signature::{NotAKey, PrivateKey, PublicKey};
use crate::store::keys;

/// A pair that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyPair {
    /// Where the private key lies, as PKCS#8 PEM.
    pub private: PathBuf,
    /// Where the public key lies, as `ed25519:<hex>`.
    pub public: PathBuf,
    /// The public key.
    pub key: PublicKey,
    /// Is the private key new? Else it was there without its public half, which was written.
    pub fresh: bool,
}

/// Makes a pair: the private key at `output` (mode 0600), the public one beside it with the ending `.pub`. A private key
/// that lies there alone, as a killed run leaves it, stays and gets its public half.
pub fn keygen(output: &Path) -> Result<KeyPair> {
    let public = beside(output)?;
    let alone = !keys::is_there(&public) && keys::is_there(output);
    if alone && let Ok(key) = private_key(output) {
        keys::write_public(&public, line(&key.public()).as_bytes())?;
        return Ok(KeyPair { private: output.to_path_buf(), public, key: key.public(), fresh: false });
    }
    let key = PrivateKey::from_seed(&*keys::fresh_seed()?);
    keys::write_pair((output, key.to_pem().as_bytes()), (&public, line(&key.public()).as_bytes()))?;
    Ok(KeyPair { private: output.to_path_buf(), public, key: key.public(), fresh: true })
}

/// A public key as its file has it.
fn line(key: &PublicKey) -> String {
    format!("{key}\n")
}

/// The public half of a private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicHalf {
    /// Where it lies.
    pub public: PathBuf,
    /// The public key: `ed25519:<hex>`, or an SPKI PEM.
    pub key: String,
    /// Was it written now? Else it lay there already.
    pub written: bool,
}

/// Makes a P-256 pair for model signatures: the private key at `output` as PKCS#8 PEM (mode 0600), the public one beside it
/// as SPKI PEM.
pub fn model_pair(output: &Path) -> Result<PublicHalf> {
    let public = beside(output)?;
    let key = loop {
        // One seed in 2^32 is not the number of a key.
        if let Some(key) = ModelKey::from_seed(&*keys::fresh_seed()?) {
            break key;
        }
    };
    let text = key.public_pem();
    keys::write_pair((output, key.to_pem().as_bytes()), (&public, text.as_bytes()))?;
    Ok(PublicHalf { public, key: text.trim_end().to_owned(), written: true })
}

/// Writes the public half of a private key of either kind beside it, where it is not there.
pub fn public_of(private: &Path) -> Result<PublicHalf> {
    let public = beside(private)?;
    let bytes = private_bytes(private)?;
    let text = match (PrivateKey::read(&bytes), ModelKey::read(&bytes)) {
        (Ok(key), _) => format!("{}\n", key.public()),
        (_, Ok(key)) => key.public_pem(),
        (Err(e), _) => return Err(Error::usage(format!("`{}`: {e}", private.display()))),
    };
    let written = keys::write_public(&public, text.as_bytes())?;
    Ok(PublicHalf { public, key: text.trim_end().to_owned(), written })
}

/// Where the public half of this private key lies.
fn beside(private: &Path) -> Result<PathBuf> {
    let public = private.with_extension("pub");
    if public == private {
        return Err(Error::usage_help(
            format!("`{}` is the name of a public key", private.display()),
            "name the private key, for example `publisher.pem`; the public one comes to lie beside it",
        ));
    }
    Ok(public)
}

/// The P-256 key for model signatures in this file.
pub fn model_key(path: &Path) -> Result<ModelKey> {
    let bytes = private_bytes(path)?;
    ModelKey::read(&bytes).map_err(|e| Error::usage(format!("`{}`: {e}", path.display())))
}

/// What a private key file of either kind holds.
fn private_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    keys::read_private(path, &|bytes| matches!(PrivateKey::read(bytes), Err(NotAKey::PublicForPrivate)))
}

/// The private key in this file.
pub fn private_key(path: &Path) -> Result<PrivateKey> {
    let bytes = private_bytes(path)?;
    PrivateKey::read(&bytes).map_err(|e| Error::usage(format!("`{}`: {e}", path.display())))
}

/// The private key in this value of the environment variable `name`.
pub fn private_key_of(name: &str, value: &str) -> Result<PrivateKey> {
    PrivateKey::read(value.as_bytes()).map_err(|e| Error::usage(format!("`{name}` in the environment: {e}")))
}

/// A public key: its text, or the file that holds it.
pub fn public_key(key: &str) -> Result<PublicKey> {
    if key.starts_with("ed25519:") {
        return key.parse().map_err(|e| Error::usage(format!("`{key}`: {e}")));
    }
    PublicKey::read(&keys::read_public(Path::new(key))?).map_err(|e| Error::usage(format!("`{key}`: {e}")))
}
