//! How fast a segment is packed, unpacked, hashed and looked at on one thread, by kind of data: `cargo bench --bench codec`.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panic, and criterion's macros have no docs")]

#[path = "../codec/samples.rs"]
mod samples;

use std::hint::black_box;
use std::io::Read;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use expert_build::base::{Digest, Sha256};
use expert_build::format::safetensors::{Header, Scan};
use expert_build::format::segment::{Assembly, Codec, Compression, Packer, SEGMENT};
use samples::sample;

fn pack(criterion: &mut Criterion) {
    for codec in [Compression::Gzip, Compression::Zstd].map(|c| Codec::new(c, None).unwrap()) {
        let mut group = criterion.benchmark_group(format!("pack {}", codec.compression));
        group.throughput(Throughput::Bytes(SEGMENT as u64)).sample_size(20);
        for kind in ["bf16", "f32", "upcast", "text", "zeros", "random"] {
            let (source, mut packer, mut out) = (sample(kind, SEGMENT, 1), Packer::new(codec), Vec::new());
            group.bench_function(kind, |bencher| {
                bencher.iter(|| {
                    out.clear();
                    packer.pack(black_box(&source), &mut out)
                });
            });
        }
    }
}

fn unpack(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unpack gzip");
    group.throughput(Throughput::Bytes(SEGMENT as u64)).sample_size(20);
    let codec = Codec::new(Compression::Gzip, None).unwrap();
    for kind in ["bf16", "text"] {
        let source = sample(kind, SEGMENT, 1);
        let mut assembly = Assembly::new(codec);
        let mut packed = assembly.start();
        assembly.push(&Packer::new(codec).pack(&source, &mut packed));
        packed.extend(assembly.finish());
        let mut out = Vec::with_capacity(SEGMENT);
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                out.clear();
                flate2::read::GzDecoder::new(black_box(&packed[..])).read_to_end(&mut out).unwrap()
            });
        });
    }
}

/// What the look at the values costs beside the hashing that passes the same bytes: at most 1.3 times as much together.
fn hash(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(SEGMENT as u64)).sample_size(20);
    for (kind, dtype, width) in [("bf16", "BF16", 2), ("f32", "F32", 4)] {
        let source = sample(kind, SEGMENT, 1);
        let entry =
            format!(r#"{{"x":{{"dtype":"{dtype}","shape":[{}],"data_offsets":[0,{SEGMENT}]}}}}"#, SEGMENT / width);
        let head = [&(entry.len() as u64).to_le_bytes()[..], entry.as_bytes()].concat();
        let header = Header::parse(&head, (head.len() + SEGMENT) as u64).unwrap();
        let scanner = Scan::new(&header).scanner();
        group.bench_function(format!("{kind} digests"), |bencher| {
            bencher.iter(|| (Digest::of(black_box(&source)), Sha256::of(black_box(&source))));
        });
        group.bench_function(format!("{kind} digests and values"), |bencher| {
            bencher.iter(|| {
                let found = scanner.chunk(header.data_start, black_box(&source));
                (Digest::of(black_box(&source)), Sha256::of(black_box(&source)), found)
            });
        });
    }
}

criterion_group!(benches, pack, unpack, hash);
criterion_main!(benches);
