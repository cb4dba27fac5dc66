//! Inputs to begin with: the fixtures, cut to what each body takes, and a few made here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use expert_build::base::event::Member;
use expert_build::base::{Digest, RelPath, Sha256};
use expert_build::engine::record::{FileResult, PackageResult, PackedSegment, Piece, encode};
use expert_build::format::archive::Writer;
use expert_build::format::model_signing::{self, Model, ModelKey};
use expert_build::format::segment::{Codec, Compression, Encoder};
use expert_build::format::signature::PrivateKey;
use expert_build::format::{json, provenance, zip};
use expert_build::ops::history::{History, Past};
use expert_build::ops::memo::Memo;
use expert_build::store::index::{Built, Input, Record, Seen};
use expert_build::store::stat::{Kind, Stat};
use expert_build::store::{ActionKey, Index};

/// Larger files teach libFuzzer nothing more, and take it long.
const MOST: usize = 64 << 10;

/// The seeds of a target. Without the fixtures, those that are made here.
pub fn seeds(target: &str, fixtures: Option<&Path>) -> Vec<Vec<u8>> {
    let files = |endings: &[&str], below: &str| -> Vec<Vec<u8>> {
        let folder = fixtures.map(|dir| dir.join(below));
        folder.map_or_else(Vec::new, |folder| all(&folder, endings))
    };
    let mut seeds = match target {
        "adapter" => fixtures.map_or_else(Vec::new, |dir| adapters(&dir.join("experts"))),
        "expertfile" => expertfiles(),
        "grammar" => [files(&["gbnf"], ""), vec![b"root ::= [a-z]{1,3} (\"x\" | \"\\u0041\")* #c\n".to_vec()]].concat(),
        "index" => vec![index()],
        "json" => [files(&["json"], "experts"), vec![b"{\"a\":[1.5e-3,\"\\ud83d\\ude00\",null]}".to_vec()]].concat(),
        "manifest" => manifests(fixtures),
        "package" => Compression::ALL.into_iter().map(package).collect(),
        "pickle" => files(&["pt"], "pt").iter().filter_map(|bytes| pickled(bytes)).collect(),
        "record" => records(),
        "safetensors" => [files(&["safetensors"], "safetensors"), files(&["safetensors"], "experts-bad")].concat(),
        "seek_table" => vec![package(Compression::Zstd)],
        "segment" => segments(),
        "tar" => vec![package(Compression::None), foreign_tar()],
        "torch" => [files(&["pt", "bin"], "pt"), files(&["pt"], "experts")].concat(),
        "trust" => trusted(),
        _ => panic!("no seeds for `{target}`"),
    };
    seeds.retain(|seed| seed.len() <= MOST);
    assert!(!seeds.is_empty() || fixtures.is_none(), "no seeds for `{target}`");
    seeds
}

/// Every file below a folder with one of these endings, in order.
fn all(folder: &Path, endings: &[&str]) -> Vec<Vec<u8>> {
    let (mut paths, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The manifest's adapter, adapter_config.json, header and a base model for each expert.
fn adapters(folder: &Path) -> Vec<Vec<u8>> {
    let mut experts: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    experts.sort();
    let base = br#"{"model_type":"qwen3","hidden_size":64,"intermediate_size":176,"num_hidden_layers":2,
        "num_attention_heads":4,"num_key_value_heads":2,"head_dim":16,"vocab_size":300}"#;
    let mut seeds = Vec::new();
    for expert in experts {
        let Ok(text) = fs::read(expert.join("manifest.json")) else { continue };
        let root = json::parse(&text).unwrap();
        let adapter = root.pointer("/adapters/0").or(root.pointer("/base_models/0/adapters/0"));
        let adapter = adapter.map_or(&b"{}"[..], |value| &text[value.span.clone()]);
        let config = fs::read(expert.join("adapter_config.json")).unwrap_or_default();
        let weights = fs::read(expert.join("adapter_model.safetensors")).unwrap_or_default();
        let length = weights.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
        let header = weights.get(8..8 + length).unwrap_or_default();
        seeds.push([adapter, &config, header, base].join(&0));
    }
    seeds
}

/// The Expertfiles that the documentation shows, and that of the examples.
fn expertfiles() -> Vec<Vec<u8>> {
    let readme = include_str!("../../README.md");
    let shown = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut seeds: Vec<Vec<u8>> = shown.map(|text| text.as_bytes().to_vec()).collect();
    seeds.push(include_bytes!("../../examples/Expertfile.toml").to_vec());
    assert!(seeds.len() > 1, "the README shows Expertfiles");
    seeds
}

fn manifests(fixtures: Option<&Path>) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = ["experts", "experts-bad", "public"]
        .iter()
        .flat_map(|folder| fixtures.map_or_else(Vec::new, |dir| all(&dir.join(folder), &["json"])))
        .filter(|bytes| {
            json::parse(bytes).is_ok_and(|root| root.get("version").is_some() || root.get("adapters").is_some())
        })
        .collect();
    seeds.push(MANIFEST.as_bytes().to_vec());
    seeds
}

const MANIFEST: &str = r#"{"name":"sql","version":"1.2.3","description":"d","license":"MIT","constraints":{"requires":
["english@>=1.0.0"],"load_order":3},"base_model":{"name":"Qwen3-0.6B"},"adapters":[{"type":"lora","path":
"adapter_model.safetensors","r":4,"alpha":8,"target_modules":["q_proj"],"sha256":"","size_bytes":7}]}"#;

fn package(compression: Compression) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Codec::new(compression, None).unwrap(), 315_532_800).unwrap();
    let long = format!("docs/{}/längst", "d".repeat(120));
    for (path, content) in [("manifest.json", MANIFEST.as_bytes()), ("LICENSE", b"MIT"), (&long, &[7; 700]), ("z", b"")]
    {
        writer.entry(&RelPath::new(path).unwrap(), content.len() as u64, content).unwrap();
    }
    writer.finish().unwrap()
}

/// As other tools write them: `./` before the paths, folders, pax and GNU names.
fn foreign_tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    tar.append_data(&mut header, format!("./{}", "n".repeat(200)), &b"abc"[..]).unwrap();
    let mut folder = tar::Header::new_ustar();
    folder.set_entry_type(tar::EntryType::Directory);
    folder.set_size(0);
    tar.append_data(&mut folder, "./a/", &b""[..]).unwrap();
    tar.append_pax_extensions([("path", &b"a/\xc3\xa4"[..]), ("size", b"3")]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(3);
    tar.append_data(&mut header, "./a/b", &b"xyz"[..]).unwrap();
    tar.into_inner().unwrap()
}

/// `data.pkl` of a torch file.
fn pickled(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut source = Cursor::new(bytes);
    let directory = zip::read(&mut source, bytes.len() as u64).ok()?;
    let (name, entry) = directory.entries.iter().find(|(name, _)| name.ends_with("data.pkl"))?;
    let mut data = Vec::new();
    entry.open(name, &mut source).ok()?.take(MOST as u64 + 1).read_to_end(&mut data).ok()?;
    Some(data)
}

/// Which codec and level, how often, how much noise, and the bytes.
fn segments() -> Vec<Vec<u8>> {
    let bf16: Vec<u8> = (0..4000_u32)
        .flat_map(|i| (i.wrapping_mul(2_654_435_761) as f32).to_bits().to_be_bytes()[..2].to_vec())
        .collect();
    let bodies: [&[u8]; 4] = [b"\"token\": 17,\n  ", &[0; 3000], &bf16, b""];
    let heads = [
        [0, 5, 0, 0],
        [0, 8, 15, 1],
        [0, 0, 15, 200],
        [0, 4, 15, 66],
        [0, 7, 3, 255],
        [1, 2, 9, 0],
        [1, 11, 13, 3],
        [1, 2, 12, 130],
        [1, 5, 8, 64],
    ];
    heads.iter().flat_map(|head| bodies.iter().map(|body| [&head[..], body].concat())).collect()
}

fn records() -> Vec<Vec<u8>> {
    let digest = Digest::new([7; 32], 900);
    let file = FileResult {
        sha256: Sha256::of(b"f"),
        packed: digest,
        segments: vec![PackedSegment(1 << 20, 800, 5, Encoder::Entropy), PackedSegment(3, 100, 6, Encoder::Stored)],
        scan: Some(serde_json::json!({"tensors": []})),
        took_us: 4,
    };
    let member = Member { path: RelPath::new("a").unwrap(), bytes: 3, sha256: Sha256::of(b"a"), digest: None };
    let package = PackageResult {
        sha256: Sha256::of(b"p"),
        bytes: 903,
        members: vec![member],
        pieces: vec![Piece::Inline(3), Piece::Blob(digest)],
        segments: 2,
        warnings: Vec::new(),
        beside: vec!["ab".repeat(32)],
        key_text: "expert-build 1\n".into(),
        took_us: 5,
        weights: Vec::new(),
        inline: b"abc".to_vec(),
    };
    vec![encode(&file, b"key\n"), package.encode()]
}

fn index() -> Vec<u8> {
    let seen = |path: &str, ino| Seen {
        path: path.into(),
        stat: Some(Stat { kind: Kind::File, size: 3, mtime: -5, ctime: 7, ino }),
    };
    let memo = Memo { name: "e".into(), packages: 1, ..Memo::default() };
    let mut past = Past::default();
    past.model = Some("m".into());
    let history = History { packages: vec![past] };
    let record = Record {
        settings: [0; 32],
        folders: vec![seen("e", 1), Seen { path: "e/soft".into(), stat: None }],
        inputs: vec![Input { seen: seen("e/a", 2), digest: Digest::of(b"abc"), sha256: Sha256::of(b"abc") }],
        outputs: vec![Built {
            seen: seen("e/p", 3),
            sha256: Sha256::of(b"x"),
            key: ActionKey::of("k"),
            is_package: true,
        }],
        memo: [memo.encode(), history.encode()].join(&b'\n'),
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let records = BTreeMap::from([("e".to_owned(), record.clone()), ("experts/sql".to_owned(), record)]);
    Index::save(&path, &records, &|_| true).unwrap();
    let bytes = fs::read(path).unwrap();
    // The one block, and how much of it are stats: its table follows it, and that is 76 bytes before the last 52.
    let row = &bytes[bytes.len() - 128..];
    let length = |at: usize| u32::from_le_bytes(row[at..at + 4].try_into().unwrap());
    let head = [&length(0).to_le_bytes()[..1], &length(4).to_le_bytes()[..2]].concat();
    [&head, &bytes[..bytes.len() - 128]].concat()
}

fn trusted() -> Vec<Vec<u8>> {
    let key = PrivateKey::from_seed(&[7; 32]);
    let model_key = ModelKey::from_seed(&[7; 32]).unwrap();
    let files = BTreeMap::from([("a/b".to_owned(), Sha256::of(b"1"))]);
    vec![
        model_signing::bundle(&Model { name: "m", files: &files, ignored: &[] }, &model_key).into_bytes(),
        model_key.public_pem().into_bytes(),
        key.to_pem().as_bytes().to_vec(),
        key.public().to_string().into_bytes(),
        key.sign(b"m").to_string().into_bytes(),
        provenance::envelope("{}", &key).into_bytes(),
        Digest::of(b"a").to_string().into_bytes(),
        b"soft_prompts/a.pt".to_vec(),
    ]
}
