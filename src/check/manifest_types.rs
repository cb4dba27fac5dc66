//! Walks a manifest along the table of keys: types, ranges, forms of texts, required keys.

use crate::base::Code;
use crate::base::codes::manifest::{MANIFEST_TYPE, MANIFEST_VALUE};
use crate::check::manifest::Findings;
use crate::format::json::{Node, Value, child_pointer};
use crate::format::manifest_keys::{ADAPTER, BASE_MODEL, BASE_MODEL_2, COUNT_MAX, Key, Kind, ROOT};

/// Everything that stands at a known key.
pub(crate) fn check(findings: &mut Findings<'_>) {
    let manifest = findings.manifest;
    object(findings, &manifest.root, "", ROOT);
}

fn object(findings: &mut Findings<'_>, value: &Value, pointer: &str, keys: &'static [Key]) {
    for key in keys {
        match value.get(key.name) {
            None if key.required => findings.missing(value, pointer, key.name, keys),
            None => {}
            Some(member) if member.is_null() && !key.required => {}
            Some(member) => at_key(findings, member, &child_pointer(pointer, key.name), key.kind),
        }
    }
    let of = |table: &[Key]| std::ptr::eq(keys, table);
    if of(BASE_MODEL) || of(BASE_MODEL_2) {
        findings.hash(value, pointer);
    }
    if of(ADAPTER) {
        findings.adapter(value, pointer);
    }
}

fn at_key(findings: &mut Findings<'_>, value: &Value, pointer: &str, kind: Kind) {
    let number = match &value.node {
        Node::Number(_) => value.as_f64(),
        _ => None,
    };
    let fine = match (kind, &value.node) {
        (Kind::Any, _) => true,
        (Kind::Text, Node::String(_)) | (Kind::Flag, Node::Bool(_)) | (Kind::Map, Node::Object(_)) => true,
        (Kind::Score, Node::String(_) | Node::Number(_)) | (Kind::Number, Node::Number(_)) => true,
        (Kind::Word, Node::String(text)) => !text.is_empty(),
        (Kind::Form(form), Node::String(text)) => {
            let at = findings.manifest.at(&value.span, pointer);
            findings.form_of(form, text, at);
            true
        }
        (Kind::Count(from), Node::Number(_)) => value.as_u64().is_some_and(|n| (from..=COUNT_MAX).contains(&n)),
        (Kind::Amount, Node::Number(_)) => number.is_some_and(|n| n >= 0.0),
        (Kind::Positive, Node::Number(_)) => number.is_some_and(|n| n > 0.0),
        (Kind::Share, Node::Number(_)) => number.is_some_and(|n| (0.0..=1.0).contains(&n)),
        (Kind::List(kind, least), Node::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                at_key(findings, item, &format!("{pointer}/{i}"), *kind);
            }
            items.len() >= least
        }
        (Kind::Each(kind), Node::Object(members)) => {
            let described = |key: &str| !key.is_empty() && !key.starts_with('_');
            for member in members.iter().filter(|member| described(&member.key) && !member.value.is_null()) {
                at_key(findings, &member.value, &child_pointer(pointer, &member.key), *kind);
            }
            true
        }
        (Kind::Object(keys), Node::Object(_)) => {
            object(findings, value, pointer, keys);
            true
        }
        (Kind::Adapter, Node::Object(_)) => {
            object(findings, value, pointer, ADAPTER);
            true
        }
        (Kind::TextOr(_), Node::String(_)) => true,
        (Kind::TextOr(other), _) => return at_key(findings, value, pointer, *other),
        _ => false,
    };
    if !fine {
        let key = pointer.rsplit('/').find(|step| step.parse::<usize>().is_err()).unwrap_or_default();
        let item = if pointer.ends_with(key) { "" } else { "an item of " };
        let message = format!("{item}`{key}` is {}, not {}", shown(value), expected(kind));
        let help = format!("write {}, or leave `{key}` out if it is not needed", expected(kind));
        let at = findings.manifest.at(&value.span, pointer);
        findings.add(code(pointer), at, message, help);
    }
}

/// Keys that a build depends on, or that decide what the package is.
fn code(pointer: &str) -> &'static Code {
    const CORE: [&str; 9] = [
        "/name",
        "/version",
        "/schema_version",
        "/description",
        "/base_model",
        "/adapters",
        "/soft_prompts",
        "/constraints",
        "/training/packaging_checkpoint",
    ];
    let core = CORE.iter().any(|start| pointer.starts_with(start)) || pointer == "/training/decoding/grammar_file";
    if core { &MANIFEST_TYPE } else { &MANIFEST_VALUE }
}

/// The value, where it is short; else what kind it is.
fn shown(value: &Value) -> String {
    match &value.node {
        Node::Number(text) if text.len() <= 20 => format!("`{text}`"),
        Node::String(text) if text.is_empty() => "empty".into(),
        Node::Array(items) if items.is_empty() => "an empty list".into(),
        _ => value.kind().to_owned(),
    }
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Form(_) => "a text".into(),
        Kind::Word => "a text that is not empty".into(),
        Kind::Count(0) => "a whole number".into(),
        Kind::Count(from) => format!("a whole number from {from}"),
        Kind::Number => "a number".into(),
        Kind::Amount => "a number from 0".into(),
        Kind::Positive => "a number above 0".into(),
        Kind::Share => "a number from 0 to 1".into(),
        Kind::Flag => "`true` or `false`".into(),
        Kind::List(_, 0) => "a list".into(),
        Kind::List(_, least) => format!("a list of at least {least}"),
        Kind::Object(_) | Kind::Map | Kind::Each(_) | Kind::Adapter => "an object".into(),
        Kind::TextOr(other) => format!("a text or {}", expected(*other)),
        Kind::Score => "a number or a text".into(),
        Kind::Any => "any value".into(),
    }
}
