//! `init`: an Expertfile.toml for the experts that are found in a folder and below.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{RelPath, Result};
use crate::ops::asked::{Asked, Without};
use crate::spec::expertfile::NAME;
use crate::spec::{self, Folder};
use crate::store::output;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Initialised {
    /// The Expertfile.
    pub path: PathBuf,
    /// Folders of the experts that it builds; `.` for the folder itself.
    pub experts: Vec<String>,
    /// Was there one before?
    pub replaced: bool,
}

/// Writes the Expertfile. One that is there is replaced only by `force`.
pub fn init(directory: &Path, force: bool) -> Result<Initialised> {
    let disk = Asked::new(directory);
    let own = RelPath::new(NAME).expect("a relative path");
    let replaced = disk.is_file(&own)?;
    let text = if force { spec::init(&Without(&disk, &own))? } else { spec::init(&disk)? };
    let path = directory.join(NAME);
    output::tidy_beside(&path);
    output::write(&path, text.as_bytes())?;
    let manifest = RelPath::new("manifest.json").expect("a relative path");
    let experts = match disk.is_file(&manifest)? {
        true => vec![".".to_owned()],
        false => spec::init::search(&disk)?.iter().map(ToString::to_string).collect(),
    };
    Ok(Initialised { path, experts, replaced })
}
