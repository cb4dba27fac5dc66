//! Packages for tests: as expert-build makes them, and as other tools of the ecosystem do.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, dead_code, reason = "tests own their effects")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use expert_build::base::{RelPath, Sha256};
use expert_build::format::archive::Writer;
use expert_build::format::integrity::{Seal, seal};
use expert_build::format::json::{self, Value};
use expert_build::format::json_write::pretty;
use expert_build::format::segment::{Codec, Compression};
use expert_build::format::signature::PrivateKey;

pub const MTIME: u64 = 315_532_800;

pub const MANIFEST: &str = r#"{
  "name": "sql", "version": "1.2.3", "schema_version": "2.0", "description": "Text to SQL", "author": "hivellm",
  "x-unknown": {"z": 1.50, "a": [null, "ü"]}, "license": "MIT", "capabilities": ["sql"],
  "constraints": {"requires": ["english@>=1.0.0"]},
  "base_models": [{"name": "Qwen3-0.6B", "quantization": "int4", "adapters": [
    {"type": "lora", "path": "adapter_model.safetensors", "r": 4, "alpha": 8, "target_modules": ["q_proj"]}]}]
}"#;

pub fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

pub fn key(number: u8) -> PrivateKey {
    PrivateKey::from_seed(&[number; 32])
}

/// A safetensors file of float32 tensors.
pub fn safetensors(tensors: &[(&str, &[u64], &[f32])]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// The files of a small expert: weights of two tensors, a text that compresses, a file that hardly does.
pub fn files() -> BTreeMap<String, Vec<u8>> {
    let a: Vec<f32> = (0..32u8).map(|i| f32::from(i) / 8.0 - 2.0).collect();
    let weights = safetensors(&[("lora_A", &[4, 8], &a), ("lora_B", &[2], &[f32::NAN, 1.0])]);
    [
        ("adapter_model.safetensors", weights),
        ("LICENSE", b"MIT License\n".repeat(50)),
        ("README.md", b"# SQL\n".to_vec()),
        ("soft_prompts/intro.pt", noise(5_000)),
        ("tokenizer.json", b"{}".to_vec()),
        ("zz-empty", Vec::new()),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

/// Bytes that hardly compress.
pub fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u64;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(step).collect()
}

/// What the engine would make of these files.
pub struct Native {
    pub files: BTreeMap<String, Vec<u8>>,
    pub manifest: Value,
    pub compression: Compression,
}

impl Native {
    pub fn new(compression: Compression) -> Self {
        let mut manifest = json::parse(MANIFEST.as_bytes()).unwrap();
        let level = Codec::new(compression, None).unwrap().level;
        let block = format!(r#"{{"format_version":1,"archive":"tar","compression":"{compression}","level":{level}}}"#);
        manifest.set("package", json::parse(block.as_bytes()).unwrap());
        Self { files: files(), manifest, compression }
    }

    /// The same with a file of three segments.
    pub fn big(compression: Compression) -> Self {
        let mut native = Self::new(compression);
        native.files.insert("soft_prompts/intro.pt".into(), noise(2_500_000));
        native
    }

    /// Every entry, the manifest sealed and, with a key, signed.
    pub fn entries(&self, key: Option<&PrivateKey>) -> Vec<(String, Vec<u8>)> {
        let mut manifest = self.manifest.clone();
        let hashes = self.files.iter().map(|(name, bytes)| (path(name), Sha256::of(bytes))).collect();
        let how = Seal { publisher: "hivellm", created_at: None, key };
        let signature = seal(&mut manifest, &hashes, &how);
        let mut rest = self.files.clone();
        if let Some(signature) = signature {
            rest.insert("signature.sig".into(), signature.to_string().into_bytes());
        }
        let manifest = ("manifest.json".to_owned(), pretty(&manifest).into_bytes());
        std::iter::once(manifest).chain(rest).collect()
    }

    pub fn bytes(&self, key: Option<&PrivateKey>) -> Vec<u8> {
        pack(&self.entries(key), self.compression)
    }
}

/// These entries as a package, in the layout of expert-build, whatever they are.
pub fn pack(entries: &[(String, Vec<u8>)], compression: Compression) -> Vec<u8> {
    let codec = Codec::new(compression, None).unwrap();
    let mut writer = Writer::new(Vec::new(), codec, MTIME).unwrap();
    for (name, bytes) in entries {
        writer.entry(&path(name), bytes.len() as u64, &bytes[..]).unwrap();
    }
    writer.finish().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A tar of GNU headers, as the `tar` crate writes it for other tools.
pub fn gnu_tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Writes a package into a folder.
pub fn put(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}
