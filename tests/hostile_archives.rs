//! Hostile packages: every one is refused with a reason or opened without harm, by every verb.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own their effects")]

mod packages;
#[path = "packages/raw.rs"]
mod raw;

use std::path::Path;

use expert_build::base::Error;
use expert_build::format::archive::{Archive, Fault, Limits};
use expert_build::format::segment::Compression;
use expert_build::ops::verify::{Options, verify};
use expert_build::ops::{cat, extract, inspect, sign};
use packages::{Native, gzip, key, put};
use raw::{Block, archive, entry, file, long_name, pax, record};

/// What must come of a package.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// Refused, with this in the one line that says why.
    No(&'static str),
    /// Opened.
    Yes,
}
use Answer::{No, Yes};

struct Case {
    name: String,
    bytes: Vec<u8>,
    answer: Answer,
}

fn case(name: impl Into<String>, bytes: Vec<u8>, answer: Answer) -> Case {
    Case { name: name.into(), bytes, answer }
}

/// Little enough for bombs to be told apart from packages.
const LIMITS: Limits = Limits { max_size: 8 << 20, max_entries: 500, max_names: 100_000, max_manifest: 1 << 20 };

/// Asks every verb. Nothing may appear outside of the target, and nothing in it where the answer is no.
fn ask(case: &Case) {
    let Case { name, bytes, answer } = case;
    let dir = tempfile::tempdir().unwrap();
    let package = put(dir.path(), "x.expert", bytes);
    let target = dir.path().join("target");
    let options = Options { limits: LIMITS, ..Options::default() };

    let read = drain(bytes);
    let verified = verify(&package, &options).map(|_| ());
    let extracted = extract::extract(&package, &target, &|_| true, false, &options).map(|_| ());
    let secret = key(1);
    let output = dir.path().join("signed");
    let how = sign::Options { key: &secret, publisher: None, created_at: None, output: Some(&output), limits: LIMITS };
    let signed = sign::sign(&package, &how).map(|_| ());
    // These two may read less than all of it: they must only not do harm.
    let _ = inspect::inspect(&package, true, LIMITS);
    let _ = cat::cat(&package, "b", LIMITS, &mut std::io::sink());

    match answer {
        Yes => {
            read.unwrap_or_else(|e| panic!("{name}: {e}"));
            verified.unwrap_or_else(|e| panic!("{name}: {e}"));
            extracted.unwrap_or_else(|e| panic!("{name}: {e}"));
            signed.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        No(phrase) => {
            let fault = read.expect_err(name);
            assert!(matches!(&fault, Fault::Malformed(_)), "{name}: {fault}");
            assert!(fault.to_string().contains(phrase), "{name}: {fault}");
            for result in [verified, extracted, signed] {
                let error = result.expect_err(name);
                let text = error.to_string();
                assert!(matches!(error, Error::Integrity { .. }), "{name}: {error:?}");
                assert!(text.contains(phrase), "{name}: {text}");
                let tame = text.lines().count() == 1 && !text.contains(char::is_control) && text.len() < 700;
                assert!(tame, "{name}: one line, and tame: {text:?}");
            }
            assert!(!target.exists(), "{name}");
        }
    }
    let allowed = ["x.expert", "target", "signed", "signed.sha256"];
    for found in std::fs::read_dir(dir.path()).unwrap() {
        let found = found.unwrap().file_name();
        assert!(allowed.iter().any(|name| found == *name), "{name}: {} appeared", found.to_string_lossy());
    }
    if target.exists() {
        only_files(&target, name);
    }
}

fn only_files(folder: &Path, name: &str) {
    for found in std::fs::read_dir(folder).unwrap() {
        let found = found.unwrap();
        let kind = found.file_type().unwrap();
        assert!(kind.is_file() || kind.is_dir(), "{name}: {:?}", found.path());
        if kind.is_dir() {
            only_files(&found.path(), name);
        }
    }
}

fn drain(bytes: &[u8]) -> Result<(), Fault> {
    let mut archive = Archive::open(bytes, LIMITS)?;
    while archive.next_entry()?.is_some() {
        std::io::copy(&mut archive, &mut std::io::sink())?;
    }
    Ok(())
}

fn run(cases: &[Case], least: usize) {
    assert!(cases.len() >= least, "{} cases", cases.len());
    cases.iter().for_each(ask);
}

#[test]
fn paths_that_leave_or_deceive() {
    let deep = ["d"; 2100].join("/");
    let part = "p".repeat(256);
    let names: [(&[u8], &str); 24] = [
        (b"../x", "leaves its folder"),
        (b"a/../../x", "leaves its folder"),
        (b"a/..", "leaves its folder"),
        (b"..", "leaves its folder"),
        (b"..\\x", "leaves its folder"),
        (b"a\\..\\..\\x", "leaves its folder"),
        (b"/etc/passwd", "absolute"),
        (b"//host/x", "absolute"),
        (b"\\\\host\\x", "absolute"),
        (b"C:/x", "absolute"),
        (b"c:x", "absolute"),
        (b"C:\\x", "absolute"),
        (b"a\\b", "backslash or a control"),
        (b"a//b", "empty part"),
        (b"a/./b", "empty part"),
        (b".", "empty part"),
        (b"././x", "empty part"),
        (b"a/b/", "empty part"),
        (b"a\nb", "control character"),
        (b"\x1b[2Jx", "control character"),
        (b"a\x7f", "control character"),
        (b"\xff\xfe", "not UTF-8"),
        (part.as_bytes(), "too long"),
        (deep.as_bytes(), "too long"),
    ];
    let mut cases = Vec::new();
    for (name, phrase) in names {
        let shown = String::from_utf8_lossy(&name[..name.len().min(20)]).into_owned();
        let follow = file("short", b"content");
        if name.len() <= 100 {
            cases.push(case(format!("ustar {shown:?}"), archive(&[file(name, b"content")]), No(phrase)));
            let old = entry(&Block::file(name, 7).kind(0).gnu(true), b"content");
            cases.push(case(format!("old {shown:?}"), gzip(&archive(&[old])), No(phrase)));
        }
        let long = [long_name(name), follow.clone()].concat();
        cases.push(case(format!("long name {shown:?}"), archive(&[long]), No(phrase)));
        let records = [pax(b'x', &record("path", name)), follow].concat();
        cases.push(case(format!("pax {shown:?}"), archive(&[records]), No(phrase)));
    }
    let prefixed = |prefix: &str, name: &str| entry(&Block::file(name, 1).prefix(prefix), b"x");
    cases.extend([
        case("prefix ..", archive(&[prefixed("..", "x")]), No("leaves its folder")),
        case("prefix /", archive(&[prefixed("/etc", "x")]), No("absolute")),
        case("absolute name behind a prefix", archive(&[prefixed("a", "/x")]), No("empty part")),
        case("prefix of a good path", archive(&[prefixed("a/b", "x")]), Yes),
        case("empty name", archive(&[file("", b"x")]), No("empty")),
        case("NUL in a pax path", archive(&[pax(b'x', &record("path", b"a\0b")), file("s", b"")]), No("control")),
        case("NUL in a long name", archive(&[long_name(b"a\0b"), file("s", b"")]), No("only NUL")),
        case("a leading ./ is how people pack a folder", archive(&[file("./a", b"x")]), Yes),
        case("folder ..", archive(&[entry(&Block::file("../d/", 0).kind(b'5'), b"")]), No("leaves its folder")),
        case("folder /", archive(&[entry(&Block::file("/", 0).kind(b'5'), b"")]), No("absolute")),
        case(
            "folders are passed over",
            archive(&[entry(&Block::file("d/", 0).kind(b'5'), b""), file("d/a", b"x")]),
            Yes,
        ),
        case("the folder itself", archive(&[entry(&Block::file("./", 0).kind(b'5'), b"")]), Yes),
    ]);
    run(&cases, 100);
}

#[test]
fn paths_that_clash() {
    let two = |a: &str, b: &str| archive(&[file(a, b"1"), file(b, b"2")]);
    let folder = |name: &str| entry(&Block::file(name, 0).kind(b'5'), b"");
    run(
        &[
            case("twice", two("a", "a"), No("stands twice")),
            case("twice, once with ./", two("a", "./a"), No("stands twice")),
            case("two manifests", two("a", "manifest.json"), No("stands twice")),
            case("a manifest in capitals", two("a", "MANIFEST.JSON"), No("case alone")),
            case("case", two("README.md", "readme.MD"), No("case alone")),
            case("case beyond ASCII", two("ÄÖ", "äö"), No("case alone")),
            case("a file as folder", two("a", "a/b"), No("both a folder and a file")),
            case("a folder as file", two("a/b", "a"), No("both a folder and a file")),
            case("in capitals", two("a/b/c", "A/B"), No("both a folder and a file")),
            case("stored folder, then file", archive(&[folder("a/"), file("a", b"")]), No("both a folder and a file")),
            case("file, then stored folder", archive(&[file("a", b""), folder("a/")]), No("both a folder and a file")),
            case("a folder twice", archive(&[folder("a/"), folder("a/"), file("a/b", b"")]), Yes),
            case("neighbours", two("a.b", "a"), Yes),
        ],
        13,
    );
}

#[test]
fn entries_that_are_no_files() {
    let mut cases = Vec::new();
    for (kind, phrase) in [
        (b'1', "a hard link to `/etc/passwd`"),
        (b'2', "a symbolic link to `/etc/passwd`"),
        (b'3', "a device node"),
        (b'4', "a device node"),
        (b'6', "a named pipe"),
        (b'7', "type `7`"),
        (b'S', "a sparse file"),
        (b'K', "a link with a long target"),
        (b'D', "type `D`"),
        (b'M', "type `M`"),
        (b'N', "type `N`"),
        (b'V', "type `V`"),
        (b'X', "type `X`"),
        (b'A', "type `A`"),
        (b'z', "type `z`"),
        (0xff, "type `\\xff`"),
        (b'\n', "type `\\n`"),
    ] {
        for gnu in [false, true] {
            for content in [&b""[..], b"content"] {
                let block = Block::file("b", content.len() as u64).kind(kind).gnu(gnu).link("/etc/passwd");
                let name = format!("type {} gnu {gnu} {}", kind.escape_ascii(), content.len());
                cases.push(case(name, archive(&[entry(&block, content)]), No(phrase)));
            }
        }
    }
    let link = Block::file("d", 0).kind(b'2').link("..");
    cases.push(case("through a link", archive(&[entry(&link, b""), file("d/x", b"")]), No("a symbolic link to `..`")));
    let magic = |bytes: &[u8]| {
        let mut tar = archive(&[file("b", b"x")]);
        tar[1024 + 257..1024 + 257 + bytes.len()].copy_from_slice(bytes);
        let sum: u32 = tar[1024..1536]
            .iter()
            .enumerate()
            .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) })
            .sum();
        tar[1024 + 148..1024 + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar
    };
    cases.push(case("magic of nobody", magic(b"USTAR\x0000"), No("no known format")));
    cases.push(case("version of nobody", magic(b"ustar\x0099"), No("no known format")));
    cases.push(case("no magic", gzip(&magic(&[0; 8])), Yes));
    run(&cases, 70);
}

#[test]
fn numbers_that_lie() {
    let base256 = |first: u8, rest: [u8; 11]| [&[first][..], &rest].concat();
    let sizes: [(&str, Vec<u8>, &str); 13] = [
        ("8 GiB", b"77777777777\0".to_vec(), ""),
        ("12 digits", b"777777777777".to_vec(), ""),
        ("base 256, over the limit", base256(0x80, [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), ""),
        ("base 256, i64::MAX", base256(0x80, [0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]), ""),
        ("base 256, u64::MAX", base256(0x80, [0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]), "too large"),
        ("base 256, 95 bits", base256(0xbf, [255; 11]), "too large"),
        ("base 256, -1", vec![255; 12], "negative"),
        ("base 256, -2^94", base256(0xc0, [0; 11]), "negative"),
        ("minus", b"-0000000001\0".to_vec(), "negative"),
        ("hex", b"0x00000000f\0".to_vec(), "not an octal"),
        ("nines", b"00000000009\0".to_vec(), "not an octal"),
        ("blank", vec![b' '; 12], "not an octal"),
        ("two numbers", b"00000 00001\0".to_vec(), "not an octal"),
    ];
    let mut cases = Vec::new();
    for (name, field, phrase) in &sizes {
        for (kind, what, large) in [
            (b'0', "file", "`--max-size` sets the limit"),
            (b'5', "folder", "has a content"),
            (b'L', "long name", "an extended header of"),
            (b'x', "pax", "an extended header of"),
            (b'g', "global pax", "an extended header of"),
        ] {
            let block = Block::file("b", 0).kind(kind).size(field);
            let phrase = if phrase.is_empty() { large } else { phrase };
            cases.push(case(format!("{what} of size {name}"), archive(&[entry(&block, b"")]), No(phrase)));
        }
    }
    for (name, sum) in [
        ("zero", &b"000000\0 "[..]),
        ("blank", b"        "),
        ("negative", b"-00001\0 "),
        ("letters", b"abcdef\0 "),
        ("one off", b"006244\0 "),
        ("base 256", b"\x80\0\0\0\0\0\0\x01"),
    ] {
        let bad = entry(&Block::file("b", 1).checksum(sum), b"x");
        cases.push(case(format!("checksum {name}"), archive(&[bad]), No("checksum")));
    }
    cases.push(case(
        "a size in base 256",
        archive(&[entry(&Block::file("b", 0).size(&base256(0x80, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3])), b"abc")]),
        Yes,
    ));
    cases.push(case("a size with spaces", archive(&[entry(&Block::file("b", 0).size(b"         3 \0"), b"abc")]), Yes));
    run(&cases, 70);
}

#[test]
fn extended_headers_that_override() {
    let with = |records: &[u8]| archive(&[pax(b'x', records), file("b", b"abc")]);
    let many = record("comment", &[b'c'; 70_000]);
    let twice = [record("path", b"p"), record("path", b"q")].concat();
    let sizes = [record("size", b"3"), record("size", b"3")].concat();
    let global = |records: &[u8]| archive(&[pax(b'g', records), file("b", b"abc")]);
    let mut cases = vec![
        case("path twice", with(&twice), No("stands twice")),
        case("size twice", with(&sizes), No("stands twice")),
        case("another size", with(&record("size", b"512")), No("two different sizes")),
        case("size zero", with(&record("size", b"0")), No("two different sizes")),
        case("negative size", with(&record("size", b"-1")), No("no size")),
        case("size with a sign", with(&record("size", b"+3")), No("no size")),
        case("huge size", with(&record("size", b"9223372036854775807")), No("two different sizes")),
        case("size over 64 bits", with(&record("size", b"99999999999999999999")), No("no size")),
        case("empty size", with(&record("size", b"")), No("is empty")),
        case("empty path", with(&record("path", b"")), No("is empty")),
        case("link", with(&record("linkpath", b"/etc/passwd")), No("a link")),
        case("sparse 0.0", with(&record("GNU.sparse.size", b"9999999")), No("sparse")),
        case("sparse 0.1", with(&record("GNU.sparse.map", b"0,1")), No("sparse")),
        case("sparse 1.0", with(&record("GNU.sparse.major", b"1")), No("sparse")),
        case("sparse name", with(&record("GNU.sparse.name", b"../x")), No("sparse")),
        case("no newline", with(b"12 path=a/b_"), No("cannot be read")),
        case("length too small", with(b"5 path=a\n"), No("cannot be read")),
        case("length too large", with(b"99 path=a\n"), No("cannot be read")),
        case("length zero", with(b"0 path=a\n"), No("cannot be read")),
        case("length of 30 digits", with(b"000000000000000000000000000010 path=a\n"), No("cannot be read")),
        case("length not a number", with(b"x path=a\n"), No("cannot be read")),
        case("no key", with(b"5 ab\n"), No("cannot be read")),
        case("NUL after the records", with(b"10 path=a\n\0\0"), No("cannot be read")),
        case("64 KiB of comment", with(&many), No("an extended header of")),
        case("global path", global(&record("path", b"p")), No("a global pax header")),
        case("global size", global(&record("size", b"3")), No("a global pax header")),
        case("global link", global(&record("linkpath", b"p")), No("a link")),
        case("two pax headers", archive(&[pax(b'x', b""), pax(b'x', b""), file("b", b"")]), No("two extended headers")),
        case(
            "two long names",
            archive(&[long_name(b"p"), long_name(b"q"), file("b", b"")]),
            No("two extended headers"),
        ),
        case(
            "pax and long name",
            archive(&[long_name(b"p"), pax(b'x', &record("path", b"q")), file("b", b"")]),
            No("two long names"),
        ),
        case("pax before the end", archive(&[pax(b'x', b"")]), No("ends after an extended header")),
        case("long name before the end", archive(&[long_name(b"p")]), No("ends after an extended header")),
        case("empty long name", archive(&[long_name(b""), file("b", b"")]), No("empty")),
        case("same size", with(&record("size", b"3")), Yes),
        case("times and owners", with(&[record("mtime", b"1.5"), record("uname", b"x")].concat()), Yes),
        case("a global comment, as git writes", global(&record("comment", b"0123abcd")), Yes),
    ];
    let sized = [pax(b'x', &record("size", b"9000000")), entry(&Block::file("b", 0), b"")].concat();
    cases.push(case("pax size over the limit", archive(&[sized]), No("`--max-size` sets the limit")));
    let unterminated = entry(&Block::file("L", 3).kind(b'L').gnu(true), b"abc");
    cases.push(case("long name without NUL", archive(&[unterminated, file("b", b"")]), No("only NUL")));
    let folder = [pax(b'x', &record("size", b"9")), entry(&Block::file("d/", 0).kind(b'5'), b"")].concat();
    cases.push(case("a folder with a pax size", archive(&[folder]), No("a folder has a content")));
    run(&cases, 39);
}

#[test]
fn archives_cut_short_or_drawn_out() {
    let tar = archive(&[file("a", &[7; 700]), pax(b'x', &record("path", b"long")), file("b", b"abc")]);
    let mut cases = Vec::new();
    // Where the cut is, is what is told.
    for (at, phrase) in [
        (530, "ends inside `manifest.json`"),
        (600, "ends inside the padding"),
        (800, "ends inside the padding"),
        (1024, "without its end mark"),
        (1200, "without its end mark"),
        (1600, "ends inside `a`"),
        (2250, "ends inside the padding"),
        (2560, "without its end mark"),
        (3075, "ends inside an extended header"),
        (3100, "ends inside the padding"),
        (3584, "without its end mark"),
        (4096, "ends inside `long`"),
        (4608, "without its end mark"),
        (5000, "without its end mark"),
        (5120, "inside its end mark"),
        (5600, "inside its end mark"),
    ] {
        cases.push(case(format!("tar of {at} bytes"), tar[..at].to_vec(), No(phrase)));
        cases.push(case(format!("gzip of a tar of {at} bytes"), gzip(&tar[..at]), No(phrase)));
    }
    assert_eq!(tar.len(), 5632);
    let after = |tail: &[u8]| [&tar[..], tail].concat();
    cases.extend([
        case("a second archive behind the end", after(&tar), No("follows the end mark")),
        case("one byte behind the end", after(b"x"), No("follows the end mark")),
        case("zeros behind the end", after(&[0; 4096]), Yes),
        case("a byte after many zeros", after(&[&[0; 9000][..], b"x"].concat()), No("follows the end mark")),
        case("one block of zeros", [&tar[..4608], &[0; 512], &file("c", b"")].concat(), No("follows the end mark")),
    ]);
    let mut hidden = tar.clone();
    hidden[1536 + 1023] = 1;
    cases.push(case("something in the padding", hidden, No("padding of an entry is not zero")));
    for (name, whole) in [("gzip", gzip(&tar)), ("zstd", zstd::encode_all(&tar[..], 3).unwrap())] {
        for keep in 1..8 {
            let cut = whole.len() * keep / 8;
            cases.push(case(format!("{name} cut at {cut}"), whole[..cut].to_vec(), No("truncated")));
        }
        cases.push(case(format!("{name} without its last byte"), whole[..whole.len() - 1].to_vec(), No("truncated")));
        cases.push(case(format!("{name} and noise"), [&whole[..], b"noise noise"].concat(), No("")));
        cases.push(case(format!("{name} and a tar"), [&whole[..], &tar].concat(), No("")));
    }
    let two = [gzip(&tar[..2000]), gzip(&tar[2000..])].concat();
    cases.push(case("two gzip members", two, Yes));
    cases.push(case("a whole second gzip", [gzip(&tar), gzip(&tar)].concat(), No("follows the end mark")));
    cases.push(case("gzip and zeros", [&gzip(&tar)[..], &[0; 64]].concat(), No("bytes follow the end")));
    run(&cases, 60);
}

/// A flipped bit is found, wherever it matters; where it does not, nothing changes.
#[test]
fn flipped_bits_are_found() {
    let mut cases = Vec::new();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let bytes = Native::new(compression).bytes(Some(&key(1)));
        let step = bytes.len() / 60;
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        let mut table = bytes.len();
        let mut starts = vec![0];
        if compression == Compression::Zstd {
            let frames = word(bytes.len() - 9);
            table -= 9 + 8 * frames;
            starts.extend((0..frames).scan(0, |end, i| {
                *end += word(table + 8 * i);
                Some(*end)
            }));
        }
        for at in (0..bytes.len()).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let harmless = match compression {
                // Time, extra flags and system.
                Compression::Gzip => (4..10).contains(&at),
                // The bit of a frame's header that means nothing, and the lengths in the seek table.
                _ => (at % 8 == 4 && starts.contains(&(at - 4))) || at >= table,
            };
            let answer = if harmless { Yes } else { No("") };
            cases.push(case(format!("{compression}, bit {} of byte {at}", at % 8), flipped, answer));
        }
    }
    run(&cases, 100);
}

#[test]
fn bombs_stop_at_the_limits() {
    let zeros = vec![0; 64 << 20];
    let large = [Block::file("b", 64 << 20).bytes(), zeros].concat();
    let tar = archive(&[large]);
    let many: Vec<Vec<u8>> = (0..600).map(|i| file(format!("f{i}"), b"")).collect();
    let named: Vec<Vec<u8>> = (0..300)
        .map(|i| [long_name(format!("{i:0400}/x").replace("000", "00/").as_bytes()), file("s", b"")].concat())
        .collect();
    let manifest = [b"{\"name\":\"", &vec![b'x'; 2 << 20][..], b"\"}"].concat();
    let fat = [file("manifest.json", &manifest), vec![0; 1024]].concat();
    let behind = [archive(&[]), vec![0; 32 << 20]].concat();
    let mut deep = b"{\"a\":".to_vec();
    deep.extend(std::iter::repeat_n(b'[', 100_000));
    let deep = [file("manifest.json", &deep), vec![0; 1024]].concat();
    for (name, tar, phrase) in [
        ("64 MiB of zeros", &tar, "`--max-size` sets the limit"),
        ("600 entries", &archive(&many), "more than 500 entries"),
        ("paths without end", &archive(&named), ""),
        ("zeros behind the end", &behind, "`--max-size` sets the limit"),
    ] {
        ask(&case(format!("plain: {name}"), tar.clone(), No(phrase)));
        ask(&case(format!("gzip: {name}"), gzip(tar), No(phrase)));
        ask(&case(format!("zstd: {name}"), zstd::encode_all(&tar[..], 1).unwrap(), No(phrase)));
    }
    let dir = tempfile::tempdir().unwrap();
    let options = Options { limits: LIMITS, ..Options::default() };
    for (name, tar, phrase) in [("fat", fat, "is the most that is read"), ("deep", deep, "nested deeper")] {
        let error = verify(&put(dir.path(), name, &gzip(&tar)), &options).unwrap_err();
        assert!(error.to_string().contains(phrase), "{error}");
    }
}

#[test]
fn what_is_no_package_gets_one_clear_line() {
    let noise: Vec<u8> = packages::noise(100);
    let window: [u8; 10] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0, 0, 0, 0];
    run(
        &[
            case("100 bytes of noise", noise.clone(), No("this is no package")),
            case("1 byte", vec![b'x'], No("this is no package")),
            case("a zip file", [b"PK\x03\x04", &noise[..]].concat(), No("this is no package")),
            case("an HTML page", b"<!DOCTYPE html>".repeat(80), No("this is no package")),
            case(
                "a Git LFS pointer",
                b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
                No("this is no package"),
            ),
            case("zeros", vec![0; 10_240], No("this is no package")),
            case("the magic of gzip alone", vec![0x1f, 0x8b], No("truncated")),
            case("the magic of zstd alone", vec![0x28, 0xb5, 0x2f, 0xfd], No("truncated")),
            case("noise in gzip", gzip(&noise), No("truncated")),
            case("noise of a block in gzip", gzip(&packages::noise(512)), No("checksum")),
            case("nothing in gzip", gzip(b""), No("without its end mark")),
            case("nothing in zstd", zstd::encode_all(&b""[..], 1).unwrap(), No("without its end mark")),
            case("gzip in gzip", gzip(&gzip(&archive(&[]))), No("")),
            case("zstd with a window of 2 TiB", window.to_vec(), No("zstd data is damaged")),
            case("a skippable frame alone", b"\x50\x2a\x4d\x18\x04\0\0\0abcd".to_vec(), No("without its end mark")),
            case("a gzip method of nobody", [&[0x1f, 0x8b, 7][..], &noise].concat(), No("gzip data is damaged")),
        ],
        16,
    );
    // An archive that is whole and has no manifest.
    let dir = tempfile::tempdir().unwrap();
    let package = put(dir.path(), "x", &gzip(&[file("a", b"x"), vec![0; 1024]].concat()));
    let error = verify(&package, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("has no `manifest.json`"), "{error}");
}

/// A seek table is a hint: whatever it says, the bytes are those that a stream gives.
#[test]
fn seek_tables_that_lie_change_nothing() {
    let native = Native::big(Compression::Zstd);
    let bytes = native.bytes(None);
    let frames = u32::from_le_bytes(*bytes[bytes.len() - 9..].first_chunk().unwrap()) as usize;
    let start = bytes.len() - 9 - 8 * frames;
    let dir = tempfile::tempdir().unwrap();
    let swap =
        |bytes: &mut Vec<u8>, a: usize, b: usize| (0..8).for_each(|i| bytes.swap(start + 8 * a + i, start + 8 * b + i));
    let mut lies: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut lie = |name, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        lies.push((name, bytes));
    };
    lie("the truth", &|_| {});
    lie("two frames exchanged", &|bytes| swap(bytes, 1, 2));
    lie("first and last exchanged", &|bytes| swap(bytes, 0, frames - 1));
    lie("a frame longer", &|bytes| bytes[start + 4] ^= 1);
    lie("a frame of nothing", &|bytes| bytes[start + 4..start + 8].fill(0));
    lie("a frame of 4 GiB", &|bytes| bytes[start + 4..start + 8].fill(255));
    lie("packed to nothing", &|bytes| bytes[start..start + 4].fill(0));
    lie("packed to 4 GiB", &|bytes| bytes[start..start + 4].fill(255));
    lie("one frame fewer", &|bytes| {
        let at = bytes.len() - 9;
        bytes[at] -= 1;
    });
    lie("frames without end", &|bytes| {
        let at = bytes.len() - 9;
        bytes[at..at + 4].fill(255);
    });
    lie("checksums that are not there", &|bytes| {
        let at = bytes.len() - 5;
        bytes[at] = 0x80;
    });
    lie("two frames in one", &|bytes| {
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
        let both = word(start) + word(start + 8);
        bytes[start..start + 4].copy_from_slice(&both.to_le_bytes());
        bytes[start + 8..start + 12].fill(0);
    });
    for (name, bytes) in lies {
        let package = put(dir.path(), "x.expert", &bytes);
        assert!(verify(&package, &Options::default()).unwrap().ok, "{name}");
        for (file, content) in &native.files {
            let mut out = Vec::new();
            cat::cat(&package, file, Limits::default(), &mut out).unwrap_or_else(|e| panic!("{name}: {file}: {e}"));
            assert!(out == *content, "{name}: {file}");
        }
    }
}
