//! A repo in memory, and findings as text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use expert_build::base::{At, Error, RelPath, Result};
use expert_build::spec::{Folder, Repo, Request, resolve};

/// Files by path.
#[derive(Debug, Clone, Default)]
pub struct Tree(pub BTreeMap<String, String>);

pub const MANIFEST: &str = r#"{"name": "x", "base_models": [], "adapters": []}"#;

impl Tree {
    /// A repo with these Expertfiles and a manifest in each of these folders (`.` is the root).
    pub fn new(files: &[(&str, &str)], experts: &[&str]) -> Self {
        let mut all: BTreeMap<String, String> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        for folder in experts {
            let path = if *folder == "." { "manifest.json".to_owned() } else { format!("{folder}/manifest.json") };
            all.insert(path, MANIFEST.to_owned());
        }
        Self(all)
    }

    /// A repo with this Expertfile.
    pub fn with(expertfile: &str, experts: &[&str]) -> Self {
        Self::new(&[("Expertfile.toml", expertfile)], experts)
    }

    pub fn resolve(&self) -> Result<Repo> {
        resolve(self, &Request::default())
    }

    pub fn folders(&self) -> Vec<String> {
        let repo = self.resolve().unwrap_or_else(|e| panic!("{}", told(&e)));
        repo.experts.iter().map(|expert| expert.label().to_owned()).collect()
    }

    /// What is said about it.
    pub fn told(&self) -> String {
        match self.resolve() {
            Ok(repo) => format!("{} experts\n", repo.experts.len()),
            Err(error) => told(&error),
        }
    }
}

impl Folder for Tree {
    fn read(&self, path: &RelPath) -> Result<Option<String>> {
        Ok(self.0.get(path.as_str()).cloned())
    }

    fn is_file(&self, path: &RelPath) -> Result<bool> {
        Ok(self.0.contains_key(path.as_str()))
    }

    fn is_dir(&self, path: &RelPath) -> Result<bool> {
        let prefix = format!("{path}/");
        Ok(self.0.range(prefix.clone()..).next().is_some_and(|(file, _)| file.starts_with(&prefix)))
    }

    fn real(&self, path: &RelPath) -> Result<PathBuf> {
        Ok(path.as_str().into())
    }

    fn holds(&self, above: Option<&RelPath>, name: &str, file: &RelPath) -> Result<bool> {
        let above = above.map_or_else(String::new, |above| format!("{above}/"));
        Ok(self.0.contains_key(&format!("{above}{name}/{file}")))
    }

    fn list(&self, path: Option<&RelPath>) -> Result<Vec<(String, bool)>> {
        let prefix = path.map_or_else(String::new, |path| format!("{path}/"));
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        for below in self.0.keys().filter_map(|file| file.strip_prefix(&prefix)) {
            match below.split_once('/') {
                Some((folder, _)) => names.insert(folder.to_owned(), true),
                None => names.insert(below.to_owned(), false),
            };
        }
        Ok(names.into_iter().collect())
    }
}

/// An error with its findings, as text.
pub fn told(error: &Error) -> String {
    let mut out = String::new();
    if let Error::Usage { message, help } = error {
        out += &format!("{message}\n");
        if let Some(help) = help {
            out += &format!("  help: {help}\n");
        }
    }
    for found in error.diagnostics() {
        let place = match &found.at {
            At::Text { line, column, start, end, .. } => {
                let text = found.source.as_ref().map_or("", |text| &text[*start as usize..*end as usize]);
                format!(":{line}:{column}: {}: {} [{text}]", found.code.name, found.message)
            }
            _ => format!(": {}: {}", found.code.name, found.message),
        };
        out += &format!("{}{place}\n", found.file.as_deref().unwrap_or("-"));
        if let Some(help) = &found.help {
            out += &format!("  help: {help}\n");
        }
    }
    out
}
