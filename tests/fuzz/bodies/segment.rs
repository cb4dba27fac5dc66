//! Segments: whatever bytes are packed, at any level, decoders read them back, and what was packed before changes nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use expert_build::format::segment::{Assembly, Codec, Compression, Encoder, Packer, SEGMENT};

/// Levels that are tried: all of gzip's, and zstd's up to where it takes long.
const LEVELS: [(Compression, u32, u32); 2] = [(Compression::Gzip, 1, 9), (Compression::Zstd, 1, 12)];

thread_local! {
    /// Making a packer costs more than packing a little; and a used one must pack as a new one does.
    static PACKERS: RefCell<BTreeMap<Codec, Packer>> = const { RefCell::new(BTreeMap::new()) };
}

/// How `data` says that it is to be packed, and the sources.
pub fn sources(data: &[u8]) -> (Codec, Vec<Vec<u8>>) {
    let (head, body) = data.split_at(data.len().min(4));
    let at = |i: usize| u32::from(head.get(i).copied().unwrap_or(0));
    let (compression, low, high) = LEVELS[at(0) as usize % 2];
    let codec = Codec { compression, level: low + at(1) % (high - low + 1) };
    // Longer than libFuzzer would write: repeated, with a byte changed in each copy, or with noise in between.
    let mut source = Vec::new();
    for round in 0..=at(2) % 16 {
        let from = source.len();
        source.extend_from_slice(body);
        if let Some(byte) = source.get_mut(from + (round as usize * 7) % body.len().max(1)) {
            *byte ^= round as u8;
        }
        let mut noise = round.wrapping_mul(0x9e37_79b9) | 1;
        source.extend((0..at(3) * 16).map(|_| {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            // Even, or more zeros than ones, as in weights: nothing repeats, and some bytes are frequent.
            (0..at(3) % 4).fold(noise, |bits, shift| bits & noise >> (7 * (shift + 1))) as u8
        }));
        if source.len() >= SEGMENT {
            break;
        }
    }
    source.truncate(SEGMENT);
    let cut = if head.len() > 2 { source.len() / 3 } else { 0 };
    let rest = source.split_off(cut);
    (codec, vec![source, rest])
}

/// A package of these segments, and what packed them.
pub fn packed(codec: Codec, sources: &[Vec<u8>]) -> (Vec<u8>, BTreeSet<Encoder>) {
    let mut encoders = BTreeSet::new();
    let mut assembly = Assembly::new(codec);
    let mut out = assembly.start();
    PACKERS.with_borrow_mut(|packers| {
        let packer = packers.entry(codec).or_insert_with(|| Packer::new(codec));
        for source in sources {
            let before = out.len();
            let segment = packer.pack(source, &mut out);
            assert_eq!((segment.source_len as usize, segment.packed_len as usize), (source.len(), out.len() - before));
            // Never much more than the bytes themselves.
            assert!(out.len() - before <= source.len() + source.len() / 1000 + 64);
            encoders.insert(segment.encoder);
            assembly.push(&segment);
        }
    });
    out.extend(assembly.finish());
    (out, encoders)
}

/// Packs and unpacks.
pub fn segment(data: &[u8]) {
    let (codec, sources) = sources(data);
    let (out, _) = packed(codec, &sources);
    assert!(packed(codec, &sources).0 == out, "the same bytes from a packer that was used");
    let mut back = Vec::new();
    match codec.compression {
        Compression::Gzip => {
            let mut decoder = flate2::bufread::GzDecoder::new(&out[..]);
            decoder.read_to_end(&mut back).expect("gzip reads it");
            assert!(decoder.into_inner().is_empty(), "one member");
        }
        _ => back = zstd::decode_all(&out[..]).expect("zstd reads it"),
    }
    assert!(back == sources.concat(), "{codec:?}");
}
