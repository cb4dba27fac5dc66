//! The programs as users run them: a sealed environment, and what they print, write and answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "tests own their effects")]

mod build;
mod events;
mod experts;
mod help;
mod legacy;
mod packages;
mod reports;
mod settings;
mod shell;
mod space;
mod state;
mod streams;
mod trust;
