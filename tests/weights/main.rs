//! Weights: the fixtures' ledgers, round trips against the reference crate, and seeded mutations.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests own their effects and may panic"
)]

mod adapter;
mod base_model;
mod case;
#[path = "../fixtures/mod.rs"]
mod fixtures;
mod header;
mod scan;
mod values;
