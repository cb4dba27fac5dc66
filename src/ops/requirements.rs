//! What experts require of each other, over the whole repo: unmet, cyclic or contradictory requirements.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::codes::repo::{DUPLICATE_EXPERT, REQUIREMENT_UNMET};
use crate::base::{Diagnostic, Result};
use crate::check::requires;
use crate::ops::experts::{read, remembered, summary};
use crate::ops::memo::Memo;
use crate::ops::workspace::Workspace;
use crate::store::Index;

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

impl Needs {
    /// Experts whose packages come after those of an expert that cannot be built, directly or through others.
    pub fn held_back(&self) -> BTreeSet<usize> {
        let mut waiting: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (expert, before) in &self.after {
            before.iter().for_each(|before| waiting.entry(*before).or_default().push(*expert));
        }
        let mut held = BTreeSet::new();
        let mut stuck: Vec<usize> = self.unmet.keys().copied().collect();
        while let Some(number) = stuck.pop() {
            let those = waiting.get(&number).into_iter().flatten().copied();
            stuck.extend(those.filter(|expert| held.insert(*expert)));
        }
        held
    }
}

/// Do these experts, of a repo that was recalled, say the same of themselves as the index remembers? Then nothing that was
/// right is wrong now; and no packages come after others: of several experts none requires anything.
pub fn is_as_remembered(workspace: &Workspace, index: &Index, now: &[(usize, Memo)]) -> bool {
    let is_same = |number: &usize, now: &Memo| {
        let then = index.get(workspace.repo.experts[*number].label()).and_then(|view| Memo::decode(view.memo()?));
        then.is_some_and(|then| Memo { warnings: now.warnings, ..then } == *now)
    };
    workspace.recalls(index)
        && now.iter().all(|(number, memo)| is_same(number, memo))
        && (now.len() < 2 || now.iter().all(|(_, memo)| memo.requires.is_empty()))
}

/// Checks the requirements of the chosen experts, which are `known`. Others are read where the index does not know them.
pub fn check(workspace: &Workspace, index: &Index, known: &BTreeMap<usize, Memo>) -> Result<Needs> {
    let mut needs = one_place_each(workspace, index, known);
    let repo = &workspace.repo;
    let nobody = known.values().all(|m| m.requires.is_empty() && m.incompatible_with.is_empty());
    // Where nobody requires anything, only two of the same name could be wrong.
    let mut names = BTreeSet::new();
    if nobody && known.values().all(|memo| memo.name.is_empty() || names.insert((&memo.name, &memo.version))) {
        return Ok(needs);
    }
    drop(names);
    let mut numbers = Vec::with_capacity(repo.experts.len());
    let mut summaries = Vec::with_capacity(repo.experts.len());
    for (number, expert) in repo.experts.iter().enumerate() {
        let memo = match known.get(&number) {
            Some(memo) => Some(memo.clone()),
            // Nothing is required, so nobody else's manifest matters.
            None if nobody => None,
            None => remembered(&workspace.root, index, expert)
                .or_else(|| read(&workspace.root, expert).map(|m| Memo::of_manifest(&m))),
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
            if let Some(manifest) = read(&workspace.root, &repo.experts[numbers[*at]]) {
                summaries[*at].requires = manifest.requires.iter().map(|p| (p.text.clone(), p.at.clone())).collect();
                summaries[*at].incompatible_with =
                    manifest.incompatible_with.iter().map(|p| (p.text.clone(), p.at.clone())).collect();
                summaries[*at].source = Some(manifest.text.clone());
            }
        }
        checked = requires::check(&summaries, &externals);
    }
    for (from, to) in checked.edges {
        needs.after.entry(numbers[from]).or_default().push(numbers[to]);
    }
    for (at, mut found) in checked.found {
        let number = numbers[at];
        if !known.contains_key(&number) {
            continue;
        }
        // A lone expert without an Expertfile has no repo that could have what it requires, and no place to say so.
        if repo.expertfile.is_none() && repo.experts.len() == 1 && found.code == &REQUIREMENT_UNMET {
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

/// Experts that would write over a package of another one: the second of each two.
fn one_place_each(workspace: &Workspace, index: &Index, known: &BTreeMap<usize, Memo>) -> Needs {
    let (mut needs, mut taken) = (Needs::default(), BTreeMap::new());
    if known.values().any(|memo| !memo.outside.is_empty()) {
        // Experts that are not built now have their packages there as well.
        for (number, expert) in workspace.repo.experts.iter().enumerate().filter(|(n, _)| !known.contains_key(n)) {
            let memo = remembered(&workspace.root, index, expert).unwrap_or_default();
            taken.extend(memo.outside.into_iter().map(|place| (place, number)));
        }
    }
    for (number, memo) in known {
        for place in &memo.outside {
            let Some(other) = taken.insert(place.clone(), *number).filter(|other| other != number) else { continue };
            let other = workspace.repo.experts[other].label();
            let message = format!("its package `{place}` is also that of the expert in `{other}`");
            let mut found = Diagnostic::new(&DUPLICATE_EXPERT, message)
                .help("give one of the two another name, or put `{name}`, `{version}` and `{model}` into the `name` of packages");
            found.expert = Some(memo.name.clone());
            found.folder = Some(workspace.repo.experts[*number].label().to_owned());
            needs.unmet.entry(*number).or_default().push(found);
        }
    }
    needs
}
