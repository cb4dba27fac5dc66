//! `build`, `check` and `package`: what is told of packages, findings and failures.

use crate::space::Space;

#[test]
fn a_build_tells_what_changed_and_then_nothing() {
    let space = Space::workspace();
    insta::assert_snapshot!(space.x("-j1"), @r#"
    exit 0
    --- stderr
       built experts/english-basic/weights/english-basic.v1.4.0.expert (5.5 KiB, 5 files, [TIME])
       built experts/sql/weights/expert-sql.v0.3.0.expert (16.7 KiB, 7 files, [TIME])
    note: 4 notices (-v shows them)
    built 2, restored 0, up to date 0, failed 0 in [TIME]
    "#);
    insta::assert_snapshot!(space.x(""), @r#"
    exit 0
    --- stderr
    2 packages up to date in [TIME]
    "#);
    std::fs::remove_file(space.path("experts/sql/weights/expert-sql.v0.3.0.expert")).unwrap();
    insta::assert_snapshot!(space.x(""), @r#"
    exit 0
    --- stderr
    restored experts/sql/weights/expert-sql.v0.3.0.expert (16.7 KiB, 7 files, from the cache, [TIME])
    note: 2 notices (-v shows them)
    built 0, restored 1, up to date 1, failed 0 in [TIME]
    "#);
    assert_eq!(space.x("-q"), "exit 0");
    insta::assert_snapshot!(space.x("english-basic -v --force"), @r#"
    exit 0
    --- stderr
    note[hash-unfilled]: the adapter has no `size_bytes` yet: the package's manifest gets 4584
      --> experts/english-basic/manifest.json:25:25
       |
    25 |           "size_bytes": 0,
       |                         ^
       |
       = help: leave it to the build, or write it with `expert-build check --fix`

    note[hash-unfilled]: the adapter has no `sha256` yet: the package's manifest gets "[SHA256]"
      --> experts/english-basic/manifest.json:26:21
       |
    26 |           "sha256": ""
       |                     ^^
       |
       = help: leave it to the build, or write it with `expert-build check --fix`

       built experts/english-basic/weights/english-basic.v1.4.0.expert (5.5 KiB, 5 files, [TIME])
    built 1, restored 0, up to date 0, failed 0 in [TIME]
    "#);
}

#[test]
fn what_would_be_done_is_an_answer() {
    let space = Space::workspace();
    insta::assert_snapshot!(space.x("-n"), @r#"
    exit 1
    --- stdout
    english-basic: never built here
    expert-sql: never built here

    --- stderr
    2 of 2 experts would be built
    "#);
    space.x("");
    insta::assert_snapshot!(space.x("-n"), @r#"
    exit 0
    --- stderr
    2 packages up to date
    "#);
    space.write("experts/sql/README.md", "Another.\n");
    insta::assert_snapshot!(space.x("build --dry-run"), @r#"
    exit 1
    --- stdout
    expert-sql: `experts/sql/README.md` changed

    --- stderr
    1 of 2 experts would be built
    "#);
    insta::assert_snapshot!(space.x("--frozen"), @r#"
    exit 1
    --- stdout
    expert-sql: `experts/sql/README.md` changed

    --- stderr
    error: 1 of 2 experts not up to date, and `--frozen` builds nothing
    "#);
    // Put back as it was, and one package is gone: the cache has both.
    space.x("");
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/experts/sql/README.md");
    space.write("experts/sql/README.md", &std::fs::read_to_string(readme).unwrap());
    std::fs::remove_file(space.path("experts/english-basic/weights/english-basic.v1.4.0.expert")).unwrap();
    insta::assert_snapshot!(space.x("-n"), @r"
    exit 1
    --- stdout
    english-basic: `experts/english-basic/weights/english-basic.v1.4.0.expert` is missing or was changed (in the cache)
    expert-sql: `experts/sql/README.md` changed (in the cache)

    --- stderr
    2 of 2 experts would be restored from the cache
    ");
    // The same experts in another place: nothing of them was ever built there.
    let elsewhere = Space::workspace();
    let mut command = elsewhere.command();
    let same_cache = command.arg("--cache-dir").arg(space.path("../cache/expert-build")).arg("-n");
    let told = elsewhere.shown(&same_cache.output().unwrap());
    insta::assert_snapshot!(told, @r"
    exit 1
    --- stdout
    english-basic: never built here (in the cache)
    expert-sql: never built here (in the cache)

    --- stderr
    2 of 2 experts would be restored from the cache
    ");
    elsewhere.write("experts/sql/README.md", "Yet another.\n");
    insta::assert_snapshot!(elsewhere.shown(&same_cache.output().unwrap()), @r"
    exit 1
    --- stdout
    english-basic: never built here (in the cache)
    expert-sql: never built here

    --- stderr
    2 of 2 experts are stale: 1 would be built, 1 restored from the cache
    ");
    insta::assert_snapshot!(space.x("-n --force expert-sql"), @r"
    exit 1
    --- stdout
    expert-sql: asked for by `--force`

    --- stderr
    1 of 1 experts would be built
    ");
    space.x("");
    space.write("experts/sql/README.md", "Another one.\n");
    insta::assert_snapshot!(space.x("--frozen english-basic"), @r#"
    exit 0
    --- stderr
    1 package up to date
    "#);
    insta::assert_snapshot!(space.x("-qn"), @r#"
    exit 1
    --- stdout
    expert-sql: `experts/sql/README.md` changed
    "#);
    assert_eq!(space.read("experts/sql/README.md"), "Another one.\n");
}

#[test]
fn findings_show_the_place() {
    let space = Space::workspace();
    space.edit("experts/sql/manifest.json", r#""version": "0.3.0""#, r#""version": "0.3""#);
    let told = space.x("check expert-sql experts/sql");
    insta::assert_snapshot!(told, @r#"
    exit 11
    --- stderr
    error[manifest-version]: `0.3` is not a semantic version: unexpected end of input while parsing minor version number
     --> experts/sql/manifest.json:3:14
      |
    3 |   "version": "0.3",
      |              ^^^^^
      |
      = help: write three numbers: `1.2.0`

    checked 1, failed 1 in [TIME]
    "#);
    // From another folder the path is another, and a second look needs no more than the first.
    let below = space.x("-C experts check sql/ ./sql");
    assert!(below.contains("--> sql/manifest.json:"), "{below}");
    assert!(below.contains(r#""version": "0.3","#), "{below}");
}

#[test]
fn a_missing_file_stops_the_expert_and_with_k_only_it() {
    let space = Space::workspace();
    std::fs::remove_file(space.path("experts/sql/grammar.gbnf")).unwrap();
    assert!(space.x("-k").contains("built 1, restored 0, up to date 0, failed 1"));
    let told = space.x("-k");
    insta::assert_snapshot!(told, @r#"
    exit 11
    --- stderr
    error[file-missing]: `grammar.gbnf`, which the manifest refers to, does not exist
       --> experts/sql/manifest.json:102:23
        |
    102 |       "grammar_file": "grammar.gbnf",
        |                       ^^^^^^^^^^^^^^
        |
        = help: add the file, or take `/training/decoding/grammar_file` out of the manifest

    built 0, restored 0, up to date 1, failed 1 in [TIME]
    "#);
    assert!(space.path("experts/english-basic/weights/english-basic.v1.4.0.expert").is_file());
    assert!(!space.path("experts/sql/weights/expert-sql.v0.3.0.expert").exists());
}

#[test]
fn what_requires_one_that_failed_is_skipped() {
    let space = Space::workspace();
    std::fs::remove_file(space.path("experts/english-basic/adapter_model.safetensors")).unwrap();
    for (line, why) in [("-k", "it requires one that failed"), ("", "-k goes on after a failure")] {
        let told = space.x(line);
        assert!(told.contains(&format!("skipped 1 ({why}")), "{line}: {told}");
    }
}

#[test]
fn unmet_requirements_are_code_4() {
    let space = Space::workspace();
    space.edit("experts/english-basic/manifest.json", r#""version": "1.4.0""#, r#""version": "0.4.0""#);
    insta::assert_snapshot!(space.x("check"), @r#"
    exit 4
    --- stderr
    error[requirement-version]: `english-basic@>=1.0.0` is not met: there is 0.4.0 in `experts/english-basic`
      --> experts/sql/manifest.json:57:7
       |
    57 |       "english-basic@>=1.0.0"
       |       ^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: widen the range, or bring the required expert to a version that fits

    note: 2 notices (-v shows them)
    checked 2, failed 1 in [TIME]
    "#);
}

#[test]
fn a_wrong_expertfile_is_shown_from_any_folder() {
    let space = Space::workspace();
    space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n\n[defaults]\ncompresion = \"zstd\"\n");
    insta::assert_snapshot!(space.x("-C experts/sql"), @r#"
    exit 2
    --- stderr
    error[expertfile-unknown-key]: unknown key `compresion`
     --> ../../Expertfile.toml:5:1
      |
    5 | compresion = "zstd"
      | ^^^^^^^^^^
      |
      = help: did you mean `compression`?
    "#);
}

#[test]
fn strict_makes_warnings_errors() {
    let space = Space::workspace();
    space.edit("experts/sql/manifest.json", "\"license\": \"MIT\"", "\"license\": \"Apache-2.0\"");
    let warned = space.x("check expert-sql");
    assert!(warned.starts_with("exit 0") && warned.contains("1 warning"), "{warned}");
    let strict = space.x("check expert-sql --strict");
    assert!(strict.starts_with("exit 11") && strict.contains("error["), "{strict}");
    let profile = space.x("check --profile nobody");
    assert!(profile.starts_with("exit 2"), "{profile}");
}

#[test]
fn selectors_choose_and_paths_are_relative_to_where_one_stands() {
    let space = Space::workspace();
    let stale = |line: &str| space.x(line).lines().filter(|line| line.contains(": ")).count();
    assert_eq!(stale("-n"), 2);
    assert_eq!(stale("-n expert-sql"), 1);
    assert_eq!(stale("-n +expert-sql"), 2);
    assert_eq!(stale("-n english-basic+"), 2);
    assert_eq!(stale("-C experts -n ./sql"), 1);
    assert_eq!(stale("-C experts/sql -n ../english-basic"), 1);
    assert_eq!(stale("-C experts/sql -n ."), 1);
    assert_eq!(stale("-C experts/sql -n"), 1);
    assert_eq!(stale("-n model:tiny-*"), 2);
}

#[test]
fn flags_of_packing_are_felt() {
    let space = Space::workspace();
    space.x("keygen --output k.pem");
    let told = space.x("build english-basic --out-dir out --compression zstd --level 19 --sign --key k.pem");
    insta::assert_snapshot!(told, @r#"
    exit 0
    --- stderr
       built out/english-basic.v1.4.0.expert (6.1 KiB, 5 files, signed, [TIME])
    note: 2 notices (-v shows them)
    built 1, restored 0, up to date 0, failed 0 in [TIME]
    "#);
    let seen = space.stdout("inspect out/english-basic.v1.4.0.expert --json");
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    assert_eq!((&seen["compression"], &seen["level"]), (&"zstd".into(), &19.into()));
    assert_eq!(seen["signature"]["state"], "valid");
    let wrong = space.x("build --compression zstd --level 40");
    assert!(wrong.starts_with("exit 2"), "{wrong}");
    insta::assert_snapshot!(space.x("build english-basic --sign"), @r#"
    exit 2
    --- stderr
    error: `experts/english-basic` must be signed, and there is no key
      help: name one with `key` in the Expertfile or `--key`; `expert-build keygen --output publisher.pem` makes one
    "#);
}

#[test]
fn one_expert_is_packaged_without_an_expertfile() {
    let space = Space::workspace();
    std::fs::remove_file(space.path("Expertfile.toml")).unwrap();
    let line = "package --manifest experts/english-basic/manifest.json --output out.expert -q";
    let told = space.x(line);
    insta::assert_snapshot!(told, @r#"
    exit 0
    --- stdout
    out.expert  5.5 KiB (5681 bytes), 5 files
    [SHA256]          5681  (the package)
    [SHA256]          2585  manifest.json
    [SHA256]          1084  LICENSE
    [SHA256]           102  README.md
    [SHA256]           346  adapter_config.json
    [SHA256]          4584  adapter_model.safetensors
    "#);
    assert_eq!(space.x(line), told, "a second time it is the same answer");
    let missing = space.x("package --manifest nowhere/manifest.json");
    assert!(missing.starts_with("exit 2"), "{missing}");
}

/// A reading of it would wait for ever, and what comes through is no file's content.
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused() {
    let space = Space::workspace();
    let readme = space.path("experts/english-basic/README.md");
    std::fs::remove_file(&readme).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&readme).status().unwrap().success());
    let told = space.x("check english-basic");
    assert!(told.starts_with("exit 11") && told.contains("error[file-kind]: `README.md`"), "{told}");
}

/// A build may stop at the first expert that fails; whoever checks wants to know all that is wrong.
#[test]
fn a_check_tells_of_every_expert() {
    let space = Space::workspace();
    for expert in ["english-basic", "sql"] {
        space.write(&format!("experts/{expert}/tokenizer_config.json"), "{,}");
    }
    let faults = |line: &str| {
        let told = space.x(line);
        assert!(told.starts_with("exit 11"), "{told}");
        told.matches("error[json-syntax]").count()
    };
    assert_eq!((faults("check -j 1"), faults("check -j 1 -k")), (2, 2));
    assert!(faults("build -j 1") >= 1);
}

/// A file on many lines with something wrong on each: what a finding costs is what its line costs.
#[test]
fn thousands_of_findings_in_one_file_are_told() {
    let space = Space::workspace();
    let rules: String = (0..3000).map(|i| format!("root{i} ::= missing{i}\n")).collect();
    space.write("experts/sql/grammar.gbnf", &format!("root ::= \"a\"\n{rules}"));
    let begun = std::time::Instant::now();
    let told = space.x("check expert-sql");
    assert_eq!(told.matches("error[grammar-undefined-rule]").count(), 3000);
    assert!(
        told.contains("grammar.gbnf:3001:14\n     |\n3001 | root2999 ::= missing2999\n"),
        "{}",
        &told[told.len() - 900..]
    );
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_verb_behind_flags_is_told_where_it_goes() {
    let space = Space::workspace();
    insta::assert_snapshot!(space.x("-k check"), @r#"
    exit 2
    --- stderr
    error: no expert matches `check`; a verb comes before the flags
      help: did you mean `expert-build check -k`?
    "#);
    let told = space.x("build -j2 status expert-sql");
    assert!(told.contains("did you mean `expert-build status -j2 expert-sql`?"), "{told}");
    let told = space.x("--timings=x build");
    assert!(told.contains("did you mean `expert-build build --timings=x`?"), "{told}");
    for line in ["-j 0", "build --remote-jobs 0"] {
        let told = space.x(line);
        assert!(told.starts_with("exit 2") && told.contains("a whole number from 1 to 65535 is wanted"), "{told}");
    }
}
