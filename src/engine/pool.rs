//! `Pool`: the threads that work, and the one queue they take from.
//!
//! Two sorts of work lie in the queue. A *task* is a node of the plan; the lowest number goes first, so an expert that
//! was begun is finished before the next is opened, and what is held in memory stays bounded. An *assist* is a piece of
//! a task that is running (one segment of a big file): it goes before all tasks. A thread that waits for its own
//! assists takes assists itself, so one big file uses every core and no thread ever sleeps while there is work.
//!
//! A thread that waits for another machine is *away*: it does not count among those that work, and another one takes its
//! place. So there are more threads than may work at once, as many as may be away. Whoever goes away holds nothing that
//! others wait for while they work: a [flight](crate::engine::tasks::Flights) above all.

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
    away: usize,
}

#[derive(Default)]
struct Queue {
    /// Ranges of tasks, by their first: those of one expert have numbers in a row.
    tasks: BTreeMap<usize, usize>,
    assists: VecDeque<Assist>,
    closed: bool,
    /// Threads that neither wait for work nor are away; one that was not started yet counts.
    working: usize,
    /// Threads that were away and wait until they may work again.
    returning: usize,
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
        Self::with_away(threads, 0, cancel)
    }

    /// The same, where so many threads may be away.
    pub fn with_away(threads: usize, away: usize, cancel: &'a AtomicBool) -> Self {
        let threads = threads.max(1);
        let queue = Queue { working: threads + away, ..Queue::default() };
        Self { queue: Mutex::new(queue), changed: Condvar::new(), cancel, threads, away }
    }

    /// How many threads work.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// How many threads there are, those that may be away among them.
    pub fn all_threads(&self) -> usize {
        self.threads + self.away
    }

    /// Waits for another machine. Another thread may work meanwhile.
    pub fn away<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.lock().working -= 1;
        self.changed.notify_all();
        let back = Back(self);
        let answer = wait();
        drop(back);
        answer
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
        queue.working -= 1;
        if self.away > 0 {
            self.changed.notify_all();
        }
        loop {
            // Who was away has a task in hand, and goes first.
            let may = self.away == 0 || queue.working + queue.returning < self.threads;
            if may && let Some(assist) = queue.assists.pop_front() {
                queue.working += 1;
                return Next::Assist(assist);
            }
            if may && let Some((task, end)) = queue.tasks.pop_first() {
                if task + 1 < end {
                    queue.tasks.insert(task + 1, end);
                }
                queue.working += 1;
                return Next::Task(task);
            }
            if queue.closed && queue.assists.is_empty() && queue.tasks.is_empty() {
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

/// Brings a thread that is away back to work, even if what it waited for panicked.
struct Back<'p, 'a>(&'p Pool<'a>);

impl Drop for Back<'_, '_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.returning += 1;
        while self.0.away > 0 && queue.working >= self.0.threads {
            queue = self.0.changed.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        queue.returning -= 1;
        queue.working += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::{Next, Pool};

    #[test]
    fn who_is_away_leaves_the_place_to_others_and_no_more_work_than_may() {
        const TASKS: usize = 40;
        let cancel = AtomicBool::new(false);
        let pool = Pool::with_away(2, 6, &cancel);
        let (working, away, most_away, done) = <(AtomicUsize, AtomicUsize, AtomicUsize, AtomicUsize)>::default();
        pool.add(std::iter::once(0..TASKS));
        let enter = || {
            let now = working.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(now <= 2, "{now} threads work at once");
        };
        std::thread::scope(|scope| {
            for _ in 0..pool.all_threads() {
                scope.spawn(|| {
                    while let Next::Task(_) = pool.next() {
                        enter();
                        working.fetch_sub(1, Ordering::SeqCst);
                        pool.away(|| {
                            let now = away.fetch_add(1, Ordering::SeqCst) + 1;
                            most_away.fetch_max(now, Ordering::SeqCst);
                            // Whoever is away waits until there are others, or there is nobody left to come.
                            let last = || pool.lock().tasks.is_empty();
                            while most_away.load(Ordering::SeqCst) < 6 && !last() {
                                std::thread::yield_now();
                            }
                            away.fetch_sub(1, Ordering::SeqCst);
                        });
                        enter();
                        working.fetch_sub(1, Ordering::SeqCst);
                        if done.fetch_add(1, Ordering::SeqCst) + 1 == TASKS {
                            pool.close();
                        }
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), TASKS);
        assert!(most_away.into_inner() >= 6);
    }

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
