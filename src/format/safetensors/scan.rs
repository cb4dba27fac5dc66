//! `Scan`: looks at every value of a safetensors file while its bytes pass by, whole or in chunks, in any order.
//!
//! A [`Scanner`] knows what lies where and may be shared by threads; each calls [`Scanner::chunk`] with the bytes it
//! has just read, and the results are merged into a [`Scan`]. Chunks may begin and end anywhere: a group of values
//! that a border splits is kept as fragments until all of it has come.

use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::fingerprint::{Fingerprint, GROUP};
use super::header::Header;
use super::lanes::Tally;
use crate::base::Malformed;

/// What lies where in the file.
#[derive(Debug)]
pub struct Scanner {
    slots: Vec<Slot>,
}

/// A tensor that has values, by its place in the file.
#[derive(Debug)]
struct Slot {
    start: u64,
    end: u64,
    dtype: Dtype,
    /// Its index in the header.
    tensor: usize,
}

/// What one chunk of the file holds.
#[derive(Debug, Default)]
pub struct ChunkScan {
    tallies: Vec<(usize, Tally)>,
    fragments: Vec<Fragment>,
    bytes: u64,
}

/// Part of a group that a border of the chunk splits.
#[derive(Debug)]
struct Fragment {
    slot: usize,
    group: u64,
    from: usize,
    bytes: Vec<u8>,
}

impl Scanner {
    /// A scanner for the file of this header.
    pub fn new(header: &Header) -> Self {
        let slots = header.tensors.iter().enumerate().filter(|(_, tensor)| tensor.start < tensor.end);
        let slots = slots.map(|(index, tensor)| Slot {
            start: header.data_start + tensor.start,
            end: header.data_start + tensor.end,
            dtype: tensor.dtype,
            tensor: index,
        });
        Self { slots: slots.collect() }
    }

    /// Looks at the bytes that stand at `offset` of the file. Header bytes among them are passed over.
    pub fn chunk(&self, offset: u64, bytes: &[u8]) -> ChunkScan {
        let mut found = ChunkScan::default();
        let stop = offset + bytes.len() as u64;
        let first = self.slots.partition_point(|slot| slot.end <= offset);
        for (index, slot) in self.slots.iter().enumerate().skip(first) {
            if slot.start >= stop {
                break;
            }
            let (from, to) = (slot.start.max(offset), slot.end.min(stop));
            let part = &bytes[(from - offset) as usize..(to - offset) as usize];
            found.bytes += part.len() as u64;
            slot.look(index, from - slot.start, part, &mut found);
        }
        found
    }
}

impl Slot {
    fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Looks at the part of the tensor that begins at its byte `at`.
    fn look(&self, index: usize, at: u64, part: &[u8], found: &mut ChunkScan) {
        let within = (at % GROUP as u64) as usize;
        let head = if within == 0 { 0 } else { part.len().min(GROUP - within) };
        let (head, rest) = part.split_at(head);
        let mut group = at / GROUP as u64;
        if !head.is_empty() {
            found.fragments.push(Fragment { slot: index, group, from: within, bytes: head.to_vec() });
            group += 1;
        }
        if rest.is_empty() {
            return;
        }
        let (groups, tail) = rest.as_chunks::<GROUP>();
        let mut tally = Tally::default();
        tally.add(self.dtype, group, groups);
        group += groups.len() as u64;
        if !tail.is_empty() {
            if at + part.len() as u64 == self.len() {
                tally.add(self.dtype, group, &[padded(tail)]);
            } else {
                found.fragments.push(Fragment { slot: index, group, from: 0, bytes: tail.to_vec() });
            }
        }
        found.tallies.push((index, tally));
    }
}

fn padded(bytes: &[u8]) -> [u8; GROUP] {
    let mut group = [0; GROUP];
    group[..bytes.len()].copy_from_slice(bytes);
    group
}

/// The sum of all chunks so far.
#[derive(Debug)]
pub struct Scan {
    scanner: Arc<Scanner>,
    tallies: Vec<Tally>,
    /// Split groups: what has come of them, and how many bytes that is.
    pending: BTreeMap<(usize, u64), ([u8; GROUP], usize)>,
    bytes: u64,
}

impl Scan {
    /// A scan that has seen nothing yet.
    pub fn new(header: &Header) -> Self {
        let scanner = Arc::new(Scanner::new(header));
        let tallies = vec![Tally::default(); scanner.slots.len()];
        Self { scanner, tallies, pending: BTreeMap::new(), bytes: 0 }
    }

    /// What threads call [`Scanner::chunk`] on.
    pub fn scanner(&self) -> Arc<Scanner> {
        Arc::clone(&self.scanner)
    }

    /// Looks at the bytes at `offset` of the file and adds them.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        let found = self.scanner.chunk(offset, bytes);
        self.merge(found);
    }

    /// Adds what a chunk held. Each byte of the file must come once, in any order.
    pub fn merge(&mut self, found: ChunkScan) {
        self.bytes += found.bytes;
        for (slot, tally) in found.tallies {
            self.tallies[slot].merge(&tally);
        }
        for Fragment { slot: index, group, from, bytes } in found.fragments {
            let slot = &self.scanner.slots[index];
            let whole = (slot.len() - group * GROUP as u64).min(GROUP as u64) as usize;
            let (together, filled) = self.pending.entry((index, group)).or_insert(([0; GROUP], 0));
            together[from..from + bytes.len()].copy_from_slice(&bytes);
            *filled += bytes.len();
            if *filled == whole {
                self.tallies[index].add(slot.dtype, group, &[*together]);
                self.pending.remove(&(index, group));
            }
        }
    }

    /// What the values are; a fault if not every byte has come once.
    pub fn finish(self, header: &Header) -> Result<ScanReport, Malformed> {
        if self.bytes != header.data_len() || !self.pending.is_empty() {
            let what = format!("{} of {} bytes of tensors were read", self.bytes, header.data_len());
            return Err(Malformed::new(header.data_start, what));
        }
        let nothing = Tally::default();
        let empty = TensorScan { nan: 0, inf: 0, zero: false, fingerprint: nothing.sum.finish(0) };
        let mut tensors = vec![empty; header.tensors.len()];
        for (slot, tally) in self.scanner.slots.iter().zip(&self.tallies) {
            tensors[slot.tensor] = TensorScan {
                nan: tally.nan,
                inf: tally.inf,
                zero: !tally.nonzero,
                fingerprint: tally.sum.finish(slot.len()),
            };
        }
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_unstable_by_key(|i| &header.tensors[*i].name);
        let parts = order.into_iter().flat_map(|i| {
            let tensor = &header.tensors[i];
            let kind = format!("{} {:?} {}", tensor.dtype, tensor.shape, tensors[i].fingerprint);
            [tensor.name.to_string(), kind]
        });
        let fingerprint = Fingerprint::of(parts);
        Ok(ScanReport { tensors, fingerprint })
    }
}

/// What the values of a file are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanReport {
    /// By the header's order of tensors.
    pub tensors: Vec<TensorScan>,
    /// Equal where names, types, shapes and values of all tensors are: whatever their order and the metadata.
    pub fingerprint: Fingerprint,
}

/// What the values of a tensor are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorScan {
    /// Values that are not a number.
    pub nan: u64,
    /// Infinite values.
    pub inf: u64,
    /// There are values, and all are zero.
    pub zero: bool,
    /// Equal for equal bytes.
    pub fingerprint: Fingerprint,
}
