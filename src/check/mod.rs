//! The rules: parsed files in, findings out. Nothing is read here, so every rule is a pure function.

pub mod requires;
