//! Very many experts, files and prompts, a huge file, long paths and deep folders: time grows with the work, memory hardly.
//!
//! The long form is meant for an optimised program (`EXPERT_BUILD_FAULTS_PROGRAM`); with the tests' own it is smaller.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::campaign::{Campaign, is_long, scale};
use crate::expert::Expert;
use crate::ground::in_order;
use crate::space::{EXPERT_BUILD, Space};
use crate::subject::{no_litter, watched_space};
use crate::weigh::{Weighed, is_optimised, program, weigh};

const LONGEST: Duration = Duration::from_secs(1800);

/// What every run of the released program may take; each expert, file or prompt adds to it.
const BASE_KIB: u64 = 32 << 10;

/// How much two runs of the same work differ.
const NOISE_KIB: u64 = 4 << 10;

/// The same for the program under test: one that is not optimised takes for its own code alone what `--version` takes. That
/// is over within milliseconds, so a look may come too early or too late: the most of several runs counts.
fn base_kib(space: &Space) -> u64 {
    let own = || (0..8).filter_map(|_| run(space, &["--version"]).ok()).map(|run| run.peak).max().unwrap_or(0);
    BASE_KIB + if is_optimised() { 0 } else { own() }
}

fn run(space: &Space, arguments: &[&str]) -> Result<Weighed, String> {
    let run = weigh(space, program(), arguments, LONGEST)?;
    if run.code == 0 { Ok(run) } else { Err(format!("exit {}: {}", run.code, run.stderr)) }
}

/// Builds a repo of each of two sizes, and again when nothing is to be done. The larger may take so much longer as it is
/// larger, and twice that for noise; each item may take so many bytes of memory, by itself and beside what smaller runs take.
fn grows(campaign: &mut Campaign, what: &str, sizes: [usize; 2], each: u64, make: &dyn Fn(usize) -> Space) {
    let runs: [Result<_, String>; 2] = sizes.map(|size| {
        let space = make(size);
        let built = run(&space, &["build", "-q", "-j", "2"])?;
        Ok((built, run(&space, &["build", "-q", "-j", "2"])?, base_kib(&space)))
    });
    let outcome: Result<(), String> = match &runs {
        [Ok(small), Ok(large)] => {
            for (when, small, large) in [("built", &small.0, &large.0), ("nothing to do", &small.1, &large.1)] {
                let times = (small.took, large.took);
                eprintln!("{what}, {when}: {sizes:?} in {times:?}, {} and {} KiB", small.peak, large.peak);
            }
            let factor = (sizes[1] / sizes[0]) as u32;
            let linear =
                |small: &Weighed, large: &Weighed| large.took < (small.took + Duration::from_millis(200)) * factor * 2;
            let most = large.2 + sizes[1] as u64 * each / 1024;
            let grown = NOISE_KIB + (sizes[1] - sizes[0]) as u64 * each / 1024;
            let grows_more = |small: &Weighed, large: &Weighed| large.peak > small.peak + grown;
            // A run with nothing to do may be answered by the index alone or, where files are too young to be believed, by
            // looking at the repo. The code of the longer way weighs more than the noise where it is not optimised.
            let rest_grows = is_optimised() && grows_more(&small.1, &large.1);
            if !linear(&small.0, &large.0) || !linear(&small.1, &large.1) {
                Err("not linear".into())
            } else if large.0.peak.max(large.1.peak) > most {
                Err(format!("more than {most} KiB"))
            } else if grows_more(&small.0, &large.0) || rest_grows {
                Err(format!("{grown} KiB more than for {}", sizes[0]))
            } else {
                Ok(())
            }
        }
        [Err(fault), _] | [_, Err(fault)] => Err(fault.clone()),
    };
    campaign.case(what, outcome);
}

/// The size of the long form, for an optimised program and for another.
fn many(optimised: usize, otherwise: usize) -> usize {
    if is_optimised() { optimised } else { otherwise }
}

#[test]
fn very_many_experts() {
    let mut campaign = Campaign::new("load, experts");
    let large = scale(600, many(100_000, 10_000));
    grows(&mut campaign, "experts", [large / 5, large], 4 << 10, &|count| {
        let experts: Vec<Expert> = (0..count).map(|i| Expert::lora(&format!("e{i:06}"))).collect();
        Space::with(&experts)
    });
    campaign.finish();
}

/// All of them are wrong, in the same way or each in its own: time still grows with their number alone.
#[test]
fn very_many_faults() {
    let mut campaign = Campaign::new("load, faults");
    let sizes = [scale(100, 1_000), scale(400, 4_000)];
    for (what, own) in [("one name that nobody has", false), ("names that nobody has", true)] {
        let times = sizes.map(|size| {
            let missing = |i: usize| if own { format!("missing-{i:06}@>=1.0.0") } else { "missing@>=1.0.0".to_owned() };
            let expert = |i: usize| Expert::lora(&format!("e{i:06}")).requires(&[&missing(i)]);
            let space = Space::with(&(0..size).map(expert).collect::<Vec<_>>());
            weigh(&space, program(), &["build", "-q", "-k", "-j", "2"], LONGEST)
        });
        let outcome = match times {
            [Ok(small), Ok(large)] => {
                eprintln!("{what}: {sizes:?} in {:?}, {} and {} KiB", (small.took, large.took), small.peak, large.peak);
                let linear = large.took < (small.took + Duration::from_millis(200)) * 8;
                let told = large.stderr.matches("error[requirement-unmet]").count();
                match (small.code, large.code) {
                    (4, 4) if linear && told == sizes[1] => Ok(()),
                    codes => Err(format!("{codes:?}, {told} told, linear: {linear}")),
                }
            }
            [Err(fault), _] | [_, Err(fault)] => Err(fault),
        };
        campaign.case(what, outcome);
    }
    campaign.finish();
}

#[test]
fn very_many_files_and_prompts() {
    let mut campaign = Campaign::new("load, files");
    let large = scale(300, many(100_000, 10_000));
    grows(&mut campaign, "files of one expert", [large / 5, large], 6 << 10, &|count| {
        let mut expert = Expert::lora("many");
        for i in 0..count {
            expert = expert.file(&format!("docs/{}/{i:06}.md", i % 50), format!("file {i}\n"));
        }
        let space = Space::with(&[expert]);
        space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ninclude = [\"docs/**\"]\n");
        space
    });
    let prompts = scale(120, many(10_000, 2_000));
    grows(&mut campaign, "soft prompts", [prompts / 5, prompts], 16 << 10, &|count| {
        let prompts = (0..count).map(|i| format!("p{i:05}"));
        Space::with(&[prompts.fold(Expert::lora("prompts"), |expert, name| expert.soft_prompt(&name))])
    });
    campaign.finish();
}

/// One tensor after the other of nothing but zeros, which take no room on the disk.
fn sparse(space: &Space, path: &str, bytes: u64) {
    const RANK: u64 = 64;
    let width = bytes / 4 / RANK / 2;
    let half = width * RANK * 2;
    let name = |which: &str| format!("base_model.model.model.layers.0.self_attn.q_proj.lora_{which}.weight");
    let header = json!({
        name("A"): {"dtype": "BF16", "shape": [RANK, width], "data_offsets": [0, half]},
        name("B"): {"dtype": "BF16", "shape": [width, RANK], "data_offsets": [half, 2 * half]},
    });
    let mut header = header.to_string();
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    let mut file = std::fs::File::create(space.path(path)).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + 2 * half).unwrap();
}

/// Memory is bounded by the threads, not by the file.
#[test]
fn a_huge_file() {
    let mut campaign = Campaign::new("load, a huge file");
    let gib = 1_u64 << 30;
    let bytes = if is_long() && is_optimised() { 20 * gib } else { scale(48 << 20, 1 << 30) as u64 };
    for compression in ["gzip", "zstd"] {
        let adapter = json!([{"type": "lora", "target_modules": ["q_proj"], "r": 64, "alpha": 64}]);
        let config = json!({"peft_type": "LORA", "r": 64, "lora_alpha": 64, "target_modules": ["q_proj"],
            "base_model_name_or_path": "tiny", "task_type": "CAUSAL_LM"});
        let expert = Expert::lora("huge").set("/base_models/0/adapters", adapter);
        let space = Space::with(&[expert.file("adapter_config.json", config.to_string())]);
        sparse(&space, "experts/huge/adapter_model.safetensors", bytes);
        let outcome = run(&space, &["build", "-q", "-j", "2", "--compression", compression]).and_then(|run| {
            eprintln!("{bytes} bytes, {compression}: {:?}, {} KiB", run.took, run.peak);
            if run.peak <= base_kib(&space) { Ok(()) } else { Err(format!("{} KiB", run.peak)) }
        });
        campaign.case(compression, outcome);
    }
    campaign.finish();
}

#[test]
fn deep_folders_and_long_paths() {
    let mut campaign = Campaign::new("long paths");
    let long = "a-folder-with-a-name-that-goes-on-and-on-and-on";
    for (what, folder, depth) in [("deep", "d", scale(500, 1900)), ("long names", long, 60), ("4 KiB", long, 82)] {
        let deep = format!("docs/{}end.md", format!("{folder}/").repeat(depth));
        let expert = Expert::lora("deep").set("/description", json!(what)).file(&deep, "at the bottom\n");
        let space = Space::with(&[expert]);
        space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ninclude = [\"docs/**\"]\n");
        let package = "experts/deep/weights/deep.v1.0.0.expert";
        let ran = space.run("build");
        let mut outcome = if ran.code == 0 { Ok(()) } else { Err(ran.shown()) };
        if outcome.is_ok() {
            let ran = space.run_as(EXPERT_BUILD, "", &["cat", package, &deep]);
            if ran.stdout != "at the bottom\n" {
                outcome = Err(ran.shown());
            }
        }
        campaign.case(what, outcome);
    }
    campaign.finish();
}

/// Experts that lie so deep that first their temporary, then their package, then they themselves cannot be named.
#[test]
fn packages_at_the_end_of_paths() {
    let mut campaign = Campaign::new("packages with long paths");
    let mut told = [0, 0];
    for length in (3990..4066).step_by(scale(12, 1)) {
        let space = watched_space();
        let lead = space.path("").display().to_string().len();
        // Folders of 100 letters, and one that makes up the length of the expert's path.
        let (mut folder, mut left) = (String::new(), length - lead);
        while left > 240 {
            folder += &format!("{}/", "f".repeat(99));
            left -= 100;
        }
        folder += &"f".repeat(left);
        space.write("Expertfile.toml", format!("[workspace]\nmembers = [\"{folder}\"]\n"));
        space.add(&folder, &Expert::lora("alpha"));
        let ran = space.run("build");
        told[usize::from(ran.code == 0)] += 1;
        let mut outcome = in_order(&ran, &[0, 3, 11]).and_then(|()| no_litter(&space));
        let packages = space.packages();
        if packages.len() != 2 * usize::from(ran.code == 0) {
            outcome = outcome.and(Err(format!("{} files: {}", packages.len(), ran.shown())));
        }
        campaign.case(&format!("{length} letters"), outcome);
    }
    assert!(told[0] > 0 && told[1] > 0, "the lengths are not telling: {told:?}");
    campaign.finish();
}
