//! Sources that change, grow, shrink and vanish while they are read: an honest failure or a true package.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::campaign::{Campaign, scale};
use crate::expert::Expert;
use crate::ground::noise;
use crate::space::Space;

const FILES: [&str; 2] = ["README.md", "vocab.model"];

fn contents(seed: &str) -> [Vec<u8>; 2] {
    [noise(seed, 60_000), noise(seed, 1_300_000)]
}

/// Rewrites the files until told to stop: in place, by renaming, shorter, or takes them away for a moment.
fn trouble(folder: &Path, way: usize, stop: &AtomicBool) {
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let seed = if turn % 2 == 0 { "one" } else { "two" };
        for (name, content) in FILES.iter().zip(contents(seed)) {
            let path = folder.join(name);
            match way {
                0 => std::fs::write(&path, content).unwrap(),
                1 => {
                    let beside = folder.parent().unwrap().join(format!("{name}.new"));
                    std::fs::write(&beside, content).unwrap();
                    std::fs::rename(&beside, &path).unwrap();
                }
                2 => std::fs::write(&path, &content[..content.len() / (1 + turn % 3)]).unwrap(),
                _ => {
                    let _ = std::fs::remove_file(&path);
                    std::thread::sleep(std::time::Duration::from_millis(3));
                    std::fs::write(&path, content).unwrap();
                }
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(turn as u64 % 17));
    }
}

#[test]
fn a_source_that_does_not_hold_still() {
    let mut campaign = Campaign::new("restless sources");
    let expert = Expert::lora("alpha");
    let mut wanted = Vec::new();
    let mut failed = 0;
    for (round, way) in (0..scale(2, 40)).flat_map(|round| (0..4).map(move |way| (round, way))) {
        let space = Space::with(std::slice::from_ref(&expert));
        let settings = "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ncompression = \"zstd\"\nlevel = 1\n";
        space.write("Expertfile.toml", settings);
        let folder = space.path("experts/alpha");
        let write = |seed: &str| {
            for (name, content) in FILES.iter().zip(contents(seed)) {
                std::fs::write(folder.join(name), content).unwrap();
            }
        };
        write("one");
        let stop = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| trouble(&folder, way, &stop));
            let mut outcome = Ok(());
            for _ in 0..4 {
                let ran = space.run("build");
                failed += usize::from(ran.code == 11);
                let told = ran.stderr.contains("file-changed") || ran.stderr.contains("file-missing");
                let fine = ran.code == 0 || (ran.code == 11 && told);
                if !fine && outcome.is_ok() {
                    outcome = Err(ran.shown());
                }
                for package in space.packages().into_keys().filter(|path| path.ends_with(".expert")) {
                    let verified = space.run_as(crate::space::EXPERT_BUILD, "", &["verify", &package]);
                    if verified.code != 0 && outcome.is_ok() {
                        outcome = Err(format!("a package that is not whole: {}", verified.shown()));
                    }
                }
            }
            stop.store(true, Ordering::Relaxed);
            outcome
        });
        // Now that all is still, the truth is built at once.
        write("two");
        let ran = space.run("build");
        let now = space.packages();
        if wanted.is_empty() && ran.code == 0 {
            let clean = Space::new();
            clean.write("Expertfile.toml", settings);
            clean.copy(&space.path("experts"), "experts");
            clean.packages().keys().for_each(|path| clean.remove(path));
            clean.run("build").ok();
            wanted.push(clean.packages());
        }
        let still = if ran.code == 0 && wanted.first() == Some(&now) {
            Ok(())
        } else {
            Err(format!("afterwards: {}", ran.shown()))
        };
        campaign.case(&format!("way {way}, round {round}"), outcome.and(still));
    }
    assert!(failed > 0, "no build noticed anything");
    campaign.finish();
}
