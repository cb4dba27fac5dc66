//! `Anywhere`: a tar that can be read at any place: a bare one, or one in zstd frames with a seek table.

use std::io::{self, Read, Seek, SeekFrom};

use zstd::bulk::Decompressor;
use zstd::zstd_safe::find_frame_compressed_size;

use crate::format::archive::seek_table::{Frame, SeekTable, read_at};
use crate::format::archive::{Entry, Source, malformed};

/// Reads a tar from any place in it. At most one frame is in memory.
pub struct Anywhere<R> {
    file: R,
    table: Option<SeekTable>,
    /// The frame that was unpacked last, by its number.
    frame: Option<(usize, Vec<u8>)>,
    unpacker: Unpacker,
    len: u64,
    at: u64,
}

impl<R: Read + Seek> Anywhere<R> {
    /// A bare tar of this length.
    pub fn tar(file: R, len: u64) -> Self {
        Self { file, table: None, frame: None, unpacker: Unpacker::default(), len, at: 0 }
    }

    /// zstd frames, placed by their table.
    pub fn zstd(file: R, table: SeekTable) -> Self {
        let len = table.len();
        Self { file, table: Some(table), frame: None, unpacker: Unpacker::default(), len, at: 0 }
    }

    /// The table of the frames, where there is one.
    pub fn table(&self) -> Option<&SeekTable> {
        self.table.as_ref()
    }

    /// The file on disk.
    pub fn file(&mut self) -> &mut R {
        &mut self.file
    }

    /// The content of an entry that was found here.
    pub fn content(&mut self, entry: &Entry) -> io::Take<&mut Self> {
        self.at = entry.data;
        self.take(entry.size)
    }

    /// How many bytes of the file hold the content of this entry and nothing else.
    pub fn packed(&self, entry: &Entry) -> Option<u64> {
        match &self.table {
            None => Some(entry.size),
            Some(table) => {
                let frames = table.frames(entry.data, entry.data + entry.size)?;
                Some(frames.iter().map(|frame| u64::from(frame.packed)).sum())
            }
        }
    }

    /// Unpacks the frame that holds the current place.
    fn load(&mut self) -> io::Result<()> {
        let Some((index, frame)) = self.table.as_ref().and_then(|table| table.frame(self.at)) else { return Ok(()) };
        if self.frame.as_ref().is_some_and(|(loaded, _)| *loaded == index) {
            return Ok(());
        }
        let mut unpacked = self.frame.take().map(|(_, bytes)| bytes).unwrap_or_default();
        self.unpacker.unpack(&mut self.file, &frame, &mut unpacked)?;
        self.frame = Some((index, unpacked));
        Ok(())
    }
}

/// Unpacks frames, one after the other; one a thread, as it holds the decoder's memory.
#[derive(Default)]
pub struct Unpacker {
    decoder: Option<Decompressor<'static>>,
}

impl Unpacker {
    /// Unpacks this frame of the file into `out`, whatever that held.
    pub fn unpack<R: Read + Seek>(&mut self, file: &mut R, frame: &Frame, out: &mut Vec<u8>) -> io::Result<()> {
        let packed = read_at(file, frame.packed_at, frame.packed as usize)?;
        let bad = |what: &str| malformed(frame.packed_at, format!("the zstd data is damaged: {what}"));
        if find_frame_compressed_size(&packed) != Ok(packed.len()) {
            return Err(bad("a frame is not as long as the seek table says"));
        }
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decompressor::new()?),
        };
        out.clear();
        out.reserve_exact(frame.len as usize);
        let count = decoder.decompress_to_buffer(&packed, out).map_err(|e| bad(&e.to_string().to_lowercase()))?;
        if count != frame.len as usize {
            return Err(bad("a frame does not hold what its header says"));
        }
        Ok(())
    }
}

impl<R: Read + Seek> Read for Anywhere<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.len || out.is_empty() {
            return Ok(0);
        }
        let count = match &self.table {
            None => {
                self.file.seek(SeekFrom::Start(self.at))?;
                self.file.read(out)?
            }
            Some(table) => {
                let start = table.frame(self.at).map_or(0, |(_, frame)| frame.at);
                self.load()?;
                let frame = self.frame.as_ref().map_or(&[][..], |(_, bytes)| bytes);
                let mut ready = frame.get((self.at - start) as usize..).unwrap_or_default();
                ready.read(out)?
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for Anywhere<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl<R: Read + Seek> Source for Anywhere<R> {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let passed = count.min(self.len.saturating_sub(self.at));
        self.at += passed;
        Ok(passed)
    }

    fn place(&self) -> u64 {
        match &self.table {
            None => self.at,
            Some(table) => table.frame(self.at).map_or(0, |(_, frame)| frame.packed_at),
        }
    }

    fn is_wrapped(&self) -> bool {
        self.table.is_some()
    }
}
