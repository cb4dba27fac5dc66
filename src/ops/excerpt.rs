//! The text of a file that a finding is about, to show the place.

use std::path::Path;
use std::sync::Arc;

use crate::store::fs;

/// The longest file that an excerpt is taken from.
const MAX: u64 = 16 << 20;

/// The text of the file at `path`, if it is one that can be shown.
pub fn text(path: &Path) -> Option<Arc<str>> {
    let (bytes, _) = fs::read(path, MAX).ok()??;
    String::from_utf8(bytes).ok().map(Into::into)
}
