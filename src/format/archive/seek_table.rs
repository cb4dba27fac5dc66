//! `SeekTable`: where each zstd frame of a package lies, so that one file can be read without the others.
//!
//! ```text
//! 5e 2a 4d 18   u32 size of what follows
//!   u32 packed, u32 unpacked [, u32 checksum]     for each frame, from the start of the file
//!   u32 frames   u8 descriptor (80: checksums)   b1 ea 92 8f
//! ```
//! Source: the zstd seekable format 0.1.0. The table is a hint by whoever made the file: it is taken only if its frames
//! fill the file exactly and every frame's own header agrees. Otherwise the package is read as a stream.

use std::io::{self, Read, Seek, SeekFrom};

use zstd::zstd_safe::get_frame_content_size;

/// Most frames of a table that is taken: 1 TiB of full segments, 24 MiB of memory.
const MAX_FRAMES: u64 = 1 << 20;
/// Longest frame: it is unpacked in memory, whole.
const MAX_FRAME: u32 = 16 << 20;
/// Longest header of a frame.
const FRAME_HEADER: u64 = 18;

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the file.
    pub packed_at: u64,
    /// Its length in the file.
    pub packed: u32,
    /// Where what it holds begins in the tar.
    pub at: u64,
    /// The length of what it holds.
    pub len: u32,
}

/// All frames, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeekTable {
    frames: Vec<Frame>,
    len: u64,
}

impl SeekTable {
    /// The table at the end of this file; `None` where there is none that can be relied on.
    pub fn read<R: Read + Seek>(file: &mut R, file_len: u64) -> io::Result<Option<Self>> {
        let Some(footer_at) = file_len.checked_sub(9) else { return Ok(None) };
        let footer = read_at(file, footer_at, 9)?;
        let Some((frames, checksums)) = footer_of(&footer) else { return Ok(None) };
        let width = if checksums { 12 } else { 8 };
        let size = u64::from(frames) * width + 9;
        let Some(start) = file_len.checked_sub(size + 8) else { return Ok(None) };
        if u64::from(frames) > MAX_FRAMES {
            return Ok(None);
        }
        let table = read_at(file, start, (size + 8) as usize)?;
        if word(&table, 0) != Some(0x184d_2a5e) || word(&table, 4).map(u64::from) != Some(size) {
            return Ok(None);
        }
        let mut found = Self { frames: Vec::with_capacity(frames as usize), len: 0 };
        let mut packed_at = 0;
        for entry in table[8..table.len() - 9].chunks_exact(width as usize) {
            let (Some(packed), Some(len)) = (word(entry, 0), word(entry, 4)) else { return Ok(None) };
            let header = read_at(file, packed_at, FRAME_HEADER.min(start - packed_at) as usize)?;
            let is_frame = header.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
            let told = get_frame_content_size(&header).ok().flatten();
            // Packing adds little: more would be room for something that no reader sees.
            let fits = len > 0 && len <= MAX_FRAME && packed <= len + len / 64 + 1024;
            if !is_frame || told != Some(u64::from(len)) || !fits {
                return Ok(None);
            }
            found.frames.push(Frame { packed_at, packed, at: found.len, len });
            found.len += u64::from(len);
            packed_at += u64::from(packed);
            if packed_at > start {
                return Ok(None);
            }
        }
        Ok((packed_at == start).then_some(found))
    }

    /// Length of the tar.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Is there no frame at all?
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frame of this number.
    pub fn at(&self, index: usize) -> Option<Frame> {
        self.frames.get(index).copied()
    }

    /// The frame that holds this byte of the tar, and its number.
    pub fn frame(&self, at: u64) -> Option<(usize, Frame)> {
        let index = self.frames.partition_point(|frame| frame.at <= at).checked_sub(1)?;
        let frame = *self.frames.get(index)?;
        (at - frame.at < u64::from(frame.len)).then_some((index, frame))
    }

    /// The frames that hold exactly these bytes of the tar, where there are such.
    pub fn frames(&self, start: u64, end: u64) -> Option<&[Frame]> {
        let first = self.frames.partition_point(|frame| frame.at < start);
        let last = self.frames.partition_point(|frame| frame.at < end);
        let starts = start == end || self.frames.get(first).is_some_and(|frame| frame.at == start);
        let ends = self.frames.get(last).map_or(self.len, |frame| frame.at) == end;
        (starts && ends).then(|| &self.frames[first..last])
    }
}

/// Number of frames, and whether they have checksums.
fn footer_of(footer: &[u8]) -> Option<(u32, bool)> {
    let descriptor = *footer.get(4)?;
    let known = word(footer, 5)? == 0x8f92_eab1 && descriptor & 0x7f == 0;
    known.then_some((word(footer, 0)?, descriptor & 0x80 != 0))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// `count` bytes of the file, or as many as there are.
pub(crate) fn read_at<R: Read + Seek>(file: &mut R, at: u64, count: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::with_capacity(count);
    file.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
