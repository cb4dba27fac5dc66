//! Each malformed or hostile file of the fixtures, in every role it could take in an expert, through the whole program.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::campaign::{Campaign, is_long};
use crate::expert::Expert;
use crate::fixtures;
use crate::space::{EXPERT_BUILD, Space, files_below};
use crate::weigh::{Weighed, weigh};

/// What a run may take.
const MOST_KIB: u64 = 256 << 10;
const LONGEST: Duration = Duration::from_secs(10);

/// The files that a loader of an expert meets.
const ROLES: [&str; 11] = [
    "soft_prompts/p.pt",
    "adapter_model.safetensors",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "grammar.gbnf",
    "LICENSE",
    "manifest.json",
    "tokenizer.model",
    "chat_template.jinja",
    "README.md",
];

fn hostile_files() -> Vec<PathBuf> {
    let Some(top) = fixtures::dir() else { return Vec::new() };
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["pt/hostile", "safetensors", "experts-bad"] {
        let all = files_below(&top.join(folder)).into_iter();
        files.extend(all.map(|path| top.join(folder).join(path)));
    }
    // Each content once.
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|path| seen.insert(std::fs::read(path).map(|bytes| expert_build::base::Sha256::of(&bytes)).ok()));
    files
}

/// Runs it within the limits of memory and time. A machine that is busy may stretch the time, so more than one file at a
/// time gets more of it.
fn watched(space: &Space, arguments: &[&str], files: u32) -> Result<Weighed, String> {
    let run = weigh(space, EXPERT_BUILD, arguments, LONGEST * files.min(4))?;
    if run.peak > MOST_KIB { Err(format!("{} KiB", run.peak)) } else { Ok(run) }
}

/// One expert for each file, in which that file has this role.
fn cast(role: &str, files: &[PathBuf]) -> Space {
    let space = Space::new();
    space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n");
    for (number, file) in files.iter().enumerate() {
        let name = format!("e{number:03}");
        let mut expert = Expert::lora(&name);
        if role.ends_with(".pt") {
            expert = expert.set("/soft_prompts", json!([{"name": "p", "path": role, "tokens": 4}]));
        }
        if role.ends_with(".gbnf") {
            expert = expert.set("/decoding", json!({"use_grammar": true, "grammar_file": role}));
        }
        space.add(&format!("experts/{name}"), &expert);
        let place = space.path(&format!("experts/{name}/{role}"));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(file, place).unwrap();
    }
    space
}

#[test]
fn every_file_in_every_role() {
    let files = hostile_files();
    if files.is_empty() {
        return;
    }
    let mut campaign = Campaign::new("hostile files in roles");
    let mut most = 0;
    for role in ROLES {
        // Groups, so that a run is short and a culprit is soon found.
        for group in files.chunks(if is_long() { 1 } else { 60 }) {
            let space = cast(role, group);
            let outcome = watched(&space, &["build", "-k", "-j", "2", "--strict"], group.len() as u32);
            let outcome = outcome.and_then(|run| {
                most = most.max(run.peak);
                let whole = space.packages().into_keys().filter(|path| path.ends_with(".expert"));
                let sound = |package: &String| space.run_as(EXPERT_BUILD, "", &["verify", package]).code == 0;
                match whole.take(2).find(|package| !sound(package)) {
                    Some(package) => Err(format!("`{package}` was built and does not verify")),
                    None if [0, 2, 3, 4, 11].contains(&run.code) => Ok(()),
                    None => Err(format!("exit {}: {}", run.code, run.stderr)),
                }
            });
            let names: Vec<_> = group.iter().filter_map(|path| path.file_name()).collect();
            campaign.case(&format!("{role}: {names:?}"), outcome);
        }
    }
    eprintln!("most memory of a run: {most} KiB");
    campaign.finish();
}

/// The same files where a package, a key or an Expertfile is expected.
#[test]
fn every_file_as_what_the_command_line_names() {
    let files = hostile_files();
    if files.is_empty() {
        return;
    }
    let mut campaign = Campaign::new("hostile files on the command line");
    let mut most = 0;
    let space = Space::with(&[Expert::lora("alpha")]);
    space.run("build").ok();
    let good = "experts/alpha/weights/alpha.v1.0.0.expert";
    let runs: [&[&str]; 9] = [
        &["verify", "x.expert"],
        &["inspect", "--tensors", "x.expert"],
        &["extract", "x.expert", "--output", "o"],
        &["cat", "x.expert", "manifest.json"],
        &["diff", "x.expert", good],
        &["verify", good, "--key", "x.expert"],
        &["sign", good, "--key", "x.expert"],
        &["sign", "x.expert", "--key", "x.expert"],
        &["package", "--manifest", "x.expert", "--weights", "x.expert"],
    ];
    let cases = files.iter().flat_map(|file| runs.map(|run| (file, run))).collect();
    for (file, run) in campaign.sample(cases, 120) {
        std::fs::copy(file, space.path("x.expert")).unwrap();
        let outcome = watched(&space, run, 1).and_then(|run| {
            most = most.max(run.peak);
            match run.code {
                2 | 3 | 5 | 11 => Ok(()),
                code => Err(format!("exit {code}: {}", run.stderr)),
            }
        });
        campaign.case(&format!("{run:?} with {}", file.display()), outcome);
    }
    eprintln!("most memory of a run: {most} KiB");
    campaign.finish();
}
