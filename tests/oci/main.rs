//! `push` and `pull` against a real registry: Debian's `docker-registry`, on loopback, with and without what goes wrong.
//!
//! Where it is not installed the tests say so and are skipped; CI installs it (`tests/ci.sh`).

#![cfg(feature = "oci")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what is skipped is told")]
#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

mod access;
mod fault;
mod hostile;
mod model_pack;
#[path = "../packages/mod.rs"]
mod packages;
mod proxy;
mod push_pull;
mod server;
mod space;
