//! `build --watch` in which one call fails: it tells what failed and goes on, and one of the next saves is built.
//!
//! A watch that cannot go on, as the system no longer tells it of changes, ends with one clear error; then the next
//! build makes up for it, as after any other failure.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::campaign::Campaign;
use crate::ground::{Ground, errors};
use crate::inject;
use crate::space::{Ran, redacted};
use crate::strace::{self, Fault, Struck};

/// What it says when a build has ended.
const WAITING: &str = "waiting for changes";

/// Longer than a build of the ground and what it waits for take, on a machine that is busy.
const LONG: Duration = Duration::from_secs(10);

/// So many saves a fault may cost: it may strike in each of the program's threads. Every build has threads of its own, so
/// that it may strike in each build too; then each of them must have failed and said so.
const SAVES: usize = 6;

/// A watch that runs below strace.
struct Watch<'g> {
    child: Child,
    ground: &'g mut Ground,
    told: PathBuf,
}

impl<'g> Watch<'g> {
    /// `strace` with these arguments, which end with the program.
    fn start(ground: &'g mut Ground, strace: &[String]) -> Self {
        let told = ground.space.outer("watch.stderr");
        let mut all: Vec<&str> = strace.iter().map(String::as_str).collect();
        all.extend(["build", "--watch", "-j", "2"]);
        let mut command = ground.space.command("strace", "", &all);
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&told).unwrap());
        Self { child: command.spawn().unwrap(), ground, told }
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.told).unwrap()).into_owned()
    }

    /// Has it ended by itself?
    fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until so many builds have ended. `false` where the program did, or where that took too long.
    fn built(&mut self, count: usize) -> bool {
        let began = Instant::now();
        while self.stderr().matches(WAITING).count() < count {
            if self.is_over() || began.elapsed() > LONG {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// The first build, and saves until what was saved is built. Says whether it was.
    fn works(&mut self) -> bool {
        for saves in 1..=SAVES {
            if !self.built(saves) {
                return false;
            }
            self.ground.toggle();
            // A save may be heard of twice, and the second time there is nothing to build.
            let began = Instant::now();
            while !self.is_over() && began.elapsed() < LONG && self.stderr().matches(WAITING).count() <= saves {
                std::thread::sleep(Duration::from_millis(5));
            }
            if self.ground.is_built().is_ok() {
                return true;
            }
        }
        false
    }

    /// Ends it as ctrl-C does, and says what became of it.
    fn end(mut self) -> Ran {
        // strace hands on what becomes of the program, so the program is to be asked; once, as a second time means now.
        for process in children(self.child.id()) {
            let _ = Command::new("kill").args(["-INT", &process]).stderr(Stdio::null()).status();
        }
        let began = Instant::now();
        while !self.is_over() {
            assert!(began.elapsed() < LONG, "ctrl-C does not end it: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Ran { code, stdout: String::new(), stderr: self.stderr() }
    }
}

/// The processes that this one has started.
fn children(of: u32) -> Vec<String> {
    let parent = |process: &std::path::Path| {
        let text = std::fs::read_to_string(process.join("stat")).ok()?;
        // Behind the name, which may hold anything: the state, and the parent.
        text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(|process| parent(process) == Some(of))
        .filter_map(|process| process.file_name().map(|name| name.to_string_lossy().into_owned()))
        .collect()
}

/// It ended as asked, or by itself with one error; nothing is told more often than it failed.
fn outcome(struck: &Struck, works: bool) -> Result<(), String> {
    let Struck { ran, times, .. } = struck;
    let shown = || redacted(&format!("exit {}\n{}", ran.code, ran.stderr));
    if ran.stderr.contains("internal error") || ran.stderr.contains("panicked") {
        return Err(shown());
    }
    match ran.code {
        130 if !works && failed_builds(ran) < SAVES => Err(format!("{SAVES} saves, and none was built: {}", shown())),
        // Ctrl-C itself is told as an error.
        130 if errors(ran) > times + 1 => Err(format!("{times} failing calls and more errors: {}", shown())),
        130 => Ok(()),
        3 if errors(ran) <= times + 1 => Ok(()),
        _ => Err(shown()),
    }
}

/// Builds that told how many experts failed.
fn failed_builds(ran: &Ran) -> usize {
    ran.stderr.lines().filter(|line| line.starts_with("built ") && !line.contains("failed 0")).count()
}

#[test]
fn one_call_fails() {
    if !strace::is_there() {
        return;
    }
    let mut campaign = Campaign::new("watch");
    let mut ground = Ground::new("", 40 << 10);
    ground.space.run("build").ok();
    let log = ground.space.outer("strace.log");
    let mut watch = Watch::start(&mut ground, &strace::watching(&log));
    assert!(watch.works(), "{}", watch.stderr());
    watch.end();
    let (mut ended, mut runs) = (0, 0);
    for fault in campaign.some(inject::faults(&strace::counted(&log)), 4, 200) {
        ground.begin(&mut campaign);
        let (struck, works) = one(&mut ground, &fault, &log);
        if struck.call.is_none() || struck.is_beside() {
            continue;
        }
        runs += 1;
        ended += usize::from(struck.ran.code != 130);
        let told = outcome(&struck, works).and_then(|()| ground.is_whole_of_either()).and_then(|()| ground.recovers());
        campaign.case(&format!("{}: {}", fault.shown(), struck.call.unwrap_or_default()), told);
    }
    eprintln!("errors, watch: {ended} of {runs} ended by themselves");
    campaign.finish();
}

fn one(ground: &mut Ground, fault: &Fault, log: &std::path::Path) -> (Struck, bool) {
    let _ = std::fs::remove_file(log);
    let mut watch = Watch::start(ground, &strace::striking(fault, log));
    let works = watch.works();
    (strace::struck(watch.end(), log), works)
}
