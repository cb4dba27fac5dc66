//! `--message-format json` against its schema.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::space::Space;

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/events.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn events(space: &Space, line: &str) -> Vec<Value> {
    let output = space.command().args(line.split_whitespace()).args(["--message-format", "json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

fn reasons(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["reason"].as_str().unwrap()).collect()
}

/// Runs that between them say everything.
fn everything() -> Vec<Value> {
    let space = Space::workspace();
    let mut all = events(&space, "-n");
    all.extend(events(&space, "--compression zstd"));
    all.extend(events(&space, "--compression zstd"));
    std::fs::remove_file(space.path("experts/sql/weights/expert-sql.v0.3.0.expert")).unwrap();
    all.extend(events(&space, "--compression zstd"));
    space.edit("experts/sql/manifest.json", r#""version": "0.3.0""#, r#""version": "0.3""#);
    all.extend(events(&space, "check -k"));
    std::fs::write(space.path("experts/sql/weights/adapter_model.safetensors"), "short").unwrap();
    all.extend(events(&space, "check -k expert-sql"));
    all.extend(events(&space, "nobody"));
    all
}

#[test]
fn every_event_is_as_the_schema_says() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let all = everything();
    let mut seen = BTreeSet::new();
    for event in &all {
        let faults: Vec<String> = validator.iter_errors(event).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{event:#}\n{}", faults.join("\n"));
        let reason = event["reason"].as_str().unwrap();
        seen.insert(reason);
        let known = schema["$defs"][reason]["properties"].as_object().unwrap();
        for key in event.as_object().unwrap().keys() {
            assert!(known.contains_key(key), "`{key}` of `{reason}` is not described");
        }
    }
    // A notice is told when a cache or an index cannot be used.
    let expected =
        ["artifact", "diagnostic", "failure", "plan", "run-finish", "run-start", "stale", "task-finish", "task-start"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn the_schema_refuses_what_is_no_event() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = r#"{"v":1,"reason":"plan","stale":1,"fresh":0,"tasks":3}"#;
    assert!(validator.is_valid(&serde_json::from_str(good).unwrap()));
    for bad in [
        r#"{"reason":"plan","stale":1,"fresh":0,"tasks":3}"#,
        r#"{"v":2,"reason":"plan","stale":1,"fresh":0,"tasks":3}"#,
        r#"{"v":1,"reason":"plan","stale":1,"fresh":0}"#,
        r#"{"v":1,"reason":"plan","stale":-1,"fresh":0,"tasks":3}"#,
        r#"{"v":1,"reason":"diagnostic","code":"x","level":"grave","message":""}"#,
    ] {
        assert!(!validator.is_valid(&serde_json::from_str(bad).unwrap()), "{bad}");
    }
}

#[test]
fn every_field_is_described() {
    fn described(at: &str, value: &Value) {
        let Some(object) = value.as_object() else { return };
        for (name, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let is = property.get("description").is_some() || property.get("$ref").is_some();
            assert!(is, "{at}/{name} has no description");
        }
        for (key, below) in object {
            described(&format!("{at}/{key}"), below);
        }
    }
    described("", &schema());
}

#[test]
fn the_order_is_one_line_from_start_to_finish() {
    let space = Space::workspace();
    let all = events(&space, "english-basic -j1");
    let reasons = reasons(&all);
    assert_eq!((reasons[0], reasons[1], *reasons.last().unwrap()), ("run-start", "plan", "run-finish"));
    let started = reasons.iter().filter(|reason| **reason == "task-start").count();
    let finished = reasons.iter().filter(|reason| **reason == "task-finish").count();
    assert!(started > 0 && started == finished, "{reasons:?}");
    let artifact = all.iter().find(|event| event["reason"] == "artifact").unwrap();
    assert_eq!(artifact["path"], "experts/english-basic/weights/english-basic.v1.4.0.expert");
    assert_eq!(artifact["bytes"], std::fs::metadata(space.path(artifact["path"].as_str().unwrap())).unwrap().len());
}

#[test]
fn a_check_asks_for_its_tasks_by_itself() {
    let space = Space::workspace();
    space.x("");
    let told = events(&space, "check");
    let whys: Vec<&str> = told.iter().filter_map(|event| event["why"].as_str()).collect();
    assert!(!whys.is_empty() && whys.iter().all(|why| *why == "asked for by `check`"), "{whys:?}");
}

#[test]
fn a_failure_says_its_exit_code() {
    let space = Space::workspace();
    let all = events(&space, "nobody");
    assert_eq!(reasons(&all), ["failure"]);
    assert_eq!(all[0]["exit_code"], 2);
    assert_eq!(all[0]["message"], "no expert matches `nobody`");
}
