//! The rules: parsed files in, findings out. Nothing is read here, so every rule is a pure function.

pub mod adapter;
pub mod adapter_groups;
pub mod adapter_observed;
pub mod adapter_pattern;
mod adapter_rank;
mod adapter_shapes;
mod adapter_targets;
pub mod base_model;
pub mod companions;
pub mod grammar;
pub mod licence;
pub mod manifest;
pub mod manifest_files;
mod manifest_types;
pub mod requires;
pub mod soft_prompt;
pub mod tensors;
