//! `Places`: line and column of any byte of a text, without counting from the start each time.

use std::ops::Range;

use crate::base::At;
use crate::base::diagnostic::char_end;

/// Bytes between two marks.
const STEP: usize = 256;

/// What is needed to tell line and column of many places of one text: where its lines begin, and how many characters
/// stand before every 256th byte (a manifest may be one line of a megabyte).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    lines: Vec<usize>,
    marks: Vec<usize>,
}

/// Does this byte begin a character of UTF-8?
fn begins(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

impl Places {
    /// Reads the text once.
    pub fn new(text: &str) -> Self {
        let mut lines = vec![0];
        let mut marks = Vec::with_capacity(text.len() / STEP + 1);
        let mut chars = 0;
        for (at, byte) in text.bytes().enumerate() {
            if at % STEP == 0 {
                marks.push(chars);
            }
            chars += usize::from(begins(byte));
            if byte == b'\n' {
                lines.push(at + 1);
            }
        }
        Self { lines, marks }
    }

    /// Characters before this byte.
    fn chars(&self, text: &str, at: usize) -> usize {
        let mark = at / STEP;
        let Some(before) = self.marks.get(mark) else { return text.chars().count() };
        before + text.as_bytes()[mark * STEP..at].iter().filter(|b| begins(**b)).count()
    }

    /// The place of `span` in `text`, which must be the text that was read.
    pub fn at(&self, text: &str, span: Range<usize>) -> At {
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let line = self.lines.partition_point(|begin| *begin <= start);
        let begin = self.lines[line.saturating_sub(1)];
        At::Text {
            line: number(line),
            column: number(self.chars(text, start) - self.chars(text, begin) + 1),
            start: number(start),
            end: number(char_end(text, span.end).max(start)),
            pointer: None,
        }
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::Places;
    use crate::base::At;

    #[test]
    fn same_as_counting_from_the_start() {
        let long = "çé€😀x".repeat(200);
        for text in ["", "a", "a\nb\n", "\n\né\nx", &long, &format!("{long}\n{long}\r\n\n{long}")] {
            let places = Places::new(text);
            for start in 0..=text.len() + 1 {
                let at = places.at(text, start..start + 3);
                assert_eq!(at, At::span(text, start, start + 3), "{start}");
                let At::Text { start, end, .. } = at else { panic!("{at:?}") };
                assert!(text.get(start as usize..end as usize).is_some(), "{start}..{end} cuts a character");
            }
        }
    }
}
