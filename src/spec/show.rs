//! `Row`: the resolved settings, one value a row, for `config`; its text has the form of an Expertfile.

use serde::Serialize;

use crate::spec::expert::Expert;
use crate::spec::expertfile::{
    CacheTable, ExpertTable, Expertfile, ModelTable, RemoteTable, TrustTable, WorkspaceTable,
};
use crate::spec::layers::Cache;
use crate::spec::origin::Setting;
use crate::spec::read::{Key, Table, key_text};
use crate::spec::resolve::Repo;
use crate::spec::value::{Value, quoted};

/// A value in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The table that it stands in: `[workspace]`, `[cache]`, `[trust]` or `[[expert]]`; empty before the first of them.
    pub table: &'static str,
    /// The expert's folder, where it is about one.
    pub expert: Option<String>,
    /// The key, with dots where it lies deeper.
    pub key: String,
    /// The value as TOML.
    pub value: String,
    /// Who set it.
    pub origin: String,
    /// What the key means.
    pub doc: &'static str,
}

struct Rows {
    table: &'static str,
    expert: Option<String>,
    prefix: String,
    keys: Vec<Key>,
    rows: Vec<Row>,
}

impl Rows {
    fn new(table: &'static str, expert: Option<String>, keys: Vec<Key>) -> Self {
        Self { table, expert, prefix: String::new(), keys, rows: Vec::new() }
    }

    fn put(&mut self, key: &str, value: String, origin: String) {
        let table = key.split('.').next().unwrap_or(key);
        let doc = self.keys.iter().find(|known| known.name == table).map_or("", |known| known.doc);
        let (table, expert, key) = (self.table, self.expert.clone(), format!("{}{key}", self.prefix));
        self.rows.push(Row { table, expert, key, value, origin, doc });
    }

    fn set<T: Value>(&mut self, key: &str, setting: &Setting<T>) {
        self.put(key, setting.value.show(), setting.origin.to_string());
    }

    fn may<T: Value>(&mut self, key: &str, setting: Option<&Setting<T>>) {
        if let Some(setting) = setting {
            self.set(key, setting);
        }
    }

    /// A list names each of the places that its items come from, once.
    fn list<T: Value>(&mut self, key: &str, list: &Setting<Vec<Setting<T>>>) {
        let mut places = vec![&list.origin];
        for item in &list.value {
            if !places.iter().any(|place| place.shares_section(&item.origin)) {
                places.push(&item.origin);
            }
        }
        let origins: Vec<String> = places.iter().map(ToString::to_string).collect();
        self.put(key, list.value.show(), origins.join(", "));
    }
}

impl Repo {
    /// Every value in force: the repo's, the workspace's, the cache's, whom to trust, each expert's.
    pub fn rows(&self) -> Vec<Row> {
        let mut top = Rows::new("", None, Expertfile::keys());
        top.may("required-version", self.expertfile.as_ref().and_then(|file| file.required_version.as_ref()));
        let mut workspace = Rows::new("[workspace]", None, WorkspaceTable::keys());
        if let Some(WorkspaceTable { members, exclude, default_members, .. }) =
            self.expertfile.as_ref().map(|file| &file.workspace)
        {
            let lists = [("members", members), ("exclude", exclude), ("default-members", default_members)];
            for (key, list) in lists {
                list.iter().for_each(|list| workspace.list(key, list));
            }
        }
        workspace.may("out-dir", self.out_dir.as_deref());
        for (name, version) in &self.externals {
            workspace.set(&format!("externals.{}", key_text(name)), version);
        }
        let mut rows = top.rows;
        rows.extend(workspace.rows);
        rows.extend(cache_rows(&self.cache));
        let mut trust = Rows::new("[trust]", None, TrustTable::keys());
        for (name, key) in &self.trust {
            trust.set(&format!("keys.{}", key_text(name)), key);
        }
        rows.extend(trust.rows);
        rows.extend(self.experts.iter().flat_map(|expert| expert_rows(expert)));
        rows
    }
}

fn cache_rows(cache: &Cache) -> Vec<Row> {
    let mut rows = Rows::new("[cache]", None, CacheTable::keys());
    rows.set("dir", &cache.dir);
    rows.set("max-size", &cache.max_size);
    rows.set("max-age", &cache.max_age);
    let Some(remote) = cache.remote.as_ref().or(cache.unused.as_ref()) else { return rows.rows };
    rows.prefix = "remote.".to_owned();
    rows.keys = RemoteTable::keys();
    rows.set("url", &remote.url);
    rows.may("instance", Some(&remote.instance).filter(|instance| !instance.value.is_empty()));
    rows.set("read", &remote.read);
    rows.set("write", &remote.write);
    rows.set("on-error", &remote.on_error);
    for (name, header) in &remote.headers {
        rows.set(&format!("headers.{}", key_text(name)), header);
    }
    rows.may("ca", remote.ca.as_ref());
    rows.may("client-cert", remote.client_cert.as_ref());
    rows.may("client-key", remote.client_key.as_ref());
    rows.set("timeout", &remote.timeout);
    rows.may("namespace", Some(&remote.namespace).filter(|namespace| !namespace.value.is_empty()));
    rows.set("download", &remote.download);
    rows.set("exec", &remote.exec);
    rows.set("jobs", &remote.jobs);
    rows.may("exec-binary", remote.exec_binary.as_ref());
    for (name, value) in &remote.platform {
        rows.set(&format!("platform.{}", key_text(name)), value);
    }
    rows.rows
}

fn expert_rows(expert: &Expert) -> Vec<Row> {
    let mut rows = Rows::new("[[expert]]", Some(expert.label().to_owned()), ExpertTable::keys());
    let entry = expert.entry.as_ref().map_or("built in".to_owned(), ToString::to_string);
    rows.put("path", quoted(expert.label()), entry);
    rows.set("manifest", &expert.manifest);
    rows.may("weights", expert.weights.as_deref());
    rows.set("models", &expert.models);
    rows.list("include", &expert.include);
    rows.list("exclude", &expert.exclude);
    rows.set("tests", &expert.tests);
    rows.list("tags", &expert.tags);
    rows.set("compression", &expert.compression);
    rows.may("level", Some(&*expert.level).filter(|level| level.value > 0));
    rows.may("name", expert.name.as_deref());
    rows.may("out-dir", expert.out_dir.as_deref());
    rows.set("sign", &expert.sign);
    rows.may("key", Some(&*expert.key).filter(|key| key.value != crate::spec::KeySource::None));
    rows.may("publisher", expert.publisher.as_deref());
    rows.may("budget", expert.budget.as_deref());
    rows.may("growth", expert.growth.as_deref());
    rows.may("lints.preset", expert.lints.preset.as_ref());
    for (code, level) in &expert.lints.levels {
        rows.set(&format!("lints.{}", key_text(code)), level);
    }
    rows.keys = ModelTable::keys();
    for (name, model) in &*expert.model {
        rows.prefix = format!("model.{}.", key_text(name));
        rows.may("slug", model.slug.as_ref());
        rows.may("config", model.config.as_ref());
    }
    rows.rows
}

/// The settings that decide what is in an expert's packages, as an Expertfile for its own folder. `configs` are base models
/// and where their config.json is. Nothing of this machine is in it: equal settings are equal texts everywhere.
pub fn recipe(expert: &Expert, configs: &[(String, String)]) -> String {
    const DECIDES: [&str; 10] =
        ["manifest", "weights", "models", "include", "exclude", "tests", "compression", "level", "publisher", "lints"];
    let (mut text, mut models) = (String::from("expertfile = 1\n[[expert]]\n"), String::new());
    for row in expert_rows(expert) {
        let key = row.key.split('.').next().unwrap_or(&row.key);
        if DECIDES.contains(&key) {
            text += &format!("{} = {}\n", row.key, row.value);
        } else if key == "model" && row.key.ends_with(".slug") {
            models += &format!("{} = {}\n", row.key, row.value);
        }
    }
    for (model, path) in configs {
        models += &format!("model.{}.config = {}\n", key_text(model), quoted(path));
    }
    // Some may be of other experts' models: in the defaults nobody minds.
    if models.is_empty() { text } else { format!("{text}[defaults]\n{models}") }
}

/// The settings in force as an Expertfile; with `origins`, each line says who set its value.
pub fn show(repo: &Repo, origins: bool) -> String {
    let mut out = String::from("expertfile = 1\n");
    let mut before: Option<(&str, Option<String>)> = None;
    let rows = repo.rows();
    let width = |row: &Row| row.key.chars().count() + row.value.chars().count() + 3;
    // One very long value should not push all the comments to the right.
    let column = rows.iter().map(width).filter(|width| *width <= 60).max().unwrap_or(0);
    for row in &rows {
        let here = (row.table, row.expert.clone());
        if before.as_ref() != Some(&here) {
            if !row.table.is_empty() {
                out += &format!("\n{}\n", row.table);
            }
            before = Some(here);
        }
        out += &format!("{} = {}", row.key, row.value);
        if origins {
            let gap = column.saturating_sub(width(row)) + 2;
            out += &format!("{:gap$}# {}", "", row.origin);
        }
        out.push('\n');
    }
    out
}
