//! `Manifest`: `manifest.json` of an expert, schema 1.0 and 2.0, read leniently and without losing anything.
//!
//! Schema 1.0 has one `base_model` and its `adapters` side by side; schema 2.0 has `base_models`, each with its own
//! `adapters`. Which of the two it is, the form decides: `schema_version` is text that people forget to change.
//! What is absent or has the wrong type is left out here; `check::manifest` says so, with the place. Public source:
//! the manifests of the HiveLLM repositories; `schema/manifest.schema.json` documents every key.

use std::ops::Range;
use std::sync::Arc;

use crate::base::codes::manifest::MANIFEST_TYPE;
use crate::base::{At, Diagnostic, Sha256};
use crate::format::json::{self, Value, child_pointer};
use crate::format::places::Places;

/// Which form a manifest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// `base_model` and `adapters`.
    V1,
    /// `base_models[]`, each with `adapters`.
    V2,
}

/// A manifest as it was read. Parts that are absent or have the wrong type are empty or `None`.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file, as findings name it.
    pub file: Box<str>,
    /// The text, as it was read.
    pub text: Arc<str>,
    /// Everything in it, unknown keys included.
    pub root: Value,
    /// `name`, or nothing.
    pub name: String,
    /// `version` as written, or nothing.
    pub version: String,
    /// `version`, where it is a semantic version.
    pub semver: Option<semver::Version>,
    /// `description`.
    pub description: Option<String>,
    /// `author`.
    pub author: Option<String>,
    /// Which form it has.
    pub schema: Schema,
    /// The base models with their adapters; schema 1.0 has one.
    pub base_models: Vec<BaseModel>,
    /// `soft_prompts`.
    pub soft_prompts: Vec<SoftPrompt>,
    /// `capabilities`.
    pub capabilities: Vec<String>,
    /// `tags`.
    pub tags: Vec<String>,
    /// `constraints.requires`.
    pub requires: Vec<Phrase>,
    /// `constraints.incompatible_with`.
    pub incompatible_with: Vec<Phrase>,
    /// `constraints.load_order`.
    pub load_order: Option<u64>,
    /// `training.decoding.grammar_file`.
    pub grammar_file: Option<Reference>,
    /// `training.decoding.grammar_type`.
    pub grammar_type: Option<String>,
    /// `training.packaging_checkpoint`: the folder that holds the weights to package.
    pub packaging_checkpoint: Option<String>,
    /// `license`.
    pub license: Option<Phrase>,
    /// `integrity.files`: hashes left from an earlier package.
    pub listed: Vec<Listed>,
    places: Places,
}

/// A text of the manifest and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// The text.
    pub text: String,
    /// JSON pointer to it.
    pub pointer: String,
    /// Its place, pointer included.
    pub at: At,
}

/// A base model and the adapters for it.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseModel {
    /// `name`, or nothing.
    pub name: String,
    /// JSON pointer to the model.
    pub pointer: String,
    /// `quantization`.
    pub quantization: Option<String>,
    /// Its adapters.
    pub adapters: Vec<Adapter>,
}

/// One adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// `type` as written: `lora`, `dora`, `ia3`, `lokr`, `adalora` …
    pub kind: Option<String>,
    /// `target_modules`.
    pub target_modules: Vec<String>,
    /// `r`.
    pub r: Option<u64>,
    /// `alpha`.
    pub alpha: Option<f64>,
    /// `path`: its weights, where the manifest says so.
    pub path: Option<Reference>,
    /// `sha256`, where it is there and a hash.
    pub sha256: Option<Sha256>,
    /// `size_bytes`; a 0 beside an empty or absent hash means that nobody filled it in.
    pub size_bytes: Option<u64>,
    /// `checkpoint_step`.
    pub checkpoint_step: Option<u64>,
    /// JSON pointer to the adapter.
    pub pointer: String,
}

/// One soft prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftPrompt {
    /// `name`.
    pub name: Option<String>,
    /// `path`.
    pub path: Reference,
    /// `tokens`, or `length` as older manifests call it.
    pub tokens: Option<u64>,
    /// JSON pointer to the number of tokens, where it is there.
    pub tokens_pointer: Option<String>,
    /// JSON pointer to the soft prompt.
    pub pointer: String,
}

/// A file that the manifest refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The path as written.
    pub path: String,
    /// JSON pointer to the path.
    pub pointer: String,
    /// Its place, pointer included.
    pub at: At,
}

/// A file of `integrity.files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The path as written.
    pub path: String,
    /// Its hash, where that is one.
    pub sha256: Option<Sha256>,
    /// JSON pointer to the hash.
    pub pointer: String,
    /// The place of the hash, pointer included.
    pub at: At,
}

impl BaseModel {
    /// The last segment of the name: `Qwen3-0.6B` of `F:/models/Qwen3-0.6B`.
    pub fn short_name(&self) -> &str {
        last_segment(&self.name)
    }
}

/// What follows the last `/` or `\` that is not at the end.
pub fn last_segment(name: &str) -> &str {
    let name = name.trim_end_matches(['/', '\\']);
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

impl Manifest {
    /// Reads a manifest. `None` where it is not JSON or not an object; the finding then says why.
    pub fn read(bytes: &[u8], file: &str) -> (Option<Self>, Vec<Diagnostic>) {
        let root = match json::parse(bytes) {
            Ok(root) => root,
            Err(fault) => return (None, vec![fault.finding(bytes, file)]),
        };
        let text: Arc<str> = std::str::from_utf8(bytes).expect("the parser took it as UTF-8").into();
        let places = Places::new(&text);
        if !matches!(root.node, json::Node::Object(_)) {
            let finding = Diagnostic::new(&MANIFEST_TYPE, format!("a manifest is an object, not {}", root.kind()))
                .in_file(file)
                .at(places.at(&text, root.span.start..root.span.start + 1).with_pointer(""))
                .help("begin with `{ \"name\": …, \"version\": … }`")
                .source(&text);
            return (None, vec![finding]);
        }
        (Some(Self::of(file.into(), text, places, root)), Vec::new())
    }

    fn of(file: Box<str>, text: Arc<str>, places: Places, root: Value) -> Self {
        let reader = Reader { text: &text, places: &places, root: &root };
        let schema = if present(&root, "base_models").is_some() { Schema::V2 } else { Schema::V1 };
        let version = reader.text_at("/version").unwrap_or_default();
        let mut listed = Vec::new();
        for member in root.pointer("/integrity/files").map(Value::members).unwrap_or_default() {
            let pointer = child_pointer("/integrity/files", &member.key);
            let sha256 = member.value.as_str().and_then(|hash| hash.parse().ok());
            let at = reader.at(&member.value.span, &pointer);
            listed.push(Listed { path: member.key.to_string(), sha256, pointer, at });
        }
        Self {
            name: reader.text_at("/name").unwrap_or_default(),
            semver: semver::Version::parse(&version).ok(),
            version,
            description: reader.text_at("/description"),
            author: reader.text_at("/author"),
            schema,
            base_models: reader.base_models(),
            soft_prompts: reader.soft_prompts(),
            capabilities: texts(root.get("capabilities")),
            tags: texts(root.get("tags")),
            requires: reader.phrases("/constraints/requires"),
            incompatible_with: reader.phrases("/constraints/incompatible_with"),
            load_order: root.pointer("/constraints/load_order").and_then(Value::as_u64),
            grammar_file: reader.reference("/training/decoding/grammar_file"),
            grammar_type: reader.text_at("/training/decoding/grammar_type"),
            packaging_checkpoint: reader.text_at("/training/packaging_checkpoint").filter(|text| !text.is_empty()),
            license: reader.phrase("/license"),
            listed,
            file,
            text: Arc::clone(&text),
            places: places.clone(),
            root,
        }
    }

    /// Every file of the expert that the manifest names: adapters' weights, soft prompts, the grammar.
    /// Data sets and evaluation files stay with the training and are not packaged.
    pub fn references(&self) -> Vec<Reference> {
        let adapters = self.adapters().filter_map(|adapter| adapter.path.clone());
        let prompts = self.soft_prompts.iter().map(|prompt| prompt.path.clone());
        adapters.chain(prompts).chain(self.grammar_file.clone()).collect()
    }

    /// The adapters of all base models.
    pub fn adapters(&self) -> impl Iterator<Item = &Adapter> {
        self.base_models.iter().flat_map(|model| &model.adapters)
    }

    /// The base model of this name, or else the only one with this last path segment.
    pub fn model(&self, name: &str) -> Option<&BaseModel> {
        if let Some(exact) = self.base_models.iter().find(|model| model.name == name) {
            return Some(exact);
        }
        let mut short = self.base_models.iter().filter(|model| model.short_name() == name);
        short.next().filter(|_| short.next().is_none())
    }

    /// The place of the value that the pointer names; of the whole file where there is none.
    pub fn place(&self, pointer: &str) -> At {
        match self.root.pointer(pointer) {
            Some(value) => self.at(&value.span, pointer),
            None => At::File,
        }
    }

    /// The place of a span, with its pointer.
    pub fn at(&self, span: &Range<usize>, pointer: &str) -> At {
        self.places.at(&self.text, span.clone()).with_pointer(pointer)
    }
}

struct Reader<'a> {
    text: &'a str,
    places: &'a Places,
    root: &'a Value,
}

impl Reader<'_> {
    fn at(&self, span: &Range<usize>, pointer: &str) -> At {
        self.places.at(self.text, span.clone()).with_pointer(pointer)
    }

    fn text_at(&self, pointer: &str) -> Option<String> {
        self.root.pointer(pointer)?.as_str().map(str::to_owned)
    }

    fn phrase(&self, pointer: &str) -> Option<Phrase> {
        let value = self.root.pointer(pointer)?;
        let at = self.at(&value.span, pointer);
        Some(Phrase { text: value.as_str()?.to_owned(), pointer: pointer.to_owned(), at })
    }

    fn phrases(&self, pointer: &str) -> Vec<Phrase> {
        let items = self.root.pointer(pointer).map(Value::items).unwrap_or_default();
        let phrase = |(i, value): (usize, &Value)| {
            let pointer = format!("{pointer}/{i}");
            let at = self.at(&value.span, &pointer);
            Some(Phrase { text: value.as_str()?.to_owned(), pointer, at })
        };
        items.iter().enumerate().filter_map(phrase).collect()
    }

    /// An empty path refers to nothing, as an empty hash is no hash.
    fn reference(&self, pointer: &str) -> Option<Reference> {
        self.reference_in(self.root.pointer(pointer)?, pointer.to_owned())
    }

    fn reference_in(&self, value: &Value, pointer: String) -> Option<Reference> {
        let path = value.as_str().filter(|path| !path.is_empty())?.to_owned();
        Some(Reference { path, at: self.at(&value.span, &pointer), pointer })
    }

    fn base_models(&self) -> Vec<BaseModel> {
        if let Some(models) = present(self.root, "base_models") {
            let models = models.items().iter().enumerate();
            return models.map(|(i, model)| self.base_model(model, format!("/base_models/{i}"), model, None)).collect();
        }
        match present(self.root, "base_model") {
            Some(model) => vec![self.base_model(model, "/base_model".into(), self.root, Some(""))],
            None => Vec::new(),
        }
    }

    /// `holder` is the object that has the `adapters`, `at` its pointer where that is not the model's.
    fn base_model(&self, model: &Value, pointer: String, holder: &Value, at: Option<&str>) -> BaseModel {
        let name = match model.get("name") {
            Some(name) => name.as_str(),
            // Some 1.0 manifests give the name alone; the check says what to write.
            None => model.as_str(),
        };
        let text = |key: &str| model.get(key).and_then(Value::as_str).map(str::to_owned);
        let adapters = holder.get("adapters").map(Value::items).unwrap_or_default().iter().enumerate();
        let under = at.unwrap_or(&pointer);
        BaseModel {
            name: name.unwrap_or_default().to_owned(),
            quantization: text("quantization"),
            adapters: adapters.map(|(i, adapter)| self.adapter(adapter, format!("{under}/adapters/{i}"))).collect(),
            pointer,
        }
    }

    fn adapter(&self, adapter: &Value, pointer: String) -> Adapter {
        let count = |key: &str| adapter.get(key).and_then(Value::as_u64);
        let hash = adapter.get("sha256").and_then(Value::as_str).unwrap_or_default();
        Adapter {
            kind: adapter.get("type").and_then(Value::as_str).map(str::to_owned),
            target_modules: texts(adapter.get("target_modules")),
            r: count("r"),
            alpha: adapter.get("alpha").and_then(Value::as_f64),
            path: adapter.get("path").and_then(|value| self.reference_in(value, child_pointer(&pointer, "path"))),
            sha256: hash.parse().ok(),
            size_bytes: count("size_bytes").filter(|size| *size > 0 || !hash.is_empty()),
            checkpoint_step: count("checkpoint_step"),
            pointer,
        }
    }

    fn soft_prompts(&self) -> Vec<SoftPrompt> {
        let prompts = self.root.get("soft_prompts").map(Value::items).unwrap_or_default();
        let prompt = |(i, prompt): (usize, &Value)| {
            let pointer = format!("/soft_prompts/{i}");
            let tokens = ["tokens", "length"].into_iter().find_map(|key| Some((key, present(prompt, key)?)));
            Some(SoftPrompt {
                name: prompt.get("name").and_then(Value::as_str).map(str::to_owned),
                path: self.reference_in(prompt.get("path")?, child_pointer(&pointer, "path"))?,
                tokens: tokens.and_then(|(_, value)| value.as_u64()),
                tokens_pointer: tokens.map(|(key, _)| child_pointer(&pointer, key)),
                pointer,
            })
        };
        prompts.iter().enumerate().filter_map(prompt).collect()
    }
}

/// A member that is there and not null: to readers, null is the same as absent.
fn present<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.map(Value::items).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
