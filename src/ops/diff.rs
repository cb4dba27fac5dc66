//! `diff`: what changed from one package (or an expert's files) to another: manifest keys, files, tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Serialize;

use crate::base::{Error, RelPath, Result, Sha256};
use crate::format::archive::{Fault, Limits};
use crate::format::integrity::{MANIFEST, SIGNATURE};
use crate::format::json::{self, Value};
use crate::format::json_diff::{self, Change};
use crate::format::safetensors::{Header, Tensor};
use crate::format::tensor_values::{Distance, Measure, decode, width};
use crate::ops::contents::Contents;
use crate::ops::opened::{Index, Opened, hash};
use crate::ops::tensors::{BLOCK, header};
use crate::store::fs;

/// What is compared.
#[derive(Debug, Clone)]
pub enum Side {
    /// A package.
    Package(PathBuf),
    /// What would be packaged: for each path in the package its content. `manifest.json` among it may be the source's or
    /// the one that would be packaged.
    Files {
        /// What to call it.
        name: String,
        /// Path in the package → content.
        files: BTreeMap<RelPath, Content>,
    },
}

/// The content of a file that is not in a package.
#[derive(Debug, Clone)]
pub enum Content {
    /// On disk.
    Disk(PathBuf),
    /// In memory.
    Bytes(Vec<u8>),
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The first side.
    pub old: String,
    /// The second side.
    pub new: String,
    /// Nothing differs.
    pub equal: bool,
    /// Keys of the manifest, but for hashes and signature, which follow from the rest.
    pub manifest: Vec<Change>,
    /// Files other than the manifest.
    pub files: Vec<FileChange>,
    /// Tensors of the weights that differ.
    pub weights: Vec<WeightsChange>,
}

/// A file that was added, removed or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its path.
    pub path: RelPath,
    /// What it was; none where it was added.
    pub old: Option<FileState>,
    /// What it is; none where it was removed.
    pub new: Option<FileState>,
}

/// A file on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileState {
    /// Its length.
    pub bytes: u64,
    /// Its hash.
    pub sha256: Sha256,
}

/// Weights that differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeightsChange {
    /// The file.
    pub path: RelPath,
    /// Tensors on either side.
    pub total: usize,
    /// The tensors that differ, by name.
    pub changed: Vec<TensorChange>,
    /// Why the file could not be compared.
    pub fault: Option<String>,
}

/// A tensor that was added, removed or changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorChange {
    /// Its name.
    pub name: String,
    /// What it was; none where it was added.
    pub old: Option<TensorState>,
    /// What it is; none where it was removed.
    pub new: Option<TensorState>,
    /// How far apart they are, where the shapes are the same and the values can be read.
    pub distance: Option<Distance>,
}

/// A tensor on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorState {
    /// The type of its values.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
}

/// Compares two sides. Contents are read and hashed, whatever manifests say of them.
pub fn diff(old: &Side, new: &Side, limits: Limits) -> Result<Diff> {
    let (mut a, mut b) = (Loaded::load(old, limits)?, Loaded::load(new, limits)?);
    let sources = a.opened.is_none() || b.opened.is_none();
    let manifest = manifests(&a.manifest, &b.manifest, sources);
    let paths: BTreeSet<&RelPath> = a.files.keys().chain(b.files.keys()).collect();
    let mut files = Vec::new();
    for path in paths {
        // A source has no signature yet; the manifest was compared key by key.
        if path.as_str() == MANIFEST || (sources && path.as_str() == SIGNATURE) {
            continue;
        }
        let (old, new) = (a.files.get(path).copied(), b.files.get(path).copied());
        if old != new {
            files.push(FileChange { path: path.clone(), old, new });
        }
    }
    let changed = files.iter().filter(|file| file.old.is_some() && file.new.is_some());
    let changed = changed.filter(|file| file.path.as_str().ends_with(".safetensors"));
    let weights = changed.map(|file| weights(&mut a, &mut b, file)).collect::<Result<Vec<_>>>()?;
    let equal = manifest.is_empty() && files.is_empty();
    Ok(Diff { old: a.name, new: b.name, equal, manifest, files, weights })
}

fn manifests(old: &Value, new: &Value, sources: bool) -> Vec<Change> {
    let plain = |manifest: &Value| {
        let mut manifest = manifest.clone();
        if sources {
            manifest.remove("integrity");
            manifest.remove("package");
        } else if let Some(integrity) = manifest.get_mut("integrity") {
            integrity.remove("files");
            integrity.remove("signature");
        }
        manifest
    };
    let mut found = json_diff::diff(&plain(old), &plain(new));
    // Packaging fills in what a source leaves empty.
    let empty =
        |text: &Option<json_diff::Text>| text.as_ref().is_none_or(|text| matches!(&*text.0, "null" | "\"\"" | "0"));
    found.retain(|change| {
        let filled = change.pointer.contains("/adapters/")
            && (change.pointer.ends_with("/sha256") || change.pointer.ends_with("/size_bytes"));
        !(sources && filled && (empty(&change.old) || empty(&change.new)))
    });
    found
}

/// A side that was read once.
struct Loaded {
    name: String,
    manifest: Value,
    files: BTreeMap<RelPath, FileState>,
    opened: Option<Opened>,
    index: Option<Index>,
    contents: BTreeMap<RelPath, Content>,
}

impl Loaded {
    fn load(side: &Side, limits: Limits) -> Result<Self> {
        match side {
            Side::Package(path) => {
                let opened = Opened::open(path, limits)?;
                let read = Contents::read(&opened, |_| Ok(None))?;
                let state = |(bytes, sha256)| FileState { bytes, sha256 };
                Ok(Self {
                    name: path.display().to_string(),
                    manifest: opened.manifest(&read.manifest)?,
                    files: read.files.into_iter().map(|(path, found)| (path, state(found))).collect(),
                    opened: Some(opened),
                    index: None,
                    contents: BTreeMap::new(),
                })
            }
            Side::Files { name, files } => {
                let mut states = BTreeMap::new();
                for (path, content) in files {
                    let (reader, bytes, shown) = open(content, path)?;
                    let sha256 = hash(reader).map_err(|fault| disk(&shown, fault))?;
                    states.insert(path.clone(), FileState { bytes, sha256 });
                }
                let manifest = match files.get(MANIFEST) {
                    Some(Content::Bytes(bytes)) => bytes.clone(),
                    Some(Content::Disk(path)) => match fs::read(path, limits.max_manifest)? {
                        Some((bytes, _)) => bytes,
                        None => return Err(Error::io("read", path, io::ErrorKind::NotFound.into())),
                    },
                    None => return Err(Error::usage(format!("`{name}` has no `{MANIFEST}`"))),
                };
                let manifest = json::parse(&manifest).map_err(|fault| {
                    Error::usage(format!("`{MANIFEST}` of `{name}` cannot be read: {}", fault.malformed))
                })?;
                let contents = files.clone();
                Ok(Self { name: name.clone(), manifest, files: states, opened: None, index: None, contents })
            }
        }
    }

    /// A file of this side, to be read at any place.
    fn open(&mut self, path: &RelPath) -> Result<Part<'_>> {
        let gone = || Error::Bug(format!("`{path}` was there and is gone"));
        let Some(opened) = &self.opened else {
            let (reader, _, _) = open(self.contents.get(path).ok_or_else(gone)?, path)?;
            return Ok(Part { reader, start: 0 });
        };
        let index = match &mut self.index {
            Some(index) => index,
            none => none.insert(opened.index_or_spool()?),
        };
        let start = index.find(path.as_str()).map(|entry| entry.data).ok_or_else(gone)?;
        Ok(Part { reader: Box::new(&mut index.tar), start })
    }

    /// What to say where reading this side fails.
    fn error(&self, path: &RelPath, fault: Fault) -> Error {
        match (&self.opened, self.contents.get(path)) {
            (Some(opened), _) => opened.error(fault),
            (None, Some(Content::Disk(path))) => disk(path, fault),
            (None, _) => disk(&PathBuf::from(path.as_str()), fault),
        }
    }
}

trait Anyplace: Read + Seek {}
impl<T: Read + Seek> Anyplace for T {}

/// A file inside of something larger.
struct Part<'a> {
    reader: Box<dyn Anyplace + 'a>,
    start: u64,
}

impl Part<'_> {
    fn seek(&mut self, at: u64) -> io::Result<()> {
        self.reader.seek(SeekFrom::Start(self.start + at)).map(drop)
    }

    fn header(&mut self, size: u64) -> Result<Header, Fault> {
        self.seek(0)?;
        header(&mut (&mut self.reader).take(size), size)
    }
}

type Reader<'a> = Box<dyn Anyplace + 'a>;

fn open<'a>(content: &'a Content, path: &RelPath) -> Result<(Reader<'a>, u64, PathBuf)> {
    Ok(match content {
        Content::Bytes(bytes) => (Box::new(Cursor::new(&bytes[..])), bytes.len() as u64, path.as_str().into()),
        Content::Disk(disk) => {
            let (file, stat): (File, _) = fs::open(disk)?;
            (Box::new(file), stat.size, disk.clone())
        }
    })
}

fn disk(path: &std::path::Path, fault: Fault) -> Error {
    match fault {
        Fault::Io(e) => Error::io("read", path, e),
        Fault::Malformed(m) => Error::integrity(format!("`{}`: {m}", path.display())),
    }
}

/// Compares the tensors of a file that is on both sides.
fn weights(a: &mut Loaded, b: &mut Loaded, file: &FileChange) -> Result<WeightsChange> {
    let path = &file.path;
    let mut change = WeightsChange { path: path.clone(), total: 0, changed: Vec::new(), fault: None };
    let size = |state: Option<FileState>| state.map_or(0, |state| state.bytes);
    let compared = {
        let (mut first, mut second) = (a.open(path)?, b.open(path)?);
        match (first.header(size(file.old)), second.header(size(file.new))) {
            (Ok(old), Ok(new)) => tensors(&mut first, &mut second, &old, &new, &mut change),
            (Err(Fault::Malformed(malformed)), _) => {
                change.fault = Some(format!("the first cannot be read: {malformed}"));
                return Ok(change);
            }
            (_, Err(Fault::Malformed(malformed))) => {
                change.fault = Some(format!("the second cannot be read: {malformed}"));
                return Ok(change);
            }
            (Err(fault), _) => Err(Failed::First(fault)),
            (_, Err(fault)) => Err(Failed::Second(fault)),
        }
    };
    match compared {
        Ok(()) => Ok(change),
        Err(Failed::First(fault)) => Err(a.error(path, fault)),
        Err(Failed::Second(fault)) => Err(b.error(path, fault)),
    }
}

/// The side that could not be read.
enum Failed {
    First(Fault),
    Second(Fault),
}

fn tensors(
    first: &mut Part<'_>,
    second: &mut Part<'_>,
    old: &Header,
    new: &Header,
    change: &mut WeightsChange,
) -> Result<(), Failed> {
    fn named(header: &Header) -> BTreeMap<&str, &Tensor> {
        header.tensors.iter().map(|tensor| (&*tensor.name, tensor)).collect()
    }
    let state = |tensor: &Tensor| TensorState { dtype: tensor.dtype.to_string(), shape: tensor.shape.to_vec() };
    let (a, b) = (named(old), named(new));
    let names: BTreeSet<&str> = a.keys().chain(b.keys()).copied().collect();
    change.total = names.len();
    for name in names {
        let (x, y) = (a.get(name).copied(), b.get(name).copied());
        let mut distance = None;
        if let (Some(x), Some(y)) = (x, y)
            && x.shape == y.shape
        {
            first.seek(old.data_start + x.start).map_err(|e| Failed::First(e.into()))?;
            second.seek(new.data_start + y.start).map_err(|e| Failed::Second(e.into()))?;
            let (same, measured) = pair(first, second, x, y)?;
            if same {
                continue;
            }
            distance = measured;
        }
        change.changed.push(TensorChange { name: name.to_owned(), old: x.map(state), new: y.map(state), distance });
    }
    Ok(())
}

/// Are the bytes and types the same, and else how far apart are the values?
fn pair(
    first: &mut Part<'_>,
    second: &mut Part<'_>,
    x: &Tensor,
    y: &Tensor,
) -> Result<(bool, Option<Distance>), Failed> {
    let mut same = x.dtype == y.dtype;
    let widths = width(x.dtype).zip(width(y.dtype));
    // Two types of which one is complex have no values in common.
    let widths = widths.filter(|(w, v)| (x.end - x.start) / *w as u64 == (y.end - y.start) / *v as u64);
    if widths.is_none() && !same {
        return Ok((false, None));
    }
    let (w, v) = widths.unwrap_or((1, 1));
    let mut left = (x.end - x.start) / w as u64;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let (mut p, mut q) = (Vec::new(), Vec::new());
    let mut measure = Measure::default();
    while left > 0 {
        let count = left.min(BLOCK) as usize;
        a.resize(count * w, 0);
        b.resize(count * v, 0);
        first.reader.read_exact(&mut a).map_err(|e| Failed::First(e.into()))?;
        second.reader.read_exact(&mut b).map_err(|e| Failed::Second(e.into()))?;
        let equal = x.dtype == y.dtype && a == b;
        same &= equal;
        if widths.is_some() {
            decode(x.dtype, &a, &mut p);
            if equal {
                measure.add(&p, &p);
            } else {
                decode(y.dtype, &b, &mut q);
                measure.add(&p, &q);
            }
        }
        left -= count as u64;
    }
    Ok((same, widths.map(|_| measure.finish())))
}
