//! Adapters against their base model's dimensions.

use std::sync::Arc;

use expert_build::check::adapter::{JsonFile, Weights};
use expert_build::check::adapter_observed::Observed;
use expert_build::check::base_model::{BaseModel, against, hidden_size, invalid};
use expert_build::format::adapter_config::AdapterConfig;
use expert_build::format::json;
use expert_build::format::model_config::ModelConfig;
use serde_json::json;

use crate::case::{header, line, module};

fn config(value: &serde_json::Value) -> ModelConfig {
    ModelConfig::read(&json::parse(value.to_string().as_bytes()).unwrap()).unwrap()
}

fn qwen() -> serde_json::Value {
    json!({"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "head_dim": 128,
        "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 151_936})
}

/// LoRA of rank 4: path, inputs, outputs.
fn adapter(modules: &[(String, u64, u64)]) -> Observed {
    let tensors = modules.iter().flat_map(|(path, inputs, outputs)| {
        [(format!("{path}.lora_A.weight"), vec![4, *inputs]), (format!("{path}.lora_B.weight"), vec![*outputs, 4])]
    });
    Observed::new(&header(&tensors.collect::<Vec<_>>()))
}

fn all(layers: u32) -> Vec<(String, u64, u64)> {
    let shapes = [
        ("q_proj", 1024, 2048),
        ("k_proj", 1024, 1024),
        ("v_proj", 1024, 1024),
        ("o_proj", 2048, 1024),
        ("gate_proj", 1024, 3072),
        ("up_proj", 1024, 3072),
        ("down_proj", 3072, 1024),
    ];
    (0..layers).flat_map(|layer| shapes.map(|(name, inputs, outputs)| (module(layer, name), inputs, outputs))).collect()
}

fn found(observed: &Observed, base: &serde_json::Value, targets: Option<serde_json::Value>) -> Vec<String> {
    let config = config(base);
    let adapter = targets.map(|targets| {
        let text = json!({"peft_type": "LORA", "target_modules": targets}).to_string();
        AdapterConfig::read(json::parse(text.as_bytes()).unwrap())
    });
    let weights = Weights { path: "a.safetensors", observed };
    against(weights, BaseModel { name: "Qwen3-0.6B", config: &config }, adapter.as_ref()).iter().map(line).collect()
}

#[test]
fn the_right_base_model_is_silent() {
    assert_eq!(found(&adapter(&all(28)), &qwen(), Some(json!(["q_proj", "up_proj"]))), [""; 0]);
    // Attention alone of a part of the layers, chosen by a regex.
    assert_eq!(found(&adapter(&all(4)), &qwen(), Some(json!(r".*\.layers\.[0-3]\..*_proj"))), [""; 0]);
    let mut fused = all(0);
    fused.push((module(31, "qkv_proj"), 3072, 9216));
    fused.push((module(31, "gate_up_proj"), 3072, 16384));
    let phi = json!({"model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32, "num_attention_heads": 32});
    assert_eq!(found(&adapter(&fused), &phi, None), [""; 0]);
    let gpt2 =
        [("attn.c_attn", 768, 2304), ("attn.c_proj", 768, 768), ("mlp.c_fc", 768, 3072), ("mlp.c_proj", 3072, 768)];
    let gpt2 = gpt2.map(|(name, i, o)| (format!("base_model.model.transformer.h.11.{name}"), i, o));
    assert_eq!(
        found(&adapter(&gpt2), &json!({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12}), None),
        [""; 0]
    );
    let falcon = [
        ("self_attention.query_key_value", 4544, 4672),
        ("self_attention.dense", 4544, 4544),
        ("mlp.dense_4h_to_h", 18176, 4544),
    ];
    let falcon = falcon.map(|(name, i, o)| (format!("base_model.model.transformer.h.0.{name}"), i, o));
    let small = json!({"model_type": "falcon", "hidden_size": 4544, "num_attention_heads": 71, "multi_query": true, "num_hidden_layers": 32});
    assert_eq!(found(&adapter(&falcon), &small, None), [""; 0]);
}

#[test]
fn unknown_modules_and_families_are_passed_over() {
    let odd = adapter(&[
        ("base_model.model.model.layers.0.mixer.in_proj".into(), 77, 99),
        ("base_model.model.x".into(), 5, 5),
    ]);
    assert_eq!(found(&odd, &qwen(), None), [""; 0]);
    let seeing = adapter(&[
        ("base_model.model.visual.blocks.40.attn.q_proj".into(), 1152, 1152),
        (module(0, "q_proj"), 1024, 2048),
    ]);
    assert_eq!(found(&seeing, &qwen(), None), [""; 0]);
    let other =
        json!({"model_type": "unheard_of", "hidden_size": 1024, "num_attention_heads": 4, "num_hidden_layers": 28});
    assert_eq!(found(&adapter(&all(28)), &other, Some(json!(["q_proj"]))), [""; 0]);
    // zamba2 reads the stream twice.
    let double = adapter(&[(module(0, "q_proj"), 2048, 2048)]);
    assert_eq!(found(&double, &other, None), [""; 0]);
}

#[test]
fn another_base_model_is_named_as_such() {
    let big = json!({"model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32});
    let text = found(&adapter(&all(28)), &big, None);
    let message =
        "the adapter is for a model of hidden size 1024 and at least 28 layers, `Qwen3-0.6B` has hidden size 4096";
    assert_eq!(text.len(), 1);
    assert!(
        text[0].starts_with("error base-model-wrong a.safetensors [layers 0-27, ") && text[0].ends_with(message),
        "{}",
        text[0]
    );
}

#[test]
fn widths_layers_and_vocabulary_must_fit() {
    let mut shape = qwen();
    shape["num_key_value_heads"] = json!(4);
    assert_eq!(
        found(&adapter(&all(28)), &shape, None),
        [
            "error base-model-shape a.safetensors [layers 0-27, k_proj and v_proj]: layers 0-27, k_proj and v_proj: 1024 outputs, `Qwen3-0.6B` has 512"
        ]
    );
    let mut shallow = qwen();
    shallow["num_hidden_layers"] = json!(26);
    let text = found(&adapter(&all(28)), &shallow, None);
    assert!(
        text.len() == 1 && text[0].starts_with("error base-model-layers a.safetensors [layers 26-27, "),
        "{text:?}"
    );
    let text = found(&adapter(&all(24)), &qwen(), Some(json!(["q_proj"])));
    assert!(text.len() == 1 && text[0].starts_with("warning base-model-layers-uncovered a.safetensors ["), "{text:?}");
    assert!(text[0].ends_with("the adapter ends at layer 23, `Qwen3-0.6B` has 28 layers"), "{text:?}");
    let mut head = all(28);
    head.push(("base_model.model.lm_head".into(), 1024, 32000));
    assert_eq!(
        found(&adapter(&head), &qwen(), None),
        ["warning base-model-vocabulary a.safetensors [lm_head]: lm_head: 32000 outputs, `Qwen3-0.6B` has 151936"]
    );
}

#[test]
fn embeddings_kept_whole_may_grow_only() {
    let with = |rows: u64, width: u64| {
        let tensors = vec![
            (format!("{}.lora_A.weight", module(0, "q_proj")), vec![4, 1024]),
            ("base_model.model.model.embed_tokens.weight".to_owned(), vec![rows, width]),
        ];
        let mut base = qwen();
        base["vocab_size"] = json!(100);
        found(&Observed::new(&header(&tensors)), &base, None)
    };
    assert_eq!(with(103, 1024), [""; 0]);
    assert_eq!(
        with(90, 1024),
        [
            "warning base-model-vocabulary a.safetensors [model.embed_tokens]: embed_tokens has 90 rows, the vocabulary of `Qwen3-0.6B` has 100"
        ]
    );
    assert_eq!(
        with(100, 64),
        [
            "error base-model-shape a.safetensors [model.embed_tokens]: embed_tokens is 64 wide, `Qwen3-0.6B` has hidden size 1024"
        ]
    );
}

#[test]
fn the_width_is_known_with_and_without_a_configuration() {
    let base = config(&qwen());
    assert_eq!(hidden_size(Some(&adapter(&all(2))), None), Some((1024, "the weights")));
    assert_eq!(hidden_size(Some(&adapter(&[(module(0, "o_proj"), 2048, 1024)])), None), Some((1024, "the weights")));
    assert_eq!(hidden_size(None, Some(&base)), Some((1024, "its config.json")));
    assert_eq!(hidden_size(None, None), None);
    let mixed = adapter(&[(module(0, "q_proj"), 64, 64), (module(1, "q_proj"), 96, 96)]);
    assert_eq!(hidden_size(Some(&mixed), None), None);
    let prompt = Observed::new(&header(&[("prompt_embeddings".into(), vec![20, 64])]));
    assert_eq!(hidden_size(Some(&prompt), None), Some((64, "the weights")));
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    let text: Arc<str> = r#"{"r": 8}"#.into();
    let root = json::parse(text.as_bytes()).unwrap();
    assert_eq!(ModelConfig::read(&root), None);
    let found = invalid(JsonFile { path: "models/x/config.json", text: &text }, &root);
    assert_eq!(
        line(&found),
        "error base-config-invalid models/x/config.json : no model configuration: `hidden_size` (or `n_embd`, `d_model`) is missing"
    );
}

/// The table of codes and these tests must not drift apart.
#[test]
fn every_code_is_tested() {
    let tests = [include_str!("adapter.rs"), include_str!("base_model.rs"), include_str!("values.rs")].concat();
    for code in expert_build::base::codes::weights::ALL {
        assert!(tests.contains(&format!(" {} ", code.name)), "no test expects `{}`", code.name);
    }
}
