//! What lies beside a package: its checksum, and what others said of it, which goes when the package becomes another.

use std::path::{Path, PathBuf};

use crate::base::Result;
use crate::format::{model_signing, provenance};
use crate::store::fs;

/// What the name of a package is followed by in the name of its checksum, in the form of `sha256sum -c`.
pub const CHECKSUM: &str = ".sha256";

/// The path of a package with this ending.
pub fn path(package: &Path, ending: &str) -> PathBuf {
    let mut path = package.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Takes away what speaks of the package that stood at this path, before another takes its place: a crash leaves a package
/// that nothing is said of, never one of which something wrong is said. Returns what is gone but for the checksum, which
/// is made again for every package.
pub fn take_away(package: &Path) -> Result<Vec<PathBuf>> {
    fs::remove(&path(package, CHECKSUM))?;
    let mut gone = Vec::new();
    for ending in [provenance::ENDING, model_signing::ENDING] {
        let said = path(package, ending);
        let stood = fs::is_file(&said);
        fs::remove(&said)?;
        gone.extend(stood.then_some(said));
    }
    Ok(gone)
}
