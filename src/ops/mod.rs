//! One file per verb of the command line. Silent: results are values.

pub mod affected;
pub mod asked;
pub mod build;
pub mod cache;
pub mod cat;
mod contents;
mod copies;
pub mod diff;
pub mod due;
pub mod excerpt;
pub mod experts;
pub mod extract;
pub mod fix;
pub mod glance;
pub mod graph;
pub mod graph_svg;
pub mod history;
pub mod init;
pub mod inspect;
pub mod keygen;
pub mod ledger;
pub mod list;
pub mod lock;
pub mod locked;
mod looks;
pub mod memo;
pub mod memory;
pub mod model_signature;
mod opened;
pub mod package;
mod provenance;
#[cfg(feature = "oci")]
pub mod pull;
#[cfg(feature = "oci")]
pub mod push;
#[cfg(feature = "oci")]
pub mod reach;
pub mod remote;
pub mod remote_task;
pub mod repro;
pub mod requirements;
pub mod sign;
pub mod status;
pub mod suggest;
mod tensors;
pub mod timings;
pub mod trusted;
pub mod unpacked;
pub mod verify;
pub mod watch;
pub mod why;
pub mod workspace;
pub mod write_report;

pub use crate::format::archive::Limits;
#[cfg(feature = "oci")]
pub use crate::format::oci::Form;
pub use opened::Reading;
