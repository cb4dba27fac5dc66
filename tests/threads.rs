//! Reading packages by several threads: the same answers as by one, on sound packages and on damaged ones.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own their effects")]

mod packages;

use std::path::Path;

use expert_build::format::archive::Limits;
use expert_build::format::segment::Compression;
use expert_build::ops::verify::{Options, Report, verify};
use expert_build::ops::{Reading, cat, extract, inspect, sign};
use packages::{Native, gnu_tar, gzip, key, noise, put, safetensors};

const JOBS: [usize; 2] = [2, 8];

/// Everything with more than one segment, the weights too.
fn native(compression: Compression) -> Native {
    let mut native = Native::big(compression);
    let values: Vec<f32> = (0..400_000_u32).map(|n| (n % 1_000) as f32 / 8.0).collect();
    native.files.insert("adapter_model.safetensors".into(), safetensors(&[("lora_A", &[400_000], &values)]));
    native
}

fn verified(package: &Path, jobs: usize) -> Result<Report, String> {
    verify(package, &Options { jobs, ..Options::default() }).map_err(|e| e.to_string())
}

#[test]
fn every_verb_answers_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for compression in Compression::ALL {
        let native = native(compression);
        let package = put(dir.path(), "x.expert", &native.bytes(Some(&key(1))));
        let sum = format!("{}  x.expert\n", expert_build::base::Sha256::of(&std::fs::read(&package).unwrap()));
        put(dir.path(), "x.expert.sha256", sum.as_bytes());
        let alone = verified(&package, 1).unwrap();
        assert!(alone.ok && alone.checksum.is_some(), "{alone:#?}");
        let shown = |jobs| inspect::inspect(&package, true, Reading { limits: Limits::default(), jobs }).unwrap();
        let shown_alone = format!("{:?}", shown(1));
        for jobs in JOBS {
            assert_eq!(verified(&package, jobs).as_ref(), Ok(&alone));
            assert!(format!("{:?}", shown(jobs)) == shown_alone, "{compression}, {jobs} threads");
            for (name, bytes) in &native.files {
                let mut out = Vec::new();
                let reading = Reading { limits: Limits::default(), jobs };
                assert_eq!(cat::cat(&package, name, reading, &mut out).unwrap(), bytes.len() as u64);
                assert!(out == *bytes, "{compression}, {jobs} threads: {name}");
            }
            let target = dir.path().join(format!("{compression}-{jobs}"));
            let options = Options { jobs, ..Options::default() };
            extract::extract(&package, &target, &|_| true, false, &options).unwrap();
            for (name, bytes) in &native.files {
                assert!(std::fs::read(target.join(name)).unwrap() == *bytes, "{name}");
            }
        }
        let wrong = format!("{}  x.expert\n", "0".repeat(64));
        put(dir.path(), "x.expert.sha256", wrong.as_bytes());
        assert_eq!(verified(&package, 4), verified(&package, 1));
        assert!(!verified(&package, 4).unwrap().ok);
    }
}

#[test]
fn damage_is_found_by_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let sound = native(compression).bytes(Some(&key(1)));
        for at in [sound.len() / 3, sound.len() / 2, sound.len() - 40, sound.len() - 5, 1_000] {
            for cut in [false, true] {
                let mut bytes = sound.clone();
                match cut {
                    true => bytes.truncate(at),
                    false => bytes[at] ^= 0x55,
                }
                let package = put(dir.path(), "d.expert", &bytes);
                let alone = verified(&package, 1);
                // A seek table that is damaged is not relied on, and the package is whole without it.
                let in_table = compression == Compression::Zstd && at > sound.len() - 100;
                assert!(in_table || !alone.as_ref().is_ok_and(|report| report.ok), "{compression} {at} {cut}");
                for jobs in JOBS {
                    let found = verified(&package, jobs);
                    assert_eq!(found.is_err(), alone.is_err(), "{compression} {at} {cut}: {found:?} and {alone:?}");
                    if let (Ok(found), Ok(alone)) = (found, &alone) {
                        assert_eq!(found, *alone);
                    }
                }
            }
        }
        // A hostile length is refused by the limit, not by the memory.
        let package = put(dir.path(), "l.expert", &sound);
        let options =
            Options { jobs: 4, limits: Limits { max_size: 1 << 20, ..Limits::default() }, ..Options::default() };
        assert!(verify(&package, &options).unwrap_err().to_string().contains("--max-size"), "{compression}");
    }
}

#[test]
fn a_gzip_package_of_ours_is_signed_by_copying_and_one_of_others_by_packing() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(1);
    let signing =
        sign::Options { key: &key, publisher: None, created_at: None, output: None, limits: Limits::default() };
    // Contents whose last segment is stored, coded, matched, one byte long, empty.
    let mut native = native(Compression::Gzip);
    for (name, content) in [
        ("a-stored", noise((1 << 20) + 70_000)),
        ("b-one-more", noise((1 << 20) + 1)),
        ("c-text", b"the same words over and over, ".repeat(50_000)),
        ("d-zeros", vec![0; 1 << 20]),
        ("e-byte", b"x".to_vec()),
        ("f-empty", Vec::new()),
        ("t-last", noise(77)),
    ] {
        native.files.insert(name.into(), content);
    }
    let package = put(dir.path(), "x.expert", &native.bytes(None));
    let size = std::fs::metadata(&package).unwrap().len();
    let signed = sign::sign(&package, &signing).unwrap();
    assert!(signed.copied > size - 20_000, "{} of {size}", signed.copied);
    assert!(std::fs::read(&package).unwrap() == native.bytes(Some(&key)), "as if it had been built with the key");
    let again = sign::sign(&package, &signing).unwrap();
    assert!(again.copied == signed.copied && std::fs::read(&package).unwrap() == native.bytes(Some(&key)));

    // The same tar, packed by another program: whole, and with nothing that could be copied.
    let tar = {
        let mut tar = Vec::new();
        let bytes = native.bytes(None);
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut tar).unwrap();
        tar
    };
    let other = put(dir.path(), "o.expert", &gzip(&tar));
    let signed = sign::sign(&other, &signing).unwrap();
    assert_eq!(signed.copied, 0);
    assert!(std::fs::read(&other).unwrap() == native.bytes(Some(&key)), "packed again, it is ours");

    // A foreign layout of headers.
    let entries = native.entries(None);
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    let foreign = put(dir.path(), "f.expert", &gzip(&gnu_tar(&entries)));
    sign::sign(&foreign, &signing).unwrap();
    assert!(verified(&foreign, 2).unwrap().ok);
}
