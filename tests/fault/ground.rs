//! `Ground`: a small repo that changes between two states, whose packages are known byte for byte in both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::campaign::Campaign;
use crate::expert::Expert;
use crate::space::{EXPERT_BUILD, Ran, Space, files_below};

/// What the names of temporaries begin with.
const TEMPORARY: &str = ".expert-build-tmp-";

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A repo in which faults happen.
pub struct Ground {
    pub space: Space,
    states: [State; 2],
    /// The state of the sources.
    at: usize,
    /// The outputs when the case began.
    before: Files,
}

struct State {
    sources: Files,
    packages: Files,
}

impl Ground {
    /// A repo with these settings above its members; `big` bytes are in a file of one expert.
    pub fn new(settings: &str, big: usize) -> Self {
        let states = ["one", "two"].map(|state| State::new(settings, state, big));
        let mut space = Space::new();
        std::fs::create_dir(space.outer("tmp")).unwrap();
        space.set("TMPDIR", &space.outer("tmp").display().to_string());
        let ground = Self { space, states, at: 0, before: Files::new() };
        ground.write_sources();
        ground
    }

    fn write_sources(&self) {
        for (path, content) in &self.states[self.at].sources {
            let there = self.space.path(path);
            if std::fs::read(&there).ok().as_ref() != Some(content) {
                // Whole at once, for whoever watches.
                std::fs::create_dir_all(there.parent().unwrap()).unwrap();
                let beside = there.with_file_name(".source");
                std::fs::write(&beside, content).unwrap();
                std::fs::rename(&beside, &there).unwrap();
            }
        }
    }

    /// Begins a case: sources in the other state; sometimes without cache, sometimes without outputs.
    pub fn begin(&mut self, campaign: &mut Campaign) {
        self.toggle();
        if campaign.below(2) == 0 {
            self.drop_cache();
        }
        if campaign.below(3) == 0 {
            self.drop_outputs();
        }
        self.forget();
    }

    /// Puts the sources into the other state.
    pub fn toggle(&mut self) {
        self.at = 1 - self.at;
        self.write_sources();
    }

    /// The state of the sources, 0 or 1.
    pub fn state(&self) -> usize {
        self.at
    }

    /// From now on the outputs that are there are the old ones.
    pub fn forget(&mut self) {
        self.before = self.space.packages();
    }

    /// Empties the folder of the cache, which may be where something is mounted.
    pub fn drop_cache(&self) {
        for entry in std::fs::read_dir(self.space.outer("cache")).into_iter().flatten().flatten() {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let _ = if is_dir { std::fs::remove_dir_all(entry.path()) } else { std::fs::remove_file(entry.path()) };
        }
    }

    pub fn drop_outputs(&self) {
        self.space.packages().keys().for_each(|path| self.space.remove(path));
    }

    /// What a clean build of the present sources makes.
    pub fn wanted(&self) -> &Files {
        &self.states[self.at].packages
    }

    /// After a fault: the sources are untouched, every output is as it was, or new; and no checksum lies beside a package
    /// that is another.
    pub fn is_whole(&self) -> Result<(), String> {
        self.is_whole_of(&[self.at])
    }

    /// The same while the sources went from one state to the other: outputs may be those of either, or of an expert with
    /// files of both.
    pub fn is_whole_of_either(&self) -> Result<(), String> {
        self.is_whole_of(&[0, 1])
    }

    fn is_whole_of(&self, states: &[usize]) -> Result<(), String> {
        let read = |path: &String| std::fs::read(self.space.path(path)).ok();
        let sources = &self.states[self.at].sources;
        if let Some((path, _)) = sources.iter().find(|(path, content)| read(path).as_ref() != Some(content)) {
            return Err(format!("the source `{path}` is not what it was"));
        }
        let now = self.space.packages();
        for (path, content) in &now {
            if path.contains(TEMPORARY) {
                continue;
            }
            let is_new = states.iter().any(|state| self.states[*state].packages.get(path) == Some(content));
            let verifies = || self.space.run_as(EXPERT_BUILD, "", &["verify", path]).code == 0;
            let is_mixed = || states.len() > 1 && (path.ends_with(".sha256") || verifies());
            if self.before.get(path) != Some(content) && !is_new && !is_mixed() {
                return Err(format!("`{path}` is neither old nor new: {} bytes", content.len()));
            }
            if let Some(package) = path.strip_suffix(".sha256").and_then(|package| now.get(package)) {
                let sum = expert_build::base::Sha256::of(package).to_string();
                if !content.starts_with(sum.as_bytes()) {
                    return Err(format!("`{path}` is not the checksum of the package beside it"));
                }
            }
        }
        let lost = self.before.keys().find(|path| path.ends_with(".expert") && !now.contains_key(*path));
        lost.map_or(Ok(()), |path| Err(format!("`{path}` was there and is gone")))
    }

    /// The next build goes well, makes the same bytes as a clean one and leaves no litter.
    pub fn recovers(&self) -> Result<(), String> {
        let ran = self.space.run("build");
        if ran.code != 0 {
            return Err(format!("the next build failed: {}", ran.shown()));
        }
        self.is_built()?;
        let sources: BTreeSet<&String> = self.states[self.at].sources.keys().collect();
        let there = files_below(&self.space.path(""));
        let litter = there.iter().find(|path| !sources.contains(path) && !self.wanted().contains_key(*path));
        litter.map_or(Ok(()), |path| Err(format!("litter after the next build: `{path}`")))
    }

    /// The packages are those of a clean build.
    pub fn is_built(&self) -> Result<(), String> {
        let now = self.space.packages();
        let differs = self.wanted().iter().find(|(path, content)| now.get(*path) != Some(content));
        differs.map_or(Ok(()), |(path, _)| Err(format!("`{path}` differs from a clean build's")))
    }

    /// After `cache gc`, no temporary is left, neither in the cache nor where temporary files lie.
    pub fn cache_is_tidy(&self) -> Result<(), String> {
        let ran = self.space.run("cache gc");
        if ran.code != 0 {
            return Err(format!("`cache gc` failed: {}", ran.shown()));
        }
        let mut litter = temporaries(&self.space.outer("cache"));
        litter.extend(temporaries(&self.space.outer("tmp")));
        litter.first().map_or(Ok(()), |path| Err(format!("litter after `cache gc`: `{path}`")))
    }
}

/// Temporaries below a folder. A folder without files counts as well.
pub fn temporaries(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(top) else { return found };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(TEMPORARY) || name.starts_with(".tmp") {
            found.push(entry.path().display().to_string());
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(temporaries(&entry.path()));
        }
    }
    found
}

/// Errors that a run tells.
pub fn errors(ran: &Ran) -> usize {
    ran.stderr.lines().filter(|line| line.starts_with("error")).count()
}

/// The run ended in good order: no bug, and each failure is told once (what that means is said in `main.rs`).
pub fn in_order(ran: &Ran, codes: &[i32]) -> Result<(), String> {
    let errors = errors(ran);
    if !codes.contains(&ran.code) || ran.stderr.contains("internal error") || ran.stderr.contains("panicked") {
        return Err(ran.shown());
    }
    let failed = regex::Regex::new(r"failed (\d+)").unwrap();
    let failed = failed.captures(&ran.stderr).map_or(1, |found| found[1].parse::<usize>().unwrap());
    if ran.code == 3 && errors != failed.max(1) {
        return Err(format!("{errors} errors are told: {}", ran.shown()));
    }
    Ok(())
}

impl State {
    fn new(settings: &str, state: &str, big: usize) -> Self {
        let note = |name: &str| format!("# {name} in the state {state}\n").repeat(40);
        let mut experts = vec![
            Expert::lora("alpha").soft_prompt("short").file("README.md", note("alpha")),
            Expert::two_models("beta").file("README.md", note("beta")),
            Expert::lora("gamma").file("vocab.model", noise(state, big)),
            // Equal in both states.
            Expert::lora("delta"),
        ];
        experts[2] = experts[2].clone().file("README.md", note("gamma"));
        let mut sources = Files::new();
        for expert in &experts {
            let below = |(path, content)| (format!("experts/{}/{path}", expert.name()), content);
            sources.extend(expert.files().into_iter().map(below));
        }
        let own = "[[expert]]\npath = \"experts/beta\"\ncompression = \"zstd\"\n\n\
                   [[expert]]\npath = \"experts/gamma\"\ncompression = \"zstd\"\nlevel = 1\n\n\
                   [[expert]]\npath = \"experts/delta\"\ncompression = \"none\"\n";
        let text = format!("[workspace]\nmembers = [\"experts/*\"]\n{settings}\n{own}");
        sources.insert("Expertfile.toml".into(), text.into_bytes());
        let clean = Space::new();
        sources.iter().for_each(|(path, content)| clean.write(path, content));
        clean.run("build").ok();
        Self { packages: clean.packages(), sources }
    }
}

/// Bytes that compress a little.
pub fn noise(seed: &str, count: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(7_u32, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 & 0x3f
    };
    (0..count).map(|_| next()).collect()
}
