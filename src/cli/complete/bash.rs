//! Bash, which breaks words at `:` and `=`: its script puts them together again, so that `tag:` and `--color=` complete.

use std::ffi::OsString;
use std::io;

use clap_complete::engine::complete;
use clap_complete::env::EnvCompleter;

use crate::cli::settings;

/// The script. Works with bash 3.2, which macOS has, too.
const SCRIPT: &str = r#"_NAME_complete() {
    # Words as they stand on the line: a part that no blank precedes belongs to the one before it.
    local line=${COMP_LINE:0:COMP_POINT} words=() part rest i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        rest=${line#"${line%%[![:space:]]*}"}
        part=${COMP_WORDS[i]}
        [[ $i -eq $COMP_CWORD ]] && part=$rest
        if [[ $i -eq 0 || $rest != "$line" ]]; then
            words[${#words[@]}]=$part
        else
            words[${#words[@]}-1]+=$part
        fi
        line=${rest#"$part"}
    done
    local typed=${words[${#words[@]}-1]} lead= mark
    # Bash replaces what follows the last break alone.
    for mark in : =; do
        if [[ $COMP_WORDBREAKS == *"$mark"* && $typed == *"$mark"* ]]; then
            part=${typed%"${typed##*"$mark"}"}
            [[ ${#part} -gt ${#lead} ]] && lead=$part
        fi
    done
    COMPREPLY=()
    while IFS= read -r part; do
        COMPREPLY[${#COMPREPLY[@]}]=${part#"$lead"}
    done < <(_CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) VAR=bash COMPLETER -- "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/:] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
if [[ ${BASH_VERSINFO[0]} -gt 4 || ${BASH_VERSINFO[0]} -eq 4 && ${BASH_VERSINFO[1]} -ge 4 ]]; then
    complete -o bashdefault -o nosort -F _NAME_complete BIN
else
    complete -o bashdefault -F _NAME_complete BIN
fi
"#;

/// Bash.
pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn io::Write,
    ) -> io::Result<()> {
        let completer = format!("'{}'", completer.replace('\'', r"'\''"));
        let script = SCRIPT.replace("NAME", &name.replace('-', "_")).replace("BIN", bin).replace("VAR", var);
        buf.write_all(script.replace("COMPLETER", &completer).as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        here: Option<&std::path::Path>,
        buf: &mut dyn io::Write,
    ) -> io::Result<()> {
        let at = settings::number("_CLAP_COMPLETE_INDEX").unwrap_or_else(|| words.len().saturating_sub(1));
        for candidate in complete(command, words, at, here)? {
            writeln!(buf, "{}", candidate.get_value().to_string_lossy())?;
        }
        Ok(())
    }
}
