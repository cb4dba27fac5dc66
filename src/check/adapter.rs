//! Three-way agreement: what the manifest declares, what adapter_config.json says, what the tensors are.
//!
//! The tensors decide where they can. A disagreement is told once, at the side that is wrong, under a code of its own.
//! Does not know the base model: see `base_model`.

use std::sync::Arc;

use crate::base::codes::weights as codes;
use crate::base::{At, Code, Diagnostic};
use crate::check::adapter_groups::{name_modules, rolled_up};
use crate::check::adapter_observed::{AdapterKind, Module, Observed};
use crate::check::{adapter_rank, adapter_shapes, adapter_targets};
use crate::format::adapter_config::AdapterConfig;
use crate::format::json::Value;
use crate::format::safetensors::shown;

/// A JSON file that findings point into.
#[derive(Debug, Clone, Copy)]
pub struct JsonFile<'a> {
    /// Its path, as the user knows it.
    pub path: &'a str,
    /// Its text.
    pub text: &'a Arc<str>,
}

impl JsonFile<'_> {
    /// A finding at a value of the file; where there is none, at the file.
    pub fn finding(
        &self,
        code: &'static Code,
        message: impl Into<String>,
        value: Option<&Value>,
        pointer: &str,
    ) -> Diagnostic {
        let span = value.map_or(0..0, |value| value.span.clone());
        let at = At::span(self.text, span.start, span.end).with_pointer(pointer);
        Diagnostic::new(code, message).in_file(self.path).at(at).source(self.text)
    }
}

/// An adapter as the manifest declares it.
#[derive(Debug, Clone)]
pub struct Declared<'a> {
    /// The manifest.
    pub file: JsonFile<'a>,
    /// JSON pointer of the adapter's object: `/base_models/0/adapters/0`.
    pub pointer: String,
    /// The adapter's object.
    pub value: &'a Value,
    /// The base model's name.
    pub base_model: Option<&'a str>,
}

impl<'a> Declared<'a> {
    /// `type`, as written.
    pub fn type_word(&self) -> Option<&'a str> {
        self.value.get("type").and_then(Value::as_str)
    }

    /// The method that `type` (with `use_dora`) names.
    pub fn kind(&self) -> Option<AdapterKind> {
        let kind = AdapterKind::of(self.type_word()?)?;
        let dora = self.value.get("use_dora").and_then(Value::as_bool) == Some(true);
        Some(if dora && kind == AdapterKind::Lora { AdapterKind::Dora } else { kind })
    }

    /// `target_modules`: a list, or one text.
    pub fn targets(&self) -> Vec<&'a str> {
        let Some(value) = self.value.get("target_modules") else { return Vec::new() };
        value.as_str().into_iter().chain(value.items().iter().filter_map(Value::as_str)).collect()
    }

    /// A finding at a key of the adapter's object.
    pub(crate) fn finding(&self, code: &'static Code, message: impl Into<String>, key: &str) -> Diagnostic {
        let value = self.value.get(key).unwrap_or(self.value);
        self.file.finding(code, message, Some(value), &format!("{}/{key}", self.pointer))
    }
}

/// An adapter_config.json.
#[derive(Debug, Clone, Copy)]
pub struct Configured<'a> {
    /// The file.
    pub file: JsonFile<'a>,
    /// What it says.
    pub config: &'a AdapterConfig,
}

impl Configured<'_> {
    pub(crate) fn finding(&self, code: &'static Code, message: impl Into<String>, pointer: &str) -> Diagnostic {
        self.file.finding(code, message, self.config.value.pointer(pointer), pointer)
    }

    /// The method that `peft_type` (with `use_dora`) names.
    pub fn kind(&self) -> Option<AdapterKind> {
        let kind = AdapterKind::of(self.config.peft_type.as_deref()?)?;
        Some(if self.config.use_dora && kind == AdapterKind::Lora { AdapterKind::Dora } else { kind })
    }
}

/// A weight file.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// Its path, as the user knows it.
    pub path: &'a str,
    /// The adapter that its tensors show.
    pub observed: &'a Observed,
}

impl Weights<'_> {
    pub(crate) fn finding(
        &self,
        code: &'static Code,
        message: impl Into<String>,
        tensors: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::new(code, message).in_file(self.path).at(At::Tensor(tensors.into()))
    }
}

/// Everything that is said of one adapter. What is absent is not compared.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// By the manifest.
    pub declared: Option<&'a Declared<'a>>,
    /// By adapter_config.json.
    pub configured: Option<Configured<'a>>,
    /// By the tensors.
    pub weights: Option<Weights<'a>>,
}

/// Compares all that is there.
pub fn agree(sides: Sides<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if let Some(configured) = sides.configured {
        for wrong in &configured.config.wrong {
            let key = wrong.pointer.trim_start_matches('/');
            let what = if key.is_empty() { "the file".to_owned() } else { format!("`{key}`") };
            let message = format!("{what} should be {}, it is {}", wrong.wanted, wrong.found);
            let help = "use the file as PEFT's `save_pretrained` wrote it";
            found.push(configured.finding(&codes::ADAPTER_CONFIG_VALUE, message, &wrong.pointer).help(help));
        }
    }
    kinds(sides, &mut found);
    adapter_rank::ranks(sides, &mut found);
    adapter_rank::alphas(sides, &mut found);
    adapter_rank::scaling(sides, &mut found);
    adapter_targets::targets(sides, &mut found);
    adapter_targets::feedforward(sides, &mut found);
    adapter_targets::saved(sides, &mut found);
    base_names(sides, &mut found);
    if let Some(weights) = sides.weights {
        adapter_shapes::shapes(weights, sides.configured, &mut found);
    }
    rolled_up(found)
}

/// The method: tensors against manifest and configuration; these two against each other where no tensor tells.
fn kinds(sides: Sides<'_>, found: &mut Vec<Diagnostic>) {
    let declared = sides.declared.and_then(|declared| Some((declared, declared.kind()?)));
    let configured = sides.configured.and_then(|configured| Some((configured, configured.kind()?)));
    let Some((observed, actual)) = sides.weights.and_then(|w| Some((w.observed, w.observed.kind?))) else {
        if let (Some((declared, one)), Some((configured, two))) = (declared, configured)
            && one != two
        {
            let message = format!("the manifest says {one}, {} says {two}", configured.file.path);
            let help = format!("set `type` to `{two}` if {} is right", configured.file.path);
            found.push(declared.finding(&codes::ADAPTER_TYPE_MISMATCH, message, "type").help(help));
        }
        return;
    };
    let evidence = evidence(observed, actual);
    if let Some((declared, kind)) = declared.filter(|(_, kind)| *kind != actual) {
        let word = declared.type_word().unwrap_or(kind.name());
        let message = format!("the manifest says `{}`, the tensors are {actual}: {evidence}", shown(word));
        let help = match actual {
            AdapterKind::Other => "name the method of the weights, or package the weights that were meant".to_owned(),
            actual => format!("set `type` to `{actual}`, or package the weights that were meant"),
        };
        found.push(declared.finding(&codes::ADAPTER_TYPE_MISMATCH, message, "type").help(help));
    }
    if let Some((configured, kind)) = configured.filter(|(_, kind)| *kind != actual) {
        let low_rank = |kind| matches!(kind, AdapterKind::Lora | AdapterKind::Dora);
        let pointer = match low_rank(kind) && low_rank(actual) && configured.config.value.get("use_dora").is_some() {
            true => "/use_dora",
            false => "/peft_type",
        };
        let message = format!("{} says {kind}, the tensors are {actual}: {evidence}", configured.file.path);
        let help = "use the file that was saved with these weights";
        found.push(configured.finding(&codes::ADAPTER_CONFIG_TYPE_MISMATCH, message, pointer).help(help));
    }
}

/// What shows that the tensors are of this method.
fn evidence(observed: &Observed, kind: AdapterKind) -> String {
    let of_kind = |module: &&Module| module.kind == kind;
    let Some(module) = observed.modules.iter().find(of_kind) else {
        return match kind {
            AdapterKind::Prompt => "`prompt_embeddings` is there".to_owned(),
            _ => "no tensor has a part of another method".to_owned(),
        };
    };
    let part = match kind {
        AdapterKind::Dora => "lora_magnitude_vector",
        AdapterKind::Adalora => "lora_E",
        _ => module.parts.keys().next().copied().unwrap_or_default(),
    };
    let only = if kind == AdapterKind::Lora { " and nothing else" } else { "" };
    format!("{} have `{part}`{only}", name_modules(observed.modules.iter().filter(of_kind)))
}

/// The base models that manifest and configuration name.
fn base_names(sides: Sides<'_>, found: &mut Vec<Diagnostic>) {
    let (Some(declared), Some(configured)) = (sides.declared, sides.configured) else { return };
    let (Some(ours), Some(theirs)) = (declared.base_model, configured.config.base_model.as_deref()) else { return };
    let (one, two) = (plain_name(ours), plain_name(theirs));
    if one.is_empty() || two.is_empty() || one == two {
        return;
    }
    let message = format!(
        "{} names the base model `{}`, the manifest says `{}`",
        configured.file.path,
        shown(theirs),
        shown(ours)
    );
    let help = "an adapter works with the model it was trained on: correct the name that is wrong";
    found.push(configured.finding(&codes::BASE_MODEL_NAME_MISMATCH, message, "/base_model_name_or_path").help(help));
}

/// What says nothing about which model it is: how it was quantised or packed.
const PACKING: [&str; 18] = [
    "unsloth", "bnb", "4bit", "8bit", "int4", "int8", "gptq", "awq", "gguf", "fp8", "fp16", "bf16", "hf", "nf4", "q4",
    "q8", "dynamic", "mlx",
];

/// A model's name without folders, organisation, quantisation and punctuation; empty where a path does not tell.
fn plain_name(name: &str) -> String {
    let mut parts = name.split(['/', '\\']).filter(|part| !part.is_empty());
    // A hub cache: models--Qwen--Qwen3-0.6B/snapshots/<commit>.
    let cached = parts.clone().find_map(|part| part.strip_prefix("models--")).and_then(|part| part.rsplit("--").next());
    let last = cached.or_else(|| parts.next_back()).unwrap_or_default().to_ascii_lowercase();
    let generic = ["model", "base", "base_model", "checkpoint", "final", "merged", "snapshot", "weights"];
    if generic.contains(&&*last)
        || last.starts_with("checkpoint-")
        || last.len() == 40 && last.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return String::new();
    }
    let words = last.split(['-', '_']).filter(|word| !PACKING.contains(word));
    words.collect::<String>().chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::plain_name;

    #[test]
    fn names_are_compared_without_folders_and_packing() {
        for same in [
            "Qwen3-0.6B",
            "Qwen/Qwen3-0.6B",
            "F:/Node/models/Qwen3-0.6B",
            r"C:\models\Qwen3-0.6B\",
            "unsloth/qwen3-0.6b-unsloth-bnb-4bit",
            "/home/ada/.cache/huggingface/hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de289a04d12100db370d81485cdf75e47ca",
            "qwen3-06b",
        ] {
            assert_eq!(plain_name(same), "qwen306b", "{same}");
        }
        assert_ne!(plain_name("Qwen3-0.6B-Base"), plain_name("Qwen3-0.6B"));
        assert_ne!(plain_name("Qwen3-1.7B"), plain_name("Qwen3-0.6B"));
        assert_eq!(plain_name("/data/run7/checkpoint-500"), "");
    }
}
