//! `Ahead` and `Frames`: the tar of a package, unpacked by other threads before its reader asks.
//!
//! gzip is one stream and knows one order: it is unpacked on one thread, and whoever reads may hash at the same time. A
//! zstd package with a seek table is a row of frames, which any number of threads unpack, a little ahead of the reader.
//! What is unpacked and not yet read has a limit, whatever the size of the package. Threads end with their reader.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::format::archive::Source;
use crate::format::archive::anywhere::Unpacker;
use crate::format::archive::seek_table::SeekTable;

/// Bytes that a stream gives at a time.
const CHUNK: usize = 256 * 1024;
/// Chunks that may wait.
const WAITING: usize = 8;
/// Unpacked bytes that may wait, for each thread.
const ROOM: u64 = 4 << 20;

/// A stream that another thread reads.
pub struct Ahead<S> {
    chunks: Receiver<Chunk<S>>,
    spare: Sender<Vec<u8>>,
    current: Vec<u8>,
    used: usize,
    place: u64,
    wrapped: bool,
    /// The stream itself, back after its end.
    source: Option<S>,
}

enum Chunk<S> {
    Bytes(Vec<u8>, u64),
    End(Box<S>),
    Failed(io::Error, u64),
}

impl<S: Source + Send + 'static> Ahead<S> {
    /// Starts to read.
    pub fn start(source: S) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(WAITING);
        let (spare, spares) = channel();
        let wrapped = source.is_wrapped();
        let place = source.place();
        std::thread::Builder::new().name("unpack".into()).spawn(move || pump(source, &sender, &spares))?;
        Ok(Self { chunks, spare, current: Vec::new(), used: 0, place, wrapped, source: None })
    }

    /// The stream, once its end was read.
    pub fn ended(&self) -> Option<&S> {
        self.source.as_ref()
    }

    /// Has the next chunk ready; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        while self.used == self.current.len() {
            if self.source.is_some() {
                return Ok(false);
            }
            let used = std::mem::take(&mut self.current);
            self.used = 0;
            // Nobody may want it any more.
            let _ = self.spare.send(used);
            match self.chunks.recv() {
                Ok(Chunk::Bytes(bytes, place)) => (self.current, self.place) = (bytes, place),
                Ok(Chunk::End(source)) => {
                    self.place = source.place();
                    self.source = Some(*source);
                }
                Ok(Chunk::Failed(error, place)) => {
                    self.place = place;
                    return Err(error);
                }
                Err(_) => return Err(lost()),
            }
        }
        Ok(true)
    }
}

/// Reads to the end, or until nobody listens.
fn pump<S: Source>(mut source: S, sender: &SyncSender<Chunk<S>>, spares: &Receiver<Vec<u8>>) {
    loop {
        let mut bytes = spares.try_recv().unwrap_or_default();
        bytes.resize(CHUNK, 0);
        let mut filled = 0;
        let failed = loop {
            match source.read(&mut bytes[filled..]) {
                Ok(0) => break None,
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Some(e),
            }
            if filled == bytes.len() {
                break None;
            }
        };
        let ended = filled < bytes.len();
        bytes.truncate(filled);
        let place = source.place();
        // What came before a fault is still good, and is told first.
        if filled > 0 && sender.send(Chunk::Bytes(bytes, place)).is_err() {
            return;
        }
        if let Some(error) = failed {
            let _ = sender.send(Chunk::Failed(error, place));
            return;
        }
        if ended {
            let _ = sender.send(Chunk::End(Box::new(source)));
            return;
        }
    }
}

fn lost() -> io::Error {
    io::Error::other("a thread failed while it unpacked the package")
}

impl<S: Source + Send + 'static> Read for Ahead<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || !self.fill()? {
            return Ok(0);
        }
        let count = (&self.current[self.used..]).read(out)?;
        self.used += count;
        Ok(count)
    }
}

impl<S: Source + Send + 'static> Source for Ahead<S> {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut left = count;
        while left > 0 && self.fill()? {
            let ready = self.current.len() - self.used;
            let passed = usize::try_from(left).unwrap_or(usize::MAX).min(ready);
            self.used += passed;
            left -= passed as u64;
        }
        Ok(count - left)
    }

    fn place(&self) -> u64 {
        self.place
    }

    fn is_wrapped(&self) -> bool {
        self.wrapped
    }
}

/// The tar in zstd frames, unpacked by several threads.
pub struct Frames {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// The frame that is being read, by its number.
    current: Option<(usize, Vec<u8>)>,
    at: u64,
    end: u64,
}

struct Shared {
    table: SeekTable,
    /// Unpacked bytes that may wait.
    room: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The frame that the reader wants, and the next that nobody has begun.
    wanted: usize,
    next: usize,
    ready: BTreeMap<usize, io::Result<Vec<u8>>>,
    spare: Vec<Vec<u8>>,
    /// The reader is gone.
    closed: bool,
    /// A worker panicked.
    lost: bool,
}

impl Frames {
    /// Reads these bytes of the tar. `open` gives each thread the file.
    pub fn start<R: Read + Seek + Send + 'static>(
        table: SeekTable,
        range: std::ops::Range<u64>,
        threads: usize,
        open: impl Fn() -> R,
    ) -> io::Result<Self> {
        let first = table.frame(range.start).map_or(0, |(index, _)| index);
        let end = range.end.min(table.len());
        let state = State { wanted: first, next: first, ..State::default() };
        let room = ROOM * threads as u64;
        let shared = Arc::new(Shared { table, room, state: Mutex::new(state), changed: Condvar::new() });
        let mut frames = Self { shared, workers: Vec::new(), current: None, at: range.start, end };
        for _ in 0..threads.max(1) {
            let (shared, file) = (Arc::clone(&frames.shared), open());
            let worker = move || shared.work(file, end);
            frames.workers.push(std::thread::Builder::new().name("unpack".into()).spawn(worker)?);
        }
        Ok(frames)
    }

    /// Has the frame of this number in `current`.
    fn load(&mut self, index: usize) -> io::Result<()> {
        if self.current.as_ref().is_some_and(|(loaded, _)| *loaded == index) {
            return Ok(());
        }
        let mut state = self.shared.lock();
        if let Some((_, used)) = self.current.take() {
            state.spare.push(used);
        }
        state.wanted = index;
        state.next = state.next.max(index);
        state.ready = state.ready.split_off(&index);
        self.shared.changed.notify_all();
        loop {
            if let Some(frame) = state.ready.remove(&index) {
                drop(state);
                self.current = Some((index, frame?));
                return Ok(());
            }
            if state.lost {
                return Err(lost());
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame to unpack next, when there is room for it; `None` when there is nothing left to do.
    fn take(&self, end: u64) -> Option<(usize, Vec<u8>)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let next = self.table.at(state.next).filter(|frame| frame.at < end);
            let wanted = self.table.at(state.wanted);
            if let (Some(next), Some(wanted)) = (next, wanted)
                && (state.next <= state.wanted || next.at + u64::from(next.len) - wanted.at <= self.room)
            {
                let index = state.next;
                state.next += 1;
                return Some((index, state.spare.pop().unwrap_or_default()));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, mut file: impl Read + Seek, end: u64) {
        let alarm = Alarm(self);
        let mut unpacker = Unpacker::default();
        while let Some((index, mut bytes)) = self.take(end) {
            let Some(frame) = self.table.at(index) else { break };
            let frame = unpacker.unpack(&mut file, &frame, &mut bytes).map(|()| bytes);
            self.lock().ready.insert(index, frame);
            self.changed.notify_all();
        }
        std::mem::forget(alarm);
    }
}

/// Tells the reader that what it waits for will not come.
struct Alarm<'s>(&'s Shared);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.lock().lost = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A panic was told to the reader already.
            let _ = worker.join();
        }
    }
}

impl Read for Frames {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || self.at >= self.end {
            return Ok(0);
        }
        let Some((index, frame)) = self.shared.table.frame(self.at) else { return Ok(0) };
        self.load(index)?;
        let bytes = self.current.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let ready = bytes.get((self.at - frame.at) as usize..).unwrap_or_default();
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let count = (&ready[..ready.len().min(left)]).read(out)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Source for Frames {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let passed = count.min(self.end.saturating_sub(self.at));
        self.at += passed;
        Ok(passed)
    }

    fn place(&self) -> u64 {
        self.shared.table.frame(self.at).map_or(0, |(_, frame)| frame.packed_at)
    }

    fn is_wrapped(&self) -> bool {
        true
    }
}

/// Work on another thread, whose result is fetched later.
pub struct Aside<T>(JoinHandle<T>);

impl<T: Send + 'static> Aside<T> {
    /// Starts it.
    pub fn start(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        std::thread::Builder::new().name("aside".into()).spawn(work).map(Self)
    }

    /// Waits for it. Its panic goes on here.
    pub fn join(self) -> T {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::{Ahead, Frames};
    use crate::base::RelPath;
    use crate::format::archive::seek_table::SeekTable;
    use crate::format::archive::{Archive, Limits, Source as _, Stream, Writer};
    use crate::format::segment::{Codec, Compression};

    /// A package of 40 files, of 0 to 3 MiB.
    fn package(compression: Compression) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), Codec::new(compression, None).unwrap(), 77).unwrap();
        for n in 0..40_u32 {
            let size = if n % 13 == 5 { 3 << 20 } else { n * 700 };
            let content: Vec<u8> = (0..size).map(|i| (i.wrapping_mul(n + 1) >> 7) as u8).collect();
            writer.entry(&RelPath::new(format!("f{n:02}")).unwrap(), u64::from(size), &content[..]).unwrap();
        }
        writer.finish().unwrap()
    }

    fn all(archive: &mut Archive<impl crate::format::archive::Source>) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some(entry) = archive.next_entry().unwrap() {
            let mut content = Vec::new();
            archive.read_to_end(&mut content).unwrap();
            found.push((entry.path.to_string(), content));
        }
        found
    }

    fn table(package: &[u8]) -> SeekTable {
        SeekTable::read(&mut Cursor::new(package), package.len() as u64).unwrap().unwrap()
    }

    #[test]
    fn what_is_read_ahead_is_what_is_there() {
        let plain = package(Compression::Zstd);
        let expected = all(&mut Archive::open(&plain[..], Limits::default()).unwrap());
        assert_eq!(expected.len(), 40);
        for threads in [1, 2, 7] {
            let bytes = plain.clone();
            let frames = Frames::start(table(&plain), 0..u64::MAX, threads, || Cursor::new(bytes.clone())).unwrap();
            assert!(all(&mut Archive::over(frames, Limits::default())) == expected, "{threads} threads");
            // Passing over contents is as good.
            let frames = Frames::start(table(&plain), 0..u64::MAX, threads, || Cursor::new(bytes.clone())).unwrap();
            let mut archive = Archive::over(frames, Limits::default());
            let mut names = Vec::new();
            while let Some(entry) = archive.next_entry().unwrap() {
                names.push(entry.path.to_string());
            }
            assert!(names.iter().eq(expected.iter().map(|(name, _)| name)));
        }
        let gzip = package(Compression::Gzip);
        let ahead = Ahead::start(Stream::new(Cursor::new(gzip.clone()), u64::MAX).unwrap()).unwrap();
        let mut archive = Archive::over(ahead, Limits::default());
        assert!(all(&mut archive) == expected);
        let ended = archive.source().ended().expect("read to the end");
        assert_eq!((ended.members(), ended.place()), (1, gzip.len() as u64));
    }

    #[test]
    fn any_stretch_can_be_read_alone() {
        let plain = package(Compression::Zstd);
        let mut tar = Vec::new();
        Stream::new(&plain[..], u64::MAX).unwrap().read_to_end(&mut tar).unwrap();
        for range in [0..10, 511..513, 700_000..5 << 20, (tar.len() as u64 - 3)..u64::MAX, 5..5] {
            let bytes = plain.clone();
            let mut frames = Frames::start(table(&plain), range.clone(), 3, || Cursor::new(bytes.clone())).unwrap();
            let mut read = Vec::new();
            frames.read_to_end(&mut read).unwrap();
            let end = (range.end as usize).min(tar.len());
            assert!(read == tar[range.start as usize..end], "{range:?}");
        }
    }

    #[test]
    fn damage_is_told_after_what_came_before_it_and_a_reader_may_leave() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut bytes = package(compression);
            let middle = bytes.len() / 2;
            let sound = (compression == Compression::Zstd).then(|| table(&bytes));
            bytes[middle..middle + 64].fill(0xff);
            let mut out = Vec::new();
            let error = match sound {
                Some(table) => {
                    let mut frames = Frames::start(table, 0..u64::MAX, 3, || Cursor::new(bytes.clone())).unwrap();
                    frames.read_to_end(&mut out).unwrap_err()
                }
                None => {
                    let stream = Stream::new(Cursor::new(bytes.clone()), u64::MAX).unwrap();
                    Ahead::start(stream).unwrap().read_to_end(&mut out).unwrap_err()
                }
            };
            assert!(error.to_string().contains("is damaged"), "{error}");
            assert!(out.len() > 1 << 20, "{compression}: {}", out.len());
        }
        let plain = package(Compression::Zstd);
        drop(Frames::start(table(&plain), 0..u64::MAX, 2, || Cursor::new(plain.clone())).unwrap());
        drop(Ahead::start(Stream::new(Cursor::new(plain), u64::MAX).unwrap()).unwrap());
    }
}
