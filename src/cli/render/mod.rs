//! How things look: findings, events, reports.

pub mod human;

use crate::base::{At, Diagnostic, Severity};

/// A finding on one line, with its help on the next.
pub fn plain(found: &Diagnostic) -> String {
    let severity = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let mut place = found.file.clone().unwrap_or_default();
    match &found.at {
        At::File => {}
        At::Text { line, column, .. } => place.push_str(&format!(":{line}:{column}")),
        At::Byte(at) => place.push_str(&format!(" at byte {at}")),
        At::Tensor(name) => place.push_str(&format!(" [{name}]")),
    }
    let expert = found.expert.as_ref().map_or(String::new(), |e| format!("{e}: "));
    let mut text = format!("{severity}[{}]: {expert}{place}: {}", found.code.name, found.message);
    if let Some(help) = &found.help {
        text.push_str(&format!("\n  help: {help}"));
    }
    text
}
