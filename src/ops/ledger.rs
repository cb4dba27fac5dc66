//! `Ledger`: the experts that a run has finished, until it ends: what the index shall remember of each lies on the disk, and
//! only a few bytes of it in memory.

use std::collections::BTreeSet;

use crate::base::{Error, RelPath, Result};
use crate::engine::finished::{Finished, let_the_tick_pass};
use crate::engine::job::Job;
use crate::format::safetensors::Fingerprint;
use crate::ops::history::History;
use crate::ops::memo::Memo;
use crate::ops::workspace::Workspace;
use crate::store::index::Record;
use crate::store::{Index, Spool};

/// The experts that a run has finished.
pub struct Ledger<'j> {
    jobs: &'j [Job],
    spool: Spool,
    entries: Vec<Entry>,
    /// Weights of these experts, with the number of the job.
    weights: Vec<(Fingerprint, u32)>,
    /// Some folder was written to.
    written: bool,
    /// Packages and warnings of them all.
    packages: usize,
    warnings: usize,
}

/// A finished expert.
struct Entry {
    job: u32,
    /// Where its record lies.
    at: u64,
    length: u32,
    /// Warnings that were told of it after it was finished.
    warnings: u16,
    /// Has it other weights than when it was last finished?
    has_new_weights: bool,
    /// Does its record tell of its folder and its manifest?
    tells: bool,
    /// Can its record be written?
    fits: bool,
    /// It is not done with after all.
    dropped: bool,
}

impl<'j> Ledger<'j> {
    /// An empty one for these jobs.
    pub fn new(workspace: &Workspace, jobs: &'j [Job]) -> Self {
        let folder = workspace.index.parent().unwrap_or(&workspace.root);
        let (entries, weights) = Default::default();
        Self { jobs, spool: Spool::new(folder), entries, weights, written: false, packages: 0, warnings: 0 }
    }

    /// Adds an expert, whose record holds memo and history; what is in them is given once more. `before` is its history as the index has it.
    pub fn add(&mut self, job: usize, finished: &Finished, memo: &Memo, history: &History, before: &History) {
        let prints = |history: &History| -> BTreeSet<Fingerprint> {
            history.packages.iter().flat_map(|past| past.weights.iter().map(|(_, print)| *print)).collect()
        };
        let mut bytes = Vec::new();
        finished.encode(&mut bytes);
        let place = self.spool.put(&bytes);
        let (target, record) = (&self.jobs[job].target, &finished.record);
        let manifest = target.expert.path(&target.expert.manifest.value);
        let tells = record.folders.iter().any(|seen| seen.path == target.key())
            && record.inputs.iter().any(|input| input.seen.path == manifest.as_str());
        self.packages += memo.packages.max(1);
        self.warnings += memo.warnings;
        let (job, now, fits) = (job as u32, prints(history), record.fits(target.key()));
        self.written |= !finished.written.is_empty();
        self.entries.push(Entry {
            job,
            at: place.start,
            length: (place.end - place.start) as u32,
            warnings: 0,
            has_new_weights: !now.is_subset(&prints(before)),
            tells,
            fits,
            dropped: false,
        });
        self.weights.extend(now.into_iter().map(|print| (print, job)));
    }

    /// Puts the experts in the order of their folders.
    pub fn sort(&mut self) {
        let jobs = self.jobs;
        self.entries.sort_by_key(|entry| jobs[entry.job as usize].target.key());
    }

    /// The experts, in the order of their folders: each with the number of its job, and whether its weights are new.
    pub fn experts(&self) -> impl Iterator<Item = (&str, u32, bool)> {
        let expert = |entry: &Entry| (self.jobs[entry.job as usize].target.key(), entry.job, entry.has_new_weights);
        self.entries.iter().map(expert)
    }

    /// The fingerprints of their weights, each with the number of the job.
    pub fn weights(&self) -> &[(Fingerprint, u32)] {
        &self.weights
    }

    fn find(&self, key: &str) -> Option<usize> {
        self.entries.binary_search_by(|entry| self.jobs[entry.job as usize].target.key().cmp(key)).ok()
    }

    /// Is this expert one of them?
    pub fn holds(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Does the record of this expert tell of its folder and its manifest? `None` where it is none of them.
    pub fn tells_of(&self, key: &str) -> Option<bool> {
        self.find(key).map(|at| self.entries[at].tells)
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| entry.dropped)
    }

    /// Packages of them all.
    pub fn packages(&self) -> usize {
        self.packages
    }

    /// Warnings that were told of them all.
    pub fn warnings(&self) -> usize {
        self.warnings
    }

    /// What is remembered of an expert: memo and history.
    pub fn memo(&self, key: &str) -> Result<Vec<u8>> {
        let at = self.find(key).ok_or_else(|| Error::Bug(format!("`{key}` was not finished")))?;
        let mut bytes = Vec::new();
        self.read(&self.entries[at], &mut bytes)?;
        let memo = Finished::parts(&bytes).and_then(|(_, record)| record.memo());
        memo.map(<[u8]>::to_vec).ok_or_else(damaged)
    }

    /// One more warning was told of an expert.
    pub fn warned(&mut self, key: &str) {
        if let Some(at) = self.find(key) {
            self.warnings += 1;
            self.entries[at].warnings = self.entries[at].warnings.saturating_add(1);
        }
    }

    /// An expert is not done with: the next run looks at it again. Was it here?
    pub fn drop(&mut self, key: &str) -> bool {
        let Some(at) = self.find(key) else { return false };
        !std::mem::replace(&mut self.entries[at].dropped, true)
    }

    fn read(&self, entry: &Entry, bytes: &mut Vec<u8>) -> Result<()> {
        self.spool.get(entry.at..entry.at + u64::from(entry.length), bytes)
    }

    /// Writes the index over `before`, which was read when the run began, with what the whole rests on.
    pub fn save(mut self, workspace: &Workspace, before: &Index, grounds: &[u8]) -> Result<()> {
        self.entries.retain(|entry| !entry.dropped);
        let grounds = if self.entries.iter().all(|entry| entry.fits) { grounds } else { &[] };
        self.entries.retain(|entry| entry.fits);
        if self.written {
            let_the_tick_pass();
        }
        let target = |entry: &Entry| &self.jobs[entry.job as usize].target;
        let mut bytes = Vec::new();
        let mut record = |at: usize| -> Result<Record> {
            let entry = &self.entries[at];
            self.read(entry, &mut bytes)?;
            let finished = Finished::decode(&bytes).ok_or_else(damaged)?;
            let mut record = finished.settle(&workspace.root, &target(entry).output_folder());
            if entry.warnings > 0
                && let Some(memo) = Memo::decode(&record.memo)
            {
                Memo { warnings: memo.warnings + usize::from(entry.warnings), ..memo }.replace(&mut record.memo);
            }
            Ok(record)
        };
        let keys: Vec<&str> = self.entries.iter().map(|entry| target(entry).key()).collect();
        let experts = &workspace.repo.experts;
        // The index of a repo that was recalled holds its experts and nobody else.
        let is_recalled = workspace.recalls(before);
        let here = |key: &str| {
            if is_recalled {
                return true;
            }
            let folder = Some(key).filter(|key| *key != ".");
            experts.binary_search_by(|expert| expert.folder.as_ref().map(RelPath::as_str).cmp(&folder)).is_ok()
        };
        before.save_each(&workspace.index, &keys, &mut record, &here, grounds)
    }
}

fn damaged() -> Error {
    Error::Bug("a record that this run wrote cannot be read back".into())
}
