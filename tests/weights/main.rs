//! Weights: the fixtures' ledgers, round trips against the reference crate, and seeded mutations.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests own their effects")]

#[path = "../fixtures/mod.rs"]
mod fixtures;
mod header;
mod scan;
