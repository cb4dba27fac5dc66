//! One file per verb of the command line. Silent: results are values.

pub mod build;
pub mod cat;
pub mod choose;
mod contents;
pub mod diff;
pub mod excerpt;
pub mod extract;
pub mod init;
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
pub mod write_report;

pub use crate::format::archive::Limits;
