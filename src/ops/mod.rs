//! One file per verb of the command line. Silent: results are values.

pub mod keygen;
mod opened;
pub mod verify;
