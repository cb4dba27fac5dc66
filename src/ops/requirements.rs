//! What experts require of each other, over the whole repo: unmet, cyclic or contradictory requirements.

use std::collections::BTreeMap;

use crate::base::{At, Diagnostic, Result};
use crate::check::requires::{self, Summary};
use crate::format::manifest::Manifest;
use crate::ops::build::Memo;
use crate::ops::workspace::Workspace;
use crate::spec::Expert;
use crate::store::{Index, Stat, fs};

/// What the requirements mean for a run.
#[derive(Debug, Default)]
pub struct Needs {
    /// Expert → experts whose packages come first.
    pub after: BTreeMap<usize, Vec<usize>>,
    /// Expert → why its requirements cannot be met.
    pub unmet: BTreeMap<usize, Vec<Diagnostic>>,
    /// What is worth telling.
    pub warnings: Vec<Diagnostic>,
}

/// Checks the requirements of the chosen experts, which are `known`. Others are read where the index does not know them.
pub fn check(workspace: &Workspace, index: &Index, known: &BTreeMap<usize, Memo>) -> Result<Needs> {
    let repo = &workspace.repo;
    let nobody = known.values().all(|m| m.requires.is_empty() && m.incompatible_with.is_empty());
    if nobody && known.len() < 2 {
        return Ok(Needs::default());
    }
    let mut numbers = Vec::with_capacity(repo.experts.len());
    let mut summaries = Vec::with_capacity(repo.experts.len());
    for (number, expert) in repo.experts.iter().enumerate() {
        let memo = match known.get(&number) {
            Some(memo) => Some(memo.clone()),
            // Nothing is required, so nobody else's manifest matters.
            None if nobody => None,
            None => remembered(workspace, index, expert).or_else(|| read(workspace, expert).map(|m| memo_of(&m))),
        };
        // One whose manifest has no name is no duplicate of another such.
        if let Some(memo) = memo.filter(|memo| !memo.name.is_empty()) {
            numbers.push(number);
            summaries.push(summary(expert, &memo));
        }
    }
    let externals = repo.externals.iter().map(|(name, version)| (name.clone(), version.value.clone())).collect();
    let mut checked = requires::check(&summaries, &externals);
    if !checked.found.is_empty() {
        // Only now places are worth reading manifests for.
        for (at, _) in &checked.found {
            if let Some(manifest) = read(workspace, &repo.experts[numbers[*at]]) {
                summaries[*at].requires = manifest.requires.iter().map(|p| (p.text.clone(), p.at.clone())).collect();
                summaries[*at].incompatible_with =
                    manifest.incompatible_with.iter().map(|p| (p.text.clone(), p.at.clone())).collect();
                summaries[*at].source = Some(manifest.text.clone());
            }
        }
        checked = requires::check(&summaries, &externals);
    }
    let mut needs = Needs::default();
    for (from, to) in checked.edges {
        needs.after.entry(numbers[from]).or_default().push(numbers[to]);
    }
    for (at, mut found) in checked.found {
        let number = numbers[at];
        if !known.contains_key(&number) {
            continue;
        }
        let Some(severity) = repo.experts[number].lints().severity(found.code) else { continue };
        found.severity = severity;
        if found.is_error() {
            needs.unmet.entry(number).or_default().push(found);
        } else {
            needs.warnings.push(found);
        }
    }
    Ok(needs)
}

/// What is known of every expert, in the order of the repo. One whose manifest cannot be read is known by its folder.
pub fn summaries(workspace: &Workspace, index: &Index) -> Vec<Summary> {
    let known = |expert: &Expert| {
        let memo = remembered(workspace, index, expert).or_else(|| read(workspace, expert).map(|m| memo_of(&m)));
        summary(expert, &memo.unwrap_or_default())
    };
    workspace.repo.experts.iter().map(known).collect()
}

fn summary(expert: &Expert, memo: &Memo) -> Summary {
    let plain = |texts: &[String]| texts.iter().map(|t| (t.clone(), At::File)).collect();
    Summary {
        folder: expert.folder.clone(),
        name: memo.name.clone(),
        version: memo.version.clone(),
        tags: expert.tags.value.iter().map(|t| t.value.clone()).collect(),
        models: memo.models.clone(),
        requires: plain(&memo.requires),
        incompatible_with: plain(&memo.incompatible_with),
        load_order: memo.load_order,
        manifest: expert.path(&expert.manifest.value).to_string(),
        source: None,
    }
}

/// What the index knows of an expert, if its manifest is the same file as then.
fn remembered(workspace: &Workspace, index: &Index, expert: &Expert) -> Option<Memo> {
    let view = index.get(expert.label())?;
    let record = view.decode()?;
    let path = expert.path(&expert.manifest.value);
    let input = record.inputs.iter().find(|i| i.seen.path == path.as_str())?;
    let stat = Stat::of(&path.under(&workspace.root)).ok()?;
    (input.seen.stat == Some(stat)).then(|| Memo::decode(&record.memo)).flatten()
}

fn read(workspace: &Workspace, expert: &Expert) -> Option<Manifest> {
    let path = expert.path(&expert.manifest.value);
    let (bytes, _) = fs::read(&path.under(&workspace.root), 64 << 20).ok()??;
    Manifest::read(&bytes, expert.manifest.value.as_str()).0
}

fn memo_of(manifest: &Manifest) -> Memo {
    Memo {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        models: manifest.base_models.iter().map(|m| m.name.clone()).collect(),
        requires: manifest.requires.iter().map(|p| p.text.clone()).collect(),
        incompatible_with: manifest.incompatible_with.iter().map(|p| p.text.clone()).collect(),
        load_order: manifest.load_order,
        packages: manifest.base_models.len(),
    }
}
