//! The fault campaign: the program is killed, starved, lied to and crowded, and must never lose or falsify anything.
//!
//! Plain `cargo test` runs the short form, a sample drawn by a seed. `EXPERT_BUILD_FAULTS=long` runs every case, and
//! `EXPERT_BUILD_FAULTS_SEED=n` draws another sample. Each campaign tells how many cases it ran, and fails where fewer kills
//! landed than it was to bring about: a kill that comes before the program is there, or after its end, is none.
//!
//! What is asked after each fault, and how it is meant:
//!
//! * **Absent, old and whole, or new and whole**: compared byte for byte with what clean runs made. A checksum beside a
//!   package is its own or absent.
//! * **One clear error, exit 3**: one for each expert that failed. Two experts that are at work when the disk is full both
//!   fail, each for a file of its own, and a run that told only one of them would hide what else is not built. So what is
//!   asked is as many errors as the summary counts failed experts, at least one, and never more than calls that failed.
//! * **No litter after the next run**: the next run of the same verb, whatever it finds to do. Where the system refuses to
//!   remove a temporary, the run says so and fails, so the expert is stale and the next run comes to its folder again. What
//!   two faults at once may leave (a kill, and then a refusal to remove what it left) goes with the next write into the
//!   folder. The cache's own litter goes with `cache gc`.
//! * **A watch** goes on after a failure and builds one of the next saves, or ends with one clear error.

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

#[cfg(feature = "oci")]
#[allow(dead_code, reason = "shared with the tests of registries")]
#[path = "../oci/server.rs"]
mod server;

mod campaign;
mod ground;
mod layer;
mod strace;
mod subject;
mod subject_files;
#[cfg(feature = "oci")]
mod subject_registry;
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
#[cfg(feature = "oci")]
mod registry;
mod restless;
mod watch;
