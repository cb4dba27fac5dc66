//! The verbs that ask about a repo, as library functions over temporary folders.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

mod affected;
mod failing;
mod list;
mod rebuild;
mod select;
mod space;
mod status;
