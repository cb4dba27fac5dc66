//! `Counters`: what the cache has done so far: found, missed, saved.
//!
//! `v1/stats` is lines of JSON, one for each build, added at the file's end in one write, so that many processes can add
//! at once. When the file has grown long, whoever holds its lock puts the sum in its place. A line that cannot be read
//! is passed over: figures are worth having, not worth failing for.

#![expect(clippy::disallowed_methods, reason = "store owns the disk")]

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::{Error, Result};
use crate::store::{LocalCache, Output, fs};

/// From this length on the lines are summed up.
const LONG: u64 = 64 << 10;

/// Longer than this is not ours.
const LIMIT: u64 = 16 << 20;

/// Figures of one build, or of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Builds that asked the cache for something.
    pub builds: u64,
    /// Results that were there.
    pub hits: u64,
    /// Results that were not.
    pub misses: u64,
    /// Packed bytes that need not be made again.
    pub bytes_saved: u64,
    /// Microseconds that making them took when they were made.
    pub saved_us: u64,
    /// What remote caches did.
    #[serde(skip_serializing_if = "RemoteCounters::is_nothing")]
    pub remote: RemoteCounters,
    /// Seconds since 1970 when the counting began.
    pub since: i64,
}

/// What remote caches did for one build, or for many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemoteCounters {
    /// Results that they had.
    pub hits: u64,
    /// Results that they had not.
    pub misses: u64,
    /// Calls that failed, and answers that were wrong.
    pub errors: u64,
    /// Results that were sent to them.
    pub sent: u64,
    /// Round trips.
    pub calls: u64,
    /// Bytes received.
    pub bytes_down: u64,
    /// Bytes sent.
    pub bytes_up: u64,
    /// Microseconds that making what they had took when it was made.
    pub saved_us: u64,
}

impl RemoteCounters {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn plus(self, other: Self) -> Self {
        Self {
            hits: self.hits.saturating_add(other.hits),
            misses: self.misses.saturating_add(other.misses),
            errors: self.errors.saturating_add(other.errors),
            sent: self.sent.saturating_add(other.sent),
            calls: self.calls.saturating_add(other.calls),
            bytes_down: self.bytes_down.saturating_add(other.bytes_down),
            bytes_up: self.bytes_up.saturating_add(other.bytes_up),
            saved_us: self.saved_us.saturating_add(other.saved_us),
        }
    }
}

impl Counters {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        let since = match (self.since, other.since) {
            (0, since) | (since, 0) => since,
            (a, b) => a.min(b),
        };
        Self {
            builds: self.builds.saturating_add(other.builds),
            hits: self.hits.saturating_add(other.hits),
            misses: self.misses.saturating_add(other.misses),
            bytes_saved: self.bytes_saved.saturating_add(other.bytes_saved),
            saved_us: self.saved_us.saturating_add(other.saved_us),
            remote: self.remote.plus(other.remote),
            since,
        }
    }

    /// The figures of this cache so far.
    pub fn of(cache: &LocalCache) -> Result<Self> {
        let text = fs::read(&path(cache), LIMIT)?.map(|(bytes, _)| bytes).unwrap_or_default();
        Ok(sum(&text))
    }

    /// Adds these to the figures of this cache.
    pub fn add_to(self, cache: &LocalCache) -> Result<()> {
        let path = path(cache);
        let failed = |e: io::Error| Error::io("write", &path, e);
        let this = Self { since: fs::now() / 1_000_000_000, ..self };
        let mut line = serde_json::to_vec(&this).expect("counters are plain data");
        line.push(b'\n');
        // Whoever sums up puts a new file in place: what is added to the old one after that would be lost.
        for _ in 0..8 {
            let mut file = match File::options().append(true).create(true).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    std::fs::create_dir_all(path.parent().expect("it lies in a folder")).map_err(failed)?;
                    continue;
                }
                other => other.map_err(failed)?,
            };
            // Without locks (some network folders) two that sum up at once may lose a line.
            let _ = file.lock();
            let stat = crate::store::Stat::of_file(&file).map_err(failed)?;
            if crate::store::Stat::of(&path).is_ok_and(|now| now.ino != stat.ino) {
                continue;
            }
            if stat.size < LONG {
                return file.write_all(&line).map_err(failed);
            }
            let before = fs::read(&path, LIMIT).ok().flatten().map(|(bytes, _)| sum(&bytes)).unwrap_or_default();
            let mut text = serde_json::to_vec(&before.plus(this)).expect("counters are plain data");
            text.push(b'\n');
            let mut output = Output::create_unsynced(&path)?;
            output.write(&text)?;
            return output.commit().map(drop);
        }
        Ok(())
    }
}

fn sum(text: &[u8]) -> Counters {
    let lines = text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    lines.fold(Counters::default(), Counters::plus)
}

/// Where the figures lie.
pub fn path(cache: &LocalCache) -> PathBuf {
    cache.root().join("v1/stats")
}

#[cfg(test)]
mod tests {
    use super::{Counters, LONG, path};
    use crate::store::LocalCache;

    #[test]
    fn many_add_at_once_and_nothing_is_lost_however_often_the_file_is_summed_up() {
        let dir = tempfile::tempdir().expect("dir");
        let cache = LocalCache::new(dir.path().join("cache"));
        let one = Counters { builds: 1, hits: 3, misses: 2, bytes_saved: 1000, saved_us: 10, ..Counters::default() };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| one.add_to(&cache).expect("added")));
            }
        });
        let all = Counters::of(&cache).expect("read");
        assert_eq!((all.builds, all.hits, all.misses), (2000, 6000, 4000));
        assert_eq!((all.bytes_saved, all.saved_us), (2_000_000, 20_000));
        assert!(all.since > 1_600_000_000);
        assert!(std::fs::metadata(path(&cache)).expect("there").len() < LONG + 200, "it was never summed up");
    }

    #[test]
    fn a_damaged_line_costs_only_itself() {
        let dir = tempfile::tempdir().expect("dir");
        let cache = LocalCache::new(dir.path());
        assert_eq!(Counters::of(&cache).expect("nothing yet"), Counters::default());
        let one = Counters { builds: 1, hits: 3, ..Counters::default() };
        one.add_to(&cache).expect("added");
        let mut text = std::fs::read(path(&cache)).expect("read");
        text.extend_from_slice(b"{\"builds\":7,\"hi\n\xff\xfe\n");
        std::fs::write(path(&cache), &text).expect("written");
        one.add_to(&cache).expect("added");
        assert_eq!(Counters::of(&cache).expect("read").hits, 6);
    }
}
