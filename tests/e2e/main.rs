//! The whole program, as its users meet it: each test has a space of its own, runs the program and looks at everything it did.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

#[path = "../fixtures/mod.rs"]
mod fixtures;
#[path = "../remote_fake/mod.rs"]
mod remote_fake;
#[path = "../torch_maker/mod.rs"]
mod torch_maker;

mod archive;
mod expert;
mod space;

mod build;
mod cache_gc;
mod cache_shared;
mod cancel;
mod ci_examples;
mod determinism;
mod examples;
mod incremental;
mod index;
mod lock;
mod package_format;
mod package_verb;
mod readme;
mod real;
mod remote;
mod remote_scale;
mod remote_workers;
mod signing;
mod timings;
#[path = "../trace_rules/mod.rs"]
mod trace_rules;
mod watch;
mod workspace;
