//! `Lane`: work that must be done in order, beside the thread that brings it.
//!
//! SHA-256 of one stream knows no parallelism, but it can run on another core than the copying. Chunks are queued, each with
//! an assist that works off one, in order; if no thread is free to take it, the thread that feeds does it itself. Where
//! several lanes are fed nobody has to know which is the slowest: whoever is done with a chunk takes the next of any lane, and
//! whoever comes to a lane that is busy leaves the chunk to the one who is there.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::base::{Error, Result};
use crate::engine::chunk::Chunk;
use crate::engine::pool::Pool;
use crate::engine::scratch::Scratch;

/// Chunks that may wait, unless it is said otherwise.
const LIMIT: usize = 8;

/// An ordered consumer with the state `S`.
pub struct Lane<S> {
    shared: Arc<Shared<S>>,
    consume: fn(&mut S, &[u8]),
    limit: usize,
}

struct Shared<S> {
    inner: Mutex<Inner<S>>,
    changed: Condvar,
}

struct Inner<S> {
    queue: VecDeque<Arc<Chunk>>,
    /// Away while somebody works.
    state: Option<S>,
    /// Assists that came while somebody worked: their chunks are for whoever that is.
    left: usize,
    /// An assist panicked: the state is gone.
    lost: bool,
}

impl<S: Send + 'static> Lane<S> {
    /// A lane that feeds every chunk to `consume`.
    pub fn new(state: S, consume: fn(&mut S, &[u8])) -> Self {
        let inner = Inner { queue: VecDeque::new(), state: Some(state), left: 0, lost: false };
        Self { shared: Arc::new(Shared { inner: Mutex::new(inner), changed: Condvar::new() }), consume, limit: LIMIT }
    }

    /// The same, where only so many chunks may wait.
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Hands over a chunk.
    pub fn feed(&self, chunk: Arc<Chunk>, pool: &Pool<'_>, scratch: &mut Scratch) -> Result<()> {
        let mut inner = self.shared.lock();
        inner.queue.push_back(chunk);
        let full = inner.queue.len() >= self.limit;
        drop(inner);
        let (shared, consume) = (Arc::clone(&self.shared), self.consume);
        pool.assist(Box::new(move |_| shared.work_off(consume)));
        if full { self.wait(self.limit / 2, pool, scratch) } else { Ok(()) }
    }

    /// Waits for the last chunk and gives the state back.
    pub fn finish(self, pool: &Pool<'_>, scratch: &mut Scratch) -> Result<S> {
        self.wait(0, pool, scratch)?;
        let state = self.shared.lock().state.take();
        state.ok_or_else(lost)
    }

    /// Waits until so few chunks are left; with none, until nobody works any more.
    fn wait(&self, few: usize, pool: &Pool<'_>, scratch: &mut Scratch) -> Result<()> {
        loop {
            {
                let inner = self.shared.lock();
                if inner.lost {
                    return Err(lost());
                }
                if inner.queue.len() <= few && (few > 0 || inner.state.is_some()) {
                    return Ok(());
                }
            }
            if let Some(assist) = pool.try_assist() {
                assist(scratch);
                continue;
            }
            let inner = self.shared.lock();
            let waiting = inner.queue.len() > few || (few == 0 && inner.state.is_none());
            if waiting && !inner.lost {
                // Whoever works tells after every chunk.
                drop(self.shared.changed.wait(inner).unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

fn lost() -> Error {
    Error::Bug("a thread failed while it worked off a lane".into())
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_off(&self, consume: fn(&mut S, &[u8])) {
        let mut inner = self.lock();
        let Some(mut state) = inner.state.take() else {
            inner.left += 1;
            return;
        };
        let alarm = Alarm(self);
        while let Some(chunk) = inner.queue.pop_front() {
            drop(inner);
            consume(&mut state, &chunk);
            drop(chunk);
            self.changed.notify_all();
            inner = self.lock();
            if inner.left == 0 {
                break;
            }
            inner.left -= 1;
        }
        inner.state = Some(state);
        drop(inner);
        std::mem::forget(alarm);
        self.changed.notify_all();
    }
}

/// Says that the state is gone if its holder panics.
struct Alarm<'s, S>(&'s Shared<S>);

impl<S> Drop for Alarm<'_, S> {
    fn drop(&mut self) {
        self.0.lock().lost = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::Lane;
    use crate::engine::chunk::Buffers;
    use crate::engine::pool::{Next, Pool};
    use crate::engine::scratch::Scratch;

    #[test]
    fn order_is_kept_with_and_without_help() {
        for threads in [1, 3] {
            let cancel = AtomicBool::new(false);
            let pool = Pool::new(threads, &cancel);
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| {
                        while let Next::Assist(assist) = pool.next() {
                            assist(&mut Scratch::default());
                        }
                    });
                }
                let lane = Lane::new(Vec::new(), |all: &mut Vec<u8>, chunk| all.extend_from_slice(chunk));
                let mut scratch = Scratch::default();
                let buffers = Buffers::default();
                for i in 0..=255 {
                    let mut chunk = buffers.take(1);
                    chunk[0] = i;
                    lane.feed(chunk.into(), &pool, &mut scratch).expect("fed");
                }
                assert_eq!(lane.finish(&pool, &mut scratch).expect("finished"), (0..=255).collect::<Vec<u8>>());
                pool.close();
            });
        }
    }

    #[test]
    fn a_panic_is_told_and_not_waited_for() {
        let cancel = AtomicBool::new(false);
        let pool = Pool::new(2, &cancel);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Next::Assist(assist) = pool.next() {
                    let run = std::panic::AssertUnwindSafe(|| assist(&mut Scratch::default()));
                    let _ = std::panic::catch_unwind(run);
                }
            });
            let lane = Lane::new((), |(), chunk| assert!(chunk.is_empty(), "on purpose"));
            lane.feed(Buffers::default().take(1).into(), &pool, &mut Scratch::default()).expect("fed");
            while !lane.shared.lock().lost {
                std::thread::yield_now();
            }
            assert!(lane.finish(&pool, &mut Scratch::default()).is_err());
            pool.close();
        });
    }
}
