//! `affected`: the experts that a change touches: those whose files differ from a base commit, and all that require them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::base::{RelPath, Result};
use crate::check::requires::{Requirement, Summary};
use crate::format::manifest::Manifest;
use crate::ops::experts::Experts;
use crate::ops::workspace::Workspace;
use crate::spec::Expert;
use crate::store::{Index, git};

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Affected {
    /// The commit that was compared with.
    pub base: String,
    /// The experts, in order.
    pub experts: Vec<AffectedExpert>,
    /// Changed files that concern no expert.
    pub others: usize,
}

/// An expert that is affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AffectedExpert {
    /// Its number in the repo.
    #[serde(skip)]
    pub number: usize,
    /// Its name.
    pub expert: String,
    /// Its folder.
    pub folder: String,
    /// Changed files that concern it, from the repo's root.
    pub files: Vec<String>,
    /// Affected experts that it requires.
    pub through: Vec<String>,
}

/// The experts that differ from where this branch left `base`.
pub fn affected(workspace: &Workspace, base: &str, threads: usize) -> Result<Affected> {
    let asked = git::ask(&workspace.root, base)?;
    let index = Index::load(&workspace.index);
    let experts = Experts::of(workspace, &index, threads);
    let reach = Reach::of(workspace);
    let changed = asked.answer()?;
    let mut direct: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut others = 0;
    let renamed = renamed(workspace, &changed, &experts)?;
    for file in &changed.files {
        let Some(below) = below(&changed.top, &workspace.root, file) else {
            others += 1;
            continue;
        };
        let mut hit = reach.experts(&below);
        if let Some(name) = renamed.get(&below) {
            // What it was, nobody can build any more; those that require it must be told.
            hit.extend((0..experts.summaries.len()).filter(|number| requires(&experts.summaries[*number], name)));
        }
        others += usize::from(hit.is_empty());
        for expert in hit {
            direct.entry(expert).or_default().push(below.clone());
        }
    }
    let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, summary) in experts.summaries.iter().enumerate() {
        named.entry(&summary.name).or_default().push(number);
    }
    let mut through: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut requiring: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    // By name alone: a version that no longer fits is what those that require it must be told of most of all.
    for (from, summary) in experts.summaries.iter().enumerate() {
        for to in required(summary).iter().flat_map(|name| named.get(name.as_str()).into_iter().flatten()) {
            requiring.entry(*to).or_default().push(from);
        }
    }
    let mut seen: BTreeSet<usize> = direct.keys().copied().collect();
    let mut todo: Vec<usize> = seen.iter().copied().collect();
    while let Some(expert) = todo.pop() {
        for from in requiring.get(&expert).into_iter().flatten() {
            through.entry(*from).or_default().insert(expert);
            if seen.insert(*from) {
                todo.push(*from);
            }
        }
    }
    let all = seen.into_iter().map(|number| AffectedExpert {
        number,
        expert: experts.name(number).to_owned(),
        folder: workspace.repo.experts[number].label().to_owned(),
        files: direct.remove(&number).unwrap_or_default(),
        through: through.get(&number).into_iter().flatten().map(|n| experts.name(*n).to_owned()).collect(),
    });
    Ok(Affected { base: changed.base, experts: all.collect(), others })
}

/// The names that experts had whose manifests are gone, or give another name now; by the manifest, below the repo's root.
fn renamed(workspace: &Workspace, changed: &git::Changed, experts: &Experts) -> Result<BTreeMap<String, String>> {
    let file_name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let present = |(expert, summary): (&Arc<Expert>, &Summary)| {
        let manifest = expert.manifest.value.as_str();
        let path = expert.folder.as_ref().map_or_else(|| manifest.to_owned(), |folder| format!("{folder}/{manifest}"));
        (path, summary.name.clone())
    };
    let present: BTreeMap<String, String> =
        workspace.repo.experts.iter().zip(&experts.summaries).map(present).collect();
    let usual: BTreeSet<String> = present.keys().map(|path| file_name(path)).collect();
    let mut asked = BTreeMap::new();
    for file in &changed.files {
        if let Some(below) = below(&changed.top, &workspace.root, file).filter(|path| usual.contains(&file_name(path)))
        {
            asked.insert(file.as_str(), below);
        }
    }
    let texts = changed.then(&asked.keys().copied().collect::<Vec<_>>())?;
    let mut names = BTreeMap::new();
    for (file, below) in asked {
        let then = texts.get(file).and_then(|text| Manifest::read(text, &below).0);
        if let Some(then) = then.filter(|then| present.get(&below) != Some(&then.name)) {
            names.insert(below, then.name);
        }
    }
    Ok(names)
}

/// The names that an expert requires.
fn required(summary: &Summary) -> BTreeSet<String> {
    summary.requires.iter().filter_map(|(text, _)| Some(Requirement::parse(text).ok()?.name)).collect()
}

fn requires(summary: &Summary, name: &str) -> bool {
    required(summary).contains(name)
}

/// A path of git's as one below the repo's root; `None` where it lies elsewhere. A folder above (a submodule that the
/// repo lies in) is the repo itself.
fn below(top: &Path, root: &Path, file: &str) -> Option<String> {
    let path = top.join(file);
    if root.starts_with(&path) {
        return Some(String::new());
    }
    path.strip_prefix(root).ok()?.to_str().map(str::to_owned)
}

/// Which experts a file concerns.
struct Reach {
    /// Experts by folder; the repo's root is the empty one.
    folders: BTreeMap<String, usize>,
    /// Experts by files outside of their folders that decide how they are built.
    settings: BTreeMap<String, Vec<usize>>,
    packages: Vec<String>,
}

impl Reach {
    fn of(workspace: &Workspace) -> Self {
        let repo = &workspace.repo;
        let folder = |folder: Option<&RelPath>| folder.map_or_else(String::new, ToString::to_string);
        let folders = repo.experts.iter().enumerate().map(|(number, e)| (folder(e.folder.as_ref()), number)).collect();
        let mut settings: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for file in &repo.files {
            let owner = folder(file.parent().as_ref());
            let inside = |e: &Option<RelPath>| {
                let folder = folder(e.as_ref());
                owner.is_empty() || folder == owner || folder.starts_with(&format!("{owner}/"))
            };
            let those = (0..repo.experts.len()).filter(|number| inside(&repo.experts[*number].folder));
            settings.entry(file.to_string()).or_default().extend(those);
        }
        for (number, expert) in repo.experts.iter().enumerate() {
            let configs = expert.model.values().filter_map(|table| table.config.as_ref());
            for path in configs.filter_map(|config| config.value.resolve(&workspace.places())) {
                if let Some(path) = path.strip_prefix(&workspace.root).ok().and_then(Path::to_str) {
                    settings.entry(path.to_owned()).or_default().push(number);
                }
            }
        }
        let out = repo.out_dir.as_ref().and_then(|dir| dir.value.resolve(&workspace.places()));
        let out = out.and_then(|dir| Some(dir.strip_prefix(&workspace.root).ok()?.to_str()?.to_owned()));
        Self { folders, settings, packages: out.into_iter().filter(|dir| !dir.is_empty()).collect() }
    }

    fn experts(&self, file: &str) -> BTreeSet<usize> {
        let mut hit: BTreeSet<usize> = self.settings.get(file).into_iter().flatten().copied().collect();
        let is_output = file.ends_with(".expert") || file.ends_with(".expert.sha256");
        let in_out = |dir: &String| file.strip_prefix(dir.as_str()).is_some_and(|rest| rest.starts_with('/'));
        if is_output || self.packages.iter().any(in_out) {
            return hit;
        }
        // The nearest expert above: a nested one is not part of the one around it.
        let mut at = file;
        loop {
            if let Some(expert) = self.folders.get(at) {
                hit.insert(*expert);
                break;
            }
            if at.is_empty() {
                break;
            }
            at = at.rsplit_once('/').map_or("", |(above, _)| above);
        }
        // A submodule that moved: everything below it.
        let inside = format!("{file}/");
        let all = self.folders.range(inside.clone()..).take_while(|(folder, _)| folder.starts_with(&inside));
        hit.extend(all.map(|(_, expert)| *expert));
        if file.is_empty() {
            hit.extend(self.folders.values().copied());
        }
        hit
    }
}
