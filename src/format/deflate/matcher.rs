//! `Matcher`: finds what repeats, by chains of positions with the same hash, and chooses among it.
//!
//! The scheme is the classic one (zlib, libdeflate): a hash of four bytes leads to the newest position
//! with that hash, each position to the one before it; three bytes have a table of one position each. A
//! match waits for the next position: where that one has a better match, a literal goes first. The two
//! highest levels collect all matches and leave the choice to [`Optimal`].

use crate::format::deflate::bits::BitWriter;
use crate::format::deflate::block::{distance_extra, length_extra};
use crate::format::deflate::optimal::{Candidate, Optimal, WINDOW};
use crate::format::deflate::tokens::{LEAST, LONGEST, Tokens, distance_symbol, length_symbol};
use crate::format::entropy::histogram::Histogram;

/// How far a match reaches back.
const REACH: usize = 1 << 15;
/// Positions are stored with this added, so that an empty slot is out of reach.
const BASE: usize = 2 * REACH;
const SLOTS3: usize = 1 << 14;
const SLOTS4: usize = 1 << 16;

/// How hard to look.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Positions of a chain that are tried.
    depth: u32,
    /// A match this long is good enough.
    nice: usize,
    /// Positions that a match waits for.
    lazy: usize,
    /// Searches for the cheapest path; 0 parses lazily.
    passes: usize,
}

const fn effort(level: u32) -> Effort {
    let (depth, nice, lazy, passes) = match level {
        0 | 1 => (3, 16, 0, 0),
        2 => (6, 24, 0, 0),
        3 => (12, 32, 0, 0),
        4 => (12, 32, 1, 0),
        5 => (20, 48, 1, 0),
        6 => (40, 80, 1, 0),
        7 => (100, 130, 1, 0),
        8 => (40, 80, 0, 2),
        _ => (100, 130, 0, 3),
    };
    Effort { depth, nice, lazy, passes }
}

/// Tables for matching in one segment at a time.
pub(crate) struct Matcher {
    effort: Effort,
    newest3: Box<[u32]>,
    newest4: Box<[u32]>,
    before: Box<[u32]>,
    tokens: Tokens,
    optimal: Optimal,
    /// Bits that a short match may seem to lose.
    slack: u32,
}

/// A match: how long, how far back. Length 0 is none.
#[derive(Debug, Clone, Copy, Default)]
struct Match {
    len: usize,
    distance: usize,
}

impl Matcher {
    pub(crate) fn new(level: u32) -> Self {
        Self {
            effort: effort(level),
            newest3: vec![0; SLOTS3].into(),
            newest4: vec![0; SLOTS4].into(),
            before: vec![0; REACH].into(),
            tokens: Tokens::new(),
            optimal: Optimal::new(),
            slack: 0,
        }
    }

    /// Forgets every position: a new segment.
    pub(crate) fn clear(&mut self) {
        self.newest3.fill(0);
        self.newest4.fill(0);
        // No chain from an empty slot leads to what `before` still holds.
    }

    /// Writes `source[start..end]` as blocks; `histogram` counts its bytes. Whether any block was coded.
    pub(crate) fn write(
        &mut self,
        source: &[u8],
        (start, end): (usize, usize),
        (histogram, padded): (&Histogram, bool),
        writer: &mut BitWriter<'_>,
    ) -> bool {
        let source = &source[..end];
        self.tokens.begin(histogram);
        if self.effort.passes > 0 {
            self.optimal.begin(histogram);
            self.parse_optimal(source, start, writer);
        } else {
            self.slack = if padded { 8 } else { 0 };
            self.parse_lazy(source, start, writer);
        }
        self.tokens.finish(source, end, writer);
        self.tokens.coded
    }

    fn parse_optimal(&mut self, source: &[u8], start: usize, writer: &mut BitWriter<'_>) {
        let mut at = start;
        for window in source[start..].chunks(WINDOW) {
            self.gather(source, at, at + window.len());
            for (len, distance) in self.optimal.path(window, self.effort.passes) {
                if self.tokens.is_due() {
                    self.tokens.settle(source, at, writer);
                }
                if distance == 0 {
                    self.tokens.literal(source[at]);
                } else {
                    self.tokens.matched(len, distance);
                }
                at += len;
            }
        }
    }

    /// Collects the matches of every position of `source[start..end]`.
    fn gather(&mut self, source: &[u8], start: usize, end: usize) {
        self.optimal.candidates.clear();
        self.optimal.ends.clear();
        let mut at = start;
        while at < end {
            let longest = self.candidates(source, at);
            self.optimal.ends.push(self.optimal.candidates.len() as u32);
            at += 1;
            if longest >= self.effort.nice {
                // Taken as a whole: what begins inside would not do better.
                let past = end.min(at + longest - 1);
                while at < past {
                    self.insert(source, at);
                    self.optimal.ends.push(self.optimal.candidates.len() as u32);
                    at += 1;
                }
            }
        }
    }

    /// Adds each match at `at` that is longer than all nearer ones; the length of the longest.
    fn candidates(&mut self, source: &[u8], at: usize) -> usize {
        let Some((newest3, mut position)) = self.insert(source, at) else { return 0 };
        let here = &source[at..source.len().min(at + LONGEST)];
        let floor = at + BASE - REACH + 1;
        let mut longest = LEAST - 1;
        let mut add = |len: usize, from: usize| {
            self.optimal.candidates.push(Candidate { len: len as u16, distance: (at - from) as u16 });
        };
        if newest3 >= floor {
            let from = newest3 - BASE;
            if source[from..from + 3] == here[..3] {
                longest = 3;
                add(longest, from);
            }
        }
        for _ in 0..self.effort.depth {
            if position < floor || longest >= here.len() {
                break;
            }
            let from = position - BASE;
            let there = &source[from..];
            if there[longest] == here[longest] && there[..4] == here[..4] {
                let len = common(there, here);
                if len > longest {
                    longest = len;
                    add(len, from);
                }
            }
            position = self.before[from & (REACH - 1)] as usize;
        }
        longest
    }

    fn parse_lazy(&mut self, source: &[u8], start: usize, writer: &mut BitWriter<'_>) {
        let end = source.len();
        let mut at = start;
        let mut found = self.find(source, at, LEAST - 1, self.effort.depth);
        while at < end {
            if self.tokens.is_due() {
                self.tokens.settle(source, at, writer);
            }
            if found.len == 0 {
                self.tokens.literal(source[at]);
                at += 1;
                found = self.find(source, at, LEAST - 1, self.effort.depth);
                continue;
            }
            let mut known = at + 1;
            'wait: while found.len < self.effort.nice {
                for step in 1..=self.effort.lazy {
                    let next = self.find(source, at + step, found.len - 1, self.effort.depth >> step);
                    known = at + step + 1;
                    if better(next, found, step) {
                        source[at..at + step].iter().for_each(|byte| self.tokens.literal(*byte));
                        at += step;
                        found = next;
                        continue 'wait;
                    }
                }
                break;
            }
            self.tokens.matched(found.len, found.distance);
            let next = at + found.len;
            for skipped in known..next {
                self.insert(source, skipped);
            }
            at = next;
            found = self.find(source, at, LEAST - 1, self.effort.depth);
        }
    }

    /// Makes `at` known, and returns its newest neighbours by three and by four bytes.
    #[inline]
    fn insert(&mut self, source: &[u8], at: usize) -> Option<(usize, usize)> {
        let four = u32::from_le_bytes(*source.get(at..)?.first_chunk::<4>()?);
        let slot3 = ((four << 8).wrapping_mul(0x9e37_79b1) >> 18) as usize;
        let slot4 = (four.wrapping_mul(0x9e37_79b1) >> 16) as usize;
        let position = (at + BASE) as u32;
        let newest3 = std::mem::replace(&mut self.newest3[slot3], position);
        let newest4 = std::mem::replace(&mut self.newest4[slot4], position);
        self.before[at & (REACH - 1)] = newest4;
        Some((newest3 as usize, newest4 as usize))
    }

    /// The longest worthwhile match at `at` that is longer than `beat`; makes `at` known.
    #[inline]
    fn find(&mut self, source: &[u8], at: usize, beat: usize, depth: u32) -> Match {
        let Some((newest3, mut position)) = self.insert(source, at) else { return Match::default() };
        let here = &source[at..source.len().min(at + LONGEST)];
        // One short of the reach, where the ring already holds `at` itself.
        let floor = at + BASE - REACH + 1;
        let mut best = Match { len: beat, distance: 0 };
        if beat < 3 && newest3 >= floor {
            let from = newest3 - BASE;
            if source[from..from + 3] == here[..3] && self.pays(here, 3, at - from) {
                best = Match { len: 3, distance: at - from };
            }
        }
        for _ in 0..depth {
            if position < floor || best.len >= here.len() {
                break;
            }
            let from = position - BASE;
            let there = &source[from..];
            // The byte that would make it longer, first: most candidates fail there.
            if there[best.len] == here[best.len] && there[..4] == here[..4] {
                let len = common(there, here);
                if len > best.len && (len > 6 || self.pays(here, len, at - from)) {
                    best = Match { len, distance: at - from };
                    if len >= self.effort.nice {
                        break;
                    }
                }
            }
            position = self.before[from & (REACH - 1)] as usize;
        }
        if best.distance == 0 { Match::default() } else { best }
    }

    /// Whether a short match costs less than its bytes as literals.
    #[inline]
    fn pays(&self, here: &[u8], len: usize, distance: usize) -> bool {
        let prices = &self.tokens.prices;
        let literals: u32 = here[..len].iter().map(|byte| u32::from(prices.litlen[usize::from(*byte)])).sum();
        let (length, symbol) = (length_symbol(len), distance_symbol(distance as u32 - 1));
        let cost = u64::from(prices.litlen[257 + length])
            + length_extra(length)
            + u64::from(prices.distance[symbol])
            + distance_extra(symbol);
        cost < u64::from(literals + self.slack)
    }
}

/// Whether `next`, `step` literals later, is worth more than `now`: four bits a byte, less what its
/// distance costs more.
fn better(next: Match, now: Match, step: usize) -> bool {
    let gain = |m: Match| 4 * m.len as i32 - m.distance.max(1).ilog2() as i32;
    next.len > 0 && gain(next) - gain(now) > 4 * step as i32 - 2
}

/// How many bytes `there` and `here` have in common from their start.
#[inline]
fn common(there: &[u8], here: &[u8]) -> usize {
    let mut len = 0;
    while let (Some(a), Some(b)) = (there[len..].first_chunk::<8>(), here[len..].first_chunk::<8>()) {
        let differ = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differ != 0 {
            return len + (differ.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    len + there[len..].iter().zip(&here[len..]).take_while(|(a, b)| a == b).count()
}
