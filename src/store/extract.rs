//! `Extraction`: files that appear in a folder together, and only after all of them were written.
//!
//! Files are written into a temporary folder that nobody else may enter. `commit` moves them: where the target does not
//! exist, as one folder in one step; else one by one, through handles of folders that are opened without following any
//! link. Does not know where the bytes come from.
#![expect(clippy::disallowed_methods, reason = "store owns the disk")]

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};

use crate::base::{Error, RelPath, Result};
use crate::store::output;

/// An extraction that is under way. Dropping it removes what was written.
pub struct Extraction {
    target: PathBuf,
    temporary: tempfile::TempDir,
    /// While it is held, nobody takes the folder for what a killed process left.
    _lock: File,
    /// Was the target there before?
    into: bool,
    force: bool,
    files: Vec<RelPath>,
}

/// A file of an extraction, being written.
pub struct Writing {
    file: File,
    path: PathBuf,
}

impl Extraction {
    /// Begins an extraction into `target`. Without `force`, no file that is there is replaced.
    pub fn begin(target: &Path, force: bool) -> Result<Self> {
        let into = match fs::metadata(target) {
            Ok(meta) if meta.is_dir() => true,
            Ok(_) => return Err(Error::usage(format!("`{}` is there and is no folder", target.display()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(Error::io("open", target, e)),
        };
        // On the file system of the target, so that moving is renaming.
        let folder = match (into, target.parent()) {
            (true, _) => target,
            (false, Some(parent)) if !parent.as_os_str().is_empty() => parent,
            (false, _) => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))?;
        // What a killed extraction left here.
        output::tidy(folder);
        loop {
            let temporary = tempfile::Builder::new()
                .prefix(output::prefix())
                .tempdir_in(folder)
                .map_err(|e| Error::io("create a temporary folder in", folder, output::nameless_error(e)))?;
            // Another extraction may have taken it for an orphan before it was locked.
            match File::open(temporary.path()) {
                Ok(lock) if output::keep_hold(&lock) => {
                    let files = Vec::new();
                    return Ok(Self { target: target.to_path_buf(), temporary, _lock: lock, into, force, files });
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("open", temporary.path(), e)),
            }
        }
    }

    /// Begins a file.
    pub fn create(&mut self, path: &RelPath) -> Result<Writing> {
        let shown = path.under(&self.target);
        if self.into && !self.force && fs::symlink_metadata(&shown).is_ok() {
            return Err(taken(&shown));
        }
        let written = path.under(self.temporary.path());
        if let Some(parent) = written.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(parent);
            made.map_err(|e| Error::io("create the folder of", &shown, e))?;
        }
        let file = File::options().write(true).create_new(true).mode(0o644).open(&written);
        let file = file.map_err(|e| Error::io("create", &shown, e))?;
        self.files.push(path.clone());
        Ok(Writing { file, path: shown })
    }

    /// Puts every file in its place.
    pub fn commit(self) -> Result<()> {
        let root = self.temporary.path();
        // The umask had its say when they were made; the modes are the same for everyone.
        modes(root, &self.files).map_err(|e| Error::io("set the modes in", &self.target, e))?;
        if !self.into {
            let renamed = rustix::fs::renameat_with(CWD, root, CWD, &self.target, RenameFlags::NOREPLACE);
            match renamed {
                Ok(()) => {
                    // It is no longer there to be removed.
                    let _ = self.temporary.keep();
                    return Ok(());
                }
                // Not every file system knows how; a plain rename replaces an empty folder at most.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                    fs::rename(root, &self.target).map_err(|e| Error::io("create", &self.target, e))?;
                    let _ = self.temporary.keep();
                    return Ok(());
                }
                Err(rustix::io::Errno::EXIST) => return Err(taken(&self.target)),
                Err(e) => return Err(Error::io("create", &self.target, e.into())),
            }
        }
        let from = folder(CWD, root).map_err(|e| Error::io("open", root, e.into()))?;
        let to = rustix::fs::openat(CWD, &self.target, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| Error::io("open", &self.target, e.into()))?;
        // All that would be in the way is told before anything moves.
        for path in &self.files {
            self.free(&to, path)?;
        }
        for path in &self.files {
            self.place(&from, &to, path)?;
        }
        Ok(())
    }

    /// Nothing may be in the way of this file.
    fn free(&self, to: &OwnedFd, path: &RelPath) -> Result<()> {
        let shown = path.under(&self.target);
        let Some((parent, name)) = descend(to, path, false).map_err(|e| in_the_way(&shown, e))? else { return Ok(()) };
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Ok(_) if self.force => Ok(()),
            Ok(_) => Err(taken(&shown)),
            Err(e) => Err(Error::io("look at", &shown, e.into())),
        }
    }

    fn place(&self, from: &OwnedFd, to: &OwnedFd, path: &RelPath) -> Result<()> {
        let shown = path.under(&self.target);
        let there = descend(to, path, true).map_err(|e| in_the_way(&shown, e))?;
        let here = descend(from, path, false).map_err(|e| Error::io("open", &shown, e.into()))?;
        let (Some((to, name)), Some((from, _))) = (there, here) else {
            return Err(Error::Bug(format!("`{path}` was written and is gone")));
        };
        let renamed = if self.force {
            rustix::fs::renameat(&from, name, &to, name)
        } else {
            match rustix::fs::renameat_with(&from, name, &to, name, RenameFlags::NOREPLACE) {
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                    rustix::fs::renameat(&from, name, &to, name)
                }
                other => other,
            }
        };
        renamed.map_err(|e| match e {
            rustix::io::Errno::EXIST => taken(&shown),
            e => Error::io("put in place", &shown, e.into()),
        })
    }
}

impl Writing {
    /// Writes all of it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io("write", &self.path, e))
    }

    /// Waits for the disk.
    pub fn finish(self) -> Result<()> {
        self.file.sync_all().map_err(|e| Error::io("sync", &self.path, e))
    }
}

fn taken(path: &Path) -> Error {
    let help = "choose another folder, or replace what is there with `--force`";
    Error::usage_help(format!("`{}` is there already", path.display()), help)
}

fn in_the_way(path: &Path, error: rustix::io::Errno) -> Error {
    match error {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
            let help = "take the link or file out of the way; links are never followed";
            Error::usage_help(format!("a link or a file stands where `{}` needs a folder", path.display()), help)
        }
        e => Error::io("open the folder of", path, e.into()),
    }
}

fn folder(at: impl rustix::fd::AsFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(at, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The folder that holds this file below `root`, and the file's name; `None` where a folder on the way is missing.
fn descend<'a>(root: &OwnedFd, path: &'a RelPath, make: bool) -> rustix::io::Result<Option<(OwnedFd, &'a str)>> {
    let mut at = folder(root, ".")?;
    let (folders, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        at = match folder(&at, part) {
            Err(rustix::io::Errno::NOENT) if make => {
                rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o755))?;
                folder(&at, part)?
            }
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            other => other?,
        };
    }
    Ok(Some((at, name)))
}

/// 0644 for files, 0755 for folders.
fn modes(root: &Path, files: &[RelPath]) -> io::Result<()> {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    for path in files {
        fs::set_permissions(path.under(root), fs::Permissions::from_mode(0o644))?;
        let mut parent = path.parent();
        while let Some(folder) = parent {
            fs::set_permissions(folder.under(root), fs::Permissions::from_mode(0o755))?;
            parent = folder.parent();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::Extraction;
    use crate::base::RelPath;

    fn put(extraction: &mut Extraction, path: &str) -> crate::base::Result<()> {
        let mut file = extraction.create(&RelPath::new(path).unwrap())?;
        file.write(b"new")?;
        file.finish()
    }

    fn names(dir: &std::path::Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_folder_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out/x");
        let mut dropped = Extraction::begin(&target, false).unwrap();
        put(&mut dropped, "a").unwrap();
        drop(dropped);
        assert_eq!(names(&dir.path().join("out")), [""; 0]);
        let mut extraction = Extraction::begin(&target, false).unwrap();
        put(&mut extraction, "a").unwrap();
        put(&mut extraction, "b/c/d").unwrap();
        assert!(!target.exists());
        extraction.commit().unwrap();
        assert_eq!(names(&target), ["a", "b"]);
        assert_eq!(names(&dir.path().join("out")), ["x"]);
        let mode = |path: &str| std::fs::metadata(target.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("a"), mode("b/c/d"), mode("."), mode("b/c")), (0o644, 0o644, 0o755, 0o755));
    }

    #[test]
    fn what_is_there_stays_unless_forced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("old"), b"old").unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let mut extraction = Extraction::begin(dir.path(), false).unwrap();
        put(&mut extraction, "d/a").unwrap();
        put(&mut extraction, "late").unwrap();
        assert!(put(&mut extraction, "old").unwrap_err().to_string().contains("is there already"));
        std::fs::write(dir.path().join("late"), b"late").unwrap();
        assert!(extraction.commit().unwrap_err().to_string().contains("late` is there already"));
        assert_eq!(names(dir.path()), ["d", "late", "old"], "nothing was moved");
        assert_eq!(names(&dir.path().join("d")), [""; 0]);

        let mut extraction = Extraction::begin(dir.path(), true).unwrap();
        put(&mut extraction, "old").unwrap();
        put(&mut extraction, "d/a").unwrap();
        extraction.commit().unwrap();
        assert_eq!(std::fs::read(dir.path().join("old")).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["d", "late", "old"]);
    }

    #[test]
    fn links_are_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, outside) = (dir.path().join("target"), dir.path().join("outside"));
        std::fs::create_dir(&target).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), b"old").unwrap();
        symlink("../outside", target.join("d")).unwrap();
        symlink("../outside/secret", target.join("f")).unwrap();
        for force in [false, true] {
            let mut extraction = Extraction::begin(&target, force).unwrap();
            put(&mut extraction, "d/a").unwrap();
            let error = extraction.commit().unwrap_err();
            assert!(error.to_string().contains("needs a folder"), "{error}");
        }
        let mut extraction = Extraction::begin(&target, true).unwrap();
        put(&mut extraction, "f").unwrap();
        extraction.commit().unwrap();
        assert!(target.join("f").symlink_metadata().unwrap().is_file(), "the link itself was replaced");
        assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"old");
        assert_eq!(names(&outside), ["secret"]);
    }
}
