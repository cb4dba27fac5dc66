//! A torch file of over 4 GiB, as torch's own writer lays it out with zip64 fields. It exists only while it is read.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

mod torch_maker;

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Instant;

use expert_build::format::torch::{self, FaultKind};
use expert_build::format::zip::Kind;
use torch_maker::{int, text};

/// Bytes, then zeros, then bytes.
struct Sparse {
    head: Vec<u8>,
    zeros: u64,
    tail: Vec<u8>,
    at: u64,
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (hole, end) = (self.head.len() as u64, self.head.len() as u64 + self.zeros);
        let got = if self.at < hole {
            (&self.head[self.at as usize..]).read(buffer)?
        } else if self.at < end {
            let count = (end - self.at).min(buffer.len() as u64) as usize;
            buffer[..count].fill(0);
            count
        } else {
            self.tail.get((self.at - end) as usize..).unwrap_or_default().read(buffer)?
        };
        self.at += got as u64;
        Ok(got)
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = at;
        Ok(at)
    }
}

/// The zip64 extra field of these values.
fn wide(values: &[u64]) -> Vec<u8> {
    if values.is_empty() {
        return Vec::new();
    }
    let mut field = [1_u16.to_le_bytes(), (8 * values.len() as u16).to_le_bytes()].concat();
    values.iter().for_each(|value| field.extend(value.to_le_bytes()));
    field
}

fn min(value: u64) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

/// A local header of torch's writer: flags 3 and 11, zeros for checksum and sizes.
fn local(name: &str, extra: &[u8]) -> Vec<u8> {
    let lengths = [(name.len() as u16).to_le_bytes(), (extra.len() as u16).to_le_bytes()].concat();
    [b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0".as_slice(), &[0; 12], &lengths, name.as_bytes(), extra].concat()
}

fn descriptor(crc: u32, size: u64, long: bool) -> Vec<u8> {
    let size = if long { size.to_le_bytes().to_vec() } else { (size as u32).to_le_bytes().to_vec() };
    [b"PK\x07\x08".as_slice(), &crc.to_le_bytes(), &size, &size].concat()
}

fn central(name: &str, crc: u32, size: u64, offset: u64) -> Vec<u8> {
    let big = |v: u64| v >= u64::from(u32::MAX);
    let mut values = if big(size) { vec![size, size] } else { Vec::new() };
    values.extend(big(offset).then_some(offset));
    let extra = wide(&values);
    let lengths = [(name.len() as u16).to_le_bytes(), (extra.len() as u16).to_le_bytes()].concat();
    [
        b"PK\x01\x02\0\0\0\0\x08\x08\0\0\0\0\0\0".as_slice(),
        &crc.to_le_bytes(),
        &min(size),
        &min(size),
        &lengths,
        &[0; 10],
        &min(offset),
        name.as_bytes(),
        &extra,
    ]
    .concat()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
#[cfg_attr(debug_assertions, ignore = "checksums of 4 GiB take minutes in code that is not optimised")]
fn a_file_over_4_gib_is_read() {
    const ROWS: u32 = (1 << 18) + 5;
    let bytes = u64::from(ROWS) * 4096 * 4;
    let numel = u64::from(ROWS) * 4096;
    let object = [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(),
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        b"\x8a\x08",
        &numel.to_le_bytes(),
        b"tQK\0",
        &int(ROWS),
        b"M\0\x10\x86M\0\x10K\x01\x86\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat();
    let mut head = Vec::new();
    let mut directory = Vec::new();
    for (name, data) in [("a/data.pkl", torch_maker::pickle(&object)), ("a/version", b"3\n".to_vec())] {
        directory.extend(central(name, crc(&data), data.len() as u64, head.len() as u64));
        head.extend(local(name, b"FB\x02\0ZZ"));
        head.extend(&data);
        head.extend(descriptor(crc(&data), data.len() as u64, false));
    }
    let mut zeros = flate2::Crc::new();
    let block = vec![0; 1 << 20];
    (0..bytes >> 20).for_each(|_| zeros.update(&block));
    zeros.update(&block[..(bytes % (1 << 20)) as usize]);
    directory.extend(central("a/data/0", zeros.sum(), bytes, head.len() as u64));
    head.extend(local("a/data/0", &wide(&[bytes, bytes])));
    let mut tail = descriptor(zeros.sum(), bytes, true);
    // Behind 4 GiB even a small entry has a zip64 field for its place, and a long descriptor.
    let behind = head.len() as u64 + bytes + tail.len() as u64;
    directory.extend(central("a/byteorder", crc(b"little"), 6, behind));
    tail.extend(local("a/byteorder", &wide(&[behind])));
    tail.extend(b"little");
    tail.extend(descriptor(crc(b"little"), 6, true));

    let start = head.len() as u64 + bytes + tail.len() as u64;
    let size = directory.len() as u64;
    tail.extend(&directory);
    tail.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x1e\x03\x2d\0\0\0\0\0\0\0\0\0");
    for value in [4, 4, size, start] {
        tail.extend(value.to_le_bytes());
    }
    tail.extend(b"PK\x06\x07\0\0\0\0");
    tail.extend((start + size).to_le_bytes());
    tail.extend(b"\x01\0\0\0PK\x05\x06\0\0\0\0\x04\0\x04\0");
    tail.extend(min(size));
    tail.extend(min(start));
    tail.extend([0, 0]);

    let len = head.len() as u64 + bytes + tail.len() as u64;
    let mut source = Sparse { head, zeros: bytes, tail, at: 0 };
    let begun = Instant::now();
    let file = torch::read(&mut source, len).unwrap();
    eprintln!("{} MiB in {:?}", len >> 20, begun.elapsed());
    assert_eq!(file.tensors[0].shape, [u64::from(ROWS), 4096]);
    assert!(file.oddities.is_empty(), "{:?}", file.oddities);

    // One byte of the four thousand million is another one.
    source.head.push(1);
    source.zeros -= 1;
    assert_eq!(torch::read(&mut source, len).unwrap_err().kind, FaultKind::Zip(Kind::Crc));
}
