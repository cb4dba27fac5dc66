//! `--watch`: builds again whenever something that experts are made of has changed and come to rest.
//!
//! What is watched: each expert's folder with all below it but hidden folders and outputs; the folders on the way to
//! it, where new experts appear; the Expertfile, the user's configuration and the base models' configs. What changed is
//! not asked: the index finds out, as always.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::codes::files::FILE_CHANGED;
use crate::base::{Error, Result};
use crate::ops::build::Report;
use crate::ops::workspace::{Setup, Workspace};
use crate::spec::expertfile;
use crate::store::output::TEMPORARY;
use crate::store::watcher::{Rest, Watcher};
use crate::store::{Index, fs};

/// How soon an expert whose files changed while they were read is tried again, if nothing more is heard of them.
const AGAIN: Duration = Duration::from_millis(300);

/// One build of many.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Cycle {
    /// Its number; the first builds what is stale to begin with.
    pub number: usize,
    /// What changed, below the repo where it lies there.
    pub changed: Vec<String>,
}

/// Builds, and builds again after each change, until `cancel` is set: then [`Error::Interrupted`]. `build` tells its
/// errors itself; none of them ends the watch, as the next save may mend them. A repo that cannot be read to begin with
/// does. What is written to the files `ours`, reports above all, is no change.
pub fn watch(
    setup: &Setup,
    ours: &[PathBuf],
    build: &mut dyn FnMut(&Cycle) -> Result<Report>,
    cancel: &AtomicBool,
) -> Result<()> {
    let mut watcher = Watcher::new()?;
    let mut watched = Watched::of(setup)?;
    watched.ours = ours.iter().filter_map(|path| real(path)).collect();
    watcher.follow(watched.folders.clone())?;
    let mut cycle = Cycle { number: 1, changed: Vec::new() };
    loop {
        let outcome = build(&cycle);
        if cancel.load(Ordering::Relaxed) || matches!(outcome, Err(Error::Interrupted)) {
            return Err(Error::Interrupted);
        }
        let again = changed_while_read(&outcome).then_some(AGAIN);
        // The build may have made folders and outputs. To look at all of a large repo again takes a moment, in which nothing
        // is heard of the next save; a package that was built anew where it lay is no reason.
        if cycle.number == 1 || !outcome.as_ref().is_ok_and(|report| !report.has_new_places) || watched.lacks_folders()
        {
            watched.renew(setup, &mut watcher)?;
        }
        let paths = match watcher.rest(&|path| watched.ignores(path), again, cancel)? {
            Rest::Stopped => return Err(Error::Interrupted),
            Rest::Changed(paths) => paths,
        };
        // Before the next build: what comes into a new folder after it was looked at must be heard of.
        if watched.is_reshaped_by(&paths) {
            watched.renew(setup, &mut watcher)?;
        }
        let shown = |path: &PathBuf| path.strip_prefix(&watched.root).unwrap_or(path).display().to_string();
        cycle = Cycle { number: cycle.number + 1, changed: paths.iter().map(shown).collect() };
    }
}

/// Did a file change while it was read? Then the build is worth trying again.
fn changed_while_read(outcome: &Result<Report>) -> bool {
    let told = |error: &Error| error.diagnostics().iter().any(|found| found.code.name == FILE_CHANGED.name);
    match outcome {
        Ok(report) => report.failed.iter().any(|(_, error)| told(error)),
        Err(error) => told(error),
    }
}

/// What to watch.
struct Watched {
    root: PathBuf,
    folders: BTreeSet<PathBuf>,
    outputs: BTreeSet<PathBuf>,
    /// Folders that packages go to.
    output_folders: BTreeSet<PathBuf>,
    /// Those among them that hold nothing else, and are not watched.
    unwatched: BTreeSet<PathBuf>,
    /// Files that each build writes beside.
    ours: BTreeSet<PathBuf>,
}

/// A file by its name in the folder that its path leads to, as the system tells of it.
fn real(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(fs::canonical(folder).ok()?.join(path.file_name()?))
}

impl Watched {
    fn of(setup: &Setup) -> Result<Self> {
        let workspace = Workspace::open(setup.clone())?;
        let all: Vec<usize> = (0..workspace.repo.experts.len()).collect();
        let targets = workspace.targets(&all)?;
        let mut folders = BTreeSet::from([workspace.root.clone()]);
        let unwatched = targets.iter().filter_map(|t| Some(t.out_dir.as_deref()?.to_path_buf())).collect();
        for target in &targets {
            // The folders on the way, where experts are born.
            let above = target.folder.ancestors().skip(1).take_while(|above| above.starts_with(&workspace.root));
            folders.extend(above.map(Path::to_path_buf));
            walk(&target.folder, &unwatched, &mut folders)?;
            folders.extend(target.configs.iter().filter_map(|(_, path, _)| path.parent().map(Path::to_path_buf)));
        }
        folders.insert(setup.config_dir.clone());
        folders.retain(|folder| fs::is_dir(folder));
        let output_folders = targets.iter().map(|target| target.output_folder()).collect();
        Ok(Self {
            outputs: outputs(&workspace),
            output_folders,
            unwatched,
            root: workspace.root,
            folders,
            ours: BTreeSet::new(),
        })
    }

    /// Looks again. An Expertfile that is being written by hand may be wrong for a while: then all stays as it was.
    fn renew(&mut self, setup: &Setup, watcher: &mut Watcher) -> Result<()> {
        if let Ok(now) = Self::of(setup) {
            watcher.follow(now.folders.clone())?;
            *self = Self { ours: std::mem::take(&mut self.ours), ..now };
        }
        Ok(())
    }

    /// Did a folder of packages come to be that is to be watched?
    fn lacks_folders(&self) -> bool {
        let mut unknown = self.output_folders.difference(&self.folders);
        unknown.any(|folder| !self.unwatched.contains(folder) && fs::is_dir(folder))
    }

    /// May these changes mean that other folders are to be watched? Nearly all saves do not, and need not wait.
    fn is_reshaped_by(&self, changed: &BTreeSet<PathBuf>) -> bool {
        let settings = |path: &PathBuf| path.ends_with(expertfile::NAME) || path.ends_with("config.toml");
        changed.is_empty() || changed.iter().any(|p| settings(p) || self.folders.contains(p) || fs::is_dir(p))
    }

    /// Is a change there none of our business?
    fn ignores(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else { return true };
        name.starts_with(TEMPORARY)
            || name.ends_with(".expert")
            || name.ends_with(".expert.sha256")
            // What editors put beside a file while it is open: vim's swap file and its probe, backups, locks.
            || name.starts_with('.')
            || name.ends_with('~')
            || name == "4913"
            || self.outputs.contains(path)
            || self.ours.contains(path)
            || (self.output_folders.contains(path) && self.holds_nothing_else(path))
    }

    /// A folder that came to be because a package had to go somewhere.
    fn holds_nothing_else(&self, folder: &Path) -> bool {
        fs::list(folder).is_ok_and(|entries| entries.iter().all(|e| !e.is_dir && self.ignores(&folder.join(&e.shown))))
    }
}

/// This folder and all below it, but hidden ones and those that packages go to.
fn walk(folder: &Path, outputs: &BTreeSet<PathBuf>, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let mut ahead = vec![folder.to_path_buf()];
    while let Some(folder) = ahead.pop() {
        if outputs.contains(&*folder) {
            continue;
        }
        let below = fs::list(&folder)?.into_iter().filter(|e| e.is_dir && !e.shown.starts_with('.'));
        ahead.extend(below.map(|entry| folder.join(entry.shown)));
        found.insert(folder);
    }
    Ok(())
}

/// Everything that was built, whatever it is called.
fn outputs(workspace: &Workspace) -> BTreeSet<PathBuf> {
    let index = Index::load(&workspace.index);
    let experts = workspace.repo.experts.iter();
    let records = experts.filter_map(|expert| index.get(expert.label())?.decode());
    records.flat_map(|record| record.outputs).map(|output| workspace.root.join(output.seen.path)).collect()
}
