//! The rules: parsed files in, findings out. Nothing is read here, so every rule is a pure function.

pub mod companions;
pub mod grammar;
pub mod licence;
pub mod manifest;
pub mod manifest_files;
mod manifest_types;
