//! The scan of values against a plain loop over values, however the file is cut.

use expert_build::format::safetensors::{Header, Scan, ScanReport};
use proptest::prelude::{any, prop, proptest};
use proptest::prop_assert_eq;
use safetensors::Dtype;

use crate::header::{build, dtypes, read};

/// A file of these tensors: name, type, values' bytes.
pub fn file(tensors: &[(&str, Dtype, &[u64], Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (String::from("{"), Vec::<u8>::new());
    for (name, dtype, shape, bytes) in tensors {
        let start = data.len();
        data.extend(bytes);
        header.push_str(&format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{}]}},"#,
            data.len()
        ));
    }
    header.truncate(header.len().max(2) - 1);
    header.push('}');
    let mut bytes = build(&header, 0);
    bytes.extend(data);
    bytes
}

pub fn scan(bytes: &[u8]) -> (Header, ScanReport) {
    let header = read(bytes).unwrap();
    let mut scan = Scan::new(&header);
    scan.feed(0, bytes);
    let report = scan.finish(&header).unwrap();
    (header, report)
}

/// NaN, infinite, all zero: one value at a time, with the language's own floats where it has them.
fn plain(dtype: Dtype, bytes: &[u8]) -> (u64, u64, bool) {
    let (mut nan, mut inf, mut zero) = (0, 0, !bytes.is_empty());
    let mut tell = |is_nan: bool, is_inf: bool, is_zero: bool| {
        nan += u64::from(is_nan);
        inf += u64::from(is_inf);
        zero &= is_zero;
    };
    match dtype {
        Dtype::F32 | Dtype::C64 => bytes.chunks(4).for_each(|b| {
            let x = f32::from_le_bytes(b.try_into().unwrap());
            tell(x.is_nan(), x.is_infinite(), x == 0.0);
        }),
        Dtype::BF16 => bytes.chunks(2).for_each(|b| {
            let x = f32::from_le_bytes([0, 0, b[0], b[1]]);
            tell(x.is_nan(), x.is_infinite(), x == 0.0);
        }),
        Dtype::F64 => bytes.chunks(8).for_each(|b| {
            let x = f64::from_le_bytes(b.try_into().unwrap());
            tell(x.is_nan(), x.is_infinite(), x == 0.0);
        }),
        Dtype::F16 => bytes.chunks(2).for_each(|b| {
            let (exponent, mantissa) = (b[1] >> 2 & 31, u16::from(b[1] & 3) << 8 | u16::from(b[0]));
            tell(exponent == 31 && mantissa != 0, exponent == 31 && mantissa == 0, exponent == 0 && mantissa == 0);
        }),
        Dtype::F8_E5M2 => bytes.iter().for_each(|b| {
            let (exponent, mantissa) = (b >> 2 & 31, b & 3);
            tell(exponent == 31 && mantissa != 0, exponent == 31 && mantissa == 0, exponent == 0 && mantissa == 0);
        }),
        Dtype::F8_E4M3 => bytes.iter().for_each(|b| tell(b & 0x7f == 0x7f, false, b & 0x7f == 0)),
        Dtype::F8_E4M3FNUZ => bytes.iter().for_each(|b| tell(*b == 0x80, false, *b == 0)),
        Dtype::F8_E8M0 => bytes.iter().for_each(|b| tell(*b == 0xff, false, false)),
        Dtype::F4 => bytes.iter().for_each(|b| tell(false, false, b & 0x77 == 0)),
        _ => bytes.iter().for_each(|b| tell(false, false, *b == 0)),
    }
    (nan, inf, zero)
}

/// Random bytes hold NaN often enough in small types; for wide ones the top bytes are set on purpose.
fn salt(bytes: &mut [u8], seed: u64) {
    let mut random = crate::header::Random(seed | 1);
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len());
        for byte in bytes.iter_mut().skip(at & !7).take(8) {
            *byte = [0x7f, 0x80, 0xff, 0x7c, 0xf0, 0][random.below(6)];
        }
    }
}

proptest! {
    #[test]
    fn any_cut_gives_what_a_plain_loop_gives(
        dtype in dtypes(), mut bytes in prop::collection::vec(any::<u8>(), 0..40), sizes in prop::collection::vec(1_usize..300, 1..40),
        counts in prop::collection::vec(0_usize..700, 1..5), zero in any::<bool>(), seed in any::<u64>(),
    ) {
        bytes.push(3);
        let mut tensors = Vec::new();
        let names = ["a", "b", "c", "d"];
        for (name, count) in names.iter().zip(&counts) {
            let size = dtype.bitsize().max(8) / 8;
            let mut values: Vec<u8> = bytes.iter().copied().cycle().take(count * size).collect();
            if zero { values.fill(0) }
            if !values.is_empty() { salt(&mut values, seed) }
            let shape = vec![(values.len() * 8 / dtype.bitsize()) as u64];
            tensors.push((*name, dtype, shape, values));
        }
        let views: Vec<(&str, Dtype, &[u64], Vec<u8>)> = tensors.iter().map(|(n, d, s, v)| (*n, *d, s.as_slice(), v.clone())).collect();
        let whole = file(&views);
        let (header, report) = scan(&whole);
        for (name, dtype, _, values) in &views {
            let index = header.tensors.iter().position(|t| *t.name == **name).unwrap();
            let found = &report.tensors[index];
            prop_assert_eq!((found.nan, found.inf, found.zero), plain(*dtype, values), "{} {}", name, dtype);
        }
        // The same file in pieces, merged backwards.
        let mut cut = Scan::new(&header);
        let (scanner, mut at, mut found) = (cut.scanner(), 0, Vec::new());
        for size in sizes.iter().cycle() {
            if at >= whole.len() { break }
            let end = (at + size).min(whole.len());
            found.push(scanner.chunk(at as u64, &whole[at..end]));
            at = end;
        }
        found.into_iter().rev().for_each(|chunk| cut.merge(chunk));
        prop_assert_eq!(cut.finish(&header).unwrap(), report);
    }
}

#[test]
fn fingerprints_follow_values_not_metadata_or_order() {
    let (a, b): (Vec<u8>, Vec<u8>) = ((0..200).collect(), (50..150).collect());
    let one = file(&[("a", Dtype::U8, &[200], a.clone()), ("b", Dtype::U8, &[100], b.clone())]);
    let two = file(&[("b", Dtype::U8, &[100], b.clone()), ("a", Dtype::U8, &[200], a.clone())]);
    assert_eq!(scan(&one).1.fingerprint, scan(&two).1.fingerprint);
    let renamed = file(&[("a", Dtype::U8, &[200], a.clone()), ("c", Dtype::U8, &[100], b.clone())]);
    assert_ne!(scan(&one).1.fingerprint, scan(&renamed).1.fingerprint);
    let mut changed = a;
    changed[199] ^= 1;
    let changed = file(&[("a", Dtype::U8, &[200], changed), ("b", Dtype::U8, &[100], b)]);
    let (one, changed) = (scan(&one).1, scan(&changed).1);
    assert_ne!(one.fingerprint, changed.fingerprint);
    assert_ne!(one.tensors[0].fingerprint, changed.tensors[0].fingerprint);
    assert_eq!(one.tensors[1].fingerprint, changed.tensors[1].fingerprint);
}

#[test]
fn bytes_that_never_came_are_a_fault() {
    let bytes = file(&[("a", Dtype::F32, &[100], vec![0; 400])]);
    let header = read(&bytes).unwrap();
    let mut scan = Scan::new(&header);
    scan.feed(0, &bytes[..bytes.len() - 1]);
    assert!(scan.finish(&header).unwrap_err().what.contains("399 of 400 bytes"));
    assert!(Scan::new(&header).finish(&header).is_err());
}

/// `cargo test --release --test weights -- --ignored --nocapture speed`
#[test]
#[ignore = "measures; run by hand in a release build"]
fn speed() {
    for dtype in [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64, Dtype::F8_E4M3] {
        let count = 64 << 20;
        let values: Vec<u8> = (0..count).map(|i: u32| (i.wrapping_mul(0x9e37_79b1) >> 24) as u8 & 0x3b).collect();
        let bytes = file(&[("a", dtype, &[u64::from(count) * 8 / dtype.bitsize() as u64], values)]);
        let header = read(&bytes).unwrap();
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = std::time::Instant::now();
            let mut scan = Scan::new(&header);
            for (i, chunk) in bytes.chunks(1 << 20).enumerate() {
                scan.feed((i << 20) as u64, chunk);
            }
            std::hint::black_box(scan.finish(&header).unwrap());
            best = best.min(start.elapsed().as_secs_f64());
        }
        let start = std::time::Instant::now();
        std::hint::black_box((expert_build::base::Sha256::of(&bytes), expert_build::base::Digest::of(&bytes)));
        let hash = start.elapsed().as_secs_f64();
        let rate = |seconds: f64| bytes.len() as f64 / seconds / 1e9;
        eprintln!("{dtype}: scan {:.1} GB/s, both hashes {:.2} GB/s, cost {:.2}", rate(best), rate(hash), best / hash);
    }
}
