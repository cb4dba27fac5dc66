//! `Json`: events as JSON lines on stdout, as `schema/events.schema.json` describes them.

use std::io;

use serde::Serialize;

use crate::base::diagnostic::Edit;
use crate::base::event::Observer;
use crate::base::{At, Diagnostic, Error, Event, Result, Severity};
use crate::cli::render::diagnostic::Look;
use crate::cli::settings::Settings;
use crate::cli::{exit, out};

/// The version of the form.
const V: u32 = 1;

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    #[serde(flatten)]
    event: &'a Event,
}

/// A finding with its place spelled out, so that a reader needs no more than the path.
#[derive(Serialize)]
struct FindingLine<'a> {
    v: u32,
    reason: &'static str,
    #[serde(flatten)]
    finding: Finding<'a>,
}

/// A finding as reports give it.
#[derive(Debug, Serialize)]
pub struct Finding<'a> {
    code: &'static str,
    level: Severity,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expert: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<&'a Edit>,
}

impl<'a> Finding<'a> {
    /// This finding.
    pub fn new(found: &'a Diagnostic, look: &Look) -> Self {
        let mut finding = Self {
            code: found.code.name,
            level: found.severity,
            message: &found.message,
            expert: found.expert.as_deref(),
            path: look.path(found),
            line: None,
            column: None,
            span: None,
            pointer: None,
            byte: None,
            tensor: None,
            help: found.help.as_deref(),
            edit: found.edit.as_ref(),
        };
        match &found.at {
            At::File => {}
            At::Text { line, column, start, end, pointer } => {
                (finding.line, finding.column) = (Some(*line), Some(*column));
                finding.span = Some([*start, *end]);
                finding.pointer = pointer.as_deref();
            }
            At::Byte(at) => finding.byte = Some(*at),
            At::Tensor(name) => finding.tensor = Some(name),
        }
        finding
    }
}

/// Prints events as JSON.
pub struct Json<'a> {
    look: &'a Look,
    fault: Option<Error>,
}

impl<'a> Json<'a> {
    /// With paths as this look shows them.
    pub fn new(look: &'a Look) -> Self {
        Self { look, fault: None }
    }

    /// What went wrong in writing, if anything did.
    pub fn finish(self) -> Result<()> {
        self.fault.map_or(Ok(()), Err)
    }

    fn put(&mut self, line: &impl Serialize) {
        if self.fault.is_none()
            && let Err(fault) = print(line)
        {
            self.fault = Some(fault);
        }
    }
}

impl Observer for Json<'_> {
    fn on(&mut self, event: &Event) {
        match event {
            Event::Diagnostic(found) => self.put(&finding_line(found, self.look)),
            Event::Artifact { path, .. } => {
                let mut event = event.clone();
                let shown = self.look.shown(path);
                if let Event::Artifact { path, .. } = &mut event {
                    *path = shown;
                }
                self.put(&Line { v: V, event: &event });
            }
            event => self.put(&Line { v: V, event }),
        }
    }
}

fn finding_line<'a>(found: &'a Diagnostic, look: &Look) -> FindingLine<'a> {
    FindingLine { v: V, reason: "diagnostic", finding: Finding::new(found, look) }
}

/// Tells an error as events: its findings, then that it failed.
pub fn failure(error: &Error, expert: Option<&str>, look: &Look) -> Result<()> {
    for found in error.diagnostics() {
        print(&finding_line(found, look))?;
    }
    let event = Event::Failure {
        expert: expert.map(str::to_owned),
        message: exit::message(error),
        help: exit::help(error),
        exit_code: error.exit_code(),
    };
    print(&Line { v: V, event: &event })
}

/// One JSON object on a line.
pub fn print(value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(value)
        .map_err(|e| Error::io("write", "the output", io::Error::new(io::ErrorKind::InvalidData, e)))?;
    line.push(b'\n');
    out::raw(&line)
}

/// An answer as JSON with `"v": 1`.
pub fn answer(value: &impl Serialize) -> Result<()> {
    #[derive(Serialize)]
    struct Answer<'a, T> {
        v: u32,
        #[serde(flatten)]
        value: &'a T,
    }
    print(&Answer { v: V, value })
}

/// The failure of a verb that has no look of its own.
pub fn failed(error: &Error, settings: &Settings) -> Result<()> {
    failure(error, None, &Look::new(settings))
}
