//! `Writer`: a package written from start to end by one thread, in the layout of `format::segment`.
//!
//! The engine assembles packages from cached segments with all threads; this is for those who hold the contents
//! in their hands, and gives the same bytes.

use std::io::{self, Read, Write};

use crate::base::RelPath;
use crate::format::segment::{Assembly, Codec, Packer, SEGMENT, Segment};
use crate::format::tar::{END, header, padding};

/// Writes the entries of a package, which come in the order of the package.
pub struct Writer<W> {
    out: W,
    packer: Packer,
    assembly: Assembly,
    mtime: u64,
    /// What lies between two contents and is not yet packed.
    gap: Vec<u8>,
    packed: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a package. Every entry will have this time.
    pub fn new(mut out: W, codec: Codec, mtime: u64) -> io::Result<Self> {
        let assembly = Assembly::new(codec);
        out.write_all(&assembly.start())?;
        Ok(Self { out, packer: Packer::new(codec), assembly, mtime, gap: Vec::new(), packed: Vec::new() })
    }

    /// An entry whose content this reader gives: exactly `size` bytes.
    pub fn entry(&mut self, path: &RelPath, size: u64, mut content: impl Read) -> io::Result<()> {
        self.header(path, size)?;
        let mut source = Vec::with_capacity(SEGMENT.min(usize::try_from(size).unwrap_or(SEGMENT)));
        let mut left = size;
        while left > 0 {
            source.clear();
            let part = left.min(SEGMENT as u64);
            content.by_ref().take(part).read_to_end(&mut source)?;
            if source.len() as u64 != part {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.pack(&source)?;
            left -= part;
        }
        self.gap.resize(padding(size), 0);
        Ok(())
    }

    /// An entry whose content is packed already: its segments, and their bytes one after the other.
    pub fn packed_entry(
        &mut self,
        path: &RelPath,
        size: u64,
        segments: &[Segment],
        packed: &mut dyn Read,
    ) -> io::Result<()> {
        self.header(path, size)?;
        let length: u64 = segments.iter().map(|segment| u64::from(segment.packed_len)).sum();
        segments.iter().for_each(|segment| self.assembly.push(segment));
        if io::copy(&mut packed.take(length), &mut self.out)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.gap.resize(padding(size), 0);
        Ok(())
    }

    /// An entry of a gzip package whose content is packed already, in segments that nobody counted: its CRC-32, and all of
    /// `packed`.
    pub fn packed_row(&mut self, path: &RelPath, size: u64, crc32: u32, packed: &mut dyn Read) -> io::Result<()> {
        self.header(path, size)?;
        self.assembly.push_row(crc32, size);
        io::copy(packed, &mut self.out)?;
        self.gap.resize(padding(size), 0);
        Ok(())
    }

    /// The end of the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.gap.extend_from_slice(&END);
        self.flush_gap()?;
        self.out.write_all(&self.assembly.finish())?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&mut self, path: &RelPath, size: u64) -> io::Result<()> {
        self.gap.extend_from_slice(&header(path, size, self.mtime));
        self.flush_gap()
    }

    fn flush_gap(&mut self) -> io::Result<()> {
        let gap = std::mem::take(&mut self.gap);
        gap.chunks(SEGMENT).try_for_each(|part| self.pack(part))
    }

    fn pack(&mut self, source: &[u8]) -> io::Result<()> {
        self.packed.clear();
        let segment = self.packer.pack(source, &mut self.packed);
        self.assembly.push(&segment);
        self.out.write_all(&self.packed)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _, Seek as _};

    use super::Writer;
    use crate::base::RelPath;
    use crate::format::archive::seek_table::SeekTable;
    use crate::format::archive::{Anywhere, Archive, Limits, Source as _};
    use crate::format::segment::{Codec, Compression, SEGMENT};

    fn contents() -> Vec<(RelPath, Vec<u8>)> {
        let noise: Vec<u8> =
            (0..2 * SEGMENT + 17).map(|i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let long = format!("{}/ü", "d".repeat(200));
        [("manifest.json", b"{}".to_vec()), ("big", noise), ("empty", vec![]), (&long, vec![7; 1024])]
            .map(|(path, bytes)| (RelPath::new(path).unwrap(), bytes))
            .into()
    }

    #[test]
    fn what_is_written_reads_back_as_a_stream_and_at_any_place() {
        for compression in Compression::ALL {
            let mut writer = Writer::new(Vec::new(), Codec::new(compression, None).unwrap(), 77).unwrap();
            for (path, bytes) in contents() {
                writer.entry(&path, bytes.len() as u64, &bytes[..]).unwrap();
            }
            let package = writer.finish().unwrap();
            let mut short = Writer::new(Vec::new(), Codec::new(compression, None).unwrap(), 77).unwrap();
            assert!(short.entry(&RelPath::new("short").unwrap(), 9, &b"12"[..]).is_err());

            let mut archive = Archive::open(&package[..], Limits::default()).unwrap();
            assert_eq!(archive.source().compression(), compression);
            let mut entries = Vec::new();
            for (path, bytes) in contents() {
                let entry = archive.next_entry().unwrap().unwrap();
                assert_eq!((&entry.path, entry.size, entry.mtime), (&path, bytes.len() as u64, Some(77)));
                assert_eq!(archive.read_all(u64::MAX).unwrap(), bytes);
                entries.push(entry);
            }
            assert_eq!(archive.next_entry().unwrap(), None);
            assert_eq!(archive.source().place(), package.len() as u64, "read to the end");

            let mut file = Cursor::new(&package[..]);
            let length = package.len() as u64;
            let mut tar = match (compression, SeekTable::read(&mut file, length).unwrap()) {
                (Compression::Gzip, table) => {
                    assert_eq!(table, None);
                    continue;
                }
                (Compression::None, _) => Anywhere::tar(file, length),
                (Compression::Zstd, table) => Anywhere::zstd(file, table.unwrap()),
            };
            for (entry, (_, bytes)) in entries.iter().zip(contents()).rev() {
                let mut read = Vec::new();
                tar.content(entry).read_to_end(&mut read).unwrap();
                assert!(read == bytes, "{}", entry.path);
                assert!(tar.packed(entry).unwrap() <= entry.size + 100);
            }
            tar.rewind().unwrap();
            let mut again = Archive::over(tar, Limits::default());
            let mut listed = Vec::new();
            while let Some(entry) = again.next_entry().unwrap() {
                listed.push(entry);
            }
            assert_eq!(listed, entries);
        }
    }
}
