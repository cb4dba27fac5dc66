//! Agreement of adapters: whatever manifest, adapter_config.json, header and base model say, nothing panics.

use std::sync::Arc;

use expert_build::check::adapter::{Configured, Declared, JsonFile, Sides, Weights, agree};
use expert_build::check::adapter_observed::Observed;
use expert_build::check::base_model::{BaseModel, against, hidden_size};
use expert_build::check::tensors;
use expert_build::format::adapter_config::AdapterConfig;
use expert_build::format::json;
use expert_build::format::model_config::ModelConfig;
use expert_build::format::safetensors::Scan;

use super::safetensors::read;
use super::sound::sound;

/// Most bytes of values that are made up for a header.
const MOST: u64 = 1 << 16;

/// Four JSON texts with a NUL between: the manifest's adapter, adapter_config.json, a safetensors header, the base
/// model's config.json. Each may be missing.
pub fn adapter(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let mut next = || parts.next().and_then(|part| std::str::from_utf8(part).ok()).map(Arc::<str>::from);
    let (manifest, config_text, header, base) = (next(), next(), next(), next());
    let parse = |text: &Option<Arc<str>>| json::parse(text.as_ref()?.as_bytes()).ok();
    let value = parse(&manifest);
    let declared = value.as_ref().zip(manifest.as_ref()).map(|(value, text)| Declared {
        file: JsonFile { path: "manifest.json", text },
        pointer: String::new(),
        value,
        base_model: Some("org/model-1b"),
    });
    let config = parse(&config_text).map(AdapterConfig::read);
    let file = config_text.as_ref().map(|text| JsonFile { path: "adapter_config.json", text });
    let configured = config.as_ref().zip(file).map(|(config, file)| Configured { file, config });
    let bytes = header.map(|text| weights(&text));
    let header = bytes.as_ref().and_then(|bytes| read(bytes).ok());
    let observed = header.as_ref().map(Observed::new);
    let weights = observed.as_ref().map(|observed| Weights { path: "adapter_model.safetensors", observed });
    sound(&agree(Sides { declared: declared.as_ref(), configured, weights }));
    let model = parse(&base).and_then(|root| ModelConfig::read(&root));
    hidden_size(observed.as_ref(), model.as_ref());
    if let (Some(weights), Some(model)) = (weights, &model) {
        sound(&against(weights, BaseModel { name: "model-1b", config: model }, config.as_ref()));
    }
    if let (Some(bytes), Some(header), Some(observed)) = (&bytes, &header, &observed) {
        let mut scan = Scan::new(header);
        scan.feed(0, bytes);
        let report = scan.finish(header).expect("all of it was given");
        sound(&tensors::values("adapter_model.safetensors", header, observed, &report));
    }
}

/// A file with this header, and as many values as it speaks of, where they are few.
fn weights(header: &str) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let ends = json::parse(header.as_bytes()).ok().map(|root| {
        let ends = root.members().iter().filter_map(|m| m.value.get("data_offsets")?.items().get(1)?.as_u64());
        ends.max().unwrap_or(0)
    });
    let length = ends.filter(|end| *end <= MOST).unwrap_or(0) as usize;
    bytes.extend((0..length).map(|at| (at / 3) as u8));
    bytes
}
