//! The arguments of the verbs that read packages, and of keys and signatures.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::args::number;
use crate::spec::value::Value;
use crate::spec::{Base, Size};

pub(super) const INSPECT_MORE: &str = "\
Examples:
  expert-build inspect sql.expert
  expert-build inspect sql.expert --tensors      every tensor with type, shape and range of values
  expert-build inspect sql.expert --json | jq .files

Hashes are those that the manifest gives; `expert-build verify` compares them with the files.";
pub(super) const CAT_MORE: &str = "\
Examples:
  expert-build cat sql.expert manifest.json
  expert-build cat sql.expert adapter_model.safetensors > adapter_model.safetensors

Of a zstd package only the frames of that file are read. The exit code is 5 if the hash does not fit.";
pub(super) const EXTRACT_MORE: &str = "\
Examples:
  expert-build extract sql.expert                into the folder `sql`
  expert-build extract sql.expert -o adapters/sql
  expert-build extract sql.expert '*.json'       some of the files, by glob

A package that is not what it says it is leaves nothing behind; the exit code is then 5.";
pub(super) const DIFF_MORE: &str = "\
Examples:
  expert-build diff old.expert new.expert
  expert-build diff old.expert new.expert --exit-code    exit code 1 if anything differs
  expert-build diff old.expert new.expert -v             every tensor that changed, and how far
  expert-build diff dist/sql.expert experts/sql          the package, and what would be packaged now

Hashes, and the signature over them, follow from the rest and are not told.";
pub(super) const REPRO_MORE: &str = "\
Examples:
  expert-build repro weights/sql.v0.3.0.expert --manifest manifest.json
  expert-build repro dist/sql.expert --manifest experts/sql/manifest.json

Rebuilds with the package's own compression, into a temporary. The exit code is 1 if the bytes differ.";
pub(super) const VERIFY_MORE: &str = "\
Examples:
  expert-build verify dist/*.expert
  expert-build verify sql.expert --key publisher.pub --require-signature
  expert-build verify sql.expert --key model.pub     its OpenSSF model signature, sql.expert.sigstore.json
  expert-build verify sql.expert --json

The exit code is 5 if a package is not whole, or not signed as asked.";
pub(super) const KEYGEN_MORE: &str = "\
Examples:
  expert-build keygen --output publisher.pem     publisher.pem (private, mode 0600) and publisher.pub
  expert-build build --key publisher.pem         then sign with it
  expert-build keygen --public-of publisher.pem  its public half, printed, and written where it is missing
  expert-build keygen --algorithm p256 -o model.pem    for `sign --model-signing`

A key is never overwritten. Give publisher.pub to those who verify.";
pub(super) const SIGN_MORE: &str = "\
Examples:
  expert-build sign sql.expert --key publisher.pem
  expert-build sign sql.expert --key publisher.pem --publisher hivellm -o signed/sql.expert
  expert-build sign dist/*.expert --key-env PUBLISHER_KEY     the PEM itself is in the variable, as in CI
  expert-build sign sql.expert --model-signing model.pem     sql.expert.sigstore.json, an OpenSSF model signature

A model signature is over the files as they are unpacked, and `model_signing verify key FOLDER` takes it.

A package is verified before it is signed: one that is not whole is refused with exit code 5.";

/// How much of a package is read.
#[derive(Debug, Args, Clone, Default)]
pub struct Limit {
    /// Stop at packages that unpack to more than this [default: 64GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
}

/// By how many threads a package is read.
#[derive(Debug, Args, Clone, Default)]
pub struct Threads {
    /// Read with N threads [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = number)]
    pub jobs: Option<NonZero<u16>>,
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    value(text).map(|size: Size| size.0)
}

/// A value as the Expertfile takes it.
pub(super) fn value<V: Value>(text: &str) -> Result<V, String> {
    V::from_text(text, &Base::Working).map_err(|fault| match fault.help {
        Some(help) => format!("{}; {help}", fault.what),
        None => fault.what,
    })
}

/// Whose signature counts.
#[derive(Debug, Args, Clone, Default)]
pub struct Trust {
    /// Trust this public key: a file (Ed25519; P-256 for model signatures), or ed25519:HEX; may be given more than once [default: those of `[trust]` in the Expertfile and the user's configuration]
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
    /// An unsigned package is a failure
    #[arg(long)]
    pub require_signature: bool,
}

/// `inspect`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Packages
    #[arg(value_name = "PKG", required = true)]
    pub packages: Vec<PathBuf>,
    /// Show every tensor: type, shape, range of values
    #[arg(long)]
    pub tensors: bool,
    /// Print JSON, one object a package
    #[arg(long)]
    pub json: bool,
    /// How much is read.
    #[command(flatten)]
    pub limit: Limit,
    /// By how many threads.
    #[command(flatten)]
    pub threads: Threads,
}

/// `cat`
#[derive(Debug, Args)]
pub struct CatArgs {
    /// Package
    #[arg(value_name = "PKG")]
    pub package: PathBuf,
    /// File in it
    #[arg(value_name = "FILE")]
    pub file: String,
    /// How much is read.
    #[command(flatten)]
    pub limit: Limit,
    /// By how many threads.
    #[command(flatten)]
    pub threads: Threads,
}

/// `extract`
#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// Package
    #[arg(value_name = "PKG")]
    pub package: PathBuf,
    /// Files to take, by path or glob [default: all]
    #[arg(value_name = "GLOB")]
    pub globs: Vec<String>,
    /// Unpack into this folder [default: the package's name without `.expert`]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
    /// Whose signature counts.
    #[command(flatten)]
    pub trust: Trust,
    /// How much is read.
    #[command(flatten)]
    pub limit: Limit,
    /// By how many threads.
    #[command(flatten)]
    pub threads: Threads,
}

/// `diff`
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A package, or the folder of an expert
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// What to compare it with: a package, or the folder of an expert
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// Of a folder with several base models, take this one
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 if anything differs
    #[arg(long)]
    pub exit_code: bool,
    /// How much is read.
    #[command(flatten)]
    pub limit: Limit,
}

/// `repro`
#[derive(Debug, Args)]
pub struct ReproArgs {
    /// Package
    #[arg(value_name = "PKG")]
    pub package: PathBuf,
    /// The manifest.json that it was made from
    #[arg(long, value_name = "FILE")]
    pub manifest: PathBuf,
}

/// `verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Packages
    #[arg(value_name = "PKG", required = true)]
    pub packages: Vec<PathBuf>,
    /// Print JSON, one object a package
    #[arg(long)]
    pub json: bool,
    /// The package's provenance; by default `<package>.intoto.jsonl`, where there is one
    #[arg(long, value_name = "FILE")]
    pub provenance: Option<PathBuf>,
    /// The OpenSSF model signature of its files; by default `<package>.sigstore.json`, where there is one
    #[arg(long, value_name = "FILE")]
    pub model_signature: Option<PathBuf>,
    /// Whose signature counts.
    #[command(flatten)]
    pub trust: Trust,
    /// How much is read.
    #[command(flatten)]
    pub limit: Limit,
    /// By how many threads.
    #[command(flatten)]
    pub threads: Threads,
}

/// `keygen`
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Write the private key here, and the public one beside it with the ending `.pub`
    #[arg(short, long, value_name = "FILE", required_unless_present = "public_of")]
    pub output: Option<PathBuf>,
    /// What the key is for: ed25519 signs packages, p256 makes OpenSSF model signatures
    #[arg(long, value_name = "KIND", default_value = "ed25519", hide_possible_values = true)]
    pub algorithm: Algorithm,
    /// Make no key: print the public half of this private key, and write it beside it if it is missing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "algorithm"])]
    pub public_of: Option<PathBuf>,
}

/// Kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Algorithm {
    /// Signs packages.
    #[default]
    Ed25519,
    /// Makes OpenSSF model signatures.
    P256,
}

/// `sign`
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Packages; with --model-signing also folders
    #[arg(value_name = "PKG", required = true)]
    pub packages: Vec<PathBuf>,
    /// The private key: the signature goes into the package
    #[arg(long, value_name = "FILE", required_unless_present_any = ["model_signing", "key_env"])]
    pub key: Option<PathBuf>,
    /// The private key stands in this variable of the environment
    #[arg(long, value_name = "VAR", conflicts_with = "key")]
    pub key_env: Option<String>,
    /// A private P-256 key: an OpenSSF model signature goes beside the package, with the ending `.sigstore.json`
    #[arg(long, value_name = "FILE")]
    pub model_signing: Option<PathBuf>,
    /// Name this publisher [default: what the package says, else the manifest's author]
    #[arg(long, value_name = "NAME")]
    pub publisher: Option<String>,
    /// Write the signed package here, or without --key the model signature [default: over the package itself, or beside it]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How much is read.
    #[command(flatten)]
    pub limit: Limit,
}
