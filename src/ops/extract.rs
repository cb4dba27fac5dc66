//! `extract`: the files of a package in a folder, verified on the way, and there only if all is well.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::event::Member;
use crate::base::{Error, RelPath, Result};
use crate::ops::contents::Contents;
use crate::ops::opened::Opened;
use crate::ops::verify::{self, Report, judge};
use crate::spec::{Glob, Globs};
use crate::store::extract::Extraction;

/// What was extracted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Extracted {
    /// The folder.
    pub target: PathBuf,
    /// The files, in byte order.
    pub files: Vec<Member>,
    /// What `verify` finds in the package.
    pub report: Report,
}

/// Extracts the files that `take` names into `target`. The package is read to its end and verified; one that is not
/// what it says it is leaves nothing behind. Files that are there are replaced only by `force`.
pub fn extract(
    package: &Path,
    target: &Path,
    take: &dyn Fn(&RelPath) -> bool,
    force: bool,
    options: &verify::Options,
) -> Result<Extracted> {
    extract_fully(package, target, take, &|_| None, force, options)
}

/// The same for those that the patterns take, all of them where there is none. A pattern that matches nothing is an error.
pub fn extract_matching(
    package: &Path,
    target: &Path,
    globs: &Globs,
    force: bool,
    options: &verify::Options,
) -> Result<Extracted> {
    let take = |path: &RelPath| globs.is_empty() || globs.takes(path);
    let idle = |held: &[&RelPath]| {
        let is_idle = |glob: &&Glob| !glob.is_negated() && !held.iter().any(|path| glob.covers(path.as_str(), false));
        globs.iter().find(is_idle).map(|glob| glob.as_str().to_owned())
    };
    extract_fully(package, target, &take, &idle, force, options)
}

/// `idle` names what was asked for and is none of the files that the package holds.
fn extract_fully(
    package: &Path,
    target: &Path,
    take: &dyn Fn(&RelPath) -> bool,
    idle: &dyn Fn(&[&RelPath]) -> Option<String>,
    force: bool,
    options: &verify::Options,
) -> Result<Extracted> {
    let opened = Opened::open(package, options.reading())?;
    opened.hash_aside(options.provenance.is_some());
    let mut extraction = Extraction::begin(target, force)?;
    let mut taken = Vec::new();
    let contents = Contents::read(&opened, |entry| {
        if !take(&entry.path) {
            return Ok(None);
        }
        taken.push(entry.path.clone());
        extraction.create(&entry.path).map(Some)
    })?;
    if taken.is_empty() {
        let paths: Vec<&str> = contents.files.keys().take(20).map(RelPath::as_str).collect();
        let help = format!("it holds: {}", paths.join(", "));
        return Err(Error::usage_help(format!("no file of `{}` is asked for", package.display()), help));
    }
    if let Some(glob) = idle(&contents.files.keys().collect::<Vec<_>>()) {
        let help = "nothing was extracted; `expert-build inspect` lists every file";
        return Err(Error::usage_help(format!("`{}` holds no file that matches `{glob}`", package.display()), help));
    }
    let report = judge(&opened, &contents, options)?;
    if let Some(problem) = report.problems.first() {
        let subject = problem.path.as_ref().map_or(String::new(), |path| format!(" `{path}`:"));
        let more = match report.problems.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let message = format!("not extracted:{subject} {}{more}", problem.message);
        return Err(opened.wrong(&message));
    }
    extraction.commit()?;
    taken.sort();
    let files = taken.into_iter().filter_map(|path| {
        let (bytes, sha256) = *contents.files.get(&path)?;
        Some(Member { path, bytes, sha256, digest: None })
    });
    Ok(Extracted { target: target.to_path_buf(), files: files.collect(), report })
}
