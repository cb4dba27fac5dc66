//! `Collector`: what reports are made of, gathered from the events of a run.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::event::{Member, Observer, Status};
use crate::base::{Diagnostic, Error, Event, Severity, Sha256};
use crate::cli::exit;
use crate::ops::due::Due;

/// A package that was put in its place.
#[derive(Debug, Clone, Serialize)]
pub struct Package {
    /// The expert.
    pub expert: String,
    /// Where it lies.
    pub path: String,
    /// Its hash.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// Its size before, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_before: Option<u64>,
    /// Is it signed?
    pub signed: bool,
    /// How it came there.
    pub status: Status,
    /// Its files.
    pub files: Vec<Member>,
}

/// Work that could not be done.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The expert; none where it is the run as a whole.
    pub expert: Option<String>,
    /// What and why.
    pub message: String,
    /// The exit code.
    pub exit_code: u8,
}

/// Gathers.
#[derive(Debug, Default)]
pub struct Collector {
    /// Every expert that was worked on, and the microseconds of work.
    pub experts: BTreeMap<String, u64>,
    /// Every finding.
    pub findings: Vec<Diagnostic>,
    /// Every package.
    pub packages: Vec<Package>,
    /// What failed for other reasons than findings.
    pub failures: Vec<Failure>,
    /// Experts that are stale, and why.
    pub stale: Vec<Due>,
    /// The event that ended the run, where it came so far.
    pub finish: Option<Event>,
    pub(super) running: BTreeMap<usize, (String, u64)>,
}

impl Collector {
    /// Remembers an error, with its findings.
    pub fn failed(&mut self, expert: Option<&str>, error: &Error) {
        self.findings.extend(error.diagnostics().iter().cloned());
        if error.diagnostics().is_empty() {
            let message = exit::message(error);
            self.failures.push(Failure { expert: expert.map(str::to_owned), message, exit_code: error.exit_code() });
        }
    }

    /// Puts all of it into an order that does not depend on which thread was done first.
    pub fn sort(&mut self) {
        self.findings.sort_by(|a, b| {
            let file = (&a.folder, &a.file).cmp(&(&b.folder, &b.file));
            file.then_with(|| (&a.at, a.code.name, &a.message).cmp(&(&b.at, b.code.name, &b.message)))
        });
        self.packages.sort_by(|a, b| (&a.expert, &a.path).cmp(&(&b.expert, &b.path)));
        self.failures.sort_by(|a, b| (&a.expert, &a.message).cmp(&(&b.expert, &b.message)));
    }

    /// The number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|found| found.severity == severity).count()
    }
}

impl Observer for Collector {
    fn on(&mut self, event: &Event) {
        match event {
            Event::TaskStart { id, expert, at_us, .. } => {
                self.experts.entry(expert.clone()).or_default();
                self.running.insert(*id, (expert.clone(), *at_us));
            }
            Event::TaskFinish { id, at_us, .. } => {
                if let Some((expert, since)) = self.running.remove(id) {
                    *self.experts.entry(expert).or_default() += at_us.saturating_sub(since);
                }
            }
            Event::Diagnostic(found) => self.findings.push((**found).clone()),
            Event::Artifact { expert, path, sha256, bytes, bytes_before, signed, status, files, .. } => {
                self.packages.push(Package {
                    expert: expert.clone(),
                    path: path.clone(),
                    sha256: *sha256,
                    bytes: *bytes,
                    bytes_before: *bytes_before,
                    signed: *signed,
                    status: *status,
                    files: files.clone(),
                });
            }
            Event::Stale { expert, why, cached } => {
                self.stale.push(Due { expert: expert.clone(), why: why.clone(), cached: *cached });
            }
            Event::RunFinish { .. } => self.finish = Some(event.clone()),
            _ => {}
        }
    }
}
