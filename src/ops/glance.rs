//! `Glance`: is there anything to do at all? Asked of the kernel alone, before the repo is resolved.
//!
//! A run that left every expert up to date puts its *grounds* into the index, a verifying trace of all that its answer
//! rests on beside the records: the request, variables that hold keys, and every question that resolving asked of the
//! disk, with the answer. Where all of that is as it was, so are the experts and their settings; and where the stats of
//! all records hold as well, the next run would say the same again, word for word.
//!
//! Where the grounds hold and only files of some experts changed, the others and all settings are still known: the repo is
//! then resolved from memory ([`Memory`](crate::ops::memory::Memory)), and those experts alone are looked into.
//!
//! Grounds are kept for the plain case only: a repo's root, every expert of it, nothing to warn of. Whoever asks for
//! anything else goes the long way, as does everybody where a single answer differs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::engine::freshness::{self, Looked};
use crate::engine::key::KeyText;
use crate::ops::asked::Question;
use crate::ops::build::now;
use crate::ops::ledger::Ledger;
use crate::ops::workspace::{Setup, Workspace, stands_alone, with_user_config};
use crate::spec::request::PREFIX;
use crate::spec::{KeySource, Request, expertfile};
use crate::store::index::Front;
use crate::store::{Index, LocalCache, Stat, fs};

/// What a glance told.
#[derive(Debug)]
pub struct Glance {
    /// The folder of the repo.
    pub root: PathBuf,
    /// When it began.
    pub(crate) started: Instant,
    /// What a run would say that finds nothing to do, where that is so.
    pub up_to_date: Option<UpToDate>,
    /// Which experts are not as they were.
    pub(crate) looked: Looked,
    /// What holds as it did then.
    grounds: Grounds,
}

/// A repo in which nothing is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpToDate {
    /// Its experts.
    pub experts: usize,
    /// Their packages.
    pub packages: usize,
    /// Warnings that were told when they were built.
    pub warnings: usize,
}

/// All that an answer rests on, beside the records of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Grounds {
    /// Hash of the request, and of who was asked.
    request: String,
    /// Variables that hold keys: their names, and the hashes of what they held.
    variables: BTreeMap<String, Option<String>>,
    /// What resolving asked of the disk.
    asked: Vec<Question>,
    up_to_date: UpToDate,
}

impl Glance {
    /// Looks at the repo in a setup's folder, with so many threads. `None` where the long way must be gone anyway.
    pub fn at(setup: &Setup, threads: usize) -> Option<Self> {
        let started = now();
        let root = fs::canonical(&setup.directory).ok()?;
        let cache = LocalCache::new(setup.cache_dir.clone());
        let front = Front::open(&cache.repo_folder(&root).join("index")).filter(|front| !front.grounds().is_empty())?;
        let grounds: Grounds = serde_json::from_slice(front.grounds()).ok()?;
        let setup = with_user_config(setup.clone()).ok()?;
        let as_then = grounds.request == request(&setup, &root)
            && grounds.variables.iter().all(|(name, then)| variable(&setup.request, name) == *then)
            && stands_alone(&root)
            && grounds.asked.iter().all(|question| question.holds(&root));
        if !as_then {
            return None;
        }
        let looked = freshness::look_at_all(&root, &front, threads)?;
        Some(Self { root, started, up_to_date: looked.is_fresh().then_some(grounds.up_to_date), looked, grounds })
    }

    /// Is this what it was asked?
    pub(crate) fn is_of(&self, setup: &Setup) -> bool {
        self.grounds.request == request(setup, &self.root)
    }

    /// What resolving asked of the disk, and was answered, then and now.
    pub(crate) fn asked(&self) -> &[Question] {
        &self.grounds.asked
    }

    /// What was remembered of all experts.
    pub(crate) fn remembered(&self) -> UpToDate {
        self.grounds.up_to_date
    }
}

/// The grounds for an index, after a run in which every expert of the repo was up to date or has become it. `before` is
/// what was known when it began, `changed` what it adds, `up_to_date` what is remembered of the experts that needed nothing.
/// `None` where the next run might have something else to say.
pub(crate) fn grounds(
    workspace: &Workspace,
    before: &Index,
    changed: &Ledger<'_>,
    mut up_to_date: UpToDate,
) -> Option<Vec<u8>> {
    let (repo, setup) = (&workspace.repo, &workspace.setup);
    let is_plain = workspace.standing.is_none()
        && workspace.output.is_none()
        && workspace.cache.root() == setup.cache_dir
        && repo.warnings.is_empty()
        && repo.experts.iter().all(|expert| expert.budget.is_none() && expert.growth.is_none() && expert.default);
    let asked = workspace.asked().filter(|_| is_plain)?;
    up_to_date.packages += changed.packages();
    up_to_date.warnings += changed.warnings();
    // Grounds that held have proven it of all that did not change.
    let is_recalled = workspace.recalls(before);
    for expert in &repo.experts {
        // What is not among the questions must be in the records: the folder, where an Expertfile might come, and the
        // manifest.
        let (folder, manifest) = (expert.label(), expert.path(&expert.manifest.value));
        let is_known = match changed.tells_of(folder) {
            Some(tells) => tells,
            None if is_recalled => true,
            None => before.get(folder).is_some_and(|record| record.stats().tells_of(folder, manifest.as_str())),
        };
        // And what came beside a manifest after it was asked for is in the folder that was listed since.
        let came = || Stat::of(&workspace.root.join(folder).join(expertfile::NAME)).is_ok();
        let is_told = || asked.iter().any(|question| question.path == Path::new(folder).join(expertfile::NAME));
        if !is_known || (changed.holds(folder) && came() && !is_told()) {
            return None;
        }
    }
    let mut variables = BTreeMap::new();
    for expert in &repo.experts {
        if let KeySource::Env(name) = &expert.key.value
            && !variables.contains_key(name)
        {
            variables.insert(name.clone(), variable(&setup.request, name));
        }
    }
    let request = request(setup, &workspace.root);
    serde_json::to_vec(&Grounds { request, variables, asked, up_to_date }).ok()
}

/// Hash of what a variable holds.
fn variable(request: &Request, name: &str) -> Option<String> {
    request.env.get(name).map(|value| blake3::hash(value.as_bytes()).to_hex().to_string())
}

/// Hash of everything beside the disk that decides what the experts are and how they are built, and of the program.
fn request(setup: &Setup, root: &Path) -> String {
    let mut text = KeyText::new("resolve");
    text.line("program", "version", env!("CARGO_PKG_VERSION"));
    let places =
        [("root", root), ("directory", &setup.directory), ("config", &setup.config_dir), ("cache", &setup.cache_dir)];
    for (name, path) in places.into_iter().chain(setup.home.as_deref().map(|home| ("home", home))) {
        text.line("place", name, &format!("{:?}", path.components()));
    }
    text.line("profile", "", &format!("{:?}", setup.request.profile));
    for flag in &setup.request.flags {
        text.line("flag", &flag.flag, &flag.value);
        text.line("sets", &flag.flag, &flag.key);
    }
    let ours = |name: &str| name.starts_with(PREFIX) || name == "SOURCE_DATE_EPOCH";
    for (name, value) in setup.request.env.iter().filter(|(name, _)| ours(name)) {
        text.line("variable", name, value);
    }
    if let Some((name, config)) = &setup.request.user_config {
        text.line("config", name, config);
    }
    text.key().hex()
}
