//! Rules of the manifest that need nothing but the manifest: types, required and expected keys, names, versions, models.
//!
//! What it reports as an error is what `schema/manifest.schema.json` rejects. Requirements between experts are
//! `check::requires`' matter, files and their hashes `check::manifest_files`'.

use std::collections::BTreeSet;

use crate::base::codes::files::PATH_ESCAPE;
use crate::base::codes::manifest::{
    ADAPTER_IA3_RANK, ADAPTER_TYPE_UNKNOWN, ADAPTERS_MISSING, HASH_MALFORMED, MANIFEST_BOTH_FORMS,
    MANIFEST_KEY_EXPECTED, MANIFEST_KEY_MISSING, MANIFEST_MODEL_CLASH, MANIFEST_NAME, MANIFEST_SCHEMA_FORM,
    MANIFEST_SCHEMA_VERSION, MANIFEST_VERSION, MODEL_NAME_PATH,
};
use crate::base::relpath::PathFault;
use crate::base::{At, Code, Diagnostic, RelPath, Sha256};
use crate::check::{licence, manifest_types};
use crate::format::json::{Value, child_pointer};
use crate::format::json_write;
use crate::format::manifest::{Manifest, Schema, last_segment};
use crate::format::manifest_keys::{ADAPTER, EXPECTED, Form, Key, NAME_MAX, PROMPTS, RANKED, ROOT, UNRANKED};

/// Reads a manifest and checks it: every finding that its text alone can give. `None` where it is not a JSON object.
pub fn read(bytes: &[u8], file: &str) -> (Option<Manifest>, Vec<Diagnostic>) {
    let (manifest, mut found) = Manifest::read(bytes, file);
    if let Some(manifest) = &manifest {
        found.extend(check(manifest));
    }
    (manifest, found)
}

/// Every finding that the manifest alone can give.
pub fn check(manifest: &Manifest) -> Vec<Diagnostic> {
    let mut findings = Findings { manifest, found: Vec::new() };
    manifest_types::check(&mut findings);
    findings.models();
    findings.expected();
    findings.found.extend(licence::expression(manifest));
    findings.found
}

/// Collects findings in one manifest.
pub(crate) struct Findings<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) found: Vec<Diagnostic>,
}

/// A member that is there and not null.
pub(crate) fn given<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

impl Findings<'_> {
    pub(crate) fn add(
        &mut self,
        code: &'static Code,
        at: At,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> &mut Diagnostic {
        let finding = Diagnostic::new(code, message).in_file(&*self.manifest.file).at(at).help(help);
        self.found.push(finding.source(&self.manifest.text));
        self.found.last_mut().expect("it was just pushed")
    }

    /// The opening brace of an object: its whole span would mark the file.
    pub(crate) fn brace(&self, object: &Value, pointer: &str) -> At {
        self.manifest.at(&(object.span.start..object.span.start + 1), pointer)
    }

    /// A key is missing in `object`. `known` are the keys that may stand there.
    pub(crate) fn missing(&mut self, object: &Value, pointer: &str, key: &str, known: &[Key]) {
        let at = self.brace(object, pointer);
        let (at, help) = self.near_miss(object, pointer, key, known).unwrap_or((at, format!("add `\"{key}\": …`")));
        let owner = if pointer.is_empty() { "the manifest".to_owned() } else { format!("`{pointer}`") };
        self.add(&MANIFEST_KEY_MISSING, at, format!("{owner} has no `{key}`"), help);
    }

    /// A key that nobody knows and that is spelled nearly like the one that is missing.
    fn near_miss(&self, object: &Value, pointer: &str, key: &str, known: &[Key]) -> Option<(At, String)> {
        let unknown = object.members().iter().filter(|m| known.iter().all(|known| known.name != &*m.key));
        let near = |written: &str| strsim::damerau_levenshtein(&written.to_ascii_lowercase(), key) <= 1 + key.len() / 6;
        let member = unknown.filter(|member| !member.key.starts_with('_')).find(|member| near(&member.key))?;
        let at = self.manifest.at(&member.key_span, &child_pointer(pointer, &member.key));
        // The place is that of the key as written; the pointer is that of the object that lacks the right one.
        Some((at.with_pointer(pointer), format!("did you mean `{key}` where `{}` stands?", member.key)))
    }

    fn models(&mut self) {
        let manifest = self.manifest;
        let root = &manifest.root;
        match (given(root, "base_model"), given(root, "base_models")) {
            (Some(_), Some(_)) => {
                let key = root.members().iter().find(|member| &*member.key == "base_model");
                let at = key.map_or(At::File, |member| manifest.at(&member.key_span, ""));
                let help = "keep one of the two: `base_models` where there are several models";
                self.add(&MANIFEST_BOTH_FORMS, at, "`base_model` and `base_models` exclude each other", help);
            }
            (None, None) => {
                let nearly =
                    ["base_model", "base_models"].into_iter().find_map(|key| self.near_miss(root, "", key, ROOT));
                let (at, help) = match nearly {
                    Some((at, _)) => (at, "did you mean `base_model` or `base_models`?"),
                    None => (self.brace(root, ""), "add `\"base_models\": [{ \"name\": …, \"adapters\": […] }]`"),
                };
                self.add(&MANIFEST_KEY_MISSING, at, "the manifest has no `base_model` or `base_models`", help);
            }
            _ => self.form(),
        }
        let prompts = given(root, "soft_prompts").is_some_and(|prompts| !prompts.items().is_empty());
        let mut names = BTreeSet::new();
        for model in &manifest.base_models {
            self.model_name(&model.name, &model.pointer);
            if !model.name.is_empty() && !names.insert(&model.name) {
                let at = manifest.place(&child_pointer(&model.pointer, "name"));
                let help = "give each model its own name, or put its adapters under one";
                self.add(&MANIFEST_MODEL_CLASH, at, format!("the base model `{}` stands twice", model.name), help);
            }
            if !prompts && model.adapters.is_empty() {
                self.no_adapters(&model.pointer);
            }
        }
    }

    /// Does the form fit `schema_version`?
    fn form(&mut self) {
        let manifest = self.manifest;
        let root = &manifest.root;
        let says = given(root, "schema_version").and_then(Value::as_str);
        let (is, other) = match manifest.schema {
            Schema::V1 => ("1.0", "`base_model`"),
            Schema::V2 => ("2.0", "`base_models`"),
        };
        // An unknown version is an error of its own.
        if matches!(says.unwrap_or("1.0"), "1.0" | "2.0") && says.unwrap_or("1.0") != is {
            let at = match says {
                Some(_) => manifest.place("/schema_version"),
                None => self.brace(root, ""),
            };
            let says =
                says.map_or("no `schema_version`, which means 1.0".into(), |says| format!("`schema_version` {says}"));
            let message = format!("the manifest has {other}, but {says}");
            let help = format!("write `\"schema_version\": \"{is}\"`");
            let finding = self.add(&MANIFEST_SCHEMA_FORM, at.clone(), message, help);
            if let (At::Text { start, end, .. }, Some(_)) = (&at, root.get("schema_version")) {
                *finding = finding.clone().edit(*start as usize, *end as usize, format!("\"{is}\""));
            }
        }
        if manifest.schema == Schema::V2 && given(root, "adapters").is_some_and(|list| !list.items().is_empty()) {
            let message = "`adapters` beside `base_models` belong to no model";
            let help = "move them into the model that they are for";
            self.add(&MANIFEST_SCHEMA_FORM, manifest.place("/adapters"), message, help);
        }
    }

    /// `pointer` is that of a model without adapters in an expert without soft prompts.
    fn no_adapters(&mut self, pointer: &str) {
        let manifest = self.manifest;
        let (holder, at) = match manifest.schema {
            Schema::V1 => (&manifest.root, ""),
            Schema::V2 => (manifest.root.pointer(pointer).unwrap_or(&manifest.root), pointer),
        };
        let place = match given(holder, "adapters") {
            // A value of another type is a finding already.
            Some(list) if !list.items().is_empty() || list.kind() != "an array" => return,
            Some(list) => manifest.at(&list.span, &child_pointer(at, "adapters")),
            None => self.brace(holder, at),
        };
        let help = "add an adapter, or a soft prompt for prompt tuning";
        self.add(&ADAPTERS_MISSING, place, "there are neither adapters nor soft prompts", help);
    }

    /// A model is named, not located.
    fn model_name(&mut self, name: &str, pointer: &str) {
        let bytes = name.as_bytes();
        let drive = bytes.len() > 1 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
        let located = ["/", "./", "../", "~/"].iter().any(|start| name.starts_with(start));
        if !(drive || located || name.contains('\\')) {
            return;
        }
        let at = self.manifest.place(&child_pointer(pointer, "name"));
        let short = last_segment(name);
        let help = match short {
            "" | "." | ".." | "~" => "write the model's name".to_owned(),
            _ => format!("write the model's name alone: `{short}`"),
        };
        let message = format!("the base model's name `{name}` is a path of one machine");
        let finding = self.add(&MODEL_NAME_PATH, at.clone(), message, help);
        if let (At::Text { start, end, .. }, false) =
            (at, matches!(short, "" | "." | ".." | "~") || short.ends_with(':'))
        {
            let text = json_write::canonical(&Value::string(short));
            *finding = finding.clone().edit(start as usize, end as usize, text);
        }
    }

    fn expected(&mut self) {
        let root = &self.manifest.root;
        for key in EXPECTED.iter().filter(|key| given(root, key).is_none()) {
            let nearly = self.near_miss(root, "", key, ROOT);
            let (at, help) = nearly.unwrap_or((self.brace(root, ""), format!("add `\"{key}\": …`")));
            self.add(&MANIFEST_KEY_EXPECTED, at, format!("the manifest has no `{key}`"), help);
        }
    }

    /// What an adapter's type asks for. The types of its values were checked.
    pub(crate) fn adapter(&mut self, adapter: &Value, pointer: &str) {
        let kind = adapter.get("type").and_then(Value::as_str);
        if !kind.is_some_and(|kind| PROMPTS.contains(&kind)) && given(adapter, "target_modules").is_none() {
            self.missing(adapter, pointer, "target_modules", ADAPTER);
        }
        let Some(kind) = kind.filter(|kind| !kind.is_empty()) else { return };
        if RANKED.contains(&kind) {
            for key in ["r", "alpha"].into_iter().filter(|key| given(adapter, key).is_none()) {
                self.missing(adapter, pointer, key, ADAPTER);
            }
        } else if kind == UNRANKED {
            let extra: Vec<_> = ["r", "alpha"].into_iter().filter(|key| given(adapter, key).is_some()).collect();
            if !extra.is_empty() {
                let message = format!("an ia3 adapter has no `{}`", extra.join("` or `"));
                let at = self.brace(adapter, pointer);
                self.add(&ADAPTER_IA3_RANK, at, message, "take it out, or correct `type`");
            }
        } else if !PROMPTS.contains(&kind) {
            let types = RANKED.iter().chain([&UNRANKED]).chain(PROMPTS);
            let near = types.copied().find(|known| strsim::damerau_levenshtein(&kind.to_ascii_lowercase(), known) <= 1);
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "known types are lora, dora, ia3, lokr, adalora and prompt_tuning".into(),
            };
            let at = self.manifest.place(&child_pointer(pointer, "type"));
            self.add(&ADAPTER_TYPE_UNKNOWN, at, format!("the adapter type `{kind}` is not known"), help);
        }
        self.hash(adapter, pointer);
    }

    /// `sha256` of an adapter or a model is a hash, or empty.
    pub(crate) fn hash(&mut self, holder: &Value, pointer: &str) {
        let Some(value) = given(holder, "sha256") else { return };
        let Some(text) = value.as_str().filter(|text| !text.is_empty()) else { return };
        if text.parse::<Sha256>().is_err() {
            let at = self.manifest.at(&value.span, &child_pointer(pointer, "sha256"));
            let help = "write 64 hex digits, or an empty text for the build to fill in";
            self.add(&HASH_MALFORMED, at, format!("`{text}` is not a SHA-256"), help);
        }
    }

    /// Texts that must have a form.
    pub(crate) fn form_of(&mut self, form: Form, text: &str, at: At) {
        match form {
            Form::Name => {
                if let Some(why) = name_fault(text) {
                    let help = format!("lower-case letters, digits, `-`, `_` and `.`: `{}`", suggested_name(text));
                    self.add(&MANIFEST_NAME, at, format!("the name `{text}` {why}"), help);
                }
            }
            Form::Version => {
                if let Err(why) = version(text) {
                    self.add(
                        &MANIFEST_VERSION,
                        at,
                        format!("`{text}` is not a semantic version: {why}"),
                        "write three numbers: `1.2.0`",
                    );
                }
            }
            Form::SchemaVersion => {
                if !matches!(text, "1.0" | "2.0") {
                    let message = format!("the schema version `{text}` is unknown");
                    self.add(&MANIFEST_SCHEMA_VERSION, at, message, "write `1.0` or `2.0`");
                }
            }
            Form::PathOrNone if text.is_empty() => {}
            Form::Path | Form::PathOrNone => {
                if let Err(fault) = RelPath::lenient(text) {
                    let help = match fault {
                        PathFault::Character => "separate the parts of a path by `/`",
                        PathFault::Empty | PathFault::NotNormal => "name a file in the expert's folder",
                        _ => "copy the file into the expert's folder and refer to it there",
                    };
                    self.add(
                        &PATH_ESCAPE,
                        at,
                        format!("`{text}` is no path inside the expert's folder: {fault}"),
                        help,
                    );
                }
            }
        }
    }
}

/// Why a text cannot be an expert's name.
fn name_fault(name: &str) -> Option<&'static str> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Some("is empty");
    }
    if let Some(c) = name.chars().find(|c| !fine(*c)) {
        return Some(match c {
            ' ' => "has a space",
            'A'..='Z' => "has an upper-case letter",
            '/' | '\\' => "is a path",
            _ => "has a character that cannot stand in it",
        });
    }
    if name.starts_with(['.', '_', '-']) {
        return Some("does not begin with a letter or digit");
    }
    (name.len() > NAME_MAX).then_some("is too long")
}

fn suggested_name(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars().take(NAME_MAX) {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') && !text.is_empty() => text.push(c),
            _ if !text.is_empty() && !text.ends_with('-') => text.push('-'),
            _ => {}
        }
    }
    let text = text.trim_end_matches('-');
    if text.is_empty() { "expert-sql".into() } else { text.to_owned() }
}

/// A semantic version whose numbers have at most 18 digits, so that every reader can hold them.
fn version(text: &str) -> Result<semver::Version, String> {
    let version = semver::Version::parse(text).map_err(|fault| fault.to_string())?;
    match [version.major, version.minor, version.patch].iter().all(|n| *n < 1_000_000_000_000_000_000) {
        true => Ok(version),
        false => Err("a number is too large".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::base::At;

    const GOOD: &str = r#"{
  "name": "json-parser", "version": "1.0.0", "schema_version": "2.0", "description": "d", "license": "MIT",
  "base_models": [{"name": "Qwen/Qwen3-0.6B", "adapters": [{"type": "lora", "target_modules": ["q_proj"], "r": 8, "alpha": 16}]}],
  "soft_prompts": [], "capabilities": [], "constraints": {}, "training": {}, "perf": {}, "quality_metrics": {"_comment": 1},
  "nobody knows": {"this": ["key"]}
}"#;

    /// Code, pointer and line of every finding.
    fn found(text: &str) -> Vec<(&'static str, String, u32)> {
        let found = read(text.as_bytes(), "manifest.json").1;
        let place = |at: &At| match at {
            At::Text { pointer, line, .. } => (pointer.clone().expect("a pointer"), *line),
            other => panic!("{other:?}"),
        };
        found.iter().map(|d| (d.code.name, place(&d.at).0, place(&d.at).1)).collect()
    }

    #[test]
    fn each_fault_has_its_code_and_place() {
        assert_eq!(found(GOOD), []);
        let adapter = "/base_models/0/adapters/0";
        for (old, new, code, pointer, line) in [
            ("\"r\": 8", "\"r\": \"8\"", "manifest-type", "/base_models/0/adapters/0/r", 3),
            ("[\"q_proj\"]", "[]", "manifest-type", "/base_models/0/adapters/0/target_modules", 3),
            (
                "\"perf\": {}",
                "\"perf\": {\"latency_ms_overhead\": \"3\"}",
                "manifest-value",
                "/perf/latency_ms_overhead",
                4,
            ),
            ("\"capabilities\": []", "\"capabilities\": [1]", "manifest-value", "/capabilities/0", 4),
            (
                "\"constraints\": {}",
                "\"constraints\": {\"load_order\": \"x\"}",
                "manifest-type",
                "/constraints/load_order",
                4,
            ),
            (
                "\"constraints\": {}",
                "\"constraints\": {\"requires\": \"x\"}",
                "manifest-type",
                "/constraints/requires",
                4,
            ),
            ("\"description\"", "\"descripton\"", "manifest-key-missing", "", 2),
            ("\"description\": \"d\",", "", "manifest-key-missing", "", 1),
            ("\"base_models\"", "\"base_modles\"", "manifest-key-missing", "", 3),
            (", \"alpha\": 16", "", "manifest-key-missing", adapter, 3),
            ("\"target_modules\": [\"q_proj\"],", "", "manifest-key-missing", adapter, 3),
            ("\"perf\": {},", "", "manifest-key-expected", "", 1),
            ("json-parser", "SQL Expert", "manifest-name", "/name", 2),
            ("1.0.0", "1.0", "manifest-version", "/version", 2),
            ("2.0", "3.0", "manifest-schema-version", "/schema_version", 2),
            ("2.0", "1.0", "manifest-schema-form", "/schema_version", 2),
            ("\"schema_version\": \"2.0\",", "", "manifest-schema-form", "", 1),
            (
                "\"soft_prompts\"",
                "\"adapters\": [{\"type\": \"p_tuning\"}], \"soft_prompts\"",
                "manifest-schema-form",
                "/adapters",
                4,
            ),
            ("\"soft_prompts\"", "\"base_model\": {\"name\": \"x\"}, \"soft_prompts\"", "manifest-both-forms", "", 4),
            (
                "\"base_models\": [",
                "\"base_models\": [{\"name\": \"Qwen/Qwen3-0.6B\", \"adapters\": [{\"type\": \"p_tuning\"}]}, ",
                "manifest-model-clash",
                "/base_models/1/name",
                3,
            ),
            ("Qwen/Qwen3-0.6B", "/models/Qwen3-0.6B", "model-name-path", "/base_models/0/name", 3),
            ("Qwen/Qwen3-0.6B", "C:\\\\m\\\\Qwen3-0.6B", "model-name-path", "/base_models/0/name", 3),
            (
                "[{\"type\": \"lora\", \"target_modules\": [\"q_proj\"], \"r\": 8, \"alpha\": 16}]",
                "[]",
                "adapters-missing",
                "/base_models/0/adapters",
                3,
            ),
            (
                ", \"adapters\": [{\"type\": \"lora\", \"target_modules\": [\"q_proj\"], \"r\": 8, \"alpha\": 16}]",
                "",
                "adapters-missing",
                "/base_models/0",
                3,
            ),
            ("\"lora\"", "\"LoRA\"", "adapter-type-unknown", "/base_models/0/adapters/0/type", 3),
            ("\"lora\"", "\"ia3\"", "adapter-ia3-rank", adapter, 3),
            ("\"r\": 8", "\"r\": 8, \"sha256\": \"todo\"", "hash-malformed", "/base_models/0/adapters/0/sha256", 3),
            (
                "\"soft_prompts\": []",
                "\"soft_prompts\": [{\"path\": \"../outside.pt\"}]",
                "path-escape",
                "/soft_prompts/0/path",
                4,
            ),
            (
                "\"training\": {}",
                "\"training\": {\"packaging_checkpoint\": \"/tmp\"}",
                "path-escape",
                "/training/packaging_checkpoint",
                4,
            ),
            ("\"MIT\"", "\"mit\"", "license-spelling", "/license", 2),
        ] {
            let text = GOOD.replacen(old, new, 1);
            assert_ne!(text, GOOD, "{old}");
            assert_eq!(found(&text), [(code, pointer.to_owned(), line)], "{new}");
        }
        assert_eq!(found("[]"), [("manifest-type", String::new(), 1)]);
        assert_eq!(found("{\"name\": \"a\",}"), [("json-syntax", String::new(), 1)]);
    }

    #[test]
    fn near_misses_and_edits() {
        let help = |old: &str, new: &str| {
            let found = read(GOOD.replacen(old, new, 1).as_bytes(), "manifest.json").1;
            (found[0].help.clone().expect("help"), found[0].edit.clone().map(|edit| edit.text))
        };
        assert_eq!(help("base_models", "base_modles").0, "did you mean `base_model` or `base_models`?");
        assert_eq!(help("\"version", "\"verison").0, "did you mean `version` where `verison` stands?");
        assert_eq!(
            help("target_modules", "target_module").0,
            "did you mean `target_modules` where `target_module` stands?"
        );
        assert_eq!(help("\"lora", "\"LoRA").0, "did you mean `lora`?");
        assert_eq!(help("2.0", "1.0").1.as_deref(), Some("\"2.0\""));
        assert_eq!(help("Qwen/Qwen3-0.6B", "C:\\\\m\\\\Qwen3-0.6B").1.as_deref(), Some("\"Qwen3-0.6B\""));
        assert_eq!(help("Qwen/Qwen3-0.6B", "/").1, None);
        assert_eq!(help("json-parser", "SQL Expert").0, "lower-case letters, digits, `-`, `_` and `.`: `sql-expert`");
    }

    #[test]
    fn schema_1_0_and_prompt_tuning_need_no_adapters_beside_soft_prompts() {
        let text =
            GOOD.replace("\"base_models\": [{", "\"base_model\": {").replace("16}]}]", "16}]}").replace("2.0", "1.0");
        let prompts = text.replace("\"soft_prompts\": []", "\"soft_prompts\": [{\"path\": \"a.pt\"}]");
        assert_eq!(found(&prompts), []);
        assert_eq!(found(&text), [("adapters-missing", String::new(), 1)]);
    }

    #[test]
    fn ten_thousand_soft_prompts_in_one_line_are_read_in_no_time() {
        let prompts: Vec<String> = (0..10_000).map(|i| format!("{{\"path\": \"../soft_prompts/{i}.pt\"}}")).collect();
        let text = GOOD
            .replace('\n', " ")
            .replace("\"soft_prompts\": []", &format!("\"soft_prompts\": [{}]", prompts.join(",")));
        assert_eq!(found(&text).len(), 10_000);
    }
}
