//! `Expert`: a tiny expert, made by code: valid weights, a manifest, what else a test wants.

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::torch_maker;

/// The width of the base model that all of these are for.
const WIDTH: usize = 8;

/// An expert as files.
#[derive(Clone)]
pub struct Expert {
    manifest: Value,
    files: BTreeMap<String, Vec<u8>>,
}

impl Expert {
    /// A LoRA of rank 4 on two modules, with adapter_config.json, README and LICENSE.
    pub fn lora(name: &str) -> Self {
        let adapter = json!({"type": "lora", "target_modules": ["q_proj", "v_proj"], "r": 4, "alpha": 8});
        let files = [
            ("adapter_model.safetensors", lora(name, 2, 4, &["q_proj", "v_proj"], WIDTH, false)),
            ("adapter_config.json", config("tiny", 4, &["q_proj", "v_proj"], false)),
            ("README.md", format!("# {name}\n").into_bytes()),
            ("LICENSE", b"Text of a licence\n".to_vec()),
        ];
        Self {
            manifest: manifest(name, json!([{"name": "tiny", "adapters": [adapter]}])),
            files: files.into_iter().map(|(path, content)| (path.to_owned(), content)).collect(),
        }
    }

    /// An expert with one adapter for each of two base models, each below weights/.
    pub fn two_models(name: &str) -> Self {
        let mut models = Vec::new();
        let mut files = BTreeMap::from([("README.md".to_owned(), format!("# {name}\n").into_bytes())]);
        for (model, rank) in [("Tiny-1.5B", 4), ("tiny-b", 2)] {
            let path = format!("weights/{model}/adapter_model.safetensors");
            models.push(json!({"name": model, "adapters": [
                {"type": "lora", "target_modules": ["q_proj"], "r": rank, "alpha": 2 * rank, "path": path}]}));
            files.insert(path, lora(model, 2, rank, &["q_proj"], WIDTH, false));
            files.insert(format!("weights/{model}/adapter_config.json"), config(model, rank, &["q_proj"], false));
        }
        Self { manifest: manifest(name, Value::Array(models)), files }
    }

    pub fn name(&self) -> &str {
        self.manifest["name"].as_str().expect("every manifest here has a name")
    }

    /// Sets a value of the manifest, by JSON pointer; its parent must be there.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = self.manifest.pointer_mut(parent).expect("the parent is there");
        match parent {
            Value::Array(items) => items[key.parse::<usize>().expect("an index")] = value,
            _ => parent[key] = value,
        }
        self
    }

    pub fn version(self, version: &str) -> Self {
        self.set("/version", json!(version))
    }

    pub fn requires(self, requires: &[&str]) -> Self {
        self.set("/constraints/requires", json!(requires))
    }

    /// With a soft prompt of 4 tokens.
    pub fn soft_prompt(mut self, name: &str) -> Self {
        let path = format!("soft_prompts/{name}.pt");
        let prompts = self.manifest["soft_prompts"].as_array_mut().expect("a list");
        prompts.push(json!({"name": name, "path": path, "tokens": 4}));
        self.file(&path, soft_prompt(name))
    }

    /// With this file.
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.insert(path.to_owned(), content.as_ref().to_vec());
        self
    }

    /// Without this file.
    pub fn without(mut self, path: &str) -> Self {
        self.files.remove(path).expect("the file was there");
        self
    }

    /// The manifest's text.
    pub fn manifest(&self) -> String {
        format!("{:#}\n", self.manifest)
    }

    /// All files, the manifest among them.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files.clone();
        files.insert("manifest.json".into(), self.manifest().into_bytes());
        files
    }
}

fn manifest(name: &str, models: Value) -> Value {
    json!({
        "name": name, "version": "1.0.0", "schema_version": "2.0", "description": format!("The expert {name}"),
        "base_models": models, "soft_prompts": [], "capabilities": ["test"],
        "constraints": {"load_order": 5, "incompatible_with": [], "requires": []},
        "perf": {"latency_ms_overhead": 1.5}, "quality_metrics": {"benchmark_score": 0.5},
        "training": {"config": {"method": "sft"}}, "license": "LicenseRef-test",
    })
}

/// PEFT's adapter_config.json.
pub fn config(model: &str, rank: usize, modules: &[&str], dora: bool) -> Vec<u8> {
    let config = json!({
        "base_model_name_or_path": model, "lora_alpha": 2 * rank, "peft_type": "LORA", "r": rank,
        "target_modules": modules, "task_type": "CAUSAL_LM", "use_dora": dora,
    });
    config.to_string().into_bytes()
}

/// The bfloat16 weights of a LoRA or DoRA adapter, of numbers that depend on the seed.
pub fn lora(seed: &str, layers: usize, rank: usize, modules: &[&str], width: usize, dora: bool) -> Vec<u8> {
    let mut state = seed.bytes().fold(1_u32, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
    let mut random = |count: usize| -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * count);
        for _ in 0..count {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // The upper half of a float32 is the bfloat16.
            bytes.extend_from_slice(&((state >> 8) as f32 / 16_777_216.0 - 0.5).to_le_bytes()[2..]);
        }
        bytes
    };
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for layer in 0..layers {
        for module in modules {
            let place = if module.contains("up") || module.contains("down") { "mlp" } else { "self_attn" };
            let name = format!("base_model.model.model.layers.{layer}.{place}.{module}");
            tensors.insert(format!("{name}.lora_A.weight"), (vec![rank, width], random(rank * width)));
            tensors.insert(format!("{name}.lora_B.weight"), (vec![width, rank], random(width * rank)));
            if dora {
                tensors.insert(format!("{name}.lora_magnitude_vector"), (vec![width], random(width)));
            }
        }
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::BF16, shape.clone(), bytes).expect("as many bytes as the shape says"))
    });
    safetensors::serialize(views, None).expect("tensors can be written")
}

/// A soft prompt of 4 tokens, as torch.save writes it.
pub fn soft_prompt(seed: &str) -> Vec<u8> {
    let numbers = seed.bytes().cycle().take(4 * WIDTH).map(|byte| f32::from(byte) / 256.0);
    let data: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
    torch_maker::zip(&torch_maker::members(&torch_maker::pickle(&torch_maker::tensor("0")), &[("0", &data)]))
}
