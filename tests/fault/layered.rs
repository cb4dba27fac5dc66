//! Sources, packages and cache on a disk that is slow, fails, goes away, or is shared by two hosts.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::campaign::{Campaign, scale};
use crate::ground::{Ground, in_order};
use crate::layer::Layer;
use crate::space::EXPERT_BUILD;

const NOW: Duration = Duration::ZERO;
const ERRORS: [(i32, &str); 3] = [(5, "EIO"), (116, "ESTALE"), (13, "EACCES")];

/// A ground of which one folder lies on a layer.
struct Layered {
    // Dropped first: nothing may be mounted when the ground is removed.
    layer: Layer,
    ground: Ground,
    below: PathBuf,
}

impl Layered {
    fn new(folder: fn(&Ground) -> PathBuf) -> Option<Self> {
        let ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
        let (at, below) = (folder(&ground), ground.space.outer("below"));
        if at.exists() {
            std::fs::rename(&at, &below).unwrap();
        }
        Some(Self { layer: Layer::mount(&below, &at, NOW)?, ground, below })
    }
}

const PLACES: [(&str, Place); 3] = [
    ("sources", |ground| ground.space.path("experts")),
    ("packages", |ground| ground.space.path("dist")),
    ("cache", |ground| ground.space.outer("cache")),
];

/// Each operation of a kind fails once.
#[test]
fn a_disk_that_fails_once() {
    for (name, folder) in PLACES {
        let mut campaign = Campaign::new(name);
        let Some(mut at) = Layered::new(folder) else { return };
        let (mut most, mut failures) = (std::collections::BTreeMap::new(), 0);
        for _ in 0..2 {
            at.ground.begin(&mut campaign);
            at.ground.drop_cache();
            at.layer.faults.fail(None);
            at.ground.space.run("build -j 2").ok();
            most.extend(at.layer.faults.counts());
        }
        let all = most.iter().flat_map(|(op, count)| (1..=*count).map(move |number| (*op, number)));
        let all = all.flat_map(|(op, number)| ERRORS.map(|(errno, error)| (op, number, errno, error))).collect();
        for (op, number, errno, error) in campaign.some(all, 8, 400) {
            at.layer.faults.fail(None);
            at.ground.begin(&mut campaign);
            at.layer.faults.fail(Some((op, number, errno)));
            let ran = at.ground.space.run("build -j 2");
            at.layer.faults.fail(None);
            failures += usize::from(ran.code != 0);
            // A folder or file that may not be looked at is told as a fault of the expert, or as one of the disk.
            let mut outcome = in_order(&ran, &[0, 3, 11]).and_then(|()| at.ground.is_whole());
            if ran.code == 0 {
                outcome = outcome.and_then(|()| at.ground.is_built());
            }
            let outcome = outcome.and_then(|()| at.ground.recovers()).and_then(|()| at.ground.cache_is_tidy());
            campaign.case(&format!("{error} at {op:?} {number}"), outcome);
        }
        eprintln!("a failing disk, {name}: {failures} builds failed; operations: {most:?}");
        campaign.finish();
    }
}

/// Only so many bytes may be written.
#[test]
fn a_quota() {
    for (name, folder) in &PLACES[1..] {
        let mut campaign = Campaign::new(name);
        let Some(mut at) = Layered::new(*folder) else { return };
        let mut told = [0, 0];
        let sizes = (0..60).map(|step| step * 50_000).collect();
        for quota in campaign.some(sizes, 6, 60) {
            at.ground.begin(&mut campaign);
            at.layer.faults.quota(Some(quota));
            let ran = at.ground.space.run("build -j 2");
            at.layer.faults.quota(None);
            told[usize::from(ran.code == 0)] += 1;
            let mut outcome = in_order(&ran, &[0, 3]).and_then(|()| at.ground.is_whole());
            if ran.code == 0 {
                outcome = outcome.and_then(|()| at.ground.is_built());
            } else if !ran.stderr.contains("quota exceeded") {
                outcome = outcome.and(Err(format!("it does not say what is missing: {}", ran.shown())));
            }
            let outcome = outcome.and_then(|()| at.ground.recovers()).and_then(|()| at.ground.cache_is_tidy());
            campaign.case(&format!("{quota} bytes"), outcome);
        }
        assert!(told[0] > 0 && told[1] > 0, "the sizes are not telling: {told:?}");
        campaign.finish();
    }
}

/// A slow disk costs time and nothing else.
#[test]
fn a_slow_disk() {
    let mut campaign = Campaign::new("slow sources");
    let Some(mut at) = Layered::new(PLACES[0].1) else { return };
    for _ in 0..scale(1, 6) {
        at.ground.begin(&mut campaign);
        at.ground.drop_cache();
        at.layer.faults.delay(Duration::from_millis(20));
        let ran = at.ground.space.run("build -j 2");
        at.layer.faults.delay(NOW);
        let outcome = in_order(&ran, &[0]).and_then(|()| at.ground.is_built());
        campaign.case("20 ms for each reading", outcome.and_then(|()| at.ground.recovers()));
    }
    campaign.finish();
}

/// It is there when the build begins and gone before it ends.
#[test]
fn a_disk_that_goes_away() {
    let mut campaign = Campaign::new("a disk that goes away");
    for round in 0..scale(2, 40) {
        for (name, folder) in PLACES {
            let Some(Layered { mut layer, mut ground, below }) = Layered::new(folder) else { return };
            ground.begin(&mut campaign);
            let mut child = ground.space.command(EXPERT_BUILD, "", &["build", "-j", "2"]);
            let child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(campaign.moment(Duration::from_millis(300)));
            layer.vanish();
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            let known = output.status.code().is_some_and(|code| [0, 2, 3, 11].contains(&code));
            let mut outcome = if known { Ok(()) } else { Err(format!("{}: {told}", output.status)) };
            drop(layer);
            // It is back, with what it held.
            let at = folder(&ground);
            if !at.join("alpha").exists() && name == "sources" {
                std::fs::remove_dir(&at).unwrap();
                std::fs::rename(&below, &at).unwrap();
            }
            if name == "packages" {
                let _ = std::fs::remove_dir_all(&at);
                std::fs::rename(&below, &at).unwrap();
            }
            outcome = outcome.and_then(|()| ground.is_whole()).and_then(|()| ground.recovers());
            campaign.case(&format!("{name}, round {round}"), outcome);
        }
    }
    campaign.finish();
}

/// How long a host trusts what it has seen, as NFS clients do.
const TRUST: Duration = Duration::from_millis(200);

/// A host that has the repo and the cache on a network folder.
struct Host {
    name: &'static str,
    home: PathBuf,
    _mounts: [Layer; 2],
}

impl Host {
    fn new(ground: &Ground, name: &'static str) -> Option<Self> {
        let home = ground.space.outer(name);
        let mount = |what: &str| Layer::mount(&ground.space.outer(what), &home.join(what), TRUST);
        Some(Self { name, _mounts: [mount("repo")?, mount("cache")?], home })
    }

    /// The program on that host. Its locks are its own: the mounts of the two know nothing of each other.
    fn start(&self, ground: &Ground, arguments: &[&str]) -> Child {
        let script = "echo $0 >/proc/sys/kernel/hostname && exec \"$@\"";
        let mut all = vec!["--uts", "/bin/sh", "-c", script, self.name, EXPERT_BUILD];
        all.extend(arguments);
        let mut command: Command = ground.space.command("unshare", "", &all);
        command.current_dir(self.home.join("repo")).env("EXPERT_BUILD_CACHE_DIR", self.home.join("cache"));
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Two hosts build, collect and clear on the same network folder, and neither sees the other's locks.
#[test]
fn two_hosts_on_one_network_folder() {
    let may = Command::new("unshare").args(["--uts", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no second host can be pretended here");
        return;
    }
    let mut campaign = Campaign::new("two hosts");
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    let (Some(one), Some(two)) = (Host::new(&ground, "one"), Host::new(&ground, "two")) else { return };
    let (mut processes, mut failures) = (0, 0);
    for round in 0..scale(3, 40) {
        ground.begin(&mut campaign);
        std::thread::sleep(TRUST);
        let beside: &[&str] = if round % 2 == 0 { &["cache", "clear"] } else { &["cache", "gc", "--max-size", "1B"] };
        let mut running = Vec::new();
        for host in [&one, &two] {
            running.extend(
                [&["build", "-j", "2"][..], &["build", "-j", "2"], beside].map(|verb| host.start(&ground, verb)),
            );
        }
        let mut outcome = Ok(());
        for child in running {
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            processes += 1;
            failures += usize::from(!output.status.success());
            if !output.status.success() {
                eprintln!("{told}");
            }
            // Neither took the other's temporary for litter.
            if told.contains("cannot put in place") {
                outcome = Err(told.to_string());
            }
            // Any other failure is honest; a wrong package would not be.
            if !output.status.code().is_some_and(|code| [0, 3, 11].contains(&code)) || told.contains("internal error") {
                outcome = Err(told.into_owned());
            }
        }
        outcome = outcome.and_then(|()| ground.is_whole());
        std::thread::sleep(TRUST);
        for host in [&one, &two] {
            let output = host.start(&ground, &["build"]).wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            outcome = outcome.and_then(|()| if output.status.success() { Ok(()) } else { Err(told) });
        }
        outcome = outcome.and_then(|()| ground.is_built()).and_then(|()| ground.recovers());
        campaign.case(&format!("round {round}"), outcome);
    }
    eprintln!("two hosts: {failures} of {processes} processes failed");
    campaign.finish();
}

/// Where a layer comes to lie in a test's folder.
type Place = fn(&Ground) -> PathBuf;
