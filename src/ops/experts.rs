//! What every expert of the repo is, and which of them a selector names: from the index, without opening a file where it
//! still holds.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;

use crate::base::{At, RelPath, Result};
use crate::check::requires::{self, Summary};
use crate::engine::freshness;
use crate::format::manifest::Manifest;
use crate::ops::memo::Memo;
use crate::ops::workspace::Workspace;
use crate::spec::{Expert, select as by_selector};
use crate::store::{Index, Stat, fs};

/// The experts of a repo, by their number in it.
#[derive(Debug, Clone, Default)]
pub struct Experts {
    /// What each is. One whose manifest cannot be read has neither name nor version.
    pub summaries: Vec<Summary>,
    /// How many packages each makes, as far as it is known.
    pub packages: Vec<usize>,
}

impl Experts {
    /// All experts of the repo: as the index remembers them where the manifest is the same file as then, else read.
    pub fn of(workspace: &Workspace, index: &Index, threads: usize) -> Self {
        let read = |expert: &Arc<Expert>| {
            let memo = known(workspace, index, expert)
                .or_else(|| read(&workspace.root, expert).as_ref().map(Memo::of_manifest))
                .unwrap_or_default();
            (summary(expert, &memo), memo.packages)
        };
        let (summaries, packages) = freshness::in_parallel(&workspace.repo.experts, threads, &read).into_iter().unzip();
        Self { summaries, packages }
    }

    /// Who requires whom: the first needs the second.
    pub fn edges(&self, workspace: &Workspace) -> Vec<(usize, usize)> {
        requires::check(&self.summaries, &workspace.repo.external_versions()).edges
    }

    /// How the user knows an expert: its name, or its folder where that is not known.
    pub fn name(&self, expert: usize) -> &str {
        let summary = &self.summaries[expert];
        let folder = summary.folder.as_ref().map_or(".", RelPath::as_str);
        if summary.name.is_empty() { folder } else { &summary.name }
    }
}

/// The experts that the selectors name, by number and in order; without selectors those that are built when none is named.
pub fn select(workspace: &Workspace, selectors: &[String], threads: usize) -> Result<Vec<usize>> {
    if selectors.is_empty() {
        return Ok(workspace.defaults());
    }
    let experts = Experts::of(workspace, &workspace.known(), threads);
    let follows = selectors.iter().any(|s| s.starts_with('+') || s.ends_with('+'));
    let edges = if follows { experts.edges(workspace) } else { Vec::new() };
    let mut chosen = BTreeSet::new();
    for selector in selectors {
        let one = |text: String| by_selector(&experts.summaries, &edges, &[text]);
        // A path is meant from where the user stands; from the root of the repo it is understood as well.
        let here = from_here(workspace, selector).and_then(|text| one(text).ok());
        chosen.extend(match here {
            Some(found) => found,
            None => one(selector.clone())?,
        });
    }
    Ok(chosen.into_iter().collect())
}

/// A selector that is a path, as a path below the repo's root.
fn from_here(workspace: &Workspace, selector: &str) -> Option<String> {
    let (plus, rest) = selector.strip_prefix('+').map_or(("", selector), |rest| ("+", rest));
    let (rest, end) = rest.strip_suffix('+').map_or((rest, ""), |rest| (rest, "+"));
    let is_path = rest.contains('/') || matches!(rest, "." | "..");
    if !is_path || rest.starts_with("tag:") || rest.starts_with("model:") {
        return None;
    }
    let below = match Path::new(rest).is_absolute() {
        true => Path::new(rest).strip_prefix(&workspace.root).ok()?.to_str()?.to_owned(),
        false => {
            let mut parts: Vec<&str> = workspace.standing.iter().flat_map(|s| s.as_str().split('/')).collect();
            for part in rest.split('/') {
                match part {
                    "" | "." => {}
                    ".." => drop(parts.pop()?),
                    part => parts.push(part),
                }
            }
            parts.join("/")
        }
    };
    let below = if below.is_empty() { ".".to_owned() } else { format!("./{below}") };
    Some(format!("{plus}{below}{end}"))
}

/// What the index knows of an expert that was seen to be as it was, or else whose manifest is the same file as then.
fn known(workspace: &Workspace, index: &Index, expert: &Expert) -> Option<Memo> {
    match workspace.glanced(index).filter(|glance| glance.looked.is_fresh_now(expert.label())) {
        Some(_) => Memo::decode(index.get(expert.label())?.memo()?),
        None => remembered(&workspace.root, index, expert),
    }
}

/// What the index knows of an expert, if its manifest is the same file as then.
pub(crate) fn remembered(root: &Path, index: &Index, expert: &Expert) -> Option<Memo> {
    let view = index.get(expert.label())?;
    let path = CString::new(expert.path(&expert.manifest.value).as_str()).ok()?;
    let then = view.input(&path)??;
    let now = Stat::following(&root.join(path.to_str().ok()?)).ok()?;
    if then == now { Memo::decode(view.memo()?) } else { None }
}

/// The expert's manifest.
pub(crate) fn read(root: &Path, expert: &Expert) -> Option<Manifest> {
    let path = expert.path(&expert.manifest.value);
    let (bytes, _) = fs::read(&path.under(root), 64 << 20).ok()??;
    Manifest::read(&bytes, expert.manifest.value.as_str()).0
}

pub(crate) fn summary(expert: &Expert, memo: &Memo) -> Summary {
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
