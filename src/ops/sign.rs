//! `sign`: a signature into a package that exists, changing nothing but the manifest and `signature.sig`.
//!
//! The package is read and verified first: what is not whole is not signed. Then the packed bytes of every other file are
//! copied as they are: a zstd package has a seek table, in a gzip package of ours they are found again (see
//! [`gzip_stretch`]), and a bare tar is copied anyway. What was packed by others in another way is packed again, with the
//! level that its manifest names. A package that expert-build made comes out as if it had been built with the key.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::Digest as _;

use crate::base::{Error, RelPath, Result, Sha256};
use crate::engine::beside;
use crate::format::archive::seek_table::Frame;
use crate::format::archive::{Archive, Entry, Fault, Limits, Writer};
use crate::format::gzip_stretch;
use crate::format::integrity::{Integrity, MANIFEST, SIGNATURE, Seal, seal, seal_again};
use crate::format::json::Value;
use crate::format::json_write::pretty;
use crate::format::segment::{Codec, Compression, Encoder, SEGMENT, Segment};
use crate::format::signature::{PrivateKey, PublicKey, Signature};
use crate::format::tar;
use crate::ops::contents::Contents;
use crate::ops::opened::{Index, Opened, Tar};
use crate::ops::verify::{self, ProblemKind, judge};
use crate::store::package_file::PackageFile;
use crate::store::{Output, output};

/// The time of every entry where the package has none that can be kept: 1980-01-01, as old tars warn of zero.
pub(crate) const MTIME: u64 = 315_532_800;

/// How to sign.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The key.
    pub key: &'a PrivateKey,
    /// Who publishes; without it what the package says, else the manifest's `author`.
    pub publisher: Option<&'a str>,
    /// RFC 3339 time; without it what the package says.
    pub created_at: Option<&'a str>,
    /// Where the signed package goes; without it over the package itself.
    pub output: Option<&'a Path>,
    /// How much is read.
    pub limits: Limits,
}

/// A package that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// Where it lies.
    pub package: PathBuf,
    /// Its SHA-256, which also stands in the `.sha256` file beside it.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// The key that signed it.
    pub key: PublicKey,
    /// The publisher that it names.
    pub publisher: String,
    /// The number of files that the signature covers.
    pub files: usize,
    /// Bytes of files that were copied from the old package as they were.
    pub copied: u64,
    /// What lay beside it and spoke of the package as it was before: provenance, a model signature. It is gone.
    pub taken_away: Vec<PathBuf>,
}

/// Signs a package.
pub fn sign(package: &Path, options: &Options<'_>) -> Result<Signed> {
    let mut package = Unsealed::read(package, options.limits)?;
    let old = Integrity::read(&package.manifest).unwrap_or_default();
    let author = package.manifest.get("author").and_then(Value::as_str);
    let publisher = options.publisher.or(old.publisher.as_deref()).or(author).unwrap_or_default().to_owned();
    let seals = Seal {
        publisher: &publisher,
        created_at: options.created_at.or(old.created_at.as_deref()),
        key: Some(options.key),
    };
    let signature = seal(&mut package.manifest, &package.hashes, &seals);
    let signature = signature.ok_or_else(|| Error::Bug("no signature was made".into()))?;
    package.write(signature, options.key.public(), publisher, options.output)
}

/// Puts a signature that was made elsewhere into a package, with what that one says of its publisher. It fits if the
/// package is what was signed then.
pub(crate) fn sign_again(package: &Path, made: (PublicKey, Signature), like: &Integrity) -> Result<Signed> {
    let mut package = Unsealed::read(package, Limits::default())?;
    let publisher = like.publisher.clone().unwrap_or_default();
    let seals = Seal { publisher: &publisher, created_at: like.created_at.as_deref(), key: None };
    seal_again(&mut package.manifest, &package.hashes, &seals, made);
    package.write(made.1, made.0, publisher, None)
}

/// A whole package whose manifest waits for its seal.
struct Unsealed {
    opened: Opened,
    contents: Contents,
    manifest: Value,
    codec: Codec,
    hashes: BTreeMap<RelPath, Sha256>,
}

impl Unsealed {
    fn read(package: &Path, limits: Limits) -> Result<Self> {
        let opened = Opened::open(package, limits)?;
        let contents = Contents::marked(&opened)?;
        whole(&opened, &contents)?;
        let mut manifest = opened.manifest(&contents.manifest)?;
        let codec = codec(&opened, &contents, &manifest)?;
        manifest.set("package", package_block(&codec));
        let hashes = contents.files.iter().map(|(path, (_, hash))| (path.clone(), *hash)).collect();
        Ok(Self { opened, contents, manifest, codec, hashes })
    }

    /// Puts the sealed package in its place: `output`, or where it was read.
    fn write(self, signature: Signature, key: PublicKey, publisher: String, output: Option<&Path>) -> Result<Signed> {
        let target = output.unwrap_or(self.opened.file.path());
        output::tidy_beside(target);
        let output = Output::create(target)?;
        let files = Files { manifest: pretty(&self.manifest), signature: signature.to_string() };
        let (sha256, bytes, copied) = rewrite(&self.opened, &self.contents, &files, self.codec, &output)?;
        // A crash between the two leaves a package without a checksum file, never one with a wrong one.
        let taken_away = beside::take_away(target)?;
        output.commit()?;
        output::write(
            &beside::path(target, beside::CHECKSUM),
            format!("{sha256}  {}\n", file_name(target)).as_bytes(),
        )?;
        Ok(Signed {
            package: target.to_path_buf(),
            sha256,
            bytes,
            key,
            publisher,
            files: self.hashes.keys().filter(|path| path.as_str() != SIGNATURE).count(),
            copied,
            taken_away,
        })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Only what the hashes say is signed; an old signature does not matter.
pub(crate) fn whole(opened: &Opened, contents: &Contents) -> Result<()> {
    let report = judge(opened, contents, &verify::Options { limits: opened.limits, ..Default::default() })?;
    let kinds = [ProblemKind::Changed, ProblemKind::Missing, ProblemKind::Extra, ProblemKind::Integrity];
    match report.problems.iter().find(|problem| kinds.contains(&problem.kind)) {
        None => Ok(()),
        Some(problem) => {
            let subject = problem.path.as_ref().map_or(String::new(), |path| format!(" `{path}`:"));
            Err(opened.wrong(&format!("not signed:{subject} {}", problem.message)))
        }
    }
}

/// How the package was made, or would be.
pub(crate) fn codec(opened: &Opened, contents: &Contents, manifest: &Value) -> Result<Codec> {
    let told = manifest.pointer("/package/compression").and_then(Value::as_str);
    let level = manifest.pointer("/package/level").and_then(Value::as_u64);
    let level = level.filter(|_| told == Some(contents.compression.as_str())).and_then(|l| u32::try_from(l).ok());
    Codec::new(contents.compression, level).map_err(|e| opened.wrong(&e))
}

fn package_block(codec: &Codec) -> Value {
    Value::object([
        ("format_version".into(), Value::number(1)),
        ("archive".into(), Value::string("tar")),
        ("compression".into(), Value::string(codec.compression.as_str())),
        ("level".into(), Value::number(u64::from(codec.level))),
    ])
}

/// The two files that change.
struct Files {
    manifest: String,
    signature: String,
}

/// Writes the new package; returns its hash, its size, and how much of the old one was copied.
fn rewrite(
    opened: &Opened,
    contents: &Contents,
    files: &Files,
    codec: Codec,
    output: &Output,
) -> Result<(Sha256, u64, u64)> {
    let path = |text: &str| RelPath::new(text).expect("a fine path");
    let mut entries: Vec<&Entry> = contents.entries.iter().collect();
    entries.retain(|entry| ![MANIFEST, SIGNATURE].contains(&entry.path.as_str()));
    let in_order = entries.is_sorted_by_key(|entry| &entry.path);
    entries.sort_by_key(|entry| &entry.path);
    let mtime = contents.entries.iter().find(|entry| entry.path.as_str() == MANIFEST).and_then(|entry| entry.mtime);
    let mut source = match opened.index()? {
        Some(index) => Source::Anywhere(Box::new(index)),
        None if !contents.marks.is_empty() && in_order && codec.compression == Compression::Gzip => {
            match stretches(opened, contents, mtime.unwrap_or(MTIME)).map_err(|e| opened.error(e))? {
                Some(stretches) => Source::Stretches(opened.file.again(), stretches),
                None => Source::Stream(Box::new(opened.stream()?)),
            }
        }
        None if in_order => Source::Stream(Box::new(opened.stream()?)),
        None => Source::Anywhere(Box::new(opened.index_or_spool()?)),
    };
    let failed = |e: io::Error| Error::io("write", output.target(), e);
    let mut tee = Tee::new(BufWriter::with_capacity(1 << 20, output.file()));
    let mut writer = Writer::new(&mut tee, codec, mtime.unwrap_or(MTIME)).map_err(failed)?;
    let (manifest, signature) = (files.manifest.as_bytes(), files.signature.as_bytes());
    writer.entry(&path(MANIFEST), manifest.len() as u64, manifest).map_err(failed)?;
    let mut copied = 0;
    let at = entries.partition_point(|entry| entry.path < path(SIGNATURE));
    for (i, entry) in entries.iter().map(Some).chain([None]).enumerate() {
        if i == at {
            writer.entry(&path(SIGNATURE), signature.len() as u64, signature).map_err(failed)?;
        }
        if let Some(entry) = entry {
            // The reading may fail here as well as the writing: what was wrong with the package has its own type.
            let written = source.write(&mut writer, entry).map_err(|fault| match fault {
                Fault::Io(e) => failed(e),
                malformed => opened.error(malformed),
            });
            copied += written?;
        }
    }
    writer.finish().map_err(failed)?;
    Ok((tee.sha256(), tee.bytes, copied))
}

/// Where each file but manifest and signature lies in a gzip package of ours, with its CRC-32; `None` where one of them
/// cannot be found.
fn stretches(opened: &Opened, contents: &Contents, mtime: u64) -> io::Result<Option<BTreeMap<RelPath, Stretch>>> {
    let mut file = opened.file.again();
    let mut found = BTreeMap::new();
    for (at, (entry, mark)) in contents.entries.iter().zip(&contents.marks).enumerate() {
        if entry.size == 0 || [MANIFEST, SIGNATURE].contains(&entry.path.as_str()) {
            continue;
        }
        let mut after = vec![0; tar::padding(entry.size)];
        match contents.entries.get(at + 1) {
            Some(next) => after.extend_from_slice(&tar::header(&next.path, next.size, mtime)),
            None => after.extend_from_slice(&tar::END),
        }
        let Some(range) = gzip_stretch::find(&mut file, mark, entry.size, &after)? else { return Ok(None) };
        found.insert(entry.path.clone(), (range, mark.crc32));
    }
    Ok(Some(found))
}

/// The place of a content in a gzip package, and its CRC-32.
type Stretch = (Range<u64>, u32);

/// Where the contents come from.
enum Source {
    Stretches(PackageFile, BTreeMap<RelPath, Stretch>),
    Anywhere(Box<Index>),
    Stream(Box<Archive<Tar>>),
}

impl Source {
    /// Writes the content of this entry; returns how many bytes were copied as they were.
    fn write<W: Write>(&mut self, writer: &mut Writer<W>, entry: &Entry) -> Result<u64, Fault> {
        match self {
            Self::Stretches(file, stretches) => {
                let Some((range, crc32)) = stretches.get(&entry.path) else {
                    // Only what is empty has no place.
                    writer.entry(&entry.path, 0, io::empty())?;
                    return Ok(0);
                };
                file.seek(SeekFrom::Start(range.start))?;
                let length = range.end - range.start;
                writer.packed_row(&entry.path, entry.size, *crc32, &mut file.take(length))?;
                Ok(length)
            }
            Self::Anywhere(index) => {
                let Some(own) = index.find(entry.path.as_str()).cloned() else {
                    return Err(io::Error::other("the package changed while it was being read").into());
                };
                let frames = index.tar.table().and_then(|table| table.frames(own.data, own.data + own.size));
                let Some(segments) = frames.and_then(segments) else {
                    writer.entry(&own.path, own.size, index.tar.content(&own))?;
                    // A bare tar holds contents as they are; a spooled one was unpacked.
                    let bare = index.direct && index.tar.table().is_none();
                    return Ok(if bare { own.size } else { 0 });
                };
                let start = frames.and_then(|frames| frames.first()).map_or(0, |frame| frame.packed_at);
                let file = index.tar.file();
                file.seek(SeekFrom::Start(start))?;
                writer.packed_entry(&own.path, own.size, &segments, file)?;
                Ok(segments.iter().map(|segment| u64::from(segment.packed_len)).sum())
            }
            Self::Stream(archive) => loop {
                let Some(next) = archive.next_entry()? else {
                    return Err(io::Error::other("the package changed while it was being read").into());
                };
                if next.path == entry.path {
                    writer.entry(&next.path, next.size, &mut **archive)?;
                    return Ok(0);
                }
            },
        }
    }
}

/// These frames as segments, if they are cut as segments are.
fn segments(frames: &[Frame]) -> Option<Vec<Segment>> {
    let (last, full) = match frames.split_last() {
        None => return Some(Vec::new()),
        Some(parts) => parts,
    };
    let fits = last.len as usize <= SEGMENT && full.iter().all(|frame| frame.len as usize == SEGMENT);
    let segment =
        |frame: &Frame| Segment { source_len: frame.len, packed_len: frame.packed, crc32: 0, encoder: Encoder::Match };
    fits.then(|| frames.iter().map(segment).collect())
}

/// Writes, hashes and counts.
pub(crate) struct Tee<W> {
    out: W,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl<W> Tee<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, hasher: sha2::Sha256::new(), bytes: 0 }
    }

    /// The hash of what was written.
    pub(crate) fn sha256(&self) -> Sha256 {
        Sha256::new(self.hasher.clone().finalize().into())
    }
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
