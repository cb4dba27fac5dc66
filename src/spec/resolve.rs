//! `Repo`: the experts of a repository, resolved from its Expertfiles and everything that may stand above or below them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::codes::repo;
use crate::base::{Diagnostic, Error, RelPath, Result};
use crate::spec::expert::Expert;
use crate::spec::expertfile::{self, ExpertTable, Expertfile, ProfileTable, Settings};
use crate::spec::host_path::HostPath;
use crate::spec::layers::{Cache, Layers};
use crate::spec::origin::{Origin, Setting};
use crate::spec::request::Request;
use crate::spec::trust::{TrustedKey, merged};
use crate::spec::{Folder, init, members, profiles};

/// A repository, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// Its Expertfile.toml, where there is one; what its `[[expert]]` tables say is in `experts`.
    pub expertfile: Option<Expertfile>,
    /// The profile in force, and who asked for it.
    pub profile: Option<Setting<String>>,
    /// The workspace's folder for packages.
    pub out_dir: Option<Arc<Setting<HostPath>>>,
    /// Experts that are kept elsewhere.
    pub externals: BTreeMap<String, Setting<semver::Version>>,
    /// Where results are kept.
    pub cache: Cache,
    /// Whose signatures count, by name.
    pub trust: BTreeMap<String, Setting<TrustedKey>>,
    /// The experts, by folder.
    pub experts: Vec<Arc<Expert>>,
    /// Every file that was read to know all this.
    pub files: Vec<RelPath>,
    /// What was found and does not stop anything.
    pub warnings: Vec<Diagnostic>,
}

impl Repo {
    /// The versions of experts that are kept elsewhere.
    pub fn external_versions(&self) -> BTreeMap<String, semver::Version> {
        self.externals.iter().map(|(name, version)| (name.clone(), version.value.clone())).collect()
    }

    /// The experts that are built when none is named, by index.
    pub fn defaults(&self) -> Vec<usize> {
        (0..self.experts.len()).filter(|at| self.experts[*at].default).collect()
    }
}

/// A folder that is an expert, and who says so.
#[derive(Debug)]
struct Entry<'a> {
    table: Option<&'a ExpertTable>,
    /// Defaults of the member's own Expertfile.
    defaults: Option<&'a Settings>,
}

impl Entry<'_> {
    /// Does it say nothing but where the expert is?
    fn is_plain(&self) -> bool {
        self.defaults.is_none() && self.table.is_none_or(|table| table.settings == Settings::default())
    }
}

/// Resolves the repository.
pub fn resolve(root: &dyn Folder, request: &Request) -> Result<Repo> {
    resolve_all(root, request, true)
}

/// The same where there need not be an expert: what is said is in force all the same.
pub fn resolve_empty(root: &dyn Folder, request: &Request) -> Result<Repo> {
    resolve_all(root, request, false)
}

/// A repository of which only the cache is known: its experts need not be there, nor be described well.
pub fn resolve_cache(root: &dyn Folder, request: &Request) -> Result<Repo> {
    let (flags, variables, user) = (request.flags()?, request.variables()?, request.user()?);
    let name = RelPath::new(expertfile::NAME).expect("a relative path");
    let file = match root.read(&name)? {
        Some(text) => Expertfile::read_cache(&text).map_err(Error::Expertfile)?,
        None => Expertfile::default(),
    };
    let mut found = profiles::check(&file.profile);
    let asked = request.profile();
    let chain = match &asked {
        Some((profile, by)) if found.is_empty() => profiles::chain(&file.profile, profile, by)?,
        _ => Vec::new(),
    };
    let overlays = [&flags, &variables].into_iter().chain(chain).map(|overlay| &overlay.cache);
    let (cache, faults) = Cache::resolve(&overlays.chain([&file.cache, &user.cache]).collect::<Vec<_>>());
    found.extend(faults);
    if !found.is_empty() {
        return Err(Error::Expertfile(sorted(found)));
    }
    Ok(Repo {
        expertfile: None,
        profile: None,
        out_dir: None,
        externals: BTreeMap::new(),
        cache,
        trust: BTreeMap::new(),
        experts: Vec::new(),
        files: vec![name],
        warnings: Vec::new(),
    })
}

fn resolve_all(root: &dyn Folder, request: &Request, needs_experts: bool) -> Result<Repo> {
    let flags = request.flags()?;
    let variables = request.variables()?;
    let user = request.user()?;
    let name = RelPath::new(expertfile::NAME).expect("a relative path");
    let mut files = vec![name.clone()];
    let file = match root.read(&name)? {
        Some(text) => Some(Expertfile::read(expertfile::NAME, &text, None).map_err(Error::Expertfile)?),
        None => None,
    };
    let empty = Expertfile::default();
    let written = file.as_ref().unwrap_or(&empty);

    let mut found = profiles::check(&written.profile);
    let asked = request.profile();
    let chain: Vec<&ProfileTable> = match &asked {
        Some((profile, by)) if found.is_empty() => profiles::chain(&written.profile, profile, by)?,
        _ => Vec::new(),
    };
    let overlays = || [&flags, &variables].into_iter().chain(chain.iter().copied());
    let manifest = layers(overlays(), None, None, &written.defaults, &user.defaults).manifest();
    let manifest = &manifest.value;

    let mut warnings = Vec::new();
    let member_folders = members::find(root, &written.workspace, manifest, &mut found)?;
    let member_files = read_members(root, &member_folders, &mut files, &mut found, &mut warnings)?;

    let mut entries: BTreeMap<Option<RelPath>, Entry<'_>> = BTreeMap::new();
    for table in &written.expert {
        let folder = table.path.as_ref().and_then(|path| path.value.0.clone());
        let inside = folder.as_ref().map(|folder| folder.join(&name));
        if inside.map_or(Ok(false), |inside| root.is_file(&inside))? {
            let message = format!("`{}` has an {} of its own", label(folder.as_ref()), expertfile::NAME);
            let help = "make it a member of the workspace, and say there what is said here";
            found.push(place(table).finding(&repo::EXPERTFILE_DUPLICATE, message).help(help));
            continue;
        }
        add(&mut entries, folder, Entry { table: Some(table), defaults: None }, &mut found);
    }
    for (member, file) in &member_files {
        for table in &file.expert {
            let below = table.path.as_ref().and_then(|path| path.value.0.as_ref());
            let folder = below.map_or_else(|| member.clone(), |below| member.join(below));
            let entry = Entry { table: Some(table), defaults: Some(&file.defaults) };
            add(&mut entries, Some(folder), entry, &mut found);
        }
        if file.expert.is_empty() {
            let entry = Entry { table: None, defaults: Some(&file.defaults) };
            add(&mut entries, Some(member.clone()), entry, &mut found);
        }
    }
    for folder in member_folders.into_iter().filter(|f| f.as_ref().is_none_or(|f| !member_files.contains_key(f))) {
        entries.entry(folder).or_insert(Entry { table: None, defaults: None });
    }
    let nothing_said = written.expert.is_empty() && written.workspace.members.is_none();
    if nothing_said && members::is_expert(root, None, manifest)? {
        entries.insert(None, Entry { table: None, defaults: None });
    }
    if needs_experts && entries.is_empty() && found.is_empty() {
        return Err(nothing_here(root, file.is_some())?);
    }

    let workspace = &written.workspace;
    let mut experts = Vec::with_capacity(entries.len());
    let resolved = |entry: &Entry<'_>, folder| {
        let stack = layers(overlays(), entry.table, entry.defaults, &written.defaults, &user.defaults);
        stack.expert(folder, workspace.out_dir.as_ref())
    };
    // What most experts are: they say nothing themselves.
    let mut plain = resolved(&Entry { table: None, defaults: None }, None);
    for (folder, entry) in entries {
        let mut expert = if entry.is_plain() {
            found.append(&mut plain.1);
            Expert { folder, ..plain.0.clone() }
        } else {
            let (expert, faults) = resolved(&entry, folder);
            found.extend(faults);
            expert
        };
        expert.share(&plain.0);
        expert.entry = entry.table.and_then(|table| table.origin.clone());
        if let Some(fault) = missing(root, &expert, entry.table)? {
            found.push(fault);
        }
        experts.push(Arc::new(expert));
    }
    choose_defaults(workspace, &mut experts, &mut found);
    let caches = overlays().map(|overlay| &overlay.cache).chain([&written.cache, &user.cache]);
    let (cache, faults) = Cache::resolve(&caches.collect::<Vec<_>>());
    found.extend(faults);
    if !found.is_empty() {
        return Err(Error::Expertfile(sorted(found)));
    }
    Ok(Repo {
        profile: asked.map(|(profile, origin)| Setting { value: profile.to_owned(), origin }),
        out_dir: workspace.out_dir.clone(),
        externals: workspace.externals.clone(),
        trust: merged(&[&written.trust, &user.trust]),
        expertfile: file.map(|file| Expertfile { expert: Vec::new(), ..file }),
        cache,
        experts,
        files,
        warnings,
    })
}

/// The layers of one expert, the strongest first.
fn layers<'a>(
    overlays: impl Iterator<Item = &'a ProfileTable>,
    table: Option<&'a ExpertTable>,
    own_defaults: Option<&'a Settings>,
    defaults: &'a Settings,
    user: &'a Settings,
) -> Layers<'a> {
    let above = overlays.map(|overlay| &overlay.settings).chain(table.map(|table| &table.settings));
    Layers(above.chain(own_defaults).chain([defaults, user]).collect())
}

/// Where an entry is best pointed at.
fn place(table: &ExpertTable) -> Origin {
    let path = table.path.as_ref().map(|path| path.origin.clone());
    path.or_else(|| table.origin.clone()).unwrap_or(Origin::BuiltIn)
}

fn label(folder: Option<&RelPath>) -> &str {
    folder.map_or(".", RelPath::as_str)
}

fn add<'a>(
    entries: &mut BTreeMap<Option<RelPath>, Entry<'a>>,
    folder: Option<RelPath>,
    entry: Entry<'a>,
    found: &mut Vec<Diagnostic>,
) {
    let Some(first) = entries.get(&folder) else {
        entries.insert(folder, entry);
        return;
    };
    // A member without an entry cannot clash with itself: where there are two, one has a place.
    let (here, there) = match (entry.table, first.table) {
        (Some(here), there) => (place(here), there.map(place)),
        (None, Some(there)) => (place(there), None),
        (None, None) => return,
    };
    let message = format!("the expert `{}` is described twice", label(folder.as_ref()));
    let help = there.map_or_else(
        || format!("it is a member with an {} of its own", expertfile::NAME),
        |there| format!("its other description is the {there}"),
    );
    found.push(here.finding(&repo::EXPERTFILE_DUPLICATE, message).help(help));
}

/// Reads the Expertfiles of members.
fn read_members<'a>(
    root: &dyn Folder,
    folders: impl IntoIterator<Item = &'a Option<RelPath>>,
    files: &mut Vec<RelPath>,
    found: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<BTreeMap<RelPath, Expertfile>> {
    let name = RelPath::new(expertfile::NAME).expect("a relative path");
    let mut read = BTreeMap::new();
    for folder in folders.into_iter().flatten() {
        let path = folder.join(&name);
        let Some(text) = root.read(&path)? else { continue };
        match Expertfile::read(path.as_str(), &text, Some(folder)) {
            Ok(file) => {
                if let Some(nested) = &file.workspace.origin {
                    let message = format!("the member `{folder}` has a `[workspace]` of its own");
                    let help =
                        "a workspace has no workspaces inside: exclude the member here, or drop its `[workspace]`";
                    found.push(nested.finding(&repo::EXPERTFILE_MEMBER, message).help(help));
                }
                let profiles = file.profile.values().map(|profile| &profile.origin);
                for ignored in profiles.chain([&file.cache.origin, &file.trust.origin]).flatten() {
                    let message = "this counts only when the member is built by itself";
                    let help = format!("what concerns the whole run stands in the repo's own {}", expertfile::NAME);
                    warnings.push(ignored.finding(&repo::EXPERTFILE_IGNORED, message).help(help));
                }
                read.insert(folder.clone(), file);
            }
            Err(faults) => found.extend(faults),
        }
        files.push(path);
    }
    Ok(read)
}

/// The finding that an expert's folder or manifest is not there.
fn missing(root: &dyn Folder, expert: &Expert, table: Option<&ExpertTable>) -> Result<Option<Diagnostic>> {
    let manifest = &expert.manifest;
    if root.is_file(&expert.path(&manifest.value))? {
        return Ok(None);
    }
    let fault = match members::fault(root, expert.folder.as_ref(), &manifest.value)? {
        Some(fault) => fault,
        // The folder has an Expertfile of its own, and yet no manifest.
        None => {
            let help = "an expert's folder holds its manifest; the key `manifest` sets another name".to_owned();
            (format!("there is no {} in `{}`", manifest.value, expert.label()), help)
        }
    };
    let is_there = expert.folder.as_ref().map_or(Ok(true), |folder| root.is_dir(folder))?;
    let origin = match (&manifest.origin, table) {
        (_, Some(table)) if !is_there => place(table),
        (Origin::BuiltIn, Some(table)) => place(table),
        (origin, _) => origin.clone(),
    };
    let mut finding = origin.finding(&repo::EXPERTFILE_MEMBER, fault.0).help(fault.1);
    finding.file.get_or_insert_with(|| expert.path(&manifest.value).to_string());
    Ok(Some(finding))
}

/// Marks the experts that are built when none is named.
fn choose_defaults(workspace: &expertfile::WorkspaceTable, experts: &mut [Arc<Expert>], found: &mut Vec<Diagnostic>) {
    let Some(chosen) = &workspace.default_members else { return };
    for expert in experts.iter_mut() {
        let last = chosen.value.iter().rev().find(|glob| members::names(&glob.value, expert.folder.as_ref()));
        Arc::make_mut(expert).default = last.is_some_and(|glob| !glob.value.is_negated());
    }
    for glob in &chosen.value {
        if !experts.iter().any(|expert| members::names(&glob.value, expert.folder.as_ref())) {
            let message = format!("`{}` names no expert of this repo", glob.value.as_str());
            let help = "`default-members` are paths of members, or patterns";
            found.push(glob.finding(&repo::EXPERTFILE_MEMBER, message).help(help));
        }
    }
}

/// The error for a repo without any expert.
fn nothing_here(root: &dyn Folder, has_file: bool) -> Result<Error> {
    let experts = init::search(root)?;
    let what =
        if has_file { format!("{} names no expert", expertfile::NAME) } else { "there is no expert here".into() };
    let help = match (experts.as_slice(), has_file) {
        ([], _) => "an expert is a folder with a manifest.json; `-C DIR` says where to look".to_owned(),
        (_, true) => format!("list them: `[workspace]` with `members = {}`", init::members(root, &experts)?),
        ([one], _) => format!("there is one in `{}`: `expert-build init` writes an {}", one, expertfile::NAME),
        (many, _) => {
            let first: Vec<String> = many.iter().take(3).map(|folder| format!("`{folder}`")).collect();
            let more = if many.len() > first.len() { ", …" } else { "" };
            let (count, list) = (many.len(), first.join(", "));
            format!(
                "there are {count} below ({list}{more}): `expert-build init` writes an {} for them",
                expertfile::NAME
            )
        }
    };
    Ok(Error::usage_help(what, help))
}

fn sorted(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by(|a, b| (&a.file, &a.at, a.code.name, &a.message).cmp(&(&b.file, &b.at, b.code.name, &b.message)));
    found.dedup();
    found
}
