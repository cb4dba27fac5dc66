//! `Glob`: one pattern of the one glob dialect, gitignore's, and `Globs`, a list of them.
//!
//! `*` and `?` stop at `/`, `**` does not; a pattern with a `/` before its end is anchored to the folder, one without
//! matches at any depth; a final `/` means folders only; `!` takes back what earlier patterns matched. A pattern that
//! matches a folder covers all below it. Unlike git, `!` may also take back a part of a covered folder: git forbids
//! that to save itself a directory walk, and `["docs", "!docs/private"]` should mean what it says.

use std::fmt;
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use crate::base::RelPath;

/// One pattern. Clones share what it was made to, which is some kilobytes.
#[derive(Clone)]
pub struct Glob(Arc<Made>);

struct Made {
    text: Box<str>,
    negated: bool,
    folders_only: bool,
    anchored: bool,
    matcher: GlobMatcher,
}

impl Glob {
    /// The longest pattern.
    const MAX: usize = 4096;

    /// Reads a pattern.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > Self::MAX {
            return Err(format!("a pattern has at most {} bytes", Self::MAX));
        }
        let (negated, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (folders_only, rest) = match rest.strip_suffix('/') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let body = rest.strip_prefix('/').unwrap_or(rest);
        let body = body.strip_prefix("./").unwrap_or(body);
        if body.is_empty() {
            return Err(format!("the pattern `{text}` matches nothing"));
        }
        if body.split('/').any(|part| part == "..") {
            return Err(format!("the pattern `{text}` leaves its folder"));
        }
        let anchored = rest.contains('/') || body == "**";
        let pattern = if anchored { translate(body) } else { format!("**/{}", translate(body)) };
        let matcher = GlobBuilder::new(&pattern)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|e| format!("the pattern `{text}` cannot be read: {}", e.kind()))?
            .compile_matcher();
        Ok(Self(Arc::new(Made { text: text.into(), negated, folders_only, anchored, matcher })))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Does it begin with `!`?
    pub fn is_negated(&self) -> bool {
        self.0.negated
    }

    /// Does it match this path itself? `!` is not looked at.
    pub fn matches(&self, path: &str, is_dir: bool) -> bool {
        (is_dir || !self.0.folders_only) && self.0.matcher.is_match(path)
    }

    /// Does it match this folder when it is read as a path, so that without a `/` it means a folder right here?
    pub fn matches_here(&self, folder: &str) -> bool {
        (self.0.anchored || !folder.contains('/')) && self.matches(folder, true)
    }

    /// Does it match this path or a folder above it? `!` is not looked at.
    pub fn covers(&self, path: &str, is_dir: bool) -> bool {
        self.matches(path, is_dir) || path.match_indices('/').any(|(end, _)| self.matches(&path[..end], true))
    }
}

/// gitignore knows no `{a,b}`; globset does, so braces are made literal.
fn translate(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut escaped = false;
    for c in body.chars() {
        match c {
            '{' | '}' if !escaped => out.extend(['\\', c]),
            _ => out.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.text)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Glob {}

/// A list of patterns, of which the last that covers a path decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Globs(Arc<[Glob]>);

impl Globs {
    /// The list of these patterns.
    pub fn new(patterns: impl IntoIterator<Item = Glob>) -> Self {
        Self(patterns.into_iter().collect())
    }

    /// Is there no pattern at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patterns in order.
    pub fn iter(&self) -> impl Iterator<Item = &Glob> {
        self.0.iter()
    }

    /// Does the list take this file?
    pub fn takes(&self, path: &RelPath) -> bool {
        self.verdict(path.as_str(), false) == Some(true)
    }

    /// Does the list take this folder, and with it all that no later pattern takes back?
    pub fn takes_folder(&self, path: &RelPath) -> bool {
        self.verdict(path.as_str(), true) == Some(true)
    }

    /// What the last pattern that covers the path says: taken, taken back, or `None` where no pattern covers it.
    pub fn verdict(&self, path: &str, is_dir: bool) -> Option<bool> {
        self.0.iter().rev().find(|glob| glob.covers(path, is_dir)).map(|glob| !glob.is_negated())
    }
}

#[cfg(test)]
mod tests {
    use super::{Glob, Globs};
    use crate::base::RelPath;

    fn takes(patterns: &[&str], path: &str) -> bool {
        let globs = Globs::new(patterns.iter().map(|p| Glob::new(p).unwrap()));
        globs.takes(&RelPath::new(path).unwrap())
    }

    #[test]
    fn the_dialect_is_gitignores() {
        for (pattern, path, expected) in [
            ("*.md", "README.md", true),
            ("*.md", "docs/deep/x.md", true),
            ("/*.md", "docs/x.md", false),
            ("/*.md", "x.md", true),
            ("docs", "docs/a/b", true),
            ("docs", "a/docs/b", true),
            ("docs/", "docs", false),
            ("docs/", "docs/x", true),
            ("docs/*", "docs/x", true),
            ("docs/*.md", "docs/a/x.md", false),
            ("docs/**", "docs/a/x.md", true),
            ("docs/**", "docs2/x", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("**/b", "b", true),
            ("**", "any/thing", true),
            ("./docs/x", "docs/x", true),
            ("x?z", "xyz", true),
            ("x?z", "x/z", false),
            ("[a-c].txt", "b.txt", true),
            ("[!a-c].txt", "b.txt", false),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("\\!x", "!x", true),
            ("Docs", "docs/x", false),
        ] {
            assert_eq!(takes(&[pattern], path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn the_last_word_counts() {
        assert!(takes(&["docs", "!docs/private"], "docs/a.md"));
        assert!(!takes(&["docs", "!docs/private"], "docs/private/a.md"));
        assert!(takes(&["docs", "!docs/private", "docs/private/ok.md"], "docs/private/ok.md"));
        assert!(!takes(&["!docs"], "docs/a.md"));
        assert!(!takes(&[], "x"));
    }

    #[test]
    fn senseless_patterns_are_refused() {
        for text in ["", "/", "!", "!/", "../x", "a/../b", "[a", "a\\"] {
            assert!(Glob::new(text).is_err(), "{text}");
        }
        assert!(Glob::new(&"x".repeat(5000)).is_err());
    }
}
