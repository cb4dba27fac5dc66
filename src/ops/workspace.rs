//! `Workspace`: a repo on this machine: its experts resolved, its folders known, its cache and index found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::base::{Error, RelPath, Result};
use crate::engine::target::Target;
use crate::format::signature::PrivateKey;
use crate::ops::asked::{Answer, Asked, Question, Without};
use crate::ops::glance::Glance;
use crate::ops::keygen;
use crate::ops::memory::Memory;
use crate::ops::remote::Ci;
use crate::ops::trusted::{Trusted, trusted_key};
use crate::spec::expertfile::CacheDir;
use crate::spec::{Expert, Folder, KeySource, Origin, Places, Repo, Request, Setting, Sign, TrustedKey, expertfile};
use crate::store::index::Front;
use crate::store::{Index, LocalCache, Remote, Stat, fs};

/// What the caller knows of the machine: the library itself reads no environment.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The folder to work in; the repo is looked for here and above.
    pub directory: PathBuf,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// The folder of the user's configuration.
    pub config_dir: PathBuf,
    /// The folder for caches.
    pub cache_dir: PathBuf,
    /// Flags, variables and profile.
    pub request: Request,
    /// Which flag or variable says that no other machine may be spoken to, if one does.
    pub offline: Option<&'static str>,
    /// What CI says of the run.
    pub ci: Ci,
    /// This program, for workers to run.
    pub program: Option<PathBuf>,
}

/// A repo on this machine.
pub struct Workspace {
    /// Its root.
    pub root: PathBuf,
    /// What its Expertfile says.
    pub repo: Repo,
    /// The cache.
    pub cache: LocalCache,
    /// Where its index lies.
    pub index: PathBuf,
    /// The folder below the root that the user stands in, if not the root itself.
    pub standing: Option<RelPath>,
    /// The one file that the package shall be written to, whatever its name.
    pub output: Option<PathBuf>,
    /// A remote cache that the caller speaks to in a way of its own, instead of the one at `[cache.remote] url`; how it is used
    /// is still what `[cache.remote]` says.
    pub connected: Option<Arc<dyn Remote>>,
    /// What was seen before the repo was resolved.
    glance: Option<Glance>,
    /// The index that was glanced at, where the repo was resolved by it.
    recalled: Option<Arc<Index>>,
    pub(crate) setup: Setup,
    /// What it was resolved from, and keys and configs that were read since. `None` where that cannot be told for later.
    asked: Mutex<Option<Vec<Question>>>,
}

impl Workspace {
    /// Finds and resolves the repo.
    pub fn open(setup: Setup) -> Result<Self> {
        let directory = fs::canonical(&setup.directory)?;
        let setup = with_user_config(setup)?;
        let (root, repo, asked) = find(&directory, &setup.request)?;
        Self::of(setup, directory, root, repo, asked)
    }

    /// The same where there need not be an expert: its settings are those of the file, the user's and the machine's.
    pub fn open_empty(setup: Setup) -> Result<Self> {
        Self::open_or(setup, crate::spec::resolve_empty)
    }

    /// The same for its cache alone, which is where it is whatever is wrong with the experts.
    pub fn open_cache(setup: Setup) -> Result<Self> {
        Self::open_or(setup, crate::spec::resolve_cache)
    }

    fn open_or(setup: Setup, lesser: fn(&dyn Folder, &Request) -> Result<Repo>) -> Result<Self> {
        let error = match Self::open(setup.clone()) {
            Ok(workspace) => return Ok(workspace),
            Err(error) => error,
        };
        let directory = fs::canonical(&setup.directory)?;
        let setup = with_user_config(setup)?;
        let root = nearest(&directory);
        let repo = lesser(&Asked::new(&root), &setup.request)?;
        // Where there are experts, it is not their absence that was wrong.
        if repo.experts.is_empty() { Self::of(setup, directory, root, repo, None) } else { Err(error) }
    }

    /// The same, after a glance at what the index knows: what that found out need not be asked again.
    pub fn open_after(setup: Setup, glance: Option<Glance>) -> Result<Self> {
        let recalled = glance.as_ref().and_then(|glance| Self::recall(&setup, glance));
        let workspace = recalled.map_or_else(|| Self::open(setup), Ok)?;
        Ok(Self { glance, ..workspace })
    }

    /// The repo as a glance saw it: only what lies with experts that are not as they were is asked of the disk. `None`
    /// where anything is not as the grounds have it, or is wrong.
    fn recall(setup: &Setup, glance: &Glance) -> Option<Self> {
        let setup = with_user_config(setup.clone()).ok().filter(|setup| glance.is_of(setup))?;
        let path = LocalCache::new(setup.cache_dir.clone()).repo_folder(&glance.root).join("index");
        let index = Index::load(&path);
        let folder = Asked::recalling(Memory::of(glance, &index)?);
        let repo = crate::spec::resolve(&folder, &setup.request).ok()?;
        if !folder.is_as_remembered() {
            return None;
        }
        let (root, asked) = (glance.root.clone(), glance.asked().to_vec());
        let workspace = Self::of(setup, root.clone(), root, repo, Some(asked)).ok()?;
        (workspace.index == path).then(|| Self { recalled: Some(Arc::new(index)), ..workspace })
    }

    /// The one expert in this folder, as if there were no Expertfile.
    pub fn bare(setup: Setup, folder: &Path) -> Result<Self> {
        let setup = with_user_config(setup)?;
        let own = RelPath::new(expertfile::NAME).expect("a relative path");
        let repo = crate::spec::resolve(&Without(&Asked::new(folder), &own), &setup.request)?;
        let mut workspace = Self::of(setup, folder.to_path_buf(), folder.to_path_buf(), repo, None)?;
        // What is packaged without the Expertfile must not look like a change of settings to a build with it.
        workspace.index.set_file_name("package.index");
        Ok(workspace)
    }

    /// The one expert in this folder, with this text for its Expertfile.
    pub fn given(setup: Setup, folder: &Path, expertfile: &str) -> Result<Self> {
        let repo = crate::spec::resolve(&Given(Asked::new(folder), expertfile.to_owned()), &setup.request)?;
        Self::of(setup, folder.to_path_buf(), folder.to_path_buf(), repo, None)
    }

    fn of(setup: Setup, directory: PathBuf, root: PathBuf, repo: Repo, asked: Option<Vec<Question>>) -> Result<Self> {
        let standing = directory.strip_prefix(&root).ok().and_then(Path::to_str).filter(|p| !p.is_empty());
        let standing = standing.and_then(|p| RelPath::new(p).ok());
        let mut workspace = Self {
            cache: LocalCache::new(setup.cache_dir.clone()),
            index: PathBuf::new(),
            root,
            repo,
            standing,
            output: None,
            connected: None,
            glance: None,
            recalled: None,
            setup,
            asked: Mutex::new(asked),
        };
        if let CacheDir::At(path) = &workspace.repo.cache.dir.value {
            workspace.cache = LocalCache::new(workspace.host_path(path)?);
        }
        workspace.index = workspace.cache.repo_folder(&workspace.root).join("index");
        Ok(workspace)
    }

    /// Was it resolved by what a glance had seen?
    pub fn is_recalled(&self) -> bool {
        self.recalled.is_some()
    }

    /// What the index knows now.
    pub(crate) fn known(&self) -> Arc<Index> {
        let is_same = |index: &&Arc<Index>| Front::open(&self.index).is_some_and(|front| front.id() == index.id());
        self.recalled.as_ref().filter(is_same).map_or_else(|| Arc::new(Index::load(&self.index)), Arc::clone)
    }

    /// What is known of every expert of an index by stat already.
    pub(crate) fn glanced(&self, index: &Index) -> Option<&Glance> {
        self.glance.as_ref().filter(|glance| glance.looked.is_of(index))
    }

    /// Was the repo resolved by the grounds of this index? Then its experts and their settings are as they were when it
    /// was written: all of them, also those whose files are not.
    pub(crate) fn recalls(&self, index: &Index) -> bool {
        self.recalled.as_ref().is_some_and(|recalled| recalled.id() == index.id())
    }

    /// Everything on the disk that decided what the experts and their targets are, beyond what records of the index speak
    /// of anyway. `None` where that cannot be told for later.
    pub(crate) fn asked(&self) -> Option<Vec<Question>> {
        self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Notes that a target depends on what is at this path. The stat was taken before it was read.
    fn note(&self, path: &Path, stat: Option<Stat>) {
        let mut asked = self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let answer = match stat {
            Some(stat) if stat.is_racy(fs::now()) => return *asked = None,
            Some(stat) if stat.is_file() => Answer::Holds(stat),
            Some(stat) => Answer::Is(stat.kind),
            None => Answer::Nothing,
        };
        let questions = asked.iter_mut().filter(|questions| questions.iter().all(|known| known.path != path));
        questions.for_each(|questions| questions.push(Question { path: path.to_path_buf(), answer }));
    }

    /// The folders that relative paths are relative to.
    pub fn places(&self) -> Places<'_> {
        Places {
            repo: &self.root,
            working: &self.setup.directory,
            user: &self.setup.config_dir,
            home: self.setup.home.as_deref(),
        }
    }

    /// Experts built when none is named: those below the folder the user stands in, else the default members.
    pub fn defaults(&self) -> Vec<usize> {
        if let Some(standing) = &self.standing {
            let below = |expert: &Expert| {
                expert.folder.as_ref().is_some_and(|folder| {
                    folder == standing
                        || folder.as_str().starts_with(&format!("{standing}/"))
                        || standing.as_str().starts_with(&format!("{folder}/"))
                })
            };
            let here: Vec<usize> = (0..self.repo.experts.len()).filter(|i| below(&self.repo.experts[*i])).collect();
            if !here.is_empty() {
                return here;
            }
        }
        self.repo.defaults()
    }

    /// The experts as targets. Keys are read once each, and what an expert has in common with the one before it is shared.
    pub fn targets(&self, chosen: &[usize]) -> Result<Vec<Arc<Target>>> {
        let mut keys = BTreeMap::new();
        let mut targets: Vec<Arc<Target>> = Vec::with_capacity(chosen.len());
        for number in chosen {
            let target = self.target(&self.repo.experts[*number], targets.last().map(|last| &**last), &mut keys)?;
            targets.push(Arc::new(target));
        }
        Ok(targets)
    }

    fn target(
        &self,
        expert: &Arc<Expert>,
        last: Option<&Target>,
        keys: &mut BTreeMap<String, Arc<PrivateKey>>,
    ) -> Result<Target> {
        let last = last.map(|last| (&*last.expert, last));
        let with_same = |same: &dyn Fn(&Expert) -> bool| last.filter(|(other, _)| same(other)).map(|(_, last)| last);
        let out_dir = match (&expert.out_dir, with_same(&|other| same(&other.out_dir, &expert.out_dir))) {
            (None, _) => None,
            (_, Some(last)) => last.out_dir.clone(),
            (Some(dir), None) => Some(self.host_path(&dir.value)?.into()),
        };
        let configs = match with_same(&|other| Arc::ptr_eq(&other.model, &expert.model)) {
            Some(last) => Arc::clone(&last.configs),
            None => self.configs(expert)?.into(),
        };
        let include = with_same(&|other| Arc::ptr_eq(&other.include, &expert.include)).map(|last| last.include.clone());
        let exclude = with_same(&|other| Arc::ptr_eq(&other.exclude, &expert.exclude)).map(|last| last.exclude.clone());
        let lints = with_same(&|other| Arc::ptr_eq(&other.lints, &expert.lints)).map(|last| Arc::clone(&last.lints));
        Ok(Target {
            folder: expert.folder.as_ref().map_or_else(|| self.root.clone(), |f| f.under(&self.root)),
            out_dir,
            codec: expert.codec(),
            include: include.unwrap_or_else(|| expert.includes()),
            exclude: exclude.unwrap_or_else(|| expert.excludes()),
            lints: lints.unwrap_or_else(|| Arc::new(expert.lints())),
            signer: self.signer(expert, keys)?,
            epoch: self.epoch()?,
            configs,
            output: self.output.clone(),
            expert: Arc::clone(expert),
        })
    }

    /// The configs of base models that the Expertfile names for this expert.
    fn configs(&self, expert: &Expert) -> Result<Vec<(String, PathBuf, Vec<u8>)>> {
        let mut configs = Vec::new();
        for (model, table) in &*expert.model {
            if let Some(config) = &table.config {
                let path = self.host_path(&config.value)?;
                let Some((bytes, stat)) = fs::read(&path, 16 << 20)? else {
                    return Err(Error::usage_help(
                        format!(
                            "`config` of the base model `{model}` names `{}`, which does not exist",
                            path.display()
                        ),
                        "give the path of the base model's config.json, or drop `config`",
                    ));
                };
                self.note(&path, Some(stat));
                configs.push((model.clone(), path, bytes));
            }
        }
        Ok(configs)
    }

    /// Which flag or variable says that no other machine may be spoken to, if one does.
    pub fn offline(&self) -> Option<&'static str> {
        self.setup.offline
    }

    /// What CI says of the run.
    pub fn ci(&self) -> Ci {
        self.setup.ci
    }

    /// This program, where it is known.
    pub fn program(&self) -> Option<PathBuf> {
        self.setup.program.clone()
    }

    /// A variable of the environment that is set, and not to nothing.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.setup.request.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A path outside of packages, on this machine.
    pub fn host_path(&self, path: &crate::spec::HostPath) -> Result<PathBuf> {
        path.resolve(&self.places()).ok_or_else(|| no_home(path))
    }

    fn epoch(&self) -> Result<Option<u64>> {
        let Some(text) = self.setup.request.env.get("SOURCE_DATE_EPOCH").filter(|t| !t.is_empty()) else {
            return Ok(None);
        };
        let bad = || {
            Error::usage_help(
                format!("SOURCE_DATE_EPOCH is `{text}`"),
                "it is a number of seconds since 1970, at most 8589934591, or not set",
            )
        };
        let seconds: u64 = text.parse().map_err(|_| bad())?;
        // Eleven octal digits are what a ustar header holds.
        if seconds > 0o77_777_777_777 { Err(bad()) } else { Ok(Some(seconds)) }
    }

    fn signer(&self, expert: &Expert, keys: &mut BTreeMap<String, Arc<PrivateKey>>) -> Result<Option<Arc<PrivateKey>>> {
        if expert.sign.value == Sign::Off {
            return Ok(None);
        }
        let name = format!("{:?}", expert.key.value);
        if let Some(key) = keys.get(&name) {
            return Ok(Some(Arc::clone(key)));
        }
        let mut missing = String::new();
        let key = match &expert.key.value {
            KeySource::None => None,
            KeySource::Env(name) => match self.setup.request.env.get(name).filter(|v| !v.is_empty()) {
                Some(value) => Some(keygen::private_key_of(name, value)?),
                None => None,
            },
            KeySource::File(path) => {
                let path = self.host_path(path)?;
                let stat = Stat::following(&path).ok();
                self.note(&path, stat);
                // A file of settings may name a key that only some of those who share it have; who names one for this run
                // means it.
                let asked_for = matches!(expert.key.origin, Origin::Flag(_) | Origin::Env(_));
                missing = format!(" at `{}`", path.display());
                if stat.is_some() || asked_for { Some(keygen::private_key(&path)?) } else { None }
            }
        };
        match key {
            Some(key) => {
                let key = Arc::new(key);
                keys.insert(name, Arc::clone(&key));
                Ok(Some(key))
            }
            None if expert.sign.value == Sign::Required => Err(Error::usage_help(
                format!("`{}` must be signed, and there is no key{missing}", expert.label()),
                "name one with `key` in the Expertfile or `--key`; `expert-build keygen --output publisher.pem` makes one",
            )),
            None => Ok(None),
        }
    }
}

/// Whose signatures count for someone who works here: what the Expertfile and the user's configuration say, with the
/// names under which they say it. An entry that cannot be read is an error: it might be the one that counts.
pub fn trusted(setup: Setup) -> Result<Vec<Trusted>> {
    let directory = fs::canonical(&setup.directory)?;
    let setup = with_user_config(setup)?;
    let nearest = nearest(&directory);
    let (root, trust) = match workspace_above(&nearest, &setup.request) {
        Some((root, repo)) => (root, repo.trust),
        None => {
            let trust = crate::spec::trust::of(&Asked::new(&nearest), &setup.request)?;
            (nearest, trust)
        }
    };
    let places =
        Places { repo: &root, working: &setup.directory, user: &setup.config_dir, home: setup.home.as_deref() };
    let read = |(name, entry): (String, Setting<TrustedKey>)| {
        let key = match &entry.value {
            TrustedKey::Key(key) => (*key).into(),
            TrustedKey::File(path) => {
                let path = path.resolve(&places).ok_or_else(|| no_home(path))?;
                trusted_key(&path.to_string_lossy()).map_err(|error| {
                    let cause =
                        std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
                    Error::usage_help(
                        format!("the trusted key `{name}` ({}) is not to be had: {error}{cause}", entry.origin),
                        "correct the entry of `[trust]`, or take it out",
                    )
                })?
            }
        };
        Ok(Trusted { key, name, origin: entry.origin.to_string() })
    };
    trust.into_iter().map(read).collect()
}

/// Is it the very same setting, or none in both?
fn same<T>(one: &Option<Arc<T>>, other: &Option<Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

fn no_home(path: &crate::spec::HostPath) -> Error {
    Error::usage_help(format!("`{}` needs a home folder", path.text), "set HOME, or write the path in full")
}

/// Is there a folder at this path?
pub fn is_folder(path: &Path) -> bool {
    fs::is_dir(path)
}

/// The nearest folder with an Expertfile.toml, here or above; this folder if there is none. What is wrong with that file
/// is told before there is a workspace.
pub fn nearest(directory: &Path) -> PathBuf {
    let above = directory.ancestors().find(|above| fs::is_file(&above.join(expertfile::NAME)));
    above.unwrap_or(directory).to_path_buf()
}

pub(crate) fn with_user_config(mut setup: Setup) -> Result<Setup> {
    if setup.request.user_config.is_none() {
        let path = setup.config_dir.join("config.toml");
        if let Some((bytes, _)) = fs::read(&path, 16 << 20)? {
            let text =
                String::from_utf8(bytes).map_err(|_| Error::usage(format!("`{}` is not UTF-8", path.display())))?;
            setup.request.user_config = Some((path.display().to_string(), text));
        }
    }
    Ok(setup)
}

/// The repo that this folder belongs to: the nearest folder with an Expertfile.toml, unless that does not know the
/// expert we stand in. With it everything that it was resolved from, where no other folder than this had a say.
fn find(directory: &Path, request: &Request) -> Result<(PathBuf, Repo, Option<Vec<Question>>)> {
    let is_expert = fs::is_file(&directory.join("manifest.json"));
    for above in directory.ancestors() {
        if !fs::is_file(&above.join(expertfile::NAME)) {
            continue;
        }
        let folder = Asked::new(above);
        // An Expertfile of a member belongs to the workspace above it.
        let repo = crate::spec::resolve(&folder, request);
        if above != directory && is_expert {
            let repo = repo?;
            let ours = directory.strip_prefix(above).ok().and_then(Path::to_str);
            if repo.experts.iter().any(|e| Some(e.label()) == ours) {
                return Ok((above.to_path_buf(), repo, None));
            }
            continue;
        }
        if above == directory
            && let Some((root, repo)) = workspace_above(directory, request)
        {
            return Ok((root, repo, None));
        }
        let repo = repo?;
        let asked = if stands_alone(directory) { folder.beyond(&repo) } else { None };
        return Ok((above.to_path_buf(), repo, asked));
    }
    let repo = crate::spec::resolve(&Asked::new(directory), request)?;
    Ok((directory.to_path_buf(), repo, None))
}

/// Is this a repo's root, and no folder above it one?
pub(crate) fn stands_alone(directory: &Path) -> bool {
    let mut above = directory.ancestors().map(|above| fs::is_file(&above.join(expertfile::NAME)));
    above.next() == Some(true) && above.all(|is_root| !is_root)
}

/// A workspace above this folder that has it as a member.
fn workspace_above(directory: &Path, request: &Request) -> Option<(PathBuf, Repo)> {
    for above in directory.ancestors().skip(1) {
        if fs::is_file(&above.join(expertfile::NAME)) {
            let repo = crate::spec::resolve(&Asked::new(above), request).ok()?;
            let ours = directory.strip_prefix(above).ok()?.to_str()?;
            if repo.experts.iter().any(|e| e.label() == ours) {
                return Some((above.to_path_buf(), repo));
            }
            return None;
        }
    }
    None
}

/// A folder whose Expertfile does not count: instead of it there is another text.
struct Given(Asked<'static>, String);

impl Folder for Given {
    fn read(&self, path: &RelPath) -> Result<Option<String>> {
        if path.as_str() == expertfile::NAME { Ok(Some(self.1.clone())) } else { self.0.read(path) }
    }

    fn is_file(&self, path: &RelPath) -> Result<bool> {
        if path.as_str() == expertfile::NAME { Ok(true) } else { self.0.is_file(path) }
    }

    fn real(&self, path: &RelPath) -> Result<PathBuf> {
        self.0.real(path)
    }

    fn holds(&self, above: Option<&RelPath>, name: &str, file: &RelPath) -> Result<bool> {
        self.0.holds(above, name, file)
    }

    fn is_dir(&self, path: &RelPath) -> Result<bool> {
        self.0.is_dir(path)
    }

    fn list(&self, path: Option<&RelPath>) -> Result<Vec<(String, bool)>> {
        self.0.list(path)
    }
}
