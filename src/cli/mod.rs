//! The command line: arguments, environment, terminal, signals, exit codes. The only layer that prints.

pub mod args;
pub mod complete;
pub mod exit;
pub mod legacy;
pub mod man;
pub mod out;
pub mod render;
pub mod report;
pub mod run;
pub mod settings;
pub mod verbs;

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
    if program == Program::ExpertBuild
        && let Some(code) = complete::answered()
    {
        return code;
    }
    exit::on_panic();
    exit::on_signals();
    match program {
        Program::ExpertBuild => run::main(),
        Program::ExpertCli => legacy::main(),
    }
}
