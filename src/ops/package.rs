//! `package`: one expert without an Expertfile, through the same engine and cache.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::base::event::{Member, Observer, Status};
use crate::base::{Error, Event, RelPath, Result, Sha256};
use crate::format::archive::Limits;
use crate::ops::build::{self, Report};
use crate::ops::experts;
use crate::ops::inspect::inspect;
use crate::ops::workspace::{Setup, Workspace};
use crate::store::{Stat, fs};

/// What to package.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The manifest.
    pub manifest: PathBuf,
    /// The folder that holds the weights, or the weights themselves.
    pub weights: Option<PathBuf>,
    /// Where the package goes: a file, or a folder: one that exists, or whose name ends with `/`.
    pub output: Option<PathBuf>,
    /// The base model, where the manifest has several and one is wanted.
    pub model: Option<String>,
}

/// A package that is in its place.
#[derive(Debug, Clone, Serialize)]
pub struct Packaged {
    /// Where it lies.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// Was it made, restored, or there already?
    pub status: Status,
    /// Its members.
    pub files: Vec<Member>,
}

/// Packages one expert. The report says what failed; the packages are those that stand.
pub fn package(
    mut setup: Setup,
    request: &Request,
    options: &build::Options,
    cancel: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<(Vec<Packaged>, Report)> {
    let here = fs::canonical(&setup.directory)?;
    let manifest = here.join(&request.manifest);
    let name = manifest.file_name().and_then(|n| n.to_str()).map(str::to_owned);
    let (Some(folder), Some(name)) = (manifest.parent(), name) else {
        return Err(Error::usage(format!("`{}` is not the path of a manifest", request.manifest.display())));
    };
    if !fs::has_file(&manifest)? {
        let help = "`--manifest` names the manifest.json of the expert to package";
        return Err(Error::usage_help(format!("there is no manifest at `{}`", request.manifest.display()), help));
    }
    let folder = fs::canonical(folder)?;
    setup.request = setup.request.flag("--manifest", "manifest", &name);
    if let Some(weights) = &request.weights {
        let inside = weights_below(&folder, &here.join(weights), weights)?;
        setup.request = setup.request.flag("--weights", "weights", &inside);
    }
    if let Some(model) = &request.model {
        setup.request = setup.request.flag("--model", "models", model);
    }
    let output = request.output.as_ref().map(|output| here.join(output));
    let is_folder = |path: &PathBuf| path.as_os_str().as_encoded_bytes().ends_with(b"/") || fs::is_dir(path);
    if let Some(dir) = output.as_ref().filter(|o| is_folder(o)) {
        setup.request = setup.request.flag("--output", "out-dir", &dir.to_string_lossy());
    }
    let mut workspace = Workspace::bare(setup, &folder)?;
    workspace.output = output.filter(|o| !is_folder(o));
    one_package(&workspace)?;
    let mut heard = Heard { observer, packages: Vec::new() };
    let report = build::build(&workspace, &[0], options, cancel, &mut heard)?;
    let mut packages = heard.packages;
    if packages.is_empty() && report.failed.is_empty() && report.skipped.is_empty() && !options.dry_run {
        packages = standing(&workspace)?;
    }
    Ok((packages, report))
}

/// A file that is named holds one package: then the expert must be packaged for one base model.
fn one_package(workspace: &Workspace) -> Result<()> {
    let (Some(file), Some(expert)) = (&workspace.output, workspace.repo.experts.first()) else { return Ok(()) };
    // A manifest that cannot be read is told of by the build.
    let Some(manifest) = experts::read(&workspace.root, expert) else { return Ok(()) };
    let names: Vec<&str> = manifest.base_models.iter().map(|model| model.name.as_str()).collect();
    match expert.pick(&names) {
        Ok(chosen) if chosen.len() > 1 => Err(Error::usage_help(
            format!("the packages for {} base models would all be written to `{}`", chosen.len(), file.display()),
            "choose one with `--model`, or give a folder: its name ends with `/`",
        )),
        _ => Ok(()),
    }
}

/// The weights folder as a path below the expert's folder.
fn weights_below(folder: &Path, weights: &Path, shown: &Path) -> Result<String> {
    let holds = if fs::is_file(weights) { weights.parent().unwrap_or(weights) } else { weights };
    if !fs::is_dir(holds) {
        let help = "`--weights` names the folder that holds adapter_model.safetensors";
        return Err(Error::usage_help(format!("there is no folder `{}`", shown.display()), help));
    }
    let real = fs::canonical(holds)?;
    let outside = || {
        Error::usage_help(
            format!("`{}` lies outside of the expert's folder `{}`", shown.display(), folder.display()),
            "nothing outside of the manifest's folder is packaged: move or copy the weights below it",
        )
    };
    let inside = real.strip_prefix(folder).map_err(|_| outside())?.to_str().ok_or_else(outside)?;
    Ok(if inside.is_empty() { ".".into() } else { RelPath::new(inside).map_err(|_| outside())?.to_string() })
}

/// Packages that were up to date and had nothing to tell: what they hold is read from themselves.
fn standing(workspace: &Workspace) -> Result<Vec<Packaged>> {
    let mut packages = Vec::new();
    for (path, sha256) in build::outputs(workspace, &[0])? {
        let inspection = inspect(&path, false, Limits::default())?;
        let files = inspection
            .files
            .into_iter()
            .filter_map(|file| Some(Member { path: file.path, bytes: file.bytes, sha256: file.sha256?, digest: None }));
        let bytes = Stat::of(&path).map_err(|e| Error::io("read", &path, e))?.size;
        packages.push(Packaged { sha256, bytes, status: Status::Unchanged, files: files.collect(), path });
    }
    Ok(packages)
}

/// Passes events on and keeps the packages.
struct Heard<'o> {
    observer: &'o mut dyn Observer,
    packages: Vec<Packaged>,
}

impl Observer for Heard<'_> {
    fn on(&mut self, event: &Event) {
        if let Event::Artifact { path, sha256, bytes, status, files, .. } = event {
            self.packages.push(Packaged {
                path: path.into(),
                sha256: *sha256,
                bytes: *bytes,
                status: *status,
                files: files.clone(),
            });
        }
        self.observer.on(event);
    }
}
