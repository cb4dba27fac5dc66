//! `validate`: what can be told from manifest and headers before anything big is read, and from contents afterwards.

use std::collections::BTreeMap;

use crate::base::event::Status;
use crate::base::{Error, Result};
use crate::check;
use crate::engine::job::{Job, Open};
use crate::engine::scratch::Scratch;
use crate::engine::tasks::{Context, Done, compose, hash};

/// Checks manifest, headers and small files; nothing big is read. Where the cache has every package of the expert for
/// these very inputs, they were found good before, and what was told then is told again.
pub fn headers(job: &Job, open: &Open, context: &Context<'_>, scratch: &mut Scratch) -> Result<Done> {
    let mut done = Done::new(Status::Done);
    let errors = |open: &Open| crate::base::error::errors(&open.findings(&job.target)) > 0;
    if !errors(open) && cached(job, open, context, scratch, &mut done)? {
        for package in &open.packages {
            if let Some(Some(result)) = package.cached.get() {
                open.find(result.warnings.iter().filter_map(crate::engine::record::KeptFinding::restore));
            }
        }
        let _ = open.checked.set(());
        done.status = Status::Cached;
        return Ok(done);
    }
    if let Some(manifest) = &open.survey.manifest {
        open.find(check::manifest::check(manifest));
    }
    judge(job, open, done)
}

/// Checks what only the contents tell: hashes that the manifest gives, values of tensors.
pub fn contents(job: &Job, open: &Open) -> Result<Done> {
    let done = Done::new(Status::Done);
    let all_cached = open.packages.iter().all(|p| matches!(p.cached.get(), Some(Some(_))));
    if all_cached && !open.packages.is_empty() {
        return Ok(Done::new(Status::Cached));
    }
    let Some(manifest) = &open.survey.manifest else { return Ok(done) };
    let mut actual = BTreeMap::new();
    for layout in &open.survey.layouts {
        for member in &layout.members {
            if let Some((_, sha256)) = open.file(&member.source).and_then(crate::engine::files::FileSlot::digests) {
                actual.insert(member.path.clone(), sha256);
            }
        }
        for adapter in &manifest.base_models[layout.model].adapters {
            let Some(path) = layout.adapters.get(&adapter.pointer) else { continue };
            let Some(member) = layout.members.iter().find(|m| m.path == *path) else { continue };
            if let Some((digest, sha256)) = open.file(&member.source).and_then(crate::engine::files::FileSlot::digests)
            {
                open.find(check::manifest_files::weights(manifest, adapter, &member.source, sha256, digest.size()));
            }
        }
    }
    open.find(check::manifest_files::integrity(manifest, &actual));
    judge(job, open, done)
}

/// Are all packages of the expert in the cache, for exactly these inputs?
fn cached(job: &Job, open: &Open, context: &Context<'_>, scratch: &mut Scratch, done: &mut Done) -> Result<bool> {
    if open.packages.is_empty() || job.target.signer.is_some() || context.force {
        return Ok(false);
    }
    for slot in &open.files {
        if slot.is_small() {
            done.bytes_read += hash::small(slot)?.bytes_read;
        } else {
            hash::digest_if_hinted(slot, context, scratch, done)?;
        }
        if slot.digest().is_none() {
            return Ok(false);
        }
    }
    for package in 0..open.packages.len() {
        if !compose::look_up(job, open, package, context, done)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Stops the expert here if there is an error among its findings.
fn judge(job: &Job, open: &Open, done: Done) -> Result<Done> {
    let found = open.findings(&job.target);
    if crate::base::error::errors(&found) > 0 {
        return Err(Error::Invalid(found));
    }
    Ok(done)
}
