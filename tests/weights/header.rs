//! The header reader against the ledger and the reference crate.

use std::collections::HashMap;

use expert_build::format::safetensors::{FaultKind, Header, HeaderFault, Scan};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

use crate::fixtures;

/// Reads the header as a caller does: eight bytes, then what is needed.
pub fn read(bytes: &[u8]) -> Result<Header, HeaderFault> {
    let len = bytes.len() as u64;
    let needed = Header::len_needed(&bytes[..bytes.len().min(200)], len)?;
    Header::parse(&bytes[..needed], len)
}

pub fn build(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn every_fixture_gets_the_verdict_of_the_ledger() {
    let Some(dir) = fixtures::dir() else { return };
    let dir = dir.join("safetensors");
    let ledger: Value = serde_json::from_slice(&std::fs::read(dir.join("EXPECTED.json")).unwrap()).unwrap();
    let files = ledger["files"].as_object().unwrap();
    assert!(files.len() >= 31, "{}", files.len());
    for (name, expected) in files {
        let bytes = std::fs::read(dir.join(name)).unwrap();
        let verdict = match read(&bytes) {
            Err(fault) => {
                assert!(fault.malformed.at <= bytes.len() as u64, "{name}: {fault:?}");
                "reject"
            }
            Ok(header) => {
                compare(name, &header, expected);
                let mut scan = Scan::new(&header);
                scan.feed(0, &bytes);
                let report = scan.finish(&header).unwrap();
                let odd = header.tensors.is_empty()
                    || !header.warnings.is_empty()
                    || report.tensors.iter().any(|t| t.nan + t.inf > 0);
                if odd { "warn" } else { "accept" }
            }
        };
        assert_eq!(verdict, expected["strict"], "{name}: {:?}", read(&bytes));
    }
}

fn compare(name: &str, header: &Header, expected: &Value) {
    let mut ours: Vec<(&str, String, Vec<u64>)> =
        header.tensors.iter().map(|t| (&*t.name, t.dtype.to_string(), t.shape.to_vec())).collect();
    ours.sort();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let theirs: Vec<(String, String, Vec<u64>)> = expected["tensors"].as_array().map_or(Vec::new(), |tensors| {
        let row = |t: &Value| {
            let shape = t["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap());
            (text(&t["key"]), text(&t["dtype"]), shape.collect())
        };
        tensors.iter().map(row).collect()
    });
    let mut theirs: Vec<(&str, String, Vec<u64>)> =
        theirs.iter().map(|(key, dtype, shape)| (key.as_str(), dtype.clone(), shape.clone())).collect();
    theirs.sort();
    assert_eq!(ours, theirs, "{name}");
    let metadata: Vec<(&str, &str)> = expected["metadata"]
        .as_object()
        .map_or(Vec::new(), |m| m.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect());
    assert_eq!(header.metadata.len(), metadata.len(), "{name}");
    for (key, value) in metadata {
        assert_eq!(header.metadata[key], value, "{name}");
    }
}

#[test]
fn faults_have_their_kind_and_place() {
    let fault = |bytes: &[u8]| read(bytes).unwrap_err();
    let entry = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let cut = fault(&build(entry, 4));
    assert_eq!(cut.kind, FaultKind::Truncated);
    assert_eq!(cut.malformed.what, "the file ends 4 bytes before its last tensor `a` does");
    assert_eq!(fault(&build(entry, 8)[..30]).kind, FaultKind::Truncated);
    assert_eq!(fault(b"").kind, FaultKind::Truncated);
    let pointer = fault(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 7\n");
    assert!(matches!(pointer.kind, FaultKind::LfsPointer(p) if p.size == 7));
    let rest = fault(&build(entry, 9));
    assert_eq!(
        (rest.kind, rest.malformed.at, &*rest.malformed.what),
        (FaultKind::Malformed, 70, "1 bytes follow the last tensor")
    );
}

/// Each of these is refused, with this phrase somewhere in the message.
#[test]
fn malformed_headers_are_named() {
    let one = |fields: &str| format!(r#"{{"a":{{{fields}}}}}"#);
    let good = r#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#;
    let cases = [
        (one(r#""dtype":"F32","shape":[2,],"data_offsets":[0,8]"#), "not a whole number"),
        (one(r#""dtype":"F32","shape":[2.0],"data_offsets":[0,8]"#), "not a whole number"),
        (one(r#""dtype":"F32","shape":[2e0],"data_offsets":[0,8]"#), "not a whole number"),
        (one(r#""dtype":"F32","shape":[02],"data_offsets":[0,8]"#), "not a whole number"),
        (one(r#""dtype":"F32","shape":[-2],"data_offsets":[0,8]"#), "not a whole number"),
        (one(r#""dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]"#), "not a whole number"),
        (one(r#""dtype":"F32","shape":2,"data_offsets":[0,8]"#), "`shape` is not an array"),
        (one(r#""dtype":"F32","shape":[2],"data_offsets":[0,8,9]"#), "more than 2 numbers"),
        (one(r#""dtype":"F32","shape":[2],"data_offsets":[8]"#), "must be two numbers"),
        (one(r#""dtype":7,"shape":[2],"data_offsets":[0,8]"#), "`dtype` is not a string"),
        (one(r#""dtype":"f32","shape":[2],"data_offsets":[0,8]"#), "there is no dtype `f32`"),
        (one(r#""shape":[2],"data_offsets":[0,8]"#), "has no `dtype`"),
        (one(r#""dtype":"F32","data_offsets":[0,8]"#), "has no `shape`"),
        (one(&format!(r#"{good},"shape":[2]"#)), "the field `shape` stands twice"),
        (one(&format!(r#"{good},"x":1,"x":2"#)), "the field `x` stands twice"),
        (one(&format!(r#"{good},"x":[1,}}"#)), "not valid JSON"),
        (one(&format!(r#"{good},"x":{}1{}"#, "[".repeat(200), "]".repeat(200))), "nested deeper"),
        (one(&format!(r#"{good},"x":"{}""#, "y".repeat(70_000))), "more than 64 KiB"),
        (format!(r#"{{"a":{{{good}}},"\u0061":{{{good}}}}}"#), "the tensor `a` stands twice"),
        (format!(r#"{{"a":{{{good}}},}}"#), "in double quotes is missing"),
        (format!(r#"{{"a":{{{good}}}}}x"#), "follows the header's JSON"),
        (r#"{"a":[]}"#.into(), "is not an object"),
        (r#"{"__metadata__":{},"__metadata__":{}}"#.into(), "stands twice"),
        (r#"{"__metadata__":{"k":"1","k":"2"}}"#.into(), "the key `k` of `__metadata__` stands twice"),
        (r#"{"__metadata__":[]}"#.into(), "is not an object"),
        (r#"{"a"#.into(), "ends inside a string"),
        ("{\"a\nb\":{}}".into(), "control character"),
        (r#"{"\ud800":{}}"#.into(), "surrogate"),
        (one(r#""dtype":"F4","shape":[3],"data_offsets":[0,1]"#), "does not end on a byte"),
    ];
    for (header, phrase) in cases {
        let fault = read(&build(&header, 8)).unwrap_err();
        assert!(fault.malformed.what.contains(phrase), "{header}: {fault:?}");
        assert!(fault.malformed.at >= 8, "{header}: {fault:?}");
    }
}

#[test]
fn odd_but_harmless_is_warned_of() {
    let header = read(&build(
        r#"{"__metadata__":null,"a":{"dtype":"U8","x":{"y":[1,"]"]},"shape":[],"data_offsets":[0,1]}}"#,
        1,
    ));
    let warnings = header.unwrap().warnings;
    assert_eq!(warnings[0].what, "`__metadata__` is null, not an object");
    assert_eq!(warnings[1].what, "tensor `a` has a field `x` that the format does not know");
    assert_eq!(warnings[1].at, 8 + 39);
}

#[test]
fn a_hundred_thousand_tensors_are_read_quickly() {
    let mut header = String::from("{");
    for i in (0..100_000).rev() {
        let name = format!("base_model.model.model.layers.{i}.self_attn.q_proj.lora_A.weight");
        header.push_str(&format!(r#""{name}":{{"dtype":"U8","shape":[1,1],"data_offsets":[{i},{}]}},"#, i + 1));
    }
    header.pop();
    header.push('}');
    let bytes = build(&header, 100_000);
    let start = std::time::Instant::now();
    let parsed = read(&bytes).unwrap();
    let took = start.elapsed();
    assert_eq!(parsed.tensors.len(), 100_000);
    assert!(parsed.tensors.is_sorted_by_key(|t| t.start));
    // 70 ms in a debug build here; a quadratic reader would take minutes.
    assert!(took.as_secs_f64() < 5.0, "{took:?}");
}

pub fn dtypes() -> impl Strategy<Value = Dtype> {
    prop_oneof![
        Just(Dtype::BF16),
        Just(Dtype::F16),
        Just(Dtype::F32),
        Just(Dtype::F64),
        Just(Dtype::I8),
        Just(Dtype::BOOL),
        Just(Dtype::I64),
        Just(Dtype::F8_E4M3),
        Just(Dtype::F8_E5M2),
        Just(Dtype::F8_E8M0),
        Just(Dtype::F8_E4M3FNUZ),
        Just(Dtype::F4),
        Just(Dtype::C64),
    ]
}

type Made = Vec<(String, Dtype, Vec<usize>)>;

fn tensors() -> impl Strategy<Value = Made> {
    let shape = prop::collection::vec(0_usize..6, 0..4);
    let one = (dtypes(), shape);
    // Not empty: with metadata and no tensor, the reference writes `{},"__metadata__":{}}`.
    prop::collection::btree_map("[a-z.\"\\\\é ]{1,12}", one, 1..8).prop_map(|map| {
        map.into_iter()
            .map(|(name, (dtype, mut shape))| {
                if dtype == Dtype::F4 {
                    shape.push(2);
                }
                (name, dtype, shape)
            })
            .collect()
    })
}

pub fn serialized(tensors: &Made, metadata: Option<HashMap<String, String>>) -> Vec<u8> {
    let zeros = vec![0_u8; 4096];
    let views = tensors.iter().map(|(name, dtype, shape)| {
        let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (name.clone(), TensorView::new(*dtype, shape.clone(), &zeros[..bytes]).unwrap())
    });
    safetensors::serialize(views.collect::<Vec<_>>(), metadata).unwrap()
}

proptest! {
    #[test]
    fn what_the_reference_writes_is_read_alike(made in tensors(), keys in prop::collection::hash_map(".{0,6}", ".{0,6}", 0..3)) {
        let bytes = serialized(&made, Some(keys.clone()));
        let header = read(&bytes).unwrap();
        prop_assert_eq!(header.metadata.len(), keys.len());
        prop_assert!(header.warnings.is_empty());
        prop_assert_eq!(header.tensors.len(), made.len());
        for (name, dtype, shape) in &made {
            let tensor = header.tensor(name).unwrap();
            prop_assert_eq!(tensor.dtype, *dtype);
            prop_assert_eq!(tensor.shape.to_vec(), shape.iter().map(|n| *n as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_accepted_that_the_reference_refuses(made in tensors(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = serialized(&made, None);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if read(&bytes).is_ok() {
            prop_assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok());
        }
    }
}

/// Small and fast, the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}
