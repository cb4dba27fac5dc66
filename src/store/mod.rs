//! The one layer that touches the disk: files as they are, outputs that appear whole, the index and the cache.
//!
//! # Who might do harm, and what stops them
//!
//! | who | what they would like | what stops them | which test shows it |
//! | --- | --- | --- | --- |
//! | author of an expert | code that runs where the expert is built, checked or loaded | torch files are read by a machine that runs nothing; a pickle that names anything outside a short list is refused; no key of an Expertfile runs a command | `tests/torch.rs`, `tests/torch_fuzz.rs` |
//! | author of an expert | to crash, stall or exhaust the builder | every size is checked before memory is taken, nesting is limited, arithmetic is checked | `tests/fault/hostile.rs`, `tests/torch_memory.rs` |
//! | author of an expert | a file of the builder's machine in the package | a path or link that leaves the expert's folder is an error; only regular files are opened | `tests/e2e/real.rs` over `experts-bad/symlink-escape` and `soft-prompt-traversal` |
//! | whoever writes sources during a build | a package that is neither the old nor the new expert | a file is compared by stat before and after it is read; one that changed fails the expert | `tests/fault/restless.rs` |
//! | maker of a package | to write outside the target folder, through `..`, links, devices, names that clash | paths are parsed into [`crate::base::RelPath`]; only regular files are taken; folders are opened one by one and links never followed | `tests/hostile_archives.rs`, [`extract`] |
//! | maker of a package | to fill disk or memory | limits on entries, sizes and ratio, counted while reading | `bombs_stop_at_the_limits` in `tests/hostile_archives.rs` |
//! | whoever carries a package | to change it unseen | SHA-256 of every file, the manifest too; Ed25519 over all of them; no file may be missing or extra | `tests/trust.rs` |
//! | publisher without a key that is trusted | to pass as another | the key in a package proves nothing by itself: `--key` or a trust list says whose it is | `a_signature_can_be_asked_for` in `tests/trust.rs` |
//! | whoever runs a registry, or stands before one | a package that is another | a manifest is compared with the digest it was asked by, a blob with the manifest's, and then the package is verified as any other | `other_bytes_are_never_taken` in `tests/oci/fault.rs` |
//! | whoever runs a registry | a file elsewhere, memory, the disk | the file's name is one name; answers, blobs and packages have limits that are counted while reading | `tests/oci/hostile.rs` |
//! | whoever runs a registry | logins meant for others | credentials go to the registry's own scheme, host and port, and to a token service by HTTPS | `credentials_go_to_no_other_host` in `tests/oci/access.rs` |
//! | whoever runs a remote cache, or stands before it | other bytes in a package | each blob is compared with the SHA-256 it was asked by, contents that come along with a result too; answers are matched by digest | `other_bytes_are_never_taken` in `tests/remote/batches.rs`, `bytes_that_change_on_their_way_are_seen` in `tests/remote/streams.rs` |
//! | whoever runs a remote cache | a file elsewhere, memory, the builder's time | paths of results and trees are parsed into [`crate::base::RelPath`]; messages, trees and blobs have limits; questions have deadlines, and streams must move | `paths_and_trees_that_lead_elsewhere_are_refused` in `tests/remote/calls.rs`, `blobs_are_never_whole_in_memory` in `tests/remote/memory.rs` |
//! | whoever runs a remote cache, or reads logs | credentials | none in a URL; taken out of a server's words; TLS proves who the server is | `credentials_are_sent_and_never_told` in `tests/remote/calls.rs`, `tests/remote/tls.rs` |
//! | another user of the machine | the private key | mode 0600 from its first byte; one that others may read is refused; wiped from memory | `keys_are_made_read_and_refused` in `tests/trust.rs` |
//! | writer of a cache, or a failing disk | other bytes in a package | results end with their hash, blobs are named by theirs, both are checked when they are read; whoever can write results *with* their hashes is trusted: share a cache only among those who may build | `tests/fault/corrupt.rs` |
//! | chance: a kill, a full disk, a failing call | half a package, a lost one, a wrong checksum, half a key | temporary, sync, rename; the old checksum goes before the new package comes | `tests/fault/kill.rs`, `kill_calls.rs`, `inject.rs`, `disk.rs`, `layered.rs` |
//! | another host on the same network folder | to take a living file for litter | locks that are not seen decide nothing: what another host began is left alone for a day | `two_hosts_on_one_network_folder` in `tests/fault/layered.rs` |
//! | other builds and collectors at the same time | to take files from each other | no lock is needed: files appear by rename, what is missing is made again, a temporary is locked while its writer lives | `tests/fault/crowd.rs` |
//!
//! `.github/SECURITY.md` says what of this is promised.

pub mod cache;
pub mod counters;
pub mod extract;
pub mod fs;
pub mod gc;
pub mod git;
pub mod index;
pub mod keys;
pub mod local;
#[cfg(feature = "oci")]
pub mod oci;
pub mod output;
pub mod package_file;
pub mod remote;
pub mod spool;
pub mod stat;
pub mod watcher;

pub use cache::{ActionKey, BlobWriter, Cache};
pub use fs::DiskFolder;
pub use index::Index;
pub use local::LocalCache;
pub use output::Output;
pub use remote::Remote;
pub use spool::Spool;
pub use stat::Stat;
