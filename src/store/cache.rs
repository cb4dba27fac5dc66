//! `Cache`: results by key and blobs by content. The trait that the local, the remote and the tiered cache share.
//!
//! A result is a small record that says what a task made; a blob is the bytes of what it made. Whatever comes out is
//! checked by whoever asked: a cache may lose things, never change them. Does not know what a task is.

use std::fmt;
use std::fs::File;

use crate::base::{Digest, Result};

/// The name of a task's result: BLAKE3 over everything that the result depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionKey([u8; 32]);

impl ActionKey {
    /// The key of this text.
    pub fn of(text: &str) -> Self {
        Self(*blake3::hash(text.as_bytes()).as_bytes())
    }

    /// A key from its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        crate::base::digest::hex(&self.0)
    }
}

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActionKey({})", &self.hex()[..12])
    }
}

/// A blob that is being written: its digest is known only at the end.
pub trait BlobWriter: Send {
    /// Adds bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// A handle for reading what was written, at places: where it stands itself is where the writer does.
    fn reader(&self) -> Result<File>;

    /// Everything was written: keeps it under this digest, which the writer was told to compute. Returns the file,
    /// open for reading from its start.
    fn finish(self: Box<Self>, digest: Digest) -> Result<File>;
}

/// Results by key, blobs by content.
pub trait Cache: Send + Sync {
    /// The record of this key, if it is here and whole.
    fn result(&self, key: ActionKey) -> Result<Option<Vec<u8>>>;

    /// Keeps a record.
    fn put_result(&self, key: ActionKey, record: &[u8]) -> Result<()>;

    /// The blob, open at its start, if it is here and has the right length. Its content is not yet checked.
    fn blob(&self, digest: &Digest) -> Result<Option<File>>;

    /// Begins a blob of about this size.
    fn new_blob(&self, size_hint: u64) -> Result<Box<dyn BlobWriter>>;

    /// The blob was found to be wrong: forgets it.
    fn forget_blob(&self, digest: &Digest);
}
