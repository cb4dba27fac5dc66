//! The words that every layer speaks: digests, paths, findings, errors, events. No effects.

pub mod codes;
pub mod diagnostic;
pub mod digest;
pub mod error;
pub mod event;
pub mod malformed;
pub mod relpath;
pub mod shown;
pub mod suggest;

pub use diagnostic::{At, Code, Diagnostic, Level, Preset, Severity};
pub use digest::{Digest, Sha256};
pub use error::{Error, Result};
pub use event::Event;
pub use malformed::Malformed;
pub use relpath::RelPath;
