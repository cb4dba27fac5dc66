//! Manifests: any bytes are read or refused with places; what is read can be composed, and its hash holds.

use std::collections::BTreeMap;

use expert_build::base::{RelPath, Result, Sha256};
use expert_build::check::requires::{self, Summary};
use expert_build::check::{licence, manifest, manifest_files};
use expert_build::format::integrity::{Integrity, manifest_hash};
use expert_build::format::json;
use expert_build::format::json_write::canonical;
use expert_build::format::manifest::{Adapter, Manifest};
use expert_build::format::manifest_compose::{Composed, PackageInfo, compose};

use super::sound::sound;

/// Reads `data` as a manifest, runs every rule that needs nothing else, and composes each of its packages.
pub fn manifest(data: &[u8]) {
    let (read, found) = manifest::read(data, "manifest.json");
    assert!(read.is_some() || found.iter().any(|d| d.is_error()), "refused without a word");
    sound(&found);
    let Some(read) = read else { return };
    sound(&manifest_files::missing(&read, |_| false));
    sound(&manifest_files::integrity(&read, &BTreeMap::new()));
    sound(&licence::expression(&read));
    let file = RelPath::new("LICENSE").expect("a name");
    sound(&licence::texts(&read, &[(file, data)]));
    let twin = Summary::new(&read, None, Vec::new());
    let found =
        requires::check(&[twin.clone(), Summary { name: format!("{}-2", twin.name), ..twin }], &BTreeMap::new());
    sound(&found.found.into_iter().map(|(_, found)| found).collect::<Vec<_>>());
    if let Some(integrity) = Integrity::read(&read.root) {
        assert!(!integrity.messages().is_empty());
    }
    for model in &read.base_models {
        if let Ok(composed) = composed(&read, (read.base_models.len() > 1).then_some(model.name.as_str())) {
            let text = composed.text();
            let mut again = json::parse(text.as_bytes()).expect("a package's manifest is JSON");
            assert_eq!(manifest_hash(&again), composed.manifest_sha256(), "the hash holds over the text as it is read");
            again.get_mut("integrity").expect("it was composed").remove("files").expect("it was composed");
            assert_eq!(Sha256::of(canonical(&again).as_bytes()), composed.manifest_sha256());
        }
    }
}

/// Composes a package of an expert, with weights that could be any.
pub fn composed(read: &Manifest, model: Option<&str>) -> Result<Composed> {
    let sha = |adapter: &Adapter| adapter.sha256.unwrap_or(Sha256::of(b"w"));
    let chosen = match model {
        Some(name) => read.model(name),
        None => read.base_models.first(),
    };
    let adapters = chosen.map(|model| model.adapters.as_slice()).unwrap_or_default();
    let path = |i: usize| RelPath::new(format!("adapter_model{i}.safetensors")).expect("a name");
    let weights = adapters.iter().enumerate().map(|(i, adapter)| (adapter.pointer.clone(), path(i))).collect();
    let files = adapters.iter().enumerate().map(|(i, a)| (path(i), (sha(a), a.size_bytes.unwrap_or(1)))).collect();
    let package = PackageInfo {
        compression: "zstd",
        level: 3,
        model,
        publisher: None,
        pubkey: None,
        created_at: Some("1980-01-01T00:00:00Z"),
        weights: &weights,
        moved: &BTreeMap::new(),
    };
    compose(read, &package, &files)
}
