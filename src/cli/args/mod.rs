//! The arguments of `expert-build`, as clap reads them: the verbs and what they have in common.

mod build;
mod cache;
mod default_verb;
mod experts;
mod packages;
#[cfg(feature = "oci")]
mod registry;
mod remote;
mod repo;
mod state;

use std::num::NonZero;
use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use build::{BuildArgs, CheckArgs, Choice, Kind, LockArgs, PackageArgs, Packing, When, Work};
pub use cache::{CacheArgs, CacheVerb, GcArgs};
pub use default_verb::{verb_like, with_verb};
pub use experts::{AffectedArgs, GraphArgs, GraphForm, LsArgs, MatrixArgs, MatrixForm, Plain};
pub use packages::{
    Algorithm, CatArgs, DiffArgs, ExtractArgs, InspectArgs, KeygenArgs, Limit, ReproArgs, SignArgs, Threads, Trust,
    VerifyArgs,
};
#[cfg(feature = "oci")]
pub use registry::{As, PullArgs, PushArgs, Reaching};
pub use remote::{Download, RemoteArgs, RemoteTaskArgs};
pub use repo::{CompletionsArgs, ConfigArgs, ExplainArgs, InitArgs, ManArgs, SchemaArgs, SchemaName};
pub use state::{StatusArgs, WhyArgs};

/// What stands below the help of the program.
const MORE: &str = "\
Without a verb, `build` is meant: `expert-build`, `expert-build -n`, `expert-build tag:db`.

Examples:
  expert-build init                        write an Expertfile.toml for the experts found here
  expert-build                             build the packages whose inputs changed
  expert-build check --strict              validate everything, warnings are errors
  expert-build verify dist/*.expert        is each package whole, and who signed it?

Exit codes:
    0  fine
    1  the answer is no: something is stale, something differs
    2  the command line or the Expertfile is wrong
    3  disk, lock, cache or network
    4  requirements between experts are unmet, cyclic or contradictory
    5  a signature or a hash does not fit
   11  an expert is not valid
  101  a bug in expert-build
  130  interrupted
Of several failures the gravest counts: 5, 4, 11, 3.

Environment:
  EXPERT_BUILD_CACHE_DIR, EXPERT_BUILD_PROFILE, EXPERT_BUILD_OFFLINE, EXPERT_BUILD_<KEY> for the
  keys of the Expertfile (EXPERT_BUILD_CACHE_REMOTE_URL for `url` of `[cache.remote]`),
  SOURCE_DATE_EPOCH, NO_COLOR, CLICOLOR_FORCE, CI, GITHUB_ACTIONS";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold())
    .valid(AnsiColor::Green.on_default())
    .invalid(AnsiColor::Yellow.on_default());

/// Builds, validates, signs and verifies packages of LLM adapters
///
/// An expert is a folder with a manifest.json, adapter weights and what belongs to them. `expert-build` makes a
/// `.expert` package of each, validates it before anything is written, and rebuilds only where an input changed.
#[derive(Debug, Parser)]
#[command(name = "expert-build", version, propagate_version = true, after_help = MORE, styles = STYLES)]
#[command(subcommand_required = true, max_term_width = 100, disable_help_subcommand = true)]
#[command(override_usage = "expert-build [OPTIONS] [VERB] ...\n       expert-build [BUILD OPTIONS] [SEL]...")]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// What the verbs have in common.
    #[command(flatten)]
    pub global: Global,
}

/// What the verbs have in common.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Work as if started in this folder
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// Use this profile of the Expertfile
    #[arg(long, value_name = "NAME", global = true)]
    pub profile: Option<String>,
    /// Keep results in this folder [default: the user's cache folder]
    #[arg(long, value_name = "DIR", global = true)]
    pub cache_dir: Option<PathBuf>,
    /// Speak to no other machine: the remote cache is off
    #[arg(long, global = true)]
    pub offline: bool,
    /// Use colour: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_possible_values = true)]
    pub color: Color,
    /// Print answers and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Tell more: notices, every file
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Print for people (human), or one JSON object a line on stdout (json)
    #[arg(long, value_name = "FORM", global = true, default_value = "human", hide_possible_values = true)]
    pub message_format: MessageFormat,
    /// With build, check and lock: write a report, json, junit or sarif, to PATH or to stdout, timings to PATH or to expert-build-timings.html, github to PATH or to stderr
    #[arg(long, value_name = "KIND[=PATH]", global = true, action = ArgAction::Append)]
    pub report: Vec<String>,
}

/// How many at once.
fn number(text: &str) -> Result<NonZero<u16>, String> {
    text.parse().map_err(|_| "a whole number from 1 to 65535 is wanted".to_owned())
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set; elsewhere if CLICOLOR_FORCE is.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum MessageFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line, on stdout.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build the packages whose inputs changed (this is done without a verb)
    #[command(after_help = build::BUILD_MORE)]
    Build(BuildArgs),
    /// Validate experts and write no package
    #[command(after_help = build::CHECK_MORE)]
    Check(CheckArgs),
    /// Show which experts are up to date, and what changed in the others
    #[command(after_help = state::STATUS_MORE)]
    Status(StatusArgs),
    /// Say why an expert is stale, and why its packages were made anew
    #[command(after_help = state::WHY_MORE)]
    Why(WhyArgs),
    /// Build, then write Expertfile.lock: which bytes each version has
    #[command(after_help = build::LOCK_MORE)]
    Lock(LockArgs),
    /// List experts with version, state, models and tags
    #[command(after_help = experts::LS_MORE)]
    Ls(LsArgs),
    /// Show who requires whom, or the tasks of a build
    #[command(after_help = experts::GRAPH_MORE)]
    Graph(GraphArgs),
    /// List experts that differ from a commit, and those that require them
    #[command(after_help = experts::AFFECTED_MORE)]
    Affected(AffectedArgs),
    /// Show the packages of all experts and base models as a table
    #[command(after_help = experts::MATRIX_MORE)]
    Matrix(MatrixArgs),
    /// Package one expert without an Expertfile
    #[command(after_help = build::PACKAGE_MORE)]
    Package(PackageArgs),
    /// Show what is in packages: identity, models, adapters, files, signature, tensors
    #[command(after_help = packages::INSPECT_MORE)]
    Inspect(InspectArgs),
    /// Write one file of a package to stdout
    #[command(after_help = packages::CAT_MORE)]
    Cat(CatArgs),
    /// Unpack a package into a folder, verified on the way
    #[command(after_help = packages::EXTRACT_MORE)]
    Extract(ExtractArgs),
    /// Show what differs between two packages, or an expert's folder and a package
    #[command(after_help = packages::DIFF_MORE)]
    Diff(DiffArgs),
    /// Rebuild a package from its expert's folder: the same bytes?
    #[command(after_help = packages::REPRO_MORE)]
    Repro(ReproArgs),
    /// Verify packages: every hash, no file missing or extra, the signature
    #[command(after_help = packages::VERIFY_MORE)]
    Verify(VerifyArgs),
    /// Make a key pair for signing
    #[command(after_help = packages::KEYGEN_MORE)]
    Keygen(KeygenArgs),
    /// Sign packages that exist; nothing but their manifest and signature changes
    #[command(after_help = packages::SIGN_MORE)]
    Sign(SignArgs),
    /// Push packages to an OCI registry, with their signatures
    #[cfg(feature = "oci")]
    #[command(after_help = registry::PUSH_MORE)]
    Push(PushArgs),
    /// Pull a package from an OCI registry, verified before it is at its place
    #[cfg(feature = "oci")]
    #[command(after_help = registry::PULL_MORE)]
    Pull(PullArgs),
    /// Look after the cache: what it holds, what can go
    #[command(after_help = cache::CACHE_MORE)]
    Cache(CacheArgs),
    /// Write an Expertfile.toml for the experts found here
    #[command(after_help = repo::INIT_MORE)]
    Init(InitArgs),
    /// Show every setting in force, and who set it
    #[command(after_help = repo::CONFIG_MORE)]
    Config(ConfigArgs),
    /// Explain a finding: why it matters, an example, the way out
    #[command(after_help = repo::EXPLAIN_MORE)]
    Explain(ExplainArgs),
    /// Print the JSON schema of a file format
    #[command(after_help = repo::SCHEMA_MORE)]
    Schema(SchemaArgs),
    /// Print the completion script of a shell
    #[command(after_help = repo::COMPLETIONS_MORE)]
    Completions(CompletionsArgs),
    /// What a worker of a remote cache runs
    #[command(hide = true)]
    RemoteTask(RemoteTaskArgs),
    /// Print the manual page, or write those of all verbs
    #[command(after_help = repo::MAN_MORE)]
    Man(ManArgs),
}
