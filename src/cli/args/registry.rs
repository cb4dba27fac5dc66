//! The arguments of the verbs that speak to OCI registries.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::packages::{Limit, Trust};

pub(super) const PUSH_MORE: &str = "\
Examples:
  expert-build push oci.lan/org/sql:1.0.0 dist/sql.v1.0.0.expert
  expert-build push oci.lan/org/sql dist/sql.v1.0.0.expert   tagged with the package's version
  expert-build push oci.lan/org/experts/ dist/*.expert       each below it, by its file name
  expert-build push --as modelpack oci.lan/org/sql dist/sql.v1.0.0.expert

A package is verified before it is pushed. What the registry has is not sent again: after a failure,
repeat the command. Logins are those of `docker login` (config.json, credential helpers,
DOCKER_CONFIG); none is taken from the command line. Each reference is printed with its digest.";
pub(super) const PULL_MORE: &str = "\
Examples:
  expert-build pull oci.lan/org/sql:1.0.0
  expert-build pull oci.lan/org/sql@sha256:... -o adapters --key publisher.pub --require-signature

A package is verified before it is at its place; the exit code is 5 if it is not whole, or not signed
as asked. What was pushed with `--as modelpack` becomes the very package again. A pull that was cut
off goes on where it was when the command is repeated. Logins are those of `docker login`. The
package's path is printed.";

/// How a package lies in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum As {
    /// As one layer: the package as it is.
    #[default]
    Package,
    /// Each file as a layer, as CNCF ModelPack.
    Modelpack,
}

/// How registries are reached.
#[derive(Debug, Args, Clone, Default)]
pub struct Reaching {
    /// Speak HTTP, not HTTPS [default: only to this machine, and not with --ca-file]
    #[arg(long)]
    pub plain_http: bool,
    /// Trust the authorities in this PEM file too
    #[arg(long, value_name = "FILE", conflicts_with = "plain_http")]
    pub ca_file: Option<PathBuf>,
}

/// `push`
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Where to: host/repository or host/repository:tag, or host/namespace/ for several packages
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Packages
    #[arg(value_name = "PKG", required = true)]
    pub packages: Vec<PathBuf>,
    /// The form: package (one layer), or modelpack (a layer a file, for tools that know CNCF ModelPack)
    #[arg(long = "as", value_name = "FORM", default_value = "package", hide_possible_values = true)]
    pub form: As,
    /// How registries are reached.
    #[command(flatten)]
    pub reaching: Reaching,
    /// How much is read.
    #[command(flatten)]
    pub limit: Limit,
}

/// `pull`
#[derive(Debug, Args)]
pub struct PullArgs {
    /// What: host/repository:tag, or host/repository@sha256:...
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Into this folder
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Replace another file of that name
    #[arg(long)]
    pub force: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub reaching: Reaching,
    /// Whose signature counts.
    #[command(flatten)]
    pub trust: Trust,
    /// How much is received and read.
    #[command(flatten)]
    pub limit: Limit,
}
