//! `examples/`: they build without a warning, their weights are what the script makes, the library's example runs.

use std::path::{Path, PathBuf};

use crate::space::{Space, files_below, succeeds, tool};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn space() -> Space {
    let space = Space::new();
    space.copy(&examples(), "");
    for (path, _) in space.outputs() {
        space.remove(&path);
    }
    space
}

#[test]
fn the_examples_build_and_are_valid_under_the_strict_preset() {
    let space = space();
    space.run("--profile ci check").ok();
    space.run("build").ok().did([5, 0, 0, 0]);
    let packages = space.packages();
    let names: Vec<&str> =
        packages.keys().filter_map(|path| path.strip_prefix("dist/")?.strip_suffix(".expert")).collect();
    assert_eq!(
        names,
        [
            "english-basic.v1.4.0",
            "expert-sql.v0.3.0",
            "expert-summary.v1.0.0",
            "expert-translate-tiny-llama.v2.1.0",
            "expert-translate-tiny-qwen3.v2.1.0"
        ]
    );
    space.run("build").ok().did([0, 0, 5, 0]);
}

#[test]
fn their_weights_are_small_and_what_the_script_makes() {
    let space = space();
    let weights = |path: &String| path.ends_with(".safetensors") || path.ends_with(".pt");
    let paths: Vec<String> = files_below(&space.path("")).into_iter().filter(weights).collect();
    assert_eq!(paths.len(), 6);
    let before: Vec<Vec<u8>> = paths.iter().map(|path| space.read(path)).collect();
    assert!(before.iter().all(|bytes| bytes.len() < 50_000));
    let Some(mut python) = tool("python3", &["--version"]) else { return };
    paths.iter().for_each(|path| space.remove(path));
    succeeds(python.arg(space.path("make_weights.py")));
    let after: Vec<Vec<u8>> = paths.iter().map(|path| space.read(path)).collect();
    assert!(before == after);
}

/// Built by `cargo test` as a whole, not by `cargo test --test e2e`.
#[test]
fn the_library_builds_and_prints_nothing_by_itself() {
    let own = std::env::current_exe().unwrap();
    let example = own.parent().and_then(Path::parent).unwrap().join("examples/library");
    if !example.is_file() {
        eprintln!("SKIPPED: {} is not built", example.display());
        return;
    }
    let mut space = space();
    space.set("TMPDIR", &space.outer("home").display().to_string());
    let ran = space.run_as(example.to_str().unwrap(), "", &["."]).ok();
    assert_eq!(ran.stderr, "");
    let starts =
        ["english-basic: ", "expert-", "  english-basic ", "  expert-", "hash-unfilled: ", "5 built, 0 up to date"];
    for line in ran.stdout.lines() {
        assert!(starts.iter().any(|start| line.starts_with(start)), "`{line}` is not the example's");
    }
    assert_eq!(space.packages().len(), 10);
    space.run_as(example.to_str().unwrap(), "", &["."]).ok().says("0 built, 5 up to date");
}
