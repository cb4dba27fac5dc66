//! What took the time: the chain of tasks that the run could not have been shorter than, and the work by expert.

use std::collections::BTreeMap;

use crate::base::event::Status;
use crate::ops::timings::{Ran, Work};

/// From the task that ended last back through the one that each waited for longest, first to last.
pub(super) fn critical(tasks: &[Ran]) -> Vec<usize> {
    let last = |among: &mut dyn Iterator<Item = usize>| among.max_by_key(|at| (tasks[*at].end, *at));
    let mut chain = Vec::new();
    let mut next = last(&mut (0..tasks.len()));
    while let Some(at) = next {
        chain.push(at);
        // What it waited for ended before it began, so this comes to an end whatever the events say.
        next = last(&mut tasks[at].after.iter().copied().filter(|before| *before < at));
    }
    chain.reverse();
    chain
}

/// Work by expert, the most first.
pub(super) fn work(tasks: &[Ran]) -> Vec<Work> {
    let mut experts: BTreeMap<usize, Work> = BTreeMap::new();
    for ran in tasks {
        let new = || Work { expert: ran.expert, took: 0, start: ran.start, end: 0, tasks: 0, cached: 0, read: 0 };
        let work = experts.entry(ran.expert).or_insert_with(new);
        work.took += ran.end - ran.start;
        work.start = work.start.min(ran.start);
        work.end = work.end.max(ran.end);
        work.tasks += 1;
        work.cached += usize::from(matches!(ran.status, Status::Cached | Status::Unchanged));
        work.read += ran.read;
    }
    let mut all: Vec<Work> = experts.into_values().collect();
    all.sort_by_key(|work| (std::cmp::Reverse(work.took), work.expert));
    all
}
