//! `Layout`: which files of an expert's folder become which members of which package.
//!
//! Weights and their companions lie at the root of a package, as loaders expect; soft prompts and whatever the manifest
//! names keep their own paths. Does not read a file: it sees names, through [`Tree`].

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::base::codes::files::{FILE_KIND, FILE_MISSING, PATH_CLASH, PATH_ESCAPE, PATH_NAME, TRAINING_ARGS};
use crate::base::{Diagnostic, RelPath, Result};
use crate::engine::target::Target;
use crate::format::manifest::{Adapter, Manifest, Reference};
use crate::spec::Globs;

/// What a member is, which decides how it is checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Adapter weights, with the JSON pointer of the manifest's adapter where there is one.
    Weights(Option<String>),
    /// `adapter_config.json`.
    AdapterConfig,
    /// A soft prompt, with its index in the manifest where it is named there.
    SoftPrompt(Option<usize>),
    /// A JSON file that must parse.
    Json,
    /// A GBNF grammar.
    Grammar,
    /// A licence text.
    Licence,
    /// A file that the Expertfile includes by its very name: whoever wrote it there knows what it is.
    Named,
    /// Anything else.
    Other,
}

/// A file on its way into a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPlan {
    /// Its path in the package.
    pub path: RelPath,
    /// Its path below the expert's folder.
    pub source: RelPath,
    /// What it is.
    pub role: Role,
}

/// The members of one package, but for the manifest and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Index into the manifest's base models.
    pub model: usize,
    /// Does the manifest have several, so that the package is of this one alone?
    pub one_of_several: bool,
    /// In byte order of their paths.
    pub members: Vec<MemberPlan>,
    /// JSON pointer of each adapter that has a file → its member.
    pub adapters: BTreeMap<String, RelPath>,
}

/// What the layout may ask of the disk.
pub trait Tree {
    /// Names in a folder of the expert and what they stand for. A missing folder has none.
    fn names(&self, folder: Option<&RelPath>) -> Result<Rc<BTreeMap<String, NameKind>>>;

    /// Names that are not UTF-8, as shown, of a folder that was listed.
    fn unreadable(&self, folder: Option<&RelPath>) -> Vec<String>;

    /// What a link leads to: a regular file inside of the expert's folder, or not.
    fn link(&self, path: &RelPath) -> NameKind;
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A regular file (or a link to one inside of the expert's folder).
    File,
    /// A folder.
    Dir,
    /// A link that has not been followed yet.
    Link,
    /// A link to somewhere outside of the expert's folder.
    Escape,
    /// A pipe, device, broken link.
    Other,
}

/// What loaders look for beside the weights; taken from the weights' folder, else from the expert's.
const COMPANIONS: [&str; 9] = [
    "adapter_config.json",
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "training_args.bin",
];
/// The weights.
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// Works out the packages of an expert for these of its base models.
pub fn layout(
    target: &Target,
    manifest: &Manifest,
    models: &[usize],
    tree: &dyn Tree,
) -> Result<(Vec<Layout>, Vec<Diagnostic>)> {
    let mut found = Vec::new();
    let mut packages = Vec::new();
    for &model in models {
        let mut work = Work { target, manifest, tree, members: BTreeMap::new(), found: &mut found };
        let adapters = work.model(model)?;
        let members = work.members;
        clashes(&members, &mut found);
        packages.push(Layout {
            model,
            one_of_several: manifest.base_models.len() > 1,
            members: members.into_iter().map(|(path, (source, role))| MemberPlan { path, source, role }).collect(),
            adapters,
        });
    }
    Ok((packages, found))
}

struct Work<'a> {
    target: &'a Target,
    manifest: &'a Manifest,
    tree: &'a dyn Tree,
    members: BTreeMap<RelPath, (RelPath, Role)>,
    found: &'a mut Vec<Diagnostic>,
}

impl Work<'_> {
    fn model(&mut self, model: usize) -> Result<BTreeMap<String, RelPath>> {
        let base = &self.manifest.base_models[model];
        let weights = self.weights_folder(model)?;
        let mut sources = Vec::new();
        for adapter in &base.adapters {
            sources.extend(self.adapter_file(adapter, weights.as_ref())?.map(|source| (adapter, source)));
        }
        // One file lies at the root, where loaders look. Of several each keeps its path, but for the one that has none.
        let several = sources.iter().any(|(_, source)| *source != sources[0].1);
        let at_root = |source: &RelPath| !several || sources.iter().any(|(a, s)| a.path.is_none() && s == source);
        let beside =
            if several { weights.clone() } else { sources.first().map_or(weights.clone(), |(_, s)| s.parent()) };
        let mut adapters = BTreeMap::new();
        for (adapter, source) in &sources {
            let target = if at_root(source) { fixed(WEIGHTS) } else { source.clone() };
            adapters.insert(adapter.pointer.clone(), target.clone());
            self.place(target, source.clone(), Role::Weights(Some(adapter.pointer.clone())));
        }
        if base.adapters.is_empty()
            && let Some(source) = self.first(weights.as_ref(), WEIGHTS)?
        {
            self.take(source, WEIGHTS, Role::Weights(None));
        }
        for name in COMPANIONS {
            if let Some(source) = self.first(beside.as_ref(), name)? {
                self.companion(source, name);
            }
        }
        self.sentence_pieces(beside.as_ref())?;
        self.documents()?;
        self.soft_prompts()?;
        if let Some(grammar) = &self.manifest.grammar_file {
            self.reference(grammar, Role::Grammar)?;
        }
        self.included()?;
        Ok(adapters)
    }

    /// The folder that holds this model's adapter; the first that does, by the order of the Expertfile's reference.
    fn weights_folder(&mut self, model: usize) -> Result<Option<RelPath>> {
        let base = &self.manifest.base_models[model];
        let candidates = self.target.weights(self.manifest, base);
        let explicit = self.target.expert.weights.is_some();
        for folder in &candidates {
            if self.kind(&join(folder.as_ref(), WEIGHTS))? == Some(NameKind::File) {
                return Ok(folder.clone());
            }
        }
        if explicit && base.adapters.iter().any(|a| a.path.is_none()) {
            let folders: Vec<&str> = candidates.iter().map(|c| c.as_ref().map_or(".", RelPath::as_str)).collect();
            let text = format!("no `{WEIGHTS}` in `{}`", folders.join("`, `"));
            self.found.push(
                Diagnostic::new(&FILE_MISSING, text)
                    .in_file(WEIGHTS)
                    .help("check `weights` in the Expertfile, or `--weights`"),
            );
            // Said once; do not say again that the adapter is missing.
            return Ok(None);
        }
        Ok(None)
    }

    /// The file of an adapter: the one that it names, else the one in the folder of the weights.
    fn adapter_file(&mut self, adapter: &Adapter, weights: Option<&RelPath>) -> Result<Option<RelPath>> {
        if let Some(reference) = &adapter.path {
            let Ok(path) = RelPath::lenient(&reference.path) else { return Ok(None) };
            return Ok(self.present(&path, reference)?.then_some(path));
        }
        let path = join(weights, WEIGHTS);
        match self.kind(&path)? {
            Some(NameKind::File) => Ok(Some(path)),
            _ => {
                if !self.found.iter().any(|d| d.file.as_deref() == Some(WEIGHTS)) {
                    self.found.push(
                        Diagnostic::new(&FILE_MISSING, format!("`{WEIGHTS}` is missing: the manifest has an adapter, and no folder that is looked into holds its weights"))
                            .in_file(WEIGHTS)
                            .help("put it beside manifest.json or into weights/, or say where it is: `weights = \"…\"` in the Expertfile, `path` in the manifest's adapter, or `--weights`"),
                    );
                }
                Ok(None)
            }
        }
    }

    /// A companion by its name.
    fn companion(&mut self, source: RelPath, name: &str) {
        if name == "training_args.bin" {
            if !self.names_training_args() {
                self.found.push(
                    Diagnostic::new(&TRAINING_ARGS, format!("`{source}` is left out: a pickle that no loader needs"))
                        .file(&source)
                        .help("name it in `include` if a receiver needs it"),
                );
            }
            return;
        }
        let role = match name {
            "adapter_config.json" => Role::AdapterConfig,
            _ if name.ends_with(".json") => Role::Json,
            _ => Role::Other,
        };
        self.take(source, name, role);
    }

    fn sentence_pieces(&mut self, beside: Option<&RelPath>) -> Result<()> {
        let mut folders = vec![beside];
        if beside.is_some() {
            folders.push(None);
        }
        for folder in folders {
            let names = self.files(folder)?;
            let models: Vec<&String> = names.iter().filter(|name| name.ends_with(".model")).collect();
            for name in &models {
                self.take(join(folder, name), name, Role::Other);
            }
            if !models.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// README, licences and the grammar belong to the expert, not to one of its trainings.
    fn documents(&mut self) -> Result<()> {
        for name in self.files(None)? {
            let role = match name.as_str() {
                "README.md" => Role::Other,
                "grammar.gbnf" => Role::Grammar,
                _ if name.starts_with("LICENSE") => Role::Licence,
                _ => continue,
            };
            self.take(fixed(&name), &name, role);
        }
        Ok(())
    }

    fn soft_prompts(&mut self) -> Result<()> {
        for (i, prompt) in self.manifest.soft_prompts.iter().enumerate() {
            self.reference(&prompt.path, Role::SoftPrompt(Some(i)))?;
        }
        let folder = fixed("soft_prompts");
        for path in self.walk(&folder)? {
            let role = match path.as_str().rsplit_once('.').map(|(_, end)| end) {
                Some("pt" | "pth" | "bin") => Role::SoftPrompt(None),
                Some("safetensors") => Role::Weights(None),
                _ => continue,
            };
            self.add(path.clone(), path, role);
        }
        Ok(())
    }

    fn included(&mut self) -> Result<()> {
        if self.target.expert.tests.value {
            for path in self.walk(&fixed("tests"))? {
                let role = role_by_name(&path);
                self.add(path.clone(), path, role);
            }
        }
        let include = &self.target.include;
        if include.is_empty() {
            return Ok(());
        }
        for path in self.walk_below(None, &|folder| may_hold(include, folder))? {
            if include.takes(&path) && (path.file_name() != "training_args.bin" || self.names_training_args()) {
                let role = match role_by_name(&path) {
                    Role::Other if self.names(&path) => Role::Named,
                    role => role,
                };
                self.add(path.clone(), path, role);
            }
        }
        Ok(())
    }

    /// Does a pattern of `include` name this file in so many words?
    fn names(&self, path: &RelPath) -> bool {
        let plain = |text: &str| !text.contains(['*', '?', '[', '{', '\\']);
        let mut globs = self.target.include.iter().filter(|glob| !glob.is_negated() && plain(glob.as_str()));
        globs.any(|glob| match glob.as_str().trim_start_matches("./").trim_start_matches('/') {
            name if name.contains('/') => name == path.as_str(),
            name => name == path.file_name(),
        })
    }

    fn names_training_args(&self) -> bool {
        self.target.include.iter().any(|glob| glob.as_str().ends_with("training_args.bin") && !glob.is_negated())
    }

    /// A file that the manifest names: it must be there.
    fn reference(&mut self, reference: &Reference, role: Role) -> Result<()> {
        let Ok(path) = RelPath::lenient(&reference.path) else { return Ok(()) };
        if self.present(&path, reference)? {
            self.place(path.clone(), path, role);
        }
        Ok(())
    }

    fn present(&mut self, path: &RelPath, reference: &Reference) -> Result<bool> {
        let missing = match self.kind(path)? {
            Some(NameKind::File) if self.target.exclude.takes(path) => "is excluded by the Expertfile",
            Some(NameKind::File) if is_debris(path) && reference.path.ends_with(".expert") => "is a package itself",
            Some(NameKind::File) => return Ok(true),
            Some(NameKind::Escape) => {
                self.escape(path);
                return Ok(false);
            }
            Some(NameKind::Dir) => "is a folder, not a file",
            Some(_) => "is not a regular file",
            None => "does not exist",
        };
        self.found.push(
            Diagnostic::new(&FILE_MISSING, format!("`{}`, which the manifest refers to, {missing}", reference.path))
                .in_file(&*self.manifest.file)
                .at(reference.at.clone())
                .source(&self.manifest.text)
                .help(format!("add the file, or take `{}` out of the manifest", reference.pointer)),
        );
        Ok(false)
    }

    /// Adds a member that the manifest asks for: nothing else may have its place.
    fn place(&mut self, path: RelPath, source: RelPath, role: Role) {
        let old = self.members.insert(path.clone(), (source.clone(), role));
        if let Some((other, _)) = old.filter(|(other, _)| *other != source) {
            self.found.push(
                Diagnostic::new(&PATH_CLASH, format!("`{other}` and `{source}` would both be `{path}` in the package"))
                    .file(&source)
                    .help("rename one of them"),
            );
        }
    }

    /// Adds a member under a name at the root of the package.
    fn take(&mut self, source: RelPath, name: &str, role: Role) {
        self.add(fixed(name), source, role);
    }

    /// Adds a member unless something else has its place already or the Expertfile excludes it.
    fn add(&mut self, path: RelPath, source: RelPath, role: Role) {
        let reserved =
            matches!(path.as_str(), "manifest.json" | "signature.sig") || source.as_str() == &*self.manifest.file;
        if reserved || self.target.exclude.takes(&source) {
            return;
        }
        self.members.entry(path).or_insert((source, role));
    }

    /// The first of the folder and the expert's root that holds this file.
    fn first(&mut self, folder: Option<&RelPath>, name: &str) -> Result<Option<RelPath>> {
        for folder in [folder, None] {
            let path = join(folder, name);
            match self.kind(&path)? {
                Some(NameKind::File) => return Ok(Some(path)),
                Some(NameKind::Escape) => self.escape(&path),
                Some(NameKind::Other) => self.odd(&path),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Regular files of a folder; links that leave the expert's folder are findings where they would be taken.
    fn files(&mut self, folder: Option<&RelPath>) -> Result<Vec<String>> {
        let mut files = Vec::new();
        for (name, kind) in self.tree.names(folder)?.iter() {
            let kind = if *kind == NameKind::Link { self.tree.link(&join(folder, name)) } else { *kind };
            let wanted = name.starts_with("LICENSE")
                || matches!(name.as_str(), "README.md" | "grammar.gbnf")
                || name.ends_with(".model");
            match kind {
                NameKind::File => files.push(name.clone()),
                NameKind::Escape if wanted => self.escape(&join(folder, name)),
                NameKind::Other if wanted => self.odd(&join(folder, name)),
                _ => {}
            }
        }
        Ok(files)
    }

    fn escape(&mut self, path: &RelPath) {
        self.found.push(
            Diagnostic::new(&PATH_ESCAPE, format!("`{path}` is a symbolic link that leaves the expert's folder"))
                .file(path)
                .help("copy the file into the expert's folder"),
        );
    }

    fn odd(&mut self, path: &RelPath) {
        self.found.push(
            Diagnostic::new(&FILE_KIND, format!("`{path}` is neither a regular file nor a link to one"))
                .file(path)
                .help("replace it by a regular file, or exclude it"),
        );
    }

    /// All files below a folder, but for training debris.
    fn walk(&mut self, folder: &RelPath) -> Result<Vec<RelPath>> {
        self.walk_below(Some(folder), &|_| true)
    }

    fn walk_below(&mut self, top: Option<&RelPath>, enter: &dyn Fn(&RelPath) -> bool) -> Result<Vec<RelPath>> {
        let mut files = Vec::new();
        let mut folders = vec![top.cloned()];
        while let Some(folder) = folders.pop() {
            for shown in self.tree.unreadable(folder.as_ref()) {
                self.found.push(
                    Diagnostic::new(&PATH_NAME, format!("the name `{shown}` is not UTF-8"))
                        .in_file(shown)
                        .help("rename the file or exclude it"),
                );
            }
            for (name, kind) in self.tree.names(folder.as_ref())?.iter().map(|(name, kind)| (name, *kind)) {
                let joined = folder.as_ref().map_or(name.clone(), |f| format!("{f}/{name}"));
                let Ok(path) = RelPath::new(joined.as_str()) else {
                    if self.target.include.verdict(&joined, kind == NameKind::Dir) == Some(true) || top.is_some() {
                        self.found.push(
                            Diagnostic::new(
                                &PATH_NAME,
                                format!("the name `{}` cannot stand in a package", joined.escape_debug()),
                            )
                            .in_file(joined.escape_debug().to_string())
                            .help("rename the file or exclude it"),
                        );
                    }
                    continue;
                };
                if is_debris(&path) || self.target.exclude.takes(&path) {
                    continue;
                }
                match if kind == NameKind::Link { self.tree.link(&path) } else { kind } {
                    NameKind::File => files.push(path),
                    NameKind::Dir if enter(&path) => folders.push(Some(path)),
                    NameKind::Escape if top.is_some() || self.target.include.takes(&path) => self.escape(&path),
                    NameKind::Other if self.target.include.takes(&path) => self.odd(&path),
                    _ => {}
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// What stands at this path; `None` for nothing.
    fn kind(&self, path: &RelPath) -> Result<Option<NameKind>> {
        let names = self.tree.names(path.parent().as_ref())?;
        Ok(match names.get(path.file_name()).copied() {
            Some(NameKind::Link) => Some(self.tree.link(path)),
            other => other,
        })
    }
}

/// Could a file below this folder match?
fn may_hold(include: &Globs, folder: &RelPath) -> bool {
    include.iter().filter(|glob| !glob.is_negated()).any(|glob| {
        let text = glob.as_str().trim_start_matches('/').trim_start_matches("./");
        let fixed = text.split(['*', '?', '[', '{', '\\']).next().unwrap_or("");
        let anchored = glob.as_str().trim_end_matches('/').contains('/');
        let folder = folder.as_str();
        !anchored || fixed.starts_with(folder) || folder.starts_with(fixed) || glob.covers(folder, true)
    })
}

fn role_by_name(path: &RelPath) -> Role {
    match path.as_str().rsplit_once('.').map(|(_, end)| end) {
        Some("json") => Role::Json,
        Some("gbnf") => Role::Grammar,
        Some("safetensors") => Role::Weights(None),
        Some("pt" | "pth") => Role::SoftPrompt(None),
        _ => Role::Other,
    }
}

/// What training leaves behind, packages, and what belongs to the repo's own tools.
pub fn is_debris(path: &RelPath) -> bool {
    let named = |name: &str| {
        name.starts_with("checkpoint-")
            || matches!(
                name,
                "optimizer.pt" | "scheduler.pt" | "trainer_state.json" | ".git" | "Expertfile.toml" | "Expertfile.lock"
            )
            || (name.starts_with("rng_state") && name.ends_with(".pth"))
            || name.starts_with(crate::store::output::TEMPORARY)
            || [".log", ".expert", ".expert.sha256"].iter().any(|end| name.ends_with(end))
    };
    path.as_str().split('/').any(named)
}

/// Paths that differ by case alone, or a file where another path needs a folder.
fn clashes(members: &BTreeMap<RelPath, (RelPath, Role)>, found: &mut Vec<Diagnostic>) {
    let mut folded: BTreeMap<String, &RelPath> = BTreeMap::new();
    let folders: BTreeSet<String> =
        members.keys().filter_map(RelPath::parent).map(|p| p.as_str().to_lowercase()).collect();
    for path in members.keys() {
        let lower = path.as_str().to_lowercase();
        let reserved = lower == "manifest.json" || lower == "signature.sig";
        if let Some(other) = folded.get(&lower) {
            found.push(
                Diagnostic::new(&PATH_CLASH, format!("`{path}` and `{other}` differ by case alone"))
                    .file(path)
                    .help("rename or exclude one of them"),
            );
        } else if reserved || folders.contains(&lower) {
            found.push(
                Diagnostic::new(&PATH_CLASH, format!("`{path}` takes the place of something else in the package"))
                    .file(path)
                    .help("rename or exclude it"),
            );
        }
        folded.insert(lower, path);
    }
}

fn join(folder: Option<&RelPath>, name: &str) -> RelPath {
    let path = folder.map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"));
    RelPath::new(path.as_str()).unwrap_or_else(|_| fixed("unnameable"))
}

/// A path that is known to be one.
fn fixed(name: &str) -> RelPath {
    RelPath::new(name).expect("a plain file name is a path")
}
