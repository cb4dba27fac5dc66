//! The verbs that ask about a repo, as library functions over temporary folders.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests own their effects and fail by panicking"
)]

mod affected;
mod failing;
mod findings;
mod glance;
mod init;
mod list;
mod lock;
mod rebuild;
mod recalled;
mod select;
mod space;
mod status;
