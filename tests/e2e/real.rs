//! The shared fixtures: every good expert builds, every bad one gets the verdict that its ledger names.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use expert_build::base::event::Observer;
use expert_build::base::{At, Diagnostic, Event, Severity};
use expert_build::ops::build::{Options, Report, build};
use expert_build::ops::workspace::{Setup, Workspace};
use serde_json::Value;

use crate::archive::{content, entries, manifest, sha256};
use crate::space::{Space, files_below};
use crate::{expert, fixtures};

struct Findings(Vec<Diagnostic>);

impl Observer for Findings {
    fn on(&mut self, event: &Event) {
        if let Event::Diagnostic(found) = event {
            self.0.push((**found).clone());
        }
    }
}

fn folders(top: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(top).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> =
        entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(!names.is_empty(), "nothing in {}", top.display());
    names
}

fn checked(space: &Space, folder: &str) -> (Report, Vec<Diagnostic>) {
    let setup = Setup { directory: space.path(folder), cache_dir: space.outer("cache"), ..Setup::default() };
    let workspace = Workspace::open(setup).unwrap();
    let options = Options { jobs: 2, keep_going: true, check: true, ..Options::default() };
    let mut found = Findings(Vec::new());
    let report = build(&workspace, &workspace.defaults(), &options, &AtomicBool::new(false), &mut found).unwrap();
    (report, found.0)
}

#[test]
fn every_good_expert_builds_and_again_with_nothing_to_do() {
    let Some(dir) = fixtures::dir() else { return };
    let space = Space::new();
    let names = folders(&dir.join("experts"));
    for name in &names {
        space.copy(&dir.join("experts").join(name), &format!("experts/{name}"));
    }
    space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n");
    space.run("build -k").ok();
    let packages = space.packages();
    for name in &names {
        let of = format!("experts/{name}/weights/{name}");
        let own: Vec<&String> = packages.keys().filter(|p| p.starts_with(&of) && p.ends_with(".expert")).collect();
        let source: Value = serde_json::from_slice(&space.read(&format!("experts/{name}/manifest.json"))).unwrap();
        let models = source["base_models"].as_array().map_or(1, Vec::len);
        assert_eq!(own.len(), models, "{name}: {own:?}");
        for path in own {
            for entry in entries(&packages[path]) {
                let debris = ["checkpoint-", "optimizer", "rng_state", "trainer_state", "training_args"];
                assert!(!debris.iter().any(|word| entry.path.contains(word)), "{path}: {}", entry.path);
            }
        }
    }
    let before = space.outputs();
    space.run("build").ok();
    assert_eq!(space.outputs(), before);
    space.run("build --frozen").ok();
}

#[test]
fn good_experts_have_no_error_and_no_warning() {
    let Some(dir) = fixtures::dir() else { return };
    for name in folders(&dir.join("experts")) {
        let space = Space::new();
        space.copy(&dir.join("experts").join(&name), "");
        let (report, found) = checked(&space, "");
        assert!(report.failed.is_empty(), "{name}: {found:#?}");
        let loud: Vec<&str> = found.iter().filter(|d| d.severity != Severity::Note).map(|d| d.code.name).collect();
        // This one's base model is named `F:/models/…`, as published manifests do.
        let expected: &[&str] = if name == "expert-trained-checkpoints" { &["model-name-path"] } else { &[] };
        assert_eq!(loud, expected, "{name}: {found:#?}");
    }
}

#[test]
fn a_published_manifest_builds_and_keeps_every_key() {
    let Some(dir) = fixtures::dir() else { return };
    let space = Space::new();
    space.copy(&dir.join("public/expert-sql"), "");
    let modules = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"];
    let weights = expert::lora("sql", 2, 12, &modules, 16, true);
    space.write("adapter_model.safetensors", &weights);
    space.run("build").ok().did([1, 0, 0, 0]);
    let package = space.read("weights/expert-sql.v0.3.0.expert");
    assert_eq!(content(&package, "adapter_model.safetensors"), weights);
    assert_eq!(content(&package, "LICENSE"), space.read("LICENSE"));
    assert_eq!(content(&package, "grammar.gbnf"), space.read("grammar.gbnf"));

    let source: Value = serde_json::from_slice(&space.read("manifest.json")).unwrap();
    let packed = manifest(&package);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    leaves("", &source, &mut before);
    leaves("", &packed, &mut after);
    let adapter = "/base_models/0/adapters/0";
    for (pointer, value) in before {
        let now = after.iter().find(|(p, _)| *p == pointer).unwrap_or_else(|| panic!("{pointer} is lost")).1.clone();
        if pointer == format!("{adapter}/sha256") {
            assert_eq!(now, Value::String(sha256(&weights)));
        } else if pointer == format!("{adapter}/size_bytes") {
            assert_eq!(now, Value::from(weights.len()));
        } else {
            assert_eq!(now, value, "{pointer}");
        }
    }
    let order = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&packed)[..order(&source).len()], order(&source)[..], "the order of keys");
}

fn leaves(pointer: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| leaves(&format!("{pointer}/{key}"), value, into));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(i, value)| leaves(&format!("{pointer}/{i}"), value, into));
        }
        _ => into.push((pointer.to_owned(), value.clone())),
    }
}

#[test]
fn every_bad_expert_gets_its_verdict() {
    let Some(dir) = fixtures::dir() else { return };
    let mut faults = Vec::new();
    let cases = folders(&dir.join("experts-bad"));
    for case in &cases {
        let from = dir.join("experts-bad").join(case);
        let expected: toml::Table = std::fs::read_to_string(from.join("EXPECT.toml")).unwrap().parse().unwrap();
        let space = Space::new();
        space.copy(&from, "");
        if case == "symlink-escape" {
            if space.exists("expert/LICENSE") {
                space.remove("expert/LICENSE");
            }
            std::os::unix::fs::symlink("../outside-license.txt", space.path("expert/LICENSE")).unwrap();
        }
        let (report, found) = checked(&space, "expert");
        let worst = found.iter().map(|d| d.severity).min_by_key(|s| match s {
            Severity::Error => 0,
            Severity::Warning => 1,
            Severity::Note => 2,
        });
        let verdict = match worst {
            Some(Severity::Error) => "reject",
            Some(Severity::Warning) => "warn",
            _ => "accept",
        };
        if expected["verdict"].as_str() != Some(verdict) || report.failed.is_empty() != (verdict != "reject") {
            faults.push(format!("{case}: {verdict}, not {}: {found:#?}", expected["verdict"]));
        }
        for wanted in expected.get("finding").and_then(toml::Value::as_array).into_iter().flatten() {
            if !found.iter().any(|d| fits(wanted, d)) {
                faults.push(format!("{case}: none of the findings is {wanted}: {found:#?}"));
            }
        }
        // What is refused by `check` gets no package; what is not refused gets one.
        let ran = space.run("-C expert build");
        let code = if verdict == "reject" { 11 } else { 0 };
        let packages = files_below(&space.path("")).iter().filter(|path| path.ends_with(".expert")).count();
        if ran.code != code || packages != usize::from(verdict != "reject") {
            faults.push(format!("{case}: {packages} packages; {}", ran.shown()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n\n"));
}

/// Is this the finding that the ledger wants? Severity, file and, in JSON, the place; the ledger's `kind` is a name for
/// a class, not for a code.
fn fits(wanted: &toml::Value, found: &Diagnostic) -> bool {
    let text = |key: &str| wanted.get(key).and_then(toml::Value::as_str);
    let severity = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let (Some(file), pointer) = (text("file"), text("pointer")) else { return false };
    let at = match &found.at {
        At::Text { pointer, .. } => pointer.as_deref(),
        _ => None,
    };
    // A finding on a missing or wrong file may stand at the file, or at the place in the manifest that names it.
    let in_file = found.file.as_deref() == Some(file)
        || (found.file.as_deref() == Some("manifest.json") && found.message.contains(file) && at == pointer)
        || (pointer.is_some() && found.file.as_deref() == Some("manifest.json") && at == pointer);
    let at_place = match (pointer, at) {
        (Some(""), _) | (None, _) => true,
        (Some(wanted), Some(at)) => at == wanted || at.starts_with(&format!("{wanted}/")),
        (Some(_), None) => found.file.as_deref() == Some(file) && file != "manifest.json",
    };
    text("severity") == Some(severity) && in_file && at_place
}
