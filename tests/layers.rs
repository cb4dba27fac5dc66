//! Keeps the tree as it is meant to be: imports point down, every file says its purpose, none is long, none has a vague name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

use std::path::{Path, PathBuf};

/// Each layer and what it may import, lowest first.
const LAYERS: [(&str, &[&str]); 8] = [
    ("base", &[]),
    ("format", &["base"]),
    ("check", &["base", "format"]),
    ("spec", &["base", "format", "check"]),
    ("store", &["base"]),
    ("engine", &["base", "format", "check", "spec", "store"]),
    ("ops", &["base", "format", "check", "spec", "store", "engine"]),
    ("cli", &["base", "spec", "ops"]),
];

/// Names that say nothing about what is inside.
const VAGUE: [&str; 5] = ["util", "common", "helpers", "misc", "manager"];

/// Lines a file may have, tests included.
const LONGEST: usize = 600;

#[test]
fn imports_point_down() {
    let faults: Vec<String> = sources("src").iter().flat_map(|(path, text)| imports(path, text)).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_layer_is_in_the_table() {
    let mut faults = Vec::new();
    for entry in std::fs::read_dir(root().join("src")).expect("src is a folder") {
        let name = entry.expect("src can be listed").file_name().into_string().expect("names are UTF-8");
        let known = LAYERS.iter().any(|(layer, _)| *layer == name);
        if !known && name != "lib.rs" && name != "bin" {
            faults.push(format!("src/{name}: neither a layer of the table in tests/layers.rs, nor lib.rs, nor bin/"));
        }
    }
    for (layer, _) in LAYERS {
        if !root().join("src").join(layer).is_dir() {
            faults.push(format!("src/{layer}: in the table of tests/layers.rs, but there is no such folder"));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_file_says_its_purpose_and_is_short_and_well_named() {
    let mut faults = Vec::new();
    for folder in ["src", "tests", "examples"] {
        for (path, text) in sources(folder) {
            faults.extend(form(&path, &text));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The threat table names tests that are there, one or more for each line.
#[test]
fn threats_have_their_tests() {
    let table = std::fs::read_to_string(root().join("src/store/mod.rs")).unwrap();
    let lines: Vec<&str> = table.lines().filter(|line| line.starts_with("//! | ")).skip(2).collect();
    assert!(lines.len() > 15, "the table is not found");
    let faults: Vec<String> = lines.into_iter().flat_map(tests_of).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// What is wrong with the tests that the last cell of a line names, as `name` in `path`.
fn tests_of(line: &str) -> Vec<String> {
    let cell = line.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
    let quoted: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    let (mut faults, mut names, mut found) = (Vec::new(), Vec::new(), 0);
    for word in quoted {
        if !word.ends_with(".rs") {
            names.push(word);
            continue;
        }
        let text = std::fs::read_to_string(root().join(word)).unwrap_or_default();
        let is_test =
            |name: &&str| text.split("#[test]").skip(1).any(|t| t.trim_start().starts_with(&format!("fn {name}()")));
        let missing = names.iter().filter(|name| !is_test(name)).map(|name| format!("`{word}` has no test `{name}`"));
        faults.extend(missing);
        found += std::mem::take(&mut names).len();
    }
    if found == 0 {
        faults.push(format!("no test is named: {line}"));
    }
    faults
}

/// A code that no test speaks of may never be found, and nobody would notice.
#[test]
fn every_code_has_a_test() {
    let table: String = sources("src/base/codes").into_iter().map(|(_, text)| text).collect();
    let mut tests = String::new();
    for (path, text) in [sources("src"), sources("tests")].concat() {
        let from =
            if path.starts_with("tests") || path.ends_with("_tests.rs") { Some(0) } else { text.find("#[cfg(test)]") };
        tests.push_str(&text[from.unwrap_or(text.len())..]);
    }
    let mut faults = Vec::new();
    for code in expert_build::base::codes::all() {
        let constant = table.split_once(&format!(" = \"{}\":", code.name)).expect("it stands in the table").0;
        let constant = constant.rsplit(' ').next().unwrap_or_default();
        let named = |word: &str| {
            let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
            tests
                .match_indices(word)
                .any(|(at, _)| !part(tests[..at].chars().next_back()) && !part(tests[at + word.len()..].chars().next()))
        };
        if !named(code.name) && !named(constant) {
            faults.push(code.name);
        }
    }
    assert!(faults.is_empty(), "no test names these codes: {}", faults.join(", "));
}

/// The rules themselves, on text that breaks each of them.
#[test]
fn the_rules_find_what_they_are_for() {
    let here = |name: &str| tests_of(&format!("//! | a | b | c | `{name}` in `tests/layers.rs` over `x/y` |"));
    assert_eq!(here("threats_have_their_tests"), Vec::<String>::new());
    assert_eq!(here("tests_of"), ["`tests/layers.rs` has no test `tests_of`"]);
    assert_eq!(tests_of("//! | a | b | `c` | d |"), ["no test is named: //! | a | b | `c` | d |"]);
    let found = |path: &str, text: &str| imports(path, text);
    assert_eq!(
        found("src/format/tar.rs", "use crate::base::Digest;\nuse crate::format::json;\n"),
        Vec::<String>::new()
    );
    assert_eq!(found("src/format/tar.rs", "// crate::ops does this\n/// [`crate::ops`]\n"), Vec::<String>::new());
    let up = ["src/format/tar.rs:2: `format` may not import `store`"];
    assert_eq!(found("src/format/tar.rs", "\nuse crate::store::fs;\n"), up);
    assert_eq!(found("src/format/tar.rs", "\nuse crate::{base::{Digest, Sha256}, store::fs};\n"), up);
    let group = "use crate::{\n    store::{self, fs},\n};\n";
    assert_eq!(found("src/format/tar.rs", group), up);
    assert_eq!(found("src/format/tar.rs", "\nlet x = crate::store::fs::read();\n"), up);
    assert_eq!(found("src/format/tar.rs", "\nuse super::super::store::fs;\n"), up);
    assert_eq!(found("src/cli/run.rs", "use crate::engine;"), ["src/cli/run.rs:1: `cli` may not import `engine`"]);
    assert_eq!(found("src/cli/run.rs", "use crate::*;"), ["src/cli/run.rs:1: imports all of the crate"]);
    assert_eq!(found("src/bin/x.rs", "use crate::ops::build;"), Vec::<String>::new());

    assert_eq!(form("src/format/tar.rs", "//! Tar.\n"), Vec::<String>::new());
    assert_eq!(form("src/a.rs", "use std::fs;\n"), ["src/a.rs: line 1 is not `//! ` and a sentence on its purpose"]);
    assert_eq!(form("src/a.rs", "//!\n"), ["src/a.rs: line 1 is not `//! ` and a sentence on its purpose"]);
    assert_eq!(form("src/a.rs", &"//! A.\n".repeat(601)), ["src/a.rs: 601 lines; 600 is the most: split it"]);
    assert_eq!(form("src/tar_util.rs", "//! A.\n"), ["src/tar_util.rs: `util` says nothing about what is inside"]);
    assert_eq!(form("src/common/a.rs", "//! A.\n"), ["src/common/a.rs: `common` says nothing about what is inside"]);
}

/// What is wrong with the form of a file.
fn form(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let first = text.lines().next().unwrap_or("");
    if first.strip_prefix("//! ").is_none_or(|purpose| purpose.trim().is_empty()) {
        faults.push(format!("{path}: line 1 is not `//! ` and a sentence on its purpose"));
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        faults.push(format!("{path}: {lines} lines; {LONGEST} is the most: split it"));
    }
    for vague in VAGUE {
        if path.trim_end_matches(".rs").split(['/', '_', '-']).any(|part| part == vague) {
            faults.push(format!("{path}: `{vague}` says nothing about what is inside"));
        }
    }
    faults
}

/// Imports of a file that its layer may not have.
fn imports(path: &str, text: &str) -> Vec<String> {
    let Some(layer) = path.split('/').nth(1).filter(|_| path.matches('/').count() > 1) else { return Vec::new() };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else { return Vec::new() };
    // Comments may speak of anything; blanking them keeps the line numbers.
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let code = code.join("\n");
    let mut faults = Vec::new();
    for start in ["crate::", "super::super::"] {
        for (at, _) in code.match_indices(start) {
            for (offset, name) in first_segments(&code[at + start.len()..]) {
                let line = code[..at + start.len() + offset].matches('\n').count() + 1;
                let is_layer = LAYERS.iter().any(|(known, _)| *known == name);
                if name == "*" {
                    faults.push(format!("{path}:{line}: imports all of the crate"));
                } else if is_layer && name != layer && !allowed.contains(&name) {
                    faults.push(format!("{path}:{line}: `{layer}` may not import `{name}`"));
                }
            }
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

/// What follows `crate::`: one name, or in a group the first name of each of its parts.
fn first_segments(rest: &str) -> Vec<(usize, &str)> {
    let name_at = |at: usize| {
        let rest = &rest[at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(rest.len());
        (at, &rest[..end])
    };
    if !rest.starts_with('{') {
        return vec![name_at(0)];
    }
    let (mut names, mut depth, mut expected) = (Vec::new(), 0, false);
    for (at, c) in rest.char_indices() {
        match c {
            '{' => {
                depth += 1;
                expected = depth == 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ',' if depth == 1 => expected = true,
            _ if expected && !c.is_whitespace() => {
                names.push(name_at(at));
                expected = false;
            }
            _ => {}
        }
    }
    names
}

/// The Rust files below a folder of the crate, with their text, in order.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("the tree can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let shown = path.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8").to_owned();
                files.push((shown, std::fs::read_to_string(&path).expect("a source file can be read")));
            }
        }
    }
    assert!(folder == "examples" || !files.is_empty(), "no Rust files in {folder}");
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}
