//! `Pool`: the threads that work, and the one queue they take from.
//!
//! Two sorts of work lie in the queue. A *task* is a node of the plan; the lowest number goes first, so an expert that
//! was begun is finished before the next is opened, and what is held in memory stays bounded. An *assist* is a piece of
//! a task that is running (one segment of a big file): it goes before all tasks. A thread that waits for its own
//! assists takes assists itself, so one big file uses every core and no thread ever sleeps while there is work.

use std::collections::{BTreeSet, VecDeque};
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
    tasks: BTreeSet<usize>,
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

    /// Adds tasks.
    pub fn add(&self, tasks: impl IntoIterator<Item = usize>) {
        self.lock().tasks.extend(tasks);
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
    pub fn take_back(&self, which: impl Fn(usize) -> bool) -> BTreeSet<usize> {
        let mut queue = self.lock();
        let (taken, kept) = std::mem::take(&mut queue.tasks).into_iter().partition(|task| which(*task));
        queue.tasks = kept;
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
            if let Some(task) = queue.tasks.pop_first() {
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
