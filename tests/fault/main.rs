//! The fault campaign: the program is killed, starved, lied to and crowded, and must never lose or falsify anything.
//!
//! Plain `cargo test` runs the short form, a sample drawn by a seed. `EXPERT_BUILD_FAULTS=long` runs every case, and
//! `EXPERT_BUILD_FAULTS_SEED=n` draws another sample. Each campaign tells how many cases it ran.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

#[path = "../fixtures/mod.rs"]
mod fixtures;
#[path = "../torch_maker/mod.rs"]
mod torch_maker;

#[allow(dead_code, reason = "shared with the end-to-end tests")]
#[path = "../e2e/expert.rs"]
mod expert;
#[allow(dead_code, reason = "shared with the end-to-end tests")]
#[path = "../e2e/space.rs"]
mod space;

mod campaign;
mod ground;
mod layer;
mod strace;
mod subject;
mod subject_files;
mod weigh;

mod corrupt;
mod crowd;
mod disk;
mod hostile;
mod inject;
mod kill;
mod kill_calls;
mod layered;
mod load;
mod restless;
