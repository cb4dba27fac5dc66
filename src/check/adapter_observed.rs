//! `Observed`: the adapter that the tensors' names and shapes show, whatever anyone says it is.
//!
//! PEFT's names: `base_model.model.<module path>.<part>[.<adapter>][.weight]`, where the part tells the method
//! (`lora_A`, `ia3_l`, `lokr_w1`, …); `prompt_embeddings` alone; and modules that are kept whole under their own name.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::format::safetensors::{Header, Tensor};

/// The method by which the base model is adapted; those that build on another stand after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    /// Low-rank matrices.
    Lora,
    /// LoRA with a magnitude per output.
    Dora,
    /// LoRA with singular values that are pruned in training.
    Adalora,
    /// A scale per input or output.
    Ia3,
    /// Kronecker products.
    Lokr,
    /// Hadamard products of low-rank matrices.
    Loha,
    /// Embeddings put before the text: prompt tuning, p-tuning, prefix tuning.
    Prompt,
    /// A PEFT method whose shapes are not checked.
    Other,
}

impl AdapterKind {
    /// The kind that a manifest's `type` or a `peft_type` names; `None` for words that nobody knows.
    pub fn of(word: &str) -> Option<Self> {
        let word: String = word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        Some(match &*word {
            "lora" | "qlora" | "rslora" | "loraplus" => Self::Lora,
            "dora" | "qdora" => Self::Dora,
            "adalora" => Self::Adalora,
            "ia3" => Self::Ia3,
            "lokr" => Self::Lokr,
            "loha" => Self::Loha,
            "prompttuning" | "ptuning" | "prefixtuning" | "softprompt" | "prompt" | "multitaskprompttuning" | "cpt" => {
                Self::Prompt
            }
            "vera" | "oft" | "boft" | "fourierft" | "hra" | "vblora" | "lntuning" | "poly" | "randlora" | "c3a"
            | "shira" | "road" | "bone" | "miss" | "xlora" | "adaptionprompt" | "trainabletokens" => Self::Other,
            _ => return None,
        })
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Dora => "dora",
            Self::Adalora => "adalora",
            Self::Ia3 => "ia3",
            Self::Lokr => "lokr",
            Self::Loha => "loha",
            Self::Prompt => "prompt_tuning",
            Self::Other => "other",
        }
    }

    /// Do its modules have a rank that `r` names?
    pub const fn ranked(self) -> bool {
        matches!(self, Self::Lora | Self::Dora | Self::Adalora | Self::Lokr | Self::Loha)
    }
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for AdapterKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The parts whose shapes are known, and the method each belongs to.
const PARTS: [(&str, AdapterKind); 22] = [
    ("lora_A", AdapterKind::Lora),
    ("lora_B", AdapterKind::Lora),
    ("lora_embedding_A", AdapterKind::Lora),
    ("lora_embedding_B", AdapterKind::Lora),
    ("lora_magnitude_vector", AdapterKind::Dora),
    ("lora_E", AdapterKind::Adalora),
    ("ranknum", AdapterKind::Adalora),
    ("ia3_l", AdapterKind::Ia3),
    ("lokr_w1", AdapterKind::Lokr),
    ("lokr_w1_a", AdapterKind::Lokr),
    ("lokr_w1_b", AdapterKind::Lokr),
    ("lokr_w2", AdapterKind::Lokr),
    ("lokr_w2_a", AdapterKind::Lokr),
    ("lokr_w2_b", AdapterKind::Lokr),
    ("lokr_t2", AdapterKind::Lokr),
    ("hada_w1_a", AdapterKind::Loha),
    ("hada_w1_b", AdapterKind::Loha),
    ("hada_w2_a", AdapterKind::Loha),
    ("hada_w2_b", AdapterKind::Loha),
    ("hada_t1", AdapterKind::Loha),
    ("hada_t2", AdapterKind::Loha),
    ("prompt_embeddings", AdapterKind::Prompt),
];

/// How parts of methods begin whose shapes are not checked.
const OTHERS: [&str; 19] = [
    "vera_",
    "oft_",
    "boft_",
    "fourierft_",
    "hra_",
    "vblora_",
    "ln_tuning_",
    "poly_lora_",
    "randlora_",
    "c3a_",
    "shira_",
    "road_",
    "bone_",
    "miss_",
    "adaption_",
    "trainable_tokens_",
    "token_adapter",
    "prompt_encoder",
    "prefix_task_",
];

/// A module of the base model that is adapted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Its path in the base model: `model.layers.3.self_attn.q_proj`.
    pub path: String,
    /// The layer it is in.
    pub layer: Option<u32>,
    /// The last part of its path.
    pub name: String,
    /// The method.
    pub kind: AdapterKind,
    /// The rank its tensors have, where they have one.
    pub rank: Option<u64>,
    /// Width of the module's input.
    pub inputs: Option<u64>,
    /// Width of its output.
    pub outputs: Option<u64>,
    /// Type of its first tensor's values.
    pub dtype: String,
    /// Part → shape.
    pub parts: BTreeMap<&'static str, Vec<u64>>,
    /// Part → the tensor's index in the header.
    #[serde(skip)]
    pub tensors: BTreeMap<&'static str, usize>,
}

/// The adapter as its tensors show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// The method; `None` where no tensor has a name that tells.
    pub kind: Option<AdapterKind>,
    /// The adapted modules, by path.
    pub modules: Vec<Module>,
    /// Paths of modules that are kept whole.
    pub saved: Vec<Saved>,
    /// Virtual tokens and their width.
    pub prompt: Option<(u64, u64)>,
    /// Names that follow no known pattern.
    pub unknown: Vec<String>,
}

/// A tensor that belongs to no adapter part: a module kept whole, a bias, resized embeddings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// The module's path.
    pub path: String,
    /// The tensor's shape.
    pub shape: Vec<u64>,
    /// `weight`, `bias` or whatever the name ends in.
    pub parameter: String,
}

enum Name<'a> {
    Part { path: String, part: &'static str },
    Other,
    Saved { path: String, parameter: &'a str },
    Unknown,
}

const PREFIX: &str = "base_model.model.";

impl Observed {
    /// Reads the names and shapes of a file.
    pub fn new(header: &Header) -> Self {
        let mut modules: BTreeMap<String, Module> = BTreeMap::new();
        let mut observed =
            Self { kind: None, modules: Vec::new(), saved: Vec::new(), prompt: None, unknown: Vec::new() };
        let mut other = false;
        for (index, tensor) in header.tensors.iter().enumerate() {
            match split(&tensor.name) {
                Name::Part { part: "prompt_embeddings", .. } => {
                    if let [tokens, width] = *tensor.shape {
                        observed.prompt = Some((tokens, width));
                    }
                    observed.kind = Some(AdapterKind::Prompt);
                }
                Name::Part { path, part } => {
                    let module = modules.entry(path).or_insert_with_key(|path| Module::new(path, tensor));
                    module.parts.insert(part, tensor.shape.to_vec());
                    module.tensors.insert(part, index);
                }
                Name::Other => other = true,
                Name::Saved { path, parameter } => {
                    observed.saved.push(Saved { path, shape: tensor.shape.to_vec(), parameter: parameter.to_owned() })
                }
                Name::Unknown => observed.unknown.push(tensor.name.to_string()),
            }
        }
        observed.modules = modules.into_values().collect();
        observed.modules.iter_mut().for_each(Module::measure);
        // The most particular method wins: DoRA's and AdaLoRA's files hold LoRA's parts too.
        let particular = observed.modules.iter().map(|module| module.kind).max();
        observed.kind = particular.or(observed.kind).or(other.then_some(AdapterKind::Other));
        observed
    }
}

impl Module {
    fn new(path: &str, tensor: &Tensor) -> Self {
        let layer = path.split('.').find_map(|part| part.parse().ok());
        let name = path.rsplit('.').find(|part| part.parse::<u32>().is_err()).unwrap_or(path);
        Self {
            path: path.to_owned(),
            layer,
            name: name.to_owned(),
            kind: AdapterKind::Lora,
            rank: None,
            inputs: None,
            outputs: None,
            dtype: tensor.dtype.to_string(),
            parts: BTreeMap::new(),
            tensors: BTreeMap::new(),
        }
    }

    /// A dimension of a part.
    pub fn dim(&self, part: &str, index: usize) -> Option<u64> {
        self.parts.get(part).and_then(|shape| shape.get(index)).copied()
    }

    /// Method, rank and widths follow from the parts.
    fn measure(&mut self) {
        let kinds = PARTS.iter().filter(|(part, _)| self.parts.contains_key(part)).map(|(_, kind)| *kind);
        self.kind = kinds.max().unwrap_or(AdapterKind::Lora);
        let product = |a: Option<u64>, b: Option<u64>| a?.checked_mul(b?);
        (self.rank, self.inputs, self.outputs) = match self.kind {
            AdapterKind::Ia3 => {
                // [out, 1] scales the output, [1, in] the input.
                let (rows, columns) = (self.dim("ia3_l", 0), self.dim("ia3_l", 1));
                match (rows, columns) {
                    (Some(1), Some(columns)) if columns > 1 => (None, Some(columns), None),
                    (Some(rows), Some(1)) if rows > 1 => (None, None, Some(rows)),
                    _ => (None, None, None),
                }
            }
            AdapterKind::Lokr => {
                let rank = self.dim("lokr_w2_b", 0).or_else(|| self.dim("lokr_w1_b", 0));
                // With a core tensor the first factor stands transposed.
                let rows = usize::from(self.parts.contains_key("lokr_t2"));
                let one = (
                    self.dim("lokr_w1", 0).or_else(|| self.dim("lokr_w1_a", 0)),
                    self.dim("lokr_w1", 1).or_else(|| self.dim("lokr_w1_b", 1)),
                );
                let two = (
                    self.dim("lokr_w2", 0).or_else(|| self.dim("lokr_w2_a", rows)),
                    self.dim("lokr_w2", 1).or_else(|| self.dim("lokr_w2_b", 1)),
                );
                (rank, product(one.1, two.1), product(one.0, two.0))
            }
            AdapterKind::Loha => {
                let rows = usize::from(self.parts.contains_key("hada_t1"));
                (self.dim("hada_w1_b", 0), self.dim("hada_w1_b", 1), self.dim("hada_w1_a", rows))
            }
            _ if self.parts.contains_key("lora_embedding_A") || self.parts.contains_key("lora_embedding_B") => {
                let rank = self.dim("lora_embedding_A", 0).or_else(|| self.dim("lora_embedding_B", 1));
                (rank, self.dim("lora_embedding_A", 1), self.dim("lora_embedding_B", 0))
            }
            _ => {
                let rank = self.dim("lora_A", 0).or_else(|| self.dim("lora_B", 1));
                (rank, self.dim("lora_A", 1), self.dim("lora_B", 0))
            }
        };
    }
}

fn split(name: &str) -> Name<'_> {
    let parts: Vec<&str> = name.split('.').collect();
    if let Some((at, part)) = parts
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, word)| PARTS.iter().find(|(part, _)| part == word).map(|(part, _)| (at, *part)))
    {
        // After the part: nothing, the adapter's name, `weight`.
        return match parts[at + 1..] {
            [] | ["weight"] | [_] | [_, "weight"] if parts.last() != Some(&"bias") => {
                Name::Part { path: module_path(&parts[..at]), part }
            }
            [.., "bias"] => Name::Saved { path: module_path(&parts[..at]), parameter: "bias" },
            _ => Name::Unknown,
        };
    }
    if parts.iter().any(|word| OTHERS.iter().any(|other| word.starts_with(other))) {
        return Name::Other;
    }
    match parts.split_last() {
        Some((parameter, path)) if name.starts_with(PREFIX) && !path.is_empty() => {
            Name::Saved { path: module_path(path), parameter }
        }
        _ => Name::Unknown,
    }
}

/// The path in the base model: without PEFT's wrappers.
fn module_path(parts: &[&str]) -> String {
    let parts = parts.strip_prefix(&["base_model", "model"]).unwrap_or(parts);
    let end = parts.iter().position(|part| *part == "modules_to_save").unwrap_or(parts.len());
    let parts: Vec<&str> = parts[..end].iter().filter(|part| **part != "base_layer").copied().collect();
    parts.join(".")
}
