//! `kill -9` at random moments of the life of every verb that writes.
//!
//! Only kills that landed count: the program itself was running, not the shell that starts it, and it died of the signal.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::campaign::{Campaign, scale};
use crate::ground::Ground;
use crate::space::EXPERT_BUILD;
use crate::subject::{Build, Cache, Lock, Subject};
use crate::subject_files::{Act, Keygen, OneFile, Package, ReadOnly};

const SIGKILL: i32 = 9;

/// Kills it now. Did that end it while it was the program?
fn lands(mut child: Child) -> bool {
    // The shell that sets the umask becomes the program: the process is the same.
    let name = std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap_or_default();
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(SIGKILL) && name.trim_end() == "expert-build"
}

/// How long it lives when nobody kills it: the median of three runs.
fn life(campaign: &mut Campaign, subject: &mut dyn Subject) -> Duration {
    let mut times: Vec<Duration> = (0..3)
        .map(|_| {
            subject.prepare(campaign);
            let began = Instant::now();
            assert!(subject.command().status().unwrap().success(), "`{}` goes well", subject.name());
            began.elapsed()
        })
        .collect();
    times.sort();
    times[1]
}

/// Kills it until so many kills have landed, each at a random moment of its life.
pub fn kill(subject: &mut dyn Subject, landed: usize) {
    if landed == 0 {
        return;
    }
    let mut campaign = Campaign::new(subject.name());
    let whole = life(&mut campaign, subject);
    let (mut limit, mut landings, mut tries) = (whole, 0, 0);
    while landings < landed && tries < landed * 4 + 20 {
        tries += 1;
        subject.prepare(&mut campaign);
        let child = subject.command().spawn().unwrap();
        std::thread::sleep(campaign.moment(limit));
        if !lands(child) {
            // It is faster than it was: later moments are no use. The next landings go on towards its end again.
            limit = (limit * 19 / 20).max(whole / 4);
            continue;
        }
        limit = limit * 101 / 100;
        landings += 1;
        let outcome = subject.is_whole().and_then(|()| subject.recovers());
        campaign.case(&format!("kill {landings}"), outcome);
    }
    eprintln!("kill, {}: {landings} landed of {tries}; it lives {whole:?}", subject.name());
    assert_eq!(landings, landed, "`{}` is too fast to be killed", subject.name());
    campaign.finish();
}

#[test]
fn builds() {
    kill(&mut Build::new("build", "", 40 << 10), scale(12, 600));
    kill(&mut Build::new("build into one folder", "out-dir = \"dist\"\n", 1_100_000), scale(4, 250));
    kill(&mut Build::with_spare_cores("build of 20 MiB", 20 << 20), scale(0, 50));
}

#[test]
fn collections_of_the_cache() {
    for mut verb in Cache::all() {
        kill(&mut verb, scale(4, 150));
    }
}

#[test]
fn signing_and_extracting() {
    for act in [Act::Sign, Act::Extract, Act::ExtractInto] {
        kill(&mut Package::new(act), scale(5, 150));
    }
}

#[test]
fn keys_locks_and_what_needs_no_expertfile() {
    kill(&mut Keygen::new(), scale(10, 150));
    kill(&mut Lock::new(), scale(5, 150));
    kill(&mut OneFile::package(), scale(5, 150));
    kill(&mut OneFile::fix(), scale(5, 150));
    kill(&mut OneFile::init(), scale(5, 50));
    let [_, _, _, mut repro] = ReadOnly::all();
    kill(&mut repro, scale(3, 50));
}

/// The sources change while it watches, and it is killed some time before or after.
#[test]
fn watches() {
    let mut campaign = Campaign::new("watch");
    let mut build = Build::new("build", "", 40 << 10);
    let whole = life(&mut campaign, &mut build);
    let mut ground: Ground = build.ground;
    let (wanted, mut landings, mut tries) = (scale(5, 150), 0, 0);
    while landings < wanted && tries < wanted * 4 + 20 {
        tries += 1;
        ground.begin(&mut campaign);
        let mut command: Command = ground.space.command(EXPERT_BUILD, "", &["build", "--watch", "-j", "2"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(campaign.moment(whole * 2));
        ground.toggle();
        std::thread::sleep(campaign.moment(whole * 3));
        if !lands(child) {
            // It was not the program yet; it ends by nothing else.
            continue;
        }
        landings += 1;
        let outcome = ground.is_whole_of_either().and_then(|()| ground.recovers());
        let tidy = if landings % 4 == 0 { ground.cache_is_tidy() } else { Ok(()) };
        campaign.case(&format!("kill {landings}"), outcome.and(tidy));
    }
    eprintln!("kill, watch: {landings} landed of {tries}");
    assert_eq!(landings, wanted, "the watch is not there to be killed");
    campaign.finish();
}
