//! The adapter against its base model's dimensions, without the base model's weights.
//!
//! Each family names its projections in its own way; what a name means is known for those listed in `widths`. Other
//! modules, and models that are not known, are passed over: half a guess would be a false alarm.

use std::collections::BTreeMap;

use crate::base::Diagnostic;
use crate::base::codes::weights as codes;
use crate::check::adapter::{JsonFile, Weights};
use crate::check::adapter_groups::{name_modules, rolled_up};
use crate::check::adapter_observed::{AdapterKind, Module, Observed};
use crate::format::adapter_config::{AdapterConfig, Targets};
use crate::format::json::Value;
use crate::format::model_config::ModelConfig;
use crate::format::safetensors::shown;

/// The base model that an adapter is said to be for.
#[derive(Debug, Clone, Copy)]
pub struct BaseModel<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its dimensions.
    pub config: &'a ModelConfig,
}

/// The finding for a config.json that is none.
pub fn invalid(file: JsonFile<'_>, root: &Value) -> Diagnostic {
    let message = "no model configuration: `hidden_size` (or `n_embd`, `d_model`) is missing";
    let help = "give the config.json that lies beside the base model's weights";
    file.finding(&codes::BASE_CONFIG_INVALID, message, Some(root), "").help(help)
}

/// Families whose projections are those of llama, under llama's names.
const LLAMA_LIKE: [&str; 22] = [
    "llama",
    "mistral",
    "mixtral",
    "qwen2",
    "qwen3",
    "qwen2_moe",
    "qwen3_moe",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "phi3",
    "phi",
    "starcoder2",
    "stablelm",
    "olmo",
    "olmo2",
    "granite",
    "cohere",
    "smollm3",
    "ministral",
    "qwen2_5_vl_text",
];

fn family(config: &ModelConfig) -> &str {
    config.model_type.as_deref().unwrap_or("")
}

/// Is the module part of the language model, as far as its path tells?
fn in_text(module: &Module) -> bool {
    let foreign = ["vision", "visual", "audio", "image", "speech", "cross", "encoder", "projector", "resampler"];
    !module.path.split('.').any(|part| foreign.iter().any(|word| part.contains(word)))
}

/// Input and output width of a module in this model, where they are known.
fn widths(module: &Module, config: &ModelConfig) -> (Option<u64>, Option<u64>) {
    let ModelConfig { hidden_size, intermediate_size, heads, kv_heads, head_dim, vocab_size, .. } = *config;
    let by_head = |heads: Option<u64>| heads?.checked_mul(head_dim?);
    let sum = |parts: &[Option<u64>]| parts.iter().try_fold(0_u64, |sum, part| sum.checked_add((*part)?));
    let attention =
        module.path.split('.').any(|part| matches!(part, "self_attn" | "self_attention" | "attn" | "attention"));
    let llama = LLAMA_LIKE.contains(&family(config));
    let fused = sum(&[by_head(heads), by_head(kv_heads), by_head(kv_heads)]);
    match (&*module.name, family(config)) {
        ("lm_head", _) => (hidden_size, vocab_size),
        ("embed_tokens" | "wte" | "word_embeddings" | "embed_in", _) => (vocab_size, hidden_size),
        ("q_proj", _) if attention && llama => (hidden_size, by_head(heads)),
        ("k_proj" | "v_proj", _) if attention && llama => (hidden_size, by_head(kv_heads)),
        ("o_proj", _) if attention && llama => (by_head(heads), hidden_size),
        ("qkv_proj", "phi3") => (hidden_size, fused),
        ("gate_up_proj", "phi3") => (hidden_size, intermediate_size.and_then(|size| size.checked_mul(2))),
        // Mixtures of experts have feed-forward parts of several widths: only the residual side is known.
        ("gate_proj" | "up_proj", family) if llama && family.ends_with("_moe") => (hidden_size, None),
        ("down_proj", family) if llama && family.ends_with("_moe") => (None, hidden_size),
        ("gate_proj" | "up_proj", _) if llama => (hidden_size, intermediate_size),
        ("down_proj", _) if llama => (intermediate_size, hidden_size),
        ("w1" | "w3", "mixtral") => (hidden_size, intermediate_size),
        ("w2", "mixtral") => (intermediate_size, hidden_size),
        ("c_attn", "gpt2") => (hidden_size, hidden_size.and_then(|size| size.checked_mul(3))),
        ("c_fc", "gpt2") => (hidden_size, intermediate_size.or(hidden_size.and_then(|size| size.checked_mul(4)))),
        ("c_proj", "gpt2") if attention => (hidden_size, hidden_size),
        ("c_proj", "gpt2") => (intermediate_size.or(hidden_size.and_then(|size| size.checked_mul(4))), hidden_size),
        ("query_key_value", "gpt_neox") => (hidden_size, hidden_size.and_then(|size| size.checked_mul(3))),
        ("query_key_value", "falcon") => (hidden_size, fused),
        ("dense", "gpt_neox" | "falcon") if attention => (hidden_size, hidden_size),
        ("dense_h_to_4h", "gpt_neox") => (hidden_size, intermediate_size),
        ("dense_4h_to_h", "gpt_neox") => (intermediate_size, hidden_size),
        ("dense_h_to_4h", "falcon") => (hidden_size, None),
        ("dense_4h_to_h", "falcon") => (None, hidden_size),
        _ => (None, None),
    }
}

/// Projections that read the residual stream, so that their input is as wide as the model, in every family.
const READS_RESIDUAL: [&str; 11] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "gate_proj",
    "up_proj",
    "qkv_proj",
    "gate_up_proj",
    "query_key_value",
    "c_attn",
    "c_fc",
    "lm_head",
];

/// The width of the model that an adapter was trained on: from the projections that read the residual stream, else
/// from those that write it, else from its prompt embeddings, else from the base model's configuration.
pub fn hidden_size(observed: Option<&Observed>, config: Option<&ModelConfig>) -> Option<(u64, &'static str)> {
    let told = || config.and_then(|config| config.hidden_size).map(|size| (size, "its config.json"));
    observed.and_then(seen).map(|size| (size, "the weights")).or_else(told)
}

fn seen(observed: &Observed) -> Option<u64> {
    let agreed = |widths: Vec<u64>| {
        let first = widths.first().copied()?;
        widths.iter().all(|width| *width == first).then_some(first)
    };
    let text = || observed.modules.iter().filter(|module| in_text(module));
    let reads = text().filter(|module| READS_RESIDUAL.contains(&&*module.name)).filter_map(|module| module.inputs);
    let writes = text().filter(|module| module.name == "o_proj" || module.name == "down_proj");
    agreed(reads.collect())
        .or_else(|| agreed(writes.filter_map(|module| module.outputs).collect()))
        .or_else(|| observed.prompt.map(|(_, width)| width))
}

/// Compares an adapter with the dimensions of its base model.
pub fn against(weights: Weights<'_>, base: BaseModel<'_>, config: Option<&AdapterConfig>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let model = base.config;
    let known = LLAMA_LIKE.contains(&family(model)) || matches!(family(model), "gpt2" | "gpt_neox" | "falcon");
    let text: Vec<&Module> = weights.observed.modules.iter().filter(|module| in_text(module)).collect();
    let help = "name the base model that the adapter was trained on, or package the weights for this one";
    let hidden = seen(weights.observed);
    if let (Some(seen), Some(hidden)) = (hidden, model.hidden_size)
        // Some unknown families (zamba2) read the stream twice as wide.
        && seen != hidden && (known || seen.checked_div(2) != Some(hidden))
    {
        let depth = text
            .iter()
            .filter_map(|module| module.layer)
            .max()
            .map(|last| format!(" and at least {} layers", u64::from(last) + 1));
        let message = format!(
            "the adapter is for a model of hidden size {seen}{}, `{}` has hidden size {hidden}",
            depth.unwrap_or_default(),
            base.name
        );
        let places = if text.is_empty() { "prompt_embeddings".to_owned() } else { name_modules(text.iter().copied()) };
        // Everything else follows from that: one finding is enough.
        return vec![weights.finding(&codes::BASE_MODEL_WRONG, message, places).help(help)];
    }
    shapes(weights, base, &text, &mut found);
    layers(weights, base, &text, config.filter(|_| known), &mut found);
    rolled_up(found)
}

fn shapes(weights: Weights<'_>, base: BaseModel<'_>, text: &[&Module], found: &mut Vec<Diagnostic>) {
    let help = "name the base model that the adapter was trained on";
    let mut wrong: BTreeMap<(bool, String), Vec<&Module>> = BTreeMap::new();
    for module in text {
        // Kronecker factors and scales give one side only; what is not there is not compared.
        let (inputs, outputs) = widths(module, base.config);
        let vocabulary = matches!(&*module.name, "lm_head" | "embed_tokens" | "wte" | "word_embeddings" | "embed_in");
        for (side, is, should) in [("inputs", module.inputs, inputs), ("outputs", module.outputs, outputs)] {
            if let (Some(is), Some(should)) = (is, should)
                && is != should
                && !(module.kind == AdapterKind::Lokr && vocabulary)
            {
                let is_vocabulary = vocabulary && Some(should) == base.config.vocab_size;
                let what = format!("{is} {side}, `{}` has {should}", base.name);
                wrong.entry((is_vocabulary, what)).or_default().push(module);
            }
        }
    }
    for ((vocabulary, what), modules) in wrong {
        let places = name_modules(modules.iter().copied());
        let message = format!("{places}: {what}");
        let code = if vocabulary { &codes::BASE_MODEL_VOCABULARY } else { &codes::BASE_MODEL_SHAPE };
        found.push(weights.finding(code, message, places).help(help));
    }
    // Embeddings kept whole: more rows than the vocabulary are added tokens, fewer are another model's.
    for saved in &weights.observed.saved {
        let name = saved.path.rsplit('.').next().unwrap_or_default();
        if !matches!(name, "lm_head" | "embed_tokens" | "wte") || saved.parameter != "weight" {
            continue;
        }
        let [rows, width] = *saved.shape.as_slice() else { continue };
        if let Some(hidden) = base.config.hidden_size.filter(|hidden| *hidden != width) {
            let message = format!("{name} is {width} wide, `{}` has hidden size {hidden}", base.name);
            found.push(weights.finding(&codes::BASE_MODEL_SHAPE, message, shown(&saved.path)).help(help));
        }
        if let Some(size) = base.config.vocab_size.filter(|size| rows < *size) {
            let message = format!("{name} has {rows} rows, the vocabulary of `{}` has {size}", base.name);
            found.push(weights.finding(&codes::BASE_MODEL_VOCABULARY, message, shown(&saved.path)).help(help));
        }
    }
}

fn layers(
    weights: Weights<'_>,
    base: BaseModel<'_>,
    text: &[&Module],
    config: Option<&AdapterConfig>,
    found: &mut Vec<Diagnostic>,
) {
    let help = "name the base model that the adapter was trained on";
    let (Some(count), Some(last)) = (base.config.layers, text.iter().filter_map(|module| module.layer).max()) else {
        return;
    };
    let last = u64::from(last);
    let beyond: Vec<&Module> =
        text.iter().copied().filter(|module| module.layer.is_some_and(|layer| u64::from(layer) >= count)).collect();
    if !beyond.is_empty() {
        let places = name_modules(beyond);
        let message = format!("{places}: `{}` has {count} layers, 0-{}", base.name, count.saturating_sub(1));
        found.push(weights.finding(&codes::BASE_MODEL_LAYERS, message, places).help(help));
        return;
    }
    // Plain names select the module in every layer; anything else may leave layers out on purpose.
    let Some(config) = config else { return };
    let plain = |targets: &Targets| match targets {
        Targets::List(names) => names.iter().all(|name| !name.contains('.')),
        Targets::AllLinear => true,
        Targets::Pattern(_) => false,
    };
    let everywhere = config.target_modules.as_ref().is_some_and(plain)
        && config.layers_to_transform.is_none()
        && config.exclude_modules.is_none();
    if everywhere && last + 1 < count && !base.config.multimodal {
        let message = format!("the adapter ends at layer {last}, `{}` has {count} layers", base.name);
        let help = "name the base model that the adapter was trained on, or set `layers_to_transform`";
        found.push(
            weights
                .finding(&codes::BASE_MODEL_LAYERS_UNCOVERED, message, name_modules(text.iter().copied()))
                .help(help),
        );
    }
}
