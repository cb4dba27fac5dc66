//! The fuzz body of torch files over the fixtures and thousands of seeded mutations of them, and generated pickles.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

mod fixtures;
#[path = "fuzz/bodies/torch.rs"]
mod fuzz;
mod torch_maker;

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use expert_build::format::{torch, zip};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::Config;
use proptest::{prop_assert_eq, proptest};
use torch_maker::{Member, int, legacy_head, pickle, tensor, text};

/// Time for all mutations; as many are made as fit, in the same order on every machine.
const TIME: Duration = Duration::from_secs(6);
/// Mutations of each input that are always made.
const LEAST: u64 = 12;

/// Marsaglia's xorshift: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn corpus() -> Vec<PathBuf> {
    let Some(dir) = fixtures::dir() else { return Vec::new() };
    let mut files = Vec::new();
    let mut folders = vec![dir.join("pt"), dir.join("experts"), dir.join("experts-bad")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "pt" || e == "pth" || e == "bin") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// A changed copy: flipped bits, numbers at their limits, cuts, repeats, pieces of another input.
fn mutate(random: &mut Random, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(out.len());
        match random.below(9) {
            _ if out.is_empty() => out.push(random.next() as u8),
            0 | 1 => out[at] ^= 1 << random.below(8),
            2 => out[at] = random.next() as u8,
            // Every byte of the opcodes.
            3 => {
                out[at] = b"(.012FIJKLMNPQRSTUVXabcdeghijlopqrstu]})GBC\x80\x81\x85\x86\x87\x88\x8a\x8c\x93\x94\x95"
                    [random.below(53)]
            }
            4 => out.truncate(at),
            5 => {
                let value =
                    [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 62][random.below(10)];
                let end = (at + [1, 2, 4, 8][random.below(4)]).min(out.len());
                out[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
            }
            6 => {
                let end = (at + random.below(32)).min(out.len());
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            7 => {
                let end = (at + random.below(16)).min(out.len());
                out.drain(at..end);
            }
            _ => {
                let from = random.below(other.len());
                let end = (from + random.below(64)).min(other.len());
                out.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
    out
}

fn run(data: &[u8]) {
    let start = Instant::now();
    fuzz::torch(data);
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(1) + Duration::from_micros(data.len() as u64),
        "{took:?} for {} bytes",
        data.len()
    );
}

/// The archive of a file as members, so that a changed pickle passes the checksums.
fn members(bytes: &[u8]) -> Option<Vec<Member>> {
    let mut source = Cursor::new(bytes);
    let directory = zip::read(&mut source, bytes.len() as u64).ok()?;
    let mut members = Vec::new();
    for (name, entry) in &directory.entries {
        let mut data = Vec::new();
        entry.open(name, &mut source).ok()?.read_to_end(&mut data).ok()?;
        members.push(Member { name: name.clone(), data, ..Member::default() });
    }
    Some(members)
}

#[test]
fn mutations_of_every_fixture() {
    let files: Vec<(PathBuf, Vec<u8>)> = corpus().into_iter().map(|p| (p.clone(), fs::read(p).unwrap())).collect();
    for (_, bytes) in &files {
        run(bytes);
    }
    let small: Vec<&(PathBuf, Vec<u8>)> = files.iter().filter(|(_, bytes)| bytes.len() < 10_000).collect();
    let (start, mut made) = (Instant::now(), 0_u64);
    for round in 0.. {
        if small.is_empty() || round >= LEAST && start.elapsed() > TIME {
            break;
        }
        for (i, (path, bytes)) in small.iter().enumerate() {
            // A seed of the input and round alone: a failure can be made again.
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round << 20) ^ (i as u64 + 1));
            let other = &small[random.below(small.len())].1;
            let changed = mutate(&mut random, bytes, other);
            let _context = Context(path, round);
            run(&changed);
            if let Some(mut members) = members(bytes) {
                let which = members.iter().position(|m| m.name.ends_with("data.pkl")).unwrap_or(0);
                if !members.is_empty() {
                    members[which].data = mutate(&mut random, &members[which].data, other);
                    run(&torch_maker::zip(&members));
                }
            }
            made += 2;
        }
    }
    eprintln!("{} files, {made} mutations", files.len());
}

/// Says which input it was when the body panics.
struct Context<'a>(&'a Path, u64);

impl Drop for Context<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in round {} of {}", self.1, self.0.display());
        }
    }
}

/// Opcodes at random: most are nonsense, all get an answer.
#[test]
fn rows_of_opcodes() {
    let mut random = Random(42);
    let words: Vec<Vec<u8>> = [
        b"(".as_slice(),
        b".",
        b"0",
        b"1",
        b"2",
        b"N",
        b"R",
        b"Q",
        b"a",
        b"b",
        b"d",
        b"}",
        b"e",
        b"l",
        b"]",
        b"s",
        b"t",
        b")",
        b"u",
        b"q\0",
        b"q\x01",
        b"h\0",
        b"h\x01",
        b"\x81",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x88",
        b"\x89",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"\x93",
        b"\x94",
        b"K\x04",
        b"K\x08",
        b"ccollections\nOrderedDict\n",
        b"ccollections\nCounter\n",
        b"ctorch\nSize\n",
        b"ctorch\nfloat32\n",
        b"ctorch\nFloatStorage\n",
        b"ctorch\nTensor\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch._utils\n_rebuild_tensor_v3\n",
        b"ctorch._utils\n_rebuild_parameter\n",
        b"ctorch._utils\n_rebuild_sparse_tensor\n",
        b"ctorch._tensor\n_rebuild_from_type_v2\n",
        b"cbuiltins\nset\n",
        b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n",
        b"ctorch._utils\n_rebuild_qtensor\n",
    ]
    .iter()
    .map(|w| w.to_vec())
    .chain([text("storage"), text("0"), text("cpu"), text("torch.sparse_coo"), tensor("0"), int(32), int(u32::MAX)])
    .collect();
    for _ in 0..20_000 {
        let mut data = legacy_head();
        for _ in 0..random.below(60) {
            data.extend(&words[random.below(words.len())]);
        }
        data.extend(b".\x80\x02]");
        data.extend(text("0"));
        data.extend(b"a.\x20\0\0\0\0\0\0\0");
        data.extend([1; 128]);
        run(&data);
    }
}

/// A container of tensors and other values.
#[derive(Debug, Clone)]
enum Tree {
    Tensor,
    Other(u8),
    List(Vec<Tree>),
    Tuple(Vec<Tree>),
    Dict(Vec<Tree>),
}

impl Tree {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Tensor => out.extend(tensor("0")),
            Self::Other(n) => match n % 6 {
                0 => out.push(b'N'),
                1 => out.extend(text("ünïcode")),
                2 => out.extend(b"G\x3f\xf0\0\0\0\0\0\0"),
                3 => out.extend(b"\x8a\x09\0\0\0\0\0\0\0\0\x01"),
                4 => out.extend(b"\x88"),
                _ => out.extend(int(u32::from(*n))),
            },
            Self::List(items) => {
                out.extend(b"](");
                items.iter().for_each(|item| item.write(out));
                out.push(b'e');
            }
            Self::Tuple(items) => {
                out.push(b'(');
                items.iter().for_each(|item| item.write(out));
                out.push(b't');
            }
            Self::Dict(items) => {
                out.extend(b"}(");
                for (i, item) in items.iter().enumerate() {
                    out.extend(text(&format!("k{i}")));
                    item.write(out);
                }
                out.push(b'u');
            }
        }
    }

    /// The keys of its tensors, as torch's users would write them.
    fn keys(&self, path: &str, found: &mut Vec<String>) {
        let under = |part: String| if path.is_empty() { part } else { format!("{path}/{part}") };
        match self {
            Self::Tensor => found.push(path.to_owned()),
            Self::Other(_) => {}
            Self::List(items) | Self::Tuple(items) => {
                items.iter().enumerate().for_each(|(i, item)| item.keys(&under(i.to_string()), found));
            }
            Self::Dict(items) => {
                items.iter().enumerate().for_each(|(i, item)| item.keys(&under(format!("k{i}")), found))
            }
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![Just(Tree::Tensor), any::<u8>().prop_map(Tree::Other)];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let items = proptest::collection::vec(inner, 0..6);
        prop_oneof![
            items.clone().prop_map(Tree::List),
            items.clone().prop_map(Tree::Tuple),
            items.prop_map(Tree::Dict),
        ]
    })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]
    /// Whatever the containers, each tensor is found once, under its key and in its order.
    #[test]
    fn nested_containers_are_read_back(tree in trees()) {
        let mut body = tensor("0");
        body.push(b'0');
        tree.write(&mut body);
        let bytes = torch_maker::zip(&torch_maker::members(&pickle(&body), &[("0", &[1; 128])]));
        let file = torch::read(&mut Cursor::new(&bytes), bytes.len() as u64).unwrap();
        let mut expected = Vec::new();
        tree.keys("", &mut expected);
        let found: Vec<&str> = file.tensors.iter().map(|t| t.key.as_str()).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(file.tensors.iter().filter(|t| t.shape != [4, 8]).count(), 0);
    }
}
