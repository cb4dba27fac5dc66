//! `keygen`: a new Ed25519 key pair in two files.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{Error, Result};
use crate::format::signature::{PrivateKey, PublicKey};
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
    let public = output.with_extension("pub");
    if public == output {
        return Err(Error::usage_help(
            format!("`{}` is the name of a public key", output.display()),
            "name the private key, for example `publisher.pem`; the public one comes to lie beside it",
        ));
    }
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

/// The private key in this file.
pub fn private_key(path: &Path) -> Result<PrivateKey> {
    let bytes = keys::read_private(path)?;
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
