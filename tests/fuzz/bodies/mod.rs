//! What is done with any bytes, one function for each kind: plain `cargo test` and libFuzzer run the same ones.
//!
//! A body panics where a promise is broken: the readers themselves must not, whatever they are given.

pub mod adapter;
pub mod archive;
pub mod cache;
pub mod expertfile;
pub mod grammar;
pub mod json;
pub mod manifest;
pub mod pickle;
pub mod safetensors;
pub mod segment;
pub mod sound;
pub mod torch;
#[path = "../../torch_maker/mod.rs"]
mod torch_maker;
pub mod trust;

/// A function that takes any bytes.
pub type Body = fn(&[u8]);

/// Every target and its body. `targets/<name>.rs` is the same for libFuzzer.
pub const ALL: [(&str, Body); 15] = [
    ("adapter", adapter::adapter),
    ("expertfile", expertfile::expertfile),
    ("grammar", grammar::grammar),
    ("index", cache::index),
    ("json", json::json),
    ("manifest", manifest::manifest),
    ("package", archive::package),
    ("pickle", pickle::pickle),
    ("record", cache::record),
    ("safetensors", safetensors::safetensors),
    ("seek_table", archive::seek_table),
    ("segment", segment::segment),
    ("tar", archive::tar),
    ("torch", torch::torch),
    ("trust", trust::trust),
];
