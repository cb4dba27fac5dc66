//! `cat`: the bytes of one file of a package, compared with the hash that the manifest gives them.

use std::io::{self, Write};
use std::path::Path;

use crate::base::{Error, Result, Sha256};
use crate::format::archive::Fault;
use crate::format::integrity::{Integrity, MANIFEST, SIGNATURE, manifest_hash};
use crate::ops::opened::{Opened, Reading, hash_to};

/// Writes one file of a package to `out` and returns its length. On a zstd package with a seek table, and on a bare tar,
/// nothing else of the package but the manifest is read. The hash is known only at the end: an integrity error
/// therefore comes after the bytes.
pub fn cat(package: &Path, path: &str, reading: impl Into<Reading>, out: &mut dyn Write) -> Result<u64> {
    let opened = Opened::open(package, reading)?;
    let limits = opened.limits;
    let mut found = None;
    let mut manifest = None;
    let mut size = 0;
    let mut put = |piece: &[u8]| out.write_all(piece).map_err(Stop::Out);
    let stopped = |stop: Stop| match stop {
        Stop::Out(e) => Error::io("write", "the output", e),
        Stop::In(fault) => opened.error(fault),
    };
    let mut paths = Vec::new();
    if let Some(mut index) = opened.index()? {
        if let Some(entry) = index.find(path).cloned() {
            size = entry.size;
            found = Some(hash_to(opened.content(&mut index, &entry)?, &mut put).map_err(stopped)?);
        }
        let entry = index.find(MANIFEST).cloned().ok_or_else(|| opened.no_manifest())?;
        manifest = Some(index.read(&entry, limits.max_manifest).map_err(|e| opened.error(e))?);
        paths = index.entries.into_iter().map(|entry| entry.path).collect();
    } else {
        let mut archive = opened.stream()?;
        while found.is_none() || manifest.is_none() {
            let Some(entry) = archive.next_entry().map_err(|e| opened.error(e))? else { break };
            if entry.path.as_str() == MANIFEST {
                let bytes = archive.read_all(limits.max_manifest).map_err(|e| opened.error(e))?;
                if path == MANIFEST {
                    size = entry.size;
                    found = Some(hash_to(&bytes[..], &mut put).map_err(stopped)?);
                }
                manifest = Some(bytes);
            } else if entry.path.as_str() == path {
                size = entry.size;
                found = Some(hash_to(&mut archive, &mut put).map_err(stopped)?);
            }
            paths.push(entry.path);
        }
    }
    let Some(found) = found else {
        let near = paths.iter().max_by(|a, b| {
            let near = |p: &str| strsim::jaro_winkler(&p.to_lowercase(), &path.to_lowercase());
            near(a.as_str()).total_cmp(&near(b.as_str()))
        });
        let help = near.map_or(String::new(), |near| format!("is `{near}` meant? `inspect` lists every file"));
        return Err(Error::usage_help(format!("`{}` holds no file `{path}`", package.display()), help));
    };
    let manifest = manifest.ok_or_else(|| opened.no_manifest())?;
    compare(&opened, &manifest, path, found)?;
    Ok(size)
}

/// Compares the hash with the manifest's, where it has one.
fn compare(opened: &Opened, manifest: &[u8], path: &str, found: Sha256) -> Result<()> {
    let manifest = opened.manifest(manifest)?;
    let native = manifest.pointer("/package/format_version").is_some();
    let integrity = match Integrity::read(&manifest) {
        Some(integrity) => integrity,
        None if native => return Err(opened.wrong("its manifest has no `integrity`: do not use these bytes")),
        None => return Ok(()),
    };
    let found = match path {
        MANIFEST if native => manifest_hash(&manifest),
        // Other tools hash the manifest before they change it; a signature is its own proof.
        MANIFEST | SIGNATURE => return Ok(()),
        _ => found,
    };
    match integrity.files.get(path) {
        Some(expected) if *expected != found => {
            Err(opened.wrong(&format!("`{path}` in it is not what the manifest says: do not use these bytes")))
        }
        None if native => Err(opened.wrong(&format!("the manifest does not list `{path}`: do not use these bytes"))),
        _ => Ok(()),
    }
}

/// Why copying stopped: on which side.
enum Stop {
    Out(io::Error),
    In(Fault),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::In(error.into())
    }
}
