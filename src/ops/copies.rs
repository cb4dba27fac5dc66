//! What only all experts together show: weights that were copied from one to another.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Diagnostic, Severity};
use crate::check::tensors::{self, Copied};
use crate::ops::history::{History, Past};
use crate::ops::memo::Memo;
use crate::ops::workspace::Workspace;
use crate::store::Index;

/// Weights of experts that were just worked on and are those of another expert: findings by folder. `index` is what was
/// known before; where no weights changed there is nothing to compare, unless `all` are to be told.
pub(crate) fn copies(
    workspace: &Workspace,
    index: &Index,
    memos: &BTreeMap<String, Vec<u8>>,
    all: bool,
) -> Vec<(String, Diagnostic)> {
    let prints = |history: &History| -> BTreeSet<_> {
        history.packages.iter().flat_map(|past| past.weights.iter().map(|(_, print)| *print)).collect()
    };
    let mut changed: BTreeSet<&str> = BTreeSet::new();
    let mut news = Vec::new();
    for (label, memo) in memos {
        let history = History::decode(memo);
        let before = || index.get(label).and_then(|view| Some(History::decode(view.memo()?))).unwrap_or_default();
        if all || !prints(&history).is_subset(&prints(&before())) {
            changed.insert(label);
        }
        news.push((label.as_str(), name(memo), history));
    }
    if changed.is_empty() {
        return Vec::new();
    }
    let mut weights = Vec::new();
    for expert in workspace.repo.experts.iter().filter(|expert| !memos.contains_key(expert.label())) {
        if let Some(memo) = index.get(expert.label()).and_then(|view| view.memo()) {
            weights.extend(copied(&name(memo), History::decode(memo).packages));
        }
    }
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    // Those that did not change come first: a copy is told where it came to be.
    news.sort_by_key(|(label, ..)| changed.contains(label));
    for (label, name, history) in news {
        if changed.contains(label) {
            folders.insert(name.clone(), label);
        }
        weights.extend(copied(&name, history.packages));
    }
    let found = tensors::copies(&weights).into_iter();
    let placed = found.filter_map(|found| Some(((*folders.get(found.expert.as_ref()?)?).to_owned(), found)));
    let levelled = placed.filter_map(|(label, mut found)| {
        let expert = workspace.repo.experts.iter().find(|expert| expert.label() == label)?;
        found.severity = expert.lints().severity(found.code)?;
        found.folder = Some(label.clone());
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
