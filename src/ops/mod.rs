//! One file per verb of the command line. Silent: results are values.

pub mod build;
pub mod cache;
pub mod cat;
mod contents;
pub mod diff;
pub mod extract;
pub mod inspect;
pub mod keygen;
mod opened;
pub mod package;
pub mod repro;
pub mod requirements;
pub mod sign;
mod tensors;
pub mod unpacked;
pub mod verify;
pub mod workspace;
