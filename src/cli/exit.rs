//! How the program ends: exit codes, the last words on an error, signals, bugs.

use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::{Error, Result};
use crate::cli::out::{self, CYAN, RED, paint};
use crate::cli::render::diagnostic::Look;

/// Set by the first ctrl-C.
pub static CANCEL: AtomicBool = AtomicBool::new(false);

/// Does a run look at [`CANCEL`], and so end in good order by itself?
static IN_ORDER: AtomicBool = AtomicBool::new(false);

/// The exit code of a verb, and the last words if it failed. The one place where an outcome becomes a number.
pub fn code(outcome: Result<u8>, look: &Look) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        // Whoever closed the pipe has what they wanted.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error, None, look);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Tells an error: its findings, or its message with all causes.
pub fn tell(error: &Error, expert: Option<&str>, look: &Look) {
    for found in error.diagnostics() {
        out::tell(&format!("{}\n", look.finding(found)));
    }
    if error.diagnostics().is_empty() {
        let expert = expert.map_or(String::new(), |expert| format!("{expert}: "));
        out::tell(&format!("{}: {expert}{}", paint(RED, "error"), message(error)));
    }
    if let Some(help) = help(error) {
        out::tell(&format!("  {}: {help}", paint(CYAN, "help")));
    }
}

/// An error with its causes, on one line.
pub fn message(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        text.push_str(&format!(": {why}"));
        cause = why.source();
    }
    text
}

/// What to do about an error, where that is known.
pub fn help(error: &Error) -> Option<String> {
    match error {
        Error::Usage { help, .. } => help.clone(),
        Error::Bug(_) => Some(report_it()),
        _ => None,
    }
}

fn report_it() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("this is a bug in expert-build {version}; please report it with what you ran and this message")
}

/// The first ctrl-C (or SIGTERM) lets a build end in good order, the second stops at once.
pub fn on_signals() {
    // Without a handler the signal ends the program at once, which is safe as well: outputs appear whole or not at all.
    let _ = ctrlc::set_handler(|| {
        if !IN_ORDER.load(Ordering::Relaxed) || CANCEL.swap(true, Ordering::Relaxed) {
            out::tell(&format!("{}: interrupted", paint(RED, "error")));
            at_once(130);
        }
    });
}

/// From now on the first ctrl-C only sets [`CANCEL`].
pub fn cancel_in_order() -> &'static AtomicBool {
    IN_ORDER.store(true, Ordering::Relaxed);
    &CANCEL
}

#[expect(clippy::exit, reason = "the second ctrl-C waits for nobody")]
fn at_once(code: i32) -> ! {
    std::process::exit(code)
}

/// A panic is told as what it is.
pub fn on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let place = info.location().map_or(String::new(), |at| format!(" ({}:{})", at.file(), at.line()));
        out::tell(&format!("{}: internal error: {text}{place}", paint(RED, "error")));
        out::tell(&format!("  {}: {}", paint(CYAN, "help"), report_it()));
        if std::backtrace::Backtrace::capture().status() == std::backtrace::BacktraceStatus::Captured {
            before(info);
        }
    }));
}

/// Of several exit codes the gravest.
pub fn gravest(codes: impl IntoIterator<Item = u8>) -> u8 {
    const ORDER: [u8; 9] = [101, 130, 5, 4, 11, 3, 2, 1, 0];
    let rank = |code: &u8| ORDER.iter().position(|other| other == code).unwrap_or(0);
    codes.into_iter().min_by_key(rank).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{gravest, help, message};
    use crate::base::Error;

    #[test]
    fn the_gravest_code_wins() {
        assert_eq!(gravest([0, 3, 11, 1]), 11);
        assert_eq!(gravest([11, 4, 5, 3]), 5);
        assert_eq!(gravest([2, 3]), 3);
        assert_eq!(gravest([]), 0);
    }

    #[test]
    fn causes_follow_the_message_and_bugs_say_so() {
        let error = Error::io("read", "x", std::io::Error::other("the disk is gone"));
        assert_eq!(message(&error), "cannot read `x`: the disk is gone");
        assert!(help(&Error::Bug("1 is 2".into())).is_some_and(|help| help.starts_with("this is a bug")));
    }
}
