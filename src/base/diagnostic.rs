//! `Diagnostic`: one finding in the user's files, with a stable code, a place and a way out.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::base::RelPath;

/// How grave a finding is in this run, after `[lints]` and presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Told, never counted.
    Note,
    /// The package is built, and the finding is shown.
    Warning,
    /// No package.
    Error,
}

/// What `[lints]` sets for a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Not reported.
    Allow,
    /// Reported as a warning.
    Warn,
    /// Reported as an error.
    Deny,
}

/// A named set of levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Errors only, but for what makes a package useless.
    Minimal,
    /// What is used when nothing is said.
    #[default]
    Recommended,
    /// Warnings are errors.
    Strict,
}

/// One kind of finding. All of them stand in [`crate::base::codes`].
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The stable word: `weights-rank-mismatch`.
    pub name: &'static str,
    /// Its level under the `recommended` preset.
    pub level: Level,
    /// May `[lints]` change it? A code that keeps a package safe or correct may not be lowered.
    pub fixed: bool,
    /// One line: what it means.
    pub summary: &'static str,
    /// The long text of `explain`: why it matters, an example, the way out.
    pub explain: &'static str,
}

/// Written as its name.
impl Serialize for &'static Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// A place inside a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// The file as a whole.
    #[default]
    File,
    /// A span of text.
    Text {
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
        /// First byte of the span.
        start: u32,
        /// The byte after the span.
        end: u32,
        /// JSON pointer, in a JSON file.
        pointer: Option<String>,
    },
    /// A byte offset in a binary file.
    Byte(u64),
    /// A tensor, or a group of them (`layers 0-27, q_proj`).
    Tensor(String),
}

impl At {
    /// The span `start..end` of `text`.
    pub fn span(text: &str, start: usize, end: usize) -> Self {
        let mut start = start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Self::Text {
            line: before.bytes().filter(|b| *b == b'\n').count() as u32 + 1,
            column: before[line_start..].chars().count() as u32 + 1,
            start: start as u32,
            end: char_end(text, end).max(start) as u32,
            pointer: None,
        }
    }

    /// The same place with a JSON pointer.
    #[must_use]
    pub fn with_pointer(mut self, text: impl Into<String>) -> Self {
        if let Self::Text { pointer, .. } = &mut self {
            *pointer = Some(text.into());
        }
        self
    }
}

/// The first end of a character at or behind this byte: a span never ends inside of one.
pub(crate) fn char_end(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// A message is one line, whatever stood in the file that it cites: nobody writes lines of their own into a report.
fn tame(text: String) -> String {
    // Marks of direction too: what follows one is shown in an order that is not that of the text.
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(bad) {
        return text;
    }
    text.chars().map(|c| if bad(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// A safe change of the file that mends the finding (`check --fix`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// First byte to replace.
    pub start: u32,
    /// The byte after the last one to replace.
    pub end: u32,
    /// What to put there.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Its kind.
    pub code: &'static Code,
    /// How grave it is here.
    pub severity: Severity,
    /// A lower-case phrase without a final period, backticks around what the user typed.
    pub message: String,
    /// The expert it belongs to, by name or path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expert: Option<String>,
    /// The expert's folder below the repo, where `file` is relative to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The file, relative to the expert's folder (to the repo's for an Expertfile).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in the file.
    pub at: At,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The edit that mends it, where there is a safe one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// The text of the file, for excerpts.
    #[serde(skip)]
    pub source: Option<Arc<str>>,
}

impl Diagnostic {
    /// A finding with the severity that the code has by itself.
    pub fn new(code: &'static Code, message: impl Into<String>) -> Self {
        let severity = match code.level {
            Level::Deny => Severity::Error,
            Level::Warn => Severity::Warning,
            Level::Allow => Severity::Note,
        };
        Self {
            code,
            severity,
            message: tame(message.into()),
            expert: None,
            folder: None,
            file: None,
            at: At::File,
            help: None,
            edit: None,
            source: None,
        }
    }

    /// In this file of the expert.
    #[must_use]
    pub fn file(self, path: &RelPath) -> Self {
        self.in_file(path.as_str())
    }

    /// In this file, named as the user would name it.
    #[must_use]
    pub fn in_file(mut self, path: impl Into<String>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// At this place of the file.
    #[must_use]
    pub fn at(mut self, at: At) -> Self {
        self.at = at;
        self
    }

    /// With this way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(tame(text.into()));
        self
    }

    /// With this safe edit.
    #[must_use]
    pub fn edit(mut self, start: usize, end: usize, text: impl Into<String>) -> Self {
        self.edit = Some(Edit { start: start as u32, end: end as u32, text: text.into() });
        self
    }

    /// With the file's text, so that an excerpt can be shown.
    #[must_use]
    pub fn source(mut self, text: &Arc<str>) -> Self {
        self.source = Some(Arc::clone(text));
        self
    }

    /// Is it an error?
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The levels in force for one expert: a preset and the codes that `[lints]` names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lints {
    /// The preset.
    pub preset: Preset,
    /// Code name → level, overriding the preset.
    pub levels: std::collections::BTreeMap<String, Level>,
}

impl Lints {
    /// The severity of a code under these levels; `None` where it is allowed.
    pub fn severity(&self, code: &Code) -> Option<Severity> {
        if code.fixed && code.level == Level::Deny {
            return Some(Severity::Error);
        }
        let by_preset = match (self.preset, code.level) {
            (Preset::Minimal, Level::Warn) => Level::Allow,
            (Preset::Strict, Level::Warn) => Level::Deny,
            (_, level) => level,
        };
        match self.levels.get(code.name).copied().unwrap_or(by_preset) {
            Level::Allow => None,
            Level::Warn => Some(Severity::Warning),
            Level::Deny => Some(Severity::Error),
        }
    }

    /// Sets each finding's severity, drops what is allowed, sorts by file, place and code.
    pub fn apply(&self, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut kept: Vec<Diagnostic> = found
            .into_iter()
            .filter_map(|mut d| {
                // A note (code level allow) stays a note unless the user raised it.
                if d.severity == Severity::Note && !self.levels.contains_key(d.code.name) {
                    return Some(d);
                }
                d.severity = self.severity(d.code)?;
                Some(d)
            })
            .collect();
        kept.sort_by(|a, b| (&a.file, &a.at, a.code.name, &a.message).cmp(&(&b.file, &b.at, b.code.name, &b.message)));
        kept.dedup();
        kept
    }
}
