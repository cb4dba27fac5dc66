//! The verbs that ask about a repo, as library functions over temporary folders.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says what it skips")]
#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

mod affected;
mod list;
mod lock;
mod select;
mod space;
mod status;
