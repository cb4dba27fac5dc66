//! The arguments of the verbs about settings, findings and formats.

use clap::{Args, ValueEnum};

pub(super) const INIT_MORE: &str = "\
Examples:
  expert-build init                      look here and below for folders with a manifest.json
  expert-build -C my-experts init --force

What it writes builds as it is; every line in it may be changed.";
pub(super) const CONFIG_MORE: &str = "\
Examples:
  expert-build config                    the settings in force, as an Expertfile
  expert-build config --show-origin      and who set each: flag, variable, file and line, or built in
  expert-build --profile ci config compression

The order: flag, EXPERT_BUILD_ variable, profile, expert, [defaults], user config, built in.";
pub(super) const EXPLAIN_MORE: &str = "\
Examples:
  expert-build explain                   every code with one line
  expert-build explain file-missing";
pub(super) const SCHEMA_MORE: &str = "\
Examples:
  expert-build schema expertfile > expertfile.schema.json
  expert-build schema events             what `--message-format json` prints";
pub(super) const COMPLETIONS_MORE: &str = "\
Examples:
  expert-build completions bash > ~/.local/share/bash-completion/completions/expert-build
  expert-build completions fish > ~/.config/fish/completions/expert-build.fish
  expert-build completions zsh > \"${fpath[1]}/_expert-build\"";

/// `init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Overwrite an Expertfile.toml that is there
    #[arg(long)]
    pub force: bool,
}

/// `config`
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Show these keys alone
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
    /// Say who set each value
    #[arg(long)]
    pub show_origin: bool,
}

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The finding's code, as it stands in brackets [default: list all]
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

/// `schema`
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which format
    #[arg(value_name = "FORMAT")]
    pub name: SchemaName,
}

/// A format that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaName {
    /// Expertfile.toml
    Expertfile,
    /// manifest.json
    Manifest,
    /// What `--message-format json` prints
    Events,
}

/// `completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}
