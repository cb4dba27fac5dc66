//! Which experts selectors name, by what the index or the manifests say of them.

use crate::base::Result;
use crate::check::requires;
use crate::ops::requirements;
use crate::ops::workspace::Workspace;
use crate::spec::select;
use crate::store::Index;

/// The experts that these selectors name, by number; without any, those that are meant by default. Paths are relative
/// to the folder that the user stands in.
pub fn choose(workspace: &Workspace, selectors: &[String]) -> Result<Vec<usize>> {
    if selectors.is_empty() {
        return Ok(workspace.defaults());
    }
    let summaries = requirements::summaries(workspace, &Index::load(&workspace.index));
    let beside = selectors.iter().any(|selector| selector.starts_with('+') || selector.ends_with('+'));
    let edges = match beside {
        true => {
            let externals = workspace.repo.external_versions();
            requires::check(&summaries, &externals).edges
        }
        false => Vec::new(),
    };
    let selectors: Vec<String> = selectors.iter().map(|selector| from_root(workspace, selector)).collect();
    select(&summaries, &edges, &selectors)
}

/// A selector that is a path, as seen from the root of the repo.
fn from_root(workspace: &Workspace, selector: &str) -> String {
    let bare = selector.strip_prefix('+').unwrap_or(selector);
    let path = bare.strip_suffix('+').unwrap_or(bare);
    let is_path = (path.contains('/') || path == "." || path == "..") && !path.contains(':');
    if !is_path {
        return selector.to_owned();
    }
    let root = workspace.root.to_string_lossy();
    let mut parts: Vec<&str> = Vec::new();
    let path = match path.strip_prefix(&*root) {
        Some(below) => below,
        None => {
            parts.extend(workspace.standing.iter().flat_map(|standing| standing.as_str().split('/')));
            path
        }
    };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let (before, after) = (&selector[..selector.len() - bare.len()], &bare[path_len(bare)..]);
    format!("{before}./{}{after}", parts.join("/"))
}

/// The length of a selector without its `+` at the end.
fn path_len(bare: &str) -> usize {
    bare.strip_suffix('+').unwrap_or(bare).len()
}
