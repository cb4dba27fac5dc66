//! The arguments about another machine: how `build` and `package` use a remote cache, and what its workers are told.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::args::number;

/// How a remote cache is used.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Remote cache")]
pub struct RemoteArgs {
    /// Use the remote cache at this address (grpc://, grpcs://), or none (off) [default: `[cache.remote] url`]
    #[arg(long, value_name = "URL")]
    pub remote_cache: Option<String>,
    /// Fail with exit code 3 where the remote cache does not do its part (`on-error = "fail"`)
    #[arg(long)]
    pub remote_required: bool,
    /// Write all packages that the remote cache has, or only tell of them (minimal) [default: all]
    #[arg(long, value_name = "WHICH", hide_possible_values = true)]
    pub remote_download: Option<Download>,
    /// Have the workers of the remote cache check and pack experts
    #[arg(long)]
    pub remote_exec: bool,
    /// Have so many experts packed by workers at once [default: 16]
    #[arg(long, value_name = "N", value_parser = number)]
    pub remote_jobs: Option<NonZero<u16>>,
    /// Have workers run this program, linked statically [default: this one]
    #[arg(long, value_name = "FILE")]
    pub remote_exec_binary: Option<PathBuf>,
}

/// Which packages of a remote cache are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Download {
    /// All.
    All,
    /// None of those that it has.
    Minimal,
}

/// `remote-task`
#[derive(Debug, Args, Clone, Default)]
pub struct RemoteTaskArgs {
    /// The file that says what is to be made
    #[arg(value_name = "TASK")]
    pub task: PathBuf,
}
