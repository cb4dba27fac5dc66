//! `--report`, and what GitHub Actions gets by itself.

use serde_json::Value;

use crate::space::Space;

/// One expert is wrong, one is right.
fn wrong() -> Space {
    let space = Space::workspace();
    space.edit("experts/sql/manifest.json", r#""version": "0.3.0""#, r#""version": "0.3""#);
    space
}

#[test]
fn all_forms_at_once() {
    let space = wrong();
    let told = space.x("check -k -q --report sarif=out/findings.sarif --report junit=junit.xml --report json=run.json");
    assert!(told.starts_with("exit 11"), "{told}");
    let sarif: Value = serde_json::from_str(&space.read("out/findings.sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let result = &sarif["runs"][0]["results"];
    let result = result.as_array().unwrap().iter().find(|result| result["level"] == "error").unwrap();
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "experts/sql/manifest.json");
    assert!(place["region"]["startLine"].as_u64().is_some());
    let junit = space.read("junit.xml");
    assert!(junit.contains(r#"tests="2" failures="1" errors="0""#), "{junit}");
    assert!(junit.contains(r#"<failure type="manifest-version""#), "{junit}");
    assert!(junit.contains(r#"name="english-basic""#), "{junit}");
    let run: Value = serde_json::from_str(&space.read("run.json")).unwrap();
    assert_eq!((&run["ok"], &run["exit_code"], &run["errors"]), (&false.into(), &11.into(), &1.into()));
}

#[test]
fn a_report_goes_to_stdout_where_no_file_is_named() {
    let space = Space::workspace();
    let run: Value = serde_json::from_str(&space.stdout("--report json")).unwrap();
    assert_eq!(run["packages"].as_array().unwrap().len(), 2);
    assert_eq!(run["totals"]["built"], 2);
    insta::assert_snapshot!(space.x("check --report json --report sarif"), @r#"
    exit 2
    --- stderr
    error: two reports would be mixed on stdout
      help: give all but one a file: `--report sarif=findings.sarif`
    "#);
    insta::assert_snapshot!(space.x("check --report json="), @r#"
    exit 2
    --- stderr
    error: `--report json=` names no file
      help: write `--report json=FILE`, or `--report json` for stdout
    "#);
}

#[test]
fn locking_is_reported_and_the_timings_are_a_report_too() {
    let space = Space::workspace();
    let told = space.x("lock -q --report json=run.json --report timings=out/where.html --report junit=junit.xml");
    assert_eq!(told, "exit 0");
    let run: Value = serde_json::from_str(&space.read("run.json")).unwrap();
    assert_eq!((run["packages"].as_array().unwrap().len(), &run["totals"]["built"]), (2, &2.into()));
    assert!(space.path("Expertfile.lock").is_file());
    assert!(space.read("out/where.html").contains("<td>expert-sql</td>"));
    assert!(space.x("check -q --report timings").starts_with("exit 0"));
    assert!(space.path("expert-build-timings.html").is_file());
    insta::assert_snapshot!(space.x("build --report timings=-"), @r#"
    exit 2
    --- stderr
    error: `--report timings` draws a page, which goes to a file
      help: write `--report timings=FILE`, or `--report timings` for expert-build-timings.html
    "#);
    insta::assert_snapshot!(space.x("build --report timing"), @r#"
    exit 2
    --- stderr
    error: there is no report `timing`
      help: did you mean `timings`?
    "#);
}

#[test]
fn the_summary_of_a_step_tells_growth_and_what_is_due() {
    let space = Space::workspace();
    space.stdout("build");
    let lines = (0..500_u32).map(|i| format!("{}\n", i.wrapping_mul(2_654_435_761)));
    space.write("experts/sql/README.md", &lines.collect::<String>());
    let summary = |line: &str, file: &str| {
        let mut command = space.command();
        command.args(line.split_whitespace()).env("GITHUB_ACTIONS", "true");
        command.env("GITHUB_STEP_SUMMARY", space.path(file)).output().unwrap();
        space.read(file)
    };
    insta::assert_snapshot!(summary("build -n -q", "due.md"), @r"
    ### expert-build

    built 0, restored 0, up to date 1, failed 0

    | stale | why | a build would |
    | --- | --- | --- |
    | expert-sql | `experts/sql/README.md` changed | build it |
    ");
    let built = summary("build -q", "built.md");
    let row = built.lines().find(|line| line.contains("expert-sql.v0.3.0.expert")).unwrap();
    assert!(row.contains(" KiB (+") && row.ends_with("| built |"), "{built}");
}

#[test]
fn github_actions_gets_annotations_and_a_summary() {
    let space = wrong();
    let mut command = space.command();
    command.args(["check", "-k", "-q"]).env("GITHUB_ACTIONS", "true").env("CI", "true");
    command.env("GITHUB_STEP_SUMMARY", space.path("summary.md")).env("GITHUB_WORKSPACE", space.path("."));
    space.write("summary.md", "Before.\n");
    let told = space.shown(&command.output().unwrap());
    let annotation = told.lines().find(|line| line.starts_with("::error")).unwrap();
    assert!(annotation.starts_with("::error file=experts/sql/manifest.json,line="), "{annotation}");
    assert!(annotation.contains("title=manifest-version::"), "{annotation}");
    insta::assert_snapshot!(space.read("summary.md"), @r#"
    Before.
    ### expert-build

    checked 2, failed 1

    <details><summary>1 error</summary>

    | code | where | what |
    | --- | --- | --- |
    | manifest-version | experts/sql/manifest.json:3 | `0.3` is not a semantic version: unexpected end of input while parsing minor version number |

    </details>
    "#);
}

#[test]
fn each_report_has_a_file_of_its_own() {
    let space = Space::workspace();
    insta::assert_snapshot!(space.x("check --report json=r.json --report junit=./r.json"), @r#"
    exit 2
    --- stderr
    error: two reports would be written to `./r.json`
      help: give each a file of its own: `--report json=run.json --report junit=run.xml`
    "#);
    let told = space.x("build --timings=r.json --report json=r.json");
    assert!(told.starts_with("exit 2") && !space.path("r.json").exists(), "{told}");
}
