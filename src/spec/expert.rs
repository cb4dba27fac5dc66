//! `Expert`: one folder and everything that decides how it is built, each value with its origin.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::codes::{files, repo};
use crate::base::diagnostic::Lints;
use crate::base::suggest;
use crate::base::{Diagnostic, RelPath};
use crate::format::segment::{Codec, Compression};
use crate::spec::amount::{Growth, Size};
use crate::spec::choice::Sign;
use crate::spec::expertfile::{LintsTable, ModelTable};
use crate::spec::glob::{Glob, Globs};
use crate::spec::host_path::{HostPath, KeySource};
use crate::spec::origin::{Origin, Section, Setting};
use crate::spec::template::{Placeholder, Template, last_segment, slug};
use crate::spec::value::{FileName, Models};

/// A list whose items may come from several places.
pub type List<T> = Setting<Vec<Setting<T>>>;

/// One expert, resolved. It does not know its manifest: what stands there comes in through [`Naming`].
///
/// There may be a hundred thousand of them, and most say little themselves: what comes from a layer is shared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expert {
    /// Its folder; `None` is the repo's root.
    pub folder: Option<RelPath>,
    /// Its `[[expert]]` entry, where it has one.
    pub entry: Option<Origin>,
    /// Is it built when no expert is named?
    pub default: bool,
    /// The manifest, inside its folder.
    pub manifest: Arc<Setting<RelPath>>,
    /// Where the weights are; `None` means the usual places.
    pub weights: Option<Arc<Setting<Template>>>,
    /// The base models to package for.
    pub models: Arc<Setting<Models>>,
    /// What to package beside the layout.
    pub include: Arc<List<Glob>>,
    /// What not to package.
    pub exclude: Arc<List<Glob>>,
    /// Package tests/ too?
    pub tests: Arc<Setting<bool>>,
    /// Words to select it by.
    pub tags: Arc<List<String>>,
    /// How packages are compressed.
    pub compression: Arc<Setting<Compression>>,
    /// How hard; always within the compression's range, 0 for none.
    pub level: Arc<Setting<u32>>,
    /// The package's name; `None` means the usual one.
    pub name: Option<Arc<Setting<FileName>>>,
    /// The folder for packages; `None` means its own weights/ folder.
    pub out_dir: Option<Arc<Setting<HostPath>>>,
    /// Are packages signed?
    pub sign: Arc<Setting<Sign>>,
    /// Where the key is.
    pub key: Arc<Setting<KeySource>>,
    /// The publisher's name.
    pub publisher: Option<Arc<Setting<String>>>,
    /// The most bytes a package may have.
    pub budget: Option<Arc<Setting<Size>>>,
    /// How much larger than in Expertfile.lock a package may be.
    pub growth: Option<Arc<Setting<Growth>>>,
    /// What concerns one base model.
    pub model: Arc<BTreeMap<String, ModelTable>>,
    /// The levels of findings.
    pub lints: Arc<LintsTable>,
}

/// What the manifest says that names of files are made of.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// The expert's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The base model that is packaged for, by its name in the manifest.
    pub model: &'a str,
    /// Does the manifest have several base models?
    pub several: bool,
}

impl Expert {
    /// Takes from another expert, instead of having the same once more, all that is equal in both.
    pub fn share(&mut self, other: &Self) {
        fn one<T: Eq>(own: &mut Arc<T>, other: &Arc<T>) {
            if own == other {
                *own = Arc::clone(other);
            }
        }
        one(&mut self.manifest, &other.manifest);
        one(&mut self.models, &other.models);
        one(&mut self.include, &other.include);
        one(&mut self.exclude, &other.exclude);
        one(&mut self.tests, &other.tests);
        one(&mut self.tags, &other.tags);
        one(&mut self.compression, &other.compression);
        one(&mut self.level, &other.level);
        one(&mut self.sign, &other.sign);
        one(&mut self.key, &other.key);
        one(&mut self.model, &other.model);
        one(&mut self.lints, &other.lints);
    }

    /// What the user calls it before its name is known: its folder.
    pub fn label(&self) -> &str {
        self.folder.as_ref().map_or(".", RelPath::as_str)
    }

    /// A path inside its folder, seen from the repo's root.
    pub fn path(&self, inside: &RelPath) -> RelPath {
        self.folder.as_ref().map_or_else(|| inside.clone(), |folder| folder.join(inside))
    }

    /// Compression and level: with the source, all that packed bytes depend on.
    pub fn codec(&self) -> Codec {
        Codec { compression: self.compression.value, level: self.level.value }
    }

    /// The levels of findings.
    pub fn lints(&self) -> Lints {
        Lints {
            preset: self.lints.preset.as_ref().map(|preset| preset.value).unwrap_or_default(),
            levels: self.lints.levels.iter().map(|(code, level)| (code.clone(), level.value)).collect(),
        }
    }

    /// `include`, ready to match.
    pub fn includes(&self) -> Globs {
        Globs::new(self.include.value.iter().map(|glob| glob.value.clone()))
    }

    /// `exclude`, ready to match.
    pub fn excludes(&self) -> Globs {
        Globs::new(self.exclude.value.iter().map(|glob| glob.value.clone()))
    }

    /// What the Expertfile says about a base model: by its whole name, else by its last path segment.
    pub fn model(&self, name: &str) -> Option<&ModelTable> {
        self.model.get(name).or_else(|| self.model.get(last_segment(name)))
    }

    /// What its own entry says of base models that the manifest does not have: most likely a slip. The defaults may speak
    /// of models that other experts have.
    pub fn idle(&self, models: &[&str]) -> Vec<Diagnostic> {
        let is_used = |key: &String| models.iter().any(|model| model == key || last_segment(model) == key);
        let mut found = Vec::new();
        for (key, table) in self.model.iter().filter(|(key, _)| !is_used(key)) {
            let Some(origin @ Origin::File { section: Section::Expert, .. }) = &table.origin else { continue };
            let known: Vec<&str> = models.iter().map(|model| last_segment(model)).collect();
            let help = suggest::did_you_mean(key, known.iter().copied());
            let all = || format!("its base models are {}", known.join(", "));
            let message = format!("`model.\"{key}\"` has no effect: the manifest has no base model of that name");
            let mut finding = origin.finding(&repo::EXPERTFILE_IGNORED, message).help(help.unwrap_or_else(all));
            finding.expert = Some(self.label().to_owned());
            found.push(finding);
        }
        found
    }

    /// A base model as it stands in names of files.
    pub fn slug(&self, model: &str) -> String {
        let set = self.model(model).and_then(|table| table.slug.as_ref());
        set.map_or_else(|| slug(model), |set| set.value.0.clone())
    }

    /// Which of the manifest's base models to package for, by index; what is asked for and not there is a finding.
    pub fn pick(&self, models: &[&str]) -> Result<Vec<usize>, Vec<Diagnostic>> {
        let Models::Only(wanted) = &self.models.value else {
            return Ok((0..models.len()).collect());
        };
        let is = |model: &str, name: &str| model == name || last_segment(model) == name || self.slug(model) == name;
        let chosen = |at: &usize| wanted.iter().any(|name| is(models[*at], &name.value));
        let missing = wanted.iter().filter(|name| !models.iter().any(|model| is(model, &name.value)));
        let found: Vec<Diagnostic> = missing
            .map(|name| {
                let known: Vec<&str> = models.iter().map(|model| last_segment(model)).collect();
                let help = suggest::did_you_mean(&name.value, known.iter().copied());
                let all = || format!("its base models are {}", known.join(", "));
                let message = format!("the manifest has no base model `{}`", name.value);
                let mut finding = name.finding(&repo::EXPERTFILE_VALUE, message).help(help.unwrap_or_else(all));
                finding.expert = Some(self.label().to_owned());
                finding
            })
            .collect();
        if found.is_empty() { Ok((0..models.len()).filter(chosen).collect()) } else { Err(found) }
    }

    /// The folders that may hold the adapter, inside the expert's folder and in order; `None` is that folder itself.
    /// `checkpoint` is the manifest's packaging checkpoint.
    pub fn weights(&self, naming: &Naming<'_>, checkpoint: Option<&str>) -> Vec<Option<RelPath>> {
        let Naming { name, version, model, .. } = naming;
        // A folder is called like the model itself or like its slug, which the user may have chosen.
        let spellings = [self.slug(model), last_segment(model).to_owned(), slug(model)];
        let mut texts: Vec<String> = Vec::new();
        if let Some(set) = &self.weights {
            texts.extend(spellings.iter().map(|model| set.value.fill(name, version, model)));
            let below = checkpoint.into_iter().flat_map(|c| texts.iter().map(move |text| format!("{text}/{c}")));
            let below: Vec<String> = below.collect();
            texts.extend(below);
        } else {
            texts.push(format!("weights/{name}.v{version}"));
            texts.extend(spellings.iter().map(|model| format!("weights/{model}")));
            if let Some(checkpoint) = checkpoint {
                texts.extend(spellings.iter().map(|model| format!("weights/{model}/{checkpoint}")));
                texts.push(format!("weights/{checkpoint}"));
                texts.push(checkpoint.to_owned());
            }
            texts.extend(["weights".to_owned(), ".".to_owned()]);
        }
        let mut folders = Vec::new();
        for text in texts {
            // A name in the manifest may hold what no path can: then there is no such folder.
            let folder = if text == "." { Ok(None) } else { RelPath::lenient(&text).map(Some) };
            if let Ok(folder) = folder.as_ref()
                && !folders.contains(folder)
            {
                folders.push(folder.clone());
            }
        }
        folders
    }

    /// The name of the package for one base model.
    pub fn file_name(&self, naming: &Naming<'_>) -> Result<String, Box<Diagnostic>> {
        let Naming { name, version, model, several } = naming;
        let model = self.slug(model);
        let text = match &self.name {
            None if *several => format!("{name}-{model}.v{version}.expert"),
            None => format!("{name}.v{version}.expert"),
            Some(set) if *several && !set.value.0.holds(Placeholder::Model) => {
                let message = format!("the packages of all base models would be called `{}`", set.value.0);
                let mut finding = set.finding(&repo::EXPERTFILE_VALUE, message);
                finding.expert = Some((*name).to_owned());
                return Err(Box::new(finding.help("the manifest has several base models: put `{model}` into `name`")));
            }
            Some(set) => set.value.0.fill(name, version, &model),
        };
        if text.contains('/') || RelPath::new(text.as_str()).is_err() {
            let message = format!("`{text}` cannot be the name of a package");
            let mut finding = Diagnostic::new(&files::PATH_NAME, message).file(&self.manifest.value);
            finding.expert = Some(self.label().to_owned());
            let help = "name and version of the manifest stand in it: use letters, digits, `-`, `_` and `.`";
            return Err(Box::new(finding.help(help)));
        }
        Ok(text)
    }
}
