//! `build` is what is done without a verb: it is put into the arguments where none stands.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory as _};

use crate::base::suggest;
use crate::cli::args::Cli;

/// The arguments with a verb in them. `-h`, `--help`, `-V` and `--version` before any verb need none.
pub fn with_verb(arguments: Vec<OsString>) -> Vec<OsString> {
    let command = Cli::command();
    if needs_none(&command, arguments.get(1..).unwrap_or_default()) {
        return arguments;
    }
    let mut arguments = arguments;
    arguments.insert(1.min(arguments.len()), "build".into());
    arguments
}

/// Is there a verb behind flags that may stand before it, or a request for help?
fn needs_none(command: &Command, arguments: &[OsString]) -> bool {
    let mut rest = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(text) = rest.next() {
        let text = &*text;
        if matches!(text, "-h" | "--help" | "-V" | "--version") {
            return true;
        }
        let takes_next = if let Some(long) = text.strip_prefix("--").filter(|long| !long.is_empty()) {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            match command.get_arguments().find(|arg| arg.get_long() == Some(name)) {
                Some(arg) => takes_value(arg) && value.is_none(),
                None => return false,
            }
        } else if let Some(shorts) = text.strip_prefix('-').filter(|shorts| !shorts.is_empty() && *shorts != "-") {
            match cluster(command, shorts) {
                Some(takes_next) => takes_next,
                None => return false,
            }
        } else {
            return command.find_subcommand(text).is_some();
        };
        if takes_next {
            rest.next();
        }
    }
    false
}

/// Does the value of the last of these short flags stand in the next argument? `None` if one of them is not global.
fn cluster(command: &Command, shorts: &str) -> Option<bool> {
    for (at, short) in shorts.char_indices() {
        let arg = command.get_arguments().find(|arg| arg.get_short() == Some(short))?;
        if takes_value(arg) {
            return Some(shorts[at + short.len_utf8()..].is_empty());
        }
    }
    Some(false)
}

/// The verb that was most likely meant by a word that is none.
pub fn verb_like(typed: &str) -> Option<String> {
    let command = Cli::command();
    let verbs: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    suggest::nearest(typed, verbs).map(str::to_owned)
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use super::with_verb;

    #[test]
    fn build_is_put_in_where_no_verb_stands() {
        for (typed, expected) in [
            ("", "build"),
            ("sql", "build sql"),
            ("-n", "build -n"),
            ("-C dir", "build -C dir"),
            ("-C check", "build -C check"),
            ("-Ccheck sql", "build -Ccheck sql"),
            ("-qC dir check", "-qC dir check"),
            ("--profile ci check", "--profile ci check"),
            ("--profile=ci -- check", "build --profile=ci -- check"),
            ("--color never tag:db", "build --color never tag:db"),
            ("check sql", "check sql"),
            ("--help", "--help"),
            ("-q -V", "-q -V"),
            ("sql --help", "build sql --help"),
            ("-j 2 check", "build -j 2 check"),
        ] {
            let arguments = std::iter::once("expert-build").chain(typed.split_whitespace()).map(Into::into).collect();
            let got: Vec<_> = with_verb(arguments).into_iter().map(|a| a.into_string().unwrap()).collect();
            assert_eq!(got[1..].join(" "), expected, "{typed}");
        }
    }
}
