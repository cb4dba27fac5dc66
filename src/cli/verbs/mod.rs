//! One function per verb: arguments in, the library called, answers printed, exit code out.

pub mod build;
pub mod package;
pub mod packages;
pub mod repo;
