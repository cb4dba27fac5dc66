//! Packages: nothing leaves its folder, limits hold, and every way to read a package tells the same.

use std::io::{self, Cursor, Read};

use expert_build::format::archive::seek_table::SeekTable;
use expert_build::format::archive::stream::sniff;
use expert_build::format::archive::{Anywhere, Archive, Fault, Limits, Source, Stream};
use expert_build::format::integrity::Integrity;
use expert_build::format::json;
use expert_build::format::segment::Compression;

/// Little enough that a bomb ends soon.
const LIMITS: Limits = Limits { max_size: 4 << 20, max_entries: 200, max_names: 64 << 10, max_manifest: 1 << 20 };

/// Path, size and content.
type Files = Vec<(String, u64, Vec<u8>)>;

/// Reads `data` as a package from start to end, and by places where it can be; both must tell the same.
pub fn package(data: &[u8]) {
    let whole = streamed(data);
    if let Err(fault) = &whole {
        assert!(matches!(fault, Fault::Malformed(m) if m.at <= data.len() as u64), "{fault:?}");
        let text = fault.to_string();
        assert!(!text.is_empty() && !text.contains(|c: char| c.is_control()), "{text:?}");
    }
    match sniff(data) {
        Ok(Compression::None) => {
            let anywhere = files(Archive::over(Anywhere::tar(Cursor::new(data), data.len() as u64), LIMITS));
            alike(&whole, &anywhere);
        }
        Ok(Compression::Zstd) => seek_table(data),
        _ => {}
    }
    for (path, _, content) in whole.iter().flatten() {
        if path == "manifest.json"
            && let Ok(manifest) = json::parse(content)
        {
            let _ = Integrity::read(&manifest).map(|integrity| integrity.messages());
        }
    }
}

/// Reads `data` through the table at its end, if there is one that can be relied on: the frames must fill the file, and
/// what is read by places is what every zstd reader gets.
pub fn seek_table(data: &[u8]) {
    let len = data.len() as u64;
    let Some(table) = SeekTable::read(&mut Cursor::new(data), len).expect("memory can be read") else { return };
    let (mut at, mut frames) = (0, 0);
    while let Some((number, frame)) = table.frame(at) {
        assert!(number == frames && frame.at == at && frame.packed_at + u64::from(frame.packed) <= len);
        assert_eq!(table.frames(at, at + u64::from(frame.len)).map(<[_]>::len), Some(1));
        at += u64::from(frame.len);
        frames += 1;
    }
    assert!(at == table.len() && table.is_empty() == (frames == 0));
    if table.len() > LIMITS.max_size {
        return;
    }
    let mut by_place = Vec::new();
    let read = Anywhere::zstd(Cursor::new(data), table.clone()).read_to_end(&mut by_place);
    let plain = zstd::decode_all(data);
    if let (Ok(_), Ok(plain)) = (&read, &plain) {
        assert!(by_place == *plain, "two readings of one file");
    }
    assert!(read.is_ok() == plain.is_ok(), "{read:?} {:?}", plain.map(drop));
    alike(&streamed(data), &files(Archive::over(Anywhere::zstd(Cursor::new(data), table), LIMITS)));
}

/// Reads `data` as a bare tar, with checksums that are right: nothing else would get past the first header. What we
/// take, the tar crate reads with the same paths, sizes and contents.
pub fn tar(data: &[u8]) {
    let mut data = data.to_vec();
    for block in data.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    package(&data);
    if let (Ok(ours), Ok(Compression::None)) = (streamed(&data), sniff(&data)) {
        match theirs(&data) {
            Ok(theirs) => assert_eq!(theirs, ours),
            // It knows no sums of signed bytes, which old tars wrote; GNU tar and Python's tarfile take them as we do.
            Err(e) => assert!(
                e.to_string().contains("checksum mismatch") && data.chunks_exact(512).any(sums_signed_bytes),
                "the tar crate reads what we take: {e}"
            ),
        }
    }
}

/// Is this a header whose checksum is right only where its bytes are signed?
fn sums_signed_bytes(block: &[u8]) -> bool {
    let field = String::from_utf8_lossy(&block[148..156]);
    let told = i64::from_str_radix(field.trim_matches(['\0', ' ']), 8);
    let sum = |value: fn(u8) -> i64| -> i64 {
        let bytes = block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
        bytes.map(value).sum()
    };
    told.is_ok_and(|told| told == sum(|byte| i64::from(byte as i8)) && told != sum(i64::from))
}

fn theirs(data: &[u8]) -> io::Result<Files> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(data).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_dir() || entry.path_bytes().ends_with(b"/") {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        found.push((path.strip_prefix("./").unwrap_or(&path).to_owned(), entry.size(), content));
    }
    Ok(found)
}

fn streamed(data: &[u8]) -> Result<Files, Fault> {
    files(Archive::<Stream<&[u8]>>::open(data, LIMITS)?)
}

fn files<S: Source>(mut archive: Archive<S>) -> Result<Files, Fault> {
    let (mut found, mut total) = (Files::new(), 0);
    while let Some(entry) = archive.next_entry()? {
        let mut content = Vec::new();
        archive.read_to_end(&mut content)?;
        assert_eq!(content.len() as u64, entry.size);
        total += entry.size;
        assert!(total <= LIMITS.max_size && entry.data >= entry.start + 512);
        let path = entry.path.as_str();
        assert!(path.split('/').all(|part| !["", ".", ".."].contains(&part)) && !path.contains(['\\', '\0']));
        assert!(found.iter().all(|(other, ..)| other.to_lowercase() != path.to_lowercase()));
        found.push((path.to_owned(), entry.size, content));
    }
    Ok(found)
}

fn alike(one: &Result<Files, Fault>, other: &Result<Files, Fault>) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert!(one == other, "two readings of one package"),
        (Err(_), Err(_)) => {}
        (one, other) => {
            panic!("only one way reads it: {:?} {:?}", one.as_ref().map(Vec::len), other.as_ref().map(Vec::len))
        }
    }
}
