//! The one layer that touches the disk: files as they are, outputs that appear whole, the index and the cache.
//!
//! # Who might do harm, and what stops them
//!
//! | who | what they would like | what stops them | which test shows it |
//! | --- | --- | --- | --- |
//! | author of an expert | code that runs where the expert is built, checked or loaded | torch files are read by a machine that runs nothing; a pickle that names anything outside a short list is refused; no key of an Expertfile runs a command | `hostile_files_are_refused_for_the_right_reason` in `tests/torch.rs`, `one_broken_rule_each` in `tests/torch_pickle.rs` |
//! | author of an expert | to crash, stall or exhaust the builder | every size is checked before memory is taken, nesting is limited, arithmetic is checked | `every_file_in_every_role` in `tests/fault/hostile.rs`, `no_pattern_takes_more_than_64_mib` in `tests/torch_memory.rs` |
//! | author of an expert | a file of the builder's machine in the package | a path or link that leaves the expert's folder is an error; only regular files are opened | `every_bad_expert_gets_its_verdict` in `tests/e2e/real.rs`, over `experts-bad/symlink-escape` and `soft-prompt-traversal` |
//! | author of an expert, maker of a package | the terminal, or a page that a report is read in | control characters and markup of foreign text are taken out or written as what they are | `terminals_are_not_commanded` in `src/format/safetensors/names.rs`, `markup_stays_text` in `src/base/shown.rs` |
//! | whoever writes sources during a build | a package that is neither the old nor the new expert | a file is compared by stat before and after it is read; one that changed fails the expert | `a_source_that_does_not_hold_still` in `tests/fault/restless.rs` |
//! | maker of a package | to write outside the target folder, through `..`, links, devices, names that clash | paths are parsed into [`crate::base::RelPath`]; only regular files are taken | `paths_that_leave_or_deceive`, `paths_that_clash` and `entries_that_are_no_files` in `tests/hostile_archives.rs` |
//! | maker of a package | to fill disk or memory | limits on entries, sizes and ratio, counted while reading | `bombs_stop_at_the_limits` and `numbers_that_lie` in `tests/hostile_archives.rs` |
//! | whoever writes to the receiver's folder | a file elsewhere that is overwritten when a package is unpacked or pulled into it | folders are opened one by one below the target and links never followed; a link in the place of a file is itself replaced, and only with `--force`; half-received files lie in a folder of the user's own | `links_are_never_followed` in `src/store/extract.rs`, `no_link_is_followed` in `src/store/oci/parts.rs` |
//! | whoever writes to the receiver's folder | that the receiver takes a half-written or changed file for the package | files appear whole, and what was received in part is hashed again before it counts; later changes are what `verify` is for | `files_are_extracted_whole_or_not_at_all` in `tests/trust.rs`, `other_bytes_are_never_taken` in `tests/oci/fault.rs` |
//! | whoever carries a package | to change it unseen | SHA-256 of every file, the manifest too; Ed25519 over all of them; no file may be missing or extra | `a_signed_package_verifies_and_every_change_is_named` in `tests/trust.rs`, `flipped_bits_are_found` in `tests/hostile_archives.rs` |
//! | publisher without a key that is trusted | to pass as another | the key in a package proves nothing by itself: `--key` or a trust list says whose it is | `a_signature_can_be_asked_for` in `tests/trust.rs` |
//! | whoever runs a registry, or stands before one | a package that is another | a manifest is compared with the digest it was asked by, a blob with the manifest's, and then the package is verified as any other | `other_bytes_are_never_taken` in `tests/oci/fault.rs` |
//! | whoever runs a registry | a file elsewhere, memory, the disk | the file's name is one name; answers, blobs and packages have limits that are counted while reading | `names_lead_nowhere_else` and `sizes_are_bounded` in `tests/oci/hostile.rs` |
//! | whoever runs a registry | logins meant for others | credentials go to the registry's own scheme, host and port, and to a token service by HTTPS | `credentials_go_to_no_other_host` in `tests/oci/access.rs` |
//! | whoever runs a remote cache, or stands before it | other bytes in a package | each blob is compared with the SHA-256 it was asked by, contents that come along with a result too; answers are matched by digest | `other_bytes_are_never_taken` in `tests/remote/batches.rs`, `bytes_that_change_on_their_way_are_seen` in `tests/remote/streams.rs` |
//! | whoever writes to a remote cache | a wrong package under the builder's name, or with the builder's signature | only packed files are taken from it, and only once they were unpacked and have the BLAKE3 of the source that lies here; manifests are made here, and signing is never asked for | `whoever_poisons_it_makes_nobody_build_a_wrong_package` and `signed_packages_are_signed_here_from_parts_that_are_shared` in `tests/e2e/remote.rs` |
//! | whoever runs a remote cache | a file elsewhere, memory, the builder's time | paths of results and trees are parsed into [`crate::base::RelPath`]; messages, trees and blobs have limits; questions have deadlines, and streams must move | `paths_and_trees_that_lead_elsewhere_are_refused` in `tests/remote/calls.rs`, `blobs_are_never_whole_in_memory` in `tests/remote/memory.rs` |
//! | whoever runs a remote cache, or reads logs | credentials | none in a URL; taken out of a server's words; TLS proves who the server is | `credentials_are_sent_and_never_told` in `tests/remote/calls.rs`, `tests/remote/tls.rs` |
//! | another user of the machine | the private key | mode 0600 from its first byte; one that others may read is refused; wiped from memory | `keys_are_made_read_and_refused` in `tests/trust.rs` |
//! | writer of a cache, or a failing disk | other bytes in a package | results end with their hash, blobs are named by theirs, both are checked when they are read; whoever can write results *with* their hashes is trusted: share a cache only among those who may build | `the_index_and_the_cache` in `tests/fault/corrupt.rs` |
//! | chance: a kill | half a package, a lost one, a wrong checksum, half a key, a tag of a registry that names what is not there | temporary, sync, rename; the old checksum goes before the new package comes; a manifest is pushed after all that it names | `builds` in `tests/fault/kill.rs`, `of_a_build` in `tests/fault/kill_calls.rs`, `pushes` and `pulls` in `tests/fault/registry.rs` |
//! | chance: a full disk, a failing call | the same | each failure is told and ends what it concerns; nothing is at its place before it is whole | `a_build_in_which_one_call_fails` in `tests/fault/inject.rs`, `a_full_disk_for_outputs` in `tests/fault/disk.rs`, `a_disk_that_fails_once` in `tests/fault/layered.rs`, `one_call_fails` in `tests/fault/watch.rs` |
//! | another host on the same network folder | to take a living file for litter | locks that are not seen decide nothing: what another host began is left alone for a day | `two_hosts_on_one_network_folder` in `tests/fault/layered.rs` |
//! | other builds and collectors at the same time | to take files from each other | no lock is needed: files appear by rename, what is missing is made again, a temporary is locked while its writer lives | `all_succeed_with_equal_bytes` in `tests/fault/crowd.rs` |
//!
//! `.github/SECURITY.md` says what of this is promised. That the tests are there is checked by `tests/layers.rs`.

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
pub mod run_cache;
pub mod spool;
pub mod stat;
pub mod watcher;

pub use cache::{ActionKey, BlobWriter, Cache};
pub use fs::DiskFolder;
pub use index::Index;
pub use local::LocalCache;
pub use output::Output;
pub use remote::Remote;
pub use run_cache::RunCache;
pub use spool::Spool;
pub use stat::Stat;
