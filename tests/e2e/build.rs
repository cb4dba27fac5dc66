//! `build`: the first one, and the flags.

use serde_json::json;

use crate::archive::{manifest, paths, sha256};
use crate::expert::{Expert, lora};
use crate::space::{Space, files_below};

#[test]
fn an_expert_becomes_a_package_with_its_checksum_beside_it() {
    let space = Space::new();
    space.add("", &Expert::lora("expert-sql").soft_prompt("intro").file("tokenizer.json", "{}").file("notes.txt", "x"));
    let before = files_below(&space.path(""));
    insta::assert_snapshot!(space.run("build").shown(), @r"
    exit 0
    --- stderr
       built weights/expert-sql.v1.0.0.expert ([SIZE], 7 files, [TIME])
    note: 2 notices (-v shows them)
    built 1, restored 0, up to date 0, failed 0 in [TIME]
    ");

    let mut after = before;
    after.extend(["weights/expert-sql.v1.0.0.expert".into(), "weights/expert-sql.v1.0.0.expert.sha256".into()]);
    assert_eq!(files_below(&space.path("")), after, "nothing else appears in the repo");
    let package = space.read("weights/expert-sql.v1.0.0.expert");
    let line = format!("{}  expert-sql.v1.0.0.expert\n", sha256(&package));
    assert_eq!(String::from_utf8(space.read("weights/expert-sql.v1.0.0.expert.sha256")).unwrap(), line);
    assert_eq!(
        paths(&package),
        [
            "manifest.json",
            "LICENSE",
            "README.md",
            "adapter_config.json",
            "adapter_model.safetensors",
            "soft_prompts/intro.pt",
            "tokenizer.json"
        ]
    );
}

#[test]
fn the_adapters_hash_and_size_are_filled_in() {
    let space = Space::with(&[Expert::lora("a")]);
    space.run("build").ok();
    let weights = space.read("experts/a/adapter_model.safetensors");
    let manifest = manifest(&space.read("experts/a/weights/a.v1.0.0.expert"));
    let adapter = &manifest["base_models"][0]["adapters"][0];
    assert_eq!(adapter["sha256"], json!(sha256(&weights)));
    assert_eq!(adapter["size_bytes"], json!(weights.len()));
    assert_eq!(manifest["integrity"]["files"]["adapter_model.safetensors"], json!(sha256(&weights)));
}

/// Stat knows the size: that the manifest speaks of other weights is told before they are read.
#[test]
fn a_wrong_size_is_told_before_the_weights_are_read() {
    let weights = lora("a", 2, 4, &["q_proj", "v_proj"], 1 << 15, false);
    let expert = Expert::lora("a").file("adapter_model.safetensors", &weights);
    let read = |size: usize| {
        let space = Space::with(&[expert.clone().set("/base_models/0/adapters/0/size_bytes", json!(size))]);
        let ran = space.run("build --message-format json");
        let events = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let read = events.filter_map(|event| event["bytes_read"].as_u64()).sum::<u64>();
        (ran, read as usize)
    };
    let (ran, right) = read(weights.len());
    ran.ok();
    assert!(right >= weights.len(), "{right}");
    let (ran, wrong) = read(weights.len() - 1);
    ran.exits(11).says(&format!(
        "`size_bytes` is {}, `adapter_model.safetensors` has {}",
        weights.len() - 1,
        weights.len()
    ));
    assert!(wrong < 1 << 20, "{wrong}");
}

#[test]
fn without_a_verb_it_builds() {
    let space = Space::with(&[Expert::lora("a"), Expert::lora("b")]);
    space.run("").ok().did([2, 0, 0, 0]);
    space.run("-j 1").ok().did([0, 0, 2, 0]);
}

#[test]
fn the_expert_one_stands_in_is_built_alone() {
    let space = Space::with(&[Expert::lora("a"), Expert::lora("b")]);
    let ran = space.run_as(crate::space::EXPERT_BUILD, "experts/b", &["build"]);
    ran.ok().did([1, 0, 0, 0]);
    assert!(!space.exists("experts/a/weights"));
    space.run("-C experts/a build").ok().did([1, 0, 0, 0]);
    assert!(space.exists("experts/a/weights/a.v1.0.0.expert"));
}

#[test]
fn a_dry_run_writes_nothing_and_says_what_is_stale() {
    let space = Space::with(&[Expert::lora("a"), Expert::lora("b")]);
    space.run("build experts/a").ok();
    let before = files_below(&space.path(""));
    space.run("build -n").exits(1).says("b");
    assert_eq!(files_below(&space.path("")), before);
    space.run("build").ok();
    space.run("build -n").ok();
}

#[test]
fn frozen_fails_where_something_is_stale_and_builds_nothing() {
    let space = Space::with(&[Expert::lora("a")]);
    space.run("build --frozen").exits(1);
    assert!(space.outputs().is_empty());
    space.run("build").ok();
    // Files written in the tick in which they were read cannot be told from changed ones by stat; the next build can.
    space.run("build").ok().did([0, 0, 1, 0]);
    space.run("build --frozen").ok();
    space.write("experts/a/README.md", "changed");
    let before = space.outputs();
    space.run("build --frozen").exits(1).says("README.md");
    assert_eq!(space.outputs(), before);
}

#[test]
fn an_invalid_expert_gets_no_package_and_keeps_the_one_it_had() {
    let space = Space::with(&[Expert::lora("a")]);
    space.run("build").ok();
    let before = space.packages();
    space.add("experts/a", &Expert::lora("a").set("/base_models/0/adapters/0/r", json!(16)));
    space.run("build").exits(11).says("adapter-rank-mismatch").says("manifest.json");
    assert_eq!(space.packages(), before);
}

#[test]
fn without_keep_going_the_first_failure_stops_and_with_it_the_others_are_built() {
    let mut experts: Vec<Expert> = ["a", "b", "c", "d", "e"].map(Expert::lora).into();
    experts[0] = Expert::lora("a").without("adapter_model.safetensors");
    let space = Space::with(&experts);
    let ran = space.run("build -j 1").exits(11).says("file-missing");
    let [built, _, _, failed] = ran.counts();
    assert!(built < 4 && failed == 1, "{}", ran.shown());
    space.run("build -k").exits(11).says("file-missing");
    assert_eq!(space.packages().len(), 8);
    assert!(!space.exists("experts/a/weights"));
}

#[test]
fn what_requires_a_failed_expert_is_not_built() {
    let space = Space::with(&[
        Expert::lora("base").without("adapter_model.safetensors"),
        Expert::lora("top").requires(&["base"]),
        Expert::lora("other"),
    ]);
    space.run("build -k").exits(11);
    assert!(space.exists("experts/other/weights/other.v1.0.0.expert"));
    assert!(!space.exists("experts/top/weights"), "what it requires has no package");
}

#[test]
fn force_builds_anew_and_leaves_equal_bytes_alone() {
    let space = Space::with(&[Expert::lora("a")]);
    space.run("build").ok();
    let (bytes, before) = (space.packages(), space.outputs());
    space.run("build --force").ok();
    assert_eq!(space.packages(), bytes);
    let _ = before;
}

#[test]
fn a_flag_beats_the_expertfile() {
    let space = Space::with(&[Expert::lora("a")]);
    space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ncompression = \"none\"\n");
    let package = "experts/a/weights/a.v1.0.0.expert";
    space.run("build").ok();
    assert!(space.read(package).starts_with(b"manifest.json\0"));
    space.run("build --compression zstd --level 19").ok();
    assert!(space.read(package).starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    assert_eq!(
        manifest(&space.read(package))["package"],
        json!({"format_version": 1, "archive": "tar", "compression": "zstd", "level": 19})
    );
    space.run("build --compression gzip --level 22").exits(2).says("level");
}
