//! The verbs that ask about a repo, as library functions over temporary folders.

#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

mod select;
mod space;
mod status;
