//! `--provenance`: whether it can be written, and whether it was.

use crate::base::{Error, Result};
use crate::engine::target::Target;
use crate::format::provenance::ENDING;
use crate::store::Index;

/// A statement that nobody signed proves nothing, so there must be a key for every expert.
pub(crate) fn has_keys<'t>(mut targets: impl Iterator<Item = &'t Target>) -> Result<()> {
    match targets.find(|target| target.signer.is_none()) {
        None => Ok(()),
        Some(target) => Err(Error::usage_help(
            format!("`--provenance` is signed with the key of the package, and `{}` has none", target.key()),
            "name one with `key` in the Expertfile or `--key`; `expert-build keygen --output publisher.pem` makes one",
        )),
    }
}

/// Does a package that is up to date lack its provenance? One that was written and then changed or lost is stale anyway.
pub(crate) fn is_missing(index: &Index, target: &Target) -> bool {
    let Some(record) = index.get(target.key()).and_then(|view| view.decode()) else { return true };
    let is_there = |path: &str| record.outputs.iter().any(|output| output.seen.path == path);
    let mut packages = record.outputs.iter().filter(|output| output.is_package);
    packages.any(|package| !is_there(&format!("{}{ENDING}", package.seen.path)))
}
