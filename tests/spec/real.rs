//! Real folders and manifests: the shared fixtures.

#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

use std::collections::BTreeMap;

use expert_build::base::At;
use expert_build::check::requires::{Summary, check};
use expert_build::format::manifest::Manifest;
use expert_build::ops::asked::Asked;
use expert_build::spec::{Folder, Request, init, resolve, select};

use crate::tree::{Tree, told};

/// The good experts: their folders as `init` and `resolve` see them, and their manifests.
#[test]
fn the_good_experts_of_the_fixtures() {
    let Some(fixtures) = crate::fixtures::dir() else { return };
    let disk = Asked::new(&fixtures.join("experts"));
    let text = init(&disk).unwrap_or_else(|e| panic!("{}", told(&e)));
    assert!(text.contains("members = [\"*\"]"), "{text}");
    assert!(told(&resolve(&disk, &Request::default()).unwrap_err()).contains("there are 8 below"));

    // The same folders with the Expertfile that was written.
    let mut tree = Tree::with(&text, &[]);
    for (name, is_dir) in disk.list(None).unwrap() {
        if is_dir {
            let path = format!("{name}/manifest.json");
            let manifest = std::fs::read_to_string(fixtures.join("experts").join(&path)).unwrap();
            tree.0.insert(path, manifest);
        }
    }
    let repo = tree.resolve().unwrap_or_else(|e| panic!("{}", told(&e)));
    assert_eq!(repo.experts.len(), 8);
    let mut summaries = Vec::new();
    for expert in &repo.experts {
        let text = tree.read(&expert.path(&expert.manifest.value)).unwrap().unwrap();
        let (manifest, _) = Manifest::read(text.as_bytes(), "manifest.json");
        let manifest = manifest.expect("a good manifest");
        summaries.push(Summary::new(&manifest, expert.folder.clone(), Vec::new()));
    }
    let checked = check(&summaries, &BTreeMap::new());
    assert_eq!((checked.found, checked.edges), (vec![], vec![]));
    let two = select(&summaries, &[], &["model:tiny-llama*".to_owned()]).unwrap();
    assert!(two.iter().any(|index| summaries[*index].name == "expert-two-models"), "{two:?}");
}

/// A requirement's finding points at its text in the manifest.
#[test]
fn findings_point_into_the_manifest() {
    let text = r#"{ "name": "a", "version": "1.0.0",
  "constraints": { "requires": ["b", "nobody@>=1"], "load_order": 3 } }"#;
    let (manifest, _) = Manifest::read(text.as_bytes(), "manifest.json");
    let a = Summary::new(&manifest.expect("an object"), None, Vec::new());
    assert_eq!((a.load_order, a.requires.len()), (Some(3), 2));
    let b = Summary { name: "b".into(), version: "1.0.0".into(), ..Summary::default() };
    let checked = check(&[a, b], &BTreeMap::new());
    let [(0, finding)] = &checked.found[..] else { panic!("{:?}", checked.found) };
    let At::Text { line, start, end, .. } = &finding.at else { panic!("{:?}", finding.at) };
    assert_eq!((*line, &text[*start as usize..*end as usize]), (2, "\"nobody@>=1\""));
    assert_eq!((finding.file.as_deref(), finding.expert.as_deref()), (Some("manifest.json"), Some("a")));
}
