//! `AdapterConfig`: PEFT's `adapter_config.json`, as far as it says what the weights must look like.
//!
//! One JSON object (<https://huggingface.co/docs/peft/package_reference/config>, `peft/tuners/*/config.py`). PEFT adds
//! keys with every release and reads unknown ones leniently, so they are passed over here; a known key of the wrong
//! type is told and counts as absent. Does not know the manifest or the tensors.

use serde::Serialize;

use crate::format::json::{Value, child_pointer};

/// The typed view, and the text's tree for places.
#[derive(Debug, Clone)]
pub struct AdapterConfig {
    /// What it was read from.
    pub value: Value,
    /// `LORA`, `IA3`, `LOKR` …
    pub peft_type: Option<String>,
    /// The model it was trained on: a hub name or a path.
    pub base_model: Option<String>,
    /// Rank.
    pub r: Option<u64>,
    /// AdaLoRA's rank at the start of training.
    pub init_r: Option<u64>,
    /// AdaLoRA's mean rank at the end of training.
    pub target_r: Option<u64>,
    /// `lora_alpha`, or LoKr's and LoHa's `alpha`.
    pub alpha: Option<f64>,
    /// Which modules are adapted.
    pub target_modules: Option<Targets>,
    /// Which of them are not.
    pub exclude_modules: Option<Targets>,
    /// IA3: which of them are scaled at their input.
    pub feedforward_modules: Option<Targets>,
    /// Parameters (of fused experts) that are adapted.
    pub target_parameters: Vec<String>,
    /// Ranks that differ from `r`, by module: the first key that matches counts.
    pub rank_pattern: Vec<(String, u64)>,
    /// Alphas that differ.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Modules that are kept whole.
    pub modules_to_save: Vec<String>,
    /// Only these layers are adapted.
    pub layers_to_transform: Option<Vec<u64>>,
    /// Weight-decomposed LoRA.
    pub use_dora: bool,
    /// Scaling by `alpha / sqrt(r)`.
    pub use_rslora: bool,
    /// Which biases are kept: `none`, `all`, `lora_only`.
    pub bias: Option<String>,
    /// Prompt learning: virtual tokens.
    pub num_virtual_tokens: Option<u64>,
    /// Prompt learning: their width.
    pub token_dim: Option<u64>,
    /// Known keys whose value has the wrong type.
    pub wrong: Vec<WrongType>,
}

/// A choice of modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// Names: a module's whole path, or its end from a dot on.
    List(Vec<String>),
    /// A Python regular expression over the whole path.
    Pattern(String),
    /// Every linear layer but the output.
    AllLinear,
}

/// A value that is not what its key wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongType {
    /// JSON pointer of the value.
    pub pointer: String,
    /// `a whole number`
    pub wanted: &'static str,
    /// `a string`
    pub found: &'static str,
}

impl AdapterConfig {
    /// Reads the view. Never fails: what cannot be read is in `wrong`.
    pub fn read(value: Value) -> Self {
        let mut reader = Reader { root: &value, wrong: Vec::new() };
        if !matches!(value.node, crate::format::json::Node::Object(_)) {
            reader.refuse(String::new(), "an object", &value);
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let peft_type = reader.one("peft_type", "a string", text);
        let base_model = reader.one("base_model_name_or_path", "a string", text);
        let bias = reader.one("bias", "a string", text);
        let whole = "a whole number";
        let r = reader.one("r", whole, Value::as_u64);
        let init_r = reader.one("init_r", whole, Value::as_u64);
        let target_r = reader.one("target_r", whole, Value::as_u64);
        let num_virtual_tokens = reader.one("num_virtual_tokens", whole, Value::as_u64);
        let token_dim = reader.one("token_dim", whole, Value::as_u64);
        let lora_alpha = reader.one("lora_alpha", "a number", Value::as_f64);
        let alpha = lora_alpha.or_else(|| reader.one("alpha", "a number", Value::as_f64));
        let use_dora = reader.one("use_dora", "a boolean", Value::as_bool).unwrap_or(false);
        let use_rslora = reader.one("use_rslora", "a boolean", Value::as_bool).unwrap_or(false);
        let target_modules = reader.targets("target_modules");
        let exclude_modules = reader.targets("exclude_modules");
        let feedforward_modules = reader.targets("feedforward_modules");
        let target_parameters = reader.list("target_parameters", "a string", text);
        let modules_to_save = reader.list("modules_to_save", "a string", text);
        let layers_to_transform = match reader.get("layers_to_transform") {
            Some(value) if value.as_u64().is_some() => Some(value.as_u64().into_iter().collect()),
            Some(_) => Some(reader.list("layers_to_transform", whole, Value::as_u64)),
            None => None,
        };
        // AdaLoRA keeps masks of booleans there: they name what was pruned, not a rank.
        let adalora = peft_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("adalora"));
        let rank_pattern = if adalora { Vec::new() } else { reader.pattern("rank_pattern", whole, Value::as_u64) };
        let alpha_pattern = reader.pattern("alpha_pattern", "a number", Value::as_f64);
        let wrong = reader.wrong;
        Self {
            peft_type,
            base_model,
            r,
            init_r,
            target_r,
            alpha,
            target_modules,
            exclude_modules,
            feedforward_modules,
            target_parameters,
            rank_pattern,
            alpha_pattern,
            modules_to_save,
            layers_to_transform,
            use_dora,
            use_rslora,
            bias,
            num_virtual_tokens,
            token_dim,
            wrong,
            value,
        }
    }
}

struct Reader<'a> {
    root: &'a Value,
    wrong: Vec<WrongType>,
}

impl<'a> Reader<'a> {
    /// The value of a key; `null` is PEFT's word for absent.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.root.get(key).filter(|value| !value.is_null())
    }

    fn refuse(&mut self, pointer: String, wanted: &'static str, found: &Value) {
        self.wrong.push(WrongType { pointer, wanted, found: found.kind() });
    }

    fn one<T>(&mut self, key: &str, wanted: &'static str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.get(key)?;
        let found = read(value);
        if found.is_none() {
            self.refuse(child_pointer("", key), wanted, value);
        }
        found
    }

    fn list<T>(&mut self, key: &str, wanted: &'static str, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
        let Some(value) = self.get(key) else { return Vec::new() };
        if !matches!(value.node, crate::format::json::Node::Array(_)) {
            self.refuse(child_pointer("", key), "an array", value);
        }
        let mut items = Vec::new();
        for (index, item) in value.items().iter().enumerate() {
            match read(item) {
                Some(item) => items.push(item),
                None => self.refuse(child_pointer(&child_pointer("", key), &index.to_string()), wanted, item),
            }
        }
        items
    }

    fn pattern<T>(&mut self, key: &str, wanted: &'static str, read: impl Fn(&Value) -> Option<T>) -> Vec<(String, T)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        if !matches!(value.node, crate::format::json::Node::Object(_)) {
            self.refuse(child_pointer("", key), "an object", value);
        }
        let mut items = Vec::new();
        for member in value.members() {
            match read(&member.value) {
                Some(item) => items.push((member.key.to_string(), item)),
                None => self.refuse(child_pointer(&child_pointer("", key), &member.key), wanted, &member.value),
            }
        }
        items
    }

    fn targets(&mut self, key: &str) -> Option<Targets> {
        let value = self.get(key)?;
        match value.as_str() {
            Some(text) if text.eq_ignore_ascii_case("all-linear") => Some(Targets::AllLinear),
            Some(text) => Some(Targets::Pattern(text.to_owned())),
            None if matches!(value.node, crate::format::json::Node::Array(_)) => {
                Some(Targets::List(self.list(key, "a string", |item| item.as_str().map(str::to_owned))))
            }
            None => {
                self.refuse(child_pointer("", key), "an array or a string", value);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AdapterConfig, Targets};
    use crate::format::json;

    fn read(text: &str) -> AdapterConfig {
        AdapterConfig::read(json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn null_is_absent_and_unknown_keys_are_passed_over() {
        let config = read(r#"{"r": null, "modules_to_save": null, "new_in_peft_9": [{}], "peft_type": "LORA"}"#);
        assert_eq!((config.r, config.peft_type.as_deref()), (None, Some("LORA")));
        assert!(config.wrong.is_empty() && config.modules_to_save.is_empty());
    }

    #[test]
    fn targets_have_three_forms() {
        assert_eq!(read(r#"{"target_modules": ["q"]}"#).target_modules, Some(Targets::List(vec!["q".into()])));
        assert_eq!(read(r#"{"target_modules": ".*q"}"#).target_modules, Some(Targets::Pattern(".*q".into())));
        assert_eq!(read(r#"{"target_modules": "all-linear"}"#).target_modules, Some(Targets::AllLinear));
    }

    #[test]
    fn patterns_keep_their_order_and_adalora_masks_are_left() {
        let config = read(r#"{"rank_pattern": {"b": 2, "a": 4.0}, "alpha": 3, "layers_to_transform": 5}"#);
        assert_eq!(config.rank_pattern, [("b".to_owned(), 2), ("a".to_owned(), 4)]);
        assert_eq!((config.alpha, config.layers_to_transform), (Some(3.0), Some(vec![5])));
        let masks = read(r#"{"peft_type": "ADALORA", "rank_pattern": {"x.lora_E": [true, false]}}"#);
        assert!(masks.wrong.is_empty() && masks.rank_pattern.is_empty());
    }

    #[test]
    fn wrong_types_are_told_with_their_place() {
        let config = read(
            r#"{"r": "8", "use_dora": 1, "target_modules": {"a": 1}, "modules_to_save": ["x", 2], "rank_pattern": {"a/b": "x"},
                "alpha_pattern": 3, "layers_to_transform": ["x"]}"#,
        );
        let told: Vec<&str> = config.wrong.iter().map(|wrong| wrong.pointer.as_str()).collect();
        let expected = [
            "/r",
            "/use_dora",
            "/target_modules",
            "/modules_to_save/1",
            "/layers_to_transform/0",
            "/rank_pattern/a~1b",
            "/alpha_pattern",
        ];
        assert_eq!(told, expected);
        assert_eq!((config.r, config.modules_to_save.len()), (None, 1));
        assert_eq!(read("[]").wrong[0].wanted, "an object");
    }
}
