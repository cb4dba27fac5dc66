//! Disks that are full or read-only, for the outputs and for the cache, at every size.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::campaign::{Campaign, scale};
use crate::expert::Expert;
use crate::ground::{Ground, in_order};
use crate::space::{EXPERT_BUILD, files_below};
use crate::subject::{Subject as _, no_litter, watched_space};
use crate::subject_files::ReadOnly;

/// A file system in memory, gone when dropped.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path, size: usize) -> Option<Self> {
        Self::with(at, &format!("size={size}"))
    }

    /// With this limit.
    fn with(at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        if run(&["mount", "-t", "tmpfs", "-o", options, "tmpfs", at.to_str().unwrap()]) {
            return Some(Self(at.to_path_buf()));
        }
        eprintln!("SKIPPED: no file system may be mounted here");
        None
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(run(&["mount", "-o", &options, self.0.to_str().unwrap()]), "it can be mounted again");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(&["umount", self.0.to_str().unwrap()]);
    }
}

fn run(command: &[&str]) -> bool {
    let ran = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

const PAGE: usize = 4096;

/// Fills a file system of each size, then makes room: what the build must do in both cases is known.
fn sweep(name: &'static str, place: fn(&Ground) -> PathBuf, cached: bool, limits: Vec<String>, short: usize) {
    let mut campaign = Campaign::new(name);
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    let mut told = [0, 0];
    for limit in campaign.sample(limits, short) {
        let place = place(&ground);
        let Some(mount) = Mount::with(&place, &limit) else { return };
        ground.begin(&mut campaign);
        let ran = ground.space.run("build -j 2");
        told[usize::from(ran.code == 0)] += 1;
        let mut outcome = in_order(&ran, &[0, 3]).and_then(|()| ground.is_whole());
        if ran.code == 0 {
            outcome = outcome.and_then(|()| ground.is_built());
        } else if !ran.stderr.contains("No space left on device") {
            outcome = outcome.and(Err(format!("it does not say what is missing: {}", ran.shown())));
        }
        mount.remount("size=64m,nr_inodes=10000");
        outcome = outcome.and_then(|()| ground.recovers());
        if cached {
            outcome = outcome.and_then(|()| ground.cache_is_tidy());
        }
        campaign.case(&limit, outcome);
        drop(mount);
        let _ = std::fs::remove_dir_all(&place);
    }
    assert!(told[0] > 0 && told[1] > 0, "the sizes are not telling: {told:?}");
    campaign.finish();
}

/// From one page to more than all of it takes, with room for what is only there for a while.
fn sizes() -> Vec<String> {
    (1..3_500_000 / PAGE).step_by(scale(1, 4)).map(|pages| format!("size={}", pages * PAGE)).collect()
}

/// There is room enough, but not for so many files.
fn inodes(most: usize) -> Vec<String> {
    (2..most).map(|count| format!("size=64m,nr_inodes={count}")).collect()
}

fn outputs(ground: &Ground) -> PathBuf {
    ground.space.path("dist")
}

fn cache(ground: &Ground) -> PathBuf {
    ground.space.outer("cache")
}

#[test]
fn a_full_disk_for_outputs() {
    sweep("full disk, outputs", outputs, false, sizes(), 9);
    sweep("no more files, outputs", outputs, false, inodes(16), 6);
}

#[test]
fn a_full_disk_for_the_cache() {
    sweep("full disk, cache", cache, true, sizes(), 9);
    sweep("no more files, cache", cache, true, inodes(60), 6);
}

/// Temporary files have no room, or no place to be.
#[test]
fn no_space_for_temporaries() {
    let mut campaign = Campaign::new("temporaries");
    let [_, _, _, mut repro] = ReadOnly::all();
    let place = repro.space().outer("tmp");
    for pages in [1, 2, 4, 8, 16] {
        let Some(mount) = Mount::tmpfs(&place, pages * PAGE) else { return };
        let ran = repro.run();
        let outcome = in_order(&ran, &[0, 3]).and_then(|()| repro.is_whole());
        mount.remount("size=64m");
        campaign.case(&format!("{pages} pages"), outcome.and_then(|()| repro.recovers()));
    }
    std::fs::remove_dir(&place).unwrap();
    let outcome = in_order(&repro.run(), &[3]).and_then(|()| repro.is_whole());
    std::fs::create_dir(&place).unwrap();
    campaign.case("no folder", outcome.and_then(|()| repro.recovers()));
    campaign.finish();
}

/// Packages whose names are as long as names may be, and longer: the name of the temporary is never the one that is too
/// long.
#[test]
fn names_that_are_too_long() {
    let mut campaign = Campaign::new("names");
    let mut told = [0, 0];
    for length in (200..300).step_by(scale(7, 1)) {
        let space = watched_space();
        space.add("experts/alpha", &Expert::lora("alpha"));
        let name = "n".repeat(length);
        space.write(
            "Expertfile.toml",
            format!("[workspace]\nmembers = [\"experts/*\"]\n[defaults]\nname = \"{name}\"\n"),
        );
        let ran = space.run("build");
        told[usize::from(ran.code == 0)] += 1;
        let mut outcome = in_order(&ran, &[0, 2, 3]).and_then(|()| no_litter(&space));
        for package in space.packages().into_keys().filter(|path| path.ends_with(".expert")) {
            let sums = space.exists(&format!("{package}.sha256"));
            if !sums || space.run_as(EXPERT_BUILD, "", &["verify", &package]).code != 0 {
                outcome = outcome.and(Err(format!("a package of {length} letters without its checksum")));
            }
        }
        campaign.case(&format!("{length} letters"), outcome);
    }
    assert!(told[0] > 0 && told[1] > 0, "the lengths are not telling: {told:?}");
    campaign.finish();
}

#[test]
fn read_only_folders() {
    let mut campaign = Campaign::new("read-only");
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    let Some(mount) = Mount::tmpfs(&ground.space.path("dist"), 64 << 20) else { return };
    for _ in 0..2 {
        ground.begin(&mut campaign);
        mount.remount("ro");
        let ran = ground.space.run("build -j 2");
        let outcome = in_order(&ran, &[3]).and_then(|()| ground.is_whole());
        mount.remount("rw");
        campaign.case("outputs", outcome.and_then(|()| ground.recovers()));
    }
    drop(mount);
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    ground.space.run("build").ok();
    let Some(mount) = Mount::tmpfs(&ground.space.outer("full-cache"), 64 << 20) else { return };
    let cache = mount.0.display().to_string();
    ground.space.set("EXPERT_BUILD_CACHE_DIR", &cache);
    ground.space.run("build").ok();
    mount.remount("ro");
    // Nothing is stale: a read-only cache is no trouble.
    let ran = ground.space.run("build");
    campaign.case("cache, nothing to do", in_order(&ran, &[0]));
    ground.begin(&mut campaign);
    let ran = ground.space.run("build -j 2");
    campaign.case("cache, something to do", in_order(&ran, &[0, 3]).and_then(|()| ground.is_whole()));
    mount.remount("rw");
    campaign.case("cache, writable again", ground.recovers());
    campaign.finish();
}

/// Another kind of thing stands where an output, the cache or a part of it belongs.
#[test]
fn folders_in_the_place_of_files_and_files_in_the_place_of_folders() {
    let mut campaign = Campaign::new("wrong kind");
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    ground.space.run("build").ok();
    for path in ground.wanted().clone().into_keys() {
        ground.begin(&mut campaign);
        let place = ground.space.path(&path);
        let _ = std::fs::remove_file(&place);
        std::fs::create_dir_all(place.join("sub")).unwrap();
        let ran = ground.space.run("build -k");
        std::fs::remove_dir_all(&place).unwrap();
        campaign.case(&format!("a folder at `{path}`"), in_order(&ran, &[3]).and_then(|()| ground.recovers()));
    }
    let cache = ground.space.outer("cache");
    let folders: Vec<PathBuf> = [".", "v1", "v1/blobs", "v1/results", "v1/repos"]
        .iter()
        .map(|p| cache.join(p).components().collect())
        .collect();
    for folder in folders {
        ground.begin(&mut campaign);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
        std::fs::write(&folder, "a file").unwrap();
        let ran = ground.space.run("build");
        let outcome = in_order(&ran, &[0, 3]).and_then(|()| ground.is_whole());
        std::fs::remove_file(&folder).unwrap();
        campaign.case(&format!("a file at `{}`", folder.display()), outcome.and_then(|()| ground.recovers()));
    }
    ground.space.run("build").ok();
    for path in campaign.sample(files_below(&cache), 6) {
        ground.begin(&mut campaign);
        let place = cache.join(&path);
        let _ = std::fs::remove_file(&place);
        std::fs::create_dir_all(place.join("sub")).unwrap();
        let ran = ground.space.run("build");
        let outcome = in_order(&ran, &[0, 3]).and_then(|()| ground.is_whole());
        let _ = std::fs::remove_dir_all(&place);
        campaign.case(&format!("a folder at `{path}`"), outcome.and_then(|()| ground.recovers()));
    }
    campaign.finish();
}
