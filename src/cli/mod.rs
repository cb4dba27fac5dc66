//! The command line: arguments, environment, terminal, signals, exit codes. The only layer that prints.

pub mod args;
pub mod exit;
pub mod render;
pub mod run;
pub mod settings;

use std::process::ExitCode;

/// Which of the two commands was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `expert-build`
    ExpertBuild,
    /// `expert-cli`
    ExpertCli,
}

/// Runs a command with the process's arguments and environment.
pub fn main(program: Program) -> ExitCode {
    let _ = program;
    run::main()
}
