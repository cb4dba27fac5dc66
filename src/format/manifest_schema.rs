//! `schema`: the JSON Schema (draft 2020-12) of manifests, written from the table of keys.
//!
//! `schema/manifest.schema.json` is this text. It rejects what `check::manifest::check` reports as an error and accepts
//! the rest, with two exceptions that the language cannot say: that models' names differ, and how many bytes a path
//! and its parts may have.

use crate::format::json::{Node, Value};
use crate::format::json_write;
use crate::format::manifest_keys::{
    ADAPTER, BASE_MODEL, BASE_MODEL_2, COUNT_MAX, Form, Key, Kind, NAME_MAX, PROMPTS, RANKED, ROOT, SOFT_PROMPT,
    UNRANKED,
};

/// What a name looks like.
const NAME: &str = "^[a-z0-9][a-z0-9._-]*$";

/// What a version looks like: the expression of semver.org, with numbers that fit 64 bits.
const VERSION: &str = concat!(
    "^(0|[1-9][0-9]{0,17})\\.(0|[1-9][0-9]{0,17})\\.(0|[1-9][0-9]{0,17})",
    "(-(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?",
    "(\\+[0-9a-zA-Z-]+(\\.[0-9a-zA-Z-]+)*)?$"
);

/// What a path inside the expert's folder looks like: neither absolute nor with a drive, no part `..`, no backslash or
/// control character, and at least one part that is a name.
const PATH: &str = concat!(
    "^(?!/)(?![A-Za-z]:)(?!([^/]*/)*\\.\\.(/|$))(?=([^/]*/)*(?!\\.{0,2}(/|$)))",
    "[^\\\\\\u0000-\\u001f\\u007f]+$"
);

/// The text of `schema/manifest.schema.json`.
pub fn schema() -> String {
    let mut root = object(ROOT);
    let head = [
        ("$schema", text("https://json-schema.org/draft/2020-12/schema")),
        ("title", text("Manifest of an expert")),
        (
            "description",
            text(
                "What an expert (an adapter for a language model) is: `manifest.json` in its folder and in its package. \
                 Schema 1.0 has `base_model` and `adapters`, schema 2.0 has `base_models`. Keys that are not described \
                 here are kept and never rejected; null counts as absent where a key may be absent.",
            ),
        ),
    ];
    let Node::Object(members) = std::mem::replace(&mut root.node, Node::Null) else { return String::new() };
    let mut all = Value::object(head.map(|(key, value)| (key.into(), value)));
    for member in members {
        all.set(&member.key, member.value);
    }
    all.set("oneOf", list([only("base_model", "base_models"), only("base_models", "base_model")]));
    all.set("anyOf", list(changes_something()));
    let mut adapter = object(ADAPTER);
    adapter.set("allOf", list(adapter_rules()));
    let defs = [
        ("base_model", object(BASE_MODEL)),
        ("base_model_2", object(BASE_MODEL_2)),
        ("adapter", adapter),
        ("soft_prompt", object(SOFT_PROMPT)),
    ];
    all.set("$defs", Value::object(defs.map(|(key, value)| (key.into(), value))));
    json_write::pretty(&all)
}

fn text(text: &str) -> Value {
    Value::string(text)
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::made(Node::Array(items.into_iter().collect()))
}

fn texts(items: &[&str]) -> Value {
    list(items.iter().map(|item| text(item)))
}

fn of<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::object(members.map(|(key, value)| (key.into(), value)))
}

fn number(n: u64) -> Value {
    Value::number(n)
}

/// A schema for the members of an object.
fn properties(keys: &[Key]) -> Value {
    Value::object(keys.iter().map(|key| {
        let mut schema = of([("description", text(key.doc))]);
        for member in value(key.kind, !key.required).members() {
            schema.set(&member.key, member.value.clone());
        }
        (key.name.into(), schema)
    }))
}

fn object(keys: &[Key]) -> Value {
    let mut schema = of([("type", text("object"))]);
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    if !required.is_empty() {
        schema.set("required", texts(&required));
    }
    schema.set("properties", properties(keys));
    schema
}

/// The objects that stand under `$defs`, by their table.
fn shared(keys: &'static [Key]) -> Option<&'static str> {
    let known: [(&[Key], &str); 3] =
        [(BASE_MODEL, "base_model"), (BASE_MODEL_2, "base_model_2"), (SOFT_PROMPT, "soft_prompt")];
    known.iter().find(|(table, _)| std::ptr::eq(*table, keys)).map(|(_, name)| *name)
}

fn reference(name: &str) -> Value {
    of([("$ref", text(&format!("#/$defs/{name}")))])
}

fn value(kind: Kind, null: bool) -> Value {
    let typed = |name: &str| of([("type", if null { texts(&[name, "null"]) } else { text(name) })]);
    let with = |name: &str, key: &str, bound: Value| {
        let mut schema = typed(name);
        schema.set(key, bound);
        schema
    };
    let or_null = |schema: Value| match null {
        true => of([("anyOf", list([schema, of([("type", text("null"))])]))]),
        false => schema,
    };
    match kind {
        Kind::Text => typed("string"),
        Kind::Word => with("string", "minLength", number(1)),
        Kind::Form(form) => form_schema(form, typed("string")),
        Kind::Count(from) => {
            let mut schema = with("integer", "minimum", number(from));
            schema.set("maximum", number(COUNT_MAX));
            schema
        }
        Kind::Number => typed("number"),
        Kind::Amount => with("number", "minimum", number(0)),
        Kind::Positive => with("number", "exclusiveMinimum", number(0)),
        Kind::Share => {
            let mut schema = with("number", "minimum", number(0));
            schema.set("maximum", number(1));
            schema
        }
        Kind::Flag => typed("boolean"),
        Kind::List(item, least) => {
            let mut schema = with("array", "items", value(*item, false));
            if least > 0 {
                schema.set("minItems", number(least as u64));
            }
            schema
        }
        Kind::Object(keys) => match shared(keys) {
            Some(name) => or_null(reference(name)),
            None => {
                let mut schema = object(keys);
                if null {
                    schema.set("type", texts(&["object", "null"]));
                }
                schema
            }
        },
        Kind::Map => typed("object"),
        Kind::Each(of_each) => with("object", "patternProperties", of([("^[^_]", value(*of_each, true))])),
        Kind::TextOr(other) => {
            let mut either = vec![of([("type", text("string"))]), value(*other, false)];
            if null {
                either.push(of([("type", text("null"))]));
            }
            of([("anyOf", list(either))])
        }
        Kind::Score => of([("type", texts(if null { &["number", "string", "null"] } else { &["number", "string"] }))]),
        Kind::Any => of([]),
        Kind::Adapter => or_null(reference("adapter")),
    }
}

fn form_schema(form: Form, mut schema: Value) -> Value {
    match form {
        Form::Name => {
            schema.set("pattern", text(NAME));
            schema.set("maxLength", number(NAME_MAX as u64));
        }
        Form::Version => schema.set("pattern", text(VERSION)),
        Form::SchemaVersion => {
            schema.set("enum", list([text("1.0"), text("2.0"), Value::made(Node::Null)]));
        }
        Form::Path => schema.set("pattern", text(PATH)),
        Form::PathOrNone => schema.set("pattern", text(&format!("^$|{PATH}"))),
    }
    schema
}

fn null() -> Value {
    of([("type", text("null"))])
}

fn given(keys: &[&str]) -> Value {
    let not_null = || of([("not", null())]);
    of([("required", texts(keys)), ("properties", Value::object(keys.iter().map(|key| ((*key).into(), not_null()))))])
}

/// This key and not that one.
fn only(this: &str, that: &str) -> Value {
    let mut schema = given(&[this]);
    schema.get_mut("properties").expect("it was just made").set(that, null());
    schema
}

fn filled(key: &str) -> Value {
    let some = of([("type", text("array")), ("minItems", number(1))]);
    of([("required", texts(&[key])), ("properties", of([(key, some)]))])
}

/// Soft prompts, or adapters for every model.
fn changes_something() -> [Value; 3] {
    let mut one = filled("adapters");
    one.get_mut("properties").expect("it was just made").set("base_models", null());
    let each = of([("type", text("array")), ("items", filled("adapters"))]);
    let many = of([("required", texts(&["base_models"])), ("properties", of([("base_models", each)]))]);
    [filled("soft_prompts"), one, many]
}

fn adapter_rules() -> [Value; 3] {
    let is = |types: Value| of([("required", texts(&["type"])), ("properties", of([("type", of([("enum", types)]))]))]);
    let neither = of([("properties", of([("r", null()), ("alpha", null())]))]);
    [
        of([("if", is(texts(RANKED))), ("then", given(&["r", "alpha"]))]),
        of([("if", is(texts(&[UNRANKED]))), ("then", neither)]),
        of([("if", is(texts(PROMPTS))), ("else", given(&["target_modules"]))]),
    ]
}
