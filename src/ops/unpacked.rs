//! An expert's folder as the files that would be packaged, to be compared with a package.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::{Error, RelPath, Result};
use crate::engine::job::{Job, Open};
use crate::engine::tasks::{compose, hash};
use crate::format::integrity::MANIFEST;
use crate::ops::diff::{Content, Side};
use crate::ops::workspace::{Setup, Workspace};
use crate::store::{Index, fs};

/// What `path` names: a package, or an expert's folder. Of a folder with several base models, `model` says which.
pub fn side(setup: &Setup, path: &Path, model: Option<&str>) -> Result<Side> {
    let path = setup.directory.join(path);
    if !fs::is_dir(&path) {
        return Ok(Side::Package(path));
    }
    let mut setup = setup.clone();
    setup.directory.clone_from(&path);
    if let Some(model) = model {
        setup.request = setup.request.flag("--model", "models", model);
    }
    let workspace = Workspace::bare(setup, &fs::canonical(&path)?)?;
    let target = workspace.targets(&[0])?.remove(0);
    let job = Job::new(0, Arc::clone(&target), "".into(), Arc::new(Index::default()));
    let open = job.open()?;
    if crate::base::error::errors(&open.findings(&target)) > 0 {
        return Err(Error::Invalid(open.findings(&target)));
    }
    if open.survey.layouts.len() > 1 {
        return Err(Error::usage_help(
            format!("`{}` has several base models", path.display()),
            "choose one with `--model`",
        ));
    }
    let files = packaged(&job, &open, 0)?;
    Ok(Side::Files { name: path.display().to_string(), files })
}

/// The members of a package with their contents; the manifest is the one that would be packaged.
fn packaged(job: &Job, open: &Open, package: usize) -> Result<BTreeMap<RelPath, Content>> {
    let Some(layout) = open.survey.layouts.get(package) else {
        return Err(Error::usage(format!("`{}` has no base model to package for", job.target.folder.display())));
    };
    let mut files = BTreeMap::new();
    for member in &layout.members {
        let slot = open.file(&member.source).ok_or_else(|| Error::Bug(format!("`{}` has no slot", member.source)))?;
        hash::alone(slot)?;
        files.insert(member.path.clone(), Content::Disk(slot.disk()));
    }
    let manifest = match compose::composed(job, open, package) {
        Ok(_) => {
            let composed = open.packages[package].composed.get();
            let text = composed.ok_or_else(|| Error::Bug("nothing was composed".into()))?.text();
            Content::Bytes(text.into_bytes())
        }
        // The manifest gives a hash that is no longer that of the weights: what changed is asked, so it is told. Of
        // several models there is no manifest for one alone then.
        Err(Error::Integrity { .. }) if !layout.one_of_several => {
            Content::Disk(open.survey.manifest_file.path.under(&job.target.folder))
        }
        Err(error) => return Err(error),
    };
    files.insert(RelPath::new(MANIFEST).map_err(|e| Error::Bug(e.to_string()))?, manifest);
    Ok(files)
}
