//! Completion in real shells, by a program that knows the repo's experts; and the manual pages.

use std::process::Command;

use crate::space::Space;

/// A workspace whose expert `expert-sql` has tags.
fn tagged() -> Space {
    let space = Space::workspace();
    let expertfile = "[workspace]\nmembers = [\"experts/*\"]\n[[expert]]\npath = \"experts/sql\"\n\
        tags = [\"db\", \"prod\"]\n[profile.ci]\nsign = \"off\"\n";
    space.write("Expertfile.toml", expertfile);
    space
}

/// What the program answers a shell that asks for the last of these words.
fn asked(space: &Space, shell: &str, words: &[&str]) -> String {
    let mut command = space.command();
    command.env("EXPERT_BUILD_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    let output = command.arg("--").args(words).output().unwrap();
    assert!(output.status.success(), "{}", space.shown(&output));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The candidates for the last word of a line.
fn candidates(space: &Space, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    asked(space, "bash", &words).lines().map(str::to_owned).collect()
}

/// Where this program lies, as a shell looks for it.
fn path_to_program() -> String {
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_expert-build")).parent().unwrap();
    format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display())
}

/// Is there such a program? Where there is not, the test that asks says that it was skipped.
fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: there is no {program}");
    }
    is_there
}

#[test]
fn what_may_stand_there_is_offered() {
    let space = tagged();
    for (line, expected) in [
        ("expert-build expert-", &["expert-sql"][..]),
        ("expert-build check e", &["english-basic", "expert-sql"]),
        ("expert-build tag:", &["tag:db", "tag:prod"]),
        ("expert-build ls +tag:d", &["+tag:db"]),
        ("expert-build ls model:", &["model:tiny-qwen3"]),
        ("expert-build -n exp", &["expert-sql"]),
        ("expert-build check experts/", &["experts/english-basic", "experts/sql"]),
        ("expert-build -C experts check ./", &["./english-basic", "./sql"]),
        ("expert-build --profile ", &["ci"]),
        ("expert-build --profile=c", &["--profile=ci"]),
        ("expert-build explain weights-not-f", &["weights-not-finite"]),
        ("expert-build config --show-origin ta", &["tags"]),
        ("expert-build check --report sa", &["sarif"]),
        ("expert-build build --compression ", &["gzip", "zstd", "none"]),
        ("expert-build check --str", &["--strict"]),
        ("expert-build compl", &["completions"]),
        ("expert-build cache ", &["stats", "gc", "verify", "clear", "path"]),
        ("expert-build -C nowhere check ", &[]),
    ] {
        let found = candidates(&space, line);
        // Where nothing may stand, the flags are left.
        let found: Vec<&str> =
            found.iter().map(String::as_str).filter(|word| !word.starts_with('-') || line.contains("--")).collect();
        assert_eq!(found, expected, "{line}");
    }
    let first = candidates(&space, "expert-build ");
    assert!(["check", "expert-sql", "tag:db"].iter().all(|word| first.iter().any(|found| found == word)), "{first:?}");
    assert!(!first.iter().any(|word| word.starts_with('-')), "flags are for those who begin one: {first:?}");
    let flags = candidates(&space, "expert-build -");
    assert!(flags.iter().any(|flag| flag == "-k") && !flags.iter().any(|flag| flag == "check"), "{flags:?}");
}

#[test]
fn packages_are_offered_where_one_is_expected() {
    let space = tagged();
    space.stdout("build expert-sql");
    let inspect = candidates(&space, "expert-build inspect experts/sql/weights/");
    assert_eq!(inspect, ["experts/sql/weights/expert-sql.v0.3.0.expert"]);
    let why = candidates(&space, "expert-build why experts/sql/weights/exp");
    assert_eq!(why, ["experts/sql/weights/expert-sql.v0.3.0.expert"]);
}

#[test]
fn bash_replaces_what_follows_its_last_break() {
    if !has("bash") {
        return;
    }
    let space = tagged();
    // The words as bash itself breaks them for its completion functions.
    let script = r#"
        source <(expert-build completions bash)
        complete -p expert-build
        t() {
            COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
            _expert_build_complete 2>/dev/null
            echo "$1:" "${COMPREPLY[@]}"
        }
        t "expert-build tag:" expert-build tag :
        t "expert-build ls +tag:p" expert-build ls +tag : p
        t "expert-build   --color=al" expert-build --color = al
        t "expert-build check ex" expert-build check ex
        t "expert-build check expert-sql " expert-build check expert-sql ""
        t "expert-build --profile " expert-build --profile ""
        COMP_WORDBREAKS=" "
        t "expert-build tag:d" expert-build tag:d
    "#;
    let mut bash = space.program("bash");
    let output = bash.env("PATH", path_to_program()).args(["--norc", "-c", script]).output().unwrap();
    insta::assert_snapshot!(space.shown(&output), @r"
    exit 0
    --- stdout
    complete -o bashdefault -o nosort -F _expert_build_complete expert-build
    expert-build tag:: db prod
    expert-build ls +tag:p: prod
    expert-build   --color=al: always
    expert-build check ex: expert-sql
    expert-build check expert-sql : english-basic expert-sql tag:db tag:prod model:tiny-qwen3
    expert-build --profile : ci
    expert-build tag:d: tag:db
    ");
}

#[test]
fn fish_and_zsh_are_told_what_it_is() {
    let space = tagged();
    insta::assert_snapshot!(asked(&space, "fish", &["expert-build", "ls", "e"]), @r"
    english-basic	1.4.0, in experts/english-basic
    expert-sql	0.3.0, in experts/sql
    ");
    insta::assert_snapshot!(asked(&space, "zsh", &["expert-build", "ls", "tag:"]), @r"
    tag\:db:1 expert
    tag\:prod:1 expert
    ");
    assert!(asked(&space, "powershell", &["expert-build", "ls", "exp"]).contains("expert-sql"));
    if has("fish") {
        let script = "expert-build completions fish | source; complete -C 'expert-build ls expert-s'";
        let mut fish = space.program("fish");
        let output = fish.env("PATH", path_to_program()).args(["--no-config", "-c", script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "expert-sql\t0.3.0, in experts/sql");
    }
    if has("zsh") {
        let script = "source <(expert-build completions zsh | sed 's/^compdef/: compdef/') && whence -w _clap_dynamic_completer_expert_build";
        let mut zsh = space.program("zsh");
        let output = zsh.env("PATH", path_to_program()).args(["-f", "-c", script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "_clap_dynamic_completer_expert_build: function");
    }
}

#[test]
fn every_shell_has_a_script_that_asks() {
    let space = Space::empty();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = space.stdout(&format!("completions {shell}"));
        assert!(script.contains("EXPERT_BUILD_COMPLETE") && script.contains("expert-build"), "{shell}: {script}");
    }
    let mut command = space.command();
    let output = command.env("EXPERT_BUILD_COMPLETE", "tcsh").args(["--", "expert-build", ""]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", space.shown(&output));
    assert!(space.shown(&output).contains("unknown shell `tcsh`"), "{}", space.shown(&output));
}

#[test]
fn every_verb_has_a_manual_page() {
    let space = Space::empty();
    let page = space.stdout("man");
    assert!(page.contains(".TH expert-build 1") && page.contains("130  interrupted"), "{page}");
    insta::assert_snapshot!(space.x("man man1"), @r"
    exit 0
    --- stderr
    wrote 33 pages into man1
    ");
    let verbs = space.stdout("--help");
    let verbs = verbs.split("Verbs:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs = verbs.lines().map(|line| line.trim().split(' ').next().unwrap()).filter(|verb| !verb.is_empty());
    let mut pages: Vec<String> = verbs.map(|verb| format!("expert-build-{verb}.1")).collect();
    assert!(pages.len() > 20, "{pages:?}");
    pages.extend(["expert-build.1".into(), "expert-build-cache-gc.1".into()]);
    let groff = has("groff");
    for page in pages {
        let text = space.read(&format!("man1/{page}"));
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}");
        if groff {
            let output = Command::new("groff")
                .args(["-man", "-ww", "-Tutf8"])
                .arg(space.path(&format!("man1/{page}")))
                .output()
                .unwrap();
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{page}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}
