//! One file per verb of the command line. Silent: results are values.

pub mod affected;
pub mod build;
pub mod cat;
mod contents;
pub mod diff;
pub mod experts;
pub mod extract;
pub mod graph;
pub mod graph_svg;
pub mod history;
pub mod inspect;
pub mod keygen;
pub mod list;
mod opened;
pub mod package;
pub mod requirements;
pub mod sign;
pub mod status;
mod tensors;
pub mod verify;
pub mod why;
pub mod workspace;
