//! Reads the JSON of a safetensors header in one pass, keeping only what a tensor entry may hold.
//!
//! A tree of the whole text would take thirty times its size (a header may be 100 MB); this reader takes about twice.

use std::borrow::Cow;
use std::fmt;

use safetensors::Dtype;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::names::shown;
use crate::base::Malformed;
use crate::format::json;

/// More dimensions than any framework makes.
const MAX_DIMS: usize = 64;
/// Most warnings that are kept one by one.
const MAX_WARNINGS: usize = 16;
/// Longest value of a field that the format does not have.
const MAX_UNKNOWN: usize = 64 << 10;

/// A tensor entry as it is written.
pub(super) struct Entry {
    /// Byte offset of its name in the file.
    pub at: u64,
    pub name: Box<str>,
    pub dtype: Dtype,
    pub shape: Box<[u64]>,
    pub offsets: (u64, u64),
}

/// All that a header's text says.
#[derive(Default)]
pub(super) struct Fields {
    pub entries: Vec<Entry>,
    pub metadata: Vec<(String, String)>,
    pub warnings: Vec<Malformed>,
}

/// Reads the text; `base` is where it stands in the file.
pub(super) fn read(text: &str, base: u64) -> Result<Fields, Malformed> {
    let mut reader = Reader { text, at: 0, base, fields: Fields::default(), warned: 0 };
    reader.document()?;
    if let Some(more) = reader.warned.checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
        let what = format!("{more} more entries hold something that the format does not know");
        reader.fields.warnings.push(Malformed::new(base, what));
    }
    Ok(reader.fields)
}

/// A name that is made fit to be shown when it is, which is seldom.
#[derive(Clone, Copy)]
struct Shown<'n>(&'n str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0))
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    base: u64,
    fields: Fields,
    warned: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, at: usize, what: impl Into<String>) -> Malformed {
        Malformed::new(self.base + at as u64, what)
    }

    fn warn(&mut self, at: usize, what: impl FnOnce() -> String) {
        self.warned += 1;
        if self.warned <= MAX_WARNINGS {
            self.fields.warnings.push(Malformed::new(self.base + at as u64, what()));
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, wanted: &str) -> Result<(), Malformed> {
        self.space();
        if self.peek() != Some(byte) {
            return Err(self.fault(self.at, format!("the header is not valid JSON: {wanted} is missing here")));
        }
        self.at += 1;
        Ok(())
    }

    /// After an item: `true` if another follows.
    fn more(&mut self, close: u8) -> Result<bool, Malformed> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.fault(
                self.at,
                format!("the header is not valid JSON: `,` or `{}` is missing here", char::from(close)),
            )),
        }
    }

    /// After an opening bracket: `true` if it closes at once.
    fn empty(&mut self, close: u8) -> bool {
        self.space();
        let empty = self.peek() == Some(close);
        if empty {
            self.at += 1;
        }
        empty
    }

    fn document(&mut self) -> Result<(), Malformed> {
        self.expect(b'{', "`{`")?;
        let mut metadata = None;
        if !self.empty(b'}') {
            loop {
                self.space();
                let start = self.at;
                let name = self.string("a tensor's name")?;
                self.expect(b':', "`:`")?;
                self.space();
                if name == "__metadata__" {
                    if metadata.replace(start).is_some() {
                        return Err(self.fault(start, "the key `__metadata__` stands twice"));
                    }
                    self.metadata()?;
                } else {
                    let entry = self.entry(start, name)?;
                    self.fields.entries.push(entry);
                }
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        self.space();
        if self.at < self.text.len() {
            return Err(self.fault(self.at, "something other than spaces follows the header's JSON"));
        }
        Ok(())
    }

    fn metadata(&mut self) -> Result<(), Malformed> {
        let at = self.at;
        if self.text[self.at..].starts_with("null") {
            self.at += 4;
            self.warn(at, || "`__metadata__` is null, not an object".into());
            return Ok(());
        }
        if self.peek() != Some(b'{') {
            return Err(self.fault(at, "`__metadata__` is not an object"));
        }
        self.at += 1;
        if self.empty(b'}') {
            return Ok(());
        }
        let mut places = Vec::new();
        loop {
            self.space();
            places.push(self.at);
            let key = self.string("a key of `__metadata__`")?.into_owned();
            self.expect(b':', "`:`")?;
            self.space();
            if self.peek() != Some(b'"') {
                return Err(
                    self.fault(self.at, format!("`__metadata__` holds strings only, `{}` is not one", shown(&key)))
                );
            }
            let value = self.string("a string")?.into_owned();
            self.fields.metadata.push((key, value));
            if !self.more(b'}')? {
                break;
            }
        }
        match first_twice(self.fields.metadata.len(), |i| &self.fields.metadata[i].0) {
            Some(i) => Err(self.fault(
                places[i],
                format!("the key `{}` of `__metadata__` stands twice", shown(&self.fields.metadata[i].0)),
            )),
            None => Ok(()),
        }
    }

    fn entry(&mut self, start: usize, real: Cow<'a, str>) -> Result<Entry, Malformed> {
        let name = Shown(&real);
        if self.peek() != Some(b'{') {
            return Err(self.fault(self.at, format!("the entry of tensor `{name}` is not an object")));
        }
        self.at += 1;
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        let mut unknown: Vec<Cow<'a, str>> = Vec::new();
        if !self.empty(b'}') {
            loop {
                self.space();
                let at = self.at;
                let key = self.string("a field's name")?;
                self.expect(b':', "`:`")?;
                self.space();
                let twice = match &*key {
                    "dtype" => dtype.replace(self.dtype(name)?).is_some(),
                    "shape" => shape.replace(self.numbers(name, "shape", MAX_DIMS)?).is_some(),
                    "data_offsets" => {
                        let place = self.at;
                        let pair = self.numbers(name, "data_offsets", 2)?;
                        let &[from, to] = &*pair else {
                            return Err(
                                self.fault(place, format!("tensor `{name}`: `data_offsets` must be two numbers"))
                            );
                        };
                        offsets.replace((from, to)).is_some()
                    }
                    _ => {
                        self.skip()?;
                        self.warn(at, || {
                            format!("tensor `{name}` has a field `{}` that the format does not know", shown(&key))
                        });
                        unknown.contains(&key)
                    }
                };
                if twice {
                    return Err(self.fault(at, format!("tensor `{name}`: the field `{}` stands twice", shown(&key))));
                }
                if !matches!(&*key, "dtype" | "shape" | "data_offsets") {
                    if unknown.len() == 16 {
                        return Err(self.fault(at, format!("tensor `{name}` has more than 16 unknown fields")));
                    }
                    unknown.push(key);
                }
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        let missing = |field: &str| self.fault(start, format!("tensor `{name}` has no `{field}`"));
        Ok(Entry {
            at: self.base + start as u64,
            dtype: dtype.ok_or_else(|| missing("dtype"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
            offsets: offsets.ok_or_else(|| missing("data_offsets"))?,
            name: real.into(),
        })
    }

    fn dtype(&mut self, name: Shown<'_>) -> Result<Dtype, Malformed> {
        let at = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.fault(at, format!("tensor `{name}`: `dtype` is not a string")));
        }
        let text = self.string("a dtype")?;
        let word: StrDeserializer<'_, ValueError> = (&*text).into_deserializer();
        Dtype::deserialize(word)
            .map_err(|_| self.fault(at, format!("tensor `{name}`: there is no dtype `{}`", shown(&text))))
    }

    fn numbers(&mut self, name: Shown<'_>, field: &str, most: usize) -> Result<Box<[u64]>, Malformed> {
        if self.peek() != Some(b'[') {
            return Err(self.fault(self.at, format!("tensor `{name}`: `{field}` is not an array")));
        }
        self.at += 1;
        let mut numbers = Vec::new();
        if self.empty(b']') {
            return Ok(numbers.into());
        }
        loop {
            self.space();
            let start = self.at;
            while matches!(self.peek(), Some(b'0'..=b'9')) {
                self.at += 1;
            }
            let digits = &self.text[start..self.at];
            let plain = !matches!(self.peek(), Some(b'.' | b'e' | b'E' | b'-' | b'+'));
            let number =
                digits.parse::<u64>().ok().filter(|_| plain && (digits.len() == 1 || !digits.starts_with('0')));
            let number = number.ok_or_else(|| {
                self.fault(
                    start,
                    format!("tensor `{name}`: `{field}` holds something that is not a whole number from 0 up"),
                )
            })?;
            if numbers.len() == most {
                return Err(self.fault(start, format!("tensor `{name}`: `{field}` has more than {most} numbers")));
            }
            numbers.push(number);
            if !self.more(b']')? {
                return Ok(numbers.into());
            }
        }
    }

    fn string(&mut self, wanted: &str) -> Result<Cow<'a, str>, Malformed> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(
                self.fault(start, format!("the header is not valid JSON: {wanted} in double quotes is missing here"))
            );
        }
        self.at += 1;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            match bytes.get(self.at) {
                None => return Err(self.fault(start, "the header ends inside a string")),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0..=0x1f) => {
                    return Err(self.fault(self.at, "a control character must be escaped inside a string"));
                }
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        if !escaped {
            return Ok(self.text[start + 1..self.at - 1].into());
        }
        let value = json::parse(&bytes[start..self.at])
            .map_err(|fault| self.fault(start + fault.malformed.at as usize, fault.malformed.what))?;
        Ok(value.as_str().expect("a text that begins with a quote and parses is a string").to_owned().into())
    }

    /// Passes over the value of an unknown field.
    fn skip(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                None => return Err(self.fault(start, "the header ends inside a value")),
                Some(b'"') => {
                    self.string("a string")?;
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') if depth <= 1 => {
                    self.at += depth;
                    break;
                }
                Some(b'}' | b']') => depth -= 1,
                Some(b',') if depth == 0 => break,
                Some(_) => {}
            }
            self.at += 1;
        }
        if self.at - start > MAX_UNKNOWN {
            return Err(self.fault(start, "an unknown field holds more than 64 KiB"));
        }
        match json::parse(&self.text.as_bytes()[start..self.at]) {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.fault(
                start + fault.malformed.at as usize,
                format!("the header is not valid JSON: {}", fault.malformed.what),
            )),
        }
    }
}

/// The index of an item whose key an earlier item has too.
pub(super) fn first_twice<'k>(count: usize, key: impl Fn(usize) -> &'k str) -> Option<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|a, b| (key(*a), *a).cmp(&(key(*b), *b)));
    order.windows(2).filter(|pair| key(pair[0]) == key(pair[1])).map(|pair| pair[1]).min()
}
