//! Lossless JSON (RFC 8259): every value keeps its place, every number its text, every object its key order.
//!
//! serde_json forgets where a value stood, rounds numbers and lets a key stand twice. Findings need places, and a
//! manifest must come out of the package as it went in, so the tree here keeps all of it. `canonical` writes the
//! JSON Canonicalization Scheme (RFC 8785), `pretty` what people read. Does not know what any key means.

use std::ops::Range;

use std::sync::Arc;

use crate::base::codes::files::{JSON_BOM, JSON_DUPLICATE_KEY, JSON_SYNTAX, LFS_POINTER};
use crate::base::{At, Diagnostic, Malformed};
use crate::format::safetensors::is_lfs_pointer;

/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;

/// A value and the bytes it stood at.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Byte range in the text; empty for values that were made, not read.
    pub span: Range<usize>,
    /// What it is.
    pub node: Node,
}

/// The six kinds of JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(Box<str>),
    /// A string, unescaped.
    String(Box<str>),
    /// An array.
    Array(Vec<Value>),
    /// An object, in the order of the text.
    Object(Vec<Member>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The key, unescaped.
    pub key: Box<str>,
    /// Where the key stood, quotes included.
    pub key_span: Range<usize>,
    /// Its value.
    pub value: Value,
}

/// What kind of fault a text has: each has its own finding code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Not JSON.
    Syntax,
    /// Begins with a byte order mark.
    ByteOrderMark,
    /// A key stands twice in one object.
    DuplicateKey,
}

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// Place and phrase.
    pub malformed: Malformed,
    /// JSON pointer of the object or key, where one is known.
    pub pointer: String,
}

impl Fault {
    /// The fault as a finding in `file`, whose bytes these are.
    pub fn finding(&self, bytes: &[u8], file: &str) -> Diagnostic {
        if let Some(pointer) = is_lfs_pointer(bytes) {
            let help = format!("run `git lfs pull` to fetch the {} bytes", pointer.size);
            let found = Diagnostic::new(&LFS_POINTER, "the file is a Git LFS pointer, not its content");
            return found.in_file(file).help(help);
        }
        let (code, help) = match self.kind {
            FaultKind::Syntax => (&JSON_SYNTAX, "mend the text at this place"),
            FaultKind::ByteOrderMark => (&JSON_BOM, "save the file as UTF-8 without byte order mark"),
            FaultKind::DuplicateKey => (&JSON_DUPLICATE_KEY, "keep one of the two"),
        };
        // What follows bytes that are not UTF-8 cannot be shown, but their line and column can.
        let text = String::from_utf8_lossy(bytes);
        let at = usize::try_from(self.malformed.at).unwrap_or(usize::MAX).min(text.len());
        let place = At::span(&text, at, at + 1).with_pointer(&self.pointer);
        let found = Diagnostic::new(code, &self.malformed.what).in_file(file).at(place).help(help);
        let found = if self.kind == FaultKind::ByteOrderMark { found.edit(0, 3, "") } else { found };
        match text {
            std::borrow::Cow::Borrowed(text) => found.source(&Arc::from(text)),
            std::borrow::Cow::Owned(_) => found,
        }
    }
}

/// Reads one JSON text. Refuses a byte order mark, duplicate keys, lone surrogates, nesting over [`MAX_DEPTH`], and
/// whatever RFC 8259 refuses.
pub fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Fault {
            kind: FaultKind::ByteOrderMark,
            malformed: Malformed::new(0, "the text begins with a UTF-8 byte order mark"),
            pointer: String::new(),
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|e| Fault {
        kind: FaultKind::Syntax,
        malformed: Malformed::new(e.valid_up_to() as u64, "the text is not UTF-8"),
        pointer: String::new(),
    })?;
    let mut parser = Parser { text, at: 0, path: Vec::new() };
    let value = parser.document()?;
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// The keys and indices that lead to where we are.
    path: Vec<Step<'a>>,
}

enum Step<'a> {
    Key(std::borrow::Cow<'a, str>),
    Index(usize),
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Result<Value, Fault> {
        self.space();
        let value = self.value()?;
        self.space();
        if self.at < self.text.len() {
            return Err(self.fault(self.at, "something follows the end of the JSON value"));
        }
        Ok(value)
    }

    fn fault(&self, at: usize, what: impl Into<String>) -> Fault {
        self.fault_of(FaultKind::Syntax, at, what)
    }

    fn fault_of(&self, kind: FaultKind, at: usize, what: impl Into<String>) -> Fault {
        let mut pointer = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) => push_pointer(&mut pointer, key),
                Step::Index(i) => push_pointer(&mut pointer, &i.to_string()),
            }
        }
        Fault { kind, malformed: Malformed::new(at as u64, what), pointer }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        let node = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => Node::String(self.string()?.into_owned().into()),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Node::Bool(true))?,
            Some(b'f') => self.word("false", Node::Bool(false))?,
            Some(b'n') => self.word("null", Node::Null)?,
            Some(b'/') => return Err(self.fault(start, "JSON has no comments")),
            Some(b'}' | b']') => {
                return Err(self.fault(start, "a value is missing here, or a comma too many stands before"));
            }
            Some(_) => return Err(self.fault(start, "no JSON value begins like this")),
            None => return Err(self.fault(start, "the text ends where a value should be")),
        };
        Ok(Value { span: start..self.at, node })
    }

    fn word(&mut self, word: &str, node: Node) -> Result<Node, Fault> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(node);
        }
        Err(self.fault(self.at, format!("no JSON value begins like this; `{word}` was expected")))
    }

    fn enter(&mut self, step: Step<'a>) -> Result<(), Fault> {
        self.path.push(step);
        if self.path.len() > MAX_DEPTH {
            self.path.truncate(8);
            return Err(self.fault(self.at, format!("values are nested deeper than {MAX_DEPTH}")));
        }
        Ok(())
    }

    fn array(&mut self) -> Result<Node, Fault> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::Array(items));
        }
        loop {
            self.enter(Step::Index(items.len()))?;
            self.space();
            items.push(self.value()?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    self.path.pop();
                    return Ok(Node::Array(items));
                }
                Some(_) => return Err(self.fault(self.at, "`,` or `]` is missing here")),
                None => return Err(self.fault(self.at, "the text ends inside an array")),
            }
            self.path.pop();
        }
    }

    fn object(&mut self) -> Result<Node, Fault> {
        self.at += 1;
        let mut members: Vec<Member> = Vec::new();
        // Big objects (tokenizer vocabularies) need more than a linear search for a key that stands twice.
        let mut seen = std::collections::BTreeSet::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Object(members));
        }
        loop {
            self.space();
            let start = self.at;
            match self.peek() {
                Some(b'"') => {}
                Some(b'}') => return Err(self.fault(start, "a comma stands before the closing `}`")),
                Some(b'\'') => return Err(self.fault(start, "keys stand in double quotes")),
                Some(_) => return Err(self.fault(start, "a key in double quotes is missing here")),
                None => return Err(self.fault(start, "the text ends inside an object")),
            }
            let key = self.string()?;
            let key_span = start..self.at;
            let owned: Box<str> = key.as_ref().into();
            self.enter(Step::Key(key))?;
            if !seen.insert(owned.clone()) {
                return Err(self.fault_of(FaultKind::DuplicateKey, start, format!("the key `{owned}` stands twice")));
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.fault(self.at, format!("`:` is missing after the key `{owned}`")));
            }
            self.at += 1;
            self.space();
            let value = self.value()?;
            members.push(Member { key: owned, key_span, value });
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    self.path.pop();
                    return Ok(Node::Object(members));
                }
                Some(_) => return Err(self.fault(self.at, "`,` or `}` is missing here")),
                None => return Err(self.fault(self.at, "the text ends inside an object")),
            }
            self.path.pop();
        }
    }

    fn number(&mut self) -> Result<Node, Fault> {
        let start = self.at;
        let digits = |p: &mut Self| {
            let from = p.at;
            while matches!(p.peek(), Some(b'0'..=b'9')) {
                p.at += 1;
            }
            p.at - from
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let count = digits(self);
        if count == 0 || (leading_zero && count > 1) {
            return Err(self.fault(start, "this is not a JSON number"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if digits(self) == 0 {
                return Err(self.fault(self.at, "a digit is missing after the decimal point"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if digits(self) == 0 {
                return Err(self.fault(self.at, "a digit is missing in the exponent"));
            }
        }
        Ok(Node::Number(self.text[start..self.at].into()))
    }

    fn string(&mut self) -> Result<std::borrow::Cow<'a, str>, Fault> {
        self.at += 1;
        let bytes = self.text.as_bytes();
        let mut run = self.at;
        let mut owned: Option<String> = None;
        loop {
            match bytes.get(self.at) {
                None => return Err(self.fault(self.at, "the text ends inside a string")),
                Some(b'"') => {
                    let tail = &self.text[run..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => tail.into(),
                        Some(mut s) => {
                            s.push_str(tail);
                            s.into()
                        }
                    });
                }
                Some(b'\\') => {
                    let s = owned.get_or_insert_with(String::new);
                    s.push_str(&self.text[run..self.at]);
                    let c = self.escape()?;
                    owned.get_or_insert_with(String::new).push(c);
                    run = self.at;
                }
                Some(0..=0x1f) => {
                    return Err(self.fault(self.at, "a control character must be escaped inside a string"));
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        self.at += 2;
        Ok(match self.text.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.hex4(start)?;
                let code = if (0xd800..0xdc00).contains(&high) {
                    if !self.text[self.at..].starts_with("\\u") {
                        return Err(self.fault(start, "half of a surrogate pair"));
                    }
                    self.at += 2;
                    let low = self.hex4(start)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.fault(start, "half of a surrogate pair"));
                    }
                    0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    high
                };
                char::from_u32(code).ok_or_else(|| self.fault(start, "half of a surrogate pair"))?
            }
            _ => return Err(self.fault(start, "no such escape in JSON")),
        })
    }

    fn hex4(&mut self, start: usize) -> Result<u32, Fault> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let mut code = 0;
        for digit in digits.ok_or_else(|| self.fault(start, "`\\u` takes four hex digits"))? {
            let digit = (*digit as char).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| self.fault(start, "`\\u` takes four hex digits"))?;
        }
        self.at += 4;
        Ok(code)
    }
}

fn push_pointer(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

impl Value {
    /// A value that was not read from a text.
    pub fn made(node: Node) -> Self {
        Self { span: 0..0, node }
    }

    /// A made string.
    pub fn string(text: impl Into<Box<str>>) -> Self {
        Self::made(Node::String(text.into()))
    }

    /// A made whole number.
    pub fn number(n: u64) -> Self {
        Self::made(Node::Number(n.to_string().into()))
    }

    /// A made object.
    pub fn object(members: impl IntoIterator<Item = (Box<str>, Self)>) -> Self {
        let members = members.into_iter().map(|(key, value)| Member { key, key_span: 0..0, value });
        Self::made(Node::Object(members.collect()))
    }

    /// The member of this key, where this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.members().iter().find(|m| &*m.key == key).map(|m| &m.value)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.node {
            Node::Object(members) => members.iter_mut().find(|m| &*m.key == key).map(|m| &mut m.value),
            _ => None,
        }
    }

    /// Sets a key of an object: in its place where it is there, else at the end.
    pub fn set(&mut self, key: &str, value: Self) {
        if let Node::Object(members) = &mut self.node {
            match members.iter_mut().find(|m| &*m.key == key) {
                Some(member) => member.value = value,
                None => members.push(Member { key: key.into(), key_span: 0..0, value }),
            }
        }
    }

    /// Takes a key out of an object.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        match &mut self.node {
            Node::Object(members) => {
                let at = members.iter().position(|m| &*m.key == key)?;
                Some(members.remove(at).value)
            }
            _ => None,
        }
    }

    /// The value that a JSON pointer (RFC 6901) names.
    pub fn pointer(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut value = self;
        for step in pointer.strip_prefix('/')?.split('/') {
            value = match &value.node {
                Node::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                Node::Object(_) => value.get(&step.replace("~1", "/").replace("~0", "~"))?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// The same, to change it.
    pub fn pointer_mut(&mut self, pointer: &str) -> Option<&mut Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut value = self;
        for step in pointer.strip_prefix('/')?.split('/') {
            value = match value.node {
                Node::Array(ref mut items) => items.get_mut(step.parse::<usize>().ok()?)?,
                Node::Object(_) => value.get_mut(&step.replace("~1", "/").replace("~0", "~"))?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// The members of an object; none for other values.
    pub fn members(&self) -> &[Member] {
        match &self.node {
            Node::Object(members) => members,
            _ => &[],
        }
    }

    /// The items of an array; none for other values.
    pub fn items(&self) -> &[Self] {
        match &self.node {
            Node::Array(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.node {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number that is not negative. `8.0` counts as 8, as JSON knows one kind of number.
    pub fn as_u64(&self) -> Option<u64> {
        match &self.node {
            Node::Number(text) => text.parse().ok().or_else(|| {
                let number: f64 = text.parse().ok()?;
                (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number)).then_some(number as u64)
            }),
            _ => None,
        }
    }

    /// A number.
    pub fn as_f64(&self) -> Option<f64> {
        match &self.node {
            Node::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.node {
            Node::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// Is it `null`?
    pub fn is_null(&self) -> bool {
        self.node == Node::Null
    }

    /// `an object`, `a string` …: for messages.
    pub fn kind(&self) -> &'static str {
        match self.node {
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Number(_) => "a number",
            Node::String(_) => "a string",
            Node::Array(_) => "an array",
            Node::Object(_) => "an object",
        }
    }
}

/// Adds a key or index to a JSON pointer.
pub fn child_pointer(pointer: &str, key: &str) -> String {
    let mut child = pointer.to_owned();
    push_pointer(&mut child, key);
    child
}
