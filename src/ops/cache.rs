//! `cache`: what the cache holds and has saved; collecting, verifying and clearing it; looking after it behind builds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::base::event::Observer;
use crate::base::{Error, Event, Result};
use crate::engine::freshness::in_parallel;
use crate::engine::record;
use crate::engine::schedule::Outcome;
use crate::ops::remote;
use crate::ops::workspace::Workspace;
use crate::spec::Age;
use crate::store::counters::{Counters, RemoteCounters};
pub use crate::store::gc::Collected;
use crate::store::gc::{self, Entry, Held, Kind, Limits, Total};
use crate::store::{LocalCache, fs};

/// The most files that a build removes behind itself: about a second's work.
const BEHIND_A_BUILD: u64 = 20_000;

const DAY: i64 = 86_400_000_000_000;

/// What a cache holds and has done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Where it lies.
    pub path: PathBuf,
    /// Results of tasks.
    pub results: Total,
    /// Packed files and other contents.
    pub blobs: Total,
    /// Repos whose index is kept here, and the room of these.
    pub repos: Total,
    /// All of it.
    pub total: Total,
    /// What `cache gc` brings it down to.
    pub max_bytes: u64,
    /// Seconds after which what was not used is collected.
    pub max_age: u64,
    /// Builds that asked it for something.
    pub builds: u64,
    /// Results that were there.
    pub hits: u64,
    /// Results that were not.
    pub misses: u64,
    /// Packed bytes that need not be made again.
    pub bytes_saved: u64,
    /// Seconds of work that this would have taken.
    pub seconds_saved: f64,
    /// The remote cache.
    pub remote: RemoteStats,
    /// Seconds since 1970 when this counting began; 0 where nothing was counted yet.
    pub since: i64,
}

/// What remote caches did for builds with this cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RemoteStats {
    /// How a build would use the one that is set now; none where there is none.
    pub mode: Option<String>,
    /// What they did.
    #[serde(flatten)]
    pub counted: RemoteCounters,
}

/// What to collect, where it differs from the Expertfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collect {
    /// The most bytes, instead of `[cache] max-size`.
    pub max_bytes: Option<u64>,
    /// The most files; without it there is no such limit.
    pub max_files: Option<u64>,
    /// Collect what was not used for so long, instead of `[cache] max-age`.
    pub max_age: Option<Age>,
}

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Files that were read.
    pub checked: Total,
    /// Damaged files, which were removed: where they lay, below the cache.
    pub damaged: Vec<PathBuf>,
    /// Results removed because a part of what they speak of is gone.
    pub dropped: Total,
}

/// What the cache holds and has done.
pub fn stats(workspace: &Workspace) -> Result<Stats> {
    let cache = &workspace.cache;
    let (held, counted) = (gc::held(cache)?, Counters::of(cache)?);
    let total = |entries: &[Entry]| {
        let mut total = Total::default();
        entries.iter().for_each(|entry| total.add(entry));
        total
    };
    let repos =
        Total { files: held.repos.len() as u64, bytes: held.repos.iter().map(|folder| folder.bytes).sum::<u64>() };
    let kept = held.total();
    Ok(Stats {
        path: cache.root().to_path_buf(),
        results: total(&held.results),
        blobs: total(&held.blobs),
        repos,
        total: Total { files: kept.files + repos.files, bytes: kept.bytes + repos.bytes },
        max_bytes: workspace.repo.cache.max_size.value.0,
        max_age: workspace.repo.cache.max_age.value.0,
        builds: counted.builds,
        hits: counted.hits,
        misses: counted.misses,
        bytes_saved: counted.bytes_saved,
        seconds_saved: counted.saved_us as f64 / 1e6,
        remote: RemoteStats { mode: remote::intended(workspace), counted: counted.remote },
        since: counted.since,
    })
}

/// Brings the cache down to its limits.
pub fn collect(workspace: &Workspace, wanted: &Collect) -> Result<Collected> {
    let held = gc::held(&workspace.cache)?;
    gc::collect(&workspace.cache, held, &limits(workspace, wanted, u64::MAX), &record::blobs)
}

/// Reads everything in the cache, by so many threads, and removes what is damaged.
pub fn verify(workspace: &Workspace, threads: usize, cancel: &AtomicBool) -> Result<Verified> {
    let cache = &workspace.cache;
    let held = gc::held(cache)?;
    let of = |kind: Kind, entries: &[Entry]| entries.iter().map(|e| (kind, *e)).collect::<Vec<_>>();
    let mut all = of(Kind::Result, &held.results);
    all.extend(of(Kind::Blob, &held.blobs));
    // Neighbours by name are of all sizes, so every thread gets its share of the big ones.
    all.sort_unstable_by_key(|(_, entry)| entry.name);
    let stop = || cancel.load(Ordering::Relaxed);
    let looked = in_parallel(&all, threads, &|(kind, entry): &(Kind, Entry)| {
        if stop() { Err(Error::Interrupted) } else { gc::is_sound(cache, *kind, entry, &stop) }
    });
    let mut verified = Verified { checked: Total::default(), damaged: Vec::new(), dropped: Total::default() };
    for ((kind, entry), sound) in all.iter().zip(looked) {
        let Some(sound) = sound? else { continue };
        verified.checked.add(entry);
        if !sound && gc::remove_damaged(cache, *kind, entry)? {
            let path = kind.path(cache, &entry.name);
            verified.damaged.push(path.strip_prefix(cache.root()).unwrap_or(&path).to_path_buf());
        }
    }
    if !verified.damaged.is_empty() {
        verified.dropped = drop_what_lost_its_parts(cache)?;
    }
    Ok(verified)
}

fn drop_what_lost_its_parts(cache: &LocalCache) -> Result<Total> {
    let unlimited =
        Limits { max_bytes: u64::MAX, max_files: u64::MAX, max_age: i64::MAX, max_removals: 0, now: fs::now() };
    Ok(gc::collect(cache, gc::held(cache)?, &unlimited, &record::blobs)?.dropped)
}

/// Removes everything from the cache.
pub fn clear(workspace: &Workspace) -> Result<Collected> {
    gc::clear(&workspace.cache)
}

/// Where the cache lies.
pub fn path(workspace: &Workspace) -> PathBuf {
    workspace.cache.root().to_path_buf()
}

/// Counts what the cache did for a build and, at most once a day, collects what is over the limits. A build that asked
/// the cache for nothing costs nothing. A cache that cannot be written to is no reason to fail.
pub fn after_build(workspace: &Workspace, outcome: &Outcome, remote: RemoteCounters, observer: &mut dyn Observer) {
    let (hits, misses) = (outcome.hits, outcome.misses);
    if hits + misses == 0 {
        return;
    }
    let cache = &workspace.cache;
    cache.note_repo(&workspace.root);
    let (bytes_saved, saved_us) = (outcome.bytes_saved, outcome.saved_us);
    let done = Counters { builds: 1, hits, misses, bytes_saved, saved_us, remote, since: 0 }.add_to(cache);
    match done.and_then(|()| collect_behind(workspace)) {
        Ok(Some(collected)) if collected.removed.files + collected.dropped.files > 0 => {
            let bytes = collected.removed.bytes + collected.dropped.bytes;
            let files = collected.removed.files + collected.dropped.files;
            let message = format!("the cache was brought down by {files} files, {bytes} bytes");
            observer.on(&Event::Notice { message });
        }
        Ok(_) => {}
        Err(e) => observer.on(&Event::Notice { message: format!("the cache was not looked after: {e}") }),
    }
}

/// Tells that a run could not use the cache everywhere, and how the next one can.
pub(crate) fn tell(trouble: &Error, observer: &mut dyn Observer) {
    let cause = std::error::Error::source(trouble).map_or_else(String::new, |cause| format!(": {cause}"));
    let message = format!(
        "the cache was not used everywhere: {trouble}{cause}; that costs time only, until it can be read and written or \
         `--cache-dir` names another"
    );
    observer.on(&Event::Notice { message });
}

/// Collects, if today nobody did and there is something to collect.
fn collect_behind(workspace: &Workspace) -> Result<Option<Collected>> {
    let cache = &workspace.cache;
    let limits = limits(workspace, &Collect::default(), BEHIND_A_BUILD);
    // A stamp from the future would stop this for good.
    if (limits.now - DAY..=limits.now + DAY).contains(&gc::last_collected(cache)) {
        return Ok(None);
    }
    gc::note_collected(cache)?;
    let held: Held = gc::held(cache)?;
    if !gc::is_due(&held, &limits) {
        return Ok(None);
    }
    gc::collect(cache, held, &limits, &record::blobs).map(Some)
}

fn limits(workspace: &Workspace, wanted: &Collect, max_removals: u64) -> Limits {
    Limits {
        max_bytes: wanted.max_bytes.unwrap_or(workspace.repo.cache.max_size.value.0),
        max_files: wanted.max_files.unwrap_or(u64::MAX),
        max_age: wanted.max_age.unwrap_or(workspace.repo.cache.max_age.value).nanos(),
        max_removals,
        now: fs::now(),
    }
}
