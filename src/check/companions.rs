//! Rules of the files beside the weights: JSON ones parse, and the tokenizer fits the embeddings.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::base::codes::files::JSON_SYNTAX;
use crate::base::codes::manifest::TOKENIZER_VOCABULARY;
use crate::base::{At, Diagnostic};
use crate::format::json;

/// Up to this size a file is read as a tree, which also finds keys that stand twice. Larger ones (tokenizers with
/// their vocabularies) are walked without keeping anything.
const TREE: usize = 1 << 20;

/// Largest JSON file that is looked into.
pub const MAX_BYTES: usize = 256 << 20;

/// What a JSON companion says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Companion {
    /// In `tokenizer.json`: the highest token number and one, which is how many embeddings the model needs.
    pub tokens: Option<u64>,
    /// What is wrong with the file.
    pub found: Vec<Diagnostic>,
}

/// Is this path that of a JSON file?
pub fn is_json(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("json"))
}

/// Reads a JSON file that is packaged beside the weights. The manifest and `adapter_config.json` have readers of their
/// own.
pub fn read(bytes: &[u8], file: &str) -> Companion {
    let found = if bytes.len() <= TREE {
        json::parse(bytes).err().map(|fault| fault.finding(bytes, file))
    } else {
        large(bytes, file)
    };
    let name = file.rsplit('/').next().unwrap_or(file);
    let tokens =
        if name == "tokenizer.json" && found.is_none() && bytes.len() <= MAX_BYTES { tokens(bytes) } else { None };
    Companion { tokens, found: found.into_iter().collect() }
}

/// Walks a JSON file that is too large to be held: is its syntax right?
pub fn walk(file: impl std::io::Read, path: &str) -> Option<Diagnostic> {
    let fault = serde_json::from_reader::<_, IgnoredAny>(file).err()?;
    let at = At::Text { line: fault.line() as u32, column: fault.column() as u32, start: 0, end: 0, pointer: None };
    let found = Diagnostic::new(&JSON_SYNTAX, fault.to_string()).in_file(path).at(at);
    Some(found.help("write the file again with a tool that writes JSON"))
}

/// More tokens than rows of the embeddings. Fewer are fine: rows are padded for speed.
pub fn vocabulary(file: &str, tokens: Option<u64>, embeddings: Option<u64>) -> Option<Diagnostic> {
    let (tokens, embeddings) = (tokens?, embeddings?);
    if tokens <= embeddings {
        return None;
    }
    let message = format!("the tokenizer has {tokens} tokens, the model {embeddings} embeddings");
    let help = "package the base model's tokenizer, or save the resized embeddings with the adapter";
    Some(Diagnostic::new(&TOKENIZER_VOCABULARY, message).in_file(file).help(help))
}

fn large(bytes: &[u8], file: &str) -> Option<Diagnostic> {
    // The head alone tells of a byte order mark, with the finding that small files get.
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return json::parse(&bytes[..3]).err().map(|fault| fault.finding(&bytes[..3], file));
    }
    let (at, what) = if bytes.len() > MAX_BYTES {
        (0, "the file is larger than 256 MiB, which no JSON companion is".to_owned())
    } else {
        match std::str::from_utf8(bytes) {
            Err(fault) => (fault.valid_up_to(), "the text is not UTF-8".to_owned()),
            Ok(text) => match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => return None,
                Err(fault) => (offset(bytes, &fault), what(&fault)),
            },
        }
    };
    let before = std::str::from_utf8(&bytes[..at]).unwrap_or_default();
    let mut place = At::span(before, at, at);
    if let At::Text { end, .. } = &mut place {
        *end = end.saturating_add(1);
    }
    // The line of the fault is enough of an excerpt where lines are short; else the position has to do.
    let source = (bytes.len() <= 4 * TREE).then(|| Arc::<str>::from(String::from_utf8_lossy(bytes)));
    let found = Diagnostic::new(&JSON_SYNTAX, what).in_file(file).at(place).help("mend the text at this place");
    Some(match source {
        Some(source) => found.source(&source),
        None => found,
    })
}

/// The byte that serde_json means by line and column.
fn offset(bytes: &[u8], fault: &serde_json::Error) -> usize {
    let mut starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let start = match fault.line() {
        0 | 1 => 0,
        line => starts.nth(line - 2).unwrap_or(bytes.len()),
    };
    let mut at = start.saturating_add(fault.column().saturating_sub(1)).min(bytes.len());
    while at > 0 && at < bytes.len() && bytes[at] & 0xc0 == 0x80 {
        at -= 1;
    }
    at
}

/// The message without the position that it ends with.
fn what(fault: &serde_json::Error) -> String {
    let text = fault.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// How many embeddings a `tokenizer.json` needs; `None` where it has another form.
fn tokens(bytes: &[u8]) -> Option<u64> {
    let tokenizer: Tokenizer = serde_json::from_slice(bytes).ok()?;
    let vocabulary = tokenizer.model?.vocab?.0;
    let added = tokenizer.added_tokens.into_iter().flatten().map(|token| token.id.saturating_add(1));
    added.chain([vocabulary]).max()
}

#[derive(Deserialize)]
struct Tokenizer {
    model: Option<Model>,
    added_tokens: Option<Vec<Added>>,
}

#[derive(Deserialize)]
struct Model {
    vocab: Option<Vocabulary>,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
}

/// The highest number of a vocabulary, and one: of a map from token to number, or of a list.
struct Vocabulary(u64);

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = Vocabulary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut most = 0;
                while let Some((IgnoredAny, id)) = map.next_entry::<IgnoredAny, u64>()? {
                    most = most.max(id.saturating_add(1));
                }
                Ok(Vocabulary(most))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vocabulary, A::Error> {
                let mut count = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Vocabulary(count))
            }
        }
        deserializer.deserialize_any(Count)
    }
}

#[cfg(test)]
mod tests {
    use super::{TREE, is_json, read, vocabulary};
    use crate::base::{At, Severity};

    #[test]
    fn the_highest_number_counts() {
        for (text, tokens) in [
            (r#"{"model":{"vocab":{"a":0,"b":7}},"added_tokens":[{"id":3,"content":"x"}]}"#, Some(8)),
            (r#"{"added_tokens":[{"id":9}],"model":{"type":"Unigram","vocab":[["a",0.5],["b",1]]}}"#, Some(10)),
            (r#"{"model":{"vocab":{}},"added_tokens":null}"#, Some(0)),
            (r#"{"model":{"vocab":{"a":-1}}}"#, None),
            (r#"{"model":{"vocab":"x"}}"#, None),
            (r#"{"model":null}"#, None),
            (r#"[]"#, None),
        ] {
            let companion = read(text.as_bytes(), "weights/tokenizer.json");
            assert_eq!((companion.tokens, companion.found.len()), (tokens, 0), "{text}");
            assert_eq!(read(text.as_bytes(), "config.json").tokens, None);
        }
        assert!(is_json("a/tokenizer_config.JSON") && !is_json("json") && !is_json("a.jinja"));
    }

    #[test]
    fn only_too_many_tokens_are_told() {
        assert_eq!(vocabulary("tokenizer.json", Some(8), Some(8)), None);
        assert_eq!(vocabulary("tokenizer.json", Some(8), None), None);
        let found = vocabulary("tokenizer.json", Some(9), Some(8)).expect("a finding");
        assert_eq!((found.code.name, found.severity), ("tokenizer-vocabulary", Severity::Warning));
    }

    #[test]
    fn faults_have_the_same_place_in_small_and_large_files() {
        let place = |text: &str| {
            let found = read(text.as_bytes(), "vocab.json").found;
            assert_eq!(found.len(), 1, "{}", &text[..40]);
            match &found[0].at {
                At::Text { line, column, .. } => (found[0].code.name, *line, *column),
                other => panic!("{other:?}"),
            }
        };
        let pad = |text: &str| text.replace("PAD", &" ".repeat(TREE));
        for (text, code, line, column) in [
            ("{\"a\": \"é\",\n\"é\": 1 x}", "json-syntax", 2, 8),
            ("{\"a\": 1,\n}", "json-syntax", 2, 1),
            ("{\"a\": [\n1, 2", "json-syntax", 2, 5),
            ("{} {}", "json-syntax", 1, 4),
            ("\u{feff}{}", "json-bom", 1, 1),
        ] {
            assert_eq!(place(text), (code, line, column), "{text}");
            let large = pad(&format!("{}PAD\n{text}", if code == "json-bom" { "\u{feff}" } else { "" }));
            let expected = if code == "json-bom" { (code, 1, 1) } else { (code, line + 1, column) };
            let (got, got_line, got_column) = place(&large);
            // serde_json stands before or after the byte in question, ends at the end.
            assert!(
                got == code && got_line == expected.1 && got_column.abs_diff(column) <= 1,
                "{text}: {got_line}:{got_column}"
            );
        }
        assert_eq!(place("{\"a\":1,\"a\":2}"), ("json-duplicate-key", 1, 8));
        let mut bytes = pad("{\"a\":PAD\"x\"}").into_bytes();
        assert_eq!(read(&bytes, "vocab.json").found, []);
        bytes[TREE + 6] = 0xff;
        assert_eq!(read(&bytes, "vocab.json").found[0].message, "the text is not UTF-8");
    }
}
