//! Builds `.expert` packages from folders of LLM adapters, the way `make` builds objects from sources.
//!
//! An *expert* is a small adapter for a language model, kept as a folder: `manifest.json`, weights, soft prompts, tokenizer
//! files, grammar, licence. A repo holds many. A *package* is one expert for one base model: a compressed tar archive
//! whose manifest lists the SHA-256 of every file in it, and may be signed.
//!
//! # The flow
//!
//! ```text
//! Expertfile.toml, flags, variables
//!   │ ops::glance                   by stat: is all as it was when nothing was to do? then nothing is to do
//!   │ spec::resolve                 as written → resolved experts, every value with its origin; of experts that the
//!   │                               glance saw to be as they were, nothing is asked again (ops::memory)
//!   ▼
//! ops::workspace::Workspace         the repo on this machine: root, experts, cache, index
//!   │ engine::freshness             stats against the index: who is up to date, and why the others are not
//!   ▼
//! engine::survey::Survey            of each stale expert: its manifest, names and stats; which file goes where (layout)
//!   │ ops::requirements             what experts require of each other, in every run and over the whole repo
//!   ▼
//! engine::plan::Plan                the graph of tasks: hash → validate → compose → sign → archive
//!   │ engine::schedule              ready tasks to threads; what became of them, as Events, in one order
//!   ▼
//! engine::key::KeyText              known once all inputs' digests are: asks the cache
//!   │ hit: pieces from the cache    miss: compress what no package held before, then the same pieces
//!   ▼
//! store::Output                     temporary, sync, rename: the package, then `<package>.sha256`
//!   │
//!   ▼
//! store::Index                      what was seen, by stat: the next run opens nothing else
//! ```
//!
//! So an edited README costs this much: one stat differs, so its expert is stale; the index still vouches for the other
//! files' digests; the key is new, so manifest and headers are validated; the weights' packed segments come from the
//! cache by content; the new README is compressed, a new manifest composed, and the package is a copy of pieces.
//!
//! # The layers
//!
//! Imports point down, and `tests/layers.rs` fails where one does not.
//!
//! | layer | what | effects |
//! |---|---|---|
//! | [`cli`] | arguments, terminal, exit codes; the only one that prints | terminal, environment, signals |
//! | [`ops`] | one file per verb: values in, values out; **entry points for library users** | none of its own |
//! | [`engine`] | what is stale, in which order, by which threads, from which cache | threads, clock |
//! | [`store`] | files that appear whole, the index, the cache | disk |
//! | [`spec`] | `Expertfile.toml`, profiles, flags → resolved experts | none |
//! | [`check`] | the rules: parsed files in, findings out | none |
//! | [`format`](mod@format) | one file per format: bytes in, values out; each head is a byte layout | none |
//! | [`base`] | digests, paths, findings, errors, events | none |
//!
//! # The words
//!
//! * [`base::Digest`]: BLAKE3 and size, what the cache speaks. [`base::Sha256`]: what packages speak.
//! * [`base::RelPath`]: a path inside an expert or package; it cannot leave its folder.
//! * [`base::Diagnostic`]: a fault in the user's files, with a stable [`base::Code`], a place and a way out.
//!   [`base::Error`]: work that could not be done. [`base::Malformed`]: what a parser says of wrong bytes.
//! * [`spec::Expert`]: as the Expertfile has it. [`engine::target::Target`]: the same with all that the machine knows.
//!   [`engine::job::Job`]: the work on it in one run.
//! * [`engine::plan::Task`]: a step of that work. [`store::ActionKey`]: everything its result depends on, hashed.
//! * [`store::Cache`]: results by key, blobs by content. [`store::Index`]: stat → digest, and nothing that counts.
//! * [`base::Event`]: everything the engine says, in one order, to an [`Observer`](base::event::Observer).
//!
//! # As a library
//!
//! The library prints nothing, reads no environment and never ends the process; the caller says where things are.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use expert_build::base::Event;
//! use expert_build::ops::build::{Options, build};
//! use expert_build::ops::workspace::{Setup, Workspace};
//!
//! # fn main() -> expert_build::base::Result<()> {
//! let setup = Setup { directory: "path/to/repo".into(), cache_dir: "path/to/cache".into(), ..Setup::default() };
//! let workspace = Workspace::open(setup)?;
//! // Set it from a signal handler: the run ends early and leaves no half package.
//! let cancel = AtomicBool::new(false);
//! let options = Options { jobs: 4, keep_going: true, ..Options::default() };
//! let mut events: Vec<Event> = Vec::new();
//! let report = build(&workspace, &workspace.defaults(), &options, &cancel, &mut events)?;
//! for event in &events {
//!     if let Event::Artifact { expert, path, sha256, .. } = event {
//!         println!("{expert}: {path} {sha256}");
//!     }
//! }
//! assert_eq!(report.exit_code(), 0, "{:?}", report.failed);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/library.rs` is a whole program. [`ops::inspect`], [`ops::verify`] and [`ops::extract`] read packages;
//! [`format::safetensors`](mod@format::safetensors) and [`format::torch`](mod@format::torch) read weights without trusting them.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests own their effects"))]

pub mod base;
pub mod check;
pub mod cli;
pub mod engine;
pub mod format;
pub mod ops;
pub mod spec;
pub mod store;
