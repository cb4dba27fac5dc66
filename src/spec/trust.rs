//! `TrustedKey`: a public key whose signatures count, by its text or the file that holds it.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::base::{Error, RelPath};
use crate::format::signature::PublicKey;
use crate::spec::Folder;
use crate::spec::expertfile::{self, Expertfile, TrustTable};
use crate::spec::host_path::{Base, HostPath};
use crate::spec::origin::Setting;
use crate::spec::request::Request;
use crate::spec::value::{Fault, Value, quoted};

/// A trusted key, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustedKey {
    /// The key itself.
    Key(PublicKey),
    /// The file that holds it.
    File(HostPath),
}

impl Value for TrustedKey {
    const EXPECTED: &'static str = "`ed25519:` and 64 hex digits, or the path of a public key (a string)";

    fn from_text(text: &str, base: &Base) -> Result<Self, Fault> {
        if !text.starts_with("ed25519:") {
            return HostPath::from_text(text, base).map(Self::File);
        }
        let help = "`expert-build keygen` prints a public key, and writes it beside the private one";
        text.parse().map(Self::Key).map_err(|e| Fault::new(format!("`{text}`: {e}")).help(help))
    }

    fn show(&self) -> String {
        match self {
            Self::Key(key) => quoted(&key.to_string()),
            Self::File(path) => path.show(),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "examples": ["ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "keys/publisher.pub"],
        })
    }
}

/// The trust lists together, the stronger first: under one name the stronger says whose key it is.
pub fn merged(lists: &[&TrustTable]) -> BTreeMap<String, Setting<TrustedKey>> {
    let mut all = BTreeMap::new();
    for (name, key) in lists.iter().flat_map(|list| &list.keys) {
        all.entry(name.clone()).or_insert_with(|| key.clone());
    }
    all
}

/// The trust list of the Expertfile in this folder and of the user's configuration. The experts that the file speaks of
/// need not be there.
pub fn of(root: &dyn Folder, request: &Request) -> Result<BTreeMap<String, Setting<TrustedKey>>, Error> {
    let user = request.user()?;
    let name = RelPath::new(expertfile::NAME).expect("a relative path");
    let file = match root.read(&name)? {
        Some(text) => Expertfile::read(expertfile::NAME, &text, None).map_err(Error::Expertfile)?,
        None => Expertfile::default(),
    };
    Ok(merged(&[&file.trust, &user.trust]))
}
