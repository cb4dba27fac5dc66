//! `ls`, `graph`, `affected`, `matrix`: the repo as tables and graphs.

use std::process::Command;

use crate::space::Space;

#[test]
fn experts_are_listed_with_their_state() {
    let space = Space::workspace();
    space.x("english-basic");
    insta::assert_snapshot!(space.x("ls"), @r#"
    exit 0
    --- stdout
    expert         version  state  folder                 models and tags
    english-basic  1.4.0    fresh  experts/english-basic  tiny-qwen3
    expert-sql     0.3.0    new    experts/sql            tiny-qwen3
    "#);
    insta::assert_snapshot!(space.x("matrix"), @r#"
    exit 0
    --- stdout
    expert         version  base model  state  signed  size
    english-basic  1.4.0    tiny-qwen3  fresh  no      5.5 KiB
    expert-sql     0.3.0    tiny-qwen3  new    –       –
    "#);
    insta::assert_snapshot!(space.x("matrix --format markdown english-basic"), @r#"
    exit 0
    --- stdout
    | expert | version | base model | state | signed | size |
    |---|---|---|---|---|---:|
    | english-basic | 1.4.0 | tiny-qwen3 | fresh | no | 5.5 KiB |
    "#);
    assert!(space.stdout("matrix --format html").starts_with("<!doctype html>"));
    let row: serde_json::Value = serde_json::from_str(&space.stdout("ls expert-sql --format json")).unwrap();
    assert_eq!((&row["name"], &row["state"]), (&"expert-sql".into(), &"new".into()));
}

#[test]
fn the_graph_has_five_forms() {
    let space = Space::workspace();
    insta::assert_snapshot!(space.x("graph"), @r#"
    exit 0
    --- stdout
    expert-sql 0.3.0
    └── english-basic 1.4.0
    "#);
    assert!(space.stdout("graph --format dot").starts_with("digraph"));
    assert!(space.stdout("graph --format mermaid").contains("-->"));
    assert!(space.stdout("graph --format svg").contains("<svg"));
    let graph: serde_json::Value = serde_json::from_str(&space.stdout("graph --tasks --format json")).unwrap();
    assert!(graph["nodes"].as_array().unwrap().len() > 10, "{graph}");
}

#[test]
fn what_a_commit_changed_is_affected_and_all_that_require_it() {
    let space = Space::workspace();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(space.path("")).args(["-c", "user.name=t", "-c", "user.email=t@t"]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "all"]);
    space.write("experts/english-basic/README.md", "Another.\n");
    let run = |line: &str| {
        let mut command = space.command();
        command.env("PATH", std::env::var_os("PATH").unwrap()).args(line.split_whitespace());
        space.shown(&command.output().unwrap())
    };
    let told = run("affected --base main");
    assert!(told.starts_with("exit 0\n--- stdout\nexperts/english-basic\nexperts/sql\n"), "{told}");
    let below = run("-C experts affected --base main -q");
    assert_eq!(below, "exit 0\n--- stdout\n./english-basic\n./sql\n");
    let unknown = run("affected --base nobody");
    assert!(!unknown.starts_with("exit 0") && unknown.contains("nobody"), "{unknown}");
}

#[test]
fn json_messages_are_one_object_a_line() {
    let space = Space::workspace();
    for line in ["graph --message-format json", "graph --tasks --message-format json"] {
        let lines = space.stdout(line);
        assert_eq!(lines.lines().count(), 1, "{line}");
        let graph: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert!(graph["nodes"].is_array(), "{line}");
    }
    assert!(space.x("ls [").contains("the pattern `[` cannot be read"));
}
