//! `schema/expertfile.schema.json` is made from the Rust types, and accepts what they accept.

#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

use expert_build::spec::Expertfile;

use crate::resolve::REFERENCE;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/expertfile.schema.json");

#[test]
fn the_file_is_up_to_date() {
    let made = expert_build::spec::schema();
    if std::env::var_os("EXPERT_BUILD_BLESS").is_some() {
        std::fs::write(PATH, &made).unwrap();
    }
    let stored = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(stored == made, "schema/expertfile.schema.json is stale: run the tests with EXPERT_BUILD_BLESS=1");
}

/// What the schema says about a TOML text.
fn accepted(text: &str) -> bool {
    let schema: serde_json::Value = serde_json::from_str(&expert_build::spec::schema()).unwrap();
    let value: toml::Value = toml::from_str(text).unwrap();
    jsonschema::draft202012::new(&schema).unwrap().is_valid(&serde_json::to_value(value).unwrap())
}

#[test]
fn schema_and_program_agree() {
    for (text, expected) in [
        (REFERENCE, true),
        ("", true),
        ("[defaults]\ncompression = 'none'", true),
        ("[defaults]\nextend-include = ['x']", true),
        ("[defaults]\nmodels = ['x']\nbudget = 100\nkey = { env = 'K' }", true),
        ("[profile.x]\ninherits = 'x'\ncache.dir = 'x'\nlints.preset = 'strict'", true),
        ("[defaults]\ncompression = 'rar'", false),
        ("[defaults]\nwieghts = 'x'", false),
        ("[defaults]\npath = 'x'", false),
        ("[defaults]\nmodels = 'some'", false),
        ("[defaults]\nmodels = []", false),
        ("[defaults]\nlints.nonsense = 'deny'", false),
        ("[defaults]\nlints.path-escape = 'allow'", false),
        ("[defaults]\ntests = 'yes'", false),
        ("[defaults]\nbudget = '80 mib'", false),
        ("[defaults]\ngrowth = '25'", false),
        ("[defaults]\nkey = { file = 'K' }", false),
        ("[defaults]\nname = 'a/b'", false),
        ("[expert]\npath = '.'", false),
        ("[cache.remote]\nurl = 'ftp://x'", false),
        ("[cache.remote]\nwrite = 'sometimes'", false),
        ("[workspace]\nmembers = 'x'", false),
        ("unknown = 1", false),
    ] {
        assert_eq!(accepted(text), expected, "the schema on {text}");
        assert_eq!(Expertfile::read("Expertfile.toml", text, None).is_ok(), expected, "the program on {text}");
    }
}

#[test]
fn every_key_is_described() {
    fn walk(at: &str, value: &serde_json::Value) {
        for (key, property) in value.get("properties").and_then(|p| p.as_object()).into_iter().flatten() {
            let text = property["description"].as_str().unwrap_or("");
            assert!(text.len() > 8, "{at}.{key} has no description");
            walk(&format!("{at}.{key}"), property);
        }
    }
    let schema: serde_json::Value = serde_json::from_str(&expert_build::spec::schema()).unwrap();
    walk("", &schema);
    for (name, table) in schema["$defs"].as_object().unwrap() {
        walk(name, table);
    }
}
