//! The rules: parsed files in, findings out. Nothing is read here, so every rule is a pure function.

pub mod grammar;
pub mod manifest;
pub mod manifest_files;
mod manifest_types;
pub mod requires;
pub mod soft_prompt;
