//! `Survey`: a first look at one expert: its manifest, the names in its folders, the stats of its files.
//!
//! Nothing but the manifest is read. The folders that were listed are kept with their stats: a new file is noticed next
//! time by its folder's stat alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::base::codes::files::{FILE_CHANGED, FILE_MISSING, PATH_CLASH};
use crate::base::{Diagnostic, Digest, Error, RelPath, Result, Sha256};
use crate::engine::layout::{self, Layout, NameKind, Role, Tree};
use crate::engine::target::Target;
use crate::format::manifest::Manifest;
use crate::store::{Stat, fs};

/// No manifest is longer.
const MAX_MANIFEST: u64 = 64 << 20;

/// A source file.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Below the expert's folder.
    pub path: RelPath,
    /// What it is; a file that stands in several packages has one role.
    pub role: Role,
    /// What it was when it was first looked at.
    pub stat: Stat,
}

/// Files up to this size are read in one gulp and kept until their package is written.
pub const SMALL: u64 = 1 << 20;
/// JSON and grammars are parsed whole, so they are kept up to this size.
const SMALL_JSON: u64 = 16 << 20;

/// Is a file of this role and size read in one gulp?
pub fn is_small(role: &Role, size: u64) -> bool {
    size <= if matches!(role, Role::Json | Role::AdapterConfig | Role::Grammar) { SMALL_JSON } else { SMALL }
}

impl SourceFile {
    /// Is it read in one gulp?
    pub fn is_small(&self) -> bool {
        is_small(&self.role, self.stat.size)
    }
}

/// A folder that was listed.
#[derive(Debug, Clone)]
pub struct ListedFolder {
    /// Below the expert's folder; `None` is that folder itself.
    pub path: Option<RelPath>,
    /// What it was before it was listed; `None` where there is none.
    pub stat: Option<Stat>,
    /// Hash of the names in it, but for packages and temporaries.
    pub fingerprint: [u8; 32],
}

/// Hash of the names in a folder, but for what a build itself writes: packages, temporaries, and the folder `ours` that
/// packages go to.
pub fn fingerprint<'n>(names: impl Iterator<Item = &'n str>, ours: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        let ours = name == ours
            || name.ends_with(".expert")
            || name.ends_with(".expert.sha256")
            || name.starts_with(crate::store::output::TEMPORARY);
        if !ours {
            hasher.update(name.as_bytes()).update(b"\0");
        }
    }
    *hasher.finalize().as_bytes()
}

/// The name in this folder that leads to the folder of the packages; empty where none does.
pub fn way_to<'o>(output: &'o Path, folder: &Path) -> &'o str {
    let below = output.strip_prefix(folder).ok();
    below.and_then(|below| below.iter().next()?.to_str()).unwrap_or_default()
}

/// What the first look told.
#[derive(Debug)]
pub struct Survey {
    /// The manifest, where it can be read.
    pub manifest: Option<Arc<Manifest>>,
    /// The manifest's file.
    pub manifest_file: SourceFile,
    /// Its content.
    pub manifest_digest: Digest,
    /// Its content as packages speak of it.
    pub manifest_sha256: Sha256,
    /// One for each package.
    pub layouts: Vec<Layout>,
    /// The files of all packages, by path.
    pub files: Vec<SourceFile>,
    /// Folders that were listed.
    pub folders: Vec<ListedFolder>,
    /// Where packages go that do not go below the expert's folder.
    pub outside: Vec<PathBuf>,
    /// What is wrong so far.
    pub found: Vec<Diagnostic>,
    /// When the look began, by the clock that stamps files.
    pub at: i64,
}

/// The error for a file that was there a moment ago.
pub fn vanished(path: &RelPath) -> Error {
    Error::Invalid(vec![
        Diagnostic::new(&FILE_MISSING, format!("`{path}` vanished while the expert was being built"))
            .file(path)
            .help("build again when nothing moves the files"),
    ])
}

impl Survey {
    /// Looks at the expert in its folder.
    pub fn take(target: &Target) -> Result<Self> {
        let at = fs::now();
        let folder = target.folder.as_path();
        let manifest_path = target.expert.manifest.value.clone();
        let disk = manifest_path.under(folder);
        let tree = DiskTree::new(folder)?;
        // A manifest that is a link out of the folder is no better than any other file that is one.
        let (bytes, stat) = match tree.checked(&manifest_path)? {
            NameKind::File => fs::read(&disk, MAX_MANIFEST)?.ok_or_else(|| missing(&disk))?,
            NameKind::Escape => {
                return Err(Error::Invalid(vec![
                    Diagnostic::new(
                        &crate::base::codes::files::PATH_ESCAPE,
                        format!("`{manifest_path}` is a symbolic link that leaves the expert's folder"),
                    )
                    .file(&manifest_path)
                    .help("copy the file into the expert's folder"),
                ]));
            }
            _ => return Err(missing(&disk)),
        };
        if bytes.len() as u64 != stat.size || fs::differs(&disk, &stat)? {
            return Err(Error::Invalid(vec![
                Diagnostic::new(&FILE_CHANGED, format!("`{manifest_path}` changed while it was being read"))
                    .file(&manifest_path)
                    .help("build again when whatever writes it has finished"),
            ]));
        }
        let (manifest, mut found) = Manifest::read(&bytes, manifest_path.as_str());
        let manifest = manifest.map(Arc::new);
        let (mut layouts, mut outside) = (Vec::new(), Vec::new());
        if let Some(manifest) = &manifest {
            match target.models(manifest) {
                Ok(models) => {
                    let (made, more) = layout::layout(target, manifest, &models, &tree)?;
                    layouts = made;
                    found.extend(more);
                }
                Err(more) => found.extend(more),
            }
            found.extend(target.idle(manifest));
            outside = places(target, manifest, &layouts, &mut found);
            outside.retain(|path| !path.starts_with(folder));
        }
        let mut files = BTreeMap::new();
        for member in layouts.iter().flat_map(|l| &l.members) {
            files.entry(member.source.clone()).or_insert_with(|| member.role.clone());
        }
        let mut sources = Vec::with_capacity(files.len());
        for (path, role) in files {
            let on_disk = path.under(folder);
            let stat = Stat::following(&on_disk).map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => vanished(&path),
                _ => Error::io("read", &on_disk, e),
            })?;
            sources.push(SourceFile { path, role, stat });
        }
        Ok(Self {
            manifest,
            manifest_file: SourceFile { path: manifest_path, role: Role::Json, stat },
            manifest_digest: Digest::of(&bytes),
            manifest_sha256: Sha256::of(&bytes),
            layouts,
            files: sources,
            folders: tree.seen(&target.output_folder()),
            outside,
            found,
            at,
        })
    }
}

/// Where the packages go: no two to the same place.
fn places(target: &Target, manifest: &Manifest, layouts: &[Layout], found: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut taken = BTreeMap::new();
    for layout in layouts {
        let model = &manifest.base_models[layout.model];
        match target.output(manifest, model) {
            Err(wrong) => found.push(*wrong),
            Ok(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if let Some(other) = taken.insert(path, &model.name) {
                    let message = format!("the packages for `{other}` and `{}` would both be `{name}`", model.name);
                    let clash = Diagnostic::new(&PATH_CLASH, message).in_file(&*manifest.file);
                    found.push(clash.help("give one of the base models a `slug` of its own in the Expertfile"));
                }
            }
        }
    }
    taken.into_keys().collect()
}

fn missing(path: &Path) -> Error {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    Error::Invalid(vec![
        Diagnostic::new(&FILE_MISSING, format!("there is no manifest at `{}`", path.display())).in_file(name).help(
            "an expert is a folder with a manifest.json; `manifest` in the Expertfile or `--manifest` names another",
        ),
    ])
}

/// The expert's folder on the disk, listed once a folder.
struct DiskTree {
    root: PathBuf,
    real: PathBuf,
    listed: RefCell<BTreeMap<Option<RelPath>, Listed>>,
}

struct Listed {
    stat: Option<Stat>,
    names: Rc<BTreeMap<String, NameKind>>,
    unreadable: Vec<String>,
}

impl DiskTree {
    fn new(root: &Path) -> Result<Self> {
        Ok(Self { root: root.to_path_buf(), real: fs::canonical(root)?, listed: RefCell::default() })
    }

    fn seen(self, output: &Path) -> Vec<ListedFolder> {
        let root = self.root;
        let folder = |(path, listed): (Option<RelPath>, Listed)| {
            let disk = path.as_ref().map_or_else(|| root.clone(), |p| p.under(&root));
            let fingerprint = fingerprint(listed.names.keys().map(String::as_str), way_to(output, &disk));
            ListedFolder { path, stat: listed.stat, fingerprint }
        };
        self.listed.into_inner().into_iter().map(folder).collect()
    }

    fn list(&self, folder: Option<&RelPath>) -> Result<()> {
        if self.listed.borrow().contains_key(&folder.cloned()) {
            return Ok(());
        }
        let path = folder.map_or_else(|| self.root.clone(), |f| f.under(&self.root));
        // Whoever looks for something in a folder that is missing must hear of its coming: from its parent.
        if let Some(folder) = folder {
            self.list(folder.parent().as_ref())?;
        }
        // The stat comes first: what changes between it and the listing is noticed next time.
        let stat = fs::steady(&path);
        let (mut names, mut unreadable) = (BTreeMap::new(), Vec::new());
        if self.is_inside(&path) {
            for entry in fs::list(&path)? {
                let kind = match (entry.is_dir, entry.is_link, entry.is_file) {
                    (true, ..) => NameKind::Dir,
                    (_, true, _) => NameKind::Link,
                    (_, _, true) => NameKind::File,
                    _ => NameKind::Other,
                };
                match entry.name {
                    Some(name) => drop(names.insert(name, kind)),
                    None => unreadable.push(entry.shown),
                }
            }
        }
        let listed = Listed { stat, names: Rc::new(names), unreadable };
        self.listed.borrow_mut().insert(folder.cloned(), listed);
        Ok(())
    }

    /// Does the path, links followed, lie in the expert's folder?
    fn is_inside(&self, path: &Path) -> bool {
        fs::canonical(path).is_ok_and(|real| real.starts_with(&self.real))
    }

    fn checked(&self, path: &RelPath) -> Result<NameKind> {
        let on_disk = path.under(&self.root);
        Ok(match Stat::of(&on_disk) {
            Ok(stat) if stat.is_file() && path.parent().is_none() => NameKind::File,
            Ok(_) => self.link(path),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => NameKind::Other,
            Err(e) => return Err(Error::io("read", &on_disk, e)),
        })
    }
}

impl Tree for DiskTree {
    fn names(&self, folder: Option<&RelPath>) -> Result<Rc<BTreeMap<String, NameKind>>> {
        self.list(folder)?;
        Ok(self.listed.borrow().get(&folder.cloned()).map(|l| Rc::clone(&l.names)).unwrap_or_default())
    }

    fn unreadable(&self, folder: Option<&RelPath>) -> Vec<String> {
        self.listed.borrow().get(&folder.cloned()).map(|l| l.unreadable.clone()).unwrap_or_default()
    }

    fn link(&self, path: &RelPath) -> NameKind {
        let on_disk = path.under(&self.root);
        match Stat::following(&on_disk) {
            Err(_) => NameKind::Other,
            Ok(_) if !self.is_inside(&on_disk) => NameKind::Escape,
            Ok(stat) if stat.is_file() => NameKind::File,
            Ok(_) => NameKind::Other,
        }
    }
}
