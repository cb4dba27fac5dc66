//! Entropy coding and nothing else: `coding SOURCE PACKED` packs a file as `expert-build` packs weights for gzip, on one thread,
//! without hashing or looking at values. `peers.py` sets the cost of a whole build against it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench fails by panic and does as it likes"
)]

use std::fs::File;
use std::io::{Read as _, Write as _};

use expert_build::format::segment::{Codec, Compression, Packer, SEGMENT};

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [source, packed] = &paths[..] else {
        eprintln!("nothing to do without a file to pack and one to write; peers.py names them");
        return;
    };
    let (mut source, mut packed) = (File::open(source).unwrap(), File::create(packed).unwrap());
    let mut packer = Packer::new(Codec::new(Compression::Gzip, None).unwrap());
    let (mut segment, mut out) = (vec![0; SEGMENT], Vec::new());
    loop {
        let mut filled = 0;
        while filled < SEGMENT {
            match source.read(&mut segment[filled..]).unwrap() {
                0 => break,
                count => filled += count,
            }
        }
        out.clear();
        packer.pack(&segment[..filled], &mut out);
        packed.write_all(&out).unwrap();
        if filled < SEGMENT {
            return;
        }
    }
}
