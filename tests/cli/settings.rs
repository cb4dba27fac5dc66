//! `init` and `config`: where settings come from.

use crate::space::Space;

#[test]
fn init_writes_what_builds_unchanged() {
    let space = Space::workspace();
    insta::assert_snapshot!(space.x("init"), @r#"
    exit 2
    --- stderr
    error: there is an Expertfile.toml already
      help: `expert-build config` shows what it says; `--force` overwrites it
    "#);
    std::fs::remove_file(space.path("Expertfile.toml")).unwrap();
    let before = space.x("-C experts/english-basic -n");
    insta::assert_snapshot!(space.x("init"), @r#"
    exit 0
    --- stderr
    wrote Expertfile.toml for 2 experts; `expert-build` builds what it says
    "#);
    assert!(space.read("Expertfile.toml").contains("members = [\"experts/*\"]"));
    assert!(before.contains("english-basic"), "{before}");
    let built = space.x("");
    assert!(built.starts_with("exit 0") && built.contains("built 2"), "{built}");
    insta::assert_snapshot!(space.x("init --force"), @r#"
    exit 0
    --- stderr
    replaced Expertfile.toml for 2 experts; `expert-build` builds what it says
    "#);
    insta::assert_snapshot!(Space::empty().x("init"), @r#"
    exit 2
    --- stderr
    error: there is no expert here or below
      help: an expert is a folder with a manifest.json that names its base model and adapters
    "#);
}

#[test]
fn every_value_can_be_traced() {
    let space = Space::workspace();
    space.write(
        "Expertfile.toml",
        "[workspace]\nmembers = [\"experts/*\"]\n\n[defaults]\nlevel = 7\n\n[profile.ci]\nlints.preset = \"strict\"\n",
    );
    insta::assert_snapshot!(space.x("--profile ci config level compression lints --show-origin"), @r#"
    exit 0
    --- stdout
    experts/english-basic: compression = "gzip"  # built in
    experts/english-basic: level = 7  # defaults at Expertfile.toml:5
    experts/english-basic: lints.preset = "strict"  # profile `ci` at Expertfile.toml:8
    experts/sql: compression = "gzip"  # built in
    experts/sql: level = 7  # defaults at Expertfile.toml:5
    experts/sql: lints.preset = "strict"  # profile `ci` at Expertfile.toml:8
    "#);
    let output = space.command().args(["config", "level", "--show-origin"]).env("EXPERT_BUILD_LEVEL", "3").output();
    insta::assert_snapshot!(space.shown(&output.unwrap()), @r#"
    exit 0
    --- stdout
    experts/english-basic: level = 3  # variable `EXPERT_BUILD_LEVEL`
    experts/sql: level = 3  # variable `EXPERT_BUILD_LEVEL`
    "#);
    insta::assert_snapshot!(space.x("config levle"), @r#"
    exit 2
    --- stderr
    error: no value is set for `levle`
      help: did you mean `level`?
    "#);
    let row = space.stdout("config cache.max-size --message-format json");
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    assert_eq!((&row["table"], &row["origin"]), (&"[cache]".into(), &"built in".into()));
    let whole = space.stdout("config");
    assert!(whole.starts_with("expertfile = 1\n\n[workspace]\n"), "{whole}");
}

#[test]
fn the_cache_lies_where_flag_or_variable_say() {
    let space = Space::workspace();
    space.x("english-basic --cache-dir here");
    assert!(space.path("here/CACHEDIR.TAG").is_file());
    let output = space.command().arg("expert-sql").env("EXPERT_BUILD_CACHE_DIR", "there").output().unwrap();
    assert!(output.status.success());
    assert!(space.path("there/CACHEDIR.TAG").is_file());
}
