//! How fast a segment is packed and unpacked on one thread, by kind of data: `cargo bench --bench codec`.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panic, and criterion's macros have no docs")]

#[path = "../codec/samples.rs"]
mod samples;

use std::hint::black_box;
use std::io::Read;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
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

criterion_group!(benches, pack, unpack);
criterion_main!(benches);
