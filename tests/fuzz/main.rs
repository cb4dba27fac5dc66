//! Every fuzz body over its seeds, over seeded mutations of them, and over what libFuzzer once found.

#![allow(clippy::disallowed_methods, clippy::print_stderr, clippy::unwrap_used, reason = "tests own their effects")]

mod bodies;
#[path = "../fixtures/mod.rs"]
mod fixtures;
mod mutations;
mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use bodies::{ALL, segment};
use expert_build::format::segment::Compression;
use mutations::{Random, mutated};

/// Mutations of each target.
const ROUNDS: usize = 600;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// Runs a body; where it panics, the input is kept, ready to be put below `found/`.
fn run(target: &str, body: bodies::Body, input: &[u8], broken: &mut Vec<String>) {
    if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
        let name = blake3::hash(input).to_hex();
        let path = std::env::temp_dir().join(format!("{target}-{}", &name[..16]));
        fs::write(&path, input).unwrap();
        broken.push(format!("`{target}` fell over {}", path.display()));
    }
}

#[test]
fn seeds_and_their_mutations() {
    let (fixtures, mut broken) = (fixtures::dir(), Vec::new());
    for (number, (target, body)) in ALL.into_iter().enumerate() {
        let seeds = seeds::seeds(target, fixtures.as_deref());
        seeds.iter().for_each(|seed| run(target, body, seed, &mut broken));
        let small: Vec<&Vec<u8>> = seeds.iter().filter(|seed| seed.len() < 8 << 10).collect();
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
        for round in 0..if small.is_empty() { 0 } else { ROUNDS } {
            let other = small[random.below(small.len())];
            run(target, body, &mutated(&mut random, small[round % small.len()], other), &mut broken);
        }
        eprintln!("{target}: {} seeds", seeds.len());
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Each file below `found/` once broke something.
#[test]
fn what_was_found_stays_mended() {
    let (mut seen, mut broken) = (0, Vec::new());
    for (target, body) in ALL {
        let Ok(entries) = fs::read_dir(folder().join("found").join(target)) else { continue };
        for entry in entries {
            run(target, body, &fs::read(entry.unwrap().path()).unwrap(), &mut broken);
            seen += 1;
        }
    }
    for entry in fs::read_dir(folder().join("found")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(ALL.iter().any(|(target, _)| *target == name), "found/{name} belongs to no target");
    }
    assert!(seen > 0, "nothing was kept");
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Every body has its target for libFuzzer, and no target is without a body.
#[test]
fn every_body_is_a_target() {
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(folder().join("Cargo.toml")).unwrap()).unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap());
    assert_eq!(bins.collect::<Vec<_>>(), ALL.map(|(target, _)| target));
    for (target, _) in ALL {
        let text = fs::read_to_string(folder().join(format!("targets/{target}.rs"))).unwrap();
        assert!(text.contains(&format!("::{target}(data)")), "targets/{target}.rs runs another body");
    }
}

/// Writes the seeds where `run.sh` wants them.
#[test]
fn seeds_for_libfuzzer() {
    let Some(corpus) = std::env::var_os("EXPERT_BUILD_FUZZ_CORPUS").map(PathBuf::from) else {
        eprintln!("SKIPPED: EXPERT_BUILD_FUZZ_CORPUS names no folder for the seeds");
        return;
    };
    let fixtures = fixtures::dir();
    for (target, _) in ALL {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).unwrap();
        for seed in seeds::seeds(target, fixtures.as_deref()) {
            fs::write(folder.join(blake3::hash(&seed).to_hex().as_str()), seed).unwrap();
        }
    }
}

/// The decoders of others: libdeflate and zlib for gzip, zstd's own program.
#[test]
fn other_decoders_read_the_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut inputs = seeds::seeds("segment", None);
    let (mut random, seeds) = (Random(0x5eed), inputs.clone());
    for round in 0..60 {
        let other = &seeds[random.below(seeds.len())];
        inputs.push(mutated(&mut random, &seeds[round % seeds.len()], other));
    }
    let mut encoders = BTreeSet::new();
    let (mut gzip, mut zstd, mut whole) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    for input in &inputs {
        let (codec, sources) = segment::sources(input);
        let kind = usize::from(codec.compression != Compression::Gzip);
        if sources.concat().is_empty() {
            continue;
        }
        // Members and frames may follow each other: one call of each program reads them all.
        let (packed, by) = segment::packed(codec, &sources);
        [&mut gzip, &mut zstd][kind].extend(packed);
        encoders.extend(by.into_iter().map(|encoder| (kind, encoder)));
        whole[kind].extend(sources.concat());
    }
    assert_eq!(encoders.len(), 6, "not every way of packing was taken: {encoders:?}");
    let (gz, zst) = (dir.path().join("p.gz"), dir.path().join("p.zst"));
    fs::write(&gz, gzip).unwrap();
    fs::write(&zst, zstd).unwrap();
    const ZLIB: &str = "import sys, gzip; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
    let readers: [(&str, &[&str], &Path, &[u8]); 4] = [
        ("libdeflate-gunzip", &["-c"], &gz, &whole[0]),
        ("gzip", &["-dc"], &gz, &whole[0]),
        ("python3", &["-c", ZLIB], &gz, &whole[0]),
        ("zstd", &["-dcq"], &zst, &whole[1]),
    ];
    for (program, args, file, expected) in readers {
        match Command::new(program).args(args).arg(file).output() {
            Ok(done) => {
                assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
                assert!(done.stdout == expected, "{program} reads something else");
            }
            Err(fault) => eprintln!("SKIPPED: `{program}`: {fault}"),
        }
    }
}
