//! Findings about weight files by themselves: refused headers, values, copies.

use expert_build::check::adapter_observed::{AdapterKind, Observed};
use expert_build::check::tensors::{self, Copied, copies};
use expert_build::format::safetensors::Header;
use safetensors::Dtype;

use crate::case::{line, module};
use crate::header::{build, read};
use crate::scan::{file, scan};

type Made<'a> = (&'a str, Dtype, &'a [u64], Vec<u8>);

fn found(made: &[Made<'_>]) -> Vec<String> {
    let (header, report) = scan(&file(made));
    tensors::values("a.safetensors", &header, &Observed::new(&header), &report).iter().map(line).collect()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// LoRA of rank 1 over two inputs: these values for A and B of each layer's q_proj.
fn layers(values: &[([f32; 2], [f32; 2])]) -> Vec<String> {
    let names: Vec<[String; 2]> = (0..values.len())
        .map(|i| ["A", "B"].map(|part| format!("{}.lora_{part}.weight", module(i as u32, "q_proj"))))
        .collect();
    let tensors = values.iter().zip(&names).flat_map(|((a, b), [a_name, b_name])| {
        [(a_name.as_str(), Dtype::F32, &[1, 2][..], f32s(a)), (b_name.as_str(), Dtype::F32, &[2, 1][..], f32s(b))]
    });
    found(&tensors.collect::<Vec<_>>())
}

const FINE: ([f32; 2], [f32; 2]) = ([0.1, -0.0], [0.0, 0.2]);

#[test]
fn trained_finite_weights_are_silent() {
    assert_eq!(layers(&[FINE, FINE]), [""; 0]);
}

#[test]
fn values_that_are_not_finite_are_counted_and_placed() {
    let name = format!("{}.lora_A.weight", module(1, "q_proj"));
    let one = format!("warning weights-not-finite a.safetensors [{name}]: `{name}` holds 1 NaN value");
    assert_eq!(layers(&[FINE, ([f32::NAN, 1.0], [1.0, 1.0])]), [one]);
    let more = layers(&[([f32::NAN, f32::INFINITY], [1.0, 1.0]), FINE, ([1.0, 1.0], [f32::NEG_INFINITY; 2])]);
    let text = "warning weights-not-finite a.safetensors [layers 0, 2, q_proj]: 2 tensors hold 1 NaN and 3 infinite values: layers 0, 2, q_proj";
    assert_eq!(more, [text]);
}

#[test]
fn untrained_adapters_and_modules_are_named() {
    let zero = ([0.1, 0.2], [0.0, -0.0]);
    let all = "warning adapter-untrained a.safetensors [layers 0-1, q_proj]: every `lora_B` is zero: the adapter does nothing (layers 0-1, q_proj)";
    assert_eq!(layers(&[zero, zero]), [all]);
    let some = "warning adapter-module-untrained a.safetensors [layer 1, q_proj]: layer 1, q_proj: every `lora_B` is zero, so these modules change nothing";
    assert_eq!(layers(&[FINE, zero, FINE]), [some]);
}

#[test]
fn ia3_of_ones_does_nothing() {
    let ones = "warning adapter-untrained a.safetensors [layer 0, k_proj]: every scale is 1: the adapter does nothing (layer 0, k_proj)";
    let name = format!("{}.ia3_l", module(0, "k_proj"));
    assert_eq!(found(&[(&name, Dtype::F32, &[40, 1], f32s(&[1.0; 40]))]), [ones]);
    assert_eq!(found(&[(&name, Dtype::F16, &[40, 1], [0, 0x3c].repeat(40))]), [ones]);
    assert_eq!(found(&[(&name, Dtype::BF16, &[40, 1], [0x80, 0x3f].repeat(40))]), [ones]);
    let mut trained = vec![1.0; 40];
    trained[39] = 1.01;
    assert_eq!(found(&[(&name, Dtype::F32, &[40, 1], f32s(&trained))]), [""; 0]);
    let zero = "warning weights-all-zero a.safetensors [layer 0, k_proj]: layer 0, k_proj: `ia3_l` is all zeros, which erases the module's output";
    assert_eq!(found(&[(&name, Dtype::F32, &[40, 1], f32s(&[0.0; 40]))]), [zero]);
    let prompt = "warning weights-all-zero a.safetensors [prompt_embeddings]: `prompt_embeddings` is all zeros";
    assert_eq!(found(&[("prompt_embeddings", Dtype::F32, &[2, 2], f32s(&[0.0; 4]))]), [prompt]);
}

#[test]
fn a_zero_factor_of_lokr_is_told_only() {
    let name = |part: &str| format!("{}.{part}", module(0, "q_proj"));
    let (one, two) = (name("lokr_w1"), name("lokr_w2"));
    let note = "note adapter-factor-zero a.safetensors [layer 0, q_proj]: layer 0, q_proj: one factor of every product is zero, so these modules change nothing";
    assert_eq!(found(&[(&one, Dtype::F32, &[1, 1], f32s(&[0.0])), (&two, Dtype::F32, &[1, 1], f32s(&[1.0]))]), [note]);
}

#[test]
fn refused_files_have_their_code() {
    let refused = |bytes: &[u8]| line(&tensors::refused("a.safetensors", &read(bytes).unwrap_err()));
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 7\n";
    assert_eq!(
        refused(pointer),
        "error git-lfs-pointer a.safetensors @0: a Git LFS pointer to 7 bytes stands in place of the weights"
    );
    assert_eq!(
        refused(&[1, 2]),
        "error safetensors-truncated a.safetensors @2: the file has 2 bytes, too few for a safetensors header"
    );
    assert_eq!(
        refused(&build("[]", 0)),
        "error safetensors-malformed a.safetensors @8: the header does not begin with `{`"
    );
}

#[test]
fn odd_headers_are_warned_of() {
    let told = |header: &Header| tensors::header("a.safetensors", header).iter().map(line).collect::<Vec<_>>();
    assert_eq!(
        told(&read(&build("{}", 0)).unwrap()),
        ["warning weights-empty a.safetensors : the file holds no tensor"]
    );
    let entries: Vec<String> = (0..20)
        .map(|i| format!(r#""t{i:02}":{{"x":1,"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#, i + 1))
        .collect();
    let many = told(&read(&build(&format!("{{{}}}", entries.join(",")), 20)).unwrap());
    assert_eq!(many.len(), 17);
    let first =
        "warning safetensors-unusual a.safetensors @16: tensor `t00` has a field `x` that the format does not know";
    assert_eq!(many[0], first);
    assert!(many[16].ends_with("4 more entries hold something that the format does not know"), "{}", many[16]);
}

#[test]
fn copies_are_told_at_the_later_one() {
    let print = |values: &[f32]| scan(&file(&[("a", Dtype::F32, &[2], f32s(values))])).1.fingerprint;
    let copy = |expert: &str, model: Option<&str>, path: &str, values: &[f32]| Copied {
        expert: expert.into(),
        model: model.map(str::to_owned),
        path: path.into(),
        fingerprint: print(values),
    };
    let all = [
        copy("sql", Some("big"), "weights/big/a.safetensors", &[1.0, 2.0]),
        copy("sql", Some("small"), "weights/small/a.safetensors", &[1.0, 2.0]),
        copy("json", None, "a.safetensors", &[2.0, 1.0]),
        copy("yaml", None, "a.safetensors", &[2.0, 1.0]),
        copy("toml", None, "a.safetensors", &[1.0, 1.0]),
    ];
    let found = copies(&all);
    assert_eq!(
        found.iter().map(line).collect::<Vec<_>>(),
        [
            "warning weights-copy weights/small/a.safetensors : the tensors for `small` are those for `big` (`weights/big/a.safetensors`)",
            "warning weights-copy a.safetensors : the tensors are those of `json` (`a.safetensors`)",
        ]
    );
    assert_eq!(found[1].expert.as_deref(), Some("yaml"));
}

#[test]
fn facts_are_plain_json() {
    let name = |part: &str| format!("{}.{part}.weight", module(3, "q_proj"));
    let (a, b) = (name("lora_A"), name("lora_B"));
    let (header, report) =
        scan(&file(&[(&a, Dtype::F32, &[1, 2], f32s(&[1.0, 2.0])), (&b, Dtype::F32, &[2, 1], f32s(&[1.0, 2.0]))]));
    let observed = Observed::new(&header);
    assert_eq!(observed.kind, Some(AdapterKind::Lora));
    let facts = serde_json::to_value(&observed).unwrap();
    assert_eq!(facts["kind"], "lora");
    let module = serde_json::json!({"path": "model.layers.3.self_attn.q_proj", "layer": 3, "name": "q_proj", "kind": "lora",
        "rank": 1, "inputs": 2, "outputs": 2, "dtype": "F32", "parts": {"lora_A": [1, 2], "lora_B": [2, 1]}});
    assert_eq!(facts["modules"][0], module);
    // What is cached comes back as it was.
    let text = serde_json::to_string(&(&header, &report)).unwrap();
    assert_eq!(serde_json::from_str::<(Header, _)>(&text).unwrap(), (header, report));
}
