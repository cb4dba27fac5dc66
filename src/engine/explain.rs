//! `Explained`: what exactly differs from the last build of an expert, found without building it.
//!
//! `freshness` stops at the first stat that differs. Here everything is looked at: settings line by line, files whose
//! stat differs by their content, outputs by their hash. Only what changed by stat is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::errors;
use crate::base::{Digest, Error, Result, Severity};
use crate::engine::job::{Job, Open};
use crate::engine::key::{Change, KeyText};
use crate::engine::target::Target;
use crate::engine::tasks::compose::package_key;
use crate::store::fs::sha256;
use crate::store::index::{Built, Input, Record};
use crate::store::{ActionKey, Cache, Index, Stat, fs};

/// The difference between an expert now and at its last build.
#[derive(Debug, Clone, Default)]
pub struct Explained {
    /// Was it ever built here?
    pub is_known: bool,
    /// Files, settings and recipes that differ.
    pub changes: Vec<Change>,
    /// Outputs that are gone or were altered.
    pub outputs: Vec<Change>,
    /// Files and folders that have another stat and the same content. What was written in the very moment of the last
    /// build is compared by content and is not among them.
    pub touched: Vec<String>,
    /// The key text of each package as it would be made now, where its expert was built before.
    pub keys: Vec<KeyText>,
}

impl Explained {
    /// Compares an expert with what the index knows of it. Fails where it was built before and now cannot be: its manifest
    /// cannot be read, or a file that it needs is not there.
    pub fn of(root: &Path, target: &Arc<Target>, index: &Arc<Index>, cache: &dyn Cache) -> Result<Self> {
        let Some(then) = index.get(target.key()).and_then(|view| view.decode()) else {
            return Ok(Self::default());
        };
        let job = Job::new(0, Arc::clone(target), "".into(), Arc::clone(index));
        let open = sound(&job)?;
        let mut explained = Self { is_known: true, ..Self::default() };
        explained.settings(target, &then, cache);
        explained.inputs(root, &job, &open, &then)?;
        for output in &then.outputs {
            explained.output(root, output)?;
        }
        if explained.changes.is_empty() {
            explained.folders(root, &then);
        }
        explained.keys = (0..open.packages.len()).filter_map(|package| package_key(&job, &open, package)).collect();
        Ok(explained)
    }

    /// Fails where a first look at an expert shows that it cannot be built, be it known or not.
    pub fn first_look(target: &Arc<Target>, index: &Arc<Index>) -> Result<()> {
        sound(&Job::new(0, Arc::clone(target), "".into(), Arc::clone(index))).map(drop)
    }

    /// Would a build make what is there already?
    pub fn is_same(&self) -> bool {
        self.is_known && self.changes.is_empty() && self.outputs.is_empty()
    }

    fn settings(&mut self, target: &Target, then: &Record, cache: &dyn Cache) {
        let now = target.fingerprint_text();
        if *now.key().bytes() == then.settings {
            return;
        }
        // A cache that cannot be read has lost the text: then the change has no name.
        let kept = cache.result(ActionKey::new(then.settings)).ok().flatten();
        let kept = kept.and_then(|bytes| String::from_utf8(bytes).ok());
        match kept {
            Some(text) => self.changes.extend(now.changes_since(&KeyText::kept(&text))),
            None => self.changes.push(Change { kind: "setting".into(), name: String::new(), old: None, new: None }),
        }
    }

    fn inputs(&mut self, root: &Path, job: &Job, open: &Open, then: &Record) -> Result<()> {
        let mut before: BTreeMap<&str, &Input> = then.inputs.iter().map(|i| (i.seen.path.as_str(), i)).collect();
        let manifest = &open.survey.manifest_file;
        let mut compare = |path: String, stat: Stat, digest: &dyn Fn() -> Result<Digest>| -> Result<()> {
            let input = |old: Option<Digest>, new: Digest| Change {
                kind: "input".into(),
                name: path.clone(),
                old: old.map(|d| d.to_string()),
                new: Some(new.to_string()),
            };
            match before.remove(path.as_str()) {
                None => self.changes.push(input(None, digest()?)),
                Some(old) if old.seen.stat == Some(stat) => {}
                Some(old) => match digest()? {
                    same if same == old.digest => self.touched.extend(old.seen.stat.map(|_| path)),
                    new => self.changes.push(input(Some(old.digest), new)),
                },
            }
            Ok(())
        };
        compare(job.shown(&manifest.path), manifest.stat, &|| Ok(open.survey.manifest_digest))?;
        for slot in &open.files {
            let digest = || -> Result<Digest> {
                if let Some(known) = slot.digest() {
                    return Ok(known);
                }
                let digest = fs::digest(&slot.disk())?;
                slot.set_digest(digest)?;
                Ok(digest)
            };
            compare(job.shown(&slot.path), slot.stat, &digest)?;
        }
        for (path, old) in before {
            // A file that is there and packaged no more is gone from the package all the same.
            let (name, old) = (path.to_owned(), Some(old.digest.to_string()));
            let new = Stat::of(&root.join(path)).is_ok().then(|| "not packaged".to_owned());
            self.changes.push(Change { kind: "input".into(), name, old, new });
        }
        Ok(())
    }

    fn output(&mut self, root: &Path, output: &Built) -> Result<()> {
        let path = root.join(&output.seen.path);
        let fault = match Stat::of(&path) {
            Err(_) => "missing",
            Ok(stat) if output.seen.stat == Some(stat) => return Ok(()),
            Ok(stat) if !stat.is_file() => "not a file",
            Ok(_) if is_what_was_written(&path, output)? => {
                self.touched.push(output.seen.path.clone());
                return Ok(());
            }
            Ok(_) => "altered",
        };
        let (name, old) = (output.seen.path.clone(), Some(output.sha256.to_string()));
        self.outputs.push(Change { kind: "output".into(), name, old, new: Some(fault.into()) });
        Ok(())
    }

    fn folders(&mut self, root: &Path, then: &Record) {
        for folder in &then.folders {
            let now = Stat::following(&root.join(&folder.path)).ok();
            let times = |stat: Stat| (stat.mtime, stat.ctime, stat.ino);
            if folder.stat.is_some() && now.map(times) != folder.stat.map(times) {
                self.touched.push(folder.path.clone());
            }
        }
    }
}

/// Opens the job of an expert that the first look finds nothing wrong with.
fn sound(job: &Job) -> Result<Arc<Open>> {
    let open = job.open()?;
    let mut found = open.findings(&job.target);
    if errors(&found) > 0 {
        found.retain(|found| found.severity == Severity::Error);
        return Err(Error::Invalid(found));
    }
    Ok(open)
}

/// Does an output with another stat hold what was written to it?
fn is_what_was_written(path: &Path, output: &Built) -> Result<bool> {
    if output.is_package {
        let size = output.seen.stat.map(|stat| stat.size);
        let same_size = Stat::of(path).is_ok_and(|now| Some(now.size) == size);
        return Ok(same_size && sha256(path)? == output.sha256);
    }
    let Some((bytes, _)) = fs::read(path, 1 << 16)? else { return Ok(false) };
    let package = PathBuf::from(&output.seen.path).with_extension("");
    let name = package.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(bytes == format!("{}  {name}\n", output.sha256).as_bytes())
}
