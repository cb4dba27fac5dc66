//! `Header`: the tensors of a safetensors file, in the order in which they lie, proven to fill the file.

use std::collections::BTreeMap;

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::fields::{Entry, Fields, first_twice, read};
use super::lfs::{LfsPointer, is_lfs_pointer};
use super::names::shown;
use crate::base::Malformed;

/// Longest header that is read: the format's own limit.
pub const MAX_HEADER: u64 = 100_000_000;

/// The tensors and metadata of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Where the data section begins in the file.
    pub data_start: u64,
    /// By their place in the data section; empty tensors before what lies at the same place.
    pub tensors: Vec<Tensor>,
    /// The strings of `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// What is odd but harmless.
    #[serde(skip)]
    pub warnings: Vec<Malformed>,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Its name.
    pub name: Box<str>,
    /// The type of its values.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Box<[u64]>,
    /// First byte in the data section.
    pub start: u64,
    /// The byte after the last one.
    pub end: u64,
}

impl Tensor {
    /// The number of values.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// What kind of fault a header has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The file ends before its header or its last tensor does.
    Truncated,
    /// It is a Git LFS pointer, not a safetensors file.
    LfsPointer(LfsPointer),
    /// Anything else.
    Malformed,
}

/// Why a file was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderFault {
    /// Its kind.
    pub kind: FaultKind,
    /// Place in the file and phrase.
    pub malformed: Malformed,
}

impl From<Malformed> for HeaderFault {
    fn from(malformed: Malformed) -> Self {
        Self { kind: FaultKind::Malformed, malformed }
    }
}

fn truncated(at: u64, what: impl Into<String>) -> HeaderFault {
    HeaderFault { kind: FaultKind::Truncated, malformed: Malformed::new(at, what) }
}

impl Header {
    /// How many bytes of the file [`Header::parse`] wants, told by the first of them (eight suffice; with more, a
    /// Git LFS pointer is known).
    pub fn len_needed(prefix: &[u8], file_len: u64) -> Result<usize, HeaderFault> {
        if let Some(pointer) = is_lfs_pointer(prefix) {
            let what = format!("a Git LFS pointer to {} bytes stands in place of the weights", pointer.size);
            return Err(HeaderFault { kind: FaultKind::LfsPointer(pointer), malformed: Malformed::new(0, what) });
        }
        let Some(first) = prefix.first_chunk::<8>() else {
            return Err(truncated(
                file_len,
                format!("the file has {file_len} bytes, too few for a safetensors header"),
            ));
        };
        let length = u64::from_le_bytes(*first);
        if length > MAX_HEADER {
            return Err(Malformed::new(
                0,
                format!("not a safetensors file: its header would have {length} bytes, the format allows {MAX_HEADER}"),
            )
            .into());
        }
        if length + 8 > file_len {
            return Err(truncated(
                file_len,
                format!("the header should have {length} bytes, the file ends after {}", file_len.saturating_sub(8)),
            ));
        }
        Ok(length as usize + 8)
    }

    /// Reads the header from the file's first bytes (see [`Header::len_needed`]; more do no harm).
    pub fn parse(prefix: &[u8], file_len: u64) -> Result<Self, HeaderFault> {
        let needed = Self::len_needed(prefix, file_len)?;
        let Some(text) = prefix.get(8..needed) else {
            return Err(truncated(prefix.len() as u64, "the file ends inside its header"));
        };
        if text.first() != Some(&b'{') {
            return Err(Malformed::new(8, "the header does not begin with `{`").into());
        }
        let text = std::str::from_utf8(text)
            .map_err(|fault| Malformed::new(8 + fault.valid_up_to() as u64, "the header is not UTF-8"))?;
        let Fields { mut entries, metadata, warnings } = read(text, 8)?;
        if let Some(i) = first_twice(entries.len(), |i| &entries[i].name) {
            return Err(Malformed::new(
                entries[i].at,
                format!("the tensor `{}` stands twice", shown(&entries[i].name)),
            )
            .into());
        }
        for entry in &entries {
            check_size(entry)?;
        }
        entries.sort_unstable_by(|a, b| (a.offsets, &a.name).cmp(&(b.offsets, &b.name)));
        check_cover(&entries, needed as u64, file_len)?;
        let tensors = entries.into_iter().map(|entry| Tensor {
            name: entry.name,
            dtype: entry.dtype,
            shape: entry.shape,
            start: entry.offsets.0,
            end: entry.offsets.1,
        });
        Ok(Self {
            data_start: needed as u64,
            tensors: tensors.collect(),
            metadata: metadata.into_iter().collect(),
            warnings,
        })
    }

    /// The number of bytes of all tensors.
    pub fn data_len(&self) -> u64 {
        self.tensors.last().map_or(0, |tensor| tensor.end)
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| &*tensor.name == name)
    }
}

/// Shape × dtype must be what the offsets give.
fn check_size(entry: &Entry) -> Result<(), Malformed> {
    let Entry { at, name, dtype, shape, offsets: (start, end) } = entry;
    let name = || shown(name);
    if start > end {
        return Err(Malformed::new(*at, format!("tensor `{}` ends ({end}) before it begins ({start})", name())));
    }
    let bits = shape.iter().try_fold(dtype.bitsize() as u64, |bits, dim| bits.checked_mul(*dim));
    // A product with a zero in it may overflow on the way; whoever wrote that did not mean a tensor.
    let Some(bits) = bits else {
        return Err(Malformed::new(*at, format!("tensor `{}`: the shape {shape:?} overflows", name())));
    };
    if bits % 8 != 0 {
        return Err(Malformed::new(*at, format!("tensor `{}`: {dtype} {shape:?} does not end on a byte", name())));
    }
    if bits / 8 != end - start {
        return Err(Malformed::new(
            *at,
            format!(
                "tensor `{}`: {dtype} {shape:?} needs {} bytes, the offsets give {}",
                name(),
                bits / 8,
                end - start
            ),
        ));
    }
    Ok(())
}

/// The tensors must lie end to end, from the start of the data section to the end of the file.
fn check_cover(entries: &[Entry], data_start: u64, file_len: u64) -> Result<(), HeaderFault> {
    let mut before: Option<&Entry> = None;
    for entry in entries {
        let end = before.map_or(0, |entry| entry.offsets.1);
        let start = entry.offsets.0;
        if start < end {
            let (other, name) = (before.map(|entry| shown(&entry.name)).unwrap_or_default(), shown(&entry.name));
            return Err(Malformed::new(entry.at, format!("the tensors `{other}` and `{name}` overlap")).into());
        }
        if start > end {
            let what = format!(
                "bytes {end} to {start} of the data before tensor `{}` belong to no tensor",
                shown(&entry.name)
            );
            return Err(Malformed::new(entry.at, what).into());
        }
        before = Some(entry);
    }
    let (end, data_len) = (before.map_or(0, |entry| entry.offsets.1), file_len - data_start);
    if let Some(last) = before.filter(|_| end > data_len) {
        let what =
            format!("the file ends {} bytes before its last tensor `{}` does", end - data_len, shown(&last.name));
        return Err(truncated(file_len, what));
    }
    if end < data_len {
        return Err(Malformed::new(data_start + end, format!("{} bytes follow the last tensor", data_len - end)).into());
    }
    Ok(())
}
