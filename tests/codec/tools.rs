//! The readers of others take what we write: gzip, zstd, libdeflate, Python, GNU tar.

#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "tests own their effects")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use expert_build::base::RelPath;
use expert_build::format::segment::{Codec, Compression, SEGMENT};
use expert_build::format::tar;

use crate::assemble;
use crate::samples::{KINDS, sample};

/// What `program` prints for `args`; none, and a loud word, where it is not installed.
fn run(program: &str, args: &[&str], file: &Path) -> Option<Vec<u8>> {
    match Command::new(program)
        .args(args)
        .arg(file)
        .env("TZ", "UTC")
        .env("PYTHONUTF8", "1")
        .env("LC_ALL", "C.UTF-8")
        .output()
    {
        Ok(done) => {
            assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
            Some(done.stdout)
        }
        Err(fault) => {
            eprintln!("SKIPPED: `{program}`: {fault}");
            None
        }
    }
}

/// zlib itself, one member, nothing after it.
const ZLIB: &str = "import sys, zlib
d = zlib.decompressobj(31); out = d.decompress(open(sys.argv[1], 'rb').read())
assert d.eof and not d.unused_data
sys.stdout.buffer.write(out)";

/// Each member's name and size.
const LIST: &str = "import sys, tarfile
for m in tarfile.open(sys.argv[1]): print(m.name, m.size, m.mtime, oct(m.mode), m.uid, m.gid, m.uname + m.gname)";

#[test]
fn other_decoders_read_our_segments() {
    let dir = tempfile::tempdir().unwrap();
    for (compression, level) in [
        (Compression::Gzip, None),
        (Compression::Gzip, Some(1)),
        (Compression::Gzip, Some(9)),
        (Compression::Zstd, None),
        (Compression::Zstd, Some(19)),
    ] {
        let pieces: Vec<_> = KINDS.iter().map(|kind| sample(kind, SEGMENT / 3, 9)).collect();
        let views: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let file = dir.path().join(if compression == Compression::Gzip { "p.gz" } else { "p.zst" });
        fs::write(&file, assemble(Codec::new(compression, level).unwrap(), &views)).unwrap();
        let readers: &[(&str, &[&str])] = match compression {
            Compression::Gzip => &[("gzip", &["-dc"]), ("libdeflate-gunzip", &["-c"]), ("python3", &["-c", ZLIB])],
            _ => &[("zstd", &["-dcq"])],
        };
        for (program, args) in readers {
            if let Some(out) = run(program, args, &file) {
                assert!(out == pieces.concat(), "{program} at {level:?}");
            }
        }
        let tester = if compression == Compression::Gzip { ("gzip", "-t") } else { ("zstd", "-tq") };
        run(tester.0, &[tester.1], &file);
    }
}

#[test]
fn other_tars_read_our_headers() {
    let long = ["d".repeat(250).as_str(); 16].join("/") + "/" + &"f".repeat(75);
    let content = sample("text", 700, 3);
    let (mut archive, mut listed) = (Vec::new(), String::new());
    for path in ["manifest.json", "soft_prompts/längst/提示.pt", &"n".repeat(100), &"n".repeat(101), &long] {
        archive.extend(tar::header(&RelPath::new(path).unwrap(), content.len() as u64, 315_532_800));
        archive.extend(&content);
        archive.resize(archive.len() + tar::padding(content.len() as u64), 0);
        listed += &format!("{path} 700 315532800 0o644 0 0 \n");
    }
    assert_eq!(long.len(), 4091);
    let dir = tempfile::tempdir().unwrap();
    for codec in [Compression::Gzip, Compression::Zstd].map(|c| Codec::new(c, None).unwrap()) {
        let file = dir.path().join(format!("p.{}", codec.compression));
        fs::write(&file, assemble(codec, &[&archive, &tar::END])).unwrap();
        let unpack = if codec.compression == Compression::Gzip { "-xzOf" } else { "--zstd -xOf" };
        let args: Vec<&str> = unpack.split(' ').collect();
        if let Some(out) = run("tar", &args, &file) {
            assert!(out == content.repeat(5));
        }
        if codec.compression == Compression::Gzip
            && let Some(out) = run("python3", &["-c", LIST], &file)
        {
            assert_eq!(String::from_utf8(out).unwrap(), listed);
        }
    }
}

#[test]
fn other_tars_read_sizes_past_eight_gib() {
    let dir = tempfile::tempdir().unwrap();
    let (file, size) = (dir.path().join("huge.tar"), 10_u64 << 30);
    let header = tar::header(&RelPath::new("huge.safetensors").unwrap(), size, 315_532_800);
    fs::write(&file, &header).unwrap();
    // A hole where the content would be.
    let whole = header.len() as u64 + size + tar::END.len() as u64;
    if let Err(fault) = File::options().write(true).open(&file).unwrap().set_len(whole) {
        eprintln!("SKIPPED: no sparse file of 10 GiB: {fault}");
        return;
    }
    if let Some(out) = run("python3", &["-c", LIST], &file) {
        assert_eq!(String::from_utf8(out).unwrap(), "huge.safetensors 10737418240 315532800 0o644 0 0 \n");
    }
    if let Some(out) = run("tar", &["-tvf"], &file) {
        assert!(String::from_utf8(out).unwrap().contains(" 10737418240 1980-01-0"));
    }
}
