//! `Entry`: one member of an archive, and a reader of its bytes that proves length and checksum.

use std::io::{self, Read, Seek, SeekFrom, Take};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::format::shown::shown;
use crate::format::zip::{Fault, Kind};

/// Unpacked bytes that need no reason.
const FREE: u64 = 1 << 20;
/// Above that, how many times its packed size an entry may unpack to. Deflate reaches 1,032.
pub(super) const RATIO: u64 = 50;

/// How an entry is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    Stored = 0,
    /// By deflate.
    Deflated = 8,
}

/// One member.
#[derive(Debug, Clone)]
pub struct Entry {
    /// How it is packed.
    pub method: Method,
    /// General purpose flags.
    pub flags: u16,
    /// CRC-32 of its unpacked bytes.
    pub crc: u32,
    /// Bytes in the file.
    pub packed: u64,
    /// Bytes when unpacked.
    pub unpacked: u64,
    /// Where its header begins.
    pub header: u64,
    /// Where its data begins.
    pub data: u64,
}

impl Entry {
    /// Opens it for reading.
    pub fn open<'a, R: Read + Seek>(&self, name: &str, source: &'a mut R) -> Result<EntryReader<'a, R>, Fault> {
        if self.unpacked > FREE && self.unpacked / RATIO > self.packed {
            let what = format!("`{}` unpacks from {} to {} bytes", shown(name), self.packed, self.unpacked);
            return Err(Fault::new(Kind::Bomb, self.data, what));
        }
        source.seek(SeekFrom::Start(self.data)).map_err(|e| Fault::io(self.data, &e))?;
        let taken = source.take(self.packed);
        Ok(EntryReader {
            body: match self.method {
                Method::Stored => Body::Stored(taken),
                Method::Deflated => Body::Deflated(Box::new(DeflateDecoder::new(taken))),
            },
            crc: Crc::new(),
            left: self.unpacked,
            entry: self.clone(),
            name: name.to_owned(),
        })
    }

    /// Reads all of it through `buffer` and proves its length and checksum.
    pub fn prove<R: Read + Seek>(&self, name: &str, source: &mut R, buffer: &mut [u8]) -> Result<(), Fault> {
        let mut reader = self.open(name, source)?;
        loop {
            match reader.read(buffer) {
                Ok(0) => return reader.finish(),
                Ok(_) => {}
                Err(e) => return Err(reader.fault(&e)),
            }
        }
    }
}

enum Body<'a, R> {
    Stored(Take<&'a mut R>),
    Deflated(Box<DeflateDecoder<Take<&'a mut R>>>),
}

/// Reads an entry's unpacked bytes, never more of them than its header says.
pub struct EntryReader<'a, R> {
    body: Body<'a, R>,
    crc: Crc,
    left: u64,
    entry: Entry,
    name: String,
}

impl<R: Read> EntryReader<'_, R> {
    /// What a failed read means.
    pub fn fault(&self, error: &io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Fault::new(
                Kind::Layout,
                self.entry.data,
                format!("the deflated data of `{}` is malformed", shown(&self.name)),
            ),
            _ => Fault::io(self.entry.data, error),
        }
    }

    /// After the last byte: are they as many as the header says, and the right ones?
    pub fn finish(mut self) -> Result<(), Fault> {
        let (at, told) = (self.entry.data, shown(&self.name));
        let mut more = [0];
        let whole = match &mut self.body {
            Body::Stored(_) => self.left == 0,
            Body::Deflated(decoder) => {
                let ended = matches!(decoder.read(&mut more), Ok(0));
                ended && self.left == 0 && decoder.total_in() == self.entry.packed
            }
        };
        if !whole {
            let what = format!("`{told}` does not unpack to the {} bytes that it says", self.entry.unpacked);
            return Err(Fault::new(Kind::Size, at, what));
        }
        if self.crc.sum() != self.entry.crc {
            let what =
                format!("the checksum of `{told}` is {:08x}, its bytes give {:08x}", self.entry.crc, self.crc.sum());
            return Err(Fault::new(Kind::Crc, at, what));
        }
        Ok(())
    }
}

impl<R: Read> Read for EntryReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..most];
        let got = match &mut self.body {
            Body::Stored(taken) => taken.read(buffer)?,
            Body::Deflated(decoder) => decoder.read(buffer)?,
        };
        self.left -= got as u64;
        self.crc.update(&buffer[..got]);
        Ok(got)
    }
}
