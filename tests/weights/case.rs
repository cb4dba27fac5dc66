//! One adapter in the making: manifest, adapter_config.json and tensors, changed by a test and then checked.

use std::sync::Arc;

use expert_build::base::{At, Diagnostic, Severity};
use expert_build::check::adapter::{Configured, Declared, JsonFile, Sides, Weights, agree};
use expert_build::check::adapter_observed::Observed;
use expert_build::check::tensors;
use expert_build::format::adapter_config::AdapterConfig;
use expert_build::format::json;
use expert_build::format::safetensors::Header;

use crate::header::{build, read};

/// The three sides of an adapter; by default a LoRA of rank 8 on q_proj and v_proj of two layers.
pub struct Case {
    pub adapter: serde_json::Value,
    pub base: Option<String>,
    pub config: Option<serde_json::Value>,
    pub tensors: Option<Vec<(String, Vec<u64>)>>,
}

pub fn module(layer: u32, name: &str) -> String {
    let parent = if matches!(name, "up_proj" | "down_proj" | "gate_proj") { "mlp" } else { "self_attn" };
    format!("base_model.model.model.layers.{layer}.{parent}.{name}")
}

pub fn lora(layers: u32, names: &[&str], rank: u64, width: u64) -> Vec<(String, Vec<u64>)> {
    let places = (0..layers).flat_map(|layer| names.iter().map(move |name| module(layer, name)));
    places
        .flat_map(|path| {
            [(format!("{path}.lora_A.weight"), vec![rank, width]), (format!("{path}.lora_B.weight"), vec![width, rank])]
        })
        .collect()
}

impl Default for Case {
    fn default() -> Self {
        Self {
            adapter: serde_json::json!({"type": "lora", "target_modules": ["q_proj", "v_proj"], "r": 8, "alpha": 16}),
            base: Some("org/model-1b".into()),
            config: Some(serde_json::json!({
                "peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"],
                "base_model_name_or_path": "org/model-1b", "use_dora": false,
            })),
            tensors: Some(lora(2, &["q_proj", "v_proj"], 8, 64)),
        }
    }
}

pub fn header(tensors: &[(String, Vec<u64>)]) -> Header {
    let (mut text, mut end) = (String::from("{"), 0);
    for (name, shape) in tensors {
        let start = end;
        end += shape.iter().product::<u64>() as usize;
        text.push_str(&format!(r#""{name}":{{"dtype":"U8","shape":{shape:?},"data_offsets":[{start},{end}]}},"#));
    }
    text.truncate(text.len().max(2) - 1);
    text.push('}');
    read(&build(&text, end)).unwrap()
}

impl Case {
    /// Changes keys of the manifest's adapter; `null` removes.
    pub fn adapter(mut self, changes: serde_json::Value) -> Self {
        change(&mut self.adapter, changes);
        self
    }

    /// Changes keys of adapter_config.json.
    pub fn config(mut self, changes: serde_json::Value) -> Self {
        change(self.config.as_mut().unwrap(), changes);
        self
    }

    pub fn tensors(mut self, tensors: Vec<(String, Vec<u64>)>) -> Self {
        self.tensors = Some(tensors);
        self
    }

    /// `code file pointer: message`, one line each.
    pub fn found(&self) -> Vec<String> {
        let manifest: Arc<str> =
            serde_json::to_string_pretty(&serde_json::json!({"adapters": [self.adapter]})).unwrap().into();
        let value = json::parse(manifest.as_bytes()).unwrap();
        let declared = Declared {
            file: JsonFile { path: "manifest.json", text: &manifest },
            pointer: "/adapters/0".into(),
            value: value.pointer("/adapters/0").unwrap(),
            base_model: self.base.as_deref(),
        };
        let text: Arc<str> = self.config.as_ref().map_or(String::new(), |config| config.to_string()).into();
        let config = self.config.as_ref().map(|_| AdapterConfig::read(json::parse(text.as_bytes()).unwrap()));
        let observed = self.tensors.as_ref().map(|tensors| Observed::new(&header(tensors)));
        let found = agree(Sides {
            declared: Some(&declared),
            configured: config
                .as_ref()
                .map(|config| Configured { file: JsonFile { path: "adapter_config.json", text: &text }, config }),
            weights: observed.as_ref().map(|observed| Weights { path: "adapter_model.safetensors", observed }),
        });
        found.iter().map(line).collect()
    }

    pub fn has(&self, expected: &[&str]) {
        assert_eq!(self.found(), expected);
    }
}

fn change(value: &mut serde_json::Value, changes: serde_json::Value) {
    for (key, new) in changes.as_object().unwrap() {
        if new.is_null() {
            value.as_object_mut().unwrap().remove(key);
        } else {
            value[key] = new.clone();
        }
    }
}

/// One line for a finding: what a test compares.
pub fn line(found: &Diagnostic) -> String {
    let place = match &found.at {
        At::Text { pointer, start, end, .. } => {
            assert!(end >= start);
            pointer.clone().unwrap_or_default()
        }
        At::Tensor(name) => format!("[{name}]"),
        At::Byte(at) => format!("@{at}"),
        At::File => String::new(),
    };
    let severity = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    format!("{severity} {} {} {place}: {}", found.code.name, found.file.as_deref().unwrap_or("-"), found.message)
}

/// What is found in a folder that holds one adapter of a manifest.
pub fn folder(dir: &std::path::Path, manifest: &str, adapter: &str, base: &str, weights: &str) -> Vec<String> {
    let text: Arc<str> = std::fs::read_to_string(dir.join(manifest)).unwrap().into();
    let root = json::parse(text.as_bytes()).unwrap();
    let declared = root.pointer(adapter).map(|value| Declared {
        file: JsonFile { path: manifest, text: &text },
        pointer: adapter.to_owned(),
        value,
        base_model: root.pointer(base).and_then(json::Value::as_str),
    });
    let config_path = match weights.rsplit_once('/') {
        Some((parent, _)) => format!("{parent}/adapter_config.json"),
        None => "adapter_config.json".to_owned(),
    };
    let config_text: Arc<str> = std::fs::read_to_string(dir.join(&config_path)).unwrap().into();
    let config = AdapterConfig::read(json::parse(config_text.as_bytes()).unwrap());
    let configured = Configured { file: JsonFile { path: &config_path, text: &config_text }, config: &config };
    let bytes = std::fs::read(dir.join(weights)).unwrap();
    let mut found = Vec::new();
    let sides = Sides { declared: declared.as_ref(), configured: Some(configured), weights: None };
    match read(&bytes) {
        Err(fault) => {
            found.push(tensors::refused(weights, &fault));
            found.extend(agree(sides));
        }
        Ok(header) => {
            let observed = Observed::new(&header);
            let (_, report) = crate::scan::scan(&bytes);
            found.extend(tensors::header(weights, &header));
            found.extend(agree(Sides { weights: Some(Weights { path: weights, observed: &observed }), ..sides }));
            found.extend(tensors::values(weights, &header, &observed, &report));
        }
    }
    found.iter().map(line).collect()
}
