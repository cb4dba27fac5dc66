//! The arguments of `expert-build`, as clap reads them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Builds, validates, signs and verifies packages of LLM adapters.
#[derive(Debug, Parser)]
#[command(name = "expert-build", version, propagate_version = true)]
pub struct Cli {
    /// What to do; without a verb, `build`.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// What the verbs have in common.
    #[command(flatten)]
    pub global: Global,
    /// The arguments of `build`, which is what is done without a verb.
    #[command(flatten)]
    pub build: BuildArgs,
}

/// What the verbs have in common.
#[derive(Debug, Args, Clone)]
pub struct Global {
    /// Work in this folder.
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// Use this profile of the Expertfile.
    #[arg(long, value_name = "NAME", global = true)]
    pub profile: Option<String>,
    /// Keep results in this folder instead of the user's cache.
    #[arg(long, value_name = "DIR", global = true)]
    pub cache_dir: Option<PathBuf>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build packages of the experts whose inputs changed
    Build(BuildArgs),
    /// Validate experts and write nothing
    Check(BuildArgs),
}

/// How to build.
#[derive(Debug, Args, Clone, Default)]
pub struct BuildArgs {
    /// Experts: a name or glob, a path, tag:NAME, model:GLOB, +NAME, NAME+
    #[arg(value_name = "SEL")]
    pub selectors: Vec<String>,
    /// Work with N threads [default: the cores]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Go on with other experts after a failure
    #[arg(short, long)]
    pub keep_going: bool,
    /// Say what would be done, and why
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Build all of them, without the cache
    #[arg(long)]
    pub force: bool,
    /// Fail if anything is stale
    #[arg(long)]
    pub frozen: bool,
    /// gzip, zstd or none
    #[arg(long, value_name = "HOW")]
    pub compression: Option<String>,
    /// gzip 1-9, zstd 1-22
    #[arg(long, value_name = "N")]
    pub level: Option<String>,
}
