//! `Template`: a text with `{name}`, `{version}` and `{model}` to be filled in; and the slug of a model's name.

use std::fmt;
use std::ops::Range;

pub use crate::format::manifest::last_segment;

/// What a template may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// The expert's name.
    Name,
    /// Its version.
    Version,
    /// The base model.
    Model,
}

impl Placeholder {
    /// All of them, with the word in the braces.
    const ALL: [(&'static str, Self); 3] = [("name", Self::Name), ("version", Self::Version), ("model", Self::Model)];
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Placeholder),
}

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// Why a text is not a template, and which bytes of it are to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// A phrase.
    pub what: String,
    /// The way out.
    pub help: Option<String>,
}

impl Template {
    /// Reads a template.
    pub fn new(text: &str) -> Result<Self, TemplateFault> {
        let fault = |span, what: String, help: &str| TemplateFault { span, what, help: Some(help.to_owned()) };
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(found) = text[at..].find(['{', '}']) {
            let open = at + found;
            if found > 0 {
                parts.push(Part::Text(text[at..open].to_owned()));
            }
            let close = match text[open + 1..].find(['{', '}']) {
                Some(length) if text[open..].starts_with('{') && text[open + 1 + length..].starts_with('}') => {
                    open + 1 + length
                }
                _ => return Err(fault(open..open + 1, "a brace without its partner".into(), KNOWN)),
            };
            let word = &text[open + 1..close];
            let Some((_, hole)) = Placeholder::ALL.iter().find(|(name, _)| *name == word) else {
                let near = crate::base::suggest::nearest(word, Placeholder::ALL.map(|(name, _)| name));
                let help = near.map_or_else(|| KNOWN.to_owned(), |near| format!("did you mean `{{{near}}}`?"));
                return Err(fault(open..close + 1, format!("unknown placeholder `{{{word}}}`"), &help));
            };
            parts.push(Part::Hole(*hole));
            at = close + 1;
        }
        if at < text.len() {
            parts.push(Part::Text(text[at..].to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Does it hold this placeholder?
    pub fn holds(&self, hole: Placeholder) -> bool {
        self.parts.contains(&Part::Hole(hole))
    }

    /// The text with each placeholder replaced.
    pub fn fill(&self, name: &str, version: &str, model: &str) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Hole(Placeholder::Name) => name,
            Part::Hole(Placeholder::Version) => version,
            Part::Hole(Placeholder::Model) => model,
        });
        parts.collect()
    }
}

const KNOWN: &str = "the placeholders are `{name}`, `{version}` and `{model}`";

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A model's name as it stands in file names: its last path segment, lower case, each run of anything but letters and
/// digits one `-`. `Qwen3-0.6B` → `qwen3-0-6b`.
pub fn slug(model: &str) -> String {
    let mut out = String::new();
    for c in last_segment(model).chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.truncate(out.trim_end_matches('-').len());
    if out.is_empty() { "model".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Placeholder, Template, slug};

    #[test]
    fn templates_are_filled() {
        let template = Template::new("{name}-{model}.v{version}.expert").unwrap();
        assert_eq!(template.fill("sql", "0.3.0", "qwen3-0-6b"), "sql-qwen3-0-6b.v0.3.0.expert");
        assert!(template.holds(Placeholder::Model));
        assert!(!Template::new("{name}").unwrap().holds(Placeholder::Version));
    }

    #[test]
    fn faults_have_a_place() {
        for (text, span, what) in [
            ("a-{modle}", 2..9, "unknown placeholder `{modle}`"),
            ("{name", 0..1, "a brace without its partner"),
            ("name}", 4..5, "a brace without its partner"),
            ("{{name}}", 0..1, "a brace without its partner"),
            ("é{}", 2..4, "unknown placeholder `{}`"),
        ] {
            let fault = Template::new(text).unwrap_err();
            assert_eq!((fault.span, fault.what.as_str()), (span, what), "{text}");
        }
        assert_eq!(Template::new("{modle}").unwrap_err().help.as_deref(), Some("did you mean `{model}`?"));
    }

    #[test]
    fn slugs() {
        for (model, expected) in [
            ("Qwen3-0.6B", "qwen3-0-6b"),
            ("F:/Node/hivellm/expert/models/Qwen3-0.6B", "qwen3-0-6b"),
            ("C:\\models\\Llama 3_8B\\", "llama-3-8b"),
            ("Qwen/Qwen3-0.6B", "qwen3-0-6b"),
            ("/models/x/", "x"),
            ("--a--", "a"),
            ("模型-7B", "模型-7b"),
            ("", "model"),
            ("///", "model"),
        ] {
            assert_eq!(slug(model), expected, "{model}");
        }
    }

    proptest! {
        #[test]
        fn a_slug_is_its_own_slug(model in ".{0,40}") {
            let once = slug(&model);
            prop_assert!(!once.is_empty() && !once.contains(['/', '\\', '.', ' ']));
            prop_assert_eq!(slug(&once), once);
        }

        #[test]
        fn any_text_is_a_template_or_a_fault_inside_it(text in "[{}a-zé]{0,20}") {
            match Template::new(&text) {
                Ok(template) => prop_assert_eq!(template.as_str(), text.as_str()),
                Err(fault) => prop_assert!(text.get(fault.span).is_some()),
            }
        }
    }
}
