//! The examples for CI do what they say: their commands are run as they stand there.

use std::path::Path;
use std::process::Command;

use crate::expert::Expert;
use crate::space::{EXPERT_BUILD, Space, succeeds};

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A repo, and a home where the program lies as the action puts it there.
fn space() -> Space {
    let space = Space::with(&[Expert::lora("alpha"), Expert::lora("beta")]);
    let bin = space.outer("home/.expert-build/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(EXPERT_BUILD, bin.join("expert-build")).unwrap();
    space
}

fn shell(space: &Space, script: &str, env: &[(&str, &str)]) -> String {
    let mut command = Command::new("bash");
    let home = space.outer("home");
    let path = format!("{}:/usr/bin:/bin", home.join(".expert-build/bin").display());
    command.args(["-e", "-c", script]).current_dir(space.path("")).env_clear();
    command.env("HOME", &home).env("PATH", path).env("RUNNER_TEMP", &home).envs(env.iter().copied());
    succeeds(&mut command)
}

/// The scripts of an action's steps.
fn scripts(action: &str) -> Vec<String> {
    let blocks = action.split("      run: |\n").skip(1);
    blocks
        .map(|block| {
            block
                .lines()
                .take_while(|line| line.is_empty() || line.starts_with("        "))
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect()
}

#[test]
fn the_action_builds_signs_and_brings_the_cache_down() {
    let scripts = scripts(&text("examples/ci/action.yml"));
    assert_eq!(scripts.len(), 2);
    let space = space();
    space.run("keygen --output key.pem").ok();
    let key = String::from_utf8(space.read("key.pem")).unwrap();
    let inputs = |selectors, key| {
        [("SELECTORS", selectors), ("TIMINGS", "t.html"), ("EXPERT_BUILD_PROFILE", ""), ("SIGNING_KEY", key)]
    };
    shell(&space, &scripts[0], &inputs("alpha", ""));
    assert_eq!(space.packages().len(), 2);
    assert!(space.exists("t.html"));
    shell(&space, &scripts[0], &inputs("alpha beta", key.trim_end()));
    assert_eq!(space.packages().len(), 4);
    space.run("verify --require-signature --key key.pub experts/beta/weights/beta.v1.0.0.expert").ok();
    assert!(!space.outer("home/expert-build-key.pem").exists(), "the key does not stay on the disk");
    let said = shell(&space, &scripts[1], &[("MAX_SIZE", "1GiB")]);
    assert!(said.contains("1.0 GiB") || said.contains("results"), "{said}");
}

#[test]
fn the_jobs_for_gitlab_run() {
    let space = space();
    let file = text("examples/ci/gitlab-ci.yml");
    let commands: Vec<&str> = file.lines().filter_map(|line| line.trim().strip_prefix("- expert-build ")).collect();
    assert_eq!(commands.len(), 4);
    for command in commands {
        shell(&space, &format!("expert-build {command}"), &[]);
    }
    assert!(["check.xml", "timings.html", "dist/alpha.v1.0.0.expert"].iter().all(|path| space.exists(path)));
}

#[test]
fn the_hooks_run_and_look_at_the_right_files() {
    let space = space();
    let file = text(".pre-commit-hooks.yaml");
    let entries: Vec<&str> = file.lines().filter_map(|line| line.trim().strip_prefix("entry: expert-build ")).collect();
    assert_eq!(entries, ["check --keep-going", "build --frozen"]);
    space.run(entries[0]).ok();
    space.run(entries[1]).exits(1);
    space.run("build").ok();
    space.run(entries[1]).ok();
    let pattern = file.lines().find_map(|line| line.trim().strip_prefix("files: '")).unwrap().trim_end_matches('\'');
    let pattern = regex::Regex::new(pattern).unwrap();
    for path in Expert::lora("alpha").files().keys() {
        assert!(pattern.is_match(&format!("experts/alpha/{path}")), "{path} would not be looked at");
    }
    assert!(pattern.is_match("Expertfile.toml") && !pattern.is_match("src/main.rs"));
}
