//! Packed segments read back, by our crates and by the tools of others, and their bytes are a pure function.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::io::Read;

use expert_build::format::segment::{Assembly, Codec, Compression, Packer, SEGMENT};
use proptest::prelude::*;

/// Pseudo-random words (xorshift64*): the same on every machine.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 56) as u8).collect()
    }

    /// A value around 0 with the bell of four summed uniforms, as weights have.
    fn weight(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| (self.next() >> 40) as f32 / 16_777_216.0 - 0.5).sum();
        sum * 0.02
    }
}

const KINDS: [&str; 11] =
    ["empty", "one", "zeros", "equal", "random", "text", "bf16", "f32", "upcast", "half", "header+weights"];

/// `len` bytes of a kind of data.
fn sample(kind: &str, len: usize, seed: u64) -> Vec<u8> {
    let mut noise = Noise(seed | 1);
    let words = ["\"token", "\": ", "Ġthe", ",\n  ", "ing", "1234", "[", "merges", "\u{120}a", "tion"];
    let mut out = Vec::with_capacity(len + 8);
    match kind {
        "empty" => return Vec::new(),
        "one" => return vec![seed as u8],
        "zeros" => out.resize(len, 0),
        "equal" => out.resize(len, seed as u8),
        "random" => out = noise.bytes(len),
        "half" => {
            out.resize(len / 2, 0);
            out.extend(sample("bf16", len - len / 2, seed));
        }
        "header+weights" => {
            out = sample("text", len / 20, seed);
            out.extend(sample("bf16", len - len / 20, seed));
        }
        _ => {
            while out.len() < len {
                match kind {
                    "text" => {
                        out.extend_from_slice(words[(noise.next() >> 60) as usize % words.len()].as_bytes());
                        out.extend_from_slice((noise.next() >> 50).to_string().as_bytes());
                    }
                    "bf16" => out.extend_from_slice(&noise.weight().to_bits().to_le_bytes()[2..]),
                    "f32" => out.extend_from_slice(&noise.weight().to_bits().to_le_bytes()),
                    "upcast" => out.extend_from_slice(&(noise.weight().to_bits() & 0xffff_0000).to_le_bytes()),
                    _ => unreachable!("{kind}"),
                }
            }
            out.truncate(len);
        }
    }
    out
}

/// A package of `pieces`, each a segment.
fn assemble(codec: Codec, pieces: &[&[u8]]) -> Vec<u8> {
    let mut packer = Packer::new(codec);
    let mut assembly = Assembly::new(codec);
    let mut out = assembly.start();
    for piece in pieces {
        let before = out.len();
        let segment = packer.pack(piece, &mut out);
        assert_eq!((segment.source_len as usize, segment.packed_len as usize), (piece.len(), out.len() - before));
        assembly.push(&segment);
    }
    out.extend(assembly.finish());
    out
}

fn unpack(compression: Compression, packed: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match compression {
        // The decoder of a single member: it stops where a second one would begin.
        Compression::Gzip => {
            let mut decoder = flate2::bufread::GzDecoder::new(packed);
            decoder.read_to_end(&mut out).unwrap();
            assert!(decoder.into_inner().is_empty(), "bytes after the first member");
        }
        Compression::Zstd => out = zstd::decode_all(packed).unwrap(),
        Compression::None => out.extend_from_slice(packed),
    }
    out
}

fn codecs() -> Vec<Codec> {
    let codec = |compression, level| Codec::new(compression, level).unwrap();
    vec![
        codec(Compression::Gzip, None),
        codec(Compression::Gzip, Some(1)),
        codec(Compression::Gzip, Some(9)),
        codec(Compression::Zstd, None),
        codec(Compression::Zstd, Some(1)),
        codec(Compression::Zstd, Some(12)),
        codec(Compression::None, None),
    ]
}

#[test]
fn every_kind_reads_back_at_every_size() {
    for codec in codecs() {
        for kind in KINDS {
            for len in [2, 3, 100, 65_535, 65_536, 65_537, 300_001, SEGMENT - 1, SEGMENT] {
                let source = sample(kind, len, 7);
                let packed = assemble(codec, &[&source]);
                assert!(unpack(codec.compression, &packed) == source, "{codec:?} {kind} {len}");
            }
        }
    }
}

#[test]
fn bytes_do_not_depend_on_what_was_packed_before() {
    for codec in codecs() {
        let mut reused = Packer::new(codec);
        let sources: Vec<_> = KINDS.iter().map(|kind| sample(kind, 200_000, 3)).collect();
        for source in sources.iter().chain(sources.iter().rev()) {
            let (mut again, mut fresh) = (vec![1, 2, 3], Vec::new());
            let segment = reused.pack(source, &mut again);
            assert_eq!(segment, Packer::new(codec).pack(source, &mut fresh));
            assert!(again[..3] == [1, 2, 3] && again[3..] == fresh, "{codec:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn packages_read_back(
        pieces in prop::collection::vec((prop::sample::select(&KINDS[..]), 0..150_000_usize, any::<u64>()), 0..4),
        codec in prop::sample::select(codecs()),
    ) {
        let pieces: Vec<_> = pieces.into_iter().map(|(kind, len, seed)| sample(kind, len, seed)).collect();
        let views: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let packed = assemble(codec, &views);
        if codec.compression != Compression::Zstd || pieces.iter().any(|piece| !piece.is_empty()) {
            prop_assert!(unpack(codec.compression, &packed) == pieces.concat());
        }
    }

    #[test]
    fn any_bytes_read_back(source in prop::collection::vec(any::<u8>(), 0..3000), codec in prop::sample::select(codecs())) {
        let (left, right) = source.split_at(source.len() / 3);
        let packed = assemble(codec, &[left, right]);
        prop_assert!(source.is_empty() || unpack(codec.compression, &packed) == source);
    }
}
