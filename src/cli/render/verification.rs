//! What `verify` found, for people.

use crate::cli::out::{BOLD, GREEN, RED, YELLOW, paint};
use crate::cli::render::diagnostic::printable;
use crate::cli::render::{bytes, count};
use crate::ops::verify::{
    FileState, ModelSignatureReport, ModelSignatureState, ProvenanceReport, Report, SignatureReport, SignatureState,
};

/// The report; with `all`, a line a file.
pub fn report(report: &Report, all: bool) -> String {
    let verdict = if report.ok { paint(GREEN, "ok") } else { paint(RED, "FAILED") };
    let mut lines = vec![format!("{}: {verdict}", paint(BOLD, report.package.display()))];
    for problem in &report.problems {
        let subject = problem.path.as_ref().map_or(String::new(), |path| format!("`{}`: ", printable(path)));
        lines.push(format!("  {}: {subject}{}", paint(RED, "error"), printable(&problem.message)));
    }
    for what in &report.not_covered {
        lines.push(format!("  {}: {}", paint(YELLOW, "not covered"), printable(what)));
    }
    if let (Some(name), Some(version)) = (&report.name, &report.version) {
        let how = format!("{}, {}", report.compression, bytes(report.bytes));
        let maker = if report.native { "" } else { ", not made by expert-build" };
        lines.push(format!("  {} {} ({how}{maker})", printable(name), printable(version)));
    }
    lines.push(format!("  {}", files(report)));
    lines.push(format!("  {}", signature(&report.signature)));
    if let Some(checksum) = report.checksum.as_ref().filter(|checksum| checksum.expected == Some(checksum.actual)) {
        lines.push(format!("  the .sha256 file beside it fits: {}", checksum.actual));
    }
    if let Some(ProvenanceReport { key: Some(key), stated: Some(stated), .. }) = &report.provenance {
        let builder = stated.builder.as_ref().map_or(String::new(), |by| format!(" by {}", printable(by)));
        let (inputs, own) = (count(stated.inputs as u64, "input"), report.signature.key == Some(*key));
        let with = if own { "the same key".to_owned() } else { key.to_string() };
        lines.push(format!("  provenance: built{builder} from {inputs}, signed with {with}"));
    }
    lines.extend(report.model_signature.as_ref().and_then(model_signature).map(|line| format!("  {line}")));
    if all {
        for file in &report.files {
            let state = match file.state {
                FileState::Good => "good",
                FileState::Changed => "changed",
                FileState::Missing => "missing",
                FileState::Extra => "extra",
                FileState::NotCovered => "not covered",
                FileState::Signature => "signature",
            };
            let hash = file.sha256.map_or("-".repeat(64), |hash| hash.to_string());
            let size = file.bytes.map_or("-".to_owned(), bytes);
            lines.push(format!("    {state:<11} {size:>10}  {hash}  {}", printable(file.path.as_str())));
        }
    }
    lines.join("\n")
}

/// What a model signature that fits is worth; what does not fit is among the problems.
fn model_signature(signature: &ModelSignatureReport) -> Option<String> {
    let files = count(signature.files as u64, "file");
    match signature.state {
        ModelSignatureState::Trusted => {
            let name = printable(signature.trusted_as.as_deref().unwrap_or_default());
            let origin = printable(signature.trusted_by.as_deref().unwrap_or_default());
            Some(format!("model signature of {files}: with the trusted key `{name}` ({origin})"))
        }
        ModelSignatureState::Unchecked => {
            let with = signature.hint.as_ref().map_or("a certificate", |_| "a key");
            let what = "no trusted P-256 key was named to check it with";
            Some(format!("model signature of {files}, with {with}; {what}"))
        }
        ModelSignatureState::Untrusted | ModelSignatureState::Invalid => None,
    }
}

fn files(report: &Report) -> String {
    let number = |state: FileState| report.files.iter().filter(|file| file.state == state).count();
    let vouched = report.model_signature.as_ref().is_some_and(|signature| signature.vouches_for_all);
    let who = if vouched && !report.native { "manifest and model signature say" } else { "the manifest says" };
    let mut parts = vec![format!("{} as {who}", count(number(FileState::Good) as u64, "file"))];
    for (state, word) in [
        (FileState::Changed, "changed"),
        (FileState::Missing, "missing"),
        (FileState::Extra, "extra"),
        (FileState::NotCovered, "not covered by any hash"),
    ] {
        match number(state) {
            0 => {}
            number => parts.push(format!("{number} {word}")),
        }
    }
    parts.join(", ")
}

/// What the signature is worth, on one line.
pub fn signature(signature: &SignatureReport) -> String {
    let key = signature.key.map_or("an unknown key".to_owned(), |key| key.to_string());
    let by = match &signature.publisher {
        Some(publisher) if !publisher.is_empty() => format!(", publisher `{}`", printable(publisher)),
        _ => String::new(),
    };
    let partly = if signature.covers_manifest { "" } else { "; it does not cover the manifest" };
    match signature.state {
        SignatureState::Unsigned if signature.key.is_some() => {
            format!("not signed, though the manifest names {key}: the signature was taken out")
        }
        SignatureState::Unsigned => "not signed".to_owned(),
        SignatureState::Valid => {
            format!("signed with {key}{by}{partly}; no trusted key was named to compare it with")
        }
        SignatureState::Trusted => {
            let name = signature.trusted_as.as_deref().unwrap_or_default();
            let origin = signature.trusted_by.as_deref().unwrap_or_default();
            format!("signed with the trusted key `{}` ({}){by}{partly}", printable(name), printable(origin))
        }
        SignatureState::Untrusted => format!("signed with {key}{by}, which is not trusted"),
        SignatureState::Invalid => "the signature does not fit".to_owned(),
    }
}
