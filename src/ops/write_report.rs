//! Puts reports on the disk.

use std::path::Path;

use crate::base::Result;
use crate::store::{fs, output};

/// Writes a report, whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    output::tidy_beside(path);
    output::write(path, bytes)
}

/// Adds to a file that others write to as well.
pub fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::append(path, bytes)
}
