//! Very many experts, files and prompts, long paths and deep folders: time grows with the work, memory does not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::campaign::{Campaign, is_long};
use crate::expert::Expert;
use crate::space::Space;

fn timed(space: &Space, arguments: &str) -> Result<Duration, String> {
    let began = Instant::now();
    let ran = space.run(arguments);
    if ran.code == 0 { Ok(began.elapsed()) } else { Err(ran.shown()) }
}

/// Builds a repo of each of two sizes; the larger may take so much longer as it is larger, and twice that for noise.
fn grows(campaign: &mut Campaign, what: &str, sizes: [usize; 2], make: &dyn Fn(usize) -> Space) {
    let times = sizes.map(|size| {
        let space = make(size);
        let built = timed(&space, "build -q");
        built.and_then(|built| Ok((built, timed(&space, "build -q")?)))
    });
    let outcome = match times {
        [Ok((small, small_again)), Ok((large, large_again))] => {
            eprintln!(
                "{what}: {sizes:?} built in {small:?} and {large:?}, again in {small_again:?} and {large_again:?}"
            );
            let factor = (sizes[1] / sizes[0]) as u32;
            let linear = |small: Duration, large: Duration| large < (small + Duration::from_millis(200)) * factor * 2;
            if linear(small, large) && linear(small_again, large_again) { Ok(()) } else { Err("not linear".into()) }
        }
        [Err(fault), _] | [_, Err(fault)] => Err(fault),
    };
    campaign.case(what, outcome);
}

#[test]
fn very_many_of_everything() {
    let mut campaign = Campaign::new("load");
    let large = if is_long() { 20_000 } else { 600 };
    grows(&mut campaign, "experts", [large / 6, large], &|count| {
        let experts: Vec<Expert> = (0..count).map(|i| Expert::lora(&format!("e{i:06}"))).collect();
        Space::with(&experts)
    });
    grows(&mut campaign, "files of one expert", [large / 6, large], &|count| {
        let mut expert = Expert::lora("many");
        for i in 0..count {
            expert = expert.file(&format!("docs/{}/{i:06}.md", i % 50), format!("file {i}\n"));
        }
        let space = Space::with(&[expert]);
        space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ninclude = [\"docs/**\"]\n");
        space
    });
    let prompts = if is_long() { 2_000 } else { 120 };
    grows(&mut campaign, "soft prompts", [prompts / 4, prompts], &|count| {
        let prompts = (0..count).map(|i| format!("p{i:05}"));
        Space::with(&[prompts.fold(Expert::lora("prompts"), |expert, name| expert.soft_prompt(&name))])
    });
    campaign.finish();
}

#[test]
fn deep_folders_and_long_paths() {
    let mut campaign = Campaign::new("long paths");
    for (what, folder, depth) in
        [("deep", "d", 900), ("long names", "a-folder-with-a-name-that-goes-on-and-on-and-on", 60)]
    {
        let deep = format!("docs/{}end.md", format!("{folder}/").repeat(depth));
        let expert = Expert::lora("deep").set("/description", json!(what)).file(&deep, "at the bottom\n");
        let space = Space::with(&[expert]);
        space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ninclude = [\"docs/**\"]\n");
        let package = "experts/deep/weights/deep.v1.0.0.expert";
        let ran = space.run("build");
        let mut outcome = if ran.code == 0 { Ok(()) } else { Err(ran.shown()) };
        if outcome.is_ok() {
            let ran = space.run_as(crate::space::EXPERT_BUILD, "", &["cat", package, &deep]);
            if ran.stdout != "at the bottom\n" {
                outcome = Err(ran.shown());
            }
        }
        campaign.case(what, outcome);
    }
    campaign.finish();
}
