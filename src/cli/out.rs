//! The two streams: answers go to stdout, everything else to stderr. A pipe that somebody closed is no error.

use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Color, Style};

use crate::base::{Error, Result};

/// Errors.
pub const RED: Style = bold(AnsiColor::Red);
/// Warnings.
pub const YELLOW: Style = bold(AnsiColor::Yellow);
/// What went well.
pub const GREEN: Style = bold(AnsiColor::Green);
/// Notes and help.
pub const CYAN: Style = bold(AnsiColor::Cyan);
/// Titles.
pub const BOLD: Style = Style::new().bold();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();

const fn bold(color: AnsiColor) -> Style {
    Style::new().bold().fg_color(Some(Color::Ansi(color)))
}

/// The text in this style. Where colour is not wanted the streams take it out again.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes an answer and a line end to stdout.
pub fn answer(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    closed(out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

/// Writes bytes to stdout as they are.
pub fn raw(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    closed(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Whoever reads no further has what they wanted.
fn closed(written: io::Result<()>) -> Result<()> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|e| Error::io("write", "the output", e)),
    }
}

/// Writes a line to stderr. There is nobody to tell if that fails.
pub fn tell(text: &str) {
    let mut out = anstream::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
}

/// Tells a warning.
pub fn warn(text: &str) {
    tell(&format!("{}: {text}", paint(YELLOW, "warning")));
}
