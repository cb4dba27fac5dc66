//! The manifest end to end: real and wrong ones get their verdicts, and the JSON schema gives the same ones.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

mod fixtures;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expert_build::base::{At, Diagnostic, RelPath, Severity, Sha256};
use expert_build::check::{licence, manifest, manifest_files};
use expert_build::format::json_write::pretty;
use expert_build::format::licence::{Licence, recognise};
use expert_build::format::manifest::{Adapter, Manifest};
use expert_build::format::manifest_compose::{Composed, PackageInfo, compose};
use expert_build::format::manifest_schema::schema;

fn folders(below: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

fn pointer(found: &Diagnostic) -> Option<&str> {
    match &found.at {
        At::Text { pointer, .. } => pointer.as_deref(),
        _ => None,
    }
}

/// Manifests that must give no error, by name.
fn good(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = folders(&dir.join("experts")).iter().map(|path| path.join("manifest.json")).collect();
    assert!(paths.len() >= 8, "the fixtures have eight good experts");
    paths.push(dir.join("public/expert-sql/manifest.json"));
    paths.push(dir.join("public/hivellm-expert/manifest_v1.json"));
    paths.push(dir.join("public/hivellm-expert/manifest_v2.json"));
    paths.into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn the_schema_on_disk_is_the_one_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/manifest.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, schema()).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == schema(), "run this test with UPDATE_SCHEMA=1 to write it");
}

#[test]
fn good_manifests_have_no_error_and_sensible_warnings() {
    let Some(dir) = fixtures::dir() else { return };
    for (name, bytes) in good(&dir) {
        let (read, found) = manifest::read(&bytes, "manifest.json");
        let read = read.unwrap();
        let codes: Vec<&str> = found.iter().map(|d| d.code.name).collect();
        let expected: &[&str] = if name.contains("expert-sql") {
            &["license-spelling", "model-name-path"]
        } else if name.contains("trained-checkpoints") {
            &["model-name-path"]
        } else if name.contains("manifest_v1") {
            &[
                "hash-malformed",
                "hash-malformed",
                "manifest-key-expected",
                "manifest-key-expected",
                "manifest-key-expected",
            ]
        } else if name.contains("manifest_v2") {
            &[
                "hash-malformed",
                "hash-malformed",
                "hash-malformed",
                "hash-malformed",
                "manifest-key-expected",
                "manifest-key-expected",
                "manifest-key-expected",
            ]
        } else {
            &[]
        };
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "{name}: {found:#?}");
        assert!(found.iter().all(|d| d.severity < Severity::Error && d.help.is_some()), "{name}: {found:#?}");
        assert!(!read.name.is_empty() && read.semver.is_some() && !read.base_models.is_empty());
    }
}

#[test]
fn the_safe_edit_of_a_model_name_mends_it() {
    let Some(dir) = fixtures::dir() else { return };
    let bytes = std::fs::read(dir.join("public/expert-sql/manifest.json")).unwrap();
    let (_, found) = manifest::read(&bytes, "manifest.json");
    let finding = found.iter().find(|d| d.code.name == "model-name-path").unwrap();
    let edit = finding.edit.clone().unwrap();
    let mut mended = bytes;
    mended.splice(edit.start as usize..edit.end as usize, edit.text.bytes());
    let (read, found) = manifest::read(&mended, "manifest.json");
    assert_eq!(read.unwrap().base_models[0].name, "Qwen3-0.6B");
    assert_eq!(
        found.iter().map(|d| (d.code.name, d.severity)).collect::<Vec<_>>(),
        [("license-spelling", Severity::Note)]
    );
}

/// What one of the wrong experts gets, from all rules of the manifest and its files.
fn verdict(expert: &Path) -> Vec<Diagnostic> {
    let bytes = std::fs::read(expert.join("manifest.json")).unwrap();
    let (read, mut found) = manifest::read(&bytes, "manifest.json");
    let Some(read) = read else { return found };
    found.extend(manifest_files::missing(&read, |path| path.under(expert).is_file()));
    let weights = RelPath::new("adapter_model.safetensors").unwrap();
    for adapter in read.adapters() {
        if let Ok(bytes) = std::fs::read(weights.under(expert)) {
            let size = bytes.len() as u64;
            found.extend(manifest_files::size(&read, adapter, &weights, size));
            found.extend(manifest_files::weights(&read, adapter, &weights, Sha256::of(&bytes), size));
        }
    }
    let files = ["README.md", "LICENSE", "adapter_model.safetensors"].map(|name| {
        let bytes = std::fs::read(expert.join(name)).unwrap_or_default();
        (RelPath::new(name).unwrap(), Sha256::of(&bytes))
    });
    found.extend(manifest_files::integrity(&read, &BTreeMap::from(files)));
    found
}

#[test]
fn wrong_experts_get_their_findings_and_no_other() {
    let Some(dir) = fixtures::dir() else { return };
    let cases = folders(&dir.join("experts-bad"));
    assert_eq!(cases.len(), 26);
    let mut compared = 0;
    for case in cases {
        let expect: toml::Table = std::fs::read_to_string(case.join("EXPECT.toml")).unwrap().parse().unwrap();
        let mut expected = Vec::new();
        for finding in expect.get("finding").and_then(|list| list.as_array()).into_iter().flatten() {
            let text = |key: &str| finding.get(key).and_then(|value| value.as_str());
            let ours = matches!(
                text("kind").unwrap(),
                "schema"
                    | "json-bom"
                    | "json-duplicate-key"
                    | "json-syntax"
                    | "path-escape"
                    | "integrity-stale"
                    | "sha256"
                    | "size"
            ) || text("kind") == Some("file-missing") && text("pointer").is_some();
            // A link is nothing that a manifest can tell.
            if ours && text("file") != Some("LICENSE") {
                expected.push((text("severity").unwrap().to_owned(), text("pointer").map(str::to_owned)));
            }
        }
        compared += expected.len();
        let found = verdict(&case.join("expert"));
        let got: Vec<_> = found
            .iter()
            .map(|d| {
                let severity = if d.severity == Severity::Error { "error" } else { "warning" };
                // Faults of syntax have a place and no pointer that the ledger names.
                let pointer = pointer(d).filter(|_| !matches!(d.code.name, "json-syntax" | "json-bom"));
                (severity.to_owned(), pointer.map(str::to_owned))
            })
            .collect();
        assert_eq!(got, expected, "{}: {found:#?}", case.display());
        assert!(found.iter().all(|d| matches!(d.at, At::Text { line: 1.., .. })), "{found:#?}");
    }
    assert!(compared >= 12, "{compared}");
}

fn errors(found: &[Diagnostic]) -> Vec<String> {
    let errors = found.iter().filter(|d| d.severity == Severity::Error);
    errors.map(|d| format!("{} {:?}: {}", d.code.name, pointer(d), d.message)).collect()
}

/// A manifest of this form with every key of the table, each with a value that is right.
fn full(form: &str) -> serde_json::Value {
    use expert_build::format::manifest_keys::{ADAPTER, Form, Key, Kind, ROOT};
    fn object(keys: &[Key]) -> serde_json::Value {
        serde_json::Value::Object(keys.iter().map(|key| (key.name.to_owned(), value(key.kind))).collect())
    }
    fn value(kind: Kind) -> serde_json::Value {
        match kind {
            Kind::Text | Kind::Word | Kind::Score => "lora".into(),
            Kind::Form(Form::Name) => "json-parser".into(),
            Kind::Form(Form::Version) => "1.2.3".into(),
            Kind::Form(Form::SchemaVersion) => "2.0".into(),
            Kind::Form(Form::Path | Form::PathOrNone) => "a/b.pt".into(),
            Kind::Count(from) => (from + 1).into(),
            Kind::Number | Kind::Amount | Kind::Positive | Kind::Share => 0.5.into(),
            Kind::Flag => true.into(),
            Kind::List(item, _) => vec![value(*item)].into(),
            Kind::Object(keys) => object(keys),
            Kind::Map | Kind::Any => serde_json::json!({"x": 1}),
            Kind::Each(of) => serde_json::json!({"x": value(*of), "_comment": [1], "": 1}),
            Kind::TextOr(other) => value(*other),
            Kind::Adapter => object(ADAPTER),
        }
    }
    let mut root = object(ROOT);
    let other = if form == "base_model" { "base_models" } else { "base_model" };
    root.as_object_mut().unwrap().remove(other);
    root["license"] = "MIT".into();
    root
}

fn pointers(value: &serde_json::Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), all))
        }
        serde_json::Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), all));
        }
        _ => {}
    }
}

fn delete(root: &mut serde_json::Value, pointer: &str) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match root.pointer_mut(parent) {
        Some(serde_json::Value::Object(map)) => drop(map.remove(last)),
        Some(serde_json::Value::Array(list)) => drop(list.remove(last.parse::<usize>().unwrap())),
        _ => {}
    }
}

#[test]
fn the_schema_and_the_checks_give_the_same_verdicts() {
    use serde_json::json;
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut verdicts = [0, 0];
    let mut compare = |document: &serde_json::Value, what: &str| {
        let text = serde_json::to_vec(document).unwrap();
        let (_, found) = manifest::read(&text, "manifest.json");
        let errors = errors(&found);
        let by_schema = validator.is_valid(document);
        verdicts[usize::from(by_schema)] += 1;
        assert_eq!(
            errors.is_empty(),
            by_schema,
            "{what}\nchecks: {errors:#?}\nschema: {:?}",
            validator.iter_errors(document).map(|e| e.to_string()).collect::<Vec<_>>()
        );
    };
    let wrong = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(1.5),
        json!(-0.0),
        json!(3.0),
        json!(1e300),
        json!(9_007_199_254_740_993_u64),
        json!(""),
        json!("x y"),
        json!("../x"),
        json!([]),
        json!([1]),
        json!([""]),
        json!([null]),
        json!({}),
        json!({"name": "m"}),
    ];
    let two: Vec<serde_json::Value> = ["base_model", "base_models"].map(full).into();
    for document in &two {
        compare(document, "full");
        let mut all = Vec::new();
        pointers(document, "", &mut all);
        assert!(all.len() > 200);
        for pointer in &all {
            // What the two forms share was compared with the first.
            let shared = document["base_models"].is_array() && !pointer.starts_with("/base_models");
            for value in wrong.iter().take(if shared { 2 } else { wrong.len() }) {
                let mut changed = document.clone();
                *changed.pointer_mut(pointer).unwrap() = value.clone();
                compare(&changed, &format!("{pointer} = {value}"));
            }
            if !pointer.is_empty() {
                let mut changed = document.clone();
                delete(&mut changed, pointer);
                compare(&changed, &format!("without {pointer}"));
            }
        }
    }
    // What depends on two places at once.
    for document in &two {
        for prompts in [json!(null), json!([]), json!([{"path": "a.pt"}])] {
            for adapters in [json!(null), json!([]), json!([{"type": "prompt_tuning"}]), json!([{"type": "lora"}])] {
                for (model, models) in [
                    (json!({"name": "a", "adapters": adapters}), json!([{"name": "b", "adapters": adapters}])),
                    (json!({"name": "a"}), json!(null)),
                    (json!(null), json!([{"name": "b", "adapters": adapters}, {"name": "c"}])),
                    (json!(null), json!(null)),
                    (json!(null), json!([])),
                ] {
                    let mut changed = document.clone();
                    changed["soft_prompts"] = prompts.clone();
                    changed["adapters"] = adapters.clone();
                    changed["base_model"] = model.clone();
                    changed["base_models"] = models.clone();
                    compare(&changed, "forms");
                    for (key, value) in [("base_model", &model), ("base_models", &models)] {
                        if value.is_null() {
                            let mut without = changed.clone();
                            delete(&mut without, &format!("/{key}"));
                            compare(&without, "forms");
                        }
                    }
                }
            }
        }
    }
    let mut document = full("base_model");
    for kind in ["lora", "dora", "lokr", "adalora", "ia3", "prompt_tuning", "p_tuning", "LoRA", "other", ""] {
        for r in [None, Some(json!(null)), Some(json!(8)), Some(json!("8"))] {
            for alpha in [None, Some(json!(null)), Some(json!(0.5)), Some(json!(0))] {
                for target in [None, Some(json!(null)), Some(json!([])), Some(json!(["q_proj"]))] {
                    let mut adapter = json!({"type": kind});
                    for (key, value) in [("r", &r), ("alpha", &alpha), ("target_modules", &target)] {
                        if let Some(value) = value {
                            adapter[key] = value.clone();
                        }
                    }
                    let what = adapter.to_string();
                    document["adapters"] = json!([adapter]);
                    compare(&document, &what);
                }
            }
        }
    }
    let mut document = full("base_models");
    for name in [
        "json-parser",
        "a",
        "0",
        "-a",
        ".a",
        "_a",
        "a_b.c",
        "A",
        "SQL Expert",
        "a/b",
        "é",
        "a\n",
        &"a".repeat(100),
        &"a".repeat(101),
    ] {
        document["name"] = json!(name);
        compare(&document, name);
    }
    document["name"] = json!("a");
    for version in [
        "1.2.0",
        "1.2",
        "v1.2.0",
        "01.2.0",
        "1.2.0-rc.1",
        "1.2.0-",
        "1.2.0-01",
        "1.2.0-0a",
        "1.2.0+b.1",
        "1.2.0+",
        "1.2.0-a+b",
        "1.2.0\n",
        "999999999999999999.0.0",
        "1000000000000000000.0.0",
        "99999999999999999999999.0.0",
        "1.0.0-99999999999999999999999",
        "",
        " 1.2.0",
        "1.2.x",
        "1.2.0-a..b",
        "1.2.0-é",
    ] {
        document["version"] = json!(version);
        compare(&document, version);
    }
    document["version"] = json!("1.0.0");
    for path in [
        "a", "a/b", "./a", "a//b", "a/", "/a", "//", ".", "./", "..", "a/..", "../a", "a/../b", "...", "a/...", "..a",
        "a..", "C:", "C:/a", "c:a", "1:a", "é:a", "a:b", "a\\b", "\\a", "a\tb", "a\nb", "a\n", "\u{7f}", "é/ü",
        "././.", " ", "a/./b", ".a", "./..", "./../a",
    ] {
        document["soft_prompts"][0]["path"] = json!(path);
        compare(&document, path);
    }
    if let Some(dir) = fixtures::dir() {
        for (name, bytes) in good(&dir) {
            let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            compare(&document, &name);
            let mut all = Vec::new();
            pointers(&document, "", &mut all);
            for pointer in all.iter().filter(|pointer| !pointer.is_empty()) {
                let mut changed = document.clone();
                delete(&mut changed, pointer);
                compare(&changed, &format!("{name} without {pointer}"));
            }
        }
        for case in folders(&dir.join("experts-bad")) {
            // Faults of the JSON itself are nothing that a schema can see.
            let bytes = std::fs::read(case.join("expert/manifest.json")).unwrap();
            if expert_build::format::json::parse(&bytes).is_ok() {
                compare(&serde_json::from_slice(&bytes).unwrap(), &case.display().to_string());
            }
        }
    }
    assert!(verdicts[0] > 3_000 && verdicts[1] > 1_000, "both verdicts were compared: {verdicts:?}");
}

#[test]
fn licence_texts_of_real_experts() {
    let Some(dir) = fixtures::dir() else { return };
    let path = RelPath::new("LICENSE").unwrap();
    let mut experts = folders(&dir.join("experts"));
    experts.extend(folders(&dir.join("experts-bad")).iter().map(|case| case.join("expert")));
    experts.push(dir.join("public/expert-sql"));
    let mut seen = 0;
    for expert in experts {
        let (Ok(text), Ok(bytes)) =
            (std::fs::read(expert.join("LICENSE")), std::fs::read(expert.join("manifest.json")))
        else {
            continue;
        };
        let Some(read) = manifest::read(&bytes, "manifest.json").0 else { continue };
        assert_eq!(licence::texts(&read, &[(path.clone(), &text)]), [], "{}", expert.display());
        seen += 1;
    }
    assert!(seen > 25, "{seen}");
}

/// The texts that Debian ships with every system.
#[test]
fn common_licence_texts_are_told_apart() {
    let texts = Path::new("/usr/share/common-licenses");
    for (file, id) in [
        ("Apache-2.0", "Apache-2.0"),
        ("BSD", "BSD-3-Clause"),
        ("CC0-1.0", "CC0-1.0"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-3", "GPL-3.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-or-later"),
        ("LGPL-3", "LGPL-3.0"),
        ("MPL-2.0", "MPL-2.0"),
    ] {
        let Ok(text) = std::fs::read_to_string(texts.join(file)) else {
            eprintln!("SKIPPED: no {file} among the system's licence texts");
            continue;
        };
        let told = recognise(&text);
        let families = Licence::read(id).unwrap().families().unwrap();
        assert_eq!(told, families, "{file}");
    }
}

/// Composes the packages of an expert with weights that could be any.
fn composed(read: &Manifest, model: Option<&str>) -> expert_build::base::Result<Composed> {
    let sha = |adapter: &Adapter| adapter.sha256.unwrap_or(Sha256::of(b"w"));
    let chosen = match model {
        Some(name) => read.model(name),
        None => read.base_models.first(),
    };
    let adapters = chosen.map(|model| model.adapters.as_slice()).unwrap_or_default();
    let path = |i: usize| RelPath::new(format!("adapter_model{i}.safetensors")).unwrap();
    let weights = adapters.iter().enumerate().map(|(i, adapter)| (adapter.pointer.clone(), path(i))).collect();
    let files = adapters.iter().enumerate().map(|(i, a)| (path(i), (sha(a), a.size_bytes.unwrap_or(1)))).collect();
    let package = PackageInfo {
        compression: "zstd",
        level: 3,
        model,
        publisher: None,
        pubkey: None,
        created_at: Some("1980-01-01T00:00:00Z"),
        weights: &weights,
        moved: &BTreeMap::new(),
    };
    compose(read, &package, &files)
}

#[test]
fn packages_keep_every_key_and_value_of_the_source() {
    let Some(dir) = fixtures::dir() else { return };
    for (name, bytes) in good(&dir) {
        let read = manifest::read(&bytes, "manifest.json").0.unwrap();
        let malformed = read.adapters().any(|adapter| {
            let hash = read.root.pointer(&format!("{}/sha256", adapter.pointer)).and_then(|value| value.as_str());
            hash.is_some_and(|hash| !hash.is_empty()) && adapter.sha256.is_none()
        });
        for model in &read.base_models {
            let model = (read.base_models.len() > 1).then_some(model.name.as_str());
            if malformed {
                assert!(composed(&read, model).is_err(), "{name}");
                continue;
            }
            let made = composed(&read, model).unwrap();
            assert_eq!(made, composed(&read, model).unwrap());
            let (again, found) = manifest::read(made.text().as_bytes(), "manifest.json");
            assert_eq!(errors(&found), [""; 0], "{name}: a package's manifest is a manifest");
            let again = again.unwrap();
            assert_eq!(again.base_models.len(), 1);
            if let Some(model) = model {
                assert_eq!(again.base_models[0].name, model);
            }
            let before: Vec<&str> = read.root.members().iter().map(|member| &*member.key).collect();
            let after: Vec<&str> = again.root.members().iter().map(|member| &*member.key).collect();
            assert_eq!(after[..before.len()], before, "{name}");
            assert_eq!(after[before.len()..], ["package", "integrity"], "{name}");
            // All that an adapter or the choice of a model may change is under these keys.
            for member in read.root.members().iter().filter(|m| !matches!(&*m.key, "base_models" | "adapters")) {
                let kept = again.root.get(&member.key).unwrap();
                assert_eq!(pretty(kept), pretty(&member.value), "{name} {}", member.key);
            }
            for (adapter, source) in
                again.adapters().zip(read.model(&again.base_models[0].name).unwrap().adapters.iter())
            {
                assert!(adapter.sha256.is_some() && adapter.size_bytes.is_some());
                assert_eq!((adapter.r, adapter.alpha, &adapter.kind), (source.r, source.alpha, &source.kind));
            }
        }
    }
}
