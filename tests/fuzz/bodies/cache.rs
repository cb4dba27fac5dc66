//! What a cache or index may hold: any bytes, with the hash that they must end with, are taken or count as absent.

use expert_build::base::Digest;
use expert_build::engine::record::{FileResult, KeptFinding, PackageResult, Piece, blobs, decode, encode};
use expert_build::format::segment::SEGMENT;
use expert_build::ops::history::History;
use expert_build::ops::memo::Memo;
use expert_build::store::Index;
use expert_build::store::index::Changed;

/// Reads `data` as each record of the cache. What is taken is consistent in itself: it is added up without looking.
pub fn record(data: &[u8]) {
    blobs(data);
    if let Some((file, rest)) = decode::<FileResult>(data) {
        let again = encode(&file, rest);
        // What the scan may hold is any JSON, and serde_json reads a double back with its last digit off.
        let bare = |file: &FileResult| FileResult { scan: None, ..file.clone() };
        assert_eq!(decode::<FileResult>(&again).map(|(file, _)| bare(&file)), Some(bare(&file)));
        for size in [0, 1 << 20, file.segments.iter().map(|s| u64::from(s.0)).sum()] {
            if file.is_of(size) {
                let (source, packed) = file.segments.iter().fold((0, 0), |(source, packed), s| {
                    assert!(s.0 as usize <= SEGMENT);
                    (source + u64::from(s.0), packed + u64::from(s.1))
                });
                assert_eq!((source, packed), (size, file.packed.size()));
            }
        }
    }
    if let Some(package) = PackageResult::decode(data) {
        let mut inline = 0;
        let sizes = package.pieces.iter().map(|piece| match piece {
            Piece::Inline(size) => {
                inline += *size as usize;
                *size
            }
            Piece::Blob(digest) => digest.size(),
        });
        assert_eq!(sizes.sum::<u64>(), if package.pieces.is_empty() { 0 } else { package.bytes });
        assert_eq!(inline, package.inline.len());
        for found in package.warnings.iter().filter_map(KeptFinding::restore) {
            assert!(!found.code.name.is_empty());
        }
        assert_eq!(PackageResult::decode(&package.encode()).as_ref(), Some(&package));
    }
}

/// Reads `data` as the end of an index, then as what a block of one holds (so many records, so many bytes of stats), and
/// asks it all that is ever asked.
pub fn index(data: &[u8]) {
    Index::parse([data, Digest::of(data).hash()].concat());
    let Some(([records, low, high], block)) = data.split_first_chunk() else { return };
    let (stats, digests) = block.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(block.len()));
    let Some(index) = Index::parse(Index::of_block(u32::from(*records), stats, digests)) else { return };
    let keys = ["", "e", "experts/sql", "\u{10ffff}"];
    for key in index.keys().chain(keys).take(1000) {
        let Some(record) = index.get(key) else { continue };
        let below = |_: &std::ffi::CStr, _| None;
        if let Err(Changed::Folder(path) | Changed::Input(path) | Changed::Output(path)) =
            record.check(&[0; 32], &below)
        {
            assert!(path.len() <= 3 * data.len());
        }
        record.input(c"e/manifest.json");
        record.stats().tells_of(key, "e/manifest.json");
        let whole = record.decode();
        let memo = record.memo();
        if let Some(whole) = &whole {
            assert_eq!(memo, Some(&whole.memo[..]));
        }
        if let Some(memo) = memo {
            Memo::decode(memo);
            let history = History::decode(memo);
            history.packages.iter().for_each(|past| drop(past.keys()));
        }
    }
}
