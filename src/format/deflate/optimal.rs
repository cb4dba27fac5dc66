//! `Optimal`: the cheapest row of literals and matches through a window, for the highest levels.
//!
//! A shortest path: each position leads to the next by its literal, and past each match that begins
//! there. What an edge costs follows from how often its symbol was taken on the path before, so the
//! search runs a few times over the same matches.

use crate::format::deflate::block::{Counts, distance_extra, length_extra};
use crate::format::deflate::tokens::{LEAST, LONGEST, distance_symbol, length_symbol};
use crate::format::entropy::histogram::Histogram;
use crate::format::entropy::price;

/// Source bytes of a window.
pub(crate) const WINDOW: usize = 1 << 15;

/// A match that begins at a position: longer than those before it at that position, and farther.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) len: u16,
    /// At most 2^15 less 1.
    pub(crate) distance: u16,
}

/// The last step to a position: 1 for a literal, or a match's length, and its distance.
#[derive(Debug, Clone, Copy)]
struct Step {
    cost: u32,
    len: u16,
    distance: u16,
}

/// Matches and steps of one window at a time, and the prices by what was taken so far.
pub(crate) struct Optimal {
    /// Matches of all positions, and where those of each position end.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) ends: Vec<u32>,
    steps: Vec<Step>,
    counts: Counts,
    literal: [u32; 256],
    /// By match length.
    length: [u32; LONGEST + 1],
    /// By distance symbol.
    distance: [u32; 30],
}

impl Optimal {
    pub(crate) fn new() -> Self {
        Self {
            candidates: Vec::new(),
            ends: Vec::with_capacity(WINDOW),
            steps: Vec::with_capacity(WINDOW + 1),
            counts: Counts::NONE,
            literal: [0; 256],
            length: [0; LONGEST + 1],
            distance: [0; 30],
        }
    }

    /// Begins a run with a guess: literals as the histogram has them, a match for each fourth of them.
    pub(crate) fn begin(&mut self, histogram: &Histogram) {
        self.counts = Counts::NONE;
        self.counts.litlen[..256].copy_from_slice(histogram);
        let some = histogram.iter().sum::<u32>() / 128 + 1;
        self.counts.litlen[257..].fill(some);
        self.counts.distance.fill(some);
    }

    /// The cheapest steps through `window`, whose candidates are in place: length (1 for a literal) and
    /// distance of each.
    pub(crate) fn path(&mut self, window: &[u8], passes: usize) -> Vec<(usize, usize)> {
        let mut path = Vec::new();
        for _ in 0..passes {
            self.reprice();
            self.search(window);
            path = self.back(window.len());
            self.count(window, &path);
        }
        path
    }

    fn reprice(&mut self) {
        let prices = |counts: &[u32], prices: &mut [u32], extra: fn(usize) -> u64| {
            let total = price::log2(counts.iter().sum::<u32>().max(1) + counts.len() as u32 / 2);
            for (i, (price, count)) in prices.iter_mut().zip(counts).enumerate() {
                // In sixteenths of a bit. What was not taken yet counts as half a time.
                let log = if *count == 0 { total + price::ONE } else { total - price::log2(*count) };
                *price = (log.max(price::ONE / 2) >> 12) as u32 + 16 * extra(i) as u32;
            }
        };
        let mut litlen = [0; 286];
        prices(&self.counts.litlen, &mut litlen, |i| if i > 256 { length_extra(i - 257) } else { 0 });
        prices(&self.counts.distance, &mut self.distance, distance_extra);
        self.literal.copy_from_slice(&litlen[..256]);
        for len in LEAST..=LONGEST {
            self.length[len] = litlen[257 + length_symbol(len)];
        }
    }

    fn search(&mut self, window: &[u8]) {
        self.steps.clear();
        self.steps.resize(window.len() + 1, Step { cost: u32::MAX, len: 0, distance: 0 });
        self.steps[0].cost = 0;
        let mut first = 0;
        for (at, byte) in window.iter().enumerate() {
            let here = self.steps[at].cost;
            let last = self.ends[at] as usize;
            relax(&mut self.steps[at + 1], Step { cost: here + self.literal[usize::from(*byte)], len: 1, distance: 0 });
            let mut len = LEAST;
            for candidate in &self.candidates[first..last] {
                let distance = candidate.distance;
                let base = here + self.distance[distance_symbol(u32::from(distance) - 1)];
                let longest = usize::from(candidate.len).min(window.len() - at);
                while len <= longest {
                    let cost = base + self.length[len];
                    relax(&mut self.steps[at + len], Step { cost, len: len as u16, distance });
                    len += 1;
                }
            }
            first = last;
        }
    }

    fn back(&self, len: usize) -> Vec<(usize, usize)> {
        let (mut path, mut at) = (Vec::new(), len);
        while at > 0 {
            let Step { len, distance, .. } = self.steps[at];
            path.push((usize::from(len), usize::from(distance)));
            at -= usize::from(len);
        }
        path.reverse();
        path
    }

    fn count(&mut self, window: &[u8], path: &[(usize, usize)]) {
        self.counts = Counts::NONE;
        let mut at = 0;
        for (len, distance) in path {
            if *distance == 0 {
                self.counts.litlen[usize::from(window[at])] += 1;
            } else {
                self.counts.litlen[257 + length_symbol(*len)] += 1;
                self.counts.distance[distance_symbol(*distance as u32 - 1)] += 1;
            }
            at += len;
        }
    }
}

#[inline]
fn relax(step: &mut Step, other: Step) {
    if other.cost < step.cost {
        *step = other;
    }
}
