//! `inspect`: what is in a package: identity, models, adapters, files, signature, and on request every tensor.
//!
//! On a zstd package with a seek table, and on a bare tar, only headers and the manifest are read, and what the tensors
//! need. Hashes are those that the manifest gives; a file without one is hashed.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{RelPath, Result, Sha256};
use crate::format::archive::{Entry, Fault};
use crate::format::integrity::{Integrity, MANIFEST, SIGNATURE};
use crate::format::json::Value;
use crate::format::manifest::{Adapter, BaseModel, Manifest, Schema};
use crate::format::segment::Compression;
use crate::format::tensor_values::{Collector, Stats, decode};
use crate::format::torch;
use crate::ops::opened::{Opened, Reading, hash};
use crate::ops::tensors::{blocks, header};
use crate::ops::verify::{SignatureReport, signature_of};

/// What is in a package.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The package.
    pub package: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The sizes of its files together.
    pub unpacked: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// The level, as the manifest says.
    pub level: Option<u64>,
    /// Was it made by expert-build, as its manifest says?
    pub native: bool,
    /// `name`.
    pub name: String,
    /// `version`.
    pub version: String,
    /// `description`.
    pub description: Option<String>,
    /// `author`.
    pub author: Option<String>,
    /// `license`.
    pub license: Option<String>,
    /// The schema: `1.0` or `2.0`.
    pub schema: &'static str,
    /// `constraints.requires`.
    pub requires: Vec<String>,
    /// `capabilities`.
    pub capabilities: Vec<String>,
    /// Base models and their adapters.
    pub models: Vec<Model>,
    /// Soft prompts.
    pub soft_prompts: Vec<SoftPrompt>,
    /// Files, in the order of the package.
    pub files: Vec<FileInfo>,
    /// The signature against the manifest's list of hashes. The files themselves were not compared: `verify` does that.
    pub signature: SignatureReport,
    /// Tensors, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<Weights>>,
}

/// A base model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// `name`.
    pub name: String,
    /// `quantization`.
    pub quantization: Option<String>,
    /// Its adapters.
    pub adapters: Vec<AdapterInfo>,
}

/// An adapter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdapterInfo {
    /// `type`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `r`.
    pub r: Option<u64>,
    /// `alpha`.
    pub alpha: Option<f64>,
    /// `target_modules`.
    pub target_modules: Vec<String>,
    /// `path`.
    pub path: Option<String>,
    /// `size_bytes`.
    pub bytes: Option<u64>,
    /// `sha256`.
    pub sha256: Option<Sha256>,
}

/// A soft prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SoftPrompt {
    /// `name`.
    pub name: Option<String>,
    /// `path`.
    pub path: String,
    /// Its length in tokens.
    pub tokens: Option<u64>,
}

/// A file of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// Its path.
    pub path: RelPath,
    /// Its length.
    pub bytes: u64,
    /// What it takes in the package, where that can be told: not in gzip.
    pub packed: Option<u64>,
    /// Its hash as the manifest gives it, else as it is.
    pub sha256: Option<Sha256>,
}

/// The tensors of a file of weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weights {
    /// The file.
    pub path: RelPath,
    /// Its tensors, in the order of the file.
    pub tensors: Vec<TensorInfo>,
    /// `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// Why it could not be read.
    pub fault: Option<String>,
}

/// A tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Its length in bytes.
    pub bytes: u64,
    /// What its values say; none where none is finite, the type is not read, or torch wrote the file.
    pub stats: Option<Stats>,
}

/// The largest torch file that is looked into: a soft prompt is far smaller.
const MAX_TORCH: u64 = 32 << 20;

/// Looks into a package; with `tensors`, at every value of its weights.
pub fn inspect(package: &Path, tensors: bool, reading: impl Into<Reading>) -> Result<Inspection> {
    let opened = Opened::open(package, reading)?;
    let mut seen = Seen { tensors, ..Seen::default() };
    let compression = opened.compression()?;
    let mut packed = BTreeMap::new();
    if let Some(mut index) = opened.index()? {
        let mut entries = index.entries.clone();
        // The hashes in it decide what need not be read.
        entries.sort_by_key(|entry| entry.path.as_str() != MANIFEST);
        for entry in &entries {
            // Threads start only for what is read.
            let read = seen.reads(entry, true);
            match read {
                true => seen.take(&opened, entry, &mut opened.content(&mut index, entry)?, true)?,
                false => seen.take(&opened, entry, &mut io::empty(), true)?,
            }
            if let Some(size) = index.packed(entry) {
                packed.insert(entry.path.clone(), size);
            }
        }
        seen.order(&index.entries);
    } else {
        let mut archive = opened.stream()?;
        while let Some(entry) = archive.next_entry().map_err(|e| opened.error(e))? {
            seen.take(&opened, &entry, &mut archive, false)?;
        }
    }
    let Some((bytes, value)) = &seen.manifest else { return Err(opened.no_manifest()) };
    let (manifest, _) = Manifest::read(bytes, MANIFEST);
    let manifest = manifest.ok_or_else(|| opened.wrong("its manifest cannot be read"))?;
    let files: Vec<FileInfo> = seen
        .files
        .iter()
        .map(|(path, bytes, sha256)| FileInfo {
            path: path.clone(),
            bytes: *bytes,
            packed: packed.get(path).copied(),
            sha256: seen.listed.get(path).copied().or(*sha256),
        })
        .collect();
    Ok(Inspection {
        package: package.to_path_buf(),
        bytes: opened.file.size(),
        unpacked: files.iter().map(|file| file.bytes).sum(),
        compression,
        level: value.pointer("/package/level").and_then(Value::as_u64),
        native: value.pointer("/package/format_version").is_some(),
        name: manifest.name,
        version: manifest.version,
        description: manifest.description,
        author: manifest.author,
        license: manifest.license.map(|phrase| phrase.text),
        schema: match manifest.schema {
            Schema::V1 => "1.0",
            Schema::V2 => "2.0",
        },
        requires: manifest.requires.into_iter().map(|phrase| phrase.text).collect(),
        capabilities: manifest.capabilities,
        models: manifest.base_models.into_iter().map(model).collect(),
        soft_prompts: manifest
            .soft_prompts
            .into_iter()
            .map(|prompt| SoftPrompt { name: prompt.name, path: prompt.path.path, tokens: prompt.tokens })
            .collect(),
        files,
        signature: signature_of(value, seen.signature.as_deref()),
        weights: tensors.then_some(seen.weights),
    })
}

fn model(model: BaseModel) -> Model {
    let adapter = |adapter: Adapter| AdapterInfo {
        kind: adapter.kind,
        r: adapter.r,
        alpha: adapter.alpha,
        target_modules: adapter.target_modules,
        path: adapter.path.map(|path| path.path),
        bytes: adapter.size_bytes,
        sha256: adapter.sha256,
    };
    Model {
        name: model.name,
        quantization: model.quantization,
        adapters: model.adapters.into_iter().map(adapter).collect(),
    }
}

/// What was seen of the entries so far.
#[derive(Default)]
struct Seen {
    tensors: bool,
    manifest: Option<(Vec<u8>, Value)>,
    signature: Option<String>,
    listed: BTreeMap<RelPath, Sha256>,
    files: Vec<(RelPath, u64, Option<Sha256>)>,
    weights: Vec<Weights>,
}

impl Seen {
    /// Is the content of this entry read? Its hash is known where it can be passed over and the manifest lists it.
    fn reads(&self, entry: &Entry, passable: bool) -> bool {
        let path = entry.path.as_str();
        [MANIFEST, SIGNATURE].contains(&path)
            || self.tensors && (path.ends_with(".safetensors") || is_torch(path))
            || !passable
            || !self.listed.contains_key(&entry.path)
    }

    /// Takes in an entry; of its content no more than needed where it can be passed over.
    fn take(&mut self, opened: &Opened, entry: &Entry, content: &mut dyn Read, passable: bool) -> Result<()> {
        let small = |content: &mut dyn Read, max: u64| {
            if entry.size > max {
                return Err(opened.wrong(&format!("`{}` in it has {} bytes, too many", entry.path, entry.size)));
            }
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(|e| opened.error(e))?;
            Ok(bytes)
        };
        let mut sha256 = None;
        match entry.path.as_str() {
            MANIFEST => {
                let bytes = small(content, opened.limits.max_manifest)?;
                let value = opened.manifest(&bytes)?;
                self.listed = Integrity::read(&value).map(|it| it.files).unwrap_or_default();
                sha256 = Some(Sha256::of(&bytes));
                self.manifest = Some((bytes, value));
            }
            SIGNATURE => {
                let bytes = small(content, 4096)?;
                sha256 = Some(Sha256::of(&bytes));
                self.signature = Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            path if self.tensors && path.ends_with(".safetensors") => {
                let weights = weights(content, entry).map_err(|e| opened.error(e))?;
                // A damaged package is told as such before its weights are.
                if weights.fault.is_some() {
                    io::copy(content, &mut io::sink()).map_err(|e| opened.error(e))?;
                }
                self.weights.push(weights);
            }
            path if self.tensors && is_torch(path) && entry.size <= MAX_TORCH => {
                let bytes = small(content, MAX_TORCH)?;
                sha256 = Some(Sha256::of(&bytes));
                self.weights.push(pickled(entry, bytes));
            }
            _ if !self.reads(entry, passable) => {}
            _ => sha256 = Some(hash(content).map_err(|e| opened.error(e))?),
        }
        self.files.push((entry.path.clone(), entry.size, sha256));
        Ok(())
    }

    /// Puts the files into the order of the package.
    fn order(&mut self, entries: &[Entry]) {
        let places: BTreeMap<&RelPath, usize> = entries.iter().enumerate().map(|(i, e)| (&e.path, i)).collect();
        self.files.sort_by_key(|(path, _, _)| places.get(path).copied());
    }
}

/// Soft prompts, and what else torch wrote.
fn is_torch(path: &str) -> bool {
    [".pt", ".pth", ".bin"].iter().any(|ending| path.ends_with(ending))
}

/// The tensors of a torch file. Nothing in it is run; a file that would run something says so in place of its tensors.
fn pickled(entry: &Entry, bytes: Vec<u8>) -> Weights {
    let mut weights = Weights { path: entry.path.clone(), tensors: Vec::new(), metadata: BTreeMap::new(), fault: None };
    match torch::read(&mut io::Cursor::new(bytes), entry.size) {
        Ok(found) => weights.tensors.extend(found.tensors.into_iter().map(|tensor| TensorInfo {
            bytes: tensor.shape.iter().fold(tensor.dtype.size, |all, side| all.saturating_mul(*side)),
            name: tensor.key,
            dtype: tensor.dtype.name.to_owned(),
            shape: tensor.shape,
            stats: None,
        })),
        Err(fault) => weights.fault = Some(fault.to_string()),
    }
    weights
}

fn weights(mut content: &mut dyn Read, entry: &Entry) -> Result<Weights, Fault> {
    let mut weights = Weights { path: entry.path.clone(), tensors: Vec::new(), metadata: BTreeMap::new(), fault: None };
    // A fault in the header is the weights'; one while bytes are fetched is the package's.
    let found = match header(&mut content, entry.size) {
        Ok(found) => found,
        Err(Fault::Malformed(malformed)) => {
            weights.fault = Some(malformed.to_string());
            return Ok(weights);
        }
        Err(fault) => return Err(fault),
    };
    let mut values = Vec::new();
    for tensor in &found.tensors {
        let mut collector = Collector::default();
        blocks(&mut content, tensor.dtype, tensor.end - tensor.start, |bytes| {
            decode(tensor.dtype, bytes, &mut values);
            collector.add(&values);
        })?;
        weights.tensors.push(TensorInfo {
            name: tensor.name.to_string(),
            dtype: tensor.dtype.to_string(),
            shape: tensor.shape.to_vec(),
            bytes: tensor.end - tensor.start,
            stats: collector.finish(),
        });
    }
    weights.metadata = found.metadata;
    Ok(weights)
}
