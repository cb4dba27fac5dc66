//! `KeyText`: everything that a task's result depends on, written once, for hashing and for showing.
//!
//! | enters a key | where |
//! |---|---|
//! | recipe numbers: compose, archive, checks, segments, tar | [`RECIPES`], `format::segment::RECIPE` |
//! | codec and level, version of the zstd library | package, file |
//! | which base model, if the manifest has several | package |
//! | `SOURCE_DATE_EPOCH`, publisher, public key | package |
//! | lint levels, `config` of base models | package |
//! | path in the package and digest of every input | package |
//! | digest of the content | file |
//!
//! Never: times, absolute paths, user, host, locale, thread count, map order. The text is kept beside the result, so
//! `why` compares two texts and cannot disagree with the hash.

use crate::base::{Digest, RelPath};
use crate::format::segment::{self, Codec, Compression};
use crate::store::ActionKey;

/// Recipe numbers: one is raised when what its task makes of equal inputs changes.
pub const RECIPES: [(&str, u32); 4] = [("validate", 2), ("hash", 1), ("compose", 1), ("archive", 1)];

/// The text of a key: one line for each thing that enters it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyText(String);

impl KeyText {
    /// The text of a task of this kind.
    pub fn new(kind: &str) -> Self {
        let mut text = Self::default();
        text.line("task", kind, "");
        for (task, recipe) in RECIPES {
            text.line("recipe", task, &recipe.to_string());
        }
        text.line("recipe", "segments", &segment::RECIPE.to_string());
        text
    }

    /// The text of a file's result: its content, packed.
    pub fn file(digest: &Digest, codec: Codec) -> Self {
        let mut text = Self::default();
        text.line("task", "hash", "");
        text.line("recipe", "hash", &RECIPES[1].1.to_string());
        text.line("recipe", "segments", &segment::RECIPE.to_string());
        text.codec(codec);
        text.line("content", "", &digest.to_string());
        text
    }

    /// A text that was kept.
    pub fn kept(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Adds one thing: what kind it is, which one, its value. None of them may break the line.
    pub fn line(&mut self, kind: &str, name: &str, value: &str) {
        for (text, end) in [(kind, '\t'), (name, '\t'), (value, '\n')] {
            // Settings of ten thousand experts pass here at every build: what needs no escape is copied as it is.
            match text.contains(['\\', '\n', '\t']) {
                true => self.0.push_str(&text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t")),
                false => self.0.push_str(text),
            }
            self.0.push(end);
        }
    }

    /// Adds the codec.
    pub fn codec(&mut self, codec: Codec) {
        self.line("setting", "compression", codec.compression.as_str());
        self.line("setting", "level", &codec.level.to_string());
        if codec.compression == Compression::Zstd {
            self.line("recipe", "zstd library", &segment::zstd_version().to_string());
        }
    }

    /// Adds an input file.
    pub fn input(&mut self, path: &RelPath, digest: &Digest) {
        self.line("input", path.as_str(), &digest.to_string());
    }

    /// The key.
    pub fn key(&self) -> ActionKey {
        ActionKey::of(&self.0)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What differs from an earlier text: the reasons for running again, in the words a user knows.
    pub fn changes_since(&self, earlier: &Self) -> Vec<Change> {
        let parse = |text: &Self| -> std::collections::BTreeMap<(String, String), String> {
            text.0
                .lines()
                .filter_map(|line| {
                    let mut parts = line.splitn(3, '\t').map(str::to_owned);
                    Some(((parts.next()?, parts.next()?), parts.next()?))
                })
                .collect()
        };
        let (old, new) = (parse(earlier), parse(self));
        let mut changes = Vec::new();
        for ((kind, name), value) in &new {
            match old.get(&(kind.clone(), name.clone())) {
                Some(before) if before == value => {}
                before => changes.push(Change {
                    kind: kind.clone(),
                    name: name.clone(),
                    old: before.cloned(),
                    new: Some(value.clone()),
                }),
            }
        }
        for ((kind, name), value) in &old {
            if !new.contains_key(&(kind.clone(), name.clone())) {
                changes.push(Change { kind: kind.clone(), name: name.clone(), old: Some(value.clone()), new: None });
            }
        }
        changes
    }
}

/// One difference between two keys.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// `input`, `setting`, `recipe` …
    pub kind: String,
    /// Which one.
    pub name: String,
    /// Its value then.
    pub old: Option<String>,
    /// Its value now.
    pub new: Option<String>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |value: &str| match value.split_once('/') {
            Some((hash, size)) if hash.len() == 64 => format!("{} ({size} bytes)", &hash[..12]),
            _ => value.to_owned(),
        };
        let shown = |value: &str| if value.is_empty() { "none".to_owned() } else { short(value) };
        let what = match (self.kind.as_str(), self.name.as_str()) {
            ("setting", "") => return f.write_str("settings or the program changed; what they were is no longer kept"),
            ("output", path) => return write!(f, "`{path}` is {}", self.new.as_deref().unwrap_or("gone")),
            ("input", path) if self.new.as_deref() == Some("not packaged") => {
                return write!(f, "`{path}` is no longer packaged");
            }
            ("input", path) => format!("`{path}`"),
            ("recipe", task) => format!("the recipe of `{task}`"),
            ("take" | "lints", key) => format!("setting `{key}`"),
            ("name", _) => "setting `name`".to_owned(),
            ("out", key) => format!("the output {key}"),
            ("slug", model) => format!("the slug of `{model}`"),
            ("config", model) => format!("the config of `{model}`"),
            ("include" | "exclude", at) => {
                format!("pattern {} of `{}`", at.parse::<usize>().map_or(1, |at| at + 1), self.kind)
            }
            (kind, name) => format!("{kind} `{name}`"),
        };
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "{what} changed: {} → {}", shown(old), shown(new)),
            (None, Some(new)) => write!(f, "{what} is new: {}", shown(new)),
            (Some(old), None) => write!(f, "{what} is gone: it was {}", shown(old)),
            (None, None) => write!(f, "{what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeyText;
    use crate::base::{Digest, RelPath};

    #[test]
    fn the_text_explains_the_key() {
        let path = RelPath::new("README.md").expect("path");
        let text = |content: &[u8], level: &str| {
            let mut text = KeyText::new("archive");
            text.line("setting", "level", level);
            text.input(&path, &Digest::of(content));
            text
        };
        let (a, b) = (text(b"a", "6"), text(b"bc", "6"));
        assert_eq!(a.key(), text(b"a", "6").key());
        assert_ne!(a.key(), b.key());
        let changes: Vec<String> = b.changes_since(&a).iter().map(ToString::to_string).collect();
        assert_eq!(changes, ["`README.md` changed: 17762fddd969 (1 bytes) → c0c2373a4284 (2 bytes)"]);
        assert_eq!(text(b"a", "9").changes_since(&a).len(), 1);
    }

    #[test]
    fn no_value_can_forge_a_line() {
        let mut a = KeyText::default();
        a.line("input", "x", "1\ninput\ty\t2");
        assert_eq!(a.as_str().lines().count(), 1);
    }
}
