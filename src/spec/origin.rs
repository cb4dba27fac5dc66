//! `Setting`: a value together with its `Origin`, so that every value can be traced to where somebody set it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{At, Code, Diagnostic};

/// A settings file: its name as the user knows it, its text, and where its lines begin.
#[derive(PartialEq, Eq)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    lines: Vec<u32>,
}

impl Source {
    /// The longest settings file. Ten thousand experts of 30 lines each need a tenth of it.
    pub const MAX: usize = 64 << 20;

    /// The file `name` that holds `text`.
    pub fn new(name: &str, text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1);
        Self { name: name.into(), text: text.into(), lines: std::iter::once(0).chain(starts).collect() }
    }

    /// Its name, relative to the repo's root where it lies below it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The line, from 1, that holds this byte.
    pub fn line(&self, byte: u32) -> u32 {
        self.lines.partition_point(|start| *start <= byte) as u32
    }

    /// A finding at `span` of this file.
    pub fn finding(&self, code: &'static Code, span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        let at = At::span(&self.text, span.start, span.end);
        let found = Diagnostic::new(code, message).in_file(&*self.name).at(at).source(&self.text);
        // By its name from the repo's root, whichever expert it is found for.
        Diagnostic { folder: Some(".".to_owned()), ..found }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The part of a settings file that a value stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section {
    /// Before the first table.
    Top,
    /// `[workspace]`.
    Workspace,
    /// `[defaults]`.
    Defaults,
    /// `[[expert]]`.
    Expert,
    /// `[cache]`.
    Cache,
    /// `[trust]`.
    Trust,
    /// `[profile.NAME]`.
    Profile(Arc<str>),
    /// Anywhere in the user's own configuration.
    User,
}

/// Who set a value.
#[derive(Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line, with its dashes.
    Flag(Arc<str>),
    /// An environment variable.
    Env(Arc<str>),
    /// A settings file.
    File {
        /// In which part of it.
        section: Section,
        /// Which file.
        source: Arc<Source>,
        /// First byte of the value.
        start: u32,
        /// The byte after it.
        end: u32,
    },
    /// Nobody: what is used when nothing is said.
    BuiltIn,
}

impl Origin {
    /// Do two values stand in the same part of the same file, or come from the same flag or variable?
    pub fn shares_section(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { section, source, .. }, Self::File { section: other, source: beside, .. }) => {
                section == other && source.name() == beside.name()
            }
            _ => self == other,
        }
    }

    /// `set by flag …`, or `built in`.
    pub fn set_by(&self) -> String {
        if *self == Self::BuiltIn { self.to_string() } else { format!("set by {self}") }
    }

    /// A finding about a value from here.
    pub fn finding(&self, code: &'static Code, message: impl Into<String>) -> Diagnostic {
        match self {
            Self::File { source, start, end, .. } => {
                source.finding(code, &(*start as usize..*end as usize), message.into())
            }
            Self::BuiltIn => Diagnostic::new(code, message.into()),
            Self::Flag(_) | Self::Env(_) => Diagnostic::new(code, format!("{} (set by {self})", message.into())),
        }
    }
}

/// As `config --show-origin` prints it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (section, source, start) = match self {
            Self::Flag(flag) => return write!(f, "flag `{flag}`"),
            Self::Env(name) => return write!(f, "variable `{name}`"),
            Self::BuiltIn => return f.write_str("built in"),
            Self::File { section, source, start, .. } => (section, source, *start),
        };
        match section {
            Section::Top => {}
            Section::Workspace => f.write_str("workspace at ")?,
            Section::Defaults => f.write_str("defaults at ")?,
            Section::Expert => f.write_str("expert at ")?,
            Section::Cache => f.write_str("cache at ")?,
            Section::Trust => f.write_str("trust at ")?,
            Section::Profile(name) => write!(f, "profile `{name}` at ")?,
            Section::User => f.write_str("user config at ")?,
        }
        write!(f, "{}:{}", source.name(), source.line(start))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value and who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Who set it.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// What is used when nothing is said.
    pub fn built_in(value: T) -> Self {
        Self { value, origin: Origin::BuiltIn }
    }

    /// A finding about this value.
    pub fn finding(&self, code: &'static Code, message: impl Into<String>) -> Diagnostic {
        self.origin.finding(code, message)
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn lines_are_found() {
        let source = Source::new("x", "a\nbc\n\nd");
        let lines: Vec<u32> = (0..8).map(|i| source.line(i)).collect();
        assert_eq!(lines, [1, 1, 2, 2, 2, 3, 4, 4]);
    }
}
