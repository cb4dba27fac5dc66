//! From texts to experts: what Expertfiles mean, and what is said about those that mean nothing.

mod tree;

mod errors;
mod init;
mod precedence;
mod resolve;
mod schema;
