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
fn what_stands_outside_of_experts_is_shown_too() {
    let space = Space::workspace();
    space.write(
        "Expertfile.toml",
        "required-version = \">=0.1\"\n[workspace]\nmembers = [\"experts/*\"]\nexclude = [\"experts/sql\"]\n\
         default-members = [\"experts/english-basic\"]\n[cache.remote]\nurl = \"off\"\nwrite = \"always\"\n",
    );
    let keys = "required-version workspace default-members cache.remote.url cache.remote.write --show-origin";
    insta::assert_snapshot!(space.x(&format!("config {keys}")), @r#"
    exit 0
    --- stdout
    required-version = ">=0.1"  # Expertfile.toml:1
    members = ["experts/*"]  # workspace at Expertfile.toml:3
    exclude = ["experts/sql"]  # workspace at Expertfile.toml:4
    default-members = ["experts/english-basic"]  # workspace at Expertfile.toml:5
    remote.url = "off"  # cache at Expertfile.toml:7
    remote.write = "always"  # cache at Expertfile.toml:8
    "#);
    let whole = space.stdout("config");
    assert!(whole.starts_with("expertfile = 1\nrequired-version = \">=0.1\"\n\n[workspace]\n"), "{whole}");
    let unused = space.stdout("cache stats --message-format json");
    let unused: serde_json::Value = serde_json::from_str(&unused).unwrap();
    assert!(unused["remote"]["mode"].is_null(), "what is off is shown and not used");
}

#[test]
fn settings_and_cache_need_no_expert() {
    let space = Space::empty();
    let shown = space.x("config cache.max-size --show-origin");
    assert_eq!(shown, "exit 0\n--- stdout\nmax-size = \"20GiB\"  # built in\n");
    for verb in ["path", "stats", "gc", "verify", "clear"] {
        let told = space.x(&format!("cache {verb}"));
        assert!(told.starts_with("exit 0"), "{verb}: {told}");
    }
    // What is wrong with experts does not move the cache.
    space.write("Expertfile.toml", "[cache]\ndir = \"here\"\n[[expert]]\npath = \"gone\"\n[defaults]\nlevle = 1\n");
    assert_eq!(space.x("cache path"), "exit 0\n--- stdout\n[SPACE]/repo/here\n");
    assert!(space.x("config").starts_with("exit 2"), "what is wrong with settings is told");
    space.write("Expertfile.toml", "[cache]\ndir = 1\n");
    assert!(space.x("cache path").starts_with("exit 2"), "where it lies is not guessed");
}

#[test]
fn offline_is_on_or_off() {
    let space = Space::workspace();
    space.write(
        "Expertfile.toml",
        "[workspace]\nmembers = [\"experts/*\"]\n[cache.remote]\nurl = \"grpc://localhost:1\"\n",
    );
    let stats = |value: &str, flag: &[&str]| {
        let output = space.command().args(["cache", "stats"]).args(flag).env("EXPERT_BUILD_OFFLINE", value).output();
        space.shown(&output.unwrap())
    };
    for off in ["0", "no", "off", "false", "False", ""] {
        assert!(!stats(off, &[]).contains("off:"), "{off}");
    }
    for on in ["1", "true", "yes", "on"] {
        assert!(stats(on, &[]).contains("remote    off: EXPERT_BUILD_OFFLINE at grpc://localhost:1"), "{on}");
    }
    assert!(stats("1", &["--offline"]).contains("remote    off: --offline at"));
    insta::assert_snapshot!(stats("maybe", &[]), @r#"
    exit 2
    --- stderr
    error: EXPERT_BUILD_OFFLINE is `maybe`, which is neither on nor off
      help: it is 1, true, yes or on; or 0, false, no, off or not set
    "#);
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
