//! Packed segments read back, by our crates and by the tools of others, and their bytes are a pure function.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

mod samples;
mod tools;

use std::io::Read;

use expert_build::base::Sha256;
use expert_build::format::segment::{Assembly, Codec, Compression, Encoder, Packer, RECIPE, SEGMENT};
use proptest::prelude::*;

use samples::{KINDS, sample};

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
            // What a level does it does in every block; whole segments are for the usual ones.
            let whole = [Codec::new(Compression::Gzip, None), Codec::new(Compression::Zstd, None)].contains(&Ok(codec));
            let long = if whole { &[300_001, SEGMENT - 1, SEGMENT][..] } else { &[140_001] };
            for &len in [2, 3, 100, 65_535, 65_536, 65_537].iter().chain(long) {
                let source = sample(kind, len, 7);
                let packed = assemble(codec, &[&source]);
                assert!(unpack(codec.compression, &packed) == source, "{codec:?} {kind} {len}");
            }
        }
    }
}

#[test]
fn bytes_do_not_depend_on_what_was_packed_before_nor_on_what_is_in_the_room() {
    for codec in codecs() {
        let mut reused = Packer::new(codec);
        let sources: Vec<_> = KINDS.iter().map(|kind| sample(kind, 200_000, 3)).collect();
        let mut room = vec![0xa5; 300_000];
        for source in sources.iter().chain(sources.iter().rev()) {
            let (mut again, mut fresh) = (vec![1, 2, 3], Vec::new());
            let segment = reused.pack(source, &mut again);
            assert_eq!(segment, Packer::new(codec).pack(source, &mut fresh));
            assert!(again[..3] == [1, 2, 3] && again[3..] == fresh, "{codec:?}");
            assert_eq!(segment, reused.pack_over(source, &mut room));
            assert!(room[..fresh.len()] == fresh, "{codec:?}");
        }
    }
}

/// The bytes of one recipe. Where this fails and the change is meant, raise `RECIPE` and take the new
/// hashes: caches hold packed bytes under the recipe's number.
#[test]
fn bytes_change_with_the_recipe_alone() {
    let codec = |compression, level| Codec::new(compression, level).unwrap();
    let mut seen = Vec::new();
    for codec in [
        codec(Compression::Gzip, Some(1)),
        codec(Compression::Gzip, None),
        codec(Compression::Gzip, Some(9)),
        codec(Compression::Zstd, None),
        codec(Compression::Zstd, Some(19)),
        codec(Compression::None, None),
    ] {
        let pieces: Vec<_> = KINDS.iter().map(|kind| sample(kind, 150_000, 11)).collect();
        let views: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let sha = Sha256::of(&assemble(codec, &views)).to_string();
        seen.push(format!("{} {} {}", codec.compression, codec.level, &sha[..16]));
    }
    assert_eq!(RECIPE, 5);
    insta::assert_snapshot!(seen.join("\n"), @r"
    gzip 1 4dec70768b359ed2
    gzip 6 5bd92a65cd5af55e
    gzip 9 b8a4e49f83b7d763
    zstd 3 a5a4a0205da46976
    zstd 19 f3ba7a94bf9fa62a
    none 0 7fcc16433ca3c607
    ");
}

/// Weights too: an eighth of their bytes is counted at the default level, and matching hard makes zstd's frames longer.
#[test]
fn a_level_above_the_default_makes_nothing_longer() {
    for (compression, level) in [(Compression::Gzip, 9), (Compression::Zstd, 9), (Compression::Zstd, 19)] {
        let mut gained = Vec::new();
        for kind in KINDS {
            let source = sample(kind, 400_000, 13);
            let length = |level| {
                let codec = Codec::new(compression, level).unwrap();
                Packer::new(codec).pack(&source, &mut Vec::new()).packed_len
            };
            let (high, default) = (length(Some(level)), length(None));
            // Of zeros some 400 bytes are left, whichever way.
            assert!(high <= default + 8, "{compression} {level} {kind}: {high}, by default {default}");
            if high < default {
                gained.push(kind);
            }
        }
        for kind in ["text", "upcast", "header+weights", "bf16", "f32"] {
            assert!(gained.contains(&kind), "{compression} {level}: {gained:?}");
        }
    }
}

#[test]
fn each_kind_gets_its_encoder() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut packer = Packer::new(Codec::new(compression, None).unwrap());
        for (kind, encoder) in [
            ("zeros", Encoder::Match),
            ("text", Encoder::Match),
            ("upcast", Encoder::Match),
            ("half", Encoder::Match),
            ("header+weights", Encoder::Match),
            ("bf16", Encoder::Entropy),
            ("f32", Encoder::Entropy),
            ("random", Encoder::Stored),
        ] {
            let segment = packer.pack(&sample(kind, SEGMENT, 5), &mut Vec::new());
            assert_eq!(segment.encoder, encoder, "{compression} {kind}");
        }
    }
}

/// The trailer says the length modulo 2^32, and the combined CRC-32 is that of the whole.
#[test]
fn lengths_past_four_gib_wrap() {
    let codec = Codec::new(Compression::Gzip, None).unwrap();
    let (zeros, tail) = (vec![0; SEGMENT], b"tail");
    let mut packer = Packer::new(codec);
    let (first, last) = (packer.pack(&zeros, &mut Vec::new()), packer.pack(tail, &mut Vec::new()));
    let (mut assembly, mut crc) = (Assembly::new(codec), flate2::Crc::new());
    for _ in 0..4096 {
        assembly.push(&first);
        crc.update(&zeros);
    }
    assembly.push(&last);
    crc.update(tail);
    let end = assembly.finish();
    assert_eq!(end, [&[3, 0], &crc.sum().to_le_bytes()[..], &4_u32.to_le_bytes()].concat());
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
