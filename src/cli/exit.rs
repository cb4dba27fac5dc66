//! Exit codes and the last words on an error.

use std::process::ExitCode;

use crate::base::Error;

/// Tells an error with its causes and gives its exit code.
pub fn error(error: &Error) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        text.push_str(&format!(": {why}"));
        cause = why.source();
    }
    if let Error::Usage { help: Some(help), .. } = error {
        text.push_str(&format!("\n  help: {help}"));
    }
    for found in error.diagnostics() {
        text.push_str(&format!("\n{}", crate::cli::render::plain(found)));
    }
    anstream::eprintln!("{text}");
    ExitCode::from(error.exit_code())
}
