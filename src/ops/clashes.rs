//! What only all experts together show: two that would write one file, and weights that were copied from one to another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::codes::repo::DUPLICATE_EXPERT;
use crate::base::{Diagnostic, Severity};
use crate::check::tensors::{self, Copied};
use crate::engine::job::{Finished, Job};
use crate::ops::build::{Memo, Surveyed};
use crate::ops::experts::remembered;
use crate::ops::history::{History, Past};
use crate::ops::workspace::Workspace;
use crate::store::Index;

/// Packages of these jobs that would be written to one file with another's: findings by expert.
pub(crate) fn outputs(
    workspace: &Workspace,
    index: &Index,
    jobs: &[Job],
    surveyed: &[Surveyed],
) -> Vec<(usize, Diagnostic)> {
    let mut owners: BTreeMap<PathBuf, usize> = BTreeMap::new();
    // Only a folder that experts share can hold packages of those that are not built now.
    if jobs.iter().any(|job| job.target.out_dir.is_some()) {
        let ours: BTreeSet<usize> = jobs.iter().map(|job| job.number).collect();
        for (number, expert) in workspace.repo.experts.iter().enumerate().filter(|(n, _)| !ours.contains(n)) {
            // What an expert wrote under another manifest says nothing about what it would write now.
            if remembered(&workspace.root, index, expert).is_none() {
                continue;
            }
            let record = index.get(expert.label()).and_then(|view| view.decode()).unwrap_or_default();
            let packages = record.outputs.into_iter().filter(|output| output.is_package);
            owners.extend(packages.map(|output| (workspace.root.join(output.seen.path), number)));
        }
    }
    let mut found = Vec::new();
    for (job, surveyed) in jobs.iter().zip(surveyed) {
        for output in surveyed.iter().flat_map(|(_, _, outputs)| outputs) {
            let Some(owner) = owners.insert(output.clone(), job.number) else { continue };
            let label = |number: usize| workspace.repo.experts[number].label();
            let (path, other) = (shown(&workspace.root, output), label(owner));
            let mut finding = if owner == job.number {
                let message = format!("two base models of `{other}` would be written to `{path}`");
                Diagnostic::new(&DUPLICATE_EXPERT, message)
                    .help("give one of them another `slug` in the Expertfile: `[expert.model.\"…\"]`")
            } else {
                let message = format!("`{other}` and `{}` would both be written to `{path}`", label(job.number));
                Diagnostic::new(&DUPLICATE_EXPERT, message)
                    .help("rename one of the two, give it another version, or another `name` or `out-dir`")
            };
            finding = finding.file(&job.target.expert.path(&job.target.expert.manifest.value));
            finding.expert = Some(job.name());
            found.push((job.number, finding));
        }
    }
    found
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// Weights of experts that were just built and are those of another expert: findings by folder. `index` is what was
/// known before; where no weights changed there is nothing to compare.
pub(crate) fn copies(
    workspace: &Workspace,
    index: &Index,
    built: &BTreeMap<String, Finished>,
) -> Vec<(String, Diagnostic)> {
    let prints = |history: &History| -> BTreeSet<_> {
        history.packages.iter().flat_map(|past| past.weights.iter().map(|(_, print)| *print)).collect()
    };
    let mut changed: BTreeMap<&str, &str> = BTreeMap::new();
    let mut news = Vec::new();
    for (label, finished) in built {
        let history = History::decode(&finished.record.memo);
        let before = index.get(label).and_then(|view| Some(History::decode(view.memo()?))).unwrap_or_default();
        if !prints(&history).is_subset(&prints(&before)) {
            changed.insert(label, "");
        }
        news.push((label.as_str(), name(&finished.record.memo), history));
    }
    if changed.is_empty() {
        return Vec::new();
    }
    let mut all = Vec::new();
    for expert in workspace.repo.experts.iter().filter(|expert| !built.contains_key(expert.label())) {
        if let Some(memo) = index.get(expert.label()).and_then(|view| view.memo()) {
            all.extend(copied(&name(memo), History::decode(memo).packages));
        }
    }
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    // Those that did not change come first: a copy is told where it came to be.
    news.sort_by_key(|(label, ..)| changed.contains_key(label));
    for (label, name, history) in news {
        if changed.contains_key(label) {
            folders.insert(name.clone(), label);
        }
        all.extend(copied(&name, history.packages));
    }
    let found = tensors::copies(&all).into_iter();
    let placed = found.filter_map(|found| Some(((*folders.get(found.expert.as_ref()?)?).to_owned(), found)));
    let levelled = placed.filter_map(|(label, mut found)| {
        let expert = workspace.repo.experts.iter().find(|expert| expert.label() == label)?;
        found.severity = expert.lints().severity(found.code)?;
        Some((label, found))
    });
    levelled.collect()
}

fn name(memo: &[u8]) -> String {
    Memo::decode(memo).map(|memo| memo.name).unwrap_or_default()
}

/// The weights of an expert; those that two of its models share were told when it was validated.
fn copied(expert: &str, packages: Vec<Past>) -> Vec<Copied> {
    let mut seen = BTreeSet::new();
    let weights = packages.into_iter().flat_map(|past| past.weights);
    let once = weights.filter(|(_, print)| seen.insert(*print));
    once.map(|(path, fingerprint)| Copied {
        expert: expert.to_owned(),
        model: None,
        path: path.to_string(),
        fingerprint,
    })
    .collect()
}

/// Is it more than a warning?
pub(crate) fn is_error(found: &Diagnostic) -> bool {
    found.severity == Severity::Error
}
