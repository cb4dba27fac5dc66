//! `Expertfile`: Expertfile.toml as written, every value with its place. What it means for an expert is `resolve`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use crate::base::suggest;
use crate::base::{Diagnostic, Level, Preset, RelPath, codes, codes::repo};
use crate::spec::age::Age;
use crate::spec::amount::{Growth, Size};
use crate::spec::choice::{Compression, Download, OnError, Sign, Write};
use crate::spec::glob::Glob;
use crate::spec::host_path::{Base, EnvName, HostPath, KeySource};
use crate::spec::number::{Count, Seconds};
use crate::spec::origin::{Origin, Section, Setting, Source};
use crate::spec::read::{Key, Reader, Slot, Table, table};
use crate::spec::template::Template;
use crate::spec::trust::TrustedKey;
use crate::spec::value::{self, Fault, FileName, Folder, Models, Slug, Value, quoted};

/// The name of the file.
pub const NAME: &str = "Expertfile.toml";

/// The edition that this program reads.
pub const EDITION: u32 = 1;

table! {
    /// How to build the experts of a repository. What an expert is (name, version, base models) stands in its manifest.json.
    pub struct Expertfile in |_| None;
    /// The edition of this format. There is one so far: 1.
    expertfile "expertfile": Option<Setting<u32>>,
    /// The versions of expert-build that can build this repository.
    required_version "required-version": Option<Setting<semver::VersionReq>>,
    /// The experts of the repository and what concerns them all.
    workspace "workspace": WorkspaceTable,
    /// What holds for every expert that does not say otherwise.
    defaults "defaults": Settings,
    /// One expert. A member folder without an entry gets the defaults.
    expert "expert": Vec<ExpertTable>,
    /// Where results are kept.
    cache "cache": CacheTable,
    /// Whose signatures count when packages are verified.
    trust "trust": TrustTable,
    /// Settings that `--profile NAME` puts over all others of the files.
    profile "profile": BTreeMap<String, ProfileTable>,
}

table! {
    /// The experts of the repository and what concerns them all.
    pub struct WorkspaceTable in |_| Some(Section::Workspace);
    /// Folders with a manifest.json or an Expertfile.toml of their own, as paths or patterns relative to this file.
    members "members": Option<Setting<Vec<Setting<Glob>>>>,
    /// Folders that are not members after all.
    exclude "exclude": Option<Setting<Vec<Setting<Glob>>>>,
    /// The members that are built when none is named. Default: all.
    default_members "default-members": Option<Setting<Vec<Setting<Glob>>>>,
    /// The folder for packages, relative to this file. Default: each expert's own weights/ folder.
    out_dir "out-dir": Option<Arc<Setting<HostPath>>>,
    /// Experts that are kept elsewhere, with their versions: they satisfy `constraints.requires`.
    externals "externals": BTreeMap<String, Setting<semver::Version>>,
}

table! {
    /// One expert.
    pub struct ExpertTable in |_| Some(Section::Expert);
    flatten settings: Settings;
    /// The expert's folder, relative to this file.
    path "path": Option<Setting<Folder>>,
}

table! {
    /// How experts are built.
    pub struct Settings in |_| Some(Section::Defaults);
    /// The manifest, inside the expert's folder. Default: manifest.json.
    manifest "manifest": Option<Arc<Setting<RelPath>>>,
    /// The folder of the adapter weights, inside the expert's folder; may hold {name}, {version} and {model}. Default: the first of weights/{name}.v{version}, weights/{model}, the manifest's packaging checkpoint, weights and "." that holds the adapter.
    weights "weights": Option<Arc<Setting<Template>>>,
    /// The base models to package for: "all", or names of the manifest's base models (or their last path segments).
    models "models": Option<Arc<Setting<Models>>>,
    /// Files of the expert's folder to package beside what the layout takes by itself, as patterns.
    include "include": Option<Arc<Setting<Vec<Setting<Glob>>>>>,
    /// Patterns to add to `include` of the layers below.
    extend_include "extend-include": Option<Arc<Setting<Vec<Setting<Glob>>>>>,
    /// Files of the expert's folder that are not packaged, as patterns.
    exclude "exclude": Option<Arc<Setting<Vec<Setting<Glob>>>>>,
    /// Patterns to add to `exclude` of the layers below.
    extend_exclude "extend-exclude": Option<Arc<Setting<Vec<Setting<Glob>>>>>,
    /// Package the tests/ folder too? Default: false.
    tests "tests": Option<Arc<Setting<bool>>>,
    /// Words to select experts by: `expert-build tag:db`.
    tags "tags": Option<Arc<Setting<Vec<Setting<String>>>>>,
    /// Words to add to `tags` of the layers below.
    extend_tags "extend-tags": Option<Arc<Setting<Vec<Setting<String>>>>>,
    /// How packages are compressed. Default: gzip.
    compression "compression": Option<Arc<Setting<Compression>>>,
    /// How hard: 1 to 9 for gzip (default 6), 1 to 22 for zstd (default 3).
    level "level": Option<Arc<Setting<u32>>>,
    /// The package's name; may hold {name}, {version} and {model}. Default: {name}.v{version}.expert, and {name}-{model}.v{version}.expert where the manifest has several base models.
    name "name": Option<Arc<Setting<FileName>>>,
    /// The folder for packages, relative to this file. Default: the workspace's, else the expert's own weights/ folder.
    out_dir "out-dir": Option<Arc<Setting<HostPath>>>,
    /// Are packages signed? Default: auto, when there is a key.
    sign "sign": Option<Arc<Setting<Sign>>>,
    /// The private key: a PEM file, or { env = "NAME" } for a variable that holds the PEM text.
    key "key": Option<Arc<Setting<KeySource>>>,
    /// The name of the publisher, written into each package.
    publisher "publisher": Option<Arc<Setting<String>>>,
    /// The most bytes a package may have, such as "80MiB".
    budget "budget": Option<Arc<Setting<Size>>>,
    /// How much larger than in Expertfile.lock a package may be, such as "25%".
    growth "growth": Option<Arc<Setting<Growth>>>,
    /// What concerns one base model, by its name in the manifest (or the last path segment).
    model "model": BTreeMap<String, ModelTable>,
    /// The levels of findings: a preset, and codes with levels of their own.
    lints "lints": LintsTable,
}

table! {
    /// What concerns one base model.
    pub struct ModelTable in |_| None;
    /// The model in names of packages and folders. Default: the last path segment, lower case, with `-` for all but letters and digits.
    slug "slug": Option<Setting<Slug>>,
    /// The base model's config.json, relative to this file: enables checks of tensor shapes against the model.
    config "config": Option<Setting<HostPath>>,
}

table! {
    /// Where results are kept.
    pub struct CacheTable in |_| Some(Section::Cache);
    /// The folder of the local cache. Default: "auto", the user's cache folder.
    dir "dir": Option<Setting<CacheDir>>,
    /// The size that `cache gc` brings the local cache down to. Default: 20GiB.
    max_size "max-size": Option<Setting<Size>>,
    /// What was not used for so long is removed by `cache gc`: a number and minutes, hours, days or weeks. Default: 90 days.
    max_age "max-age": Option<Setting<Age>>,
    /// A cache on another machine, shared by many.
    remote "remote": RemoteTable,
}

table! {
    /// A cache on another machine.
    pub struct RemoteTable in |_| None;
    /// Its address: grpc://, grpcs://, http:// or https://; "off" uses none.
    url "url": Option<Setting<Url>>,
    /// The name of the instance on the server.
    instance "instance": Option<Setting<String>>,
    /// Take results from it? Default: true.
    read "read": Option<Setting<bool>>,
    /// When results are sent to it. Default: ci.
    write "write": Option<Setting<Write>>,
    /// What happens when it does not answer. Default: warn.
    on_error "on-error": Option<Setting<OnError>>,
    /// Headers of each request: a text, or { env = "NAME", prefix = "Bearer " }.
    headers "headers": BTreeMap<String, Setting<Header>>,
    /// A PEM file of certificates that count beside those of the system when the server is checked.
    ca "ca": Option<Setting<HostPath>>,
    /// A PEM file of the certificate that this machine shows to the server.
    client_cert "client-cert": Option<Setting<HostPath>>,
    /// The private key of that certificate: a PEM file, or { env = "NAME" } for a variable that holds the PEM text.
    client_key "client-key": Option<Setting<KeySource>>,
    /// How long to wait for an answer, such as "30s"; for streams, how long nothing may come. Default: 30s.
    timeout "timeout": Option<Setting<Seconds>>,
    /// A word that keeps results apart from those of others on the same server.
    namespace "namespace": Option<Setting<String>>,
    /// What becomes of packages that it has: all are written, or minimal, which only tells of them. Default: all.
    download "download": Option<Setting<Download>>,
    /// Have its workers pack experts? Default: false.
    exec "exec": Option<Setting<bool>>,
    /// How many experts its workers pack at once. Default: 16.
    jobs "jobs": Option<Setting<Count>>,
    /// The program that its workers run, linked statically. Default: this one.
    exec_binary "exec-binary": Option<Setting<HostPath>>,
    /// What its workers must be, by the names that the server knows: { OSFamily = "linux" }.
    platform "platform": BTreeMap<String, Setting<String>>,
}

table! {
    /// Whose signatures count when packages are verified here.
    pub struct TrustTable in |_| Some(Section::Trust);
    /// Public keys, each under a name for reports: `ed25519:…`, or the path of a file that holds one. Where there are any, a signature by another key is a failure. `--key` counts instead of them.
    keys "keys": BTreeMap<String, Setting<TrustedKey>>,
}

table! {
    /// A key in an environment variable.
    pub struct KeyTable in |_| None;
    /// The variable that holds the key's PEM text.
    env "env": Option<Setting<EnvName>>,
}

table! {
    /// A header whose value is in an environment variable.
    pub struct HeaderTable in |_| None;
    /// The variable that holds the value.
    env "env": Option<Setting<EnvName>>,
    /// What stands before the value, such as "Bearer ".
    prefix "prefix": Option<Setting<String>>,
}

table! {
    /// Settings that are put over those of experts and defaults when the profile is asked for.
    pub struct ProfileTable in |name: &str| Some(Section::Profile(Arc::from(name)));
    flatten settings: Settings;
    /// The profile that this one adds to.
    inherits "inherits": Option<Setting<String>>,
    /// What to change of `[cache]`.
    cache "cache": CacheTable,
}

table! {
    /// The user's own configuration.
    pub struct UserConfig in |_| None;
    /// What holds for every expert of every repository that does not say otherwise.
    defaults "defaults": Settings,
    /// Where results are kept.
    cache "cache": CacheTable,
    /// Whose signatures count when packages are verified.
    trust "trust": TrustTable,
}

/// `[lints]`: a preset, and levels by code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LintsTable {
    /// The preset.
    pub preset: Option<Setting<Preset>>,
    /// Code name → level.
    pub levels: BTreeMap<String, Setting<Level>>,
}

impl Slot for LintsTable {
    fn read(&mut self, value: &Spanned<DeValue<'_>>, reader: &mut Reader) {
        let Some(entries) = value.get_ref().as_table() else {
            reader.mistyped::<()>(value, "a table");
            return;
        };
        for (name, value) in entries.iter() {
            if name.get_ref() == "preset" {
                self.preset = reader.setting(value);
                continue;
            }
            let level: Option<Setting<Level>> = reader.setting(value);
            if codes::find(name.get_ref()).is_none() {
                let known = codes::all().map(|code| code.name).chain(["preset"]);
                let help = suggest::did_you_mean(name.get_ref(), known);
                let message = format!("no finding has the code `{}`", name.get_ref());
                reader.error(&repo::EXPERTFILE_UNKNOWN_KEY, &name.span(), message).help =
                    Some(help.unwrap_or_else(|| "`expert-build explain` lists all codes".to_owned()));
            } else if let Some(level) = level {
                match value::lint(name.get_ref(), level.value) {
                    Ok(()) => {
                        self.levels.insert(name.get_ref().to_string(), level);
                    }
                    Err(fault) => reader.bad(value.span(), fault.what, fault.help).unwrap_or(()),
                }
            }
        }
    }

    fn assign(&mut self, path: &str, text: &str, origin: &Origin, base: &Base) -> Result<(), Fault> {
        if path == "preset" {
            return self.preset.assign("", text, origin, base);
        }
        let level = Level::from_text(text, base)?;
        value::lint(path, level)?;
        self.levels.insert(path.to_owned(), Setting { value: level, origin: origin.clone() });
        Ok(())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = serde_json::Map::new();
        let mut preset = Preset::schema(generator);
        preset.insert("description".to_owned(), "A named set of levels.".into());
        properties.insert("preset".to_owned(), preset.to_value());
        for code in codes::all() {
            let levels: &[&str] = if code.fixed { &["deny"] } else { &["allow", "warn", "deny"] };
            let entry = serde_json::json!({ "description": code.summary, "enum": levels });
            properties.insert(code.name.to_owned(), entry);
        }
        json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

/// The folder of the local cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheDir {
    /// The user's cache folder.
    Auto,
    /// This one.
    At(HostPath),
}

impl Value for CacheDir {
    const EXPECTED: &'static str = "`\"auto\"` or a path";

    fn from_text(text: &str, base: &Base) -> Result<Self, Fault> {
        if text == "auto" { Ok(Self::Auto) } else { HostPath::from_text(text, base).map(Self::At) }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => quoted("auto"),
            Self::At(path) => path.show(),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "default": "auto" })
    }
}

/// The address of a remote cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(pub String);

impl Url {
    /// Instead of an address: none is used.
    pub const OFF: &'static str = "off";
}

impl Value for Url {
    const EXPECTED: &'static str = "an address (a string)";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        if text == Self::OFF {
            return Ok(Self(text.to_owned()));
        }
        let host = text.split_once("://").filter(|(s, _)| ["grpc", "grpcs", "http", "https"].contains(s));
        let authority = host.map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
        if authority.contains('@') {
            return Err(Fault::new("an address holds no password").help("put it into `headers`, from a variable"));
        }
        if authority.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Fault::new(format!("`{text}` is not the address of a cache"))
                .help("an address begins with `grpc://`, `grpcs://`, `http://` or `https://`; `off` uses none"));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^((grpcs?|https?)://[^/@\\s]+|off$)", "examples": ["grpcs://cache.example.com"] })
    }
}

/// A header's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// This text.
    Text(String),
    /// A prefix and what an environment variable holds.
    Env {
        /// The variable.
        name: String,
        /// What stands before its value.
        prefix: String,
    },
}

impl Value for Header {
    const EXPECTED: &'static str = "a string, or `{ env = \"NAME\", prefix = \"Bearer \" }`";

    fn from_text(text: &str, base: &Base) -> Result<Self, Fault> {
        String::from_text(text, base).map(Self::Text)
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => reader.text(text, value.span()),
            DeValue::Table(_) => {
                let mut table = HeaderTable::default();
                reader.table(&mut table, value);
                let Some(name) = table.env else {
                    return reader.bad(value.span(), "`env` is missing".to_owned(), None);
                };
                Some(Self::Env { name: name.value.0, prefix: table.prefix.map(|p| p.value).unwrap_or_default() })
            }
            _ => reader.mistyped(value, Self::EXPECTED),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Env { name, prefix } if prefix.is_empty() => format!("{{ env = {} }}", quoted(name)),
            Self::Env { name, prefix } => format!("{{ env = {}, prefix = {} }}", quoted(name), quoted(prefix)),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<HeaderTable>();
        json_schema!({ "anyOf": [{ "type": "string", "minLength": 1 }, table] })
    }
}

/// Every table with its heading as a user writes it.
pub fn tables() -> Vec<(&'static str, Vec<Key>)> {
    vec![
        ("[workspace]", WorkspaceTable::keys()),
        ("[[expert]]", ExpertTable::keys()),
        ("[expert.model.\"NAME\"]", ModelTable::keys()),
        ("[cache]", CacheTable::keys()),
        ("[cache.remote]", RemoteTable::keys()),
        ("[trust]", TrustTable::keys()),
        ("[profile.NAME]", ProfileTable::keys()),
    ]
}

/// Where a key that stands in the wrong table belongs.
pub(crate) fn home_of(key: &str) -> Option<String> {
    let (table, _) = tables().into_iter().find(|(_, keys)| keys.iter().any(|known| known.name == key))?;
    let table = if table == "[[expert]]" && key != "path" { "[[expert]]` or `[defaults]" } else { table };
    Some(format!("`{key}` belongs into `{table}`"))
}

impl Expertfile {
    /// Reads the file `name` that lies in `folder` of the repo. All faults are returned together.
    pub fn read(name: &str, text: &str, folder: Option<&RelPath>) -> Result<Self, Vec<Diagnostic>> {
        let source = Arc::new(Source::new(name, text));
        let mut file = Self::default();
        let found = Reader::document(&mut file, &source, Section::Top, Base::Repo(folder.cloned()));
        // What a later version means by its keys is not for this one to judge.
        file.fits()?;
        if found.is_empty() { Ok(file) } else { Err(found) }
    }

    /// Reads of the repo's file what says where results are kept, whatever the rest says.
    pub(crate) fn read_cache(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let source = Arc::new(Source::new(NAME, text));
        let mut file = Self::default();
        let wanted = |key: &str| matches!(key, "expertfile" | "required-version" | "cache" | "profile");
        let found = Reader::part(&mut file, &source, Section::Top, Base::Repo(None), &wanted);
        file.fits()?;
        if found.is_empty() { Ok(file) } else { Err(found) }
    }

    fn fits(&self) -> Result<(), Vec<Diagnostic>> {
        if let Some(edition) = self.expertfile.as_ref().filter(|edition| edition.value != EDITION) {
            let message = format!("edition {} of this file is not known here", edition.value);
            let finding = edition.finding(&repo::EXPERTFILE_VERSION, message);
            return Err(vec![finding.help(format!("this program reads edition {EDITION}; a newer one may read more"))]);
        }
        let here = semver::Version::parse(env!("CARGO_PKG_VERSION")).expect("Cargo checks the crate's version");
        if let Some(required) = self.required_version.as_ref().filter(|r| !r.value.matches(&here)) {
            let message = format!("this repo needs expert-build {}, and this is {here}", required.value);
            return Err(vec![
                required
                    .finding(&repo::EXPERTFILE_VERSION, message)
                    .help("`cargo install expert-build` brings the newest"),
            ]);
        }
        Ok(())
    }
}

impl UserConfig {
    /// Reads the user's own configuration.
    pub fn read(name: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let source = Arc::new(Source::new(name, text));
        let mut config = Self::default();
        let found = Reader::document(&mut config, &source, Section::User, Base::User);
        if found.is_empty() { Ok(config) } else { Err(found) }
    }
}
