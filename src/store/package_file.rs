//! `PackageFile`: a package on disk, opened only if it is a regular file, and read at any place.
//!
//! Does not know what a package holds.
#![expect(clippy::disallowed_methods, reason = "store owns the disk")]

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::base::{Error, Result};

/// An open package. Clones have places of their own.
#[derive(Debug, Clone)]
pub struct PackageFile {
    file: Arc<File>,
    path: PathBuf,
    size: u64,
    at: u64,
}

impl PackageFile {
    /// Opens the package. A link, folder, pipe or device is refused, and so is an empty file.
    pub fn open(path: &Path) -> Result<Self> {
        let refused = |what: &str| Error::integrity(format!("`{}` is no package: it is {what}", path.display()));
        if let Ok(target) = fs::read_link(path) {
            return Err(refused(&format!("a symbolic link; name its target, `{}`", target.display())));
        }
        // Between the look and the opening a link may appear, or a pipe that would block for ever.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let opened = File::options().read(true).custom_flags(flags).open(path);
        let kind = match &opened {
            Ok(file) => file.metadata(),
            Err(_) => fs::symlink_metadata(path),
        };
        let meta = kind.map_err(|e| Error::io("open", path, e))?;
        let kind = meta.file_type();
        let what = match kind {
            _ if kind.is_dir() => Some("a folder"),
            _ if kind.is_fifo() => Some("a named pipe"),
            _ if kind.is_socket() => Some("a socket"),
            _ if kind.is_symlink() => Some("a symbolic link"),
            _ if kind.is_file() && meta.len() == 0 => Some("empty"),
            _ if kind.is_file() => None,
            _ => Some("a device"),
        };
        if let Some(what) = what {
            return Err(refused(what));
        }
        let file = opened.map_err(|e| Error::io("open", path, e))?;
        Ok(Self { file: Arc::new(file), path: path.to_path_buf(), size: meta.len(), at: 0 })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The same file from its start.
    pub fn again(&self) -> Self {
        Self { at: 0, ..self.clone() }
    }

    /// The path of a file beside it, with this ending added to its name.
    pub fn path_beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    }

    /// The text of a small file beside it with this ending added to its name; `None` where there is none.
    pub fn beside(&self, ending: &str) -> Result<Option<String>> {
        let Some((bytes, _)) = crate::store::fs::read(&self.path_beside(ending), 64 * 1024)? else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A nameless file that holds what this reader gives: it is gone when it is closed.
    pub fn spool(mut from: impl Read) -> io::Result<(File, u64)> {
        let mut file = tempfile::tempfile()?;
        let size = io::copy(&mut from, &mut file)?;
        file.seek(SeekFrom::Start(0))?;
        Ok((file, size))
    }
}

impl Read for PackageFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(out, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for PackageFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, SeekFrom};

    use super::PackageFile;

    #[test]
    fn only_a_regular_file_that_holds_something_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("empty"), b"").unwrap();
        std::fs::write(at("file"), b"0123456789").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let fifo = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, fifo, 0).unwrap();
        for (name, what) in [
            ("empty", "is empty"),
            ("folder", "a folder"),
            ("link", "a symbolic link; name its target, `file`"),
            ("dangling", "a symbolic link"),
            ("socket", "a socket"),
            ("pipe", "a named pipe"),
        ] {
            let error = PackageFile::open(&at(name)).unwrap_err();
            assert_eq!(error.exit_code(), 5, "{name}");
            assert!(error.to_string().contains(what), "{name}: {error}");
            assert_eq!(error.to_string().lines().count(), 1);
        }
        assert!(PackageFile::open(std::path::Path::new("/dev/null")).unwrap_err().to_string().contains("a device"));
        assert_eq!(PackageFile::open(&at("missing")).unwrap_err().exit_code(), 3);

        let mut file = PackageFile::open(&at("file")).unwrap();
        let mut text = String::new();
        file.seek(SeekFrom::End(-3)).unwrap();
        file.read_to_string(&mut text).unwrap();
        file.again().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), file.size()), ("7890123456789", 10));
        std::fs::write(at("file.sha256"), b"beside").unwrap();
        assert_eq!(file.beside(".sha256").unwrap().as_deref(), Some("beside"));
        assert_eq!(file.beside(".other").unwrap(), None);
    }
}
