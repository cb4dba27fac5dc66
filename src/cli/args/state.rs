//! The arguments of the verbs about what is due and why.

use clap::Args;

use crate::cli::args::Choice;

pub(super) const STATUS_MORE: &str = "\
Examples:
  expert-build status                    what is not up to date, and what changed
  expert-build status -v                 all experts
  expert-build status --exit-code -q tag:prod    for scripts: 1 if anything is due, 11 if broken

Builds nothing, asks no remote cache, and reads only what could have changed.";
pub(super) const WHY_MORE: &str = "\
Examples:
  expert-build why expert-sql            what a build would do it for, and what earlier ones did it for
  expert-build why dist/sql.v0.3.0.expert

The answers are the kept keys of the tasks against each other: what they say is what decides.";

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which experts.
    #[command(flatten)]
    pub choice: Choice,
    /// Exit with 1 if anything is due, with 11 if an expert cannot be built
    #[arg(long)]
    pub exit_code: bool,
}

/// `why`
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Experts (by any selector) or packages
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,
}
