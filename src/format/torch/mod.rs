//! Reads what `torch.save` writes, as data: which tensors there are, never what they would run.
//!
//! Two formats (`torch/serialization.py`, `caffe2/serialize/inline_container.cc` of pytorch/pytorch):
//!
//! ```text
//! zip, since torch 1.6: one folder of any name with
//!   data.pkl        the object; each storage is a persistent id ("storage", class, key, location, elements)
//!   data/<key>      the bytes of a storage, stored
//!   version         "3\n"
//!   byteorder       "little" or "big", since 2.1; and .format_version, .storage_alignment, .data/serialization_id
//! legacy:
//!   pickle 0x1950a86a20f9469cfc6c | pickle 1001 | pickle of a dict about the machine | pickle of the object
//!   | pickle of the list of storage keys | for each key: u64 number of elements, bytes
//! ```
//! Memory is bounded by [`MEMORY`] and a few buffers whatever the file says; time by the file's length.

mod archive;
mod fault;
mod globals;
mod legacy;
mod rebuild;
mod walk;

use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use crate::format::zip;

pub use fault::{FaultKind, TorchFault};
pub use globals::Dtype;

/// What the values of a file's pickles and the list of its tensors may take together.
pub const MEMORY: usize = 28 << 20;

/// The two formats of `torch.save`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A zip archive, since torch 1.6.
    Zip,
    /// Pickles and raw storages in a row.
    Legacy,
}

/// How a tensor's elements lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// In a storage, by strides.
    Strided,
    /// Nowhere: a tensor of the `meta` device has a shape and no elements.
    Meta,
    /// Coordinates and values.
    SparseCoo,
    /// Compressed rows.
    SparseCsr,
    /// Compressed columns.
    SparseCsc,
    /// Compressed rows of blocks.
    SparseBsr,
    /// Compressed columns of blocks.
    SparseBsc,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strided => "strided",
            Self::Meta => "meta",
            Self::SparseCoo => "sparse_coo",
            Self::SparseCsr => "sparse_csr",
            Self::SparseCsc => "sparse_csc",
            Self::SparseBsr => "sparse_bsr",
            Self::SparseBsc => "sparse_bsc",
        })
    }
}

/// A tensor as torch would report it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchTensor {
    /// Its path in the container, parts joined by `/`; empty for a bare tensor.
    pub key: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its size in each dimension.
    pub shape: Vec<u64>,
    /// Elements from one index to the next; empty where the layout is sparse.
    pub stride: Vec<u64>,
    /// The element of its storage that it begins at.
    pub storage_offset: u64,
    /// How its elements lie.
    pub layout: Layout,
}

/// Something that is odd about a file that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// Bytes or archive entries that no tensor refers to: what and how many.
    Extra(String),
    /// A pickle protocol that `torch.load` refuses by default.
    Protocol(u8),
    /// Storages that say they were on another device than the CPU.
    Devices(Vec<String>),
}

/// What a torch file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchFile {
    /// Which of the two formats.
    pub format: Format,
    /// Python's name of the outermost type: `Tensor`, `Parameter`, `dict`, `OrderedDict`, `list`, …
    pub container: String,
    /// The tensors, in the order of the container.
    pub tensors: Vec<TorchTensor>,
    /// The protocol of the object's pickle.
    pub pickle_protocol: u8,
    /// What is odd about it.
    pub oddities: Vec<Oddity>,
}

/// So many bytes of a file are enough for [`is_pickled`].
pub const HEAD: usize = 512;

/// Would Python unpickle a file of this name that begins like this? Pickles before protocol 2 are plain text, which only
/// the name tells.
pub fn is_pickled(name: &str, head: &[u8]) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    if matches!(&*ending, "pkl" | "pickle" | "joblib" | "ckpt") {
        return true;
    }
    match head {
        [0x80, 2..=5, ..] => true,
        // The name of the first entry stands behind 30 bytes.
        [b'P', b'K', 3, 4, ..] => {
            let length = head.get(26..28).map_or(0, |n| usize::from(u16::from_le_bytes([n[0], n[1]])));
            let entry = head.get(30..30 + length).unwrap_or_default();
            matches!(&*ending, "bin" | "pt" | "pth") || entry.ends_with(b"/data.pkl") || entry == b"data.pkl"
        }
        _ => false,
    }
}

/// Reads the torch file of `len` bytes.
pub fn read<R: Read + Seek>(source: &mut R, len: u64) -> Result<TorchFile, TorchFault> {
    let mut head = [0; 64];
    let head = &mut head[..len.min(64) as usize];
    rewind(source)?;
    source.read_exact(head).map_err(|e| unreadable(0, &e))?;
    match head {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => archive::read(source, len),
        [0x80, ..] => legacy::read(source, len),
        _ => Err(not_torch(source, len, head)?),
    }
}

/// Says what a file is that torch did not write.
fn not_torch<R: Read + Seek>(source: &mut R, len: u64, head: &[u8]) -> Result<TorchFault, TorchFault> {
    let from = len.saturating_sub(22);
    source.seek(SeekFrom::Start(from)).map_err(|e| unreadable(from, &e))?;
    let mut tail = Vec::new();
    source.take(22).read_to_end(&mut tail).map_err(|e| unreadable(from, &e))?;
    let what = match head {
        [] => "the file is empty",
        _ if head.starts_with(b"version https://git-lfs") => "a Git LFS pointer stands in the place of the file",
        _ if zip::find_end(&tail) => {
            let what = "something stands before the zip archive: the file can be read as two things";
            return Ok(TorchFault::new(FaultKind::Zip(zip::Kind::Layout), 0, what));
        }
        [0x1f, 0x8b, ..] => "not a torch file: it is compressed with gzip",
        [_, _, _, _, _, _, _, _, b'{', ..] => "not a torch file: it looks like safetensors",
        _ if head.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => "not a torch file: it is text",
        _ => "not a torch file: it is neither a zip archive nor a pickle",
    };
    Ok(TorchFault::new(FaultKind::NotTorch, 0, what))
}

fn rewind<R: Seek>(source: &mut R) -> Result<(), TorchFault> {
    source.seek(SeekFrom::Start(0)).map(drop).map_err(|e| unreadable(0, &e))
}

fn unreadable(at: u64, error: &std::io::Error) -> TorchFault {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => TorchFault::new(FaultKind::Truncated, at, "the file ends too early"),
        _ => TorchFault::new(FaultKind::Unreadable, at, error.to_string()),
    }
}

/// What every reader has to say at its end.
fn finish(
    format: Format,
    pickle: crate::format::pickle::Pickle,
    found: walk::Found,
    devices: Vec<String>,
    extra: Option<String>,
) -> TorchFile {
    let mut oddities: Vec<Oddity> = extra.map(Oddity::Extra).into_iter().collect();
    if pickle.protocol > 3 {
        oddities.push(Oddity::Protocol(pickle.protocol));
    }
    if !devices.is_empty() {
        oddities.push(Oddity::Devices(devices));
    }
    TorchFile {
        format,
        container: found.container.to_owned(),
        tensors: found.tensors,
        pickle_protocol: pickle.protocol,
        oddities,
    }
}
