//! Rules between the manifest and the files it speaks of: do they exist, are their hashes and sizes as it says?

use std::collections::BTreeMap;

use crate::base::codes::files::FILE_MISSING;
use crate::base::codes::manifest::{ADAPTER_SHA256, ADAPTER_SIZE, HASH_UNFILLED, INTEGRITY_STALE};
use crate::base::{At, Code, Diagnostic, RelPath, Sha256};
use crate::check::manifest::given;
use crate::format::json::{Value, child_pointer};
use crate::format::manifest::{Adapter, Manifest};
use crate::format::manifest_compose::MANIFEST;

/// The signature's entry in a package.
const SIGNATURE: &str = "signature.sig";

/// References to files that `exists` does not know. A reference that leaves the expert's folder is no file, and a
/// finding of `check::manifest`.
pub fn missing(manifest: &Manifest, exists: impl Fn(&RelPath) -> bool) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for reference in manifest.references() {
        let Ok(path) = RelPath::lenient(&reference.path) else { continue };
        if !exists(&path) {
            let message = format!("`{path}` does not exist");
            let help = "add the file, or take the reference out of the manifest";
            found.push(finding(manifest, &FILE_MISSING, reference.at, message).help(help));
        }
    }
    found
}

/// The size that the manifest gives for an adapter, against that of its weights: told before they are read.
pub fn size(manifest: &Manifest, adapter: &Adapter, file: &RelPath, size: u64) -> Option<Diagnostic> {
    let written = adapter.size_bytes.filter(|written| *written != size)?;
    let message = format!("`size_bytes` is {written}, `{file}` has {size} bytes");
    let at = manifest.place(&child_pointer(&adapter.pointer, "size_bytes"));
    Some(finding(manifest, &ADAPTER_SIZE, at, message).help(OTHER_WEIGHTS))
}

/// What to do where the manifest speaks of other weights.
const OTHER_WEIGHTS: &str =
    "check that these are the right weights; then write the new value, or leave it to the build";

/// The hash that the manifest gives for an adapter, against that of its weights, and what it does not give.
pub fn weights(manifest: &Manifest, adapter: &Adapter, file: &RelPath, sha256: Sha256, size: u64) -> Vec<Diagnostic> {
    let Some(value) = manifest.root.pointer(&adapter.pointer) else { return Vec::new() };
    let mut found = Vec::new();
    match given(value, "sha256").and_then(Value::as_str) {
        None | Some("") => {
            found.push(unfilled(manifest, value, &adapter.pointer, "sha256", &format!("\"{}\"", sha256.hex())));
        }
        Some(_) if adapter.sha256 == Some(sha256) => {}
        Some(text) => {
            let message = format!("`sha256` is `{}`, that of `{file}` is {}", shortened(text), sha256.hex());
            let at = manifest.place(&child_pointer(&adapter.pointer, "sha256"));
            found.push(finding(manifest, &ADAPTER_SHA256, at, message).help(OTHER_WEIGHTS));
        }
    }
    if adapter.size_bytes.is_none() {
        found.push(unfilled(manifest, value, &adapter.pointer, "size_bytes", &size.to_string()));
    }
    found
}

/// `integrity.files` that an earlier package left in the source manifest, against the files that there are.
/// The manifest's own hash and the signature belong to that package and are not compared.
pub fn integrity(manifest: &Manifest, actual: &BTreeMap<RelPath, Sha256>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for listed in manifest.listed.iter().filter(|listed| listed.path != MANIFEST && listed.path != SIGNATURE) {
        let message = match (actual.get(listed.path.as_str()), listed.sha256) {
            (Some(is), Some(says)) if *is == says => continue,
            (Some(is), _) => format!("`integrity` has another hash for `{}`, which is {}", listed.path, is.hex()),
            (None, _) => format!("`integrity` lists `{}`, which is not among the package's files", listed.path),
        };
        let help = "take `integrity` out of the source manifest: the build writes it into the package";
        found.push(finding(manifest, &INTEGRITY_STALE, listed.at.clone(), message).help(help));
    }
    found
}

fn finding(manifest: &Manifest, code: &'static Code, at: At, message: String) -> Diagnostic {
    Diagnostic::new(code, message).in_file(&*manifest.file).at(at).source(&manifest.text)
}

/// A value that the build fills in, with the edit that writes it into the source, formatted as its neighbours are.
fn unfilled(manifest: &Manifest, adapter: &Value, pointer: &str, key: &str, text: &str) -> Diagnostic {
    let message = format!("the adapter has no `{key}` yet: the package's manifest gets {text}");
    let found = |at: At| {
        let help = "leave it to the build, or write it with `expert-build check --fix`";
        finding(manifest, &HASH_UNFILLED, at, message.clone()).help(help)
    };
    if let Some(value) = adapter.get(key) {
        let at = manifest.at(&value.span, &child_pointer(pointer, key));
        return found(at).edit(value.span.start, value.span.end, text);
    }
    let at = manifest.at(&(adapter.span.start..adapter.span.start + 1), pointer);
    let Some(last) = adapter.members().last() else { return found(at) };
    let before = &manifest.text[..last.key_span.start];
    let space = &before[before.trim_end_matches([' ', '\t', '\r', '\n']).len()..];
    let end = last.value.span.end;
    found(at).edit(end, end, format!(",{space}\"{key}\": {text}"))
}

/// Texts of any length stand where a hash should be.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{integrity, missing, size, weights};
    use crate::base::{Diagnostic, RelPath, Severity, Sha256};
    use crate::format::manifest::Manifest;

    fn manifest(text: &str) -> Manifest {
        Manifest::read(text.as_bytes(), "manifest.json").0.expect("a manifest")
    }

    fn found(text: &str) -> Vec<Diagnostic> {
        let manifest = manifest(text);
        let file = RelPath::new("adapter_model.safetensors").expect("a path");
        let adapter = &manifest.base_models[0].adapters[0];
        let mut found = weights(&manifest, adapter, &file, Sha256::of(b"abc"), 3);
        found.extend(size(&manifest, adapter, &file, 3));
        found
    }

    /// The text with all edits done, the last one first.
    fn mended(text: &str) -> String {
        let mut edits: Vec<_> = found(text).into_iter().filter_map(|d| d.edit).collect();
        edits.sort_by_key(|edit| std::cmp::Reverse(edit.start));
        let mut text = text.to_owned();
        for edit in edits {
            text.replace_range(edit.start as usize..edit.end as usize, &edit.text);
        }
        text
    }

    #[test]
    fn hashes_that_nobody_filled_in_are_noted_and_written_by_the_edit() {
        let sha = Sha256::of(b"abc").hex();
        for (before, after) in [
            ("{\n  \"r\": 1\n}", format!("{{\n  \"r\": 1,\n  \"size_bytes\": 3,\n  \"sha256\": \"{sha}\"\n}}")),
            ("{\"sha256\": null, \"size_bytes\": 0}", format!("{{\"sha256\": \"{sha}\", \"size_bytes\": 3}}")),
            ("{ \"sha256\": \"\" }", format!("{{ \"sha256\": \"{sha}\", \"size_bytes\": 3 }}")),
            ("{}", "{}".into()),
        ] {
            let text = format!("{{\"base_model\": {{}}, \"adapters\": [{before}]}}");
            let codes: Vec<_> = found(&text).iter().map(|d| (d.code.name, d.severity)).collect();
            assert_eq!(codes, [("hash-unfilled", Severity::Note); 2], "{before}");
            assert_eq!(mended(&text), format!("{{\"base_model\": {{}}, \"adapters\": [{after}]}}"));
        }
    }

    #[test]
    fn values_that_are_there_must_be_right() {
        let sha = Sha256::of(b"abc").hex();
        for (adapter, codes) in [
            (format!("{{\"sha256\": \"{sha}\", \"size_bytes\": 3}}"), &[][..]),
            (format!("{{\"sha256\": \"sha256:{}\", \"size_bytes\": 3.0}}", sha.to_uppercase()), &[]),
            (format!("{{\"sha256\": \"{sha}\", \"size_bytes\": 0}}"), &["adapter-size"]),
            ("{\"sha256\": \"adapter_hash\", \"size_bytes\": 3}".into(), &["adapter-sha256"]),
            (format!("{{\"sha256\": \"{}\", \"size_bytes\": 4}}", "0".repeat(64)), &["adapter-sha256", "adapter-size"]),
        ] {
            let found = found(&format!("{{\"base_model\": {{}}, \"adapters\": [{adapter}]}}"));
            assert_eq!(found.iter().map(|d| d.code.name).collect::<Vec<_>>(), codes, "{adapter}");
            assert!(found.iter().all(|d| d.is_error() && d.edit.is_none()));
        }
    }

    #[test]
    fn what_an_earlier_package_left() {
        let sha = Sha256::of(b"abc").hex();
        let text = format!(
            "{{\"integrity\": {{\"files\": {{\"a\": \"sha256:{sha}\", \"b/c\": \"{sha}\", \"gone\": \"{sha}\", \"d\": \"x\",
              \"manifest.json\": \"0\", \"signature.sig\": \"0\"}}}}}}"
        );
        let files = [("a", "abc"), ("b/c", "abd"), ("d", "abc")];
        let files = files.map(|(path, text)| (RelPath::new(path).expect("a path"), Sha256::of(text.as_bytes())));
        let found = integrity(&manifest(&text), &BTreeMap::from(files));
        let pointers: Vec<_> = found
            .iter()
            .map(|d| match &d.at {
                crate::base::At::Text { pointer, .. } => pointer.clone().expect("a pointer"),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(pointers, ["/integrity/files/b~1c", "/integrity/files/gone", "/integrity/files/d"]);
        assert!(found.iter().all(|d| d.code.name == "integrity-stale"));
    }

    #[test]
    fn only_files_that_could_exist_are_missed() {
        let text = r#"{"base_model": {}, "adapters": [{"path": "./w//a.safetensors"}, {"path": ""}],
            "soft_prompts": [{"path": "../x"}, {"path": "here.pt"}], "training": {"decoding": {"grammar_file": "g.gbnf"}}}"#;
        let found = missing(&manifest(text), |path| path.as_str() == "here.pt");
        let messages: Vec<_> = found.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, ["`w/a.safetensors` does not exist", "`g.gbnf` does not exist"]);
    }
}
