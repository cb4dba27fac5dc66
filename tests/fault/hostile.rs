//! Each malformed or hostile file of the fixtures, in every role it could take in an expert, through the whole program.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::campaign::{Campaign, is_long};
use crate::expert::Expert;
use crate::fixtures;
use crate::space::{EXPERT_BUILD, Space, files_below};

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
    files
}

/// Runs it under the clock, and watches the most memory it ever had.
fn watched(space: &Space, arguments: &[&str]) -> Result<(i32, u64, Duration), String> {
    let began = Instant::now();
    let mut command = space.command(EXPERT_BUILD, "", arguments);
    let errors = std::fs::File::create(space.outer("stderr")).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(errors).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        if let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().split(' ').next()).and_then(|number| number.parse().ok());
            most = most.max(kib.unwrap_or(0));
        }
        if let Some(status) = child.try_wait().unwrap() {
            let said = std::fs::read(space.outer("stderr")).unwrap();
            let said = String::from_utf8_lossy(&said);
            let code = status.code().ok_or_else(|| format!("{status}: {said}"))?;
            if code == 101 || said.contains("internal error") {
                return Err(said.into_owned());
            }
            return Ok((code, most, began.elapsed()));
        }
        if began.elapsed() > LONGEST * 4 {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err("it hangs".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn within((code, most, took): (i32, u64, Duration)) -> Result<i32, String> {
    if most > MOST_KIB {
        return Err(format!("{most} KiB"));
    }
    if took > LONGEST {
        return Err(format!("{took:?}"));
    }
    Ok(code)
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
        // The fixtures' largest declare sizes that they do not have: none needs much room here.
        std::fs::copy(file, space.path(&format!("experts/{name}")).join(prepare(&space, &name, role))).unwrap();
    }
    space
}

fn prepare<'r>(space: &Space, name: &str, role: &'r str) -> &'r str {
    let place = space.path(&format!("experts/{name}")).join(role);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    role
}

#[test]
fn every_file_in_every_role() {
    let files = hostile_files();
    if files.is_empty() {
        return;
    }
    let mut campaign = Campaign::new("hostile files in roles");
    for role in ROLES {
        // Groups, so that a run is short and a culprit is soon found.
        for group in files.chunks(if is_long() { 1 } else { 40 }) {
            let space = cast(role, group);
            let outcome = watched(&space, &["build", "-k", "-j", "2", "--strict"]).and_then(within);
            let outcome = outcome.and_then(|code| {
                let whole = space.packages().into_keys().filter(|path| path.ends_with(".expert"));
                let sound = |package: &String| space.run_as(EXPERT_BUILD, "", &["verify", package]).code == 0;
                match whole.take(3).find(|package| !sound(package)) {
                    Some(package) => Err(format!("`{package}` was built and does not verify")),
                    None if [0, 2, 3, 4, 11].contains(&code) => Ok(()),
                    None => Err(format!("exit {code}: {}", std::fs::read_to_string(space.outer("stderr")).unwrap())),
                }
            });
            let names: Vec<_> = group.iter().filter_map(|path| path.file_name()).collect();
            campaign.case(&format!("{role}: {names:?}"), outcome);
        }
    }
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
        let outcome = watched(&space, run).and_then(within).and_then(|code| match code {
            2 | 3 | 5 | 11 => Ok(()),
            code => Err(format!("exit {code}: {}", std::fs::read_to_string(space.outer("stderr")).unwrap())),
        });
        campaign.case(&format!("{run:?} with {}", file.display()), outcome);
    }
    campaign.finish();
}
