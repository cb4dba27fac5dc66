//! `Expertfile.lock`: what each version of each package was when it was released: written on request, committed.
//!
//! TOML: `version = 1`, then a `[[package]]` for each package with `name`, `version`, `model` (where the manifest has
//! several), `sha256`, `bytes`, `signed` and `[package.inputs]`: path below the expert's folder → SHA-256.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Error, Result, Sha256};

/// Its name, beside the Expertfile.
pub const NAME: &str = "Expertfile.lock";
const VERSION: u32 = 1;
/// What to do about a lock file that cannot be read.
pub const HELP: &str = "`expert-build lock` of all experts writes it anew; or take it from the repository's history";
const HEAD: &str = "# Written by `expert-build lock`; commit it. With `--locked` a build fails where the content of a version changed.\n";

/// The lock file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// The packages, by name, version and base model.
    pub packages: BTreeMap<Id, Locked>,
}

/// Which package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The expert's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The base model, where the manifest has several.
    pub model: Option<String>,
}

/// What it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// SHA-256 of the package.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// Was it signed?
    pub signed: bool,
    /// SHA-256 of what it was made of, by path below the expert's folder.
    pub inputs: BTreeMap<String, Sha256>,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    #[serde(default, rename = "package")]
    packages: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    sha256: Sha256,
    bytes: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    signed: bool,
    #[serde(default)]
    inputs: BTreeMap<String, Sha256>,
}

impl Lock {
    /// Reads the file's text.
    pub fn read(text: &str) -> Result<Self> {
        let bad = |what: String| Error::usage_help(format!("{NAME} cannot be read: {what}"), HELP);
        #[derive(Deserialize)]
        struct Edition {
            version: u32,
        }
        let Edition { version } = toml::from_str(text).map_err(|e| bad(e.message().to_owned()))?;
        if version != VERSION {
            return Err(bad(format!("it is of version {version}, this program knows version {VERSION}")));
        }
        let file: File = toml::from_str(text).map_err(|e| bad(e.message().to_owned()))?;
        let mut lock = Self::default();
        for Entry { name, version, model, sha256, bytes, signed, inputs } in file.packages {
            let id = Id { name, version, model };
            if lock.packages.contains_key(&id) {
                return Err(bad(format!("`{}` {} stands twice", id.name, id.version)));
            }
            lock.packages.insert(id, Locked { sha256, bytes, signed, inputs });
        }
        Ok(lock)
    }

    /// The file's text: the same for the same packages.
    pub fn text(&self) -> Result<String> {
        let entry = |(id, locked): (&Id, &Locked)| Entry {
            name: id.name.clone(),
            version: id.version.clone(),
            model: id.model.clone(),
            sha256: locked.sha256,
            bytes: locked.bytes,
            signed: locked.signed,
            inputs: locked.inputs.clone(),
        };
        let file = File { version: VERSION, packages: self.packages.iter().map(entry).collect() };
        let text = toml::to_string(&file).map_err(|e| Error::Bug(format!("{NAME} as TOML: {e}")))?;
        Ok(format!("{HEAD}{text}"))
    }

    /// The latest other version of a package: what its size is compared with.
    pub fn before(&self, id: &Id) -> Option<(&Id, &Locked)> {
        let same = self.packages.iter().filter(|(other, _)| other.name == id.name && other.model == id.model);
        let version = |id: &Id| semver::Version::parse(&id.version).ok();
        same.max_by(|a, b| version(a.0).cmp(&version(b.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Id, Lock, Locked};
    use crate::base::Sha256;

    fn lock() -> Lock {
        let id = |version: &str, model: Option<&str>| Id {
            name: "sql \"x\"".into(),
            version: version.into(),
            model: model.map(str::to_owned),
        };
        let locked = |bytes| Locked {
            sha256: Sha256::of(b"p"),
            bytes,
            signed: bytes > 5,
            inputs: [("docs/a b.md".to_owned(), Sha256::of(b"a"))].into(),
        };
        Lock {
            packages: [
                (id("1.9.0", None), locked(5)),
                (id("1.10.0", None), locked(7)),
                (id("1.9.0", Some("q")), locked(3)),
            ]
            .into(),
        }
    }

    #[test]
    fn reads_back_what_it_writes() {
        let lock = lock();
        let text = lock.text().unwrap();
        assert_eq!(Lock::read(&text).unwrap(), lock);
        assert!(text.contains("version = 1\n\n[[package]]\nname = "), "{text}");
        let id = lock.packages.keys().next().unwrap();
        assert_eq!(lock.before(id).unwrap().0.version, "1.10.0");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let told = |text: &str| Lock::read(text).unwrap_err().to_string();
        assert!(told("version = 2\n").contains("version 2"));
        assert!(told("[[").contains("cannot be read"));
        assert!(told("").contains("version"));
        let twice = lock().text().unwrap().replace("1.10.0", "1.9.0");
        assert!(told(&twice).contains("stands twice"), "{}", told(&twice));
    }
}
