//! No torch file makes its reader take over 64 MiB or a second for 10 MB, whatever it repeats.
//! Alone in its binary, and one test at a time: memory is the process's.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

mod torch_maker;

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use expert_build::format::torch::{self, FaultKind};
use torch_maker::{legacy_head, tensor, text};

const MIB: u64 = 1 << 20;

/// A head, then one pattern over and over: a large file that takes no memory itself.
struct Endless {
    head: Vec<u8>,
    pattern: Vec<u8>,
    len: u64,
    at: u64,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.len.saturating_sub(self.at)).min(buffer.len() as u64) as usize;
        for byte in &mut buffer[..count] {
            let at = self.at as usize;
            *byte = match self.head.get(at) {
                Some(byte) => *byte,
                None => self.pattern[(at - self.head.len()) % self.pattern.len()],
            };
            self.at += 1;
        }
        Ok(count)
    }
}

impl Seek for Endless {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
            SeekFrom::End(by) => self.len.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}

/// A line of /proc/self/status, in bytes.
fn status(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Measures against what the process had before the first work: what an allocator keeps counts as taken.
struct Meter {
    before: u64,
    _alone: MutexGuard<'static, ()>,
}

impl Meter {
    fn new() -> Option<Self> {
        let alone = ALONE.lock().unwrap();
        let before = fs::write("/proc/self/clear_refs", "5").ok().and_then(|()| status("VmRSS:"));
        if before.is_none() {
            eprintln!("SKIPPED: this system does not tell its memory");
        }
        Some(Self { before: before?, _alone: alone })
    }

    /// The most memory that the process had during the work.
    fn peak(&self, work: impl FnOnce()) -> u64 {
        fs::write("/proc/self/clear_refs", "5").unwrap();
        work();
        status("VmHWM:").unwrap().saturating_sub(self.before)
    }
}

#[test]
fn no_pattern_takes_more_than_64_mib() {
    let big = [b"B\0\0\x10\0".as_slice(), &[7; 1 << 20]].concat();
    let pid =
        [b"(".as_slice(), &text("storage"), b"ctorch\nFloatStorage\n", &text("0"), &text("cpu"), b"K\x20NtQ0"].concat();
    let patterns: Vec<(&str, Vec<u8>, Vec<u8>)> = [
        ("marks", b"".to_vec(), b"(".to_vec()),
        ("nones", b"".to_vec(), b"N".to_vec()),
        ("lists", b"".to_vec(), b"]".to_vec()),
        ("lists that are dropped", b"".to_vec(), b"]0".to_vec()),
        ("lists of one", b"".to_vec(), b"]Na0".to_vec()),
        ("one long list", b"]".to_vec(), b"Na".to_vec()),
        ("one long list in batches", b"]".to_vec(), [b"(".as_slice(), &[b'N'; 1000], b"e"].concat()),
        ("dicts of one", b"".to_vec(), b"}K\x01Ns0".to_vec()),
        ("tuples in tuples", b"N".to_vec(), b"\x85".to_vec()),
        ("long tuples", b"".to_vec(), [b"(".as_slice(), &[b'N'; 200_000], b"t0"].concat()),
        ("memo", b"]".to_vec(), b"\x94".to_vec()),
        ("memo of lists", b"".to_vec(), b"]\x940".to_vec()),
        ("bytes", b"".to_vec(), [big.as_slice(), b"0"].concat()),
        ("short texts", b"".to_vec(), b"X\x01\0\0\0a0".to_vec()),
        ("ordered dicts", b"".to_vec(), b"ccollections\nOrderedDict\n)R0".to_vec()),
        ("sets", b"".to_vec(), b"\x8f(NN\x900".to_vec()),
        ("storages", b"".to_vec(), pid),
        ("tensors", b"".to_vec(), [tensor("0").replace_tq().as_slice(), b"0"].concat()),
        (
            "ordered dicts of a list",
            b"](NN\x86NN\x86NN\x86eq\0".to_vec(),
            b"ccollections\nOrderedDict\nh\0\x85R0".to_vec(),
        ),
    ]
    .into();
    let Some(meter) = Meter::new() else { return };
    let mut worst = 0;
    for (name, start, pattern) in patterns {
        let mut source = Endless { head: [legacy_head(), start].concat(), pattern, len: 64 * MIB, at: 0 };
        let taken = meter.peak(|| {
            let fault = torch::read(&mut source, 64 * MIB).unwrap_err();
            assert!(matches!(fault.kind, FaultKind::Limit | FaultKind::Truncated), "{name}: {fault}");
        });
        eprintln!("{name}: {} MiB, stopped at byte {}", taken >> 20, source.at);
        assert!(taken < 64 * MIB, "{name} took {} MiB", taken >> 20);
        worst = worst.max(taken);
    }
    eprintln!("worst: {} MiB", worst >> 20);
}

/// A list of lists of one tensor: a small file with very many tensors.
#[test]
fn shared_containers_do_not_multiply() {
    let refs = |from: u8, to: u8| [b"](".as_slice(), &[b'h', from].repeat(1000), b"eq", &[to]].concat();
    let object = [tensor("0").replace_tq().as_slice(), b"q\x640", &refs(100, 101), b"0", &refs(101, 102)].concat();
    let tail = [b".\x80\x02]".as_slice(), &text("0"), b"a.\x20\0\0\0\0\0\0\0", &[0; 128]].concat();
    let bytes = [legacy_head(), object, tail].concat();
    let len = bytes.len() as u64;
    let Some(meter) = Meter::new() else { return };
    let taken = meter.peak(|| {
        let fault = torch::read(&mut io::Cursor::new(bytes), len).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Limit, "{fault}");
    });
    assert!(taken < 64 * MIB, "{taken}");
}

/// As many entries as there may be, and an object that takes all that it may.
#[test]
fn a_full_archive_stays_below_64_mib() {
    let object = [b"]".as_slice(), &b"Na".repeat(2 << 20)].concat();
    let mut members = torch_maker::members(&torch_maker::pickle(&object), &[]);
    members.extend((members.len()..1 << 16).map(|i| torch_maker::member(&format!("a/data/{i:060}"), b"")));
    let bytes = torch_maker::zip(&members);
    drop(members);
    let mut source = io::Cursor::new(bytes);
    let len = source.get_ref().len() as u64;
    let Some(meter) = Meter::new() else { return };
    let taken = meter.peak(|| {
        let fault = torch::read(&mut source, len).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Limit, "{fault}");
        assert!(fault.malformed.what.contains("memory"), "{fault}");
    });
    eprintln!("full archive: {} MiB", taken >> 20);
    assert!(taken < 64 * MIB, "{taken}");
}

/// Rows of opcodes that take no memory are read to their end, and big values that they repeat are not copied.
#[test]
fn no_pattern_takes_a_second_for_10_mb() {
    const LEN: u64 = 10_000_000;
    let _alone = ALONE.lock().unwrap();
    let long = "x".repeat(1_000_000);
    let pid = [b"(".as_slice(), &text("storage"), b"ctorch\nFloatStorage\n", &text("0"), &text("cpu"), b"K\x20Ntq\0"];
    let long_pid =
        [b"(".as_slice(), &text("storage"), b"ctorch\nFloatStorage\n", &text("0"), &text(&long), b"K\x20Ntq\0"];
    let state = [b"ccollections\nOrderedDict\n)R}".as_slice(), &text(&long), b"Nsq\x000"];
    let many = [
        b"ctorch._tensor\n_rebuild_from_type_v2\nq\0ctorch._utils\n_rebuild_tensor_v2\nq\x01ctorch\nTensor\nq\x02("
            .as_slice(),
        &[b'N'; 200_000],
        b"tq\x03",
    ];
    let patterns: Vec<(&str, Vec<u8>, Vec<u8>)> = [
        ("values that are dropped", b"".to_vec(), b"N0".to_vec()),
        ("globals", b"".to_vec(), b"c__builtin__\ncomplex\n0".to_vec()),
        (
            "globals from the stack",
            [text("torch"), b"q\0".to_vec(), text("bits4x2"), b"q\x01".to_vec()].concat(),
            b"h\0h\x01\x930".to_vec(),
        ),
        ("one storage", pid.concat(), b"h\0Q0".to_vec()),
        ("one storage at a long place", long_pid.concat(), b"h\0Q0".to_vec()),
        ("one state with a long name", state.concat(), b"h\0b".to_vec()),
        ("long arguments", many.concat(), b"h\0(h\x01h\x02h\x03NtR0".to_vec()),
        ("long names", [text(&long), b"q\0".to_vec()].concat(), b"h\0h\0\x930".to_vec()),
        ("numbers as text", b"".to_vec(), b"I1\n0".to_vec()),
        ("memo", b"]".to_vec(), b"q\x05".to_vec()),
    ]
    .into();
    for (name, start, pattern) in patterns {
        let mut source = Endless { head: [legacy_head(), start].concat(), pattern, len: LEN, at: 0 };
        let begun = Instant::now();
        torch::read(&mut source, LEN).unwrap_err();
        let took = begun.elapsed();
        eprintln!("{name}: {took:?}, read up to byte {}", source.at);
        // Code that is not optimised is many times slower.
        let bound = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 1 });
        assert!(took < bound, "{name} took {took:?}");
    }
}

/// The legacy format's persistent ids have a sixth item.
trait ReplaceTq {
    fn replace_tq(&self) -> Vec<u8>;
}

impl ReplaceTq for Vec<u8> {
    fn replace_tq(&self) -> Vec<u8> {
        let at = self.windows(2).position(|w| w == b"tQ").unwrap();
        [&self[..at], b"N", &self[at..]].concat()
    }
}
