//! What lies in the cache, and bringing it down: by size, number and age, what was used last goes last.
//!
//! Everything is found by listing the folders: there is no book that could be wrong. A blob counts as used whenever a
//! result that speaks of it was, so a result never outlives what it needs by being used more often.
//!
//! It is safe while builds run, without a lock. What was used within [`SPARED`] is never collected, so what a build is
//! writing or has just looked at stays. Before a file is removed it is looked at again: a build may have used it since,
//! or put a new one in its place. Should it be removed under a build's hands all the same, that build finds a miss and
//! makes it again. Folders stay (a writer may be about to put a file there), and temporaries that are being written
//! are locked ([`output::tidy`] leaves them alone). Does not know what records say: whoever calls does.

#![expect(clippy::disallowed_methods, reason = "store owns the disk")]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::base::{Digest, Error, Result};
use crate::store::stat::Links;
use crate::store::{LocalCache, Stat, fs, local, output};

/// What was used within this many nanoseconds is never collected: an hour.
pub const SPARED: i64 = 3_600_000_000_000;

/// What the disk gives a file at least, and in steps of which.
const BLOCK: u64 = 4096;

/// Records longer than this are damage.
const MAX_RECORD: u64 = 256 << 20;

/// A file of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name: a key or the hash of its content.
    pub name: [u8; 32],
    /// Its length.
    pub size: u64,
    /// When it was last used, in nanoseconds since 1970.
    pub used: i64,
    ino: u64,
}

impl Entry {
    /// The room that it takes on the disk.
    pub fn room(&self) -> u64 {
        self.size.next_multiple_of(BLOCK)
    }
}

/// The folder of one repo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFolder {
    /// Where it lies.
    pub path: PathBuf,
    /// The repo that it belongs to, where that is noted.
    pub repo: Option<PathBuf>,
    /// The room that it takes.
    pub bytes: u64,
    /// When its index was last written.
    pub used: i64,
}

/// All that lies in a cache.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Results of tasks, by name.
    pub results: Vec<Entry>,
    /// Blobs, by name.
    pub blobs: Vec<Entry>,
    /// Folders of repos.
    pub repos: Vec<RepoFolder>,
}

impl Held {
    /// Results and blobs: their number and the room they take.
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        self.results.iter().chain(&self.blobs).for_each(|entry| total.add(entry));
        total
    }
}

/// So many files, so much room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Total {
    /// Files.
    pub files: u64,
    /// Bytes on the disk, in whole blocks.
    pub bytes: u64,
}

impl Total {
    /// One more.
    pub fn add(&mut self, entry: &Entry) {
        self.files += 1;
        self.bytes += entry.room();
    }
}

/// Which of the two an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A result of a task: goes before a blob used at the same time.
    Result,
    /// Bytes by their hash.
    Blob,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Result => "results",
            Self::Blob => "blobs",
        }
    }

    /// Where the file of this name lies.
    pub fn path(self, cache: &LocalCache, name: &[u8; 32]) -> PathBuf {
        let hex = crate::base::digest::hex(name);
        cache.root().join("v1").join(self.folder()).join(&hex[..2]).join(&hex[2..])
    }
}

/// How far to bring a cache down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes, in whole blocks.
    pub max_bytes: u64,
    /// The most files.
    pub max_files: u64,
    /// What was not used for so many nanoseconds goes.
    pub max_age: i64,
    /// The most files to remove in one go.
    pub max_removals: u64,
    /// Now, in nanoseconds since 1970.
    pub now: i64,
}

/// What was collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Collected {
    /// Removed by age, number or size.
    pub removed: Total,
    /// Removed because a part of what they speak of is gone, or because they were damaged.
    pub dropped: Total,
    /// Files that killed processes left half-written.
    pub temporaries: u64,
    /// Folders of repos that are gone.
    pub repos: u64,
    /// What stays.
    pub kept: Total,
    /// What of it is over the limits, and was used so lately that a build may need it.
    pub spared: Total,
}

/// Lists what lies in the cache.
pub fn held(cache: &LocalCache) -> Result<Held> {
    let base = cache.root().join("v1");
    let mut held =
        Held { results: entries(&base.join("results"))?, blobs: entries(&base.join("blobs"))?, repos: vec![] };
    for entry in fs::list(&base.join("repos"))?.into_iter().filter(|e| e.is_dir) {
        let path = base.join("repos").join(&entry.shown);
        let index = Stat::of(&path.join("index"));
        held.repos.push(RepoFolder {
            repo: fs::read_settled(&path.join("root"), 1 << 16).ok().flatten().map(|(bytes, _)| as_path(bytes)),
            bytes: index.as_ref().map_or(0, |stat| stat.size.next_multiple_of(BLOCK)),
            used: index.or_else(|_| Stat::of(&path)).map_or(0, |stat| stat.mtime),
            path,
        });
    }
    Ok(held)
}

fn as_path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

/// The files in the 256 folders below this one. What is not named like an entry is left alone.
fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    for fan in fs::list(folder)?.into_iter().filter(|e| e.is_dir && e.shown.len() == 2) {
        let below = folder.join(&fan.shown);
        // A folder that cannot be looked into is not an empty one; it or a file may be gone by now.
        let open = match std::fs::File::open(&below) {
            Ok(open) => open,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("open", &below, e)),
        };
        for file in fs::list(&below)?.into_iter().filter(|e| e.is_file) {
            let Some(name) = crate::base::digest::unhex(&format!("{}{}", fan.shown, file.shown)) else { continue };
            let path = std::ffi::CString::new(file.shown.as_str()).expect("hex has no NUL");
            let stat = match Stat::below(&open, &path, Links::Keep) {
                Ok(stat) => stat,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io("look at", below.join(&file.shown), e)),
            };
            found.push(Entry { name, size: stat.size, used: stat.mtime, ino: stat.ino });
        }
    }
    found.sort_unstable_by_key(|entry| entry.name);
    Ok(found)
}

/// Is there anything that these limits would remove? Looks at names and times alone.
pub fn is_due(held: &Held, limits: &Limits) -> bool {
    let total = held.total();
    let oldest = limits.now.saturating_sub(limits.max_age);
    total.bytes > limits.max_bytes
        || total.files > limits.max_files
        || held.results.iter().chain(&held.blobs).any(|entry| entry.used < oldest)
}

/// Brings the cache down to the limits. `blobs` tells which blobs a record speaks of.
pub fn collect(
    cache: &LocalCache,
    mut held: Held,
    limits: &Limits,
    blobs: &dyn Fn(&[u8]) -> Vec<Digest>,
) -> Result<Collected> {
    let mut collected = Collected { temporaries: tidy(cache)?, ..Collected::default() };
    let young = |entry: &Entry| entry.used.saturating_add(SPARED) > limits.now;
    let numbers: BTreeMap<[u8; 32], usize> = held.blobs.iter().enumerate().map(|(i, blob)| (blob.name, i)).collect();
    let oldest = limits.now.saturating_sub(limits.max_age);
    let mut kept: Vec<(Kind, Entry)> = Vec::with_capacity(held.results.len() + held.blobs.len());
    for result in held.results {
        let path = Kind::Result.path(cache, &result.name);
        let record = match fs::read_settled(&path, MAX_RECORD) {
            Ok(Some((bytes, _))) => local::whole(bytes),
            Ok(None) => continue,
            Err(_) => None,
        };
        let needs = record.as_deref().map(blobs);
        // A blob that was not listed may have been written since.
        let is_there =
            |digest: &Digest| numbers.contains_key(digest.hash()) || Stat::of(&cache.blob_path(digest)).is_ok();
        if !needs.as_ref().is_some_and(|needs| needs.iter().all(is_there)) && !young(&result) {
            if remove(&path, &result)? {
                collected.dropped.add(&result);
            }
            continue;
        }
        if result.used >= oldest {
            for number in needs.iter().flatten().filter_map(|digest| numbers.get(digest.hash())) {
                let used = &mut held.blobs[*number].used;
                *used = result.used.max(*used);
            }
        }
        kept.push((Kind::Result, result));
    }
    kept.extend(held.blobs.into_iter().map(|blob| (Kind::Blob, blob)));
    kept.sort_unstable_by_key(|(kind, entry)| (entry.used, *kind, entry.name));
    kept.iter().for_each(|(_, entry)| collected.kept.add(entry));
    for (kind, entry) in &kept {
        let (files, bytes) =
            (collected.kept.files - collected.spared.files, collected.kept.bytes - collected.spared.bytes);
        let over = bytes > limits.max_bytes || files > limits.max_files;
        if (!over && entry.used >= oldest) || collected.removed.files >= limits.max_removals {
            break;
        }
        // What comes after it was used later still.
        if young(entry) {
            collected.spared.add(entry);
            continue;
        }
        if remove(&kind.path(cache, &entry.name), entry)? {
            collected.removed.add(entry);
            collected.kept.files -= 1;
            collected.kept.bytes -= entry.room();
        }
    }
    for folder in &held.repos {
        let gone = folder.repo.as_deref().is_some_and(is_gone);
        if (gone || folder.used < oldest) && folder.used.saturating_add(SPARED) <= limits.now {
            remove_repo(folder)?;
            collected.repos += 1;
        }
    }
    Ok(collected)
}

/// Removes the file, unless it is no longer what was listed: used since, replaced, gone.
fn remove(path: &Path, listed: &Entry) -> Result<bool> {
    match Stat::of(path) {
        Ok(stat) if stat.ino == listed.ino && stat.size == listed.size && stat.mtime <= listed.used => {
            fs::remove(path).map(|()| true)
        }
        Ok(_) => Ok(false),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("look at", path, e)),
    }
}

/// Is nothing there? Of what cannot be looked at nobody knows.
fn is_gone(path: &Path) -> bool {
    Stat::following(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

fn remove_repo(folder: &RepoFolder) -> Result<()> {
    output::tidy(&folder.path);
    for name in ["index", "root"] {
        fs::remove(&folder.path.join(name))?;
    }
    // Something else in there keeps it.
    let _ = std::fs::remove_dir(&folder.path);
    Ok(())
}

/// Removes what killed processes left in the cache.
pub fn tidy(cache: &LocalCache) -> Result<u64> {
    let base = cache.root().join("v1");
    // Where runs that could not use their cache had one of their own.
    output::tidy(&std::env::temp_dir());
    let mut removed = output::tidy(cache.root()) + output::tidy(&base) + output::tidy(&base.join("blobs"));
    for kind in ["results", "blobs", "repos"] {
        for folder in fs::list(&base.join(kind))?.into_iter().filter(|e| e.is_dir) {
            removed += output::tidy(&base.join(kind).join(folder.shown));
        }
    }
    Ok(removed as u64)
}

/// Reads a file of the cache and says whether its content is what its name says. `None` where it is gone.
pub fn is_sound(cache: &LocalCache, kind: Kind, entry: &Entry, stop: &dyn Fn() -> bool) -> Result<Option<bool>> {
    let path = kind.path(cache, &entry.name);
    if kind == Kind::Result {
        return Ok(fs::read_settled(&path, MAX_RECORD)?.map(|(bytes, _)| local::whole(bytes).is_some()));
    }
    let mut file = match fs::open(&path) {
        Ok((file, _)) => file,
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        if stop() {
            return Err(Error::Interrupted);
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(hasher.finalize().as_bytes() == &entry.name)),
            Ok(count) => hasher.update(&buffer[..count]),
            // A disk that cannot give the bytes back has damaged them.
            Err(_) => return Ok(Some(false)),
        };
    }
}

/// Removes a damaged file, unless it was replaced since it was listed.
pub fn remove_damaged(cache: &LocalCache, kind: Kind, entry: &Entry) -> Result<bool> {
    let path = kind.path(cache, &entry.name);
    match Stat::of(&path) {
        Ok(stat) if stat.ino == entry.ino => fs::remove(&path).map(|()| true),
        _ => Ok(false),
    }
}

/// Removes everything but the folders themselves.
pub fn clear(cache: &LocalCache) -> Result<Collected> {
    let held = held(cache)?;
    let mut collected = Collected { temporaries: tidy(cache)?, ..Collected::default() };
    for (kind, entries) in [(Kind::Result, &held.results), (Kind::Blob, &held.blobs)] {
        for entry in entries {
            fs::remove(&kind.path(cache, &entry.name))?;
            collected.removed.add(entry);
        }
    }
    for folder in &held.repos {
        remove_repo(folder)?;
        collected.repos += 1;
    }
    for name in ["v1/stats", "v1/collected"] {
        fs::remove(&cache.root().join(name))?;
    }
    Ok(collected)
}

/// When a build last looked for what to collect; 0 where none ever did.
pub fn last_collected(cache: &LocalCache) -> i64 {
    Stat::of(&cache.root().join("v1/collected")).map_or(0, |stat| stat.mtime)
}

/// Notes that it was looked for just now.
pub fn note_collected(cache: &LocalCache) -> Result<()> {
    output::write(&cache.root().join("v1/collected"), b"")
}

#[cfg(test)]
mod tests {
    use super::{Held, Kind, Limits, SPARED, collect, held, is_due, is_sound, last_collected, note_collected};
    use crate::base::Digest;
    use crate::store::{ActionKey, Cache as _, LocalCache};

    const DAY: i64 = 86_400_000_000_000;

    /// A cache with blobs of 5,000 bytes; each is spoken of by one result, whose record is the blob's digest as text.
    struct Filled {
        dir: tempfile::TempDir,
        cache: LocalCache,
        blobs: Vec<Digest>,
    }

    fn key(i: usize) -> ActionKey {
        ActionKey::of(&i.to_string())
    }

    fn spoken_of(record: &[u8]) -> Vec<Digest> {
        std::str::from_utf8(record).expect("text").lines().map(|line| line.parse().expect("a digest")).collect()
    }

    impl Filled {
        fn new(count: usize) -> Self {
            let dir = tempfile::tempdir().expect("dir");
            let cache = LocalCache::new(dir.path().join("cache"));
            let mut blobs = Vec::new();
            for i in 0..count {
                let bytes = vec![i as u8; 5000];
                let digest = Digest::of(&bytes);
                let mut writer = cache.new_blob(5000).expect("new");
                writer.write(&bytes).expect("write");
                writer.finish(digest).expect("finish");
                cache.put_result(key(i), digest.to_string().as_bytes()).expect("put");
                blobs.push(digest);
            }
            Self { dir, cache, blobs }
        }

        /// Makes result and blob look as if they had been used so many days ago.
        fn age(&self, i: usize, days_of_result: u64, days_of_blob: u64) {
            for (path, days) in
                [(self.cache.result_path(key(i)), days_of_result), (self.cache.blob_path(&self.blobs[i]), days_of_blob)]
            {
                let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86_400);
                std::fs::File::options().write(true).open(path).expect("open").set_modified(then).expect("set");
            }
        }

        fn listed(&self) -> Held {
            held(&self.cache).expect("held")
        }

        fn has(&self, i: usize) -> (bool, bool) {
            (self.cache.result_path(key(i)).exists(), self.cache.blob_path(&self.blobs[i]).exists())
        }
    }

    fn limits() -> Limits {
        let now = crate::store::fs::now();
        Limits { max_bytes: u64::MAX, max_files: u64::MAX, max_age: i64::MAX, max_removals: u64::MAX, now }
    }

    #[test]
    fn what_was_used_last_goes_last() {
        let filled = Filled::new(4);
        (0..4).for_each(|i| filled.age(i, 10 - i as u64, 10 - i as u64));
        // The first was read today, though its blob was not.
        filled.age(0, 1, 10);
        let room = filled.listed().total();
        assert_eq!((room.files, room.bytes), (8, 4 * (8192 + 4096)));
        let limits = Limits { max_bytes: room.bytes / 2, ..limits() };
        assert!(is_due(&filled.listed(), &limits));
        let collected = collect(&filled.cache, filled.listed(), &limits, &spoken_of).expect("collected");
        assert_eq!([0, 1, 2, 3].map(|i| filled.has(i)), [(true, true), (false, false), (false, false), (true, true)]);
        assert_eq!((collected.removed.files, collected.removed.bytes), (4, room.bytes / 2));
        assert_eq!(collected.kept, filled.listed().total());
        assert!(!is_due(&filled.listed(), &limits));
    }

    #[test]
    fn age_and_number_are_limits_too_and_removals_are_bounded() {
        let filled = Filled::new(4);
        (0..4).for_each(|i| filled.age(i, 40 - 10 * i as u64, 40 - 10 * i as u64));
        let old = Limits { max_age: 25 * DAY, ..limits() };
        assert!(is_due(&filled.listed(), &old));
        let one = Limits { max_removals: 1, ..old };
        assert_eq!(collect(&filled.cache, filled.listed(), &one, &spoken_of).expect("collected").removed.files, 1);
        assert_eq!(filled.has(0), (false, true));
        collect(&filled.cache, filled.listed(), &old, &spoken_of).expect("collected");
        assert_eq!([0, 1, 2, 3].map(|i| filled.has(i).1), [false, false, true, true]);
        let few = Limits { max_files: 2, ..limits() };
        collect(&filled.cache, filled.listed(), &few, &spoken_of).expect("collected");
        assert_eq!([2, 3].map(|i| filled.has(i)), [(false, false), (true, true)]);
    }

    #[test]
    fn what_was_just_used_or_replaced_is_spared() {
        let filled = Filled::new(3);
        let nothing = Limits { max_bytes: 0, ..limits() };
        let collected = collect(&filled.cache, filled.listed(), &nothing, &spoken_of).expect("collected");
        assert_eq!((collected.removed.files, collected.kept.files), (0, 6), "all of it is young");
        assert_eq!(collected.spared, collected.kept);
        (0..3).for_each(|i| filled.age(i, 2, 2));
        let listed = filled.listed();
        // Since the listing one was read, which says so by its time, and one was put in place anew.
        assert!(filled.cache.result(key(0)).expect("read").is_some());
        assert!(filled.cache.blob(&filled.blobs[0]).expect("opened").is_some());
        let mut writer = filled.cache.new_blob(5000).expect("new");
        writer.write(&[1; 5000]).expect("write");
        writer.finish(filled.blobs[1]).expect("finish");
        collect(&filled.cache, listed, &nothing, &spoken_of).expect("collected");
        assert_eq!([0, 1, 2].map(|i| filled.has(i)), [(true, true), (false, true), (false, false)]);
    }

    #[test]
    fn results_that_lost_a_part_or_are_damaged_are_dropped() {
        let filled = Filled::new(3);
        (0..3).for_each(|i| filled.age(i, 1, 1));
        std::fs::remove_file(filled.cache.blob_path(&filled.blobs[0])).expect("removed");
        std::fs::write(filled.cache.result_path(key(1)), b"torn").expect("written");
        filled.age(1, 1, 1);
        let collected = collect(&filled.cache, filled.listed(), &limits(), &spoken_of).expect("collected");
        assert_eq!([0, 1, 2].map(|i| filled.has(i)), [(false, false), (false, true), (true, true)]);
        assert_eq!((collected.dropped.files, collected.removed.files), (2, 0));
    }

    #[test]
    fn orphans_and_folders_of_repos_that_are_gone_are_collected() {
        let filled = Filled::new(1);
        let base = filled.cache.root().join("v1");
        let (here, gone) = (filled.dir.path().join("here"), filled.dir.path().join("gone"));
        std::fs::create_dir(&here).expect("made");
        for repo in [&here, &gone] {
            filled.cache.note_repo(repo);
            let index = filled.cache.repo_folder(repo).join("index");
            std::fs::write(&index, b"index").expect("written");
            let then = std::time::SystemTime::now() - std::time::Duration::from_nanos(2 * SPARED as u64);
            std::fs::File::options().write(true).open(index).expect("open").set_modified(then).expect("set");
        }
        let orphan = format!("{}x", crate::store::output::prefix());
        for folder in [base.join("blobs"), base.join("results/ab"), filled.cache.repo_folder(&here)] {
            std::fs::create_dir_all(&folder).expect("made");
            std::fs::write(folder.join(&orphan), b"").expect("written");
        }
        let writing = filled.cache.new_blob(10).expect("being written");
        let collected = collect(&filled.cache, filled.listed(), &limits(), &spoken_of).expect("collected");
        assert_eq!((collected.temporaries, collected.repos), (3, 1));
        assert!(filled.cache.repo_folder(&here).join("index").exists() && !filled.cache.repo_folder(&gone).exists());
        writing.finish(Digest::of(b"")).expect("its temporary was left alone");
    }

    #[test]
    fn damage_is_seen_in_results_and_blobs() {
        let filled = Filled::new(2);
        let sound = |kind: Kind, i: usize| {
            let listed = filled.listed();
            let (entries, name) = match kind {
                Kind::Result => (listed.results, *key(i).bytes()),
                Kind::Blob => (listed.blobs, *filled.blobs[i].hash()),
            };
            let entry = *entries.iter().find(|e| e.name == name).expect("listed");
            is_sound(&filled.cache, kind, &entry, &|| false).expect("read")
        };
        assert_eq!((sound(Kind::Result, 0), sound(Kind::Blob, 0)), (Some(true), Some(true)));
        for path in [filled.cache.result_path(key(0)), filled.cache.blob_path(&filled.blobs[0])] {
            let mut bytes = std::fs::read(&path).expect("read");
            bytes[17] ^= 1;
            std::fs::write(&path, bytes).expect("written");
        }
        assert_eq!((sound(Kind::Result, 0), sound(Kind::Blob, 0)), (Some(false), Some(false)));
        assert_eq!((sound(Kind::Result, 1), sound(Kind::Blob, 1)), (Some(true), Some(true)));
    }

    #[test]
    fn the_stamp_tells_when_it_was_looked_for() {
        let filled = Filled::new(1);
        assert_eq!(last_collected(&filled.cache), 0);
        note_collected(&filled.cache).expect("noted");
        assert!(crate::store::fs::now() - last_collected(&filled.cache) < DAY);
    }
}
