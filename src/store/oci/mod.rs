//! An OCI registry: blobs and manifests there and back, over HTTP. Blocking; each [`Registry`] owns a runtime of one thread.
//!
//! Source: OCI distribution specification 1.1; Docker's token authentication; RFC 9110 (ranges, challenges).
//! Does not know what a manifest says: that is `format::oci`.
//!
//! # Decisions, and why
//!
//! * **Our own requests over `reqwest`.** The crate `oci-client` 0.18 reads manifests, tokens and errors of any size into
//!   memory, its one timeout ends a long upload instead of a silent one, it sends credentials to any token service
//!   that a registry names, and it hides whether a registry knows referrers.
//! * **Nothing is believed.** A manifest has [`MAX_ANSWER`] bytes at most, an error 64 KiB; a blob never gets longer than
//!   its descriptor says and is compared with its SHA-256. What a registry says in an error is cut short and escaped.
//! * **Credentials go to the registry alone.** They are looked for when a registry asks; they go with no request to another
//!   scheme, host or port, be it by redirect (`reqwest` takes them off) or by an upload's location (we do); a token
//!   service must be reached by HTTPS where the registry is. No redirect leads from HTTPS to HTTP.
//! * **Only what may pass is tried again**: no connection, silence for a minute, a broken stream, 408, 429 and 5xx.
//! * **What was done stays done.** A blob that a registry has is not sent; a blob that was received in part is continued
//!   where it ends, also by the next process.

mod access;
mod challenge;
mod content;
mod credentials;
mod http;
mod parts;
mod registry;

use std::path::PathBuf;

pub use content::Content;
pub use parts::{Part, Parts};
pub use registry::{Arrival, Fetched, Registry};

/// Bytes of a manifest or an index at most.
pub const MAX_ANSWER: u64 = 4 << 20;

/// How to reach a registry.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// The registry: a host, with its port where it has one.
    pub host: String,
    /// Speak HTTP, not HTTPS.
    pub plain_http: bool,
    /// Certificates of authorities that are trusted beside the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Docker's `config.json`, which says how to log in.
    pub docker_config: Option<PathBuf>,
    /// Shall anything be put into it? Else the right to read is all that is asked for.
    pub push: bool,
}
