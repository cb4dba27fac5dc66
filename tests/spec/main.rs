//! From texts to experts: what Expertfiles mean, and what is said about those that mean nothing.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by panicking and say what they skip")]

#[path = "../fixtures/mod.rs"]
mod fixtures;
#[path = "../fuzz/bodies/expertfile.rs"]
mod fuzz;
mod tree;

mod errors;
mod init;
mod precedence;
mod real;
mod resolve;
mod schema;
