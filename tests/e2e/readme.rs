//! README.md: its commands run, and print what it says they print.

use std::path::Path;

use crate::space::{EXPERT_BUILD, Space, redacted, succeeds};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The fenced blocks of a kind.
fn blocks<'t>(text: &'t str, kind: &str) -> Vec<&'t str> {
    let begins = format!("\n```{kind}\n");
    text.split(&begins).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// The commands of the transcripts are run one after the other in one shell session; each must print what follows it.
#[test]
fn the_transcripts_are_true() {
    let text = readme();
    let transcript = blocks(&text, "console").join("\n");
    assert!(transcript.contains("$ expert-build init"), "the first build is there");
    let space = Space::new();
    space.copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), "examples");
    for (path, _) in space.outputs() {
        space.remove(&path);
    }
    let programs = Path::new(EXPERT_BUILD).parent().unwrap().display().to_string();
    let mut script = format!("export PATH=\"{programs}:/usr/local/bin:/usr/bin:/bin\"\n");
    for command in transcript.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let quoted = command.replace('\'', "'\\''");
        script.push_str(&format!("printf '%s\\n' '$ {quoted}'\n{command}\n"));
    }
    let mut shell = space.command("/bin/sh", "", &["-c", &format!("{{ {script}}} 2>&1")]);
    let said = succeeds(&mut shell);
    // Times and sizes differ, and so does the order of packages that are built at once; how many notices are told depends on
    // which files are so new that they are looked at again.
    let sorted = |text: &str| {
        let mut parts: Vec<String> = Vec::new();
        for part in format!("\n{}", redacted(text).trim_end()).split("\n$ ").skip(1) {
            let mut lines: Vec<&str> = part.lines().filter(|line| !line.starts_with("note: ")).collect();
            lines[1..].sort_unstable();
            parts.push(lines.join("\n"));
        }
        parts.join("\n$ ")
    };
    assert_eq!(sorted(&transcript), sorted(&said), "\nas it was printed:\n{said}");
}

/// `cargo run -- -C examples` is what CI and this test binary's own build have compiled: only its arguments are run.
#[test]
fn the_set_up_commands_are_true() {
    let text = readme();
    let set_up: Vec<&str> = blocks(&text, "sh").into_iter().collect();
    assert_eq!(set_up, ["cargo run -- -C examples", "bash tests/ci.sh"]);
    let space = Space::new();
    space.copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), "examples");
    space.run("-C examples").ok();
    assert_eq!(space.packages().len(), 10);
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ci.sh").is_file());
}

#[test]
fn its_expertfile_is_read() {
    let text = readme();
    let blocks = blocks(&text, "toml");
    assert_eq!(blocks.len(), 2);
    let space = Space::new();
    space.write("Expertfile.toml", blocks[0]);
    space.add("experts/sql", &crate::expert::Expert::lora("expert-sql").requires(&["english-basic@>=1.0.0"]));
    space.run("build").ok().did([1, 0, 0, 0]);
    space.run("--profile ci config").ok();
    // The second is about a remote cache.
    space.write("Expertfile.toml", format!("[workspace]\nmembers = [\"experts/*\"]\n{}", blocks[1]));
    let shown = space.run("config cache").ok().says("remote.url = \"grpcs://cache.example.com\"");
    let table = text.split("## A cache for many machines").nth(1).unwrap().split("\n## ").next().unwrap();
    for key in shown.stdout.lines().filter_map(|line| line.strip_prefix("remote.")?.split([' ', '.']).next()) {
        assert!(table.contains(key), "`{key}` is not in the table");
    }
}

#[test]
fn its_table_of_verbs_is_that_of_the_help() {
    let text = readme();
    let help = Space::new().run("--help").ok().stdout;
    let verbs = help.split("Verbs:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let table = text.split("## Verbs").nth(1).unwrap().split("\n## ").next().unwrap();
    for verb in verbs.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|v| !v.is_empty()) {
        assert!(table.contains(&format!("`{verb}")), "`{verb}` is not in the table");
    }
}
