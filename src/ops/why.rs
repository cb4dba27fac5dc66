//! `why`: what a build of an expert would do it for, and what earlier runs did it for: the kept key texts against each
//! other, so that the answer cannot disagree with what the engine does.

use serde::Serialize;

use crate::base::{Error, Result};
use crate::engine::key::{Change, KeyText};
use crate::engine::record::PackageResult;
use crate::ops::experts::select;
use crate::ops::history::History;
use crate::ops::status::{Standing, status};
use crate::ops::workspace::Workspace;
use crate::store::{ActionKey, Cache, Index};

/// The answer for one expert.
#[derive(Debug, Clone, Serialize)]
pub struct Why {
    /// How it stands, and what changed since its last build.
    #[serde(flatten)]
    pub standing: Standing,
    /// Its packages as they were last made.
    pub packages: Vec<Made>,
}

/// A package and the runs that made it what it is.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// Where it lies, from the repo's root.
    pub path: String,
    /// The key of the task that made it.
    pub key: String,
    /// Runs that made something else than the one before, the latest first.
    pub runs: Vec<Run>,
}

/// Why a run made something else than the one before.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Its key.
    pub key: String,
    /// The key before it.
    pub before: String,
    /// What differs; `None` where the cache has let one of the two texts go.
    pub changes: Option<Vec<Change>>,
}

/// Says why for every expert that the targets name: selectors, or paths of packages.
pub fn why(workspace: &Workspace, targets: &[String], threads: usize) -> Result<Vec<Why>> {
    let index = Index::load(&workspace.index);
    let (packages, selectors): (Vec<&String>, Vec<&String>) = targets.iter().partition(|t| t.ends_with(".expert"));
    let mut chosen = if selectors.is_empty() && !packages.is_empty() {
        Vec::new()
    } else {
        select(workspace, &selectors.into_iter().cloned().collect::<Vec<_>>(), threads)?
    };
    for package in packages {
        chosen.push(maker(workspace, &index, package)?);
    }
    chosen.sort_unstable();
    chosen.dedup();
    let mut answers = Vec::new();
    for standing in status(workspace, &chosen, threads)?.experts {
        let packages = made(workspace, &index, &standing.folder);
        answers.push(Why { standing, packages });
    }
    Ok(answers)
}

/// The expert that made the package at this path.
fn maker(workspace: &Workspace, index: &Index, package: &str) -> Result<usize> {
    let here = workspace.standing.as_ref().map_or_else(|| workspace.root.clone(), |s| s.under(&workspace.root));
    let wanted = [here.join(package), workspace.root.join(package)].map(|path| tidied(&path));
    for (number, expert) in workspace.repo.experts.iter().enumerate() {
        let record = index.get(expert.label()).and_then(|view| view.decode()).unwrap_or_default();
        let mut outputs = record.outputs.iter().filter(|output| output.is_package);
        if outputs.any(|output| wanted.contains(&tidied(&workspace.root.join(&output.seen.path)))) {
            return Ok(number);
        }
    }
    let help = "name an expert instead: `expert-build ls` shows them, with the packages that were built here";
    Err(Error::usage_help(format!("no expert of this repo has built `{package}`"), help))
}

/// The path without `.` in it.
fn tidied(path: &std::path::Path) -> std::path::PathBuf {
    path.components().collect()
}

fn made(workspace: &Workspace, index: &Index, folder: &str) -> Vec<Made> {
    let Some(record) = index.get(folder).and_then(|view| view.decode()) else { return Vec::new() };
    let history = History::kept(&record);
    let mut packages = Vec::new();
    for (at, output) in record.outputs.iter().filter(|output| output.is_package).enumerate() {
        let mut keys = vec![output.key];
        keys.extend(history.packages.get(at).map(|past| past.keys()).unwrap_or_default());
        let texts: Vec<_> = keys.iter().map(|key| text(&workspace.cache, *key)).collect();
        let runs = keys.windows(2).zip(texts.windows(2)).map(|(keys, texts)| Run {
            key: keys[0].hex(),
            before: keys[1].hex(),
            changes: match texts {
                [Some(now), Some(before)] => Some(now.changes_since(before)),
                _ => None,
            },
        });
        packages.push(Made { path: output.seen.path.clone(), key: output.key.hex(), runs: runs.collect() });
    }
    packages
}

/// The key text that is kept beside a result; a cache that cannot be read has let it go.
fn text(cache: &dyn Cache, key: ActionKey) -> Option<KeyText> {
    let result = cache.result(key).ok().flatten().and_then(|record| PackageResult::decode(&record));
    result.map(|result| KeyText::kept(&result.key_text))
}
