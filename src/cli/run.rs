//! From arguments to verbs.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser as _;

use crate::base::{Error, Result};
use crate::cli::args::{BuildArgs, Cli, Verb};
use crate::cli::render::human::Human;
use crate::cli::{exit, settings};
use crate::ops::build::{Options, build};
use crate::ops::workspace::Workspace;

static CANCEL: AtomicBool = AtomicBool::new(false);

/// Runs `expert-build`.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let _ = ctrlc::set_handler(|| CANCEL.store(true, Ordering::Relaxed));
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => exit::error(&error),
    }
}

fn run(cli: Cli) -> Result<u8> {
    let (args, check) = match cli.verb {
        None => (cli.build, false),
        Some(Verb::Build(args)) => (args, false),
        Some(Verb::Check(args)) => (args, true),
    };
    build_verb(&cli.global, &args, check)
}

fn build_verb(global: &crate::cli::args::Global, args: &BuildArgs, check: bool) -> Result<u8> {
    let workspace = Workspace::open(settings::setup(global, args)?)?;
    let chosen = workspace.defaults();
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let options = Options {
        jobs,
        keep_going: args.keep_going,
        force: args.force,
        dry_run: args.dry_run,
        frozen: args.frozen,
        check,
    };
    let report = build(&workspace, &chosen, &options, &CANCEL, &mut Human)?;
    for (expert, error) in &report.failed {
        if !matches!(error, Error::Invalid(_)) {
            let _ = exit::error(error);
        }
        let _ = expert;
    }
    for (expert, why) in &report.stale {
        anstream::println!("{expert}: {why}");
    }
    Ok(report.exit_code())
}
