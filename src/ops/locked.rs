//! Expertfile.lock read, and experts that are up to date held against it.

use crate::base::{Diagnostic, Error, Result, Sha256};
use crate::engine::limits::{Candidate, Limits};
use crate::engine::target::Target;
use crate::ops::history::History;
use crate::ops::memo::Memo;
use crate::ops::workspace::Workspace;
use crate::spec::lock::{HELP, Id, Lock, NAME};
use crate::store::index::Record;
use crate::store::{Index, fs};

/// Reads the repo's lock file, where there is one.
pub fn load(workspace: &Workspace) -> Result<Option<Lock>> {
    let path = workspace.root.join(NAME);
    let Some((bytes, _)) = fs::read(&path, 256 << 20)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| Error::usage_help(format!("{NAME} is not UTF-8"), HELP))?;
    Lock::read(&text).map(Some)
}

/// The lock file that a run of these experts needs; with `--locked` there must be one.
pub(crate) fn needed<'t>(
    workspace: &Workspace,
    mut targets: impl Iterator<Item = &'t Target>,
    is_locked: bool,
) -> Result<Option<Lock>> {
    if !is_locked && targets.all(|target| target.expert.growth.is_none()) {
        return Ok(None);
    }
    let lock = load(workspace)?;
    if is_locked && lock.is_none() {
        let help = "`expert-build lock` writes it; commit it with the repository";
        return Err(Error::usage_help(format!("`--locked` compares with {NAME}, and there is none"), help));
    }
    Ok(lock)
}

/// Holds an expert that is up to date against the limits; nothing is read but the index.
pub(crate) fn hold(limits: Limits<'_>, index: &Index, target: &Target) -> Result<Vec<Diagnostic>> {
    let expert = &target.expert;
    if !limits.locked && expert.budget.is_none() && expert.growth.is_none() {
        return Ok(Vec::new());
    }
    let Some(record) = index.get(target.key()).and_then(|view| view.decode()) else { return Ok(Vec::new()) };
    let Some(memo) = Memo::decode(&record.memo) else { return Ok(Vec::new()) };
    let history = History::kept(&record);
    let mut found = Vec::new();
    for (at, output) in record.outputs.iter().filter(|output| output.is_package).enumerate() {
        let model = history.packages.get(at).and_then(|past| past.model.clone());
        let candidate = Candidate {
            id: Id { name: memo.name.clone(), version: memo.version.clone(), model },
            sha256: output.sha256,
            bytes: output.seen.stat.map_or(0, |stat| stat.size),
            inputs: &|| inputs(target, &record).collect(),
        };
        found.extend(limits.judge(target, &candidate)?);
    }
    for finding in &mut found {
        finding.folder.get_or_insert_with(|| target.key().to_owned());
    }
    Ok(found)
}

/// The inputs of an expert by path below its folder.
pub(crate) fn inputs<'r>(target: &Target, record: &'r Record) -> impl Iterator<Item = (String, Sha256)> + 'r {
    let lead = if target.key() == "." { String::new() } else { format!("{}/", target.key()) };
    record.inputs.iter().map(move |input| {
        let path = &input.seen.path;
        (path.strip_prefix(&lead).unwrap_or(path).to_owned(), input.sha256)
    })
}
