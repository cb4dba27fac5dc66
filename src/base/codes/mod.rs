//! The one table of finding codes. A code is a word that never changes its meaning; `[lints]` and `explain` name it.
//!
//! A new code goes into the file of its area, and into that file's `ALL`.

use crate::base::{Code, Level};

pub mod files;
pub mod grammar;
pub mod manifest;
pub mod repo;
pub mod torch;
pub mod weights;

/// All codes, in the order of their areas.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [files::ALL, manifest::ALL, weights::ALL, torch::ALL, grammar::ALL, repo::ALL].into_iter().flatten().copied()
}

/// The code of this name.
pub fn find(name: &str) -> Option<&'static Code> {
    all().find(|code| code.name == name)
}

/// An error that no setting lowers.
const fn error(name: &'static str, summary: &'static str, explain: &'static str) -> Code {
    Code { name, level: Level::Deny, fixed: true, summary, explain }
}

/// An error that `[lints]` may lower.
const fn deny(name: &'static str, summary: &'static str, explain: &'static str) -> Code {
    Code { name, level: Level::Deny, fixed: false, summary, explain }
}

/// A warning; an error under `strict`.
const fn warn(name: &'static str, summary: &'static str, explain: &'static str) -> Code {
    Code { name, level: Level::Warn, fixed: false, summary, explain }
}

/// A notice; never counted unless `[lints]` raises it.
const fn note(name: &'static str, summary: &'static str, explain: &'static str) -> Code {
    Code { name, level: Level::Allow, fixed: false, summary, explain }
}

/// Declares the codes of an area and its `ALL`.
macro_rules! codes {
    ($($kind:ident $ident:ident = $name:literal: $summary:literal, $explain:literal;)*) => {
        $(#[doc = $summary] pub static $ident: $crate::base::Code = super::$kind($name, $summary, $explain);)*
        /// Every code of this area.
        pub static ALL: &[&$crate::base::Code] = &[$(&$ident),*];
    };
}
use codes;

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_words_and_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for code in super::all() {
            assert!(
                code.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                code.name
            );
            assert!(seen.insert(code.name), "{} stands twice", code.name);
            assert!(!code.summary.ends_with('.') && code.explain.len() > 60, "{}", code.name);
            assert_eq!(code.explain.matches("Example: ").count(), 1, "{} has no example", code.name);
        }
    }
}
