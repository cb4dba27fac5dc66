//! `Pool`: the threads that work, and the one queue they take from.
//!
//! Two sorts of work lie in the queue. A *task* is a node of the plan; the lowest number goes first, so an expert that
//! was begun is finished before the next is opened, and what is held in memory stays bounded. An *assist* is a piece of
//! a task that is running (one segment of a big file): it goes before all tasks. A thread that waits for its own
//! assists takes assists itself, so one big file uses every core and no thread ever sleeps while there is work.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::engine::scratch::Scratch;

/// A piece of a task that any thread may do.
pub type Assist = Box<dyn FnOnce(&mut Scratch) + Send>;

/// The queue.
pub struct Pool<'a> {
    queue: Mutex<Queue>,
    changed: Condvar,
    cancel: &'a AtomicBool,
    threads: usize,
}

#[derive(Default)]
struct Queue {
    /// Ranges of tasks, by their first: those of one expert have numbers in a row.
    tasks: BTreeMap<usize, usize>,
    assists: VecDeque<Assist>,
    closed: bool,
}

/// What a thread shall do next.
pub enum Next {
    /// Run the task of this number.
    Task(usize),
    /// Help with a task that another thread runs.
    Assist(Assist),
    /// There will be no more work.
    Closed,
}

impl<'a> Pool<'a> {
    /// An empty queue for so many threads, one at least.
    pub fn new(threads: usize, cancel: &'a AtomicBool) -> Self {
        Self { queue: Mutex::default(), changed: Condvar::new(), cancel, threads: threads.max(1) }
    }

    /// How many threads work.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Was the run cancelled?
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Adds tasks that are not in the queue.
    pub fn add(&self, tasks: impl IntoIterator<Item = Range<usize>>) {
        self.lock().tasks.extend(tasks.into_iter().map(|range| (range.start, range.end)));
        self.changed.notify_all();
    }

    /// Adds a piece of a running task.
    pub fn assist(&self, assist: Assist) {
        self.lock().assists.push_back(assist);
        self.changed.notify_one();
    }

    /// How many assists wait for a thread.
    pub fn assists(&self) -> usize {
        self.lock().assists.len()
    }

    /// Takes an assist, if there is one.
    pub fn try_assist(&self) -> Option<Assist> {
        self.lock().assists.pop_front()
    }

    /// Takes back those of these tasks that no thread has begun.
    pub fn take_back(&self, which: Range<usize>) -> Vec<usize> {
        let mut queue = self.lock();
        let mut taken = Vec::new();
        let reaching = queue.tasks.range(..which.start).next_back().map(|(start, end)| *start..*end);
        if let Some(range) = reaching.filter(|range| range.end > which.start) {
            queue.tasks.extend([(range.start, which.start), (which.start, range.end)]);
        }
        while let Some(range) = queue.tasks.range(which.clone()).next().map(|(start, end)| *start..*end) {
            queue.tasks.remove(&range.start);
            if range.end > which.end {
                queue.tasks.insert(which.end, range.end);
            }
            taken.extend(range.start..range.end.min(which.end));
        }
        taken
    }

    /// No more work: threads that wait go home.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for work.
    pub fn next(&self) -> Next {
        let mut queue = self.lock();
        loop {
            if let Some(assist) = queue.assists.pop_front() {
                return Next::Assist(assist);
            }
            if let Some((task, end)) = queue.tasks.pop_first() {
                if task + 1 < end {
                    queue.tasks.insert(task + 1, end);
                }
                return Next::Task(task);
            }
            if queue.closed {
                return Next::Closed;
            }
            queue = self.changed.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic in a task is caught before it could leave the queue half-changed.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::{Next, Pool};

    #[test]
    fn the_lowest_goes_first_and_what_is_taken_back_is_gone() {
        let cancel = AtomicBool::new(false);
        let pool = Pool::new(1, &cancel);
        pool.add([10..15, 0..3]);
        pool.add([20..21, 7..8]);
        let next = || if let Next::Task(task) = pool.next() { Some(task) } else { None };
        assert_eq!([next(), next()], [Some(0), Some(1)]);
        assert_eq!(pool.take_back(11..14), [11, 12, 13]);
        assert_eq!(pool.take_back(14..30), [14, 20]);
        assert!(pool.take_back(3..7).is_empty());
        assert_eq!([next(), next(), next()], [Some(2), Some(7), Some(10)]);
        pool.add([30..32, 40..41]);
        assert_eq!(pool.take_back(0..usize::MAX), [30, 31, 40]);
        pool.close();
        assert_eq!(next(), None);
    }
}
