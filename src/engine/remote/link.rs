//! `Link`: the connection of one run to another machine: what is asked there, what it costs, when it is given up.
//!
//! Its failures are never the build's, unless that was asked for: they are counted, the first is told, and after
//! [`PATIENCE`] in a row the other machine is left alone for the rest of the run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::base::{Error, Result};
use crate::engine::remote::task::Terms;
use crate::engine::remote::uploads::Uploads;
use crate::store::remote::{CasDigest, Failure, FailureKind};
use crate::store::{ActionKey, Cache, Remote};

/// Failures in a row after which the other machine is not asked again.
pub const PATIENCE: u32 = 3;

/// So many experts' inputs or results are on their way to or from workers at once. While there are more, the line is what is
/// waited for, and whoever comes packs here: it would only stand in the row.
pub const CARRIED: usize = 8;

/// How a run deals with another machine.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Its address, for messages.
    pub address: String,
    /// Are results taken from it?
    pub read: bool,
    /// Are results sent to it?
    pub write: bool,
    /// Is its failure the run's?
    pub required: bool,
    /// Is it enough to know what packages the remote has (`--remote-download=minimal`)?
    pub minimal: bool,
    /// Why it is used as it is, in a word or two: `pull request`.
    pub because: Option<String>,
    /// What enters every action.
    pub terms: Terms,
    /// Does it run actions, and how many at once?
    pub worker: Option<Worker>,
    /// How many threads may wait for it at once.
    pub away: usize,
}

impl Policy {
    /// How the other machine is used, in words.
    pub fn mode(&self) -> String {
        let mut mode = match (self.read, self.write) {
            (true, true) => "read and write",
            (true, false) => "read-only",
            (false, true) => "write-only",
            (false, false) => "neither read nor written",
        }
        .to_owned();
        if let Some(why) = self.because.as_ref().filter(|_| !self.write) {
            mode.push_str(&format!(" ({why})"));
        }
        if self.worker.is_some() {
            mode.push_str(", executes");
        }
        if self.minimal {
            mode.push_str(", packages stay there");
        }
        mode
    }
}

/// The program that workers run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Where it lies here.
    pub program: PathBuf,
    /// Its name there.
    pub digest: CasDigest,
    /// How many actions run at once.
    pub jobs: usize,
}

/// What was asked and answered.
#[derive(Debug, Default)]
pub struct Figures {
    /// Results that were there, and were what they should be.
    pub hits: AtomicU64,
    /// Results that were not.
    pub misses: AtomicU64,
    /// Calls that failed, and answers that were wrong.
    pub errors: AtomicU64,
    /// Results that were sent.
    pub sent: AtomicU64,
    /// Microseconds that making what was taken took when it was made.
    pub saved_us: AtomicU64,
    /// Experts that were packed by workers, or found wrong.
    pub executed: AtomicU64,
    /// Experts that a worker was to pack, and that were packed here after all.
    pub fell_back: AtomicU64,
}

/// The connection of one run to another machine.
pub struct Link {
    /// The other machine.
    pub remote: Arc<dyn Remote>,
    /// How it is dealt with.
    pub policy: Policy,
    /// What was asked and answered.
    pub figures: Figures,
    /// Where what is taken lies afterwards, and what is sent lies before.
    pub cache: Arc<dyn Cache>,
    /// What is on its way there.
    pub uploads: Uploads,
    in_a_row: AtomicU32,
    /// Why it is left alone.
    off: Mutex<Option<String>>,
    /// Why nothing is sent any more.
    unsent: Mutex<Option<String>>,
    notices: Mutex<Notices>,
    /// Files that are being fetched: whoever wants the same waits.
    fetching: Mutex<BTreeSet<ActionKey>>,
    fetched: Condvar,
    executing: AtomicUsize,
    carrying: AtomicUsize,
    /// Files whose results are there, or on their way.
    there: Mutex<BTreeSet<ActionKey>>,
}

#[derive(Default)]
struct Notices {
    told: bool,
    waiting: Vec<String>,
}

impl Link {
    /// A connection.
    pub fn new(remote: Arc<dyn Remote>, policy: Policy, cache: Arc<dyn Cache>) -> Self {
        Self {
            remote,
            policy,
            figures: Figures::default(),
            cache,
            uploads: Uploads::default(),
            in_a_row: AtomicU32::new(0),
            off: Mutex::default(),
            unsent: Mutex::default(),
            notices: Mutex::default(),
            fetching: Mutex::default(),
            fetched: Condvar::new(),
            executing: AtomicUsize::new(0),
            carrying: AtomicUsize::new(0),
            there: Mutex::default(),
        }
    }

    /// Are results taken from it now?
    pub fn reads(&self) -> bool {
        self.policy.read && lock(&self.off).is_none()
    }

    /// Are results sent to it now?
    pub fn writes(&self) -> bool {
        self.policy.write && lock(&self.off).is_none() && lock(&self.unsent).is_none()
    }

    /// Does it run actions now?
    pub fn executes(&self) -> bool {
        self.policy.worker.is_some() && lock(&self.off).is_none()
    }

    /// Is anything asked of it at all, now?
    pub fn asks(&self) -> bool {
        self.reads() || self.executes()
    }

    /// What an answer is worth. `None` is a miss, or a failure that was counted.
    pub fn heard<T>(&self, answer: std::result::Result<T, Failure>) -> Result<Option<T>> {
        match answer {
            Ok(value) => {
                self.in_a_row.store(0, Ordering::Relaxed);
                Ok(Some(value))
            }
            Err(failure) if failure.kind == FailureKind::Missing => Ok(None),
            Err(failure) if failure.kind == FailureKind::Cancelled => Err(Error::Interrupted),
            Err(failure) => self.failed(&failure, false).map(|()| None),
        }
    }

    /// What became of sending something.
    pub fn delivered(&self, sent: std::result::Result<(), Failure>) -> Result<bool> {
        match sent {
            Ok(()) => {
                self.in_a_row.store(0, Ordering::Relaxed);
                Ok(true)
            }
            Err(failure) if failure.kind == FailureKind::Cancelled => Err(Error::Interrupted),
            Err(failure) => self.failed(&failure, true).map(|()| false),
        }
    }

    /// What the other machine sent is not what it should be.
    pub fn wrong(&self, what: impl Into<String>) -> Result<()> {
        self.failed(&Failure { kind: FailureKind::Wrong, message: what.into() }, false)
    }

    fn failed(&self, failure: &Failure, sending: bool) -> Result<()> {
        self.figures.errors.fetch_add(1, Ordering::Relaxed);
        let address = &self.policy.address;
        if self.policy.required {
            return Err(Error::Network {
                message: format!("the remote `{address}`: {}", failure.message),
                source: None,
            });
        }
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let refused = matches!(failure.kind, FailureKind::Denied | FailureKind::Unsupported);
        let reason = match failure.kind {
            _ if sending && refused => Some("it takes no results".to_owned()),
            FailureKind::Denied => Some("access denied".to_owned()),
            // A wrong answer says nothing of the next one, nor does what went wrong on this side.
            FailureKind::Wrong | FailureKind::Local | FailureKind::Missing => None,
            _ if in_a_row >= PATIENCE => Some(format!("after {in_a_row} failures")),
            _ => None,
        };
        // Who may not write may still read, and a server that is full has what it has.
        let only_sending = sending && (refused || failure.kind == FailureKind::Exhausted);
        if let Some(reason) = reason {
            lock(if only_sending { &self.unsent } else { &self.off }).get_or_insert(reason);
        }
        let mut notices = lock(&self.notices);
        if !notices.told {
            notices.told = true;
            let message = format!(
                "the remote `{address}` failed, and the build goes on without what it did not do: {}",
                failure.message
            );
            notices.waiting.push(message);
        }
        Ok(())
    }

    /// What is to be told since the last time.
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.notices).waiting)
    }

    /// How it is used, in words: `read-only (pull request)`.
    pub fn mode(&self) -> String {
        match (&*lock(&self.off), &*lock(&self.unsent)) {
            (Some(off), _) => format!("off: {off}"),
            (None, Some(why)) if self.policy.read => format!("read-only: {why}"),
            (None, Some(why)) => format!("off: {why}"),
            (None, None) => self.policy.mode(),
        }
    }

    /// Notes that a file's result is there or will be. Was that news?
    pub fn note_sent(&self, key: ActionKey) -> bool {
        lock(&self.there).insert(key)
    }

    /// Waits until nobody fetches this, then has the right to. Only for threads that are away.
    pub fn fetch_alone(&self, key: ActionKey) -> Fetching<'_> {
        let mut fetching = lock(&self.fetching);
        while !fetching.insert(key) {
            fetching = self.fetched.wait(fetching).unwrap_or_else(PoisonError::into_inner);
        }
        Fetching { link: self, key }
    }

    /// Says that an expert's inputs or results are carried, until that is dropped.
    pub fn carry(&self) -> Carrying<'_> {
        self.carrying.fetch_add(1, Ordering::Relaxed);
        Carrying(self)
    }

    /// How many actions may run at once.
    pub fn workers(&self) -> usize {
        self.policy.worker.as_ref().filter(|_| self.executes()).map_or(0, |worker| worker.jobs)
    }

    /// The right to have one more action run, if there is one: there are workers that are free, and a line that is.
    pub fn may_execute(&self) -> Option<Executing<'_>> {
        let most = self.workers();
        if self.carrying.load(Ordering::Relaxed) >= CARRIED {
            return None;
        }
        let more = |now: usize| (now < most).then_some(now + 1);
        self.executing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Executing(self))
    }
}

/// Something is on its way to or from a worker.
pub struct Carrying<'l>(&'l Link);

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        self.0.carrying.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to fetch something.
pub struct Fetching<'l> {
    link: &'l Link,
    key: ActionKey,
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        lock(&self.link.fetching).remove(&self.key);
        self.link.fetched.notify_all();
    }
}

/// The right to have an action run.
pub struct Executing<'l>(&'l Link);

impl Drop for Executing<'_> {
    fn drop(&mut self) {
        self.0.executing.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
