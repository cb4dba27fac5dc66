//! The report `github`: annotations as workflow commands, and the summary of the step.

use std::path::Path;

use crate::base::event::Status;
use crate::base::{At, Diagnostic, Event, Severity};
use crate::cli::render::diagnostic::Look;
use crate::cli::render::{bytes, count};
use crate::cli::report::{Collector, below};

/// GitHub shows ten annotations of each level and drops the rest without a word.
const SHOWN: usize = 10;

/// Workflow commands, one a line. Paths are relative to `root`.
pub(super) fn annotations(collector: &Collector, look: &Look, root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for (severity, command) in [(Severity::Error, "error"), (Severity::Warning, "warning")] {
        let mut all: Vec<String> = Vec::new();
        if severity == Severity::Error {
            all.extend(collector.failures.iter().map(|failure| {
                let expert = failure.expert.as_ref().map_or(String::new(), |expert| format!("{expert}: "));
                format!("::error::{}", data(&format!("{expert}{}", failure.message)))
            }));
        }
        let findings = collector.findings.iter().filter(|found| found.severity == severity);
        all.extend(findings.map(|found| annotation(command, found, look, root)));
        if all.len() > SHOWN {
            let more = all.len() - (SHOWN - 1);
            all.truncate(SHOWN - 1);
            all.push(format!("::{command}::and {more} more; the log and the summary of the step have them all"));
        }
        lines.append(&mut all);
    }
    lines
}

fn annotation(command: &str, found: &Diagnostic, look: &Look, root: &Path) -> String {
    let mut properties = Vec::new();
    if let Some(file) = look.file(found) {
        properties.push(format!("file={}", property(&below(&file, root))));
        if let At::Text { line, column, .. } = &found.at {
            properties.push(format!("line={line},col={column}"));
        }
    }
    properties.push(format!("title={}", property(found.code.name)));
    let mut text = found.message.clone();
    if let At::Tensor(name) = &found.at {
        text = format!("{name}: {text}");
    }
    if let Some(help) = &found.help {
        text.push_str(&format!("\nhelp: {help}"));
    }
    format!("::{command} {}::{}", properties.join(","), data(&text))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Rows of each table of a summary: it holds 1 MiB at most, and more than these nobody reads.
const ROWS: usize = 1000;

/// The summary of the step, in Markdown.
pub(super) fn summary(collector: &Collector, look: &Look) -> String {
    let mut text = String::from("### expert-build\n\n");
    if let Some(Event::RunFinish { checked, built, restored, fresh, failed, skipped, left_there, remote, .. }) =
        &collector.finish
    {
        let built_any = built + restored + fresh + left_there > 0;
        let done = match built_any {
            true => format!("built {built}, restored {restored}, up to date {fresh}"),
            false => format!("checked {}", checked + failed),
        };
        let skipped = if *skipped > 0 { format!(", skipped {skipped}") } else { String::new() };
        let left = if *left_there > 0 { format!(", left on the remote {left_there}") } else { String::new() };
        text.push_str(&format!("{done}{left}, failed {failed}{skipped}\n"));
        if let Some(used) = remote {
            text.push_str(&format!("\n{}\n", cell(&crate::cli::render::remote::used(used))));
        }
    }
    if !collector.packages.is_empty() {
        text.push_str("\n| package | size | files | |\n| --- | ---: | ---: | --- |\n");
        for package in collector.packages.iter().take(ROWS) {
            let status = match package.status {
                Status::Cached => "restored",
                Status::Unchanged => "unchanged",
                Status::Remote => "left on the remote",
                _ => "built",
            };
            let signed = if package.signed { ", signed" } else { "" };
            let growth = match package.bytes_before {
                Some(before) if before < package.bytes => format!(" (+{})", bytes(package.bytes - before)),
                Some(before) if before > package.bytes => format!(" (−{})", bytes(before - package.bytes)),
                _ => String::new(),
            };
            let (path, size, files) = (cell(&look.shown(&package.path)), bytes(package.bytes), package.files.len());
            text.push_str(&format!("| {path} | {size}{growth} | {files} | {status}{signed} |\n"));
        }
        text.push_str(&more(collector.packages.len()));
    }
    if !collector.stale.is_empty() {
        text.push_str("\n| stale | why | a build would |\n| --- | --- | --- |\n");
        for due in collector.stale.iter().take(ROWS) {
            let how = if due.cached == Some(true) { "restore it from the cache" } else { "build it" };
            text.push_str(&format!("| {} | {} | {how} |\n", cell(&due.expert), cell(&due.why)));
        }
        text.push_str(&more(collector.stale.len()));
    }
    for (severity, title) in [(Severity::Error, "error"), (Severity::Warning, "warning")] {
        let found: Vec<&Diagnostic> = collector.findings.iter().filter(|found| found.severity == severity).collect();
        let of_it = found.len();
        if found.is_empty() {
            continue;
        }
        text.push_str(&format!("\n<details><summary>{}</summary>\n\n", count(found.len() as u64, title)));
        text.push_str("| code | where | what |\n| --- | --- | --- |\n");
        for found in found.iter().take(ROWS) {
            let line = if let At::Text { line, .. } = &found.at { format!(":{line}") } else { String::new() };
            let place = format!("{}{line}", look.path(found).unwrap_or_default());
            text.push_str(&format!("| {} | {} | {} |\n", found.code.name, cell(&place), cell(&found.message)));
        }
        text.push_str(&more(of_it));
        text.push_str("\n</details>\n");
    }
    for failure in &collector.failures {
        let expert = failure.expert.as_ref().map_or(String::new(), |expert| format!("{expert}: "));
        text.push_str(&format!("\n**error**: {}\n", cell(&format!("{expert}{}", failure.message))));
    }
    text.push('\n');
    text
}

/// What is said below a table that does not hold all rows.
fn more(rows: usize) -> String {
    if rows > ROWS { format!("\nand {} more\n", rows - ROWS) } else { String::new() }
}

/// Text that stays inside its cell.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::annotations;
    use crate::base::codes::files::FILE_MISSING;
    use crate::base::{At, Diagnostic};
    use crate::cli::render::diagnostic::Look;
    use crate::cli::report::Collector;

    #[test]
    fn annotations_are_escaped_and_rolled_up_past_ten() {
        let mut found = Diagnostic::new(&FILE_MISSING, "100% of `a` is missing")
            .in_file("a,b.json")
            .at(At::span("x\ny", 2, 3))
            .help("add it");
        found.folder = Some("experts/x".into());
        let look = Look::default().at(Path::new("/repo"));
        let mut collector = Collector { findings: vec![found; 10], ..Collector::default() };
        let lines = annotations(&collector, &look, Path::new("/repo"));
        assert_eq!(lines.len(), 10);
        assert_eq!(
            lines[9],
            "::error file=experts/x/a%2Cb.json,line=2,col=1,title=file-missing::100%25 of `a` is missing%0Ahelp: add it"
        );
        collector.findings.push(collector.findings[0].clone());
        let lines = annotations(&collector, &look, Path::new("/repo"));
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[9], "::error::and 2 more; the log and the summary of the step have them all");
    }
}
