//! `Subject`: a verb at work in a place of its own, and what must be true of that place after any fault.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::campaign::Campaign;
use crate::ground::{Files, Ground, temporaries};
use crate::space::{EXPERT_BUILD, Ran, Space, files_below};

/// A verb that faults strike.
pub trait Subject {
    /// What the figures call it.
    fn name(&self) -> &'static str;

    /// The command line.
    fn arguments(&self) -> &'static [&'static str];

    fn space(&self) -> &Space;

    /// Begins a case: all that a former one left is gone, and the verb has something to do.
    fn prepare(&mut self, campaign: &mut Campaign);

    /// Whenever the verb ended: everything it writes is absent, old and whole, or new and whole; the rest is untouched.
    fn is_whole(&self) -> Result<(), String>;

    /// The verb said that all went well: so it did its work.
    fn is_done(&self) -> Result<(), String>;

    /// The next run goes well, does all of the work and leaves no litter.
    fn recovers(&mut self) -> Result<(), String>;

    /// The exit codes that one failing call may lead to.
    fn codes(&self) -> &'static [i32] {
        &[0, 3]
    }

    /// The program, ready to run.
    fn command(&self) -> Command {
        let mut command = self.space().command(EXPERT_BUILD, "", self.arguments());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs it without any fault.
    fn run(&self) -> Ran {
        self.space().run_as(EXPERT_BUILD, "", self.arguments())
    }
}

/// A space in which temporary files lie where they can be seen.
pub fn watched_space() -> Space {
    let mut space = Space::new();
    std::fs::create_dir(space.outer("tmp")).unwrap();
    space.set("TMPDIR", &space.outer("tmp").display().to_string());
    space
}

/// No temporary is in the repo or where temporary files lie.
pub fn no_litter(space: &Space) -> Result<(), String> {
    let mut litter = temporaries(&space.path(""));
    litter.extend(temporaries(&space.outer("tmp")));
    litter.first().map_or(Ok(()), |path| Err(format!("litter after the next run: `{path}`")))
}

/// All files below a folder of the repo.
pub fn tree(space: &Space, folder: &str) -> Files {
    let top = space.path(folder);
    files_below(&top).into_iter().map(|path| (path.clone(), std::fs::read(top.join(&path)).unwrap())).collect()
}

/// It ended well.
pub fn went_well(what: &str, ran: &Ran) -> Result<(), String> {
    if ran.code == 0 { Ok(()) } else { Err(format!("{what}: {}", ran.shown())) }
}

/// `build`.
pub struct Build {
    pub ground: Ground,
    name: &'static str,
    arguments: &'static [&'static str],
    cases: usize,
}

impl Build {
    pub fn new(name: &'static str, settings: &str, big: usize) -> Self {
        let ground = Ground::new(settings, big);
        ground.space.run("build").ok();
        Self { ground, name, arguments: &["build", "-j", "2"], cases: 0 }
    }

    /// With more threads than experts: names of big blobs are put off until their packages are written.
    pub fn with_spare_cores(name: &'static str, big: usize) -> Self {
        Self { arguments: &["build", "-j", "8"], ..Self::new(name, "", big) }
    }
}

impl Subject for Build {
    fn name(&self) -> &'static str {
        self.name
    }

    fn arguments(&self) -> &'static [&'static str] {
        self.arguments
    }

    fn space(&self) -> &Space {
        &self.ground.space
    }

    fn prepare(&mut self, campaign: &mut Campaign) {
        self.ground.begin(campaign);
    }

    fn is_whole(&self) -> Result<(), String> {
        self.ground.is_whole()
    }

    fn is_done(&self) -> Result<(), String> {
        self.ground.is_built()
    }

    fn recovers(&mut self) -> Result<(), String> {
        self.cases += 1;
        let tidy = if self.cases.is_multiple_of(4) { self.ground.cache_is_tidy() } else { Ok(()) };
        self.ground.recovers().and(tidy)
    }
}

/// `cache clear`, `cache gc`, `cache verify`.
pub struct Cache {
    pub ground: Ground,
    name: &'static str,
    arguments: &'static [&'static str],
}

impl Cache {
    pub fn all() -> [Self; 3] {
        let verbs: [(&'static str, &'static [&'static str]); 3] = [
            ("cache clear", &["cache", "clear"]),
            ("cache gc", &["cache", "gc", "--max-size", "1B"]),
            ("cache verify", &["cache", "verify"]),
        ];
        verbs.map(|(name, arguments)| Self { ground: Ground::new("", 40 << 10), name, arguments })
    }
}

impl Subject for Cache {
    fn name(&self) -> &'static str {
        self.name
    }

    fn arguments(&self) -> &'static [&'static str] {
        self.arguments
    }

    fn space(&self) -> &Space {
        &self.ground.space
    }

    fn prepare(&mut self, campaign: &mut Campaign) {
        self.ground.begin(campaign);
        self.ground.space.run("build").ok();
        self.ground.forget();
        age(&self.ground.space.outer("cache"));
    }

    fn is_whole(&self) -> Result<(), String> {
        self.ground.is_whole()
    }

    fn is_done(&self) -> Result<(), String> {
        let blobs = self.ground.space.outer("cache/v1/blobs");
        let left = if blobs.is_dir() { files_below(&blobs) } else { Vec::new() };
        match left.first().filter(|_| self.name != "cache verify") {
            Some(path) => Err(format!("`{path}` is still in the cache")),
            None => Ok(()),
        }
    }

    fn recovers(&mut self) -> Result<(), String> {
        self.ground.drop_outputs();
        self.ground.recovers().and_then(|()| self.ground.cache_is_tidy())
    }

    /// What cannot be read is damage to `cache verify`, which removes it and says so with 1.
    fn codes(&self) -> &'static [i32] {
        if self.name == "cache verify" { &[0, 1, 3] } else { &[0, 3] }
    }
}

/// Makes all of the cache old enough to be collected.
fn age(cache: &Path) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(30 * 86_400);
    for path in files_below(cache) {
        std::fs::File::options().write(true).open(cache.join(path)).unwrap().set_modified(then).unwrap();
    }
}

/// `lock`: a build, and a file of the repo that says what was built.
pub struct Lock {
    ground: Ground,
    locks: [Vec<u8>; 2],
}

const LOCK: &str = "Expertfile.lock";

impl Lock {
    pub fn new() -> Self {
        let mut ground = Ground::new("", 40 << 10);
        let mut lock = || {
            ground.toggle();
            ground.space.run("lock").ok();
            ground.space.read(LOCK)
        };
        let (of_two, of_one) = (lock(), lock());
        assert_ne!(of_one, of_two);
        Self { ground, locks: [of_one, of_two] }
    }
}

impl Subject for Lock {
    fn name(&self) -> &'static str {
        "lock"
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["lock", "-j", "2"]
    }

    fn space(&self) -> &Space {
        &self.ground.space
    }

    fn prepare(&mut self, campaign: &mut Campaign) {
        self.ground.begin(campaign);
        self.ground.space.write(LOCK, &self.locks[1 - self.ground.state()]);
    }

    fn is_whole(&self) -> Result<(), String> {
        if !self.locks.contains(&self.ground.space.read(LOCK)) {
            return Err(format!("`{LOCK}` is neither old nor new"));
        }
        self.ground.is_whole()
    }

    fn is_done(&self) -> Result<(), String> {
        if self.ground.space.read(LOCK) != self.locks[self.ground.state()] {
            return Err(format!("`{LOCK}` is not what was built"));
        }
        self.ground.is_built()
    }

    fn recovers(&mut self) -> Result<(), String> {
        went_well("locking again", &self.run())?;
        self.is_done()?;
        self.ground.space.remove(LOCK);
        self.ground.recovers()
    }
}
