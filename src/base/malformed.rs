//! `Malformed`: what every parser of foreign bytes returns when the bytes are wrong.

use std::fmt;

/// A place in the bytes and what is wrong there. One struct for all formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Byte offset from the start of the file.
    pub at: u64,
    /// A lower-case phrase without a final period.
    pub what: String,
}

impl Malformed {
    /// `what` is wrong at byte `at`.
    pub fn new(at: u64, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.what, self.at)
    }
}

impl std::error::Error for Malformed {}
