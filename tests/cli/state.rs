//! `status`, `why`, `repro` and the comparison of a folder with its package.

use crate::space::Space;

const PACKAGE: &str = "experts/english-basic/weights/english-basic.v1.4.0.expert";

#[test]
fn status_says_what_changed() {
    let space = Space::workspace();
    insta::assert_snapshot!(space.x("status --exit-code"), @r#"
    exit 1
    --- stdout
    new         english-basic
    new         expert-sql

    --- stderr
    0 of 2 experts up to date
    "#);
    space.x("");
    insta::assert_snapshot!(space.x("status --exit-code"), @r#"
    exit 0
    --- stderr
    2 of 2 experts up to date
    "#);
    space.write("experts/sql/README.md", "Another.\n");
    let text = space.read("experts/english-basic/README.md");
    space.write("experts/english-basic/README.md", &text);
    insta::assert_snapshot!(space.x("status -v --exit-code"), @r#"
    exit 1
    --- stdout
    touched     english-basic
                `experts/english-basic/README.md` has other times and the same content
    stale       expert-sql
                `experts/sql/README.md` changed: [SHORT] (118 bytes) → [SHORT] (9 bytes)

    --- stderr
    1 of 2 experts up to date
    "#);
    assert!(space.x("status").starts_with("exit 0"), "without --exit-code the answer is in the text alone");
    let lines = space.stdout("status --message-format json");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["expert"], &lines[0]["state"]), (&"english-basic".into(), &"touched".into()));
    assert_eq!((&lines[2]["fresh"], &lines[2]["due"]), (&1.into(), &1.into()));
}

#[test]
fn why_remembers_earlier_runs() {
    let space = Space::workspace();
    space.x("english-basic");
    insta::assert_snapshot!(space.x("why english-basic"), @r#"
    exit 0
    --- stdout
    up to date  english-basic
      experts/english-basic/weights/english-basic.v1.4.0.expert
        made once: there is no earlier run to compare it with
    "#);
    space.write("experts/english-basic/README.md", "Another.\n");
    space.x("english-basic --level 9");
    insta::assert_snapshot!(space.run(["why", PACKAGE]), @r#"
    exit 0
    --- stdout
    stale       english-basic
                setting `level` changed: 9 → 6
      experts/english-basic/weights/english-basic.v1.4.0.expert
        [SHORT] → [SHORT]:
          `README.md` changed: [SHORT] (102 bytes) → [SHORT] (9 bytes)
          setting `level` changed: 6 → 9
    "#);
    insta::assert_snapshot!(space.x("why nowhere.expert"), @r#"
    exit 2
    --- stderr
    error: no expert of this repo has built `nowhere.expert`
      help: name an expert instead: `expert-build ls` shows them, with the packages that were built here
    "#);
}

#[test]
fn a_package_is_compared_with_its_folder() {
    let space = Space::workspace();
    space.x("english-basic");
    let manifest = "experts/english-basic/manifest.json";
    let repro = space.run(["repro", PACKAGE, "--manifest", manifest]);
    insta::assert_snapshot!(repro, @r#"
    exit 0
    --- stdout
    identical: [SHA256]
    "#);
    let same = space.run(["diff", PACKAGE, "experts/english-basic", "--exit-code"]);
    assert!(same.starts_with("exit 0"), "{same}");
    space.write("experts/english-basic/README.md", "Another.\n");
    insta::assert_snapshot!(space.run(["diff", PACKAGE, "experts/english-basic", "--exit-code"]), @r#"
    exit 1
    --- stdout
    --- experts/english-basic/weights/english-basic.v1.4.0.expert
    +++ experts/english-basic
    files
      ~ README.md (102 B → 9 B)
    "#);
    insta::assert_snapshot!(space.run(["repro", PACKAGE, "--manifest", manifest]), @r#"
    exit 1
    --- stdout
    different: the first member to differ is `README.md`
      package  [SHA256]
      rebuild  [SHA256]
    "#);
}

/// Whoever receives a signed package has the sources, perhaps, but never the key.
#[test]
fn a_signed_package_is_made_again_without_its_key() {
    let space = Space::workspace();
    space.x("keygen --output k.pem");
    let manifest = "experts/english-basic/manifest.json";
    for more in ["", "--key k.pem"] {
        let mut build = space.command();
        build.env("SOURCE_DATE_EPOCH", "1700000000").args(["build", "english-basic"]).args(more.split_whitespace());
        assert!(build.output().unwrap().status.success());
        std::fs::copy(space.path(PACKAGE), space.path("p.expert")).unwrap();
        let signed = space.x("sign p.expert --key k.pem --publisher them");
        assert!(signed.contains("as `them`"), "{signed}");
        for package in [PACKAGE, "p.expert"] {
            let repro = space.x(&format!("repro {package} --manifest {manifest}"));
            assert!(repro.starts_with("exit 0\n--- stdout\nidentical: "), "{more} {package}: {repro}");
        }
    }
    space.write("experts/english-basic/README.md", "Another.\n");
    let repro = space.x(&format!("repro p.expert --manifest {manifest}"));
    assert!(repro.contains("exit 1") && repro.contains("the first member to differ is `README.md`"), "{repro}");
    assert!(space.x("verify p.expert --key k.pub --require-signature").starts_with("exit 0"), "it is left as it was");
}

/// New weights under a manifest that still has the hash of the old ones: a build refuses them, a comparison tells of them.
#[test]
fn a_folder_whose_manifest_gives_an_old_hash_is_compared() {
    let space = Space::workspace();
    space.x("english-basic");
    space.x("check --fix english-basic");
    let weights = space.path("experts/english-basic/adapter_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let built = space.x("english-basic");
    assert!(built.starts_with("exit 11") && built.contains("adapter-sha256"), "{built}");
    let told = space.x(&format!("diff {PACKAGE} experts/english-basic --exit-code"));
    assert!(told.starts_with("exit 1") && told.contains("tensors changed"), "{told}");
}

#[test]
fn the_cache_can_be_looked_after() {
    let space = Space::workspace();
    space.x("");
    std::fs::remove_file(space.path(PACKAGE)).unwrap();
    space.x("");
    let path = space.stdout("cache path");
    assert_eq!(space.redacted(&path), "[SPACE]/cache/expert-build\n");
    let stats = space.stdout("cache stats");
    assert!(stats.contains("builds    2: "), "{stats}");
    let stats: serde_json::Value = serde_json::from_str(&space.stdout("cache stats --message-format json")).unwrap();
    assert!(stats["hits"].as_u64().unwrap() > 0 && stats["results"]["files"].as_u64().unwrap() >= 2, "{stats}");
    assert!(space.x("cache verify").contains(": 0 damaged"));
    let gc = space.x("cache gc --max-size 0 --max-age 0");
    assert!(gc.starts_with("exit 0") && gc.contains("removed "), "{gc}");
    assert!(gc.contains(" used within the last hour stay"), "{gc}");
    let cleared = space.x("cache clear");
    assert!(cleared.starts_with("exit 0") && cleared.contains("removed "), "{cleared}");
    assert!(space.stdout("cache stats").contains("contents         0 B  0 files"));
    insta::assert_snapshot!(space.x("cache gc --max-age soon"), @r#"
    exit 2
    --- stderr
    error: invalid value 'soon' for '--max-age <AGE>': `soon` is not an age; an age is a whole number and `minutes`, `hours`, `days` or `weeks`: `90 days`, `12h`

    For more information, try '--help'.
    "#);
}
