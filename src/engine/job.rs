//! `Job`: the work on one expert, and what its tasks leave for each other while it is open.
//!
//! A job is *open* from its first task to its last; what it holds then (manifest, contents of small files, findings) is
//! let go when it closes, so memory depends on the experts in progress, not on the size of the repo.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock};

use crate::base::codes::files::FILE_CHANGED;

use crate::base::event::Member;
use crate::base::{Diagnostic, Digest, Error, RelPath, Result, Sha256};
use crate::engine::files::FileSlot;
use crate::engine::finished::Finished;
use crate::engine::key::KeyText;
use crate::engine::record::PackageResult;
use crate::engine::remote::Taken;
use crate::engine::survey::Survey;
use crate::engine::target::Target;
use crate::engine::tasks::facts::Facts;
use crate::format::manifest_compose::Composed;
use crate::format::safetensors::Fingerprint;
use crate::store::index::{Built, Input, Record, Seen};
use crate::store::{ActionKey, Index, Stat, fs};

/// The work on one expert.
pub struct Job {
    /// Its number among the experts of the run.
    pub number: usize,
    /// What to build and how.
    pub target: Arc<Target>,
    /// Why it is not up to date.
    pub why: Cow<'static, str>,
    /// What the repo looked like when it was last built.
    index: Arc<Index>,
    open: Mutex<Option<Arc<Open>>>,
    /// Hash of what the plan is made of: an expert that has another shape when its turn comes cannot be built by it.
    expected: OnceLock<[u8; 32]>,
    /// Why the first look failed.
    failed: OnceLock<Box<Error>>,
    /// The expert's name, once its manifest was read.
    name: OnceLock<Box<str>>,
    /// Is every file read, whatever the index knows of it?
    reads_all: bool,
}

/// What is held while a job is open.
pub struct Open {
    /// The first look.
    pub survey: Survey,
    /// What the index remembers of the expert.
    pub previous: Record,
    /// One for each file of the survey, in its order.
    pub files: Vec<FileSlot>,
    /// One for each package, in the survey's order.
    pub packages: Vec<PackageSlot>,
    /// Findings so far, as they were found.
    pub found: Mutex<Vec<Diagnostic>>,
    /// What the headers tell; unset where the cache knows the packages already.
    pub facts: OnceLock<Facts>,
    /// Set where the cache has every package and what was found when they were made: nothing is read.
    pub vouched: OnceLock<()>,
    /// What another machine had of it, where one was asked.
    pub remote: OnceLock<Taken>,
}

/// What the tasks of one package leave for each other.
#[derive(Default)]
pub struct PackageSlot {
    /// Its key, known once all inputs' digests are.
    pub key: OnceLock<(ActionKey, KeyText)>,
    /// Its result from the cache, and that there is none.
    pub cached: OnceLock<Option<Box<PackageResult>>>,
    /// The manifest to package.
    pub composed: OnceLock<Composed>,
    /// The same, signed.
    pub signed: OnceLock<Composed>,
    /// What was put in place.
    pub built: Mutex<Vec<Built>>,
}

impl Job {
    /// The work on an expert, not yet begun.
    pub fn new(number: usize, target: Arc<Target>, why: Cow<'static, str>, index: Arc<Index>) -> Self {
        let (open, expected, failed, name) = Default::default();
        Self { number, target, why, index, open, expected, failed, name, reads_all: false }
    }

    /// The same work, but for the shortcut of the index: every file is read.
    #[must_use]
    pub fn reading_all(mut self) -> Self {
        self.reads_all = true;
        self
    }

    /// Opens the job, with the first look that was taken when it was planned or a new one.
    pub fn open(&self) -> Result<Arc<Open>> {
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(open) = &*open {
            return Ok(Arc::clone(open));
        }
        if let Some(error) = self.failed.get() {
            return Err(error.again());
        }
        let survey = Survey::take(&self.target)?;
        if self.expected.get().is_some_and(|expected| *expected != shape(&survey)) {
            return Err(Error::Invalid(vec![
                Diagnostic::new(&FILE_CHANGED, "files or base models came, went or grew while the expert was waiting")
                    .help("build again when nothing changes the expert's folder"),
            ]));
        }
        Ok(Arc::clone(open.insert(Arc::new(self.holding(survey)))))
    }

    /// Opens the job with this first look.
    pub fn open_with(&self, survey: Survey) {
        let held = Arc::new(self.holding(survey));
        *self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(held);
    }

    /// Takes the first look, of which the plan is made. Where it fails, the plan has nothing of this expert, and
    /// opening the job tells why: it is not tried again, as an expert that can be read by then would not fit the plan.
    pub fn first_look(&self) -> Option<Survey> {
        let survey = Survey::take(&self.target).map_err(|error| self.failed.set(error.into())).ok();
        let _ = self.expected.set(survey.as_ref().map_or([0; 32], shape));
        survey
    }

    /// How the user knows the expert: its name, or its folder while the manifest is not read.
    pub fn name(&self) -> String {
        self.name.get().map_or_else(|| self.target.key().to_owned(), ToString::to_string)
    }

    /// Lets go of all that is held.
    pub fn close(&self) {
        *self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    fn holding(&self, survey: Survey) -> Open {
        let previous = self.index.get(self.target.key()).and_then(|view| view.decode()).unwrap_or_default();
        let folder = self.target.folder.as_path().into();
        let files = survey.files.iter().map(|file| {
            let known = remembered(&previous, &self.path_in_repo(file.path.as_str()), &file.stat);
            FileSlot::new(file, &folder, known.filter(|_| !self.reads_all))
        });
        let _ = survey.manifest.as_ref().filter(|m| !m.name.is_empty()).map(|m| self.name.set(m.name.as_str().into()));
        Open {
            files: files.collect(),
            packages: survey.layouts.iter().map(|_| PackageSlot::default()).collect(),
            found: Mutex::new(survey.found.clone()),
            facts: OnceLock::new(),
            vouched: OnceLock::new(),
            remote: OnceLock::new(),
            previous,
            survey,
        }
    }

    /// A path below the expert as a path below the repo.
    pub fn path_in_repo(&self, path: &str) -> String {
        match self.target.key() {
            "." => path.to_owned(),
            key => format!("{key}/{path}"),
        }
    }

    /// How the user knows this expert: its folder, or the repo's only expert by its file.
    pub fn shown(&self, path: &RelPath) -> String {
        self.path_in_repo(path.as_str())
    }

    /// What the index shall remember, now that all packages are in place.
    pub fn finish(&self, open: &Open, memo: Vec<u8>) -> Result<Finished> {
        let survey = &open.survey;
        // Whatever was young when it was read was waited for; what is racy now has a time in the future.
        let now = fs::now();
        let racy = |stat: Stat| (!stat.is_racy(now)).then_some(stat);
        let mut inputs = vec![Input {
            seen: Seen { path: self.shown(&survey.manifest_file.path), stat: racy(survey.manifest_file.stat) },
            digest: survey.manifest_digest,
            sha256: survey.manifest_sha256,
        }];
        for (file, slot) in survey.files.iter().zip(&open.files) {
            let (digest, sha256) =
                slot.digests().ok_or_else(|| Error::Bug(format!("`{}` was never hashed", file.path)))?;
            inputs.push(Input { seen: Seen { path: self.shown(&file.path), stat: racy(file.stat) }, digest, sha256 });
        }
        inputs.sort_by(|a, b| a.seen.path.cmp(&b.seen.path));
        let mut outputs = Vec::new();
        for package in &open.packages {
            outputs.extend(package.built.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().cloned());
        }
        let output = self.target.output_folder();
        let (mut folders, mut written) = (Vec::new(), Vec::new());
        for listed in &survey.folders {
            let path = listed.path.as_ref().map_or_else(|| self.target.key().to_owned(), |p| self.shown(p));
            let disk =
                listed.path.as_ref().map_or_else(|| self.target.folder.clone(), |p| p.under(&self.target.folder));
            // A folder that is missing appears with a change of its parent, which is listed too; but where packages go it
            // is this build that makes it, and its parent is looked at once more when all is in place.
            if output.starts_with(&disk) {
                written.push((folders.len() as u32, listed.fingerprint));
            } else if listed.stat.is_none() {
                continue;
            }
            folders.push(Seen { path, stat: listed.stat.and_then(racy) });
        }
        let settings = self.target.fingerprint();
        Ok(Finished { record: Record { settings, folders, inputs, outputs, memo }, written })
    }
}

/// Hash of what a plan is made of: which files are small, and how many packages there are.
fn shape(survey: &Survey) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for file in &survey.files {
        hasher.update(&[file.is_small().into()]);
    }
    *hasher.update(&survey.layouts.len().to_le_bytes()).finalize().as_bytes()
}

/// What the index knows of the content of a file with this stat.
fn remembered(previous: &Record, path: &str, stat: &Stat) -> Option<(Digest, Sha256)> {
    let at = previous.inputs.binary_search_by(|input| input.seen.path.as_str().cmp(path)).ok()?;
    let input = &previous.inputs[at];
    (input.seen.stat == Some(*stat)).then_some((input.digest, input.sha256))
}

impl PackageSlot {
    /// Was something put in its place?
    pub fn is_built(&self) -> bool {
        !self.built.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
    }

    /// The manifest as it goes into the package: the signed one where there is a key, and no other then.
    pub fn manifest(&self, target: &Target) -> Result<&Composed> {
        let made = if target.signer.is_some() { self.signed.get() } else { self.composed.get() };
        made.ok_or_else(|| Error::Bug("a package without a manifest".into()))
    }
}

impl Open {
    /// Adds findings.
    pub fn find(&self, more: impl IntoIterator<Item = Diagnostic>) {
        self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(more);
    }

    /// The findings under the expert's levels, sorted.
    pub fn findings(&self, target: &Target) -> Vec<Diagnostic> {
        let found = self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let mut found = target.lints.apply(found);
        for d in &mut found {
            d.expert = Some(self.name(target));
            // A finding of a file of settings lies where that does.
            d.folder.get_or_insert_with(|| target.key().to_owned());
        }
        found
    }

    /// Those that the cache keeps with a package, for whoever has the same inputs. What the first look found stays here:
    /// it is of names and files that may not be the package's, and every run takes a first look.
    pub fn findings_to_keep(&self, target: &Target) -> Vec<Diagnostic> {
        let seen = target.lints.apply(self.survey.found.clone());
        let is_new = |found: &Diagnostic| {
            let same = |s: &Diagnostic| {
                (s.code, &s.file, &s.at, &s.message) == (found.code, &found.file, &found.at, &found.message)
            };
            !seen.iter().any(same)
        };
        self.findings(target).into_iter().filter(is_new).collect()
    }

    /// The expert's name, or its folder where the manifest cannot be read.
    pub fn name(&self, target: &Target) -> String {
        match &self.survey.manifest {
            Some(manifest) if !manifest.name.is_empty() => manifest.name.clone(),
            _ => target.key().to_owned(),
        }
    }

    /// The weights of a package by source path, with what tells copies: as they were scanned, else as the cache knows.
    pub fn weights(&self, package: usize) -> Vec<(RelPath, Fingerprint)> {
        let layout = &self.survey.layouts[package];
        let mut weights = Vec::new();
        for member in layout.adapters.values().filter_map(|path| layout.members.iter().find(|m| m.path == *path)) {
            let scan = self.file(&member.source).and_then(|slot| slot.scan.get());
            if let Some(scan) = scan.filter(|scan| !scan.tensors.is_empty()) {
                weights.push((member.source.clone(), scan.fingerprint));
            }
        }
        match self.packages[package].cached.get() {
            Some(Some(result)) if weights.is_empty() => result.weights.clone(),
            _ => weights,
        }
    }

    /// The slot of a file.
    pub fn file(&self, source: &RelPath) -> Option<&FileSlot> {
        let at = self.survey.files.binary_search_by(|f| f.path.cmp(source)).ok()?;
        self.files.get(at)
    }

    /// The members of a package, for reports; the manifest is not among them.
    pub fn members(&self, package: usize) -> Vec<Member> {
        let mut members = Vec::new();
        for plan in &self.survey.layouts[package].members {
            if let Some((digest, sha256)) = self.file(&plan.source).and_then(FileSlot::digests) {
                members.push(Member { path: plan.path.clone(), bytes: digest.size(), sha256, digest: Some(digest) });
            }
        }
        members
    }
}
