//! `ModelConfig`: the dimensions that a base model's `config.json` gives.
//!
//! One JSON object by transformers (<https://huggingface.co/docs/transformers/main_classes/configuration>). Families
//! spell the same dimension differently (`hidden_size`, `n_embd`, `d_model`); models that see or hear keep the
//! language model's part in `text_config`. Does not know what any module looks like.

use serde::Serialize;

use crate::format::json::Value;

/// The dimensions of a decoder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ModelConfig {
    /// `qwen3`, `llama` …
    pub model_type: Option<String>,
    /// `Qwen3ForCausalLM` …
    pub architectures: Vec<String>,
    /// Width of the residual stream.
    pub hidden_size: Option<u64>,
    /// Width inside the feed-forward part.
    pub intermediate_size: Option<u64>,
    /// Number of layers.
    pub layers: Option<u64>,
    /// Attention heads.
    pub heads: Option<u64>,
    /// Heads of keys and values.
    pub kv_heads: Option<u64>,
    /// Width of a head.
    pub head_dim: Option<u64>,
    /// Entries of the vocabulary.
    pub vocab_size: Option<u64>,
    /// Has it parts beside the language model (vision, audio)?
    pub multimodal: bool,
}

const TEXT_PARTS: [&str; 4] = ["text_config", "llm_config", "language_config", "thinker_config"];

impl ModelConfig {
    /// Reads the dimensions; `None` where this is not a model's configuration.
    pub fn read(root: &Value) -> Option<Self> {
        let part = TEXT_PARTS.iter().find_map(|key| root.get(key).filter(|part| !part.members().is_empty()));
        // Qwen-Omni nests twice.
        let inner = part.and_then(|part| part.get("text_config").filter(|inner| !inner.members().is_empty()));
        let text = inner.or(part).unwrap_or(root);
        let number = |keys: &[&str]| keys.iter().find_map(|key| text.get(key).and_then(Value::as_u64));
        let hidden_size = number(&["hidden_size", "n_embd", "d_model", "model_dim"])?;
        let heads = number(&["num_attention_heads", "n_head", "n_heads", "num_heads"]);
        let model_type = text.get("model_type").or_else(|| root.get("model_type")).and_then(Value::as_str);
        let multi_query = text.get("multi_query").and_then(Value::as_bool) == Some(true)
            && text.get("new_decoder_architecture").and_then(Value::as_bool) != Some(true);
        let kv_heads =
            if multi_query { Some(1) } else { number(&["num_key_value_heads", "num_kv_heads", "n_head_kv"]).or(heads) };
        let derived = heads.filter(|heads| *heads > 0 && hidden_size % heads == 0).map(|heads| hidden_size / heads);
        Some(Self {
            model_type: model_type.map(str::to_owned),
            architectures: root.get("architectures").map_or(Vec::new(), |list| {
                list.items().iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }),
            hidden_size: Some(hidden_size),
            intermediate_size: number(&["intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"]),
            layers: number(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"]),
            heads,
            kv_heads,
            head_dim: number(&["head_dim"]).or(derived),
            vocab_size: number(&["vocab_size"]).or_else(|| root.get("vocab_size").and_then(Value::as_u64)),
            multimodal: part.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ModelConfig;
    use crate::format::json;

    fn read(text: &str) -> Option<ModelConfig> {
        ModelConfig::read(&json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn families_spell_differently() {
        let qwen = r#"{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 1024, "head_dim": 128,
            "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 151936}"#;
        let config = read(qwen).unwrap();
        assert_eq!((config.heads, config.kv_heads, config.head_dim), (Some(16), Some(8), Some(128)));
        let gpt2 =
            read(r#"{"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": null}"#).unwrap();
        assert_eq!((gpt2.hidden_size, gpt2.layers, gpt2.kv_heads), (Some(768), Some(12), Some(12)));
        assert_eq!((gpt2.head_dim, gpt2.intermediate_size), (Some(64), None));
        let falcon =
            read(r#"{"model_type": "falcon", "hidden_size": 4544, "num_attention_heads": 71, "multi_query": true}"#);
        assert_eq!(falcon.unwrap().kv_heads, Some(1));
    }

    #[test]
    fn the_language_part_counts() {
        let seeing = r#"{"model_type": "x_vl", "hidden_size": 1, "vision_config": {"hidden_size": 1152}, "text_config": {"model_type": "x_text", "hidden_size": 2048}}"#;
        let config = read(seeing).unwrap();
        assert_eq!(
            (config.hidden_size, config.model_type.as_deref(), config.multimodal),
            (Some(2048), Some("x_text"), true)
        );
        let omni = read(r#"{"thinker_config": {"text_config": {"hidden_size": 7}}}"#).unwrap();
        assert_eq!(omni.hidden_size, Some(7));
        assert_eq!(read(r#"{"r": 8}"#), None);
        assert_eq!(read("[]"), None);
    }
}
