//! `Request`: what the command line, the environment and the user's configuration say beside the Expertfile.

use std::collections::BTreeMap;

use crate::base::{Error, Result};
use crate::spec::expertfile::{CacheTable, ProfileTable, RemoteTable, Settings, UserConfig};
use crate::spec::host_path::Base;
use crate::spec::origin::Origin;
use crate::spec::read::{Slot, Table};

/// What every variable of this program begins with.
pub const PREFIX: &str = "EXPERT_BUILD_";

/// A flag that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag with its dashes: `--compression`.
    pub flag: String,
    /// The key: `compression`, `lints.preset`, `cache.dir`.
    pub key: String,
    /// The text of its value.
    pub value: String,
}

/// What is asked for beside the Expertfile.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The profile. Where none is given, `EXPERT_BUILD_PROFILE` counts.
    pub profile: Option<String>,
    /// Flags that set keys; of two for one key the later counts.
    pub flags: Vec<Flag>,
    /// The environment; variables that set no key are not looked at.
    pub env: BTreeMap<String, String>,
    /// The user's own configuration: its name for messages, and its text.
    pub user_config: Option<(String, String)>,
}

impl Request {
    /// Sets a key by a flag.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        self.flags.push(Flag { flag: flag.to_owned(), key: key.to_owned(), value: value.to_owned() });
        self
    }

    /// The profile that is asked for, and who asks.
    pub(crate) fn profile(&self) -> Option<(&str, Origin)> {
        let name = format!("{PREFIX}PROFILE");
        let asked = self.profile.as_deref().map(|profile| (profile, Origin::Flag("--profile".into())));
        asked.or_else(|| {
            let value = self.env.get(&name).filter(|value| !value.is_empty())?;
            Some((value, Origin::Env(name.as_str().into())))
        })
    }

    /// The layer of the flags.
    pub(crate) fn flags(&self) -> Result<ProfileTable> {
        let mut layer = ProfileTable::default();
        for Flag { flag, key, value } in &self.flags {
            let origin = Origin::Flag(flag.as_str().into());
            set(&mut layer, key, value, &origin, &format!("for `{flag}`"))?;
        }
        Ok(layer)
    }

    /// The layer of the variables. An empty one counts as not set, as CI systems pass absent secrets so.
    pub(crate) fn variables(&self) -> Result<ProfileTable> {
        let mut layer = ProfileTable::default();
        for (name, key) in variables() {
            if let Some(value) = self.env.get(&name).filter(|value| !value.is_empty()) {
                set(&mut layer, &key, value, &Origin::Env(name.as_str().into()), &format!("in `{name}`"))?;
            }
        }
        Ok(layer)
    }

    /// The user's configuration.
    pub(crate) fn user(&self) -> Result<UserConfig> {
        let Some((name, text)) = &self.user_config else { return Ok(UserConfig::default()) };
        UserConfig::read(name, text).map_err(Error::Expertfile)
    }
}

fn set(layer: &mut ProfileTable, key: &str, value: &str, origin: &Origin, place: &str) -> Result<()> {
    layer.assign(key, value, origin, &Base::Working).map_err(|fault| Error::Usage {
        message: format!("{} ({place}, which sets `{key}`)", fault.what),
        help: fault.help,
    })
}

/// Every variable that sets a key, with the key: `EXPERT_BUILD_CACHE_DIR` sets `cache.dir`.
pub fn variables() -> Vec<(String, String)> {
    let top = Settings::keys().into_iter().filter(|key| !matches!(key.name, "model" | "lints"));
    let cache = CacheTable::keys().into_iter().filter(|key| key.name != "remote");
    let remote = RemoteTable::keys().into_iter().filter(|key| !matches!(key.name, "headers" | "platform"));
    let keys = top
        .map(|key| key.name.to_owned())
        .chain(["lints.preset".to_owned()])
        .chain(cache.map(|key| format!("cache.{}", key.name)))
        .chain(remote.map(|key| format!("cache.remote.{}", key.name)));
    keys.map(|key| (format!("{PREFIX}{}", key.to_uppercase().replace(['.', '-'], "_")), key)).collect()
}
