//! `lock`: writes Expertfile.lock after a build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::base::event::Observer;
use crate::base::{Error, Event, Result, Sha256};
use crate::engine::freshness::in_parallel;
use crate::engine::survey::Survey;
use crate::engine::target::Target;
use crate::ops::build::{Options, Report, build};
use crate::ops::experts::Experts;
use crate::ops::history::History;
use crate::ops::locked::{inputs, load};
use crate::ops::workspace::Workspace;
use crate::spec::lock::{Id, Lock, Locked, NAME};
use crate::store::{Index, fs, output};

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Written {
    /// The lock file.
    pub path: PathBuf,
    /// Packages in it.
    pub packages: usize,
    /// Packages that are new in it or other than before.
    pub changed: Vec<String>,
}

/// Builds the chosen experts and writes what they are into the lock file. Experts that were not chosen keep their
/// entries, those that are gone lose them. Nothing is written where an expert failed. How much a package may grow since
/// the lock file was written does not count: this is how what was meant is agreed to.
pub fn lock(
    workspace: &Workspace,
    chosen: &[usize],
    options: &Options,
    cancel: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<(Report, Option<Written>)> {
    let before = before(workspace, chosen, observer)?;
    let options = Options { locked: false, unlocked: true, whole: true, ..options.clone() };
    let report = build(workspace, chosen, &options, cancel, observer)?;
    if !report.failed.is_empty() || !report.skipped.is_empty() || options.dry_run || options.frozen || options.check {
        return Ok((report, None));
    }
    if let Some(error) = &report.forgotten {
        // What it says is of another build.
        return Err(error.again());
    }
    let index = Index::load(&workspace.index);
    let targets = workspace.targets(chosen)?;
    let made = in_parallel(&targets, options.jobs, &|target: &Arc<Target>| entries((&index, &workspace.index), target));
    let experts = Experts::of(workspace, &index, options.jobs);
    let others: BTreeSet<&str> = (0..experts.summaries.len())
        .filter(|number| !chosen.contains(number))
        .map(|number| experts.summaries[number].name.as_str())
        .collect();
    let mut lock = Lock::default();
    lock.packages.extend(before.packages.clone().into_iter().filter(|(id, _)| others.contains(id.name.as_str())));
    for entries in made {
        lock.packages.extend(entries?);
    }
    let changed = lock.packages.iter().filter(|(id, locked)| before.packages.get(id) != Some(locked));
    let changed = changed.map(|(id, _)| format!("{} {}", id.name, id.version)).collect();
    let path = workspace.root.join(NAME);
    let text = lock.text()?;
    if !matches!(fs::read(&path, 256 << 20)?, Some((bytes, _)) if bytes == text.as_bytes()) {
        output::tidy_beside(&path);
        output::write(&path, text.as_bytes())?;
    }
    Ok((report, Some(Written { path, packages: lock.packages.len(), changed })))
}

/// The lock file as it is. One that nobody can read, after a merge perhaps, is replaced, where all that it could hold is
/// built now.
fn before(workspace: &Workspace, chosen: &[usize], observer: &mut dyn Observer) -> Result<Lock> {
    match load(workspace) {
        Ok(found) => Ok(found.unwrap_or_default()),
        Err(Error::Usage { message, .. }) if chosen.len() == workspace.repo.experts.len() => {
            observer.on(&Event::Notice { message: format!("{message}; it is written anew") });
            Ok(Lock::default())
        }
        Err(error) => Err(error),
    }
}

/// What the lock file says of an expert that was just built.
fn entries((index, at): (&Index, &Path), target: &Target) -> Result<Vec<(Id, Locked)>> {
    let survey = Survey::take(target)?;
    let record = index.get(target.key()).and_then(|view| view.decode());
    let (Some(record), Some(manifest)) = (record, &survey.manifest) else {
        let unknown = std::io::Error::other(format!("it holds nothing of `{}`: was it written?", target.key()));
        return Err(Error::io("find what was just built in", at, unknown));
    };
    let all: BTreeMap<String, Sha256> = inputs(target, &record).collect();
    let history = History::kept(&record);
    let packages: Vec<_> = record.outputs.iter().filter(|output| output.is_package).collect();
    if packages.len() != survey.layouts.len() {
        return Err(Error::usage(format!("`{}` changed while it was being locked", target.key())));
    }
    let mut entries = Vec::new();
    for (at, (output, layout)) in packages.into_iter().zip(&survey.layouts).enumerate() {
        let sources = layout.members.iter().map(|member| member.source.as_str());
        let own = sources.chain([survey.manifest_file.path.as_str()]);
        let locked = Locked {
            sha256: output.sha256,
            bytes: output.seen.stat.map_or(0, |stat| stat.size),
            signed: history.packages.get(at).is_some_and(|past| past.signed),
            inputs: own.filter_map(|path| Some((path.to_owned(), *all.get(path)?))).collect(),
        };
        let model = layout.one_of_several.then(|| manifest.base_models[layout.model].name.clone());
        entries.push((Id { name: manifest.name.clone(), version: manifest.version.clone(), model }, locked));
    }
    Ok(entries)
}
