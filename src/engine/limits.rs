//! `Limits`: what must hold of a package before it may stand in its place: its locked bytes, its budget, its growth.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::base::codes::repo::{LOCKED_CONTENT_CHANGED, PACKAGE_GROWTH, PACKAGE_OVER_BUDGET};
use crate::base::{Diagnostic, Error, Result, Sha256};
use crate::engine::target::Target;
use crate::spec::lock::{Id, Lock, Locked};

/// The limits of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'a> {
    /// The repo's lock file.
    pub lock: Option<&'a Lock>,
    /// Must locked versions keep their bytes?
    pub locked: bool,
}

/// A package that is to be put in its place.
pub struct Candidate<'c> {
    /// Which one.
    pub id: Id,
    /// SHA-256 of it.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// What it is made of, by path below the expert's folder.
    pub inputs: &'c dyn Fn() -> BTreeMap<String, Sha256>,
}

impl Limits<'_> {
    /// May it stand? Otherwise the reason; with it what is only worth telling.
    pub fn judge(&self, target: &Target, candidate: &Candidate<'_>) -> Result<Vec<Diagnostic>> {
        let expert = &target.expert;
        let place = |found: Diagnostic| {
            let mut found = found.file(&expert.manifest.value);
            found.expert = Some(candidate.id.name.clone());
            found
        };
        if let Some(locked) = self.lock.filter(|_| self.locked).and_then(|lock| lock.packages.get(&candidate.id))
            && locked.sha256 != candidate.sha256
        {
            return Err(Error::Differs(vec![place(changed(target, candidate, locked))]));
        }
        let mut found = Vec::new();
        let bytes = candidate.bytes;
        if let Some(budget) = expert.budget.as_ref().map(|b| b.value.0).filter(|budget| bytes > *budget) {
            let message = format!("the package has {bytes} bytes, {} over its budget of {budget}", bytes - budget);
            let help = "leave files out with `exclude`, compress harder, or raise `budget` in the Expertfile";
            found.push(place(Diagnostic::new(&PACKAGE_OVER_BUDGET, message).help(help)));
        }
        if let (Some(growth), Some((id, before))) =
            (expert.growth.as_ref(), self.lock.and_then(|lock| lock.before(&candidate.id)))
            && bytes > growth.value.limit(before.bytes)
        {
            let more = u128::from(bytes - before.bytes) * 100 / u128::from(before.bytes.max(1));
            let message = format!(
                "the package has {bytes} bytes, {more} % more than version {} in Expertfile.lock ({} bytes)",
                id.version, before.bytes
            );
            let help = "look for a file that came in by mistake; if it is meant, raise `growth`, or agree to it with `expert-build lock`";
            found.push(place(Diagnostic::new(&PACKAGE_GROWTH, message).help(help)));
        }
        let found = target.lints.apply(found);
        if crate::base::error::errors(&found) > 0 { Err(Error::Invalid(found)) } else { Ok(found) }
    }
}

/// Content changed, version did not: which content?
fn changed(target: &Target, candidate: &Candidate<'_>, locked: &Locked) -> Diagnostic {
    let (now, short) = ((candidate.inputs)(), |sha: &Sha256| sha.hex()[..12].to_owned());
    let mut what = Vec::new();
    for (path, sha) in &now {
        match locked.inputs.get(path) {
            Some(old) if old == sha => {}
            Some(old) => what.push(format!("`{path}` changed ({} → {})", short(old), short(sha))),
            None => what.push(format!("`{path}` is new ({})", short(sha))),
        }
    }
    what.extend(locked.inputs.keys().filter(|path| !now.contains_key(*path)).map(|path| format!("`{path}` is gone")));
    if what.is_empty() {
        what.push(match (locked.signed, target.signer.is_some()) {
            (true, false) => "it was signed, and there is no key now".to_owned(),
            (false, true) => "it was not signed, and now it would be".to_owned(),
            _ => {
                "no input changed: compression, signing key, publisher, SOURCE_DATE_EPOCH or the program did".to_owned()
            }
        });
    }
    let Id { name, version, .. } = &candidate.id;
    let mut message = format!(
        "content changed, version did not: `{name}` {version} would be {}, Expertfile.lock has {}",
        short(&candidate.sha256),
        short(&locked.sha256)
    );
    const SHOWN: usize = 8;
    let _ = write!(message, "; {}", what[..what.len().min(SHOWN)].join(", "));
    if what.len() > SHOWN {
        let _ = write!(message, " and {} more", what.len() - SHOWN);
    }
    let help = "raise `version` in the manifest; if the version was never published, run `expert-build lock`";
    Diagnostic::new(&LOCKED_CONTENT_CHANGED, message).help(help)
}
