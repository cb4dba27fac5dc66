//! What only all experts together show: weights that were copied from one to another.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Diagnostic, Result, Severity};
use crate::check::tensors::{self, Copied};
use crate::format::safetensors::Fingerprint;
use crate::ops::history::{History, Past};
use crate::ops::ledger::Ledger;
use crate::ops::memo::Memo;
use crate::ops::workspace::Workspace;
use crate::store::Index;

/// Weights of experts that were just worked on and are those of another expert: findings by folder. `index` is what was
/// known before; where no weights changed there is nothing to compare, unless `all` are to be told.
pub(crate) fn copies(
    workspace: &Workspace,
    index: &Index,
    ledger: &Ledger<'_>,
    all: bool,
) -> Result<Vec<(String, Diagnostic)>> {
    let changed: BTreeSet<u32> = ledger.experts().filter(|(.., new)| all || *new).map(|(_, job, _)| job).collect();
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let history = |key: &str| index.get(key).and_then(|view| view.memo()).map(History::decode).unwrap_or_default();
    let others = || workspace.repo.experts.iter().map(|expert| expert.label()).filter(|label| !ledger.holds(label));
    // First who has something in common with anybody, which hardly ever is the case, by fingerprints alone.
    let mut prints: Vec<(Fingerprint, Who)> =
        ledger.weights().iter().map(|(print, job)| (*print, Who::New(*job))).collect();
    for (number, label) in others().enumerate() {
        let once: BTreeSet<Fingerprint> =
            history(label).packages.into_iter().flat_map(|past| past.weights).map(|(_, print)| print).collect();
        prints.extend(once.into_iter().map(|print| (print, Who::Other(number as u32))));
    }
    prints.sort_unstable();
    let several = prints.chunk_by(|one, other| one.0 == other.0).filter(|same| same.len() > 1);
    let alike: BTreeSet<Who> = several.flatten().map(|(_, who)| *who).collect();
    drop(prints);
    if alike.is_empty() {
        return Ok(Vec::new());
    }
    let mut weights = Vec::new();
    for (_, label) in others().enumerate().filter(|(number, _)| alike.contains(&Who::Other(*number as u32))) {
        let memo = index.get(label).and_then(|view| view.memo()).unwrap_or_default();
        weights.extend(copied(&name(memo), History::decode(memo).packages));
    }
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    // Those that did not change come first: a copy is told where it came to be.
    for is_changed in [false, true] {
        for (label, job, _) in ledger.experts().filter(|(_, job, _)| changed.contains(job) == is_changed) {
            if !alike.contains(&Who::New(job)) {
                continue;
            }
            let memo = ledger.memo(label)?;
            let name = name(&memo);
            weights.extend(copied(&name, History::decode(&memo).packages));
            if is_changed {
                folders.insert(name, label);
            }
        }
    }
    let numbers: BTreeMap<&str, usize> =
        workspace.repo.experts.iter().enumerate().map(|(number, expert)| (expert.label(), number)).collect();
    let found = tensors::copies(&weights).into_iter();
    let placed = found.filter_map(|found| Some(((*folders.get(found.expert.as_ref()?)?).to_owned(), found)));
    let levelled = placed.filter_map(|(label, mut found)| {
        let expert = &workspace.repo.experts[*numbers.get(label.as_str())?];
        found.severity = expert.lints().severity(found.code)?;
        found.folder = Some(label.clone());
        Some((label, found))
    });
    Ok(levelled.collect())
}

/// An expert: the number of its job, or its place among those that nothing was done for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Other(u32),
    New(u32),
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
