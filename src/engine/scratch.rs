//! `Scratch`: what a thread keeps from one piece of work to the next, so that nothing is allocated twice.

use std::collections::BTreeMap;

use crate::format::segment::{Codec, Packer};
use crate::format::segment_reader::SegmentReader;

/// Tables and buffers of one thread.
#[derive(Default)]
pub struct Scratch {
    packers: BTreeMap<Codec, Packer>,
    /// A buffer for whoever needs one now.
    pub buffer: Vec<u8>,
    /// Unpacks what another machine packed.
    pub reader: SegmentReader,
}

impl Scratch {
    /// The packer of this codec.
    pub fn packer(&mut self, codec: Codec) -> &mut Packer {
        self.packers.entry(codec).or_insert_with(|| Packer::new(codec))
    }
}
