//! From texts to experts: what Expertfiles mean, and what is said about those that mean nothing.

#[path = "../fixtures/mod.rs"]
mod fixtures;
#[path = "../fuzz/expertfile.rs"]
mod fuzz;
mod tree;

mod errors;
mod init;
mod precedence;
mod real;
mod resolve;
mod schema;
