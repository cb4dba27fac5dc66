//! `pull`: a package out of a registry, verified before it is at its place; what was received is not asked for again.
//!
//! Whose signature counts is asked of the manifest first, which is small, and then of the package.
//! A ModelPack is made to a package again, of its files and of what its annotations say, and must have the very hash of
//! the package that was pushed.

use std::io::{BufReader, BufWriter, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::event::{Direction, Observer, Transfer};
use crate::base::{Error, Event, Result, Sha256};
use crate::engine::beside;
use crate::format::archive::Writer;
use crate::format::integrity::{Integrity, MANIFEST};
use crate::format::json;
use crate::format::oci::{Descriptor, Form, Index, Manifest, ModelFile, Rebuild, Reference, Stored, stored};
use crate::format::signature::PublicKey;
use crate::ops::reach::{Progress, Reach};
use crate::ops::sign::Tee;
use crate::ops::trusted::Trusted;
use crate::ops::verify::{self, ProblemKind, Report, SignatureReport, verify};
use crate::store::oci::{Parts, Registry};
use crate::store::{Stat, fs, output};

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Into this folder, which is made where it is missing.
    pub folder: PathBuf,
    /// Replace another file of that name.
    pub force: bool,
    /// How registries are reached.
    pub reach: Reach,
    /// What is asked of the package, and how much is received and read.
    pub verify: verify::Options,
}

/// A package that is at its place.
#[derive(Debug, Clone, Serialize)]
pub struct Pulled {
    /// Where it lies.
    pub package: PathBuf,
    /// Where it came from.
    pub reference: String,
    /// The digest of its manifest, with `sha256:`.
    pub digest: String,
    /// The form that it had there.
    pub form: Form,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// Bytes that were received now.
    pub received_bytes: u64,
    /// It was there, and is what the registry has.
    pub unchanged: bool,
    /// Who vouches for it.
    pub signature: SignatureReport,
}

/// Pulls a package.
pub fn pull(from: &str, options: &Options, observer: &mut dyn Observer) -> Result<Pulled> {
    let reference = Reference::parse(from).map_err(Error::usage)?;
    let Some(wanted) = reference.wanted() else {
        let help = "`host/repository:tag`, or `host/repository@sha256:…` for these very bytes";
        return Err(Error::usage_help(format!("`{reference}` names neither a tag nor a digest"), help));
    };
    let mut registry = options.reach.registry(&reference, Direction::Download)?;
    let fetched = registry
        .manifest(&reference.repository, &wanted)?
        .ok_or_else(|| Error::Network { message: format!("the registry has no `{reference}`"), source: None })?;
    let wrong = |what: &dyn std::fmt::Display| Error::integrity(format!("`{reference}`: {what}"));
    let (stored, config) = match Manifest::read(&fetched.bytes) {
        Ok(manifest) => (stored(&manifest).map_err(|e| wrong(&e))?, manifest.config),
        Err(fault) => match Index::read(&fetched.bytes) {
            Ok(index) => {
                let what = format!("it is a list of {} manifests: name one by its digest", index.manifests.len());
                return Err(wrong(&what));
            }
            Err(_) => return Err(wrong(&fault)),
        },
    };
    let (form, title, sha256, bytes, needed, config) = match &stored {
        Stored::Package { layer, title } => {
            let title = title.clone().map_err(|e| wrong(&e))?;
            (Form::Package, title, layer.digest, layer.size, Some(layer.size), Some((config.digest, config.size)))
        }
        Stored::ModelPack { files, rebuild } => {
            let sizes = files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size));
            let config = files.iter().find(|file| file.path.as_str() == MANIFEST).map(|file| (file.digest, file.size));
            (Form::ModelPack, rebuild.title.clone(), rebuild.sha256, rebuild.size, sizes, config)
        }
    };
    let most = options.verify.limits.max_size;
    if needed.is_none_or(|needed| needed.max(bytes) > most) {
        return Err(wrong(&format!("it has more than the {most} bytes that are received at most (`--max-size`)")));
    }
    let target = options.folder.join(&title);
    let pulled = |report: Report, received_bytes, unchanged| Pulled {
        package: target.clone(),
        reference: reference.to_string(),
        digest: format!("sha256:{}", fetched.sha256),
        form,
        sha256,
        bytes,
        received_bytes,
        unchanged,
        signature: report.signature,
    };
    let checksum = Checksum { path: beside::path(&target, beside::CHECKSUM), text: format!("{sha256}  {title}\n") };
    if is_there(&target, sha256, options.force)? {
        let report = verified(&target, &reference, &options.verify)?;
        // A run that was killed after the package came to its place did not do what follows.
        checksum.complete()?;
        Parts::forget(&options.folder, fetched.sha256);
        return Ok(pulled(report, 0, true));
    }
    let config = config.ok_or_else(|| wrong(&"it has no `manifest.json`"))?;
    if let Some(what) = not_vouched(&mut registry, &reference, config, &options.verify)? {
        return Err(wrong(&what));
    }
    let parts = Parts::open(&options.folder, fetched.sha256)?;
    let mut progress = Progress::new(observer, &reference, Direction::Download);
    let mut source = Source { registry: &mut registry, repository: &reference.repository, parts: &parts };
    let mut received = 0;
    let made = match &stored {
        Stored::Package { layer, .. } => source.package(layer, &title, &mut progress, &mut received),
        Stored::ModelPack { files, rebuild } => {
            source.model_pack(files, rebuild, &reference, &mut progress, &mut received)
        }
    };
    let made = match made {
        Ok(made) => made,
        Err(error @ Error::Network { .. }) => {
            if parts.held() > 0 {
                let kept = "what was received is kept: the same command goes on from there".to_owned();
                progress.observer.on(&Event::Notice { message: kept });
            }
            return Err(error);
        }
        Err(error @ Error::Integrity { .. }) => {
            parts.discard();
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let report = match verified(&made, &reference, &options.verify) {
        Ok(report) => report,
        Err(Refusal { error, keep }) => {
            if !keep {
                parts.discard();
            }
            return Err(error);
        }
    };
    // A crash between the two leaves a package without a checksum file, never one with a wrong one.
    beside::take_away(&target)?;
    parts.place(&made, &target)?;
    checksum.complete()?;
    Ok(pulled(report, received, false))
}

/// The file beside the package that tells its SHA-256.
struct Checksum {
    path: PathBuf,
    text: String,
}

impl Checksum {
    /// Writes it where it is not there, or is another's, and removes what killed runs began.
    fn complete(&self) -> Result<()> {
        output::tidy_beside(&self.path);
        match fs::read(&self.path, self.text.len() as u64) {
            Ok(Some((bytes, _))) if bytes == self.text.as_bytes() => Ok(()),
            _ => output::write(&self.path, self.text.as_bytes()),
        }
    }
}

/// What speaks against a package by its manifest alone, so that nobody waits for gigabytes to be refused. Only what is
/// received in the end is believed.
fn not_vouched(
    registry: &mut Registry,
    reference: &Reference,
    manifest: (Sha256, u64),
    options: &verify::Options,
) -> Result<Option<String>> {
    let keys: Vec<PublicKey> = options.trusted.iter().filter_map(Trusted::package).collect();
    if !options.require_signature && keys.is_empty() {
        return Ok(None);
    }
    let bytes = registry.read(&reference.repository, manifest, options.limits.max_manifest)?;
    // What cannot be read is told when all of it is here.
    let integrity = json::parse(&bytes).ok().and_then(|manifest| Integrity::read(&manifest)).unwrap_or_default();
    let key = integrity.pubkey.and_then(|key| PublicKey::read(key.as_bytes()).ok());
    Ok(match key.filter(|_| integrity.signature.is_some()) {
        None if options.require_signature => Some("the package is not signed, and a signature is required".into()),
        Some(key) if !keys.is_empty() && !keys.contains(&key) => {
            Some(format!("it is signed by `{key}`, which is not trusted"))
        }
        _ => None,
    })
}

/// Is this very package there? Another file is in the way, unless it may be replaced.
fn is_there(target: &Path, sha256: Sha256, force: bool) -> Result<bool> {
    let is_file = match Stat::of(target) {
        Ok(stat) => stat.is_file(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("look at", target, e)),
    };
    if is_file && fs::sha256(target)? == sha256 {
        return Ok(true);
    }
    if is_file && force {
        return Ok(false);
    }
    let what = format!("`{}` is there and is not what would be pulled", target.display());
    Err(Error::usage_help(what, if is_file { "`--force` replaces it" } else { "choose another folder with `-o DIR`" }))
}

/// A package that is not what is wanted.
struct Refusal {
    error: Error,
    /// The bytes are good; only who signed them is not.
    keep: bool,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// Verifies what was received, as `verify` does, naming the place it came from.
fn verified(package: &Path, reference: &Reference, options: &verify::Options) -> Result<Report, Refusal> {
    let shown = format!("`{}`", package.display());
    let named = format!("`{reference}`");
    let report = verify(package, options).map_err(|error| match error {
        Error::Integrity { message } => {
            Refusal { error: Error::integrity(message.replace(&shown, &named)), keep: false }
        }
        error => Refusal { error, keep: true },
    })?;
    let Some(problem) = report.problems.first() else { return Ok(report) };
    let subject = problem.path.as_ref().map_or(String::new(), |path| format!("`{}`: ", path.escape_debug()));
    let trust = [ProblemKind::Trust, ProblemKind::Unsigned];
    let keep = report.problems.iter().all(|problem| trust.contains(&problem.kind));
    Err(Refusal { error: Error::integrity(format!("{named}: {subject}{}", problem.message)), keep })
}

/// Where blobs come from and go to.
struct Source<'a> {
    registry: &'a mut Registry,
    repository: &'a str,
    parts: &'a Parts,
}

impl Source<'_> {
    fn package(
        &mut self,
        layer: &Descriptor,
        title: &str,
        progress: &mut Progress<'_>,
        received: &mut u64,
    ) -> Result<PathBuf> {
        progress.count = 1;
        self.blob((layer.digest, layer.size), title, progress, received)?;
        Ok(self.parts.path(layer.digest))
    }

    /// Receives the files and makes the package of them.
    fn model_pack(
        &mut self,
        files: &[ModelFile],
        rebuild: &Rebuild,
        reference: &Reference,
        progress: &mut Progress<'_>,
        received: &mut u64,
    ) -> Result<PathBuf> {
        progress.count = files.len();
        for file in files {
            self.blob((file.digest, file.size), file.path.as_str(), progress, received)?;
        }
        let (out, path) = self.parts.make()?;
        let failed = |e| Error::io("write", &path, e);
        let mut tee = Tee::new(BufWriter::with_capacity(1 << 20, out));
        let mut writer = Writer::new(&mut tee, rebuild.codec, rebuild.mtime).map_err(failed)?;
        for file in files {
            let content = BufReader::new(self.parts.read(file.digest)?).take(file.size);
            writer.entry(&file.path, file.size, content).map_err(failed)?;
        }
        writer.finish().map_err(failed)?;
        let actual = tee.sha256();
        match actual == rebuild.sha256 {
            true => Ok(path),
            false => Err(Error::integrity(format!(
                "`{reference}`: its files make another package (sha256:{actual}) than it says (sha256:{}): they were \
                 changed, or pushed by a version of expert-build that packs in another way",
                rebuild.sha256
            ))),
        }
    }

    fn blob(
        &mut self,
        (digest, size): (Sha256, u64),
        subject: &str,
        progress: &mut Progress<'_>,
        received: &mut u64,
    ) -> Result<()> {
        let mut part = self.parts.part(digest)?;
        let before = part.len();
        progress.tell(subject, Transfer::Begun, before, size);
        let mut watch = |bytes| progress.moving(subject, bytes, size);
        self.registry.receive(self.repository, (digest, size), &mut part, &mut watch)?;
        let state = if before == size { Transfer::Present } else { Transfer::Done };
        *received += size.saturating_sub(before);
        progress.tell(subject, state, size, size);
        Ok(())
    }
}
