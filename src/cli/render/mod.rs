//! How things look: findings, events, packages, sizes, paths.

pub mod diagnostic;
pub mod difference;
pub mod human;
pub mod inspection;
pub mod json;
pub mod progress;
pub mod remote;
pub mod verification;
mod words;

pub use crate::base::shown::size as bytes;
pub use words::{count, duration, relative};
