//! Completion in shells: a shell's script asks this program, which knows its own arguments and the experts of the repo.
//!
//! `expert-build completions SHELL` prints the script. It runs the program with [`ASKED`] set and the words that were typed
//! so far behind a `--`; what is answered is one candidate a line.

mod bash;
mod candidates;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args as _, Command, CommandFactory as _, FromArgMatches as _};
use clap_complete::CompleteEnv;
use clap_complete::engine::ArgValueCompleter;
use clap_complete::env::{Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh};

use crate::base::{Error, Result};
use crate::cli::args::{BuildArgs, Cli, Global, with_verb};
use crate::cli::complete::bash::Bash;
use crate::cli::out;
use crate::cli::settings::{self, Settings};

/// The variable by which a shell's script asks; its value is the shell's name.
pub const ASKED: &str = "EXPERT_BUILD_COMPLETE";

/// The name that the program has in shells.
const NAME: &str = "expert-build";

const SHELLS: [&dyn EnvCompleter; 5] = [&Bash, &Elvish, &Fish, &Powershell, &Zsh];

/// The script that has a shell ask this program.
pub fn script(shell: &str) -> Result<Vec<u8>> {
    let mut script = Vec::new();
    let shells = Shells(&SHELLS);
    let completer = shells.completer(shell).ok_or_else(|| Error::Bug(format!("no completion for `{shell}`")))?;
    completer
        .write_registration(ASKED, NAME, NAME, NAME, &mut script)
        .map_err(|e| Error::io("write", "the completion script", e))?;
    Ok(script)
}

/// Answers a shell's script. `None` where the program was called for something else.
pub fn answered() -> Option<ExitCode> {
    if !settings::is_set(ASKED) {
        return None;
    }
    let arguments = settings::arguments();
    let words = arguments.iter().position(|word| word == "--").map_or(&[][..], |at| &arguments[at + 1..]);
    let at = settings::number("_CLAP_COMPLETE_INDEX").unwrap_or(usize::MAX).min(words.len().saturating_sub(1));
    // Also enters the folder of `-C`, which the paths that follow are relative to.
    let settings = Settings::new(&global(&words[..at])).ok();
    let here = settings.as_ref().map(|settings| settings.here.clone());
    let typed = words.get(at).map_or_else(String::new, |word| word.to_string_lossy().into_owned());
    let asked = CompleteEnv::with_factory(|| command(&words[..at], settings.as_ref(), typed.starts_with('-')))
        .var(ASKED)
        .bin(NAME)
        .shells(Shells(&SHELLS));
    match asked.try_complete(arguments.iter().cloned(), here.as_deref()) {
        Ok(_) => Some(ExitCode::SUCCESS),
        Err(error) => {
            out::tell(error.to_string().trim_end());
            Some(ExitCode::from(2))
        }
    }
}

/// The global options among the words before the one that is typed.
fn global(before: &[OsString]) -> Global {
    let command = Cli::command().ignore_errors(true);
    let matches = command.try_get_matches_from(with_verb(before.to_vec()));
    matches.ok().and_then(|matches| Global::from_arg_matches(&matches).ok()).unwrap_or_default()
}

/// The arguments of the program behind these words, with what may stand for them.
fn command(before: &[OsString], settings: Option<&Settings>, with_flags: bool) -> Command {
    let with_one_more: Vec<OsString> = before.iter().cloned().chain(["build".into()]).collect();
    let may_be_verb = with_verb(with_one_more.clone()) == with_one_more;
    // Where no verb stands, `build` is meant; behind a flag of it no verb can stand.
    let command = if may_be_verb { Cli::command() } else { Global::augment_args(Command::new(NAME)) };
    let command = BuildArgs::augment_args(command);
    let adorn = |command: Command| {
        let command = command.disable_help_flag(!with_flags).disable_version_flag(!with_flags);
        command.mut_args(|arg| adorned(arg, settings, with_flags))
    };
    adorn(command).mut_subcommands(|verb| adorn(verb).mut_subcommands(adorn))
}

fn adorned(arg: clap::Arg, settings: Option<&Settings>, with_flags: bool) -> clap::Arg {
    // Flags are offered to who begins one, or where there is nothing else.
    let arg = if arg.is_positional() || with_flags { arg } else { arg.hide(true) };
    let settings = settings.cloned();
    match arg.get_id().as_str() {
        "selectors" => arg.add(ArgValueCompleter::new(move |typed: &_| candidates::experts(settings.as_ref(), typed))),
        "targets" => arg.add(ArgValueCompleter::new(move |typed: &_| candidates::targets(settings.as_ref(), typed))),
        "package" | "packages" | "old" | "new" => arg.add(ArgValueCompleter::new(candidates::packages)),
        "profile" => arg.add(ArgValueCompleter::new(move |typed: &_| candidates::profiles(settings.as_ref(), typed))),
        "keys" => arg.add(ArgValueCompleter::new(move |typed: &_| candidates::keys(settings.as_ref(), typed))),
        "code" => arg.add(ArgValueCompleter::new(candidates::codes)),
        "report" => arg.add(ArgValueCompleter::new(candidates::reports)),
        "directory" | "cache_dir" | "out_dir" | "weights" => arg.value_hint(clap::ValueHint::DirPath),
        _ => arg,
    }
}
