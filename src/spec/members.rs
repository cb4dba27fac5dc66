//! `Members`: finds the folders that the patterns of `[workspace] members` name.

use std::collections::BTreeSet;

use crate::base::codes::repo;
use crate::base::suggest;
use crate::base::{Diagnostic, RelPath, Result};
use crate::spec::Folder;
use crate::spec::expertfile::{NAME, WorkspaceTable};
use crate::spec::glob::{Glob, Globs};

/// How deep `**` looks.
const DEPTH: usize = 32;

/// Is there an expert in this folder, by its manifest or an Expertfile of its own?
pub fn is_expert(root: &dyn Folder, folder: Option<&RelPath>, manifest: &RelPath) -> Result<bool> {
    let inside = |name: &RelPath| folder.map_or_else(|| name.clone(), |folder| folder.join(name));
    let own = RelPath::new(NAME).expect("a relative path");
    // The root's Expertfile is the one that is being read.
    Ok(root.is_file(&inside(manifest))? || (folder.is_some() && root.is_file(&inside(&own))?))
}

/// The folder with a pattern's own text, where it holds nothing to match: `.` is `None`.
fn literal(glob: &Glob) -> Option<Option<RelPath>> {
    let text = glob.as_str().trim_start_matches('/');
    match RelPath::lenient(text) {
        _ if text.contains(['*', '?', '[', '\\']) => None,
        Ok(path) => Some(Some(path)),
        Err(_) => Some(None),
    }
}

/// Does a pattern of `members` or `default-members` name this folder? They are paths from the file's folder, so a
/// pattern without `/` means a folder right there, not one at any depth.
pub fn names(glob: &Glob, folder: Option<&RelPath>) -> bool {
    match folder {
        None => matches!(glob.as_str().trim_start_matches('!').trim_end_matches('/'), "." | "**"),
        Some(folder) => glob.matches_here(folder.as_str()),
    }
}

/// The members' folders.
pub fn find(
    root: &dyn Folder,
    workspace: &WorkspaceTable,
    manifest: &RelPath,
    found: &mut Vec<Diagnostic>,
) -> Result<BTreeSet<Option<RelPath>>> {
    let (mut members, mut unnamed) = (BTreeSet::new(), Vec::new());
    for pattern in workspace.members.iter().flat_map(|members| &members.value) {
        if pattern.value.is_negated() {
            members.retain(|folder: &Option<RelPath>| !names(&pattern.value, folder.as_ref()));
            unnamed.retain(|(path, _): &(String, Diagnostic)| !pattern.value.matches_here(path));
            continue;
        }
        if let Some(folder) = literal(&pattern.value) {
            match fault(root, folder.as_ref(), manifest)? {
                None => drop(members.insert(folder)),
                Some((message, help)) => {
                    found.push(pattern.finding(&repo::EXPERTFILE_MEMBER, message).help(help));
                }
            }
            continue;
        }
        let mut walk = Walk { root, manifest, folders: BTreeSet::new(), unnamed: Vec::new() };
        let text = pattern.value.as_str().trim_matches('/').to_owned();
        let segments: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        walk.go(None, &segments, 0)?;
        for path in &walk.unnamed {
            let message = format!("the folder `{}` has a name that no path of a member can hold", path.escape_debug());
            let help =
                "rename it: names are at most 255 bytes, without control characters and backslashes; or `exclude` it";
            unnamed.push((path.clone(), pattern.finding(&repo::EXPERTFILE_MEMBER, message).help(help)));
        }
        if walk.folders.is_empty() && walk.unnamed.is_empty() {
            let message = format!("`{}` matches no folder with a {manifest} or an {NAME}", pattern.value.as_str());
            let usual =
                || "a pattern is relative to this file; `*` matches one folder's name, `**` any depth".to_owned();
            let plain = segments.iter().take_while(|segment| !segment.contains(['*', '?', '[', '\\']));
            let above = RelPath::new(plain.copied().collect::<Vec<_>>().join("/")).ok();
            let help = unfilled(root, above.as_ref())?.unwrap_or_else(usual);
            found.push(pattern.finding(&repo::EXPERTFILE_MEMBER, message).help(help));
        }
        members.append(&mut walk.folders);
    }
    let excluded = Globs::new(workspace.exclude.iter().flat_map(|e| e.value.iter().map(|glob| glob.value.clone())));
    members.retain(|folder| folder.as_ref().is_none_or(|folder| !excluded.takes_folder(folder)));
    unnamed.retain(|(path, _)| excluded.verdict(path, true) != Some(true));
    found.extend(unnamed.into_iter().map(|(_, finding)| finding));
    Ok(members)
}

/// Why a folder that is named in full cannot be a member, and the way out.
pub fn fault(root: &dyn Folder, folder: Option<&RelPath>, manifest: &RelPath) -> Result<Option<(String, String)>> {
    if is_expert(root, folder, manifest)? {
        return Ok(None);
    }
    let name = folder.map_or(".", RelPath::as_str);
    let folder = match folder {
        Some(folder) if !root.is_dir(folder)? => folder,
        _ => {
            let help = "an expert's folder holds its manifest; the key `manifest` sets another name".to_owned();
            return Ok(Some((format!("there is no {manifest} in `{name}`"), help)));
        }
    };
    let parent = folder.parent();
    let beside = match &parent {
        Some(parent) if !root.is_dir(parent)? => Vec::new(),
        parent => root.list(parent.as_ref())?,
    };
    let message = format!("there is no folder `{name}`");
    if let Some(help) = unfilled(root, parent.as_ref())? {
        return Ok(Some((message, help)));
    }
    let folders = beside.iter().filter(|(_, is_dir)| *is_dir).map(|(name, _)| name.as_str());
    let near = suggest::nearest(folder.file_name(), folders);
    let near = near.map(|near| parent.map_or_else(|| near.to_owned(), |parent| format!("{parent}/{near}")));
    let help = near.map_or_else(
        || "paths are relative to the folder of this file".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Ok(Some((message, help)))
}

/// What may be wrong where experts should lie in a folder that is there and empty.
fn unfilled(root: &dyn Folder, folder: Option<&RelPath>) -> Result<Option<String>> {
    let Some(folder) = folder else { return Ok(None) };
    if !root.is_dir(folder)? || !root.list(Some(folder))?.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!("`{folder}` is empty: if it is a git submodule, `git submodule update --init` fills it")))
}

struct Walk<'a> {
    root: &'a dyn Folder,
    manifest: &'a RelPath,
    folders: BTreeSet<Option<RelPath>>,
    /// Folders with a manifest whose names no path can hold.
    unnamed: Vec<String>,
}

impl Walk<'_> {
    fn go(&mut self, at: Option<&RelPath>, segments: &[&str], depth: usize) -> Result<()> {
        if depth > DEPTH {
            return Ok(());
        }
        let Some((segment, rest)) = segments.split_first() else {
            if is_expert(self.root, at, self.manifest)? {
                self.folders.insert(at.cloned());
            }
            return Ok(());
        };
        if *segment == "**" {
            let before = self.folders.len();
            self.go(at, rest, depth)?;
            // What lies inside an expert is its own, however deep: no expert is looked for there.
            if self.folders.len() > before && rest.is_empty() && at.is_some() {
                return Ok(());
            }
            for folder in self.folders_in(at, rest, |name| !is_foreign(name))? {
                self.go(Some(&folder), segments, depth + 1)?;
            }
            return Ok(());
        }
        if !segment.contains(['*', '?', '[', '\\']) {
            let folder = RelPath::new(*segment).ok().map(|name| at.map_or_else(|| name.clone(), |at| at.join(&name)));
            return match folder {
                Some(folder) if self.root.is_dir(&folder)? => self.go(Some(&folder), rest, depth + 1),
                _ => Ok(()),
            };
        }
        let Ok(glob) = Glob::new(&format!("/{segment}")) else { return Ok(()) };
        let dotted = segment.starts_with('.');
        let wanted = |name: &str| glob.matches(name, true) && (dotted || !name.starts_with('.'));
        for folder in self.folders_in(at, rest, wanted)? {
            self.go(Some(&folder), rest, depth + 1)?;
        }
        Ok(())
    }

    fn folders_in(
        &mut self,
        at: Option<&RelPath>,
        rest: &[&str],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<RelPath>> {
        let mut folders = Vec::new();
        for (name, _) in self.root.list(at)?.into_iter().filter(|(name, is_dir)| *is_dir && wanted(name)) {
            match RelPath::new(name.as_str()) {
                Ok(name) => folders.push(at.map_or_else(|| name.clone(), |at| at.join(&name))),
                // An expert in it would be missed by nobody.
                Err(_) if rest.is_empty() && self.root.holds(at, &name, self.manifest)? => {
                    self.unnamed.push(at.map_or_else(|| name.clone(), |at| format!("{at}/{name}")));
                }
                Err(_) => {}
            }
        }
        Ok(folders)
    }
}

/// Folders that no search goes into: hidden ones, and those that package managers fill.
pub(crate) fn is_foreign(name: &str) -> bool {
    name.starts_with('.') || matches!(name, "node_modules" | "__pycache__" | "target" | "venv")
}
