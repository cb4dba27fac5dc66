//! Makes torch files by hand for tests: a zip writer that can lie, and pickles of tensors.

#![allow(dead_code, clippy::unwrap_used, reason = "each test takes what it needs")]

use std::io::Write;

/// One entry as it is written; what is left `None` is true.
#[derive(Clone, Default)]
pub struct Member {
    pub name: String,
    pub data: Vec<u8>,
    pub deflate: bool,
    /// Sizes and checksum behind the data: 12, 16, 20 or 24 bytes.
    pub descriptor: Option<usize>,
    pub flags: u16,
    pub method: Option<u16>,
    pub unpacked: Option<u32>,
    pub attributes: u32,
    /// The name in the local header.
    pub local_name: Option<String>,
    /// Bytes behind the deflated data, counted as its own.
    pub behind: Vec<u8>,
    /// Bytes behind the entry, counted as nobody's.
    pub gap: Vec<u8>,
}

pub fn member(name: &str, data: &[u8]) -> Member {
    Member { name: name.into(), data: data.into(), ..Member::default() }
}

/// A zip archive of these members, in this order.
pub fn zip(members: &[Member]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for m in members {
        let mut crc = flate2::Crc::new();
        crc.update(&m.data);
        let crc = crc.sum();
        let mut packed = m.data.clone();
        if m.deflate {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(&m.data).unwrap();
            packed = encoder.finish().unwrap();
        }
        packed.extend_from_slice(&m.behind);
        let method = m.method.unwrap_or(if m.deflate { 8 } else { 0 });
        let flags = m.flags | if m.descriptor.is_some() { 8 } else { 0 };
        let unpacked = m.unpacked.unwrap_or(m.data.len() as u32);
        let header = out.len() as u32;
        let head = |own: bool| {
            let mut h = Vec::new();
            h.extend([20, 0]);
            h.extend(flags.to_le_bytes());
            h.extend(method.to_le_bytes());
            h.extend([0; 4]);
            let zero = own && m.descriptor.is_some();
            for value in [crc, packed.len() as u32, unpacked] {
                h.extend(if zero { 0_u32 } else { value }.to_le_bytes());
            }
            h
        };
        let local_name = m.local_name.as_ref().unwrap_or(&m.name);
        out.extend(b"PK\x03\x04");
        out.extend(head(true));
        out.extend((local_name.len() as u16).to_le_bytes());
        out.extend([0, 0]);
        out.extend(local_name.as_bytes());
        out.extend(&packed);
        if let Some(len) = m.descriptor {
            if matches!(len, 16 | 24) {
                out.extend(b"PK\x07\x08");
            }
            out.extend(crc.to_le_bytes());
            for size in [packed.len() as u64, unpacked.into()] {
                out.extend(&size.to_le_bytes()[..if len < 20 { 4 } else { 8 }]);
            }
        }
        out.extend(&m.gap);
        central.extend(b"PK\x01\x02\x14\x00");
        central.extend(head(false));
        central.extend((m.name.len() as u16).to_le_bytes());
        central.extend([0; 8]);
        central.extend(m.attributes.to_le_bytes());
        central.extend(header.to_le_bytes());
        central.extend(m.name.as_bytes());
    }
    let (count, at) = (members.len() as u16, out.len() as u32);
    out.extend(&central);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend((central.len() as u32).to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// The members of a torch file with this `data.pkl` and these storages.
pub fn members(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<Member> {
    let mut all = vec![member("a/data.pkl", pickle), member("a/byteorder", b"little")];
    all.extend(storages.iter().map(|(key, bytes)| member(&format!("a/data/{key}"), bytes)));
    all.push(member("a/version", b"3\n"));
    all
}

/// A whole pickle of protocol 2.
pub fn pickle(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

pub fn int(n: u32) -> Vec<u8> {
    [b"J".as_slice(), &n.to_le_bytes()].concat()
}

/// Opcodes that put a float32 tensor of 4 × 8 on the stack, on the storage of this key.
pub fn tensor(key: &str) -> Vec<u8> {
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(),
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text(key),
        &text("cpu"),
        b"K\x20tQK\0K\x04K\x08\x86K\x08K\x01\x86\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// Everything that comes before the object in the legacy format.
pub fn legacy_head() -> Vec<u8> {
    [
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".as_slice(),
        b"\x80\x02M\xe9\x03.",
        b"\x80\x02}.",
        b"\x80\x02",
    ]
    .concat()
}
