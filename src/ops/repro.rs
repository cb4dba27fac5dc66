//! `repro`: does the expert's folder give this very package? If not, which member is the first to differ?

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::base::{Error, Result, Sha256};
use crate::format::archive::Limits;
use crate::ops::build::Options;
use crate::ops::diff::{Side, diff};
use crate::ops::inspect::inspect;
use crate::ops::package::{Request, package};
use crate::ops::workspace::Setup;
use crate::store::fs;

/// What a rebuild told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repro {
    /// The package.
    pub package: PathBuf,
    /// Its SHA-256.
    pub was: Sha256,
    /// That of the rebuild.
    pub is: Sha256,
    /// The same bytes.
    pub identical: bool,
    /// The first member that differs, in the order of the package; `None` where the members are the same and only
    /// compression or headers differ.
    pub first: Option<String>,
}

/// Rebuilds the package from the folder of `manifest`, with the package's own compression, into a temporary.
pub fn repro(setup: &Setup, path: &Path, manifest: &Path, cancel: &AtomicBool) -> Result<Repro> {
    let path = setup.directory.join(path);
    let told = inspect(&path, false, Limits::default())?;
    let mut setup = setup.clone();
    setup.request = setup.request.flag("the package's compression", "compression", told.compression.as_str());
    if let Some(level) = told.level.filter(|_| told.compression.as_str() != "none") {
        setup.request = setup.request.flag("the package's level", "level", &level.to_string());
    }
    let temporary = fs::TemporaryFolder::new()?;
    let output = temporary.path().join("rebuilt.expert");
    let request = Request {
        manifest: manifest.to_path_buf(),
        weights: None,
        output: Some(output.clone()),
        model: told.models.first().map(|model| model.name.clone()),
    };
    let options = Options { jobs: 2, ..Options::default() };
    let (packages, mut report) = package(setup, &request, &options, cancel, &mut ())?;
    if let Some((_, error)) = report.failed.pop() {
        return Err(error);
    }
    let rebuilt = packages.first().ok_or_else(|| Error::Bug("nothing was rebuilt".into()))?;
    let was = fs::sha256(&path)?;
    let mut first = None;
    if was != rebuilt.sha256 {
        let found = diff(&Side::Package(path.clone()), &Side::Package(output), Limits::default())?;
        let file = found.files.first().map(|f| f.path.to_string());
        first = if found.manifest.is_empty() { file } else { Some("manifest.json".into()) };
    }
    Ok(Repro { was, is: rebuilt.sha256, identical: was == rebuilt.sha256, first, package: path })
}
