//! The arguments of the verbs about settings, findings and formats.

use std::path::PathBuf;

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
  expert-build completions fish | source       put this into ~/.config/fish/config.fish
  source <(expert-build completions bash)      into ~/.bashrc
  source <(expert-build completions zsh)       into ~/.zshrc, after compinit
  expert-build completions powershell | Out-String | Invoke-Expression    into $PROFILE

The script asks expert-build at each completion: so it knows the experts, tags and base models of the repo. A copy in a
file, say in ~/.local/share/bash-completion/completions, is to be written again with each new version.";
pub(super) const MAN_MORE: &str = "\
Examples:
  expert-build man | man -l -            read it
  expert-build man ~/.local/share/man/man1    write expert-build.1 and a page for each verb";

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

/// `man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write all pages into this folder [default: print that of the program]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}
