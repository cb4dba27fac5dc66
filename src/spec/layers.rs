//! `Layers`: what flags, variables, profile, expert, defaults and user config say, the stronger over the weaker.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Diagnostic, RelPath, codes::repo};
use crate::format::segment::{Codec, Compression};
use crate::spec::choice::{Download, OnError, Sign, Write};
use crate::spec::expert::{Expert, List};
use crate::spec::expertfile::{CacheDir, CacheTable, Header, LintsTable, ModelTable, RemoteTable, Settings, Url};
use crate::spec::host_path::{HostPath, KeySource};
use crate::spec::number::{Count, Seconds};
use crate::spec::origin::{Origin, Setting};
use crate::spec::value::Models;
use crate::spec::{Age, Size};

/// Layers of settings, the strongest first.
pub struct Layers<'a>(pub Vec<&'a Settings>);

impl Layers<'_> {
    /// The strongest value of a key.
    fn first<T>(&self, key: impl Fn(&Settings) -> &Option<Arc<Setting<T>>>) -> Option<Arc<Setting<T>>> {
        self.0.iter().find_map(|layer| key(layer).clone())
    }

    /// A list: the strongest layer that sets it replaces what is weaker, `extend-` adds to it.
    fn list<T: Clone>(
        &self,
        set: impl Fn(&Settings) -> &Option<Arc<List<T>>>,
        extend: impl Fn(&Settings) -> &Option<Arc<List<T>>>,
    ) -> Arc<List<T>> {
        let mut list = usual(Vec::new());
        for layer in self.0.iter().rev() {
            if let Some(all) = set(layer) {
                list = Arc::clone(all);
            }
            if let Some(more) = extend(layer) {
                let list = Arc::make_mut(&mut list);
                list.value.extend(more.value.iter().cloned());
                // An empty list that nobody set belongs to who first adds to it.
                if list.origin == Origin::BuiltIn {
                    list.origin = more.origin.clone();
                }
            }
        }
        list
    }

    /// The manifest's path in a folder that says nothing itself.
    pub fn manifest(&self) -> Arc<Setting<RelPath>> {
        let built_in = || RelPath::new("manifest.json").expect("a relative path");
        self.first(|s| &s.manifest).unwrap_or_else(|| usual(built_in()))
    }

    /// The expert in this folder. `out_dir` is the workspace's.
    pub fn expert(
        &self,
        folder: Option<RelPath>,
        out_dir: Option<&Arc<Setting<HostPath>>>,
    ) -> (Expert, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let compression = self.first(|s| &s.compression).unwrap_or_else(|| usual(Compression::Gzip));
        let level = self.level(&compression, &mut found);
        let mut model: BTreeMap<String, ModelTable> = BTreeMap::new();
        let mut lints = LintsTable::default();
        for layer in &self.0 {
            for (name, table) in &layer.model {
                let entry = model.entry(name.clone()).or_default();
                entry.slug = entry.slug.take().or_else(|| table.slug.clone());
                entry.config = entry.config.take().or_else(|| table.config.clone());
                entry.origin = entry.origin.take().or_else(|| table.origin.clone());
            }
            lints.preset = lints.preset.take().or_else(|| layer.lints.preset.clone());
            for (code, level) in &layer.lints.levels {
                lints.levels.entry(code.clone()).or_insert_with(|| level.clone());
            }
        }
        let expert = Expert {
            folder,
            entry: None,
            default: true,
            manifest: self.manifest(),
            weights: self.first(|s| &s.weights),
            models: self.first(|s| &s.models).unwrap_or_else(|| usual(Models::All)),
            include: self.list(|s| &s.include, |s| &s.extend_include),
            exclude: self.list(|s| &s.exclude, |s| &s.extend_exclude),
            tests: self.first(|s| &s.tests).unwrap_or_else(|| usual(false)),
            tags: self.list(|s| &s.tags, |s| &s.extend_tags),
            compression,
            level,
            name: self.first(|s| &s.name),
            out_dir: self.out_dir(out_dir),
            sign: self.first(|s| &s.sign).unwrap_or_else(|| usual(Sign::Auto)),
            key: self.first(|s| &s.key).unwrap_or_else(|| usual(KeySource::None)),
            publisher: self.first(|s| &s.publisher),
            budget: self.first(|s| &s.budget),
            growth: self.first(|s| &s.growth),
            model: Arc::new(model),
            lints: Arc::new(lints),
        };
        (expert, found)
    }

    /// The folder for packages. The workspace's stands with the defaults: only the user's own config is weaker.
    fn out_dir(&self, workspace: Option<&Arc<Setting<HostPath>>>) -> Option<Arc<Setting<HostPath>>> {
        let (user, files) = self.0.split_last()?;
        let named = files.iter().find_map(|layer| layer.out_dir.as_ref());
        named.or(workspace).or(user.out_dir.as_ref()).cloned()
    }

    fn level(&self, compression: &Setting<Compression>, found: &mut Vec<Diagnostic>) -> Arc<Setting<u32>> {
        let own = Codec::new(compression.value, None).map_or(0, |codec| codec.level);
        let Some(level) = self.first(|s| &s.level).filter(|_| compression.value != Compression::None) else {
            return usual(own);
        };
        if let Err(what) = Codec::new(compression.value, Some(level.value)) {
            let help = format!("`{}` is {}; its usual level is {own}", compression.value, compression.origin.set_by());
            found.push(level.finding(&repo::EXPERTFILE_VALUE, what).help(help));
        }
        level
    }
}

/// What is used when nothing is said.
fn usual<T>(value: T) -> Arc<Setting<T>> {
    Arc::new(Setting::built_in(value))
}

/// Where results are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// The folder of the local cache.
    pub dir: Setting<CacheDir>,
    /// What `cache gc` brings it down to.
    pub max_size: Setting<Size>,
    /// What was not used for so long is collected.
    pub max_age: Setting<Age>,
    /// The cache on another machine, where there is one.
    pub remote: Option<Remote>,
    /// What is said of one that is not used: its url is `off`, or nobody names one.
    pub unused: Option<Remote>,
}

/// A cache on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its address.
    pub url: Setting<Url>,
    /// The name of the instance; empty where the server has one only.
    pub instance: Setting<String>,
    /// Take results from it?
    pub read: Setting<bool>,
    /// When results are sent to it.
    pub write: Setting<Write>,
    /// What happens when it does not answer.
    pub on_error: Setting<OnError>,
    /// Headers of each request, lower case.
    pub headers: BTreeMap<String, Setting<Header>>,
    /// Certificates that count beside those of the system.
    pub ca: Option<Setting<HostPath>>,
    /// The certificate that this machine shows.
    pub client_cert: Option<Setting<HostPath>>,
    /// The private key of that.
    pub client_key: Option<Setting<KeySource>>,
    /// How long to wait for an answer.
    pub timeout: Setting<Seconds>,
    /// Keeps results apart from those of others; may be empty.
    pub namespace: Setting<String>,
    /// Which packages are written here.
    pub download: Setting<Download>,
    /// Do its workers pack experts?
    pub exec: Setting<bool>,
    /// How many at once.
    pub jobs: Setting<Count>,
    /// The program that workers run; `None` is this one.
    pub exec_binary: Option<Setting<HostPath>>,
    /// What workers must be.
    pub platform: BTreeMap<String, Setting<String>>,
}

impl Cache {
    /// The cache that these layers, the strongest first, describe.
    pub fn resolve(layers: &[&CacheTable]) -> (Self, Vec<Diagnostic>) {
        fn first<T: Clone>(
            layers: &[&CacheTable],
            key: impl Fn(&CacheTable) -> &Option<Setting<T>>,
        ) -> Option<Setting<T>> {
            layers.iter().find_map(|layer| key(layer).clone())
        }
        let mut found = Vec::new();
        let mut headers: BTreeMap<String, Setting<Header>> = BTreeMap::new();
        for (name, value) in layers.iter().flat_map(|layer| &layer.remote.headers) {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
                let message = format!("`{name}` cannot be the name of a header");
                found.push(value.finding(&repo::EXPERTFILE_VALUE, message).help("a name such as `authorization`"));
            }
            headers.entry(name.to_ascii_lowercase()).or_insert_with(|| value.clone());
        }
        let mut platform: BTreeMap<String, Setting<String>> = BTreeMap::new();
        for (name, value) in layers.iter().flat_map(|layer| &layer.remote.platform) {
            platform.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let is_said = |layer: &&CacheTable| layer.remote != RemoteTable::default();
        let off = || layers.iter().any(is_said).then(|| Setting::built_in(Url(Url::OFF.to_owned())));
        let url = first(layers, |c| &c.remote.url).or_else(off);
        let described = url.map(|url| Remote {
            url,
            instance: first(layers, |c| &c.remote.instance).unwrap_or(Setting::built_in(String::new())),
            read: first(layers, |c| &c.remote.read).unwrap_or(Setting::built_in(true)),
            write: first(layers, |c| &c.remote.write).unwrap_or(Setting::built_in(Write::Ci)),
            on_error: first(layers, |c| &c.remote.on_error).unwrap_or(Setting::built_in(OnError::Warn)),
            headers,
            ca: first(layers, |c| &c.remote.ca),
            client_cert: first(layers, |c| &c.remote.client_cert),
            client_key: first(layers, |c| &c.remote.client_key),
            timeout: first(layers, |c| &c.remote.timeout).unwrap_or(Setting::built_in(Seconds(30))),
            namespace: first(layers, |c| &c.remote.namespace).unwrap_or(Setting::built_in(String::new())),
            download: first(layers, |c| &c.remote.download).unwrap_or(Setting::built_in(Download::All)),
            exec: first(layers, |c| &c.remote.exec).unwrap_or(Setting::built_in(false)),
            jobs: first(layers, |c| &c.remote.jobs).unwrap_or(Setting::built_in(Count(16))),
            exec_binary: first(layers, |c| &c.remote.exec_binary),
            platform,
        });
        let (remote, unused) = match described {
            Some(remote) if remote.url.value.0 == Url::OFF => (None, Some(remote)),
            remote => (remote, None),
        };
        if let Some(Remote { client_cert, client_key, .. }) = &remote {
            let help = "`client-cert` and `client-key` go together";
            match (client_cert, client_key) {
                (Some(cert), None) => {
                    found.push(cert.finding(&repo::EXPERTFILE_VALUE, "there is no `client-key`").help(help))
                }
                (None, Some(key)) => {
                    found.push(key.finding(&repo::EXPERTFILE_VALUE, "there is no `client-cert`").help(help))
                }
                _ => {}
            }
        }
        let cache = Self {
            dir: first(layers, |c| &c.dir).unwrap_or(Setting::built_in(CacheDir::Auto)),
            max_size: first(layers, |c| &c.max_size).unwrap_or(Setting::built_in(Size(20 << 30))),
            max_age: first(layers, |c| &c.max_age).unwrap_or(Setting::built_in(Age::days(90))),
            remote,
            unused,
        };
        (cache, found)
    }
}
