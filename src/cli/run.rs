//! From arguments to verbs.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::base::{Error, Result};
use crate::cli::args::{Cli, Color, Verb, with_verb};
use crate::cli::render::diagnostic::Look;
use crate::cli::settings::{self, Settings};
use crate::cli::verbs::{build, cache, experts, package, packages, remote_task, repo, state};
use crate::cli::{exit, out};

/// Runs `expert-build`.
pub fn main() -> ExitCode {
    let arguments = with_verb(settings::arguments());
    let cli: Cli = match parse(&arguments) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let settings = match Settings::new(&cli.global) {
        Ok(settings) => settings,
        Err(error) => return exit::code(Err(error), &Look::default()),
    };
    let outcome = run(cli, &settings);
    if settings.json
        && let Err(error) = &outcome
    {
        // Whoever reads events learns from them why there are no more.
        let _ = crate::cli::render::json::failed(error, &settings);
    }
    exit::code(outcome, &Look::new(&settings))
}

/// Reads the arguments, or says what is wrong with them (or the help that was asked for).
pub fn parse<P: Parser>(arguments: &[OsString]) -> Result<P, ExitCode> {
    // Before they are read as a whole, as what is wrong with them is told in colour or not.
    let texts: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let color = texts.iter().enumerate().rev().find_map(|(at, text)| match &**text {
        "--color" => texts.get(at + 1).map(|value| value.clone().into_owned()),
        text => text.strip_prefix("--color=").map(str::to_owned),
    });
    settings::color(match color.as_deref() {
        Some("always") => Color::Always,
        Some("never") => Color::Never,
        _ => Color::Auto,
    });
    P::try_parse_from(arguments).map_err(|error| {
        let text = error.render();
        if error.use_stderr() {
            out::tell(text.ansi().to_string().trim_end());
            return ExitCode::from(2);
        }
        exit::code(out::answer(text.ansi().to_string().trim_end()).map(|()| 0), &Look::default())
    })
}

fn run(cli: Cli, settings: &Settings) -> Result<u8> {
    let reports = &cli.global.report;
    if !reports.is_empty() && !matches!(cli.verb, Verb::Build(_) | Verb::Check(_) | Verb::Lock(_)) {
        return Err(Error::usage_help(
            "`--report` goes with `build`, `check` and `lock`",
            "`--message-format json` gives the answer of every verb as JSON",
        ));
    }
    match cli.verb {
        Verb::Build(args) => build::build(&args, reports, settings),
        Verb::Check(args) => build::check(&args, reports, settings),
        Verb::Lock(args) => build::lock(&args, reports, settings),
        Verb::Status(args) => state::status(&args, settings),
        Verb::Why(args) => state::why(&args, settings),
        Verb::Ls(args) => experts::ls(&args, settings),
        Verb::Graph(args) => experts::graph(&args, settings),
        Verb::Affected(args) => experts::affected(&args, settings),
        Verb::Matrix(args) => experts::matrix(&args, settings),
        Verb::Package(args) => package::package(&args, settings),
        Verb::Inspect(args) => packages::inspect(&args, settings),
        Verb::Cat(args) => packages::cat(&args),
        Verb::Extract(args) => packages::extract(&args, settings),
        Verb::Diff(args) => packages::diff(&args, settings),
        Verb::Repro(args) => packages::repro(&args, settings),
        Verb::Verify(args) => packages::verify(&args, settings),
        Verb::Keygen(args) => packages::keygen(&args, settings),
        Verb::Sign(args) => packages::sign(&args, settings),
        #[cfg(feature = "oci")]
        Verb::Push(args) => crate::cli::verbs::registry::push(&args, settings),
        #[cfg(feature = "oci")]
        Verb::Pull(args) => crate::cli::verbs::registry::pull(&args, settings),
        Verb::Cache(args) => cache::cache(&args, settings),
        Verb::Init(args) => repo::init(&args, settings),
        Verb::Config(args) => repo::config(&args, settings),
        Verb::Explain(args) => repo::explain(&args, settings),
        Verb::Schema(args) => repo::schema(&args),
        Verb::Completions(args) => repo::completions(&args),
        Verb::RemoteTask(args) => remote_task::remote_task(&args, settings),
        Verb::Man(args) => repo::man(&args, settings),
    }
}
