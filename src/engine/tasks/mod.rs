//! What each kind of task does. A task takes what earlier tasks left in its job, and leaves what later ones need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crate::base::event::Status;
use crate::base::{Diagnostic, Digest, Error, Event, RelPath, Result};
use crate::engine::limits::Limits;
use crate::engine::pool::Pool;
use crate::engine::remote::Link;
use crate::engine::scratch::Scratch;
use crate::engine::unnamed::Waiting;
use crate::store::{ActionKey, Cache};

pub mod archive;
pub mod assemble;
pub mod compose;
pub mod facts;
pub mod hash;
pub mod provenance;
pub mod sign;
pub mod validate;

/// What all tasks of a run share.
pub struct Context<'a> {
    /// Results and blobs.
    pub cache: &'a dyn Cache,
    /// Another machine that keeps results, where there is one.
    pub remote: Option<&'a Arc<Link>>,
    /// Are packed bytes wanted after their package is written, to be given to others?
    pub gives: bool,
    /// The threads.
    pub pool: &'a Pool<'a>,
    /// Take nothing from the cache, write every output.
    pub force: bool,
    /// Write the provenance of each package beside it.
    pub provenance: bool,
    /// When the run began.
    pub started: std::time::Instant,
    /// Results that threads are making now: whoever wants the same waits.
    pub flights: Flights,
    /// What must hold of a package before it is put in its place.
    pub limits: Limits<'a>,
    /// Blobs that this run wrote: they need no second look before they are used.
    pub written: Mutex<Latest>,
    /// Are there fewer experts than threads? Then cores are idle now and then, and what can wait is left for them.
    pub spare_cores: bool,
    /// Packed files whose packages are not written yet.
    pub unnamed: Waiting,
    /// Big JSON companions that were found good in this run, by content and file name, with the tokens that they speak of:
    /// experts of one base model share its tokenizer, and parsing it costs more than all else that is done with it.
    pub companions: Mutex<BTreeMap<(Digest, String), Option<u64>>>,
}

/// What a task reports.
#[derive(Debug)]
pub struct Done {
    /// How it ended.
    pub status: Status,
    /// Segments compressed.
    pub segments_made: u64,
    /// Segments taken from the cache.
    pub segments_reused: u64,
    /// Source bytes read.
    pub bytes_read: u64,
    /// Results found in the cache.
    pub hits: u64,
    /// Results looked for in vain.
    pub misses: u64,
    /// Packed bytes that the cache had.
    pub bytes_saved: u64,
    /// Microseconds that making them took when they were made.
    pub saved_us: u64,
    /// The package that it put in place.
    pub artifact: Option<Event>,
    /// Findings about the package, which do not keep it from its place.
    pub found: Vec<Diagnostic>,
    /// Things worth telling.
    pub notices: Vec<String>,
}

impl Done {
    /// Nothing but its status.
    pub fn new(status: Status) -> Self {
        Self {
            status,
            segments_made: 0,
            segments_reused: 0,
            bytes_read: 0,
            hits: 0,
            misses: 0,
            bytes_saved: 0,
            saved_us: 0,
            artifact: None,
            found: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Tells that the cache did not take something: that costs time later, and nothing else.
    pub fn not_kept(&mut self, what: &str, e: &Error) {
        let cause = std::error::Error::source(e).map_or_else(String::new, |cause| format!(": {cause}"));
        self.notices.push(format!("{what} was not kept in the cache: {e}{cause}"));
    }

    /// Counts what a part of the task did.
    pub fn add(&mut self, part: &Self) {
        self.segments_made += part.segments_made;
        self.segments_reused += part.segments_reused;
        self.bytes_read += part.bytes_read;
        self.hits += part.hits;
        self.misses += part.misses;
        self.bytes_saved += part.bytes_saved;
        self.saved_us += part.saved_us;
    }
}

impl Context<'_> {
    /// The record of this key, unless the run takes nothing from the cache.
    pub fn result(&self, key: ActionKey, done: &mut Done) -> Result<Option<Vec<u8>>> {
        if self.force {
            return Ok(None);
        }
        let found = self.cache.result(key)?;
        match found {
            Some(_) => done.hits += 1,
            None => done.misses += 1,
        }
        Ok(found)
    }

    /// Keeps a record. One that cannot be kept costs time later, and is told.
    pub fn keep(&self, key: ActionKey, record: &[u8], done: &mut Done) {
        if let Err(e) = self.cache.put_result(key, record) {
            done.not_kept("a result", &e);
        }
    }

    /// What this run knows of a big JSON companion: `None` where it was not looked into yet, or is not good.
    pub fn companion(&self, digest: Digest, file: &RelPath) -> Option<Option<u64>> {
        let known = self.companions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(&(digest, file.file_name().to_owned())).copied()
    }

    /// Is there a good one of this size?
    pub fn knows_companion_of(&self, size: u64) -> bool {
        let known = self.companions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.keys().any(|(digest, _)| digest.size() == size)
    }

    /// Remembers that a JSON companion is good.
    pub fn found_good(&self, digest: Digest, file: &RelPath, tokens: Option<u64>) {
        let mut known = self.companions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.insert((digest, file.file_name().to_owned()), tokens);
    }

    /// Remembers that this run wrote a blob.
    pub fn wrote(&self, digest: Digest) {
        self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(digest);
    }

    /// Did this run write it?
    pub fn has_written(&self, digest: &Digest) -> bool {
        self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner).has(digest)
    }
}

/// Blobs of late. Whatever nobody asked for while many others came is forgotten: it costs a second look.
#[derive(Debug, Default)]
pub struct Latest {
    young: BTreeSet<Digest>,
    old: BTreeSet<Digest>,
}

impl Latest {
    /// So many come before those that came before them are forgotten.
    const MANY: usize = 4096;

    fn insert(&mut self, digest: Digest) {
        if self.young.len() >= Self::MANY {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest);
    }

    fn has(&mut self, digest: &Digest) -> bool {
        if self.old.remove(digest) {
            self.insert(*digest);
        }
        self.young.contains(digest)
    }
}

/// Keys whose results are being made, so that equal work is done once.
#[derive(Default)]
pub struct Flights {
    flying: Mutex<BTreeSet<ActionKey>>,
    landed: std::sync::Condvar,
}

/// The right to make a result; others wait until it is dropped.
pub struct Flight<'a> {
    flights: &'a Flights,
    key: ActionKey,
}

impl Flights {
    /// Waits until nobody makes this result, then takes the right to.
    pub fn board(&self, key: ActionKey, pool: &Pool<'_>, scratch: &mut Scratch) -> Flight<'_> {
        let mut flying = self.flying.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while !flying.insert(key) {
            // Whoever flies may need help; its assists are then what this thread can do best.
            if let Some(assist) = pool.try_assist() {
                drop(flying);
                assist(scratch);
                flying = self.flying.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            } else {
                let tick = std::time::Duration::from_millis(2);
                (flying, _) = self.landed.wait_timeout(flying, tick).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        }
        Flight { flights: self, key }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.flying.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&self.key);
        self.flights.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Latest;
    use crate::base::Digest;

    #[test]
    fn what_is_asked_for_again_and_again_is_not_forgotten() {
        let digest = |i: usize| Digest::of(&i.to_le_bytes());
        let mut latest = Latest::default();
        (0..3 * Latest::MANY).for_each(|i| {
            latest.insert(digest(i));
            assert!(latest.has(&digest(i)) && latest.has(&digest(0)), "{i}");
        });
        assert!(!latest.has(&digest(1)) && latest.young.len() + latest.old.len() <= 2 * Latest::MANY);
    }
}
