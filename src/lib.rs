//! Builds `.expert` packages from folders of LLM adapters, the way `make` builds objects from sources.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests own their effects"))]

pub mod base;
pub mod check;
pub mod cli;
pub mod engine;
pub mod format;
pub mod ops;
pub mod spec;
pub mod store;
