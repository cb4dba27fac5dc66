//! `kill -9`, at random moments and at every system call that touches a file, of every verb that writes.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::campaign::{Campaign, scale};
use crate::ground::{Files, Ground, temporaries};
use crate::space::{Space, files_below};
use crate::strace::{self, Fault};

const BUILD: &[&str] = &["build", "-j", "2"];

/// Runs it and kills it after a random time; how long it took if it was faster.
fn kill_at_random(campaign: &mut Campaign, ground: &Ground, arguments: &[&str], whole: Duration) -> Option<Duration> {
    let began = Instant::now();
    let mut child = ground.program(arguments).spawn().unwrap();
    let micros = usize::try_from(whole.as_micros()).unwrap() + 1;
    std::thread::sleep(Duration::from_micros(campaign.below(micros) as u64));
    let there = child.try_wait().unwrap();
    // The shell that sets the umask has become the program: its id is the program's.
    child.kill().unwrap();
    child.wait().unwrap();
    there.map(|_| began.elapsed())
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

#[test]
fn builds_at_random_moments() {
    let mut campaign = Campaign::new("kill, build, random");
    for (settings, big, short, long) in
        [("", 40 << 10, 30, 900), ("out-dir = \"dist\"\n", 1_500_000, 12, 300), ("", 20 << 20, 0, 60)]
    {
        if scale(short, long) == 0 {
            continue;
        }
        let mut ground = Ground::new(settings, big);
        let whole = timed(|| drop(ground.space.run("build").ok())) * 5 / 4;
        for number in 0..scale(short, long) {
            ground.begin(&mut campaign);
            kill_at_random(&mut campaign, &ground, BUILD, whole);
            let mut outcome = ground.is_whole().and_then(|()| ground.recovers());
            if number % 4 == 0 {
                outcome = outcome.and_then(|()| ground.cache_is_tidy());
            }
            campaign.case(&format!("{big} bytes, kill {number}"), outcome);
        }
    }
    campaign.finish();
}

#[test]
fn builds_at_every_system_call() {
    if !strace::is_there() {
        return;
    }
    let mut campaign = Campaign::new("kill, build, system calls");
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_200_000);
    let counts = strace::calls(&ground.space, BUILD);
    let cases = every(&counts, &["signal=SIGKILL"]);
    let mut struck_at_all = 0;
    for fault in campaign.sample(cases, 45) {
        ground.begin(&mut campaign);
        let struck = strace::strike(&ground.space, BUILD, &fault);
        struck_at_all += usize::from(struck.call.is_some());
        let outcome = ground.is_whole().and_then(|()| ground.recovers()).and_then(|()| ground.cache_is_tidy());
        campaign.case(&format!("{} ({})", fault.shown(), struck.call.unwrap_or_default()), outcome);
    }
    assert!(struck_at_all > 20, "only {struck_at_all} builds were killed");
    campaign.finish();
}

/// Every call of the run, with each of these faults.
fn every(counts: &std::collections::BTreeMap<&'static str, usize>, what: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (call, count) in counts {
        for number in 1..=*count {
            faults.extend(what.iter().map(|what| Fault { call, number, what: (*what).to_owned() }));
        }
    }
    faults
}

#[test]
fn collections_of_the_cache() {
    let mut campaign = Campaign::new("kill, cache gc");
    let mut ground = Ground::new("", 40 << 10);
    ground.space.run("build").ok();
    let verbs: [&[&str]; 3] = [&["cache", "clear"], &["cache", "gc", "--max-size", "1B"], &["cache", "verify"]];
    let whole = timed(|| drop(ground.space.run("cache verify").ok())) * 2;
    for number in 0..scale(15, 400) {
        ground.begin(&mut campaign);
        ground.space.run("build").ok();
        ground.drop_outputs();
        age(&ground.space.outer("cache"));
        kill_at_random(&mut campaign, &ground, verbs[number % 3], whole);
        let outcome = ground.recovers().and_then(|()| ground.cache_is_tidy());
        campaign.case(&format!("{:?} {number}", verbs[number % 3]), outcome);
    }
    campaign.finish();
}

/// Makes all of the cache old enough to be collected.
fn age(cache: &Path) {
    let then = std::time::SystemTime::now() - Duration::from_secs(30 * 86_400);
    for path in files_below(cache) {
        std::fs::File::options().write(true).open(cache.join(path)).unwrap().set_modified(then).unwrap();
    }
}

/// A package, its signed form, and what is in it.
struct Signing {
    space: Space,
    plain: Vec<u8>,
    signed: Vec<u8>,
    content: Files,
}

const PACKAGE: &str = "out/p.expert";

impl Signing {
    fn new() -> Self {
        let ground = Ground::new("", 300_000);
        ground.space.run("build").ok();
        let plain = ground.space.read("experts/gamma/weights/gamma.v1.0.0.expert");
        let mut space = Space::new();
        std::fs::create_dir(space.outer("tmp")).unwrap();
        space.set("TMPDIR", &space.outer("tmp").display().to_string());
        space.run("keygen --output key.pem").ok();
        space.write(PACKAGE, &plain);
        space.run("sign out/p.expert --key key.pem").ok();
        let signed = space.read(PACKAGE);
        space.run("extract out/p.expert --output clean").ok();
        let content = tree(&space, "clean");
        assert!(plain != signed && content.len() > 3);
        Self { space, plain, signed, content }
    }

    fn prepare(&self) {
        self.space.write(PACKAGE, &self.plain);
        let sum = expert_build::base::Sha256::of(&self.plain);
        self.space.write("out/p.expert.sha256", format!("{sum}  p.expert\n"));
    }

    /// After a kill: old or new, and the checksum beside it is the package's; then all is done by the next run.
    fn sign_recovers(&self) -> Result<(), String> {
        let now = self.space.read(PACKAGE);
        if now != self.plain && now != self.signed {
            return Err("the package is neither old nor new".into());
        }
        if self.space.exists("out/p.expert.sha256") {
            let sum = expert_build::base::Sha256::of(&now).to_string();
            if !self.space.read("out/p.expert.sha256").starts_with(sum.as_bytes()) {
                return Err("the checksum beside the package is another's".into());
            }
        }
        let ran = self.space.run("sign out/p.expert --key key.pem");
        if ran.code != 0 || self.space.read(PACKAGE) != self.signed {
            return Err(format!("signing again: {}", ran.shown()));
        }
        self.no_litter()
    }

    fn no_litter(&self) -> Result<(), String> {
        let mut litter = temporaries(&self.space.path(""));
        litter.extend(temporaries(&self.space.outer("tmp")));
        litter.first().map_or(Ok(()), |path| Err(format!("litter after the next run: `{path}`")))
    }

    /// After a kill: the folder is absent or whole; then all is done by the next run.
    fn extract_recovers(&self, into: bool) -> Result<(), String> {
        if self.space.exists("x") {
            let now: Files =
                tree(&self.space, "x").into_iter().filter(|(path, _)| !path.contains(".expert-build-tmp")).collect();
            let torn = now.iter().find(|(path, bytes)| self.content.get(*path) != Some(bytes) && **bytes != b"old");
            if let Some((path, _)) = torn {
                return Err(format!("`{path}` is neither old nor new"));
            }
            if !into && now != self.content {
                return Err("the new folder is not whole".into());
            }
        }
        let ran = self.space.run("extract out/p.expert --output x --force");
        if ran.code != 0 || tree(&self.space, "x") != self.content {
            return Err(format!("extracting again: {}", ran.shown()));
        }
        self.no_litter()
    }

    fn prepare_extract(&self, into: bool) {
        let _ = std::fs::remove_dir_all(self.space.path("x"));
        self.space.write(PACKAGE, &self.signed);
        if into {
            self.space.write("x/README.md", "old");
            self.space.write("x/manifest.json", "old");
        }
    }
}

fn tree(space: &Space, folder: &str) -> Files {
    let top = space.path(folder);
    files_below(&top).into_iter().map(|path| (path.clone(), std::fs::read(top.join(&path)).unwrap())).collect()
}

#[test]
fn signing_and_extracting_at_every_system_call() {
    if !strace::is_there() {
        return;
    }
    let mut campaign = Campaign::new("kill, sign and extract, system calls");
    let signing = Signing::new();
    let sign: &[&str] = &["sign", PACKAGE, "--key", "key.pem"];
    let extract: &[&str] = &["extract", PACKAGE, "--output", "x", "--force"];
    signing.prepare();
    let counts = strace::calls(&signing.space, sign);
    for fault in campaign.sample(every(&counts, &["signal=SIGKILL"]), 25) {
        signing.prepare();
        strace::strike(&signing.space, sign, &fault);
        campaign.case(&format!("sign, {}", fault.shown()), signing.sign_recovers());
    }
    for into in [false, true] {
        signing.prepare_extract(into);
        let counts = strace::calls(&signing.space, extract);
        for fault in campaign.sample(every(&counts, &["signal=SIGKILL"]), 15) {
            signing.prepare_extract(into);
            strace::strike(&signing.space, extract, &fault);
            campaign.case(&format!("extract, into: {into}, {}", fault.shown()), signing.extract_recovers(into));
        }
    }
    campaign.finish();
}
