//! The arguments of `build` and `check`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::args::{RemoteArgs, number};

pub(super) const BUILD_MORE: &str = "\
Selectors (SEL), any of which may match:
  expert-sql   expert-*        by name, or name and version: expert-sql@>=1.0
  experts/sql  experts/a*      by folder
  tag:prod                     by a tag of the Expertfile
  model:qwen3-*                by base model
  +expert-sql   expert-sql+    with what it requires, with what requires it
Without a selector: the experts below this folder, else those of `default-members`.

Examples:
  expert-build                           build what is stale
  expert-build build -n                  show what is stale and why
  expert-build tag:prod --sign -k        build and sign all that have the tag, go on after failures
  expert-build --watch                   build again at every save
  expert-build --timings                 build, and write expert-build-timings.html";

pub(super) const CHECK_MORE: &str = "\
Examples:
  expert-build check                     validate every expert
  expert-build check experts/sql -v      one expert, with notices
  expert-build check --strict --report sarif=findings.sarif

`expert-build explain CODE` gives the long text on a finding. The exit code is 11 if an expert is not valid.";

pub(super) const LOCK_MORE: &str = "\
Examples:
  expert-build lock                      build all, then write Expertfile.lock; commit it
  expert-build lock expert-sql           only this expert's entry changes
  expert-build build --locked            fails where content changed and the version did not

The lock file holds, for each package, its version, SHA-256, size and its inputs' digests.";

pub(super) const PACKAGE_MORE: &str = "\
Examples:
  expert-build package --manifest sql/manifest.json --weights sql/weights/final
  expert-build package --manifest manifest.json --output sql.expert --compression zstd

Prints the package and every file in it, with size and SHA-256. Needs no Expertfile; the cache is the same.";

/// Which experts.
#[derive(Debug, Args, Clone, Default)]
pub struct Choice {
    /// Experts: a name or glob, a path, tag:NAME, model:GLOB, +NAME, NAME+
    #[arg(value_name = "SEL")]
    pub selectors: Vec<String>,
}

/// How to work, the same for `build` and `check`.
#[derive(Debug, Args, Clone, Default)]
pub struct Work {
    /// Work with N threads [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = number)]
    pub jobs: Option<NonZero<u16>>,
    /// Go on with other experts after a failure, as `check` always does
    #[arg(short, long)]
    pub keep_going: bool,
    /// Warnings are errors (`lints.preset = "strict"`)
    #[arg(long)]
    pub strict: bool,
}

/// How to build.
#[derive(Debug, Args, Clone, Default)]
pub struct BuildArgs {
    /// Which experts.
    #[command(flatten)]
    pub choice: Choice,
    /// How to work.
    #[command(flatten)]
    pub work: Work,
    /// Show what would be built and why, and ask no remote cache; the exit code is 1 if anything would
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Build all of them anew, without the cache
    #[arg(long)]
    pub force: bool,
    /// Build nothing; fail with exit code 1 if anything is stale
    #[arg(long, conflicts_with_all = ["force", "dry_run"])]
    pub frozen: bool,
    /// Fail with exit code 1 where a version in Expertfile.lock would get other content
    #[arg(long)]
    pub locked: bool,
    /// Stay, and build again whenever something was saved, until ctrl-C
    #[arg(long, conflicts_with_all = ["force", "dry_run", "frozen"])]
    pub watch: bool,
    /// Draw where the time went, as one HTML page, or for Perfetto if PATH ends in .json [default: expert-build-timings.html]
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "expert-build-timings.html")]
    pub timings: Vec<PathBuf>,
    /// Put packages into this folder [default: each expert's weights/]
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,
    /// How packages are made.
    #[command(flatten)]
    pub packing: Packing,
    /// How a remote cache is used.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// How packages are made, the same for `build` and `package`.
#[derive(Debug, Args, Clone, Default)]
pub struct Packing {
    /// Compress with gzip, zstd or none of them (none) [default: gzip]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    pub compression: Option<Kind>,
    /// How hard: gzip 1-9, zstd 1-22 [default: gzip 6, zstd 3]
    #[arg(long, value_name = "N")]
    pub level: Option<u8>,
    /// Sign: off, auto (where there is a key) or required (what `--sign` alone means) [default: auto]
    #[arg(long, value_name = "WHEN", hide_possible_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "required")]
    pub sign: Option<When>,
    /// Sign with this private key
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Write beside each package what it was made of, as SLSA provenance signed with the same key: `<package>.intoto.jsonl`
    #[arg(long)]
    pub provenance: bool,
}

/// `package`
#[derive(Debug, Args, Clone, Default)]
pub struct PackageArgs {
    /// The expert's manifest.json
    #[arg(long, value_name = "FILE")]
    pub manifest: PathBuf,
    /// The folder that holds the weights, below the manifest's [default: looked for in the usual places]
    #[arg(long, value_name = "DIR")]
    pub weights: Option<PathBuf>,
    /// Write the package to this file, or into this folder [default: the expert's weights/]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Package for this base model alone, where the manifest has several
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Package anew, without the cache
    #[arg(long)]
    pub force: bool,
    /// How packages are made.
    #[command(flatten)]
    pub packing: Packing,
    /// How to work.
    #[command(flatten)]
    pub work: Work,
    /// How a remote cache is used.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// How to check.
#[derive(Debug, Args, Clone, Default)]
pub struct CheckArgs {
    /// Which experts.
    #[command(flatten)]
    pub choice: Choice,
    /// How to work.
    #[command(flatten)]
    pub work: Work,
    /// First apply the safe edits that findings offer (fill in hashes and sizes, spell names as they should be)
    #[arg(long)]
    pub fix: bool,
}

/// What to lock.
#[derive(Debug, Args, Clone, Default)]
pub struct LockArgs {
    /// Which experts.
    #[command(flatten)]
    pub choice: Choice,
    /// How to work.
    #[command(flatten)]
    pub work: Work,
    /// How a remote cache is used.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// How packages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Opened by everything.
    Gzip,
    /// Smaller and faster; single files can be read out.
    Zstd,
    /// Not compressed.
    None,
}

/// When packages are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Never.
    Off,
    /// When there is a key.
    Auto,
    /// Always; no key is an error.
    Required,
}
