//! `Uploads`: results on their way to another machine, sent beside the build and waited for at its end.
//!
//! What is queued holds records alone; packed bytes are read from the local cache when they are sent. The queue holds at
//! most `ROOM` bytes: whoever adds to a full one waits. Outputs go first, then the action's own messages, then the result,
//! so that a result never speaks of what is not there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::Digest as _;

use crate::base::{Digest, Error, Result, Sha256};
use crate::engine::remote::link::Link;
use crate::engine::remote::task;
use crate::store::remote::{Action, ActionResult, CasDigest, Failure, FailureKind, OutputFile, Upload};
use crate::store::{ActionKey, Cache};

/// Bytes that may wait in memory.
const ROOM: usize = 32 << 20;
/// Results that are sent at once.
const SENDERS: usize = 4;
/// How often whoever waits looks whether the run was stopped.
const TICK: Duration = Duration::from_millis(50);

/// Results to be sent together: what the server lacks of them is asked once.
#[derive(Default)]
pub struct Sending(pub Vec<Made>);

/// A result to be sent.
pub struct Made {
    /// What was asked for.
    pub action: Action,
    /// The record of what was made.
    pub record: Vec<u8>,
    /// Packed files that are not in the record: their number, and their name in the local cache.
    pub files: Vec<(usize, Digest)>,
}

impl Sending {
    fn len(&self) -> usize {
        // An input costs about so much in memory.
        let names = |made: &Made| 160 * (made.action.inputs.len() + made.action.output_paths.len());
        self.0.iter().map(|made| made.record.len() + names(made)).sum()
    }
}

/// Results on their way.
#[derive(Default)]
pub struct Uploads {
    queue: Mutex<Queue>,
    changed: Condvar,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Sending>,
    held: usize,
    sending: usize,
    closed: bool,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Why the run fails, where the other machine is required.
    failed: Option<Error>,
    /// Blobs that are known to be there.
    present: BTreeSet<CasDigest>,
    /// Blobs that a thread is sending: whoever needs the same waits.
    moving: BTreeSet<CasDigest>,
}

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'q>(&self, queue: MutexGuard<'q, Queue>) -> MutexGuard<'q, Queue> {
        self.changed.wait_timeout(queue, TICK).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Link {
    /// Queues results. Waits while the queue is full.
    pub fn send(self: &Arc<Self>, sending: Sending, stopped: &dyn Fn() -> bool) -> Result<()> {
        let uploads = &self.uploads;
        let mut queue = uploads.lock();
        while queue.held > 0 && queue.held + sending.len() > ROOM {
            if stopped() {
                return Err(Error::Interrupted);
            }
            queue = uploads.wait(queue);
        }
        if let Some(error) = &queue.failed {
            return Err(error.again());
        }
        queue.held += sending.len();
        queue.waiting.push_back(sending);
        if queue.threads.len() < SENDERS && queue.waiting.len() > queue.threads.len() - queue.sending {
            let link = Arc::clone(self);
            let name = format!("upload-{}", queue.threads.len());
            let thread = std::thread::Builder::new().name(name).spawn(move || link.sender());
            queue.threads.push(thread.map_err(|e| Error::io("start a thread of", ".", e))?);
        }
        drop(queue);
        uploads.changed.notify_all();
        Ok(())
    }

    /// Waits until all is sent, and tells how many results are left whenever that changed. Stops where the run was stopped.
    pub fn drain(&self, stopped: &dyn Fn() -> bool, left: &mut dyn FnMut(usize)) -> Result<()> {
        let uploads = &self.uploads;
        let mut queue = uploads.lock();
        queue.closed = true;
        uploads.changed.notify_all();
        let mut told = 0;
        loop {
            if stopped() {
                uploads.stop.store(true, Ordering::Relaxed);
                queue.waiting.clear();
            }
            let now = queue.waiting.len() + queue.sending;
            if now == 0 {
                break;
            }
            if now != told {
                told = now;
                drop(queue);
                left(now);
                queue = uploads.lock();
                continue;
            }
            queue = uploads.wait(queue);
        }
        let (threads, failed) = (std::mem::take(&mut queue.threads), queue.failed.take());
        drop(queue);
        for thread in threads {
            if thread.join().is_err() {
                return Err(Error::Bug("a thread failed while it sent results".into()));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// A thread that sends, until there will be no more.
    fn sender(&self) {
        loop {
            let mut queue = self.uploads.lock();
            let sending = loop {
                if let Some(sending) = queue.waiting.pop_front() {
                    queue.sending += 1;
                    break sending;
                }
                if queue.closed {
                    return;
                }
                queue = self.uploads.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            let over = Over { link: self, length: sending.len() };
            if self.writes()
                && let Err(error) = self.send_now(sending)
            {
                self.uploads.lock().failed.get_or_insert(error);
            }
            drop(over);
        }
    }

    fn send_now(&self, sending: Sending) -> Result<()> {
        let mut blobs = BTreeMap::new();
        let (mut results, mut uploads) = (Vec::new(), Vec::new());
        for Made { action, record, files } in sending.0 {
            let mut result = ActionResult::default();
            for (number, home) in files {
                // What the local cache has lost meanwhile is not sent, and neither is what speaks of it.
                let Some(digest) = self.name_of(&home)? else { return Ok(()) };
                result.files.insert(task::packed(number), OutputFile { digest, contents: None });
                blobs.insert(digest, home);
            }
            let record = Upload::bytes(record);
            result.files.insert(task::RECORD.to_owned(), OutputFile { digest: record.digest, contents: None });
            uploads.push(record);
            results.push((action, result));
        }
        let moving = self.alone(&mut blobs);
        let cache = self.cache.as_ref();
        uploads.extend(blobs.iter().map(|(digest, home)| Upload {
            digest: *digest,
            open: Box::new(move || {
                let file = open(cache, home)?;
                Ok(Box::new(Stoppable { file, stop: Arc::clone(&self.uploads.stop) }))
            }),
        }));
        let sent = self.remote.upload(&uploads).map(|_| ());
        if self.stopped(&sent) || !self.delivered(sent)? {
            return Ok(());
        }
        self.uploads.lock().present.extend(blobs.keys());
        drop(moving);
        for (action, result) in &results {
            let kept = self.remote.update(action, result);
            if self.stopped(&kept) || !self.delivered(kept)? {
                return Ok(());
            }
            self.figures.sent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes out what is there already, and waits for what other threads are sending. Nobody sends the rest meanwhile.
    fn alone(&self, blobs: &mut BTreeMap<CasDigest, Digest>) -> Moving<'_> {
        let mut queue = self.uploads.lock();
        loop {
            blobs.retain(|digest, _| !queue.present.contains(digest));
            if !blobs.keys().any(|digest| queue.moving.contains(digest)) {
                queue.moving.extend(blobs.keys());
                return Moving { link: self, blobs: blobs.keys().copied().collect() };
            }
            queue = self.uploads.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Did it fail because the run was stopped?
    fn stopped<T>(&self, answer: &std::result::Result<T, Failure>) -> bool {
        answer.is_err() && self.uploads.stop.load(Ordering::Relaxed)
    }

    /// The name on the wire of a blob of the local cache: the SHA-256 that was reckoned when it was first needed.
    fn name_of(&self, home: &Digest) -> Result<Option<CasDigest>> {
        let key = name_key(home);
        let known = self.cache.result(key)?.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<Sha256>().ok());
        if let Some(sha256) = known {
            return Ok(Some(CasDigest { sha256, size: home.size() }));
        }
        let Some(file) = self.cache.blob(home)? else { return Ok(None) };
        let mut reader = Stoppable { file, stop: Arc::clone(&self.uploads.stop) };
        let (mut hasher, mut check, mut buffer) = (sha2::Sha256::new(), blake3::Hasher::new(), vec![0; 1 << 20]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    check.update(&buffer[..count]);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if self.uploads.stop.load(Ordering::Relaxed) => return Ok(None),
                Err(e) => {
                    let message = format!("the local cache could not be read: {e}");
                    return self.delivered(Err(Failure { kind: FailureKind::Local, message })).map(|_| None);
                }
            }
        }
        // What the disk has damaged must not get a name of its own, under which others would take it for whole.
        if check.finalize().as_bytes() != home.hash() {
            self.cache.forget_blob(home);
            return Ok(None);
        }
        let sha256 = Sha256::new(hasher.finalize().into());
        self.note_name(home, sha256);
        Ok(Some(CasDigest { sha256, size: home.size() }))
    }

    /// Remembers the name on the wire of a blob of the local cache. Where it cannot, it is reckoned again.
    pub fn note_name(&self, home: &Digest, sha256: Sha256) {
        let _ = self.cache.put_result(name_key(home), sha256.hex().as_bytes());
    }
}

/// The key under which the local cache knows a blob's name on the wire.
fn name_key(home: &Digest) -> ActionKey {
    ActionKey::of(&format!("sha256 of blob {home}"))
}

fn open(cache: &dyn Cache, home: &Digest) -> io::Result<std::fs::File> {
    let found = cache.blob(home).map_err(|e| io::Error::other(e.to_string()))?;
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the local cache has lost it"))
}

/// Bytes that end with an error when the run is stopped.
struct Stoppable {
    file: std::fs::File,
    stop: Arc<AtomicBool>,
}

impl Read for Stoppable {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the run was stopped"));
        }
        self.file.read(into)
    }
}

/// Blobs that nobody else sends meanwhile.
struct Moving<'l> {
    link: &'l Link,
    blobs: Vec<CasDigest>,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        let mut queue = self.link.uploads.lock();
        for digest in &self.blobs {
            queue.moving.remove(digest);
        }
        drop(queue);
        self.link.uploads.changed.notify_all();
    }
}

/// Says that a result is no longer on its way, however that ended.
struct Over<'l> {
    link: &'l Link,
    length: usize,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let mut queue = self.link.uploads.lock();
        queue.sending -= 1;
        queue.held -= self.length;
        drop(queue);
        self.link.uploads.changed.notify_all();
    }
}
