//! The client of the Remote Execution API against real servers on loopback, and against one of our own that misbehaves.
//!
//! The real ones are buildbox-casd and BuildGrid, both from PyPI: `EXPERT_BUILD_BUILDBOX` names the folder of the first's
//! programs, `EXPERT_BUILD_BUILDGRID` the second's `bgd`; `tests/ci.sh` installs them. Where one is missing its tests say so
//! and are skipped.

#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what is skipped is told")]
#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

#[path = "../e2e/expert.rs"]
#[allow(dead_code, reason = "shared with tests/e2e")]
mod expert;
#[path = "../e2e/space.rs"]
#[allow(dead_code, reason = "shared with tests/e2e")]
mod space;
#[path = "../torch_maker/mod.rs"]
mod torch_maker;

mod batches;
mod calls;
mod certificates;
mod engine;
mod engine_cache;
mod engine_exec;
mod engine_trouble;
mod engine_turned;
mod engine_validate;
mod execute;
mod fake;
mod ground;
mod memory;
mod proxy;
mod real;
mod servers;
mod streams;
mod tls;
mod workers;
