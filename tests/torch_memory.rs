//! No torch file makes its reader take over 64 MiB or a second for 10 MB, whatever it repeats.
//! Alone in its binary, and one test at a time: what is counted is the process's.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

mod torch_maker;

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use expert_build::format::torch::{self, FaultKind};
use peak_alloc::PeakAlloc;
use torch_maker::{legacy_head, tensor, text};

#[global_allocator]
static COUNTED: PeakAlloc = PeakAlloc;

const MIB: u64 = 1 << 20;
/// What a reader may take.
const MOST: usize = 64 << 20;

/// A head, then one pattern over and over: a large file that takes no memory itself.
struct Endless {
    head: Vec<u8>,
    pattern: Vec<u8>,
    len: u64,
    at: u64,
}

impl Endless {
    fn new(start: &[u8], pattern: &[u8], len: u64) -> Self {
        // Long enough to be copied in pieces and not byte by byte.
        let pattern = pattern.repeat(1 + (1 << 16) / pattern.len());
        Self { head: [legacy_head().as_slice(), start].concat(), pattern, len, at: 0 }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.at as usize;
        let from = match self.head.get(at..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => &self.pattern[(at - self.head.len()) % self.pattern.len()..],
        };
        let left = usize::try_from(self.len - self.at).unwrap();
        let count = from.len().min(buffer.len()).min(left);
        buffer[..count].copy_from_slice(&from[..count]);
        self.at += count as u64;
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

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The most bytes that were allocated at once during the work, beside what was there before it.
fn peak(work: impl FnOnce()) -> usize {
    let before = COUNTED.current_usage();
    COUNTED.reset_peak_usage();
    work();
    COUNTED.peak_usage() - before
}

#[test]
fn no_pattern_takes_more_than_64_mib() {
    let _alone = ALONE.lock().unwrap();
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
    let mut worst = 0;
    for (name, start, pattern) in patterns {
        let mut source = Endless::new(&start, &pattern, 32 * MIB);
        let taken = peak(|| {
            let fault = torch::read(&mut source, 32 * MIB).unwrap_err();
            assert!(matches!(fault.kind, FaultKind::Limit | FaultKind::Truncated), "{name}: {fault}");
        });
        eprintln!("{name}: {} MiB, stopped at byte {}", taken >> 20, source.at);
        assert!(taken < MOST, "{name} took {} MiB", taken >> 20);
        worst = worst.max(taken);
    }
    eprintln!("worst: {} MiB", worst >> 20);
}

/// A list of lists of one tensor: a small file with very many tensors.
#[test]
fn shared_containers_do_not_multiply() {
    let _alone = ALONE.lock().unwrap();
    let refs = |from: u8, to: u8| [b"](".as_slice(), &[b'h', from].repeat(1000), b"eq", &[to]].concat();
    let object = [tensor("0").replace_tq().as_slice(), b"q\x640", &refs(100, 101), b"0", &refs(101, 102)].concat();
    let tail = [b".\x80\x02]".as_slice(), &text("0"), b"a.\x20\0\0\0\0\0\0\0", &[0; 128]].concat();
    let bytes = [legacy_head(), object, tail].concat();
    let len = bytes.len() as u64;
    let taken = peak(|| {
        let fault = torch::read(&mut io::Cursor::new(bytes), len).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Limit, "{fault}");
    });
    assert!(taken < MOST, "{taken}");
}

/// As many entries as an archive without zip64 counts, and an object that takes all that it may.
#[test]
fn a_full_archive_stays_below_64_mib() {
    let _alone = ALONE.lock().unwrap();
    let object = [b"]".as_slice(), &b"Na".repeat(2 << 20)].concat();
    let mut members = torch_maker::members(&torch_maker::pickle(&object), &[]);
    members.extend((members.len()..0xffff).map(|i| torch_maker::member(&format!("a/data/{i:060}"), b"")));
    let bytes = torch_maker::zip(&members);
    drop(members);
    let mut source = io::Cursor::new(bytes);
    let len = source.get_ref().len() as u64;
    let taken = peak(|| {
        let fault = torch::read(&mut source, len).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Limit, "{fault}");
        assert!(fault.malformed.what.contains("memory"), "{fault}");
    });
    eprintln!("full archive: {} MiB", taken >> 20);
    assert!(taken < MOST, "{taken}");
}

/// What honest files may hold: more adapters' tensors than any public one has, as Python's pickler writes them.
#[test]
fn a_large_state_dict_is_read() {
    const TENSORS: u32 = 20_000;
    let _alone = ALONE.lock().unwrap();
    let put = |slot: u32| [b"r".as_slice(), &slot.to_le_bytes()].concat();
    let get = |slot: u32| [b"j".as_slice(), &slot.to_le_bytes()].concat();
    let mut object = b"}q\0ctorch._utils\n_rebuild_tensor_v2\nq\x010ctorch\nFloatStorage\nq\x020".to_vec();
    object.extend(
        [b"ccollections\nOrderedDict\nq\x030".as_slice(), &text("storage"), b"q\x040", &text("cpu"), b"q\x050("]
            .concat(),
    );
    let mut slot = 5;
    let mut next = || {
        slot += 1;
        put(slot)
    };
    for i in 0..TENSORS {
        let layer = i / 14;
        let name = format!("base_model.model.model.layers.{layer}.self_attn.q_proj.lora_A.{i}.weight");
        object.extend(
            [text(&name), next(), get(1), b"((".to_vec(), get(4), get(2), text(&i.to_string()), next(), get(5)]
                .concat(),
        );
        object.extend(
            [b"K\0t".to_vec(), next(), b"QK\0K\0K\x08\x86".to_vec(), next(), b"K\x08K\x01\x86".to_vec(), next()]
                .concat(),
        );
        object.extend(
            [b"\x89".to_vec(), get(3), b")R".to_vec(), next(), b"t".to_vec(), next(), b"R".to_vec(), next()].concat(),
        );
        if i % 1000 == 999 {
            object.extend(b"u(");
        }
    }
    object.push(b'u');
    let mut members = torch_maker::members(&torch_maker::pickle(&object), &[]);
    members.extend((0..TENSORS).map(|i| torch_maker::member(&format!("a/data/{i}"), b"")));
    let mut source = io::Cursor::new(torch_maker::zip(&members));
    let len = source.get_ref().len() as u64;
    let taken = peak(|| {
        let file = torch::read(&mut source, len).unwrap();
        assert_eq!(file.tensors.len(), TENSORS as usize);
    });
    eprintln!("{TENSORS} tensors: {} MiB", taken >> 20);
    assert!(taken < MOST, "{taken}");
}

/// Rows of opcodes that take no memory are read to their end, and big values that they repeat are not copied.
#[test]
fn no_pattern_takes_a_second_for_10_mb() {
    let _alone = ALONE.lock().unwrap();
    // Code that is not optimised is many times slower.
    const LEN: u64 = if cfg!(debug_assertions) { 2_000_000 } else { 10_000_000 };
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
        let mut source = Endless::new(&start, &pattern, LEN);
        let begun = Instant::now();
        torch::read(&mut source, LEN).unwrap_err();
        let took = begun.elapsed();
        eprintln!("{name}: {took:?}, read up to byte {}", source.at);
        assert!(took < Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 }), "{name} took {took:?}");
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

/// Keys are looked at when the whole object is there: one long key that a dict has many times over costs its length once.
#[test]
fn long_keys_cost_their_length_once() {
    let _alone = ALONE.lock().unwrap();
    let long = |head: u8, len: u32| [&[head][..], &len.to_le_bytes(), &vec![0xff; len as usize], b"q\0"].concat();
    let many = b"h\0N".repeat(30_000);
    let bytes = [long(b'B', 4_000_000).as_slice(), b"0}(", &many, b"u"].concat();
    let eight = [text(&"x".repeat(6_000_000)).as_slice(), b"q\x000(", &b"h\0".repeat(8), b"tq\x010}h\x01Ns"].concat();
    let text_key = [text(&"x".repeat(6_000_000)).as_slice(), b"q\x000}h\0Ns"].concat();
    for (name, object, reads) in [("bytes", bytes, true), ("a tuple of texts", eight, false), ("text", text_key, false)]
    {
        let members = torch_maker::members(&torch_maker::pickle(&object), &[]);
        let mut source = io::Cursor::new(torch_maker::zip(&members));
        let len = source.get_ref().len() as u64;
        let begun = Instant::now();
        let taken = peak(|| match torch::read(&mut source, len) {
            Ok(file) => assert!(reads && file.tensors.is_empty(), "{name}"),
            Err(fault) => assert!(!reads && fault.kind == FaultKind::Limit, "{name}: {fault}"),
        });
        let took = begun.elapsed();
        assert!(taken < MOST, "{name} took {} MiB", taken >> 20);
        assert!(took < Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 }), "{name} took {took:?}");
    }
}
