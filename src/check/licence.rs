//! Rules of the licence: the manifest's expression is one, and the LICENSE file is the licence that it names.

use crate::base::codes::manifest::{LICENSE_MISMATCH, LICENSE_SPELLING, LICENSE_UNKNOWN};
use crate::base::{At, Diagnostic, RelPath};
use crate::format::json::Value;
use crate::format::json_write;
use crate::format::licence::{Licence, MAX_TEXT, recognise};
use crate::format::manifest::{Manifest, Phrase};

/// The manifest's `license` as an expression.
pub fn expression(manifest: &Manifest) -> Vec<Diagnostic> {
    let Some(license) = &manifest.license else { return Vec::new() };
    match Licence::read(&license.text) {
        Ok(licence) if licence.canonical == license.text => Vec::new(),
        Ok(licence) => {
            let message = format!("`{}` is spelled `{}` by SPDX", license.text, licence.canonical);
            let found = Diagnostic::new(&LICENSE_SPELLING, message).help("use the canonical spelling");
            let text = json_write::canonical(&Value::string(licence.canonical));
            let found = match &license.at {
                At::Text { start, end, .. } => found.edit(*start as usize, *end as usize, text),
                _ => found,
            };
            vec![placed(found, manifest, license)]
        }
        Err(fault) => {
            let shown: String = license.text.chars().take(60).collect();
            let help = match Licence::nearest(&license.text) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "use an id of spdx.org/licenses, or `LicenseRef-…` for a licence of your own".into(),
            };
            let message = format!("`{shown}` is no licence expression: {}", fault.what);
            vec![placed(Diagnostic::new(&LICENSE_UNKNOWN, message).help(help), manifest, license)]
        }
    }
}

/// The LICENSE files of the expert against the manifest's `license`. One that fits is enough: others may be those of
/// parts and data. Texts that are not recognised are passed over in silence.
pub fn texts(manifest: &Manifest, files: &[(RelPath, &[u8])]) -> Vec<Diagnostic> {
    let Some(license) = &manifest.license else { return Vec::new() };
    let Ok(licence) = Licence::read(&license.text) else { return Vec::new() };
    let Some(declared) = licence.families() else { return Vec::new() };
    let mut other = None;
    for (path, bytes) in files {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT)]);
        let told = recognise(&text);
        if told.iter().any(|family| declared.contains(family)) || licence.ids.iter().any(|id| text.contains(id)) {
            return Vec::new();
        }
        if let Some(first) = told.first() {
            other.get_or_insert((path, first.name));
        }
    }
    let Some((path, name)) = other else { return Vec::new() };
    let message = format!("`license` is `{}`, but `{path}` is a licence of the {name} kind", license.text);
    let found = Diagnostic::new(&LICENSE_MISMATCH, message).help("correct the one that is wrong");
    vec![placed(found, manifest, license)]
}

fn placed(found: Diagnostic, manifest: &Manifest, license: &Phrase) -> Diagnostic {
    found.in_file(&*manifest.file).at(license.at.clone()).source(&manifest.text)
}

#[cfg(test)]
mod tests {
    use super::{expression, texts};
    use crate::base::RelPath;
    use crate::format::json_write::canonical;
    use crate::format::licence::Licence;
    use crate::format::manifest::Manifest;

    fn manifest(license: &str) -> Manifest {
        let text = format!("{{\"license\": {}}}", canonical(&crate::format::json::Value::string(license)));
        Manifest::read(text.as_bytes(), "manifest.json").0.expect("a manifest")
    }

    fn codes(license: &str) -> Vec<&'static str> {
        expression(&manifest(license)).iter().map(|d| d.code.name).collect()
    }

    #[test]
    fn expressions() {
        for text in [
            "MIT",
            "Apache-2.0 OR MIT",
            "(MIT AND BSD-3-Clause) OR GPL-3.0-only WITH GCC-exception-3.1",
            "GPL-3.0",
            "GPL-2.0+",
            "Apache-2.0+",
            "LicenseRef-my-own",
            "CC-BY-4.0",
        ] {
            assert_eq!(codes(text), [""; 0], "{text}");
        }
        for (text, canonical) in [
            ("cc-by-4.0", "CC-BY-4.0"),
            ("mit or apache-2.0", "MIT OR Apache-2.0"),
            ("(gpl-3.0-only with gcc-EXCEPTION-3.1)", "(GPL-3.0-only WITH GCC-exception-3.1)"),
            ("apache-2.0+", "Apache-2.0+"),
        ] {
            assert_eq!(codes(text), ["license-spelling"], "{text}");
            let found = expression(&manifest(text));
            assert_eq!(found[0].edit.as_ref().expect("an edit").text, format!("\"{canonical}\""));
            assert_eq!(found[0].severity, crate::base::Severity::Note);
        }
        for text in
            ["", "my own", "MIT OR", "(MIT", "MIT/Apache-2.0", "llama3", "MIT AND AND MIT", "é", &"MIT ".repeat(1000)]
        {
            assert_eq!(codes(text), ["license-unknown"], "{text}");
        }
        assert_eq!(Licence::nearest("Apache 2.0"), Some("Apache-2.0"));
        assert_eq!(Licence::nearest("all rights reserved by me"), None);
    }

    #[test]
    fn a_text_of_another_licence() {
        let mit = "MIT License\n\nPermission is hereby granted, free of charge,\nto any person obtaining a copy";
        let apache = "                 Apache License\n           Version 2.0, January 2004\n";
        let cc = "Creative Commons Attribution 4.0\nInternational License";
        let sharealike = "# Creative Commons Attribution-ShareAlike 4.0 International";
        let found = |license: &str, all: &[&str]| {
            let files: Vec<_> =
                all.iter().map(|text| (RelPath::new("LICENSE").expect("a path"), text.as_bytes())).collect();
            let found = texts(&manifest(license), &files);
            assert!(found.iter().all(|found| found.code.name == "license-mismatch"));
            found.len()
        };
        for (license, all, expected) in [
            ("MIT", &[mit][..], 0),
            ("mit", &[mit], 0),
            ("MIT", &[apache], 1),
            ("Apache-2.0", &[mit], 1),
            ("Apache-2.0 OR MIT", &[mit], 0),
            ("MIT", &[apache, mit], 0),
            ("CC-BY-4.0", &[cc], 0),
            ("CC-BY-4.0", &[sharealike], 1),
            ("CC-BY-SA-4.0", &[sharealike], 0),
            // Not known well enough to say.
            ("LicenseRef-mine", &[mit], 0),
            ("MIT AND LicenseRef-mine", &[apache], 0),
            ("Artistic-2.0", &[mit], 0),
            ("MIT", &["all rights reserved"], 0),
            ("MIT", &[], 0),
            ("my own", &[mit], 0),
            (
                "Apache-2.0",
                &[
                    "SPDX-License-Identifier: Apache-2.0\nPermission is hereby granted, free of charge, to any person obtaining a copy",
                ],
                0,
            ),
        ] {
            assert_eq!(found(license, all), expected, "{license} {all:?}");
        }
    }
}
