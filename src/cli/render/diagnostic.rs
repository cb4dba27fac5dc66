//! `Look`: a finding in rustc's look: with an excerpt where the file's text is there, else as one clear block.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::base::{At, Diagnostic, Severity};
use crate::cli::render::relative;
use crate::cli::settings::Settings;
use crate::ops::excerpt;

/// How findings look in this run.
#[derive(Debug, Clone)]
pub struct Look {
    /// The folder that the user stands in.
    here: PathBuf,
    /// The folder that findings' paths are relative to.
    root: PathBuf,
    columns: usize,
}

impl Default for Look {
    fn default() -> Self {
        Self { here: PathBuf::new(), root: PathBuf::new(), columns: 140 }
    }
}

impl Look {
    /// By these settings, before the repo is known.
    pub fn new(settings: &Settings) -> Self {
        Self { here: settings.here.clone(), root: settings.here.clone(), columns: settings.columns.unwrap_or(140) }
    }

    /// With paths below this folder.
    #[must_use]
    pub fn at(mut self, root: &Path) -> Self {
        self.root = root.to_path_buf();
        self
    }

    /// The folder that findings' paths are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of a finding on the disk.
    pub fn file(&self, found: &Diagnostic) -> Option<PathBuf> {
        let mut path = self.root.clone();
        path.extend(found.folder.as_deref().filter(|folder| *folder != "."));
        path.extend(found.file.as_deref());
        (found.file.is_some() || found.folder.is_some()).then_some(path)
    }

    /// The file of a finding as the user would type it.
    pub fn path(&self, found: &Diagnostic) -> Option<String> {
        self.file(found).map(|file| relative(&file, &self.here).to_string_lossy().into_owned())
    }

    /// The text of the file that a finding is in. What the cache remembers of a finding is without it.
    fn source(&self, found: &Diagnostic) -> Option<Arc<str>> {
        if !matches!(found.at, At::Text { .. }) {
            return None;
        }
        found.source.clone().or_else(|| excerpt::text(&self.file(found)?))
    }

    /// A path as the user would type it.
    pub fn shown(&self, path: &str) -> String {
        relative(Path::new(path), &self.here).to_string_lossy().into_owned()
    }

    /// The finding, in colour; the streams take that out where it is not wanted.
    pub fn finding(&self, found: &Diagnostic) -> String {
        let level = match found.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let path = self.path(found);
        let mut group =
            level.primary_title(printable_lines(&found.message)).id(found.code.name).elements(None::<Origin<'_>>);
        let source = self.source(found);
        // What the finding was made from is the text that it speaks of; what is on the disk now may have changed since.
        let same = found.source.is_some();
        let excerpt = source.as_deref().and_then(|text| Excerpt::of(text, &found.at, same));
        match (&excerpt, &found.at) {
            (Some(Excerpt { lines, span }), At::Text { line, .. }) => {
                let snippet = Snippet::source(*lines).line_start(*line as usize);
                let snippet = snippet.annotation(AnnotationKind::Primary.span(span.clone()));
                group = group.element(match path {
                    Some(path) => snippet.path(path),
                    None => snippet,
                });
            }
            _ => group = place(group, path, &found.at),
        }
        if let Some(expert) = found.expert.as_deref().filter(|_| found.file.is_none() && found.folder.is_none()) {
            group = group.element(Level::NOTE.message(format!("in the expert `{expert}`")));
        }
        if let Some(help) = &found.help {
            group = group.element(Level::HELP.message(printable_lines(help)));
        }
        let text = Renderer::styled().term_width(self.columns).render(&[group]);
        // Without an excerpt there is no column of line numbers, and the arrow would touch the edge.
        if excerpt.is_some() { text } else { text.replace('\n', "\n ") }
    }
}

fn place<'a>(group: Group<'a>, path: Option<String>, at: &At) -> Group<'a> {
    let Some(path) = path else { return group };
    match at {
        At::File => group.element(Origin::path(path)),
        At::Text { line, column, .. } => {
            group.element(Origin::path(path).line(*line as usize).char_column(*column as usize))
        }
        At::Byte(at) => group.element(Origin::path(format!("{path} (byte {at})"))),
        At::Tensor(name) => group.element(Origin::path(format!("{path} ({})", printable(name)))),
    }
}

/// The lines of a text that a finding is about. Nothing else of the text is looked at: a file may have thousands of
/// findings.
struct Excerpt<'t> {
    lines: &'t str,
    /// The place of the finding in them.
    span: std::ops::Range<usize>,
}

impl<'t> Excerpt<'t> {
    /// Excerpts are for lines that fit on a screen: a manifest on one line of a megabyte is not shown. Nor is a text that
    /// changed since it was found, unless it is known to be the `same`.
    fn of(text: &'t str, at: &At, same: bool) -> Option<Self> {
        let At::Text { start, end, .. } = at else { return None };
        let span = char_bounds(text, *start as usize, *end as usize);
        if !same && found_elsewhere(text, &span, at) {
            return None;
        }
        let from = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let to = text[span.end..].find('\n').map_or(text.len(), |at| span.end + at);
        let lines = &text[from..to];
        let shows = lines.len() < 2000 && !lines.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
        shows.then(|| Self { lines, span: span.start - from..span.end - from })
    }
}

fn found_elsewhere(text: &str, span: &std::ops::Range<usize>, at: &At) -> bool {
    let At::Text { line, column, .. } = at else { return true };
    !matches!(At::span(text, span.start, span.end), At::Text { line: l, column: c, .. } if l == *line && c == *column)
}

fn char_bounds(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let (mut start, mut end) = (start.min(text.len()), end.min(text.len()));
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end.max(start)
}

/// Foreign text may hold what a terminal obeys: what would begin a line of its own, or turn others around. It stays one line.
pub fn printable(text: &str) -> String {
    escaped(text, is_unfit)
}

/// A message of ours, whose line breaks are meant.
fn printable_lines(text: &str) -> String {
    escaped(text, |c| is_unfit(c) && c != '\n')
}

/// Control characters, line separators, and what changes the direction of writing.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn escaped(text: &str, bad: impl Fn(char) -> bool + Copy) -> String {
    if !text.contains(bad) {
        return text.to_owned();
    }
    text.chars().map(|c| if bad(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}
