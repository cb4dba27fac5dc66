//! Disks that are full or read-only, for the outputs and for the cache, at every size.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::campaign::{Campaign, scale};
use crate::ground::{Ground, in_order};
use crate::space::files_below;

/// A file system in memory, gone when dropped.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path, size: usize) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        if run(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", at.to_str().unwrap()]) {
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
fn sweep(name: &'static str, place: fn(&Ground) -> PathBuf, cached: bool) {
    let mut campaign = Campaign::new(name);
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    // What all of it takes, with room for what is only there for a while.
    let most = 3_500_000 / PAGE;
    let sizes: Vec<usize> = (1..most).step_by(scale(1, 4)).collect();
    let mut told = [0, 0];
    for pages in campaign.sample(sizes, 14) {
        let place = place(&ground);
        let Some(mount) = Mount::tmpfs(&place, pages * PAGE) else { return };
        ground.begin(&mut campaign);
        let ran = ground.space.run("build -j 2");
        told[usize::from(ran.code == 0)] += 1;
        let mut outcome = in_order(&ran, &[0, 3]).and_then(|()| ground.is_whole());
        if ran.code == 0 {
            outcome = outcome.and_then(|()| ground.is_built());
        } else if !ran.stderr.contains("No space left on device") {
            outcome = outcome.and(Err(format!("it does not say what is missing: {}", ran.shown())));
        }
        mount.remount("size=64m");
        outcome = outcome.and_then(|()| ground.recovers());
        if cached {
            outcome = outcome.and_then(|()| ground.cache_is_tidy());
        }
        campaign.case(&format!("{pages} pages"), outcome);
        drop(mount);
        let _ = std::fs::remove_dir_all(&place);
    }
    assert!(told[0] > 0 && told[1] > 0, "the sizes are not telling: {told:?}");
    campaign.finish();
}

#[test]
fn a_full_disk_for_outputs() {
    sweep("full disk, outputs", |ground| ground.space.path("dist"), false);
}

#[test]
fn a_full_disk_for_the_cache() {
    sweep("full disk, cache", |ground| ground.space.outer("cache"), true);
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
    for path in campaign.sample(files_below(&cache), 12) {
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
