//! The report `sarif`: every finding in SARIF 2.1.0, as code scanning services read it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::base::{At, Code, Diagnostic, Digest, Level, Severity};
use crate::cli::render::diagnostic::Look;
use crate::cli::report::{Collector, below};

/// The report.
pub(super) fn report(collector: &Collector, look: &Look) -> String {
    let mut rules: BTreeMap<&str, &Code> = BTreeMap::new();
    for found in &collector.findings {
        rules.insert(found.code.name, found.code);
    }
    let index = |code: &Code| rules.keys().position(|name| *name == code.name);
    let results: Vec<Value> = collector.findings.iter().map(|found| result(found, index(found.code), look)).collect();
    let notifications: Vec<Value> = collector
        .failures
        .iter()
        .map(|failure| {
            let text = match &failure.expert {
                Some(expert) => format!("{expert}: {}", failure.message),
                None => failure.message.clone(),
            };
            json!({ "level": "error", "message": { "text": text } })
        })
        .collect();
    let driver = json!({
        "name": "expert-build",
        "version": env!("CARGO_PKG_VERSION"),
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules.values().map(|code| rule(code)).collect::<Vec<_>>(),
    });
    let report = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver },
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": collector.failures.is_empty(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    format!("{report:#}\n")
}

fn rule(code: &Code) -> Value {
    let level = match code.level {
        Level::Deny => "error",
        Level::Warn => "warning",
        Level::Allow => "note",
    };
    json!({
        "id": code.name,
        "shortDescription": { "text": code.summary },
        "fullDescription": { "text": code.explain },
        "help": { "text": code.explain, "markdown": code.explain },
        "defaultConfiguration": { "level": level },
    })
}

fn result(found: &Diagnostic, rule: Option<usize>, look: &Look) -> Value {
    let level = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let mut text = found.message.clone();
    if let Some(help) = &found.help {
        text.push_str(&format!("\n{help}"));
    }
    // The same finding keeps its fingerprint when lines are added above it.
    let stable = [found.code.name, found.folder.as_deref().unwrap_or(""), found.file.as_deref().unwrap_or("")];
    let fingerprint = Digest::of(format!("{}\n{}", stable.join("\n"), found.message).as_bytes());
    let mut result = json!({
        "ruleId": found.code.name,
        "level": level,
        "message": { "text": text },
        "partialFingerprints": { "expertBuild/v1": fingerprint.hex() },
    });
    if let Some(rule) = rule {
        result["ruleIndex"] = json!(rule);
    }
    if let Some(location) = location(found, look) {
        result["locations"] = json!([location]);
    }
    result
}

fn location(found: &Diagnostic, look: &Look) -> Option<Value> {
    let mut physical = json!({ "artifactLocation": { "uri": uri(&below(&look.file(found)?, look.root())) } });
    let mut logical = Vec::new();
    match &found.at {
        At::File => {}
        At::Text { line, column, pointer, .. } => {
            physical["region"] = json!({ "startLine": line, "startColumn": column });
            logical.extend(pointer.as_ref().map(|pointer| json!({ "fullyQualifiedName": pointer, "kind": "member" })));
        }
        At::Byte(at) => physical["region"] = json!({ "byteOffset": at, "byteLength": 0 }),
        At::Tensor(name) => logical.push(json!({ "fullyQualifiedName": name, "kind": "member" })),
    }
    let mut location = json!({ "physicalLocation": physical });
    if !logical.is_empty() {
        location["logicalLocations"] = json!(logical);
    }
    Some(location)
}

/// A path as a URI reference.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(byte as char),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    // An absolute path has a scheme, a relative one nothing that could be taken for one.
    if path.starts_with('/') { format!("file://{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{report, uri};
    use crate::base::codes::files::FILE_MISSING;
    use crate::base::{At, Diagnostic};
    use crate::cli::render::diagnostic::Look;
    use crate::cli::report::Collector;

    #[test]
    fn findings_have_rule_place_and_fingerprint() {
        let text = "{\n  \"a\": 1}";
        let mut found = Diagnostic::new(&FILE_MISSING, "`a` is missing")
            .in_file("manifest.json")
            .at(At::span(text, 4, 7).with_pointer("/a"));
        found.folder = Some("experts/a b".into());
        let collector = Collector { findings: vec![found], ..Collector::default() };
        let look = Look::default().at(std::path::Path::new("/repo"));
        let report: Value = serde_json::from_str(&report(&collector, &look)).unwrap();
        let run = &report["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "file-missing");
        let result = &run["results"][0];
        assert_eq!((&result["ruleId"], &result["ruleIndex"]), (&"file-missing".into(), &0.into()));
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "experts/a%20b/manifest.json");
        assert_eq!(place["region"], serde_json::json!({ "startLine": 2, "startColumn": 3 }));
        assert_eq!(result["partialFingerprints"]["expertBuild/v1"].as_str().map(str::len), Some(64));
    }

    #[test]
    fn uris() {
        assert_eq!(uri("a/ü:b"), "a/%C3%BC%3Ab");
        assert_eq!(uri("/x y"), "file:///x%20y");
    }
}
