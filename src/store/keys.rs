//! Key files on disk: written once, readable by their owner alone; and the randomness that a new key needs.
//!
//! Does not know what a key looks like: bytes in, bytes out.
#![expect(clippy::disallowed_methods, reason = "this module owns key files")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::base::{Error, Result};
use crate::store::output;

/// No key in any form is longer.
const MAX: u64 = 16 * 1024;

/// 32 bytes from the system's generator.
pub fn fresh_seed() -> Result<Zeroizing<[u8; 32]>> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)
        .map_err(|e| Error::io("read", "the system's random generator", io::Error::other(e.to_string())))?;
    Ok(seed)
}

/// The bytes of a private key file. Refuses one that others may read, and what `is_public`, which all may read.
pub fn read_private(path: &Path, is_public: &dyn Fn(&[u8]) -> bool) -> Result<Zeroizing<Vec<u8>>> {
    let file = open(path)?;
    let mode = file.metadata().map_err(|e| Error::io("read", path, e))?.permissions().mode() & 0o777;
    let bytes = read(file, path)?;
    if is_public(&bytes) {
        let private = path.with_extension("pem");
        let help = match is_there(&private) && private != path {
            true => format!("name the private one, which may be `{}`", private.display()),
            false => "name the private one, which `keygen --output` named".to_owned(),
        };
        return Err(Error::usage_help(
            format!("`{}` is a public key, and a private one is needed", path.display()),
            help,
        ));
    }
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(Error::usage_help(
            format!("others may read the private key `{path}` (mode {mode:04o})"),
            format!("run `chmod 600 {path}`, and make a new key if it was shared"),
        ));
    }
    Ok(bytes)
}

/// The bytes of a public key file.
pub fn read_public(path: &Path) -> Result<Vec<u8>> {
    read(open(path)?, path).map(|bytes| bytes.to_vec())
}

/// Is anything at this path, be it a link that leads nowhere?
pub fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Writes a private key with mode 0600 and its public half with mode 0644. Neither may be there before; each appears
/// whole or not at all, the private one first. If the second cannot be written, the first is taken back.
pub fn write_pair(private: (&Path, &[u8]), public: (&Path, &[u8])) -> Result<()> {
    for path in [private.0, public.0] {
        if is_there(path) {
            return Err(taken(path));
        }
    }
    output::tidy_beside(private.0);
    let written = (written(private, 0o600)?, written(public, 0o644)?);
    put_in_place(written.0, private.0)?;
    put_in_place(written.1, public.0).inspect_err(|_| {
        // Nothing has used it yet.
        let _ = std::fs::remove_file(private.0);
    })?;
    sync_folder(private.0);
    Ok(())
}

/// Writes the public half of a private key that exists. `false` where it is there already, as it should be.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<bool> {
    if is_there(path) {
        let there = read_public(path)?;
        return if there == bytes { Ok(false) } else { Err(taken(path)) };
    }
    output::tidy_beside(path);
    put_in_place(written((path, bytes), 0o644)?, path)?;
    sync_folder(path);
    Ok(true)
}

/// The bytes in a temporary beside the path, on the disk and with this mode.
fn written((path, bytes): (&Path, &[u8]), mode: u32) -> Result<NamedTempFile> {
    loop {
        let mut file = tempfile::Builder::new()
            .prefix(output::prefix())
            .permissions(std::fs::Permissions::from_mode(mode))
            .tempfile_in(folder(path))
            .map_err(|e| Error::io("create", path, output::nameless_error(e)))?;
        // Whoever tidies the folder may have taken it for an orphan.
        if output::keep_hold(file.as_file()) {
            let all = file.write_all(bytes).and_then(|()| file.as_file().sync_all());
            return all.map(|()| file).map_err(|e| Error::io("write", path, e));
        }
    }
}

fn put_in_place(file: NamedTempFile, path: &Path) -> Result<()> {
    file.persist_noclobber(path).map(drop).map_err(|e| match e.error.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        _ => Error::io("create", path, e.error),
    })
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A key that is lost with the power was worth nothing yet; not every file system syncs folders.
fn sync_folder(path: &Path) {
    let _ = File::open(folder(path)).and_then(|folder| folder.sync_all());
}

fn taken(path: &Path) -> Error {
    Error::usage_help(
        format!("`{}` exists, and a key is never overwritten", path.display()),
        "give another `--output`, or move the old key away first",
    )
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // A pipe must not hang the program.
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    let file = options.open(path).map_err(|e| Error::io("read", path, e))?;
    let is_file = file.metadata().map_err(|e| Error::io("read", path, e))?.is_file();
    if is_file { Ok(file) } else { Err(Error::usage(format!("the key `{}` is not a regular file", path.display()))) }
}

fn read(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: growing would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX as usize + 1));
    file.take(MAX + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
    if bytes.len() as u64 > MAX {
        return Err(Error::usage(format!("`{}` is too large for a key", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_pair_is_written_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let (private, public) = (dir.path().join("k.pem"), dir.path().join("k.pub"));
        super::write_pair((&private, b"secret"), (&public, b"open")).unwrap();
        let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&private), 0o600);
        assert_eq!(*super::read_private(&private, &|_| false).unwrap(), b"secret");
        assert_eq!(super::read_public(&public).unwrap(), b"open");
        let again = super::write_pair((&private, b"x"), (&dir.path().join("l.pub"), b"y")).unwrap_err();
        assert!(again.to_string().contains("never overwritten"), "{again}");
        std::fs::remove_file(&private).unwrap();
        super::write_pair((&private, b"x"), (&public, b"y")).unwrap_err();
        assert!(!private.exists(), "no half of a pair is left");
        super::write_pair((&private, b"x"), (&dir.path().join("m.pub"), b"y")).unwrap();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 3, "no temporary is left");
        assert_ne!(super::fresh_seed().unwrap(), super::fresh_seed().unwrap());
    }

    #[test]
    fn the_public_half_is_written_again_and_never_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let public = dir.path().join("k.pub");
        assert!(super::write_public(&public, b"open").unwrap());
        assert!(!super::write_public(&public, b"open").unwrap(), "it is there already");
        assert!(super::write_public(&public, b"other").unwrap_err().to_string().contains("never overwritten"));
        assert_eq!(std::fs::read(&public).unwrap(), b"open");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        std::fs::write(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = super::read_private(&path, &|_| false).unwrap_err();
            let crate::base::Error::Usage { message, help } = refused else { panic!() };
            assert!(message.contains(&format!("{mode:04o}")), "{message}");
            assert!(help.unwrap().starts_with("run `chmod 600 "));
        }
        let public = super::read_private(&path, &|bytes| bytes == b"secret").unwrap_err();
        assert!(public.to_string().contains("is a public key"), "{public}");
        assert!(super::read_private(dir.path(), &|_| false).is_err());
        std::fs::write(&path, vec![b'a'; 20_000]).unwrap();
        assert!(super::read_public(&path).unwrap_err().to_string().contains("too large"));
    }
}
