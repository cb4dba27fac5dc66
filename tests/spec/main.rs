//! From texts to experts: what Expertfiles mean, and what is said about those that mean nothing.

#[path = "../fuzz/expertfile.rs"]
mod fuzz;
mod tree;

mod errors;
mod init;
mod precedence;
mod resolve;
mod schema;
