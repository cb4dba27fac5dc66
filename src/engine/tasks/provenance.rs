//! The provenance of a package that stands in its place: what it was made of, signed with the key of the package.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::{Error, Result, Sha256};
use crate::engine::job::{Job, Open};
use crate::format::provenance::{Provenance, envelope, statement};

/// The text of that file. Nothing of this machine is in it, so it is the same wherever the package is.
pub fn text(job: &Job, open: &Open, package: usize, target: &Path, sha256: Sha256) -> Result<String> {
    let (survey, layout) = (&open.survey, &open.survey.layouts[package]);
    let manifest = survey.manifest.as_ref().ok_or_else(|| Error::Bug("a package without a manifest".into()))?;
    let key = job.target.signer.as_ref().ok_or_else(|| Error::Bug("provenance without a key".into()))?;
    let mut inputs = BTreeMap::from([(survey.manifest_file.path.to_string(), survey.manifest_sha256)]);
    for member in &layout.members {
        let sha256 = open.file(&member.source).and_then(crate::engine::files::FileSlot::sha256);
        let sha256 = sha256.ok_or_else(|| Error::Bug(format!("`{}` was not hashed", member.source)))?;
        inputs.insert(member.source.to_string(), sha256);
    }
    for (model, _, config) in job.target.configs.iter() {
        inputs.insert(format!("config of {model}"), Sha256::of(config));
    }
    let target_of = &job.target;
    let model = layout.one_of_several.then(|| manifest.base_models[layout.model].name.clone());
    let settings = [
        ("name", Some(manifest.name.clone())),
        ("version", Some(manifest.version.clone())),
        ("model", model),
        ("compression", Some(target_of.codec.compression.as_str().to_owned())),
        ("level", Some(target_of.codec.level.to_string())),
        ("publisher", target_of.expert.publisher.as_ref().map(|publisher| publisher.value.clone())),
        ("SOURCE_DATE_EPOCH", target_of.epoch.map(|epoch| epoch.to_string())),
    ];
    let settings = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let name = target.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let provenance =
        Provenance { name: &name, sha256, inputs: &inputs, settings: &settings, version: env!("CARGO_PKG_VERSION") };
    Ok(envelope(&statement(&provenance), key))
}
