//! Builds `.expert` packages from folders of LLM adapters, the way `make` builds objects from sources.

pub mod base;
pub mod check;
pub mod format;
pub mod spec;
