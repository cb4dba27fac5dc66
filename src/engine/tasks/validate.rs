//! `validate`: what can be told from manifest and headers before anything big is read, and from contents afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::event::Status;
use crate::base::{At, Diagnostic, Error, RelPath, Result};
use crate::check::{self, adapter, soft_prompt};
use crate::engine::job::{Job, Open, PackageSlot};
use crate::engine::layout::Role;
use crate::engine::scratch::Scratch;
use crate::engine::tasks::facts::Facts;
use crate::engine::tasks::{Context, Done, compose, hash};
use crate::format::json;
use crate::format::manifest::Manifest;
use crate::format::model_config::ModelConfig;

/// Checks manifest, headers and small files; nothing big is read. Where the cache has every package of the expert for
/// these very inputs, they were found good before, and what was told then is told again.
pub fn headers(job: &Job, open: &Open, context: &Context<'_>, scratch: &mut Scratch) -> Result<Done> {
    let mut done = Done::new(Status::Done);
    let errors = |open: &Open| crate::base::error::errors(&open.findings(&job.target)) > 0;
    if !errors(open) && cached(job, open, context, scratch, &mut done)? {
        for package in &open.packages {
            if let Some(Some(result)) = package.cached.get() {
                let told = result.warnings.iter().filter_map(crate::engine::record::KeptFinding::restore);
                open.find(told.map(|found| with_source(open, found)));
            }
        }
        let _ = open.vouched.set(());
        done.status = Status::Cached;
        return Ok(done);
    }
    if let Some(manifest) = &open.survey.manifest {
        open.find(check::manifest::check(manifest));
        open.find(check::licence::expression(manifest));
    }
    let (mut facts, mut found) = (Facts::default(), Vec::new());
    for slot in &open.files {
        done.bytes_read += facts.read(slot, context, &mut found)?;
    }
    if let Some(manifest) = &open.survey.manifest {
        agreement(job, open, manifest, &facts, &mut found);
        let licences: Vec<(RelPath, &[u8])> = facts.licences.iter().map(|(p, b)| (p.clone(), &b[..])).collect();
        found.extend(check::licence::texts(manifest, &licences));
    }
    open.find(found);
    let _ = open.facts.set(facts);
    judge(job, open, done)
}

/// A finding from the cache, which keeps no sources, with the text that it points into.
fn with_source(open: &Open, mut found: Diagnostic) -> Diagnostic {
    let Some(file) = found.file.as_deref().filter(|_| matches!(found.at, At::Text { .. })) else { return found };
    found.source = match &open.survey.manifest {
        Some(manifest) if &*manifest.file == file => Some(Arc::clone(&manifest.text)),
        _ => {
            let slot = open.files.iter().find(|slot| slot.path.as_str() == file && slot.is_small());
            slot.and_then(|slot| slot.content().ok()).map(|(bytes, _)| String::from_utf8_lossy(&bytes).into())
        }
    };
    found
}

/// Manifest, adapter_config.json, tensors, base models and soft prompts against each other.
fn agreement(job: &Job, open: &Open, manifest: &Manifest, facts: &Facts, found: &mut Vec<Diagnostic>) {
    let mut models: Vec<soft_prompt::BaseModel<'_>> = Vec::new();
    for layout in &open.survey.layouts {
        let base = &manifest.base_models[layout.model];
        let source = |name: &str| layout.members.iter().find(|m| m.path.as_str() == name).map(|m| &m.source);
        let config = source("adapter_config.json").and_then(|path| Some((path, facts.configs.get(path)?)));
        let configured = config.map(|(path, fact)| adapter::Configured {
            file: adapter::JsonFile { path: path.as_str(), text: &fact.text },
            config: &fact.config,
        });
        let base_config = job.target.config(base).and_then(|(path, bytes)| base_config(path, bytes, found));
        let mut pairs = Vec::new();
        for declared in &base.adapters {
            let member = layout.adapters.get(&declared.pointer);
            pairs.push((
                Some(declared),
                member.and_then(|m| layout.members.iter().find(|p| p.path == *m)).map(|m| &m.source),
            ));
        }
        if base.adapters.is_empty() {
            pairs.push((None, source(crate::engine::layout::WEIGHTS)));
        }
        for (declared, source) in &pairs {
            if let Some((declared, slot)) = declared.zip(source.and_then(|path| open.file(path))) {
                found.extend(check::manifest_files::size(manifest, declared, &slot.path, slot.stat.size));
            }
        }
        let mut hidden = None;
        let mut vocabulary = base_config.as_ref().and_then(|c| c.vocab_size);
        for (declared, source) in pairs {
            let fact = source.and_then(|path| facts.weights.get(path));
            let weights = match (source, fact) {
                (Some(path), Some(fact)) => Some(adapter::Weights { path: path.as_str(), observed: &fact.observed }),
                _ => None,
            };
            let declared = declared.and_then(|d| {
                Some(adapter::Declared {
                    file: adapter::JsonFile { path: &manifest.file, text: &manifest.text },
                    pointer: d.pointer.clone(),
                    value: manifest.root.pointer(&d.pointer)?,
                    base_model: Some(&base.name),
                })
            });
            found.extend(adapter::agree(adapter::Sides { declared: declared.as_ref(), configured, weights }));
            hidden = hidden.or(check::base_model::hidden_size(fact.map(|f| &f.observed), base_config.as_ref()));
            if let (Some(weights), Some(model)) = (weights, &base_config) {
                let base = check::base_model::BaseModel { name: base.short_name(), config: model };
                found.extend(check::base_model::against(weights, base, configured.map(|c| c.config)));
            }
            // Embeddings that the adapter keeps whole say how many tokens there may be.
            let embeddings = fact.and_then(|f| {
                let saved =
                    f.observed.saved.iter().find(|s| s.path.ends_with("embed_tokens") || s.path.ends_with("lm_head"));
                saved.and_then(|s| s.shape.first().copied())
            });
            vocabulary = embeddings.or(vocabulary);
        }
        if let Some(path) = source("tokenizer.json") {
            found.extend(check::companions::vocabulary(path.as_str(), facts.tokens.get(path).copied(), vocabulary));
        }
        models.push(soft_prompt::BaseModel { name: base.short_name(), hidden });
    }
    // A prompt for a base model that is not packaged this time is no worse for it.
    let is_left = |number: usize| open.survey.layouts.iter().all(|layout| layout.model != number);
    let left = manifest.base_models.iter().enumerate().filter(|(number, _)| is_left(*number));
    models.extend(left.map(|(_, base)| soft_prompt::BaseModel { name: base.short_name(), hidden: None }));
    for slot in &open.files {
        let (Role::SoftPrompt(index), Some(file)) = (&slot.role, facts.torch.get(&slot.path)) else { continue };
        let prompt = index.and_then(|i| manifest.soft_prompts.get(i));
        let tokens = prompt.and_then(|p| Some((p.tokens?, p.tokens_pointer.as_deref()?)));
        found.extend(soft_prompt::check(file, &soft_prompt::Declared { path: &slot.path, tokens }, &models));
    }
}

/// The base model's dimensions, or the finding that there are none.
fn base_config(path: &std::path::Path, bytes: &[u8], found: &mut Vec<Diagnostic>) -> Option<ModelConfig> {
    let shown = path.display().to_string();
    match json::parse(bytes) {
        Err(fault) => {
            found.push(fault.finding(bytes, &shown));
            None
        }
        Ok(root) => {
            let config = ModelConfig::read(&root);
            if config.is_none() {
                let text = String::from_utf8_lossy(bytes).into();
                found.push(check::base_model::invalid(adapter::JsonFile { path: &shown, text: &text }, &root));
            }
            config
        }
    }
}

/// Checks what only the contents tell: hashes that the manifest gives and, unless they are still to come, values of tensors.
pub fn contents(job: &Job, open: &Open, with_values: bool) -> Result<Done> {
    let done = Done::new(Status::Done);
    if open.vouched.get().is_some() {
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
    if let Some(facts) = open.facts.get().filter(|_| with_values) {
        open.find(values(open, manifest, facts));
    }
    judge(job, open, done)
}

/// Checks values that came late: what another machine packed was looked at when it was proven; what nobody packed is read
/// and packed now. Where a worker has refused the expert it is only read: if it is wrong, nothing was packed in vain.
pub fn late(job: &Job, open: &Open, context: &Context<'_>, scratch: &mut Scratch, mut done: Done) -> Result<Done> {
    let refused = open.remote.get().and_then(|taken| taken.refused.as_deref());
    let codec = refused.is_none().then_some(job.target.codec);
    for slot in open.files.iter().filter(|slot| hash::is_late(slot)) {
        done.add(&hash::late(slot, codec, context, scratch)?);
    }
    if let (Some(manifest), Some(facts)) = (&open.survey.manifest, open.facts.get()) {
        open.find(values(open, manifest, facts));
    }
    done = judge(job, open, done)?;
    if let (Some(link), Some(why)) = (context.remote, refused) {
        link.wrong(format!("a worker refused `{}`, which is good here: {why}", open.name(&job.target)))?;
        done.notices.extend(link.notices());
    }
    Ok(done)
}

/// What the values of the tensors tell: not finite, never trained, the same under two names.
fn values(open: &Open, manifest: &Manifest, facts: &Facts) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for slot in &open.files {
        if let (Some(fact), Some(scan)) = (facts.weights.get(&slot.path), slot.scan.get()) {
            found.extend(check::tensors::values(slot.path.as_str(), &fact.header, &fact.observed, scan));
        }
    }
    let mut copies = Vec::new();
    for (package, layout) in open.survey.layouts.iter().enumerate() {
        for (source, fingerprint) in open.weights(package) {
            copies.push(check::tensors::Copied {
                expert: manifest.name.clone(),
                model: layout.one_of_several.then(|| manifest.base_models[layout.model].short_name().to_owned()),
                path: source.to_string(),
                fingerprint,
            });
        }
    }
    // One file that serves two models is said so in the manifest.
    copies.dedup_by(|a, b| a.path == b.path);
    found.extend(check::tensors::copies(&copies));
    found
}

/// Are all packages of the expert in the cache, for exactly these inputs, and what was found when they were made
/// together? Packages that were made by separate builds were never compared with each other.
fn cached(job: &Job, open: &Open, context: &Context<'_>, scratch: &mut Scratch, done: &mut Done) -> Result<bool> {
    if open.packages.is_empty() || job.target.signer.is_some() || context.force {
        return Ok(false);
    }
    for slot in &open.files {
        if slot.is_small() {
            done.bytes_read += hash::small(slot, Some(job.target.codec), context, scratch)?.bytes_read;
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
    let together = |(package, slot): (usize, &PackageSlot)| {
        slot.cached.get().and_then(Option::as_deref).is_some_and(|r| r.beside == compose::beside(job, open, package))
    };
    Ok(open.packages.iter().enumerate().all(together))
}

/// Stops the expert here if there is an error among its findings.
fn judge(job: &Job, open: &Open, done: Done) -> Result<Done> {
    let found = open.findings(&job.target);
    if crate::base::error::errors(&found) > 0 {
        return Err(Error::of_expert(found));
    }
    Ok(done)
}
