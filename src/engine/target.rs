//! `Target`: an expert to build, with everything that the spec left to the machine filled in: folders, codec, key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::codes::files::PATH_CLASH;
use crate::base::diagnostic::Lints;
use crate::base::{Diagnostic, RelPath};
use crate::engine::key::KeyText;
use crate::format::manifest::{BaseModel, Manifest};
use crate::format::segment::Codec;
use crate::format::signature::PrivateKey;
use crate::spec::expert::Naming;
use crate::spec::{Expert, Globs};

/// An expert to build. What is the same for many experts is shared by them.
pub struct Target {
    /// As the Expertfile has it.
    pub expert: Arc<Expert>,
    /// Its folder on the disk.
    pub folder: PathBuf,
    /// Where packages go, if not below its folder.
    pub out_dir: Option<Arc<Path>>,
    /// How packages are compressed.
    pub codec: Codec,
    /// What to package beside the layout.
    pub include: Globs,
    /// What not to package.
    pub exclude: Globs,
    /// The levels of findings.
    pub lints: Arc<Lints>,
    /// Signs packages, where they are to be signed.
    pub signer: Option<Arc<PrivateKey>>,
    /// `SOURCE_DATE_EPOCH`, where it is set.
    pub epoch: Option<u64>,
    /// Texts of base models' `config.json`, by the base model's name in the Expertfile, with where they lie.
    pub configs: Arc<[(String, PathBuf, Vec<u8>)]>,
    /// The one file that its package shall be written to, whatever its name.
    pub output: Option<PathBuf>,
}

impl Target {
    /// Its folder below the repo: its name in the index, `.` for the repo itself.
    pub fn key(&self) -> &str {
        self.expert.label()
    }

    /// What names of files are made of, for one base model.
    pub fn naming<'a>(manifest: &'a Manifest, model: Option<&'a BaseModel>) -> Naming<'a> {
        Naming {
            name: &manifest.name,
            version: &manifest.version,
            model: model.map_or("", |m| &m.name),
            several: manifest.base_models.len() > 1,
        }
    }

    /// Folders that may hold the adapter of this base model.
    pub fn weights(&self, manifest: &Manifest, model: &BaseModel) -> Vec<Option<RelPath>> {
        self.expert.weights(&Self::naming(manifest, Some(model)), manifest.packaging_checkpoint.as_deref())
    }

    /// The base models to package for.
    pub fn models(&self, manifest: &Manifest) -> Result<Vec<usize>, Vec<Diagnostic>> {
        let names: Vec<&str> = manifest.base_models.iter().map(|m| m.name.as_str()).collect();
        self.expert.pick(&names)
    }

    /// What the expert's own entry in the Expertfile says of base models that are not the manifest's.
    pub fn idle(&self, manifest: &Manifest) -> Vec<Diagnostic> {
        let names: Vec<&str> = manifest.base_models.iter().map(|m| m.name.as_str()).collect();
        self.expert.idle(&names)
    }

    /// The folder that its packages go to.
    pub fn output_folder(&self) -> PathBuf {
        let named = self.output.as_ref().and_then(|file| file.parent()).map(Path::to_path_buf);
        named.or_else(|| self.out_dir.as_deref().map(Path::to_path_buf)).unwrap_or_else(|| self.folder.join("weights"))
    }

    /// Where the package of this base model goes.
    pub fn output(&self, manifest: &Manifest, model: &BaseModel) -> Result<PathBuf, Box<Diagnostic>> {
        if let Some(file) = &self.output {
            if self.models(manifest).is_ok_and(|models| models.len() > 1) {
                let message = format!("the packages of all base models would be written to `{}`", file.display());
                let found = Diagnostic::new(&PATH_CLASH, message).in_file(&*manifest.file);
                return Err(Box::new(found.help("choose one with `--model`, or give a folder")));
            }
            return Ok(file.clone());
        }
        let name = self.expert.file_name(&Self::naming(manifest, Some(model)))?;
        Ok(self.output_folder().join(name))
    }

    /// Modification time of every member.
    pub fn mtime(&self) -> u64 {
        // 1980-01-01: zero makes old tars warn.
        self.epoch.unwrap_or(315_532_800)
    }

    /// The config of this base model, where the Expertfile names one.
    pub fn config(&self, model: &BaseModel) -> Option<(&Path, &[u8])> {
        let found = self.configs.iter().find(|(name, ..)| *name == model.name || name == model.short_name());
        found.map(|(_, path, text)| (path.as_path(), text.as_slice()))
    }

    /// Everything beside files that its packages depend on.
    pub fn settings(&self) -> KeyText {
        let mut text = KeyText::new("archive");
        text.codec(self.codec);
        let epoch = self.epoch.map(|e| e.to_string());
        text.line("setting", "SOURCE_DATE_EPOCH", epoch.as_deref().unwrap_or(""));
        text.line("setting", "publisher", self.expert.publisher.as_ref().map_or("", |p| &p.value));
        text.line("setting", "key", &self.signer.as_ref().map_or(String::new(), |k| k.public().to_string()));
        text.line("lints", "preset", &format!("{:?}", self.lints.preset).to_lowercase());
        for (code, level) in &self.lints.levels {
            text.line("lints", code, &format!("{level:?}").to_lowercase());
        }
        for (model, _, config) in self.configs.iter() {
            text.line("config", model, &crate::base::Digest::of(config).to_string());
        }
        text
    }

    /// Hash of all that decides which files are taken, what becomes of them and where it goes. Absolute paths are in it,
    /// which is why it never enters a key: it only says whether the index still speaks of the same thing.
    pub fn fingerprint(&self) -> [u8; 32] {
        *self.fingerprint_text().key().bytes()
    }

    /// What the fingerprint is the hash of. It is kept in this machine's cache, so that a change can be named.
    pub fn fingerprint_text(&self) -> KeyText {
        let mut text = self.settings();
        let e = &self.expert;
        text.line("take", "manifest", e.manifest.value.as_str());
        text.line("take", "weights", &e.weights.as_ref().map_or(String::new(), |w| w.value.as_str().to_owned()));
        text.line("take", "models", &format!("{:?}", e.models.value));
        for (i, glob) in self.include.iter().enumerate() {
            text.line("include", &i.to_string(), glob.as_str());
        }
        for (i, glob) in self.exclude.iter().enumerate() {
            text.line("exclude", &i.to_string(), glob.as_str());
        }
        text.line("take", "tests", &e.tests.value.to_string());
        text.line("name", "template", &e.name.as_ref().map_or(String::new(), |n| n.value.0.as_str().to_owned()));
        for (model, table) in &*e.model {
            text.line("slug", model, table.slug.as_ref().map_or("", |s| &s.value.0));
        }
        text.line("out", "file", &self.output.as_ref().map_or(String::new(), |f| f.to_string_lossy().into_owned()));
        text.line("out", "dir", &self.out_dir.as_ref().map_or(String::new(), |d| d.to_string_lossy().into_owned()));
        text
    }
}
