//! `HostPath`: a path outside of packages, as written, and the folder it is relative to; and where the signing key is.

use std::path::{Path, PathBuf};

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use crate::base::RelPath;
use crate::spec::read::Reader;
use crate::spec::value::{Fault, Value, quoted};

/// The folder that a relative path is relative to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// This folder of the repo; `None` is its root.
    Repo(Option<RelPath>),
    /// The folder the program runs in: flags and variables.
    Working,
    /// The folder of the user's own configuration.
    User,
}

/// The folders of this machine, which spec itself does not know.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The repo's root.
    pub repo: &'a Path,
    /// The folder the program runs in.
    pub working: &'a Path,
    /// The folder of the user's own configuration.
    pub user: &'a Path,
    /// The user's home, for `~`.
    pub home: Option<&'a Path>,
}

/// A path as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath {
    /// The text.
    pub text: String,
    /// What it is relative to, unless it is absolute or begins with `~/`.
    pub base: Base,
}

impl HostPath {
    /// The path on this machine; `None` where it begins with `~` and there is no home.
    pub fn resolve(&self, places: &Places<'_>) -> Option<PathBuf> {
        if let Some(below) = self.text.strip_prefix('~') {
            return Some(places.home?.join(below.trim_start_matches('/')));
        }
        let base = match &self.base {
            Base::Repo(None) => places.repo.to_path_buf(),
            Base::Repo(Some(folder)) => folder.under(places.repo),
            Base::Working => places.working.to_path_buf(),
            Base::User => places.user.to_path_buf(),
        };
        // `dist` and `./dist` are one folder, and messages show it.
        Some(base.join(&self.text).components().collect())
    }
}

impl Value for HostPath {
    const EXPECTED: &'static str = "a path (a string)";

    fn from_text(text: &str, base: &Base) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new("the path is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(Fault::new("the path holds a control character"));
        }
        if text.starts_with('~') && text != "~" && !text.starts_with("~/") {
            return Err(Fault::new(format!("`{text}` names another user's home")).help("write the path in full"));
        }
        Ok(Self { text: text.to_owned(), base: base.clone() })
    }

    fn show(&self) -> String {
        let absolute = self.text.starts_with(['/', '~']) || self.text.get(1..2) == Some(":");
        match &self.base {
            // As it would stand in the root's Expertfile.
            Base::Repo(Some(folder)) if !absolute => quoted(&format!("{folder}/{}", self.text)),
            _ => quoted(&self.text),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// Where the private key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// From nowhere.
    None,
    /// From a PEM file.
    File(HostPath),
    /// From an environment variable that holds the PEM text.
    Env(String),
}

impl Value for KeySource {
    const EXPECTED: &'static str = "a path, or `{ env = \"NAME\" }`";

    fn from_text(text: &str, base: &Base) -> Result<Self, Fault> {
        HostPath::from_text(text, base).map(Self::File)
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => reader.text(text, value.span()),
            DeValue::Table(_) => {
                let mut table = crate::spec::expertfile::KeyTable::default();
                reader.table(&mut table, value);
                match table.env {
                    Some(name) => Some(Self::Env(name.value.0)),
                    None => reader.bad(value.span(), "`env` is missing".to_owned(), None),
                }
            }
            _ => reader.mistyped(value, Self::EXPECTED),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::None => quoted(""),
            Self::File(path) => path.show(),
            Self::Env(name) => format!("{{ env = {} }}", quoted(name)),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<crate::spec::expertfile::KeyTable>();
        json_schema!({ "anyOf": [{ "type": "string", "minLength": 1 }, table] })
    }
}

/// The name of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvName(pub String);

impl Value for EnvName {
    const EXPECTED: &'static str = "a variable's name (a string)";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        let fine = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if text.is_empty() || !fine || text.as_bytes()[0].is_ascii_digit() {
            return Err(Fault::new(format!("`{text}` cannot be the name of an environment variable")));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" })
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Base, HostPath, Places};
    use crate::base::RelPath;
    use crate::spec::value::Value;

    #[test]
    fn paths_are_relative_to_where_they_stand() {
        let places = Places {
            repo: Path::new("/repo"),
            working: Path::new("/here"),
            user: Path::new("/etc/me"),
            home: Some(Path::new("/home/me")),
        };
        let member = Base::Repo(Some(RelPath::new("experts/sql").unwrap()));
        for (text, base, expected) in [
            ("dist", Base::Repo(None), "/repo/dist"),
            ("./dist/", member.clone(), "/repo/experts/sql/dist"),
            ("dist", Base::Working, "/here/dist"),
            ("k.pem", Base::User, "/etc/me/k.pem"),
            ("/abs", member, "/abs"),
            ("~/k.pem", Base::Working, "/home/me/k.pem"),
            ("~", Base::Working, "/home/me"),
        ] {
            let path = HostPath::from_text(text, &base).unwrap();
            assert_eq!(path.resolve(&places), Some(PathBuf::from(expected)), "{text}");
        }
        let homeless = Places { home: None, ..places };
        assert_eq!(HostPath::from_text("~/x", &Base::User).unwrap().resolve(&homeless), None);
        assert!(HostPath::from_text("~bob/x", &Base::User).is_err());
    }
}
