//! `Grammar`: GBNF, the grammar format of llama.cpp, as symbols and the sequences that they stand for.
//!
//! ```text
//! # a comment                          names: letters, digits, `-`, and `_` in newer versions
//! root ::= item ("," ws item)*         literals "…", classes [a-z] and [^a-z], any character `.`,
//! item ::= "a" | [0-9]{1,3} |          groups, alternatives, repetition * + ? {m} {m,} {m,n},
//!          <think> | !<[42]>           tokens by text or number, perhaps negated
//! ```
//!
//! Escapes in literals and classes: `\\ \" \[ \] \- \n \r \t \xHH \uHHHH \UHHHHHHHH`. A rule ends with its line, but
//! inside parentheses and after `::=` and `|` lines may break. Source: `grammars/README.md` of llama.cpp.
//!
//! Groups and what may be left out become symbols without a name, so what is known about a grammar (what can be empty,
//! what begins with itself, what is never reached) is known by walking one flat graph. Does not know what is wrong
//! with a grammar that can be read: `check::grammar` does.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::Malformed;

/// Deepest nesting of parentheses.
pub const MAX_DEPTH: usize = 100;

/// Largest grammar that is read: one symbol takes two bytes of text and some two hundred of memory.
pub const MAX_BYTES: usize = 512 << 10;

/// Most faults that are told of one file.
const MAX_FAULTS: usize = 20;

/// A grammar.
#[derive(Debug, Clone, Default)]
pub struct Grammar {
    /// The rules, and what stands in parentheses or may be left out.
    pub symbols: Vec<Symbol>,
    /// What each symbol stands for: several sequences are alternatives.
    pub sequences: Vec<Sequence>,
    /// `{m,n}` with their larger bound.
    pub repetitions: Vec<(Range<usize>, u64)>,
    /// Ranges of a class whose end stands before their beginning.
    pub reversed: Vec<Range<usize>>,
}

/// A rule, or a part of one.
#[derive(Debug, Clone, Default)]
pub struct Symbol {
    /// The rule's name; none for parts.
    pub name: Option<String>,
    /// Where its name stands before `::=`: once, if all is well.
    pub defined: Vec<Range<usize>>,
    /// Where it is used first.
    pub used: Option<Range<usize>>,
}

/// One alternative of a symbol.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// The symbol that it is an alternative of: an index into `symbols`.
    pub of: usize,
    /// What follows what.
    pub items: Vec<Item>,
}

/// A step of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A character or token.
    Terminal,
    /// A literal or class that holds nothing.
    Nothing,
    /// Another symbol.
    Symbol(usize),
}

impl Grammar {
    /// Reads a grammar. Every rule that can be read is read; the faults are those of the others.
    pub fn read(bytes: &[u8]) -> (Self, Vec<Malformed>) {
        let refuse = |at: usize, what: &str| (Self::default(), vec![Malformed::new(at as u64, what)]);
        if bytes.len() > MAX_BYTES {
            return refuse(MAX_BYTES, "the grammar is larger than 512 KiB");
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return refuse(0, "the grammar begins with a byte order mark, which no rule may");
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(fault) => return refuse(fault.valid_up_to(), "the grammar is not UTF-8"),
        };
        if let Some(nul) = text.find('\0') {
            return refuse(nul, "a NUL ends the grammar here");
        }
        let mut parser = Parser { text, at: 0, grammar: Self::default(), names: BTreeMap::new(), broken: None };
        let mut faults = Vec::new();
        parser.space(true);
        while parser.at < text.len() && faults.len() < MAX_FAULTS {
            parser.broken = None;
            if let Err(mut fault) = parser.rule() {
                // A quote that is closed lines later may be meant, but not where nothing fits after it.
                if let Some((start, quote)) = parser.broken {
                    fault = Malformed::new(start as u64, format!("this `{quote}` is not closed on its line"));
                }
                parser.next_rule(fault.at as usize);
                faults.push(fault);
            }
            parser.space(true);
        }
        (parser.grammar, faults)
    }

    /// The rule of this name, where it is defined.
    pub fn rule(&self, name: &str) -> Option<usize> {
        self.symbols.iter().position(|symbol| symbol.name.as_deref() == Some(name) && !symbol.defined.is_empty())
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    grammar: Grammar,
    names: BTreeMap<&'a str, usize>,
    /// The first literal or class of this rule that goes over the end of its line.
    broken: Option<(usize, char)>,
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault<T>(&self, at: usize, what: impl Into<String>) -> Result<T, Malformed> {
        Err(Malformed::new(at as u64, what))
    }

    /// Skips spaces and comments, and new lines where they may stand.
    fn space(&mut self, lines: bool) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'\r' | b'\n' if lines => self.at += 1,
                b'#' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find(['\r', '\n']).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn over_line(&mut self, start: usize, quote: char) {
        if matches!(self.peek(), Some(b'\r' | b'\n')) {
            self.broken.get_or_insert((start, quote));
        }
    }

    /// After a fault: the next line that begins a rule.
    fn next_rule(&mut self, fault: usize) {
        self.at = fault;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(line) = rest.find('\n') else {
                self.at = self.text.len();
                return;
            };
            self.at += line + 1;
            let line = self.text[self.at..].lines().next().unwrap_or_default();
            let begins = line.split_once("::=").map(|(name, _)| name.trim());
            if begins.is_some_and(|name| !name.is_empty() && name.bytes().all(in_name)) {
                return;
            }
        }
    }

    fn name(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        while self.peek().is_some_and(in_name) {
            self.at += 1;
        }
        (self.at > start).then_some(start..self.at)
    }

    fn symbol(&mut self, span: &Range<usize>) -> usize {
        let name = &self.text[span.clone()];
        let symbols = &mut self.grammar.symbols;
        *self.names.entry(name).or_insert_with(|| {
            symbols.push(Symbol { name: Some(name.to_owned()), ..Symbol::default() });
            symbols.len() - 1
        })
    }

    fn part(&mut self) -> usize {
        self.grammar.symbols.push(Symbol::default());
        self.grammar.symbols.len() - 1
    }

    fn rule(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let Some(name) = self.name() else { return self.fault(start, "a rule begins with its name") };
        self.space(false);
        if !self.text[self.at..].starts_with("::=") {
            return self.fault(self.at, format!("`::=` is missing after `{}`", &self.text[name]));
        }
        self.at += 3;
        self.space(true);
        let symbol = self.symbol(&name);
        self.grammar.symbols[symbol].defined.push(name);
        self.alternatives(symbol, 0)?;
        match self.peek() {
            None | Some(b'\r' | b'\n') => Ok(()),
            Some(b')') => self.fault(self.at, "this `)` closes nothing"),
            Some(_) => self.fault(self.at, "no part of a rule begins like this"),
        }
    }

    fn alternatives(&mut self, of: usize, depth: usize) -> Result<(), Malformed> {
        loop {
            let items = self.sequence(depth)?;
            self.grammar.sequences.push(Sequence { of, items });
            if self.peek() != Some(b'|') {
                return Ok(());
            }
            self.at += 1;
            self.space(true);
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Item>, Malformed> {
        let mut items = Vec::new();
        while let Some(byte) = self.peek() {
            let start = self.at;
            let item = match byte {
                b'"' => self.literal()?,
                b'[' => self.class()?,
                b'.' => {
                    self.at += 1;
                    Item::Terminal
                }
                b'!' | b'<' => self.token()?,
                b'(' => self.group(depth)?,
                _ if in_name(byte) => {
                    let name = self.name().unwrap_or(start..start);
                    let symbol = self.symbol(&name);
                    self.grammar.symbols[symbol].used.get_or_insert(name);
                    Item::Symbol(symbol)
                }
                b'*' | b'+' | b'?' | b'{' => return self.fault(start, "there is nothing here to repeat"),
                _ => break,
            };
            self.space(depth > 0);
            let item = self.repeated(item, depth)?;
            items.push(item);
        }
        Ok(items)
    }

    fn group(&mut self, depth: usize) -> Result<Item, Malformed> {
        let start = self.at;
        if depth == MAX_DEPTH {
            return self.fault(start, format!("parentheses are nested deeper than {MAX_DEPTH}"));
        }
        self.at += 1;
        self.space(true);
        let part = self.part();
        self.alternatives(part, depth + 1)?;
        match self.peek() {
            Some(b')') => self.at += 1,
            None => return self.fault(start, "this `(` is never closed"),
            Some(_) => return self.fault(self.at, "no part of a rule begins like this"),
        }
        Ok(Item::Symbol(part))
    }

    /// What follows an item: any number of `*`, `+`, `?` and `{…}`.
    fn repeated(&mut self, mut item: Item, depth: usize) -> Result<Item, Malformed> {
        let mut optional = false;
        while let Some(byte @ (b'*' | b'+' | b'?' | b'{')) = self.peek() {
            let start = self.at;
            if item == Item::Nothing {
                return self.fault(start, "there is nothing here to repeat");
            }
            self.at += 1;
            let least = match byte {
                b'{' => {
                    let (least, most) = self.bounds()?;
                    self.grammar.repetitions.push((start..self.at, most.unwrap_or(least)));
                    least
                }
                b'+' => 1,
                _ => 0,
            };
            optional |= least == 0;
            self.space(depth > 0);
        }
        if optional {
            let part = self.part();
            self.grammar.sequences.push(Sequence { of: part, items: vec![item] });
            self.grammar.sequences.push(Sequence { of: part, items: Vec::new() });
            item = Item::Symbol(part);
        }
        Ok(item)
    }

    /// `m}`, `m,}` or `m,n}`, after the brace.
    fn bounds(&mut self) -> Result<(u64, Option<u64>), Malformed> {
        self.space(false);
        let least = self.number()?;
        self.space(false);
        let mut most = Some(least);
        if self.peek() == Some(b',') {
            self.at += 1;
            self.space(false);
            most = if self.peek() == Some(b'}') { None } else { Some(self.number()?) };
            self.space(false);
        }
        if self.peek() != Some(b'}') {
            return self.fault(self.at, "`}` is missing after the repetition");
        }
        if most.is_some_and(|most| most < least) {
            return self.fault(self.at, "the repetition ends before it begins");
        }
        self.at += 1;
        Ok((least, most))
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        match self.text[start..self.at].parse() {
            Ok(number) => Ok(number),
            Err(_) if self.at > start => self.fault(start, "the number is too large"),
            Err(_) => self.fault(start, "a number is missing here"),
        }
    }

    fn literal(&mut self) -> Result<Item, Malformed> {
        let start = self.at;
        self.at += 1;
        let mut item = Item::Nothing;
        loop {
            self.over_line(start, '"');
            match self.peek() {
                None => return self.fault(start, "this `\"` is never closed"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(item);
                }
                Some(_) => self.character()?,
            };
            item = Item::Terminal;
        }
    }

    fn class(&mut self) -> Result<Item, Malformed> {
        let start = self.at;
        self.at += 1;
        if self.peek() == Some(b'^') {
            self.at += 1;
        }
        let mut item = Item::Nothing;
        loop {
            let from = self.at;
            self.over_line(start, '[');
            let first = match self.peek() {
                None => return self.fault(start, "this `[` is never closed"),
                Some(b']') => {
                    self.at += 1;
                    return Ok(item);
                }
                Some(_) => self.character()?,
            };
            item = Item::Terminal;
            let rest = &self.text.as_bytes()[self.at..];
            if rest.first() == Some(&b'-') && rest.get(1).is_some_and(|byte| *byte != b']') {
                self.at += 1;
                if self.character()? < first {
                    self.grammar.reversed.push(from..self.at);
                }
            }
        }
    }

    /// One character of a literal or class.
    fn character(&mut self) -> Result<u32, Malformed> {
        let start = self.at;
        let mut rest = self.text[start..].chars();
        let Some(first) = rest.next() else { return self.fault(start, "the grammar ends here") };
        self.at += first.len_utf8();
        if first != '\\' {
            return Ok(first.into());
        }
        let Some(second) = rest.next() else { return self.fault(start, "the grammar ends here") };
        self.at += second.len_utf8();
        let digits = match second {
            'n' => return Ok('\n'.into()),
            'r' => return Ok('\r'.into()),
            't' => return Ok('\t'.into()),
            '\\' | '"' | '[' | ']' | '-' => return Ok(second.into()),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return self.fault(start, format!("there is no escape `\\{}`", second.escape_default())),
        };
        let hex = self.text.get(self.at..self.at + digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()) else {
            return self.fault(start, format!("`\\{second}` takes {digits} hex digits"));
        };
        self.at += digits;
        Ok(code)
    }

    /// `<text>`, `<[number]>`, or either after `!`.
    fn token(&mut self) -> Result<Item, Malformed> {
        let start = self.at;
        if self.peek() == Some(b'!') {
            self.at += 1;
        }
        if self.peek() != Some(b'<') {
            return self.fault(self.at, "a token in `<…>` is missing after `!`");
        }
        let rest = &self.text[self.at..];
        let line = rest.find(['\r', '\n']).unwrap_or(rest.len());
        let Some(end) = rest[..line].find('>').filter(|end| *end > 1) else {
            return self.fault(start, "this is no token: `<text>` or `<[number]>`");
        };
        let inner = &rest[1..end];
        if let Some(number) = inner.strip_prefix('[') {
            let number = number.strip_suffix(']').unwrap_or_default();
            if number.parse::<u32>().is_err() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return self.fault(start, "this is no token: `<text>` or `<[number]>`");
            }
        }
        self.at += end + 1;
        Ok(Item::Terminal)
    }
}
