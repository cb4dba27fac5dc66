//! `Campaign`: many cases of one kind of fault, drawn by a seed; all that went wrong is told at the end.

use std::fmt::Write as _;
use std::time::Duration;

/// Is the long form wanted?
pub fn is_long() -> bool {
    std::env::var_os("EXPERT_BUILD_FAULTS").is_some_and(|value| value == "long")
}

/// So many in the short form, so many in the long one.
pub fn scale(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Cases that were run, and what went wrong in them.
pub struct Campaign {
    name: &'static str,
    seed: u64,
    state: u64,
    cases: usize,
    faults: Vec<String>,
}

impl Campaign {
    pub fn new(name: &'static str) -> Self {
        let seed = std::env::var("EXPERT_BUILD_FAULTS_SEED").map_or(1, |text| text.parse().expect("a number"));
        // Each campaign has a sequence of its own.
        let state = name.bytes().fold(seed, |state: u64, byte| state.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
        Self { name, seed, state, cases: 0, faults: Vec::new() }
    }

    /// A number below `limit` (splitmix64).
    pub fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).expect("it is below a usize")
    }

    /// All cases in the long form, else so many of them, in a random order.
    pub fn sample<T>(&mut self, cases: Vec<T>, short: usize) -> Vec<T> {
        self.some(cases, short, usize::MAX)
    }

    /// So many cases in the short form, so many in the long one, in a random order.
    pub fn some<T>(&mut self, mut cases: Vec<T>, short: usize, long: usize) -> Vec<T> {
        for at in (1..cases.len()).rev() {
            let other = self.below(at + 1);
            cases.swap(at, other);
        }
        cases.truncate(scale(short, long));
        cases
    }

    /// A duration below `limit`.
    pub fn moment(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.below(usize::try_from(limit.as_micros()).expect("it is short") + 1) as u64)
    }

    /// A case was run; what went wrong, if anything.
    pub fn case(&mut self, what: &str, outcome: Result<(), String>) {
        self.cases += 1;
        if let Err(fault) = outcome {
            eprintln!("{}, case {}, {what}: {fault}", self.name, self.cases);
            self.faults.push(format!("{what}: {fault}"));
        }
        // A long run that is stopped has told how far it came.
        if self.cases.is_multiple_of(100) {
            eprintln!("{}: {} cases so far, {} faults", self.name, self.cases, self.faults.len());
        }
    }

    /// Tells the figures, and fails if anything went wrong.
    #[track_caller]
    pub fn finish(self) {
        eprintln!("{}: {} cases, {} faults, seed {}", self.name, self.cases, self.faults.len(), self.seed);
        let mut text = String::new();
        for fault in self.faults.iter().take(25) {
            let _ = writeln!(text, "- {fault}");
        }
        assert!(self.faults.is_empty(), "{}: {} of {} cases\n{text}", self.name, self.faults.len(), self.cases);
        assert!(self.cases > 0, "{}: nothing was run", self.name);
    }
}
