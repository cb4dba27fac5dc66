//! `init`: the Expertfile that a repository without one behaves as if it had.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::{Error, RelPath, Result};
use crate::spec::Folder;
use crate::spec::expertfile::NAME;
use crate::spec::members::{is_expert, is_foreign};
use crate::spec::schema::URL;
use crate::spec::value::quoted;

/// How deep experts are looked for.
const DEPTH: usize = 6;

/// The text of an Expertfile for this repository, which builds as it is.
pub fn init(root: &dyn Folder) -> Result<String> {
    let own = RelPath::new(NAME).expect("a relative path");
    if root.is_file(&own)? {
        return Err(Error::usage_help(
            format!("there is an {NAME} already"),
            "`expert-build config` shows what it says",
        ));
    }
    if root.is_file(&manifest())? {
        return Ok(format!("{}[[expert]]\npath = \".\"\n{EXPERT}{COMMON}", head()));
    }
    let experts = search(root)?;
    if experts.is_empty() {
        let help = "an expert is a folder with a manifest.json that names its base model and adapters";
        return Err(Error::usage_help("there is no expert here or below", help));
    }
    let members = members(root, &experts)?;
    Ok(format!("{}[workspace]\n{WORKSPACE}members = {members}\n{WORKSPACE_MORE}\n{DEFAULTS}{EXPERT}{COMMON}", head()))
}

/// The folders below the root that hold an expert, sorted; none that lies inside another, and none twice, however many
/// links lead to it.
pub fn search(root: &dyn Folder) -> Result<Vec<RelPath>> {
    let mut found = Vec::new();
    let mut todo: Vec<(Option<RelPath>, usize)> = vec![(None, 0)];
    while let Some((folder, depth)) = todo.pop() {
        for (name, is_dir) in root.list(folder.as_ref())? {
            let Ok(name) = RelPath::new(name) else { continue };
            if !is_dir || is_foreign(name.as_str()) {
                continue;
            }
            let below = folder.as_ref().map_or_else(|| name.clone(), |folder| folder.join(&name));
            if holds_expert(root, &below)? {
                found.push(below);
            } else if depth < DEPTH {
                todo.push((Some(below), depth + 1));
            }
        }
    }
    found.sort();
    let mut real: BTreeMap<PathBuf, RelPath> = BTreeMap::new();
    for folder in found {
        let at = root.real(&folder)?;
        // Where it lies counts before any link to it.
        let is_there = at.ends_with(folder.as_str());
        if is_there || !real.contains_key(&at) {
            real.insert(at, folder);
        }
    }
    let mut once: Vec<RelPath> = real.into_values().collect();
    once.sort();
    Ok(once)
}

/// Many things are called manifest.json: an expert's names base models and adapters.
fn holds_expert(root: &dyn Folder, folder: &RelPath) -> Result<bool> {
    let path = folder.join(&manifest());
    if !root.is_file(&path)? {
        return Ok(false);
    }
    Ok(root.read(&path)?.is_some_and(|text| text.contains("\"base_model") || text.contains("\"adapters\"")))
}

fn manifest() -> RelPath {
    RelPath::new("manifest.json").expect("a relative path")
}

/// The list for `members`: one pattern for siblings, a path for a folder that stands alone.
pub fn members(root: &dyn Folder, experts: &[RelPath]) -> Result<String> {
    let mut groups: BTreeMap<Option<RelPath>, Vec<&RelPath>> = BTreeMap::new();
    for folder in experts {
        groups.entry(folder.parent()).or_default().push(folder);
    }
    let mut lines: Vec<String> = Vec::new();
    for (parent, group) in groups {
        if patterned(root, parent.as_ref(), &group)? {
            lines.push(parent.map_or_else(|| "*".to_owned(), |parent| format!("{}/*", escaped(&parent))));
        } else {
            lines.extend(group.into_iter().map(escaped));
        }
    }
    lines.sort();
    let quoted: Vec<String> = lines.iter().map(|line| quoted(line)).collect();
    Ok(format!("[{}]", quoted.join(", ")))
}

/// Are there siblings in this folder, and would a pattern for them take nothing else that has a manifest.json?
fn patterned(root: &dyn Folder, parent: Option<&RelPath>, experts: &[&RelPath]) -> Result<bool> {
    if experts.len() < 2 {
        return Ok(false);
    }
    let names = root.list(parent)?;
    let folders = names.iter().filter(|(name, is_dir)| *is_dir && !name.starts_with('.'));
    let paths = folders.filter_map(|(name, _)| RelPath::new(name.as_str()).ok());
    for path in paths.map(|name| parent.map_or_else(|| name.clone(), |parent| parent.join(&name))) {
        if experts.binary_search(&&path).is_err() && is_expert(root, Some(&path), &manifest())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A path as a pattern that matches it alone.
fn escaped(path: &RelPath) -> String {
    let mut out = String::new();
    for c in path.as_str().chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '!') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn head() -> String {
    format!(
        "#:schema {URL}\n\
         # How the experts of this repository are built. What an expert *is* (its name, version and base models) stands\n\
         # in its manifest.json. A line that begins with `#` shows a key with an example.\n\
         #   expert-build                        builds what changed\n\
         #   expert-build config --show-origin   every value, and where it comes from\n\
         #   expert-build schema expertfile      every key\n\
         \n\
         expertfile = 1\n\
         \n"
    )
}

const WORKSPACE: &str = "# Folders with a manifest.json, or with an Expertfile.toml of their own.\n";

const WORKSPACE_MORE: &str = "\
# exclude = [\"experts/_template\"]
# out-dir = \"dist\"                      # default: each expert's own weights/ folder
# externals = { \"english-basic\" = \"1.4.0\" }   # experts kept elsewhere that others require
";

const DEFAULTS: &str = "\
# What holds for every expert. `[[expert]]` with `path = \"…\"` sets the same keys for one.
[defaults]
";

const EXPERT: &str = "\
# weights = \"weights/{model}\"           # default: the usual places, see `expert-build schema expertfile`
# include = [\"docs/**\"]                 # beside what is packaged anyway
# tags = [\"db\"]                         # `expert-build tag:db` builds these
# compression = \"zstd\"                  # gzip (default), zstd or none
# sign = \"required\"                     # off, auto (default: when there is a key) or required
# key = \"~/.config/expert-build/publisher.pem\"
# budget = \"80MiB\"                      # a larger package is an error
";

const COMMON: &str = "
# `--profile ci` puts these over all others.
# [profile.ci]
# lints.preset = \"strict\"               # warnings are errors
";
