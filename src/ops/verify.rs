//! `verify`: is a package whole, and who vouches for it? Reads it once, from start to end, in bounded memory.

mod beside;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{RelPath, Result, Sha256};
use crate::format::archive::Limits;
use crate::format::integrity::{Integrity, MANIFEST, SIGNATURE, manifest_hash};
use crate::format::json::Value;
use crate::format::segment::Compression;
use crate::format::signature::{ALGORITHM, PublicKey, Signature};
use crate::ops::contents::Contents;
use crate::ops::opened::{Opened, Reading};
use crate::ops::trusted::Trusted;

pub use self::beside::{Checksum, ModelSignatureReport, ModelSignatureState, ProvenanceReport};

/// What is asked of a package.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The keys that are trusted. With none, a good signature is told and whose it is stays open; with some, a
    /// signature by any other key is a problem.
    pub trusted: Vec<Trusted>,
    /// An unsigned package is a problem, and so is a signature that leaves anything uncovered.
    pub require_signature: bool,
    /// The file that holds the package's provenance; without it the one beside the package, where there is one.
    pub provenance: Option<PathBuf>,
    /// The file that holds an OpenSSF model signature; without it the one beside the package, where there is one.
    pub model_signature: Option<PathBuf>,
    /// How much is read.
    pub limits: Limits,
    /// By how many threads; none means one.
    pub jobs: usize,
}

impl Options {
    pub(crate) fn reading(&self) -> Reading {
        Reading { limits: self.limits, jobs: self.jobs }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The package.
    pub package: PathBuf,
    /// No problem was found.
    pub ok: bool,
    /// `name` of its manifest.
    pub name: Option<String>,
    /// `version` of its manifest.
    pub version: Option<String>,
    /// How it is compressed.
    pub compression: Compression,
    /// Its size.
    pub bytes: u64,
    /// Was it made by expert-build, as its manifest says?
    pub native: bool,
    /// Every file in it and every file that should be, in byte order.
    pub files: Vec<FileReport>,
    /// The signature.
    pub signature: SignatureReport,
    /// The `.sha256` file beside it, where there is one.
    pub checksum: Option<Checksum>,
    /// Its provenance, where there is one.
    pub provenance: Option<ProvenanceReport>,
    /// The OpenSSF model signature of its files, where there is one.
    pub model_signature: Option<ModelSignatureReport>,
    /// What is wrong, worst first: any makes `ok` false.
    pub problems: Vec<Problem>,
    /// What nothing vouches for, though nothing contradicts it.
    pub not_covered: Vec<String>,
}

/// A file of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its path.
    pub path: RelPath,
    /// Its length; none where it is missing.
    pub bytes: Option<u64>,
    /// Its hash as it is (of the manifest: the canonical one).
    pub sha256: Option<Sha256>,
    /// The hash that the manifest gives it.
    pub expected: Option<Sha256>,
    /// How the two compare.
    pub state: FileState,
}

/// How a file compares with what the manifest says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// The hash is right.
    Good,
    /// The hash is another.
    Changed,
    /// Listed, and not there.
    Missing,
    /// There, and not listed.
    Extra,
    /// There, and no hash says what it should be.
    NotCovered,
    /// The signature itself.
    Signature,
}

/// The signature of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignatureReport {
    /// Its state.
    pub state: SignatureState,
    /// The key that the package names.
    pub key: Option<PublicKey>,
    /// Who publishes it, as it says.
    pub publisher: Option<String>,
    /// When, as it says.
    pub created_at: Option<String>,
    /// The name under which the key is trusted.
    pub trusted_as: Option<String>,
    /// Where that name stands: a flag, or a place in a settings file.
    pub trusted_by: Option<String>,
    /// Does it cover the manifest, and so the publisher and the key themselves?
    pub covers_manifest: bool,
}

/// What a signature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureState {
    /// There is none.
    Unsigned,
    /// It is good, and nobody was asked whose key it is.
    Valid,
    /// It is good and by a trusted key.
    Trusted,
    /// It is good and by a key that is not trusted.
    Untrusted,
    /// It does not fit.
    Invalid,
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its kind.
    pub kind: ProblemKind,
    /// The file it is about.
    pub path: Option<String>,
    /// A phrase.
    pub message: String,
}

/// Kinds of problems, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The signature does not fit the package.
    Signature,
    /// The key is not trusted.
    Trust,
    /// A signature is required.
    Unsigned,
    /// A file's hash is another.
    Changed,
    /// A file is missing.
    Missing,
    /// A file is not listed.
    Extra,
    /// The provenance is not of this package, or not by a key that counts.
    Provenance,
    /// The model signature is not of these files, or not by a key that counts.
    ModelSignature,
    /// The `.sha256` file beside the package says another hash.
    Checksum,
    /// The manifest's `integrity` makes no sense.
    Integrity,
}

/// Verifies a package. An error means that it could not be read to its end; what was found wrong in a package that
/// could be read is in the report.
pub fn verify(path: &Path, options: &Options) -> Result<Report> {
    let opened = Opened::open(path, options.reading())?;
    opened.hash_aside(options.provenance.is_some());
    let contents = Contents::read(&opened, |_| Ok(None))?;
    judge(&opened, &contents, options)
}

/// The report on what was read.
pub(crate) fn judge(opened: &Opened, contents: &Contents, options: &Options) -> Result<Report> {
    let manifest = opened.manifest(&contents.manifest)?;
    let format = manifest.pointer("/package/format_version");
    if let Some(version) = format.filter(|v| v.as_u64() != Some(1)) {
        let version = version.as_u64().map_or("another kind".into(), |v| format!("format {v}"));
        return Err(opened.wrong(&format!("it is of {version}; this program reads format 1")));
    }
    let text = |key: &str| manifest.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut judge = Judge {
        native: format.is_some(),
        integrity: Integrity::read(&manifest),
        problems: Vec::new(),
        not_covered: Vec::new(),
    };
    let canonical = manifest_hash(&manifest);
    let bundle = judge.model_signature(opened, contents, options)?;
    let vouched = bundle.as_ref().is_some_and(|bundle| bundle.vouches_for_all);
    let (files, covers_manifest) = judge.files(contents, &manifest, canonical, vouched);
    let signature = judge.signature(contents.signature.as_deref(), covers_manifest, vouched, options);
    let checksum = judge.checksum(opened)?;
    let provenance = judge.provenance(opened, &signature, options)?;
    if contents.members > 1 {
        let what = format!("the gzip data has {} members; many readers stop after the first", contents.members);
        match judge.native {
            true => judge.problem(ProblemKind::Integrity, None, what),
            false => judge.not_covered.push(what),
        }
    }
    judge.problems.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    Ok(Report {
        package: opened.file.path().to_path_buf(),
        ok: judge.problems.is_empty(),
        name: text("name"),
        version: text("version"),
        compression: contents.compression,
        bytes: opened.file.size(),
        native: judge.native,
        files,
        signature,
        checksum,
        provenance,
        model_signature: bundle,
        problems: judge.problems,
        not_covered: judge.not_covered,
    })
}

/// The signature of this manifest, and of its list of hashes; `entry` is what `signature.sig` holds.
pub(crate) fn signature_of(manifest: &Value, entry: Option<&str>) -> SignatureReport {
    let integrity = Integrity::read(manifest);
    let listed = integrity.as_ref().and_then(|it| it.files.get(MANIFEST).copied());
    let native = manifest.pointer("/package/format_version").is_some();
    let mut judge = Judge { native, integrity, problems: Vec::new(), not_covered: Vec::new() };
    judge.signature(entry, listed == Some(manifest_hash(manifest)), false, &Options::default())
}

struct Judge {
    native: bool,
    integrity: Option<Integrity>,
    problems: Vec<Problem>,
    not_covered: Vec<String>,
}

impl Judge {
    fn problem(&mut self, kind: ProblemKind, path: Option<&str>, message: impl Into<String>) {
        self.problems.push(Problem { kind, path: path.map(str::to_owned), message: message.into() });
    }

    /// Every file, and whether the manifest is covered. Where a model signature has `vouched` for each file, none is left
    /// open, whatever the manifest says of it.
    fn files(
        &mut self,
        contents: &Contents,
        manifest: &Value,
        canonical: Sha256,
        vouched: bool,
    ) -> (Vec<FileReport>, bool) {
        let integrity = self.integrity.clone().unwrap_or_default();
        if self.integrity.is_none() && self.native {
            self.problem(ProblemKind::Integrity, Some(MANIFEST), "the manifest has no `integrity`");
        }
        for (path, fault) in &integrity.unreadable {
            let message = format!("`integrity.files` has an entry that cannot be read: {fault}");
            self.problem(ProblemKind::Integrity, Some(path), message);
        }
        // Without a list of files, what the manifest says of its adapters is all there is.
        let listed = if integrity.files.is_empty() && !self.native {
            adapter_hashes(manifest, contents)
        } else {
            integrity.files.clone()
        };
        let paths: BTreeSet<&RelPath> = contents.files.keys().chain(listed.keys()).collect();
        let mut reports = Vec::with_capacity(paths.len());
        let mut covers_manifest = false;
        for path in paths {
            let found = contents.files.get(path);
            let expected = listed.get(path).copied();
            let mut sha256 = found.map(|(_, hash)| *hash);
            let state = match (path.as_str(), found, expected) {
                (SIGNATURE, Some(_), None) => FileState::Signature,
                (MANIFEST, Some((_, raw)), Some(expected)) if !self.native && *raw == expected => {
                    covers_manifest = true;
                    FileState::Good
                }
                (MANIFEST, Some(_), expected) if self.native || !vouched => {
                    sha256 = Some(canonical);
                    covers_manifest = expected == Some(canonical);
                    self.manifest(expected, covers_manifest)
                }
                (MANIFEST, Some(_), _) => FileState::Good,
                (_, Some((_, hash)), Some(expected)) if *hash == expected => FileState::Good,
                (name, Some(_), Some(_)) => {
                    self.problem(ProblemKind::Changed, Some(name), "its content is not what the manifest says");
                    FileState::Changed
                }
                (name, None, _) => {
                    self.problem(ProblemKind::Missing, Some(name), "the manifest lists it, and it is not there");
                    FileState::Missing
                }
                (name, Some(_), None) if self.native || !integrity.files.is_empty() => {
                    self.problem(ProblemKind::Extra, Some(name), "it is there, and the manifest does not list it");
                    FileState::Extra
                }
                (_, Some(_), None) if vouched => FileState::Good,
                (name, Some(_), None) => {
                    self.not_covered.push(format!("`{name}`: no hash says what it should be"));
                    FileState::NotCovered
                }
            };
            let bytes = found.map(|(size, _)| *size);
            reports.push(FileReport { path: path.clone(), bytes, sha256, expected, state });
        }
        (reports, covers_manifest)
    }

    fn manifest(&mut self, expected: Option<Sha256>, good: bool) -> FileState {
        if good {
            return FileState::Good;
        }
        if self.native {
            let what = match expected {
                Some(_) => "the manifest was changed after its hash was taken",
                None => "the manifest has no hash of itself",
            };
            self.problem(ProblemKind::Changed, Some(MANIFEST), what);
            return FileState::Changed;
        }
        self.not_covered.push(match expected {
            Some(_) => format!("`{MANIFEST}`: its hash is of other bytes (some tools hash it before they change it)"),
            None => format!("`{MANIFEST}`: no hash says what it should be"),
        });
        FileState::NotCovered
    }

    fn signature(
        &mut self,
        entry: Option<&str>,
        covers_manifest: bool,
        vouched: bool,
        options: &Options,
    ) -> SignatureReport {
        let integrity = self.integrity.clone().unwrap_or_default();
        let mut report = SignatureReport {
            state: SignatureState::Unsigned,
            key: integrity.pubkey.as_deref().and_then(|text| text.parse().ok()),
            publisher: integrity.publisher.clone(),
            created_at: integrity.created_at.clone(),
            trusted_as: None,
            trusted_by: None,
            covers_manifest: false,
        };
        let entry = entry.map(str::trim);
        let Some(text) = integrity.signature.as_deref().or(entry) else {
            if options.require_signature && !vouched {
                self.problem(ProblemKind::Unsigned, None, "the package is not signed, and a signature is required");
            }
            return report;
        };
        match self.check(text, entry, &integrity, report.key) {
            Err(what) => {
                report.state = SignatureState::Invalid;
                self.problem(ProblemKind::Signature, None, what);
            }
            Ok(key) => {
                report.covers_manifest = covers_manifest;
                let trusted = options.trusted.iter().find(|trusted| trusted.package() == Some(key));
                report.trusted_as = trusted.map(|trusted| trusted.name.clone());
                report.trusted_by = trusted.map(|trusted| trusted.origin.clone());
                report.state = match trusted {
                    Some(_) => SignatureState::Trusted,
                    None if !options.trusted.iter().any(|trusted| trusted.package().is_some()) => SignatureState::Valid,
                    None => SignatureState::Untrusted,
                };
                if report.state == SignatureState::Untrusted {
                    self.problem(ProblemKind::Trust, None, format!("it is signed by `{key}`, which is not trusted"));
                }
                // Whoever names the key of a model signature alone asks for that one.
                let asked_for = report.state == SignatureState::Valid && !options.trusted.is_empty();
                if options.require_signature && asked_for && !vouched {
                    let what = "no signature is by a trusted key, and one is required";
                    self.problem(ProblemKind::Unsigned, None, what);
                }
                // Whoever asks for a signature means the package as a whole.
                if options.require_signature && !vouched && !self.not_covered.is_empty() {
                    let what = "the signature does not cover all of the package, and a signature is required";
                    self.problem(ProblemKind::Unsigned, None, what);
                }
            }
        }
        report
    }

    /// The key that signed, or what is wrong.
    fn check(
        &self,
        text: &str,
        entry: Option<&str>,
        integrity: &Integrity,
        key: Option<PublicKey>,
    ) -> Result<PublicKey, String> {
        if self.native && integrity.signature.as_deref() != entry {
            return Err(format!("the manifest's signature and `{SIGNATURE}` are not the same"));
        }
        if entry.is_some_and(|entry| !entry.eq_ignore_ascii_case(text)) {
            return Err(format!("the manifest's signature and `{SIGNATURE}` are not the same"));
        }
        let algorithm = integrity.algorithm.as_deref().unwrap_or(ALGORITHM);
        if !algorithm.eq_ignore_ascii_case(ALGORITHM) {
            return Err(format!(
                "the signature's algorithm is `{}`; only `{ALGORITHM}` is known",
                algorithm.escape_debug()
            ));
        }
        let key = key.ok_or("the package is signed and names no public key that can be read")?;
        let signature: Signature = text.parse().map_err(|e| format!("the signature cannot be read: {e}"))?;
        let good = integrity.messages().iter().any(|message| key.verifies(message.as_bytes(), &signature));
        if good { Ok(key) } else { Err("the signature does not fit the hashes of the package".into()) }
    }
}

/// The hashes that adapters and soft prompts have in the manifest, for the files that are there under that path.
fn adapter_hashes(manifest: &Value, contents: &Contents) -> BTreeMap<RelPath, Sha256> {
    let models = manifest.get("base_models").map_or(&[][..], Value::items);
    let lists = models.iter().filter_map(|model| model.get("adapters")).chain(manifest.get("adapters"));
    let parts = lists.chain(manifest.get("soft_prompts")).flat_map(Value::items);
    let pairs = parts.filter_map(|part| {
        let path = RelPath::lenient(part.get("path")?.as_str()?).ok()?;
        let hash = part.get("sha256")?.as_str()?.parse().ok()?;
        contents.files.contains_key(&path).then_some((path, hash))
    });
    pairs.collect()
}
