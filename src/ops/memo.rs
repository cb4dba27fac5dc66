//! `Memo`: what the index remembers of an expert beside its files, so that others need not read its manifest.

use serde::{Deserialize, Serialize};

use crate::engine::survey::Survey;
use crate::format::manifest::Manifest;

/// What the index remembers of an expert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Memo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its base models.
    pub models: Vec<String>,
    /// What it requires.
    pub requires: Vec<String>,
    /// What it does not go with.
    pub incompatible_with: Vec<String>,
    /// When it wants to be loaded.
    pub load_order: Option<u64>,
    /// Its packages.
    pub packages: usize,
    /// Warnings told when they were built. A run with nothing to do says how many, and repeats none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warnings: usize,
    /// Where they lie, if not below its own folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<String>,
}

/// For serde, which gives a reference.
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Memo {
    /// Of a first look.
    pub fn of(survey: &Survey) -> Self {
        let Some(manifest) = &survey.manifest else { return Self::default() };
        Self {
            packages: survey.layouts.len(),
            outside: survey.outside.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
            ..Self::of_manifest(manifest)
        }
    }

    /// Of a manifest alone: as if every base model got a package in the expert's own folder.
    pub fn of_manifest(manifest: &Manifest) -> Self {
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            models: manifest.base_models.iter().map(|m| m.name.clone()).collect(),
            requires: manifest.requires.iter().map(|p| p.text.clone()).collect(),
            incompatible_with: manifest.incompatible_with.iter().map(|p| p.text.clone()).collect(),
            load_order: manifest.load_order,
            packages: manifest.base_models.len(),
            warnings: 0,
            outside: Vec::new(),
        }
    }

    /// Writes this memo over the one that `bytes` begins with; the history behind it stays.
    pub fn replace(&self, bytes: &mut Vec<u8>) {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        bytes.splice(..end, self.encode());
    }

    /// As the index keeps it.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a memo is plain data")
    }

    /// As the index kept it; what follows the first line is the history's.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next()?).ok()
    }
}
