//! `repro`: does the expert's folder give this very package? If not, which member is the first to differ?

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::base::{Error, Result, Sha256};
use crate::format::archive::Limits;
use crate::format::integrity::{Integrity, MANIFEST, SIGNATURE};
use crate::format::segment::Compression;
use crate::format::signature::{PublicKey, Signature};
use crate::ops::build::Options;
use crate::ops::cat::cat;
use crate::ops::diff::{Side, diff};
use crate::ops::inspect::inspect;
use crate::ops::opened::Opened;
use crate::ops::package::{Request, package};
use crate::ops::sign::{MTIME, sign_again};
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

/// Rebuilds the package from the folder of `manifest`, with the package's own compression, time and publisher, into a
/// temporary. A signature is put into the rebuild as it is: it takes no key to find out whether a signed package is made
/// of these sources.
pub fn repro(setup: &Setup, path: &Path, manifest: &Path, cancel: &AtomicBool) -> Result<Repro> {
    let path = setup.directory.join(path);
    let was = Was::read(&path)?;
    let mut setup = setup.clone();
    for (what, key, value) in [
        ("the package's compression", "compression", Some(was.compression.clone())),
        ("the package's level", "level", was.level.map(|level| level.to_string())),
        ("the package's publisher", "publisher", was.integrity.publisher.clone()),
        ("repro", "sign", Some("off".to_owned())),
    ] {
        if let Some(value) = value {
            setup.request = setup.request.flag(what, key, &value);
        }
    }
    setup.request.env.remove("SOURCE_DATE_EPOCH");
    if let Some(epoch) = was.epoch {
        setup.request.env.insert("SOURCE_DATE_EPOCH".into(), epoch.to_string());
    }
    let temporary = fs::TemporaryFolder::new()?;
    let output = temporary.path().join("rebuilt.expert");
    let request = Request {
        manifest: manifest.to_path_buf(),
        weights: None,
        output: Some(output.clone()),
        model: was.model.clone(),
    };
    let options = Options { jobs: 2, ..Options::default() };
    let (packages, mut report) = package(setup, &request, &options, cancel, &mut ())?;
    if let Some((_, error)) = report.failed.pop() {
        return Err(error);
    }
    let mut is = packages.first().ok_or_else(|| Error::Bug("nothing was rebuilt".into()))?.sha256;
    if let Some(made) = was.signature {
        is = sign_again(&output, made, &was.integrity)?.sha256;
    }
    let mut first = None;
    if was.sha256 != is {
        let found = diff(&Side::Package(path.clone()), &Side::Package(output), Limits::default())?;
        let file = found.files.iter().map(|f| f.path.as_str()).find(|path| *path != SIGNATURE);
        first = if found.manifest.is_empty() { file.map(str::to_owned) } else { Some(MANIFEST.into()) };
    }
    Ok(Repro { was: was.sha256, is, identical: was.sha256 == is, first, package: path })
}

/// What of a package is no matter of its sources.
struct Was {
    sha256: Sha256,
    compression: String,
    level: Option<u64>,
    model: Option<String>,
    /// `SOURCE_DATE_EPOCH`, where its entries have another time than all packages have.
    epoch: Option<u64>,
    integrity: Integrity,
    signature: Option<(PublicKey, Signature)>,
}

impl Was {
    fn read(path: &Path) -> Result<Self> {
        let told = inspect(path, false, Limits::default())?;
        let opened = Opened::open(path, Limits::default())?;
        let entry = opened.stream()?.next_entry().map_err(|e| opened.error(e))?;
        let mut manifest = Vec::new();
        cat(path, MANIFEST, Limits::default(), &mut manifest)?;
        let integrity = Integrity::read(&opened.manifest(&manifest)?).unwrap_or_default();
        let key = integrity.pubkey.as_deref().and_then(|key| key.parse().ok());
        let signature = integrity.signature.as_deref().and_then(|text| text.parse().ok());
        Ok(Self {
            sha256: opened.sha256()?,
            compression: told.compression.as_str().to_owned(),
            level: told.level.filter(|_| told.compression != Compression::None),
            model: told.models.first().map(|model| model.name.clone()),
            epoch: entry.and_then(|entry| entry.mtime).filter(|time| *time != MTIME),
            signature: key.zip(signature),
            integrity,
        })
    }
}
