//! What lies beside a package and speaks of it: checksum, provenance, model signature; and what each of them is worth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Judge, Options, ProblemKind, SignatureReport, SignatureState};
use crate::base::{Error, Result, Sha256};
use crate::format::model_signing::{self, Bundle};
use crate::format::provenance::{self, Stated, envelopes, is_by, read};
use crate::format::signature::PublicKey;
use crate::ops::contents::Contents;
use crate::ops::opened::Opened;
use crate::ops::trusted::Trusted;
use crate::store::fs;

/// Longest file of provenance or of a model signature: a hundred thousand files. It is as untrusted as the package, and
/// read whole.
const MAX: u64 = 16 << 20;

/// How many files a message names.
const NAMED: usize = 3;

/// The `.sha256` file beside a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checksum {
    /// What it says; none where it cannot be read.
    pub expected: Option<Sha256>,
    /// What the package has.
    pub actual: Sha256,
}

/// What the provenance of a package is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProvenanceReport {
    /// Where it lies.
    pub path: PathBuf,
    /// The key that signed the statement about this package; none where there is no such statement.
    pub key: Option<PublicKey>,
    /// What it says.
    #[serde(flatten)]
    pub stated: Option<Stated>,
}

/// What a model signature says, and what that is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelSignatureReport {
    /// Where it lies.
    pub path: PathBuf,
    /// Its state.
    pub state: ModelSignatureState,
    /// How many files it names.
    pub files: usize,
    /// How it names the key that it was made with: the SHA-256 of that key's PEM, by most programs.
    pub hint: Option<String>,
    /// The name under which the key is trusted.
    pub trusted_as: Option<String>,
    /// Where that name stands: a flag, or a place in a settings file.
    pub trusted_by: Option<String>,
    /// Is each file of the package as a trusted key says?
    pub vouches_for_all: bool,
}

/// What a model signature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelSignatureState {
    /// It names these very files; without a trusted key nobody knows who says so.
    Unchecked,
    /// It names these very files and is by a trusted key.
    Trusted,
    /// It is by none of the trusted keys.
    Untrusted,
    /// It is of other files, or cannot be read.
    Invalid,
}

impl Judge {
    /// The statement about this package, by its own key or a trusted one. Of a package that nobody signed it may be by
    /// any key, which is told.
    pub(super) fn provenance(
        &mut self,
        opened: &Opened,
        signature: &SignatureReport,
        options: &Options,
    ) -> Result<Option<ProvenanceReport>> {
        let beside = opened.file.path_beside(provenance::ENDING);
        let path = options.provenance.as_ref().unwrap_or(&beside);
        let Some((bytes, _)) = fs::read(path, MAX)? else {
            return match &options.provenance {
                None => Ok(None),
                Some(path) => Err(Error::usage(format!("there is no provenance at `{}`", path.display()))),
            };
        };
        let actual = opened.sha256()?;
        let signed = matches!(signature.state, SignatureState::Valid | SignatureState::Trusted);
        let own = signature.key.filter(|_| signed);
        let counts: Vec<PublicKey> =
            own.into_iter().chain(options.trusted.iter().filter_map(Trusted::package)).collect();
        let mut fault = "holds no statement of what a package was made of";
        let mut report = ProvenanceReport { path: path.clone(), key: None, stated: None };
        for envelope in envelopes(&String::from_utf8_lossy(&bytes)) {
            let Some(stated) = read(&envelope.statement) else { continue };
            if !stated.subjects.contains(&actual) {
                fault = "is not about this package: its hash is another";
                continue;
            }
            let named = envelope.signatures.iter().filter_map(|signed| signed.key.parse().ok());
            let any: Vec<PublicKey> = if signature.state == SignatureState::Unsigned && counts.is_empty() {
                named.collect()
            } else {
                counts.clone()
            };
            report.key = any.into_iter().find(|key| is_by(&envelope, key));
            if report.key.is_some() {
                report.stated = Some(stated);
                return Ok(Some(report));
            }
            fault = "is not signed with the key of the package or a trusted one";
        }
        self.problem(ProblemKind::Provenance, None, format!("the provenance `{}` {fault}", name(path)));
        Ok(Some(report))
    }

    pub(super) fn checksum(&mut self, opened: &Opened) -> Result<Option<Checksum>> {
        let Some(text) = opened.file.beside(".sha256")? else { return Ok(None) };
        let actual = opened.sha256()?;
        let expected: Option<Sha256> = text.split_whitespace().next().and_then(|hash| hash.parse().ok());
        if expected != Some(actual) {
            let what = match expected {
                Some(_) => "the `.sha256` file beside the package says another hash",
                None => "the `.sha256` file beside the package holds no hash",
            };
            self.problem(ProblemKind::Checksum, None, what);
        }
        Ok(Some(Checksum { expected, actual }))
    }

    /// The model signature: who says it, and whether it is of these files.
    pub(super) fn model_signature(
        &mut self,
        opened: &Opened,
        contents: &Contents,
        options: &Options,
    ) -> Result<Option<ModelSignatureReport>> {
        let beside = opened.file.path_beside(model_signing::ENDING);
        let path = options.model_signature.as_ref().unwrap_or(&beside);
        let Some((bytes, _)) = fs::read(path, MAX)? else {
            return match &options.model_signature {
                None => Ok(None),
                Some(path) => Err(Error::usage(format!("there is no model signature at `{}`", path.display()))),
            };
        };
        let mut report = ModelSignatureReport {
            path: path.clone(),
            state: ModelSignatureState::Invalid,
            files: 0,
            hint: None,
            trusted_as: None,
            trusted_by: None,
            vouches_for_all: false,
        };
        let mut fault = |what: String| {
            self.problem(ProblemKind::ModelSignature, None, format!("the model signature `{}` {what}", name(path)));
        };
        let bundle = match Bundle::read(&String::from_utf8_lossy(&bytes)) {
            Ok(bundle) => bundle,
            Err(what) => {
                fault(what);
                return Ok(Some(report));
            }
        };
        report.files = bundle.files.len();
        report.hint.clone_from(&bundle.hint);
        let mut keys = options.trusted.iter().filter(|trusted| trusted.model().is_some()).peekable();
        let any = keys.peek().is_some();
        let by = keys.find(|trusted| trusted.model().is_some_and(|key| bundle.is_by(key)));
        report.trusted_as = by.map(|trusted| trusted.name.clone());
        report.trusted_by = by.map(|trusted| trusted.origin.clone());
        report.state = match by {
            Some(_) => ModelSignatureState::Trusted,
            None if any => ModelSignatureState::Untrusted,
            None => ModelSignatureState::Unchecked,
        };
        if report.state == ModelSignatureState::Untrusted {
            fault("is not signed with a trusted key".into());
        }
        let differing = differing(&bundle, contents);
        if !differing.is_empty() {
            report.state = ModelSignatureState::Invalid;
            let more = match differing.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let named = differing.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
            fault(format!("is of other files than these: {named}{more}"));
        }
        let all = contents.files.keys().all(|path| bundle.files.contains_key(path.as_str()));
        report.vouches_for_all = report.state == ModelSignatureState::Trusted && all;
        Ok(Some(report))
    }
}

/// How the files differ from what a bundle says of them; a phrase for each.
fn differing(bundle: &Bundle, contents: &Contents) -> Vec<String> {
    let there = contents.files.iter().map(|(path, (_, hash))| (path.as_str(), *hash));
    let there: BTreeMap<&str, Sha256> = there.collect();
    let paths: BTreeSet<&str> = there.keys().copied().chain(bundle.files.keys().map(String::as_str)).collect();
    let phrase = |path: &str| match (there.get(path), bundle.files.get(path)) {
        (Some(found), Some(expected)) => (found != expected).then(|| format!("`{path}` is another")),
        (None, Some(_)) => Some(format!("`{}` is missing", path.escape_debug())),
        (_, None) if bundle.ignores(path) => None,
        (_, None) => Some(format!("it does not name `{path}`")),
    };
    paths.into_iter().filter_map(phrase).collect()
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
