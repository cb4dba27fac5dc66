//! `Watcher`: waits until something in the watched folders has changed and has come to rest.
//!
//! At rest means: nothing happened for [`QUIET`], whoever was writing a file has closed it, and two looks at all that
//! changed, [`APART`] from each other, see the same. Folders are watched one by one, so that folders nobody cares for
//! (outputs of other tools, hidden ones) cost nothing; a file that is replaced by renaming is a change of its folder,
//! so editors that save that way are seen. A folder that is replaced takes its watch with it, and those of all below it:
//! what stands there now is watched anew, and counts as changed.

#![expect(clippy::disallowed_methods, reason = "to wait until nothing happens needs a clock")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::base::{Error, Result};
use crate::store::Stat;

/// How long nothing must happen.
pub const QUIET: Duration = Duration::from_millis(150);

/// How far two looks lie apart.
pub const APART: Duration = Duration::from_millis(40);

/// A program that writes to a file, and then neither writes nor closes it for so long, is not waited for.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How often a stop is looked for while nothing happens.
const TICK: Duration = Duration::from_millis(50);

/// What became of waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// These paths changed and are at rest; none where changes were too many to be told, or where the time was up.
    Changed(BTreeSet<PathBuf>),
    /// The user wants to stop.
    Stopped,
}

/// Watches folders.
#[derive(Debug)]
pub struct Watcher {
    system: RecommendedWatcher,
    events: Receiver<notify::Result<notify::Event>>,
    folders: BTreeSet<PathBuf>,
    /// Folders among them that went, and may have come back: the system watches them no more.
    lost: BTreeSet<PathBuf>,
}

impl Watcher {
    /// Watches nothing yet.
    pub fn new() -> Result<Self> {
        let (sender, events) = channel();
        let system = notify::recommended_watcher(sender).map_err(|e| failed(Path::new("."), e))?;
        Ok(Self { system, events, folders: BTreeSet::new(), lost: BTreeSet::new() })
    }

    /// Watches these folders and no others, without what lies below them.
    pub fn follow(&mut self, folders: BTreeSet<PathBuf>) -> Result<()> {
        for gone in self.folders.difference(&folders) {
            // A folder that is gone took its watch with it.
            let _ = self.system.unwatch(gone);
        }
        let new: Vec<PathBuf> = folders.difference(&self.folders).cloned().collect();
        self.folders = folders;
        self.lost.retain(|folder| self.folders.contains(folder));
        for folder in new {
            match self.system.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // It went between the listing and now: its parent will tell if it comes back.
                Err(_) if Stat::following(&folder).is_err() => drop(self.folders.remove(&folder)),
                Err(e) => return Err(failed(&folder, e)),
            }
        }
        Ok(())
    }

    /// The folders that are watched.
    pub fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }

    /// Waits until something changed that is not to be ignored, and until it is at rest; with `at_most`, comes back
    /// after that time even if nothing changed.
    pub fn rest(
        &mut self,
        ignored: &dyn Fn(&Path) -> bool,
        at_most: Option<Duration>,
        stop: &AtomicBool,
    ) -> Result<Rest> {
        let began = Instant::now();
        let mut seen = Seen::default();
        let mut looked: Option<Vec<Option<Stat>>> = None;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(Rest::Stopped);
            }
            match self.events.recv_timeout(if looked.is_some() { APART } else { TICK }) {
                Ok(Ok(event)) => {
                    self.lose(&event);
                    if seen.take(&event, ignored) {
                        looked = None;
                    }
                    continue;
                }
                Ok(Err(e)) => return Err(failed(Path::new("."), e)),
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Bug("nobody watches any more".into())),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // Only now, as the system still forgets watches for some time after it told why.
            for folder in self.watch_lost()? {
                if !ignored(&folder) {
                    seen.changed.insert(folder);
                    seen.last = Some(Instant::now());
                    looked = None;
                }
            }
            let Some(last) = seen.last else {
                if at_most.is_some_and(|most| began.elapsed() >= most) {
                    return Ok(Rest::Changed(BTreeSet::new()));
                }
                continue;
            };
            seen.open.retain(|_, written| written.elapsed() < PATIENCE);
            if last.elapsed() < QUIET || !seen.open.is_empty() {
                continue;
            }
            let look: Vec<Option<Stat>> = seen.changed.iter().map(|path| Stat::following(path).ok()).collect();
            if looked.as_ref() == Some(&look) {
                return Ok(Rest::Changed(seen.changed));
            }
            looked = Some(look);
        }
    }
}

impl Watcher {
    /// Takes note of watched folders that went or came, with all below them.
    fn lose(&mut self, event: &notify::Event) {
        if matches!(event.kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
            for path in &event.paths {
                let below = self.folders.range(path.clone()..).take_while(|folder| folder.starts_with(path));
                self.lost.extend(below.cloned());
            }
        }
    }

    /// Watches those of them that are there, and returns them.
    fn watch_lost(&mut self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for folder in std::mem::take(&mut self.lost) {
            match self.system.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => found.push(folder),
                // Its parent tells when it comes.
                Err(_) if Stat::following(&folder).is_err() => {}
                Err(e) => return Err(failed(&folder, e)),
            }
        }
        Ok(found)
    }
}

/// What was told so far.
#[derive(Default)]
struct Seen {
    changed: BTreeSet<PathBuf>,
    /// Files that were written to and not closed since, with when.
    open: BTreeMap<PathBuf, Instant>,
    last: Option<Instant>,
}

impl Seen {
    /// Takes an event; says whether it told a change.
    fn take(&mut self, event: &notify::Event, ignored: &dyn Fn(&Path) -> bool) -> bool {
        if event.need_rescan() {
            self.last = Some(Instant::now());
            return true;
        }
        let closed = matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
        // Reading, our own above all, changes nothing.
        if matches!(event.kind, EventKind::Access(_)) && !closed {
            return false;
        }
        let mut told = false;
        for path in event.paths.iter().filter(|path| !ignored(path)) {
            match event.kind {
                // Only inotify tells when a file is closed.
                EventKind::Modify(ModifyKind::Data(_)) if cfg!(target_os = "linux") => {
                    self.open.insert(path.clone(), Instant::now());
                }
                EventKind::Modify(ModifyKind::Metadata(_) | ModifyKind::Data(_)) | EventKind::Create(_) => {}
                _ => drop(self.open.remove(path)),
            }
            self.changed.insert(path.clone());
            self.last = Some(Instant::now());
            told = true;
        }
        told
    }
}

fn failed(folder: &Path, error: notify::Error) -> Error {
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => Error::usage_help(
            "the system does not let so many folders be watched",
            "raise the limit: `sudo sysctl fs.inotify.max_user_watches=1048576`; or watch fewer experts",
        ),
        notify::ErrorKind::Io(e) => Error::io("watch", folder, e),
        kind => Error::io("watch", folder, io::Error::other(notify::Error::new(kind).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    use super::{QUIET, Rest, Watcher};

    static GO_ON: AtomicBool = AtomicBool::new(false);

    fn watching(dir: &std::path::Path) -> Watcher {
        let mut watcher = Watcher::new().expect("watcher");
        watcher.follow([dir.to_path_buf()].into()).expect("follow");
        watcher
    }

    fn names(rest: Rest) -> Vec<String> {
        let Rest::Changed(paths) = rest else { panic!("stopped") };
        paths.iter().map(|p| p.file_name().expect("a name").to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_replaced_by_renaming_is_seen_and_what_is_ignored_is_not() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("a"), "old").expect("write");
        let mut watcher = watching(dir.path());
        std::fs::write(dir.path().join("a.expert"), "output").expect("write");
        std::fs::write(dir.path().join("b"), "new").expect("write");
        std::fs::rename(dir.path().join("b"), dir.path().join("a")).expect("rename");
        let ignored = |path: &std::path::Path| path.extension().is_some();
        assert_eq!(names(watcher.rest(&ignored, None, &GO_ON).expect("rest")), ["a", "b"]);
        let most = Some(Duration::from_millis(10));
        assert_eq!(watcher.rest(&ignored, most, &GO_ON).expect("rest"), Rest::Changed([].into()));
        assert_eq!(watcher.rest(&ignored, None, &AtomicBool::new(true)).expect("rest"), Rest::Stopped);
    }

    /// A writer that is slower than the quiet time is waited for, as it has not closed its file.
    #[test]
    fn a_file_that_is_still_open_is_not_at_rest() {
        let dir = tempfile::tempdir().expect("dir");
        let mut watcher = watching(dir.path());
        let path = dir.path().join("weights");
        let mut file = std::fs::File::create(&path).expect("create");
        file.write_all(b"half").expect("write");
        let closed = std::sync::Mutex::new(None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // The writer's own slowness, which is what this is about; nobody waits for it.
                std::thread::sleep(4 * QUIET);
                file.write_all(b" and half").expect("write");
                *closed.lock().expect("lock") = Some(Instant::now());
                drop(file);
            });
            assert_eq!(names(watcher.rest(&|_| false, None, &GO_ON).expect("rest")), ["weights"]);
        });
        let closed = closed.into_inner().expect("lock").expect("the file was closed before it was at rest");
        assert!(closed.elapsed() >= QUIET);
        assert_eq!(std::fs::read(path).expect("read"), b"half and half");
    }

    /// What is written into a folder after it was replaced is heard of, below it too.
    #[test]
    fn a_folder_that_was_replaced_is_watched() {
        let dir = tempfile::tempdir().expect("dir");
        let (weights, below) = (dir.path().join("weights"), dir.path().join("weights/below"));
        std::fs::create_dir_all(&below).expect("made");
        let mut watcher = Watcher::new().expect("watcher");
        watcher.follow([dir.path().to_path_buf(), weights.clone(), below.clone()].into()).expect("follow");
        for moved in [false, true] {
            match moved {
                false => std::fs::remove_dir_all(&weights).expect("removed"),
                true => std::fs::rename(&weights, dir.path().join("old")).expect("moved"),
            }
            std::fs::create_dir_all(&below).expect("made");
            assert!(names(watcher.rest(&|_| false, None, &GO_ON).expect("rest")).contains(&"weights".to_owned()));
            for folder in [&weights, &below] {
                std::fs::write(folder.join("a"), "").expect("write");
                assert_eq!(names(watcher.rest(&|_| false, None, &GO_ON).expect("rest")), ["a"]);
            }
        }
    }

    #[test]
    fn folders_come_and_go() {
        let dir = tempfile::tempdir().expect("dir");
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::create_dir(&one).expect("made");
        let mut watcher = Watcher::new().expect("watcher");
        watcher.follow([one.clone(), two.clone()].into()).expect("one that is not there is left out");
        assert_eq!(watcher.folders().len(), 1);
        std::fs::create_dir(&two).expect("made");
        watcher.follow([two.clone()].into()).expect("follow");
        std::fs::write(one.join("a"), "").expect("write");
        std::fs::write(two.join("b"), "").expect("write");
        assert_eq!(names(watcher.rest(&|_| false, None, &GO_ON).expect("rest")), ["b"]);
    }
}
