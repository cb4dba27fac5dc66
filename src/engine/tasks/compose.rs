//! `compose`: the key of a package, its result from the cache, or the manifest that goes into it.

use std::collections::BTreeMap;

use crate::base::event::Status;
use crate::base::{Error, RelPath, Result, Sha256};
use crate::engine::job::{Job, Open};
use crate::engine::key::KeyText;
use crate::engine::layout::Role;
use crate::engine::record::PackageResult;
use crate::engine::tasks::{Context, Done};
use crate::format::manifest_compose::{PackageInfo, compose as compose_manifest};

/// The key of a package: `None` while an input's digest is unknown.
pub fn package_key(job: &Job, open: &Open, package: usize) -> Option<KeyText> {
    let layout = &open.survey.layouts[package];
    let mut text = job.target.settings();
    let model = open.survey.manifest.as_ref().map_or("", |m| &m.base_models[layout.model].name);
    text.line("setting", "model", if layout.one_of_several { model } else { "" });
    text.input(&RelPath::new("manifest.json").ok()?, &open.survey.manifest_digest);
    for member in &layout.members {
        text.input(&member.path, &open.file(&member.source)?.digest()?);
        if member.role == Role::Named {
            text.line("named", member.path.as_str(), "");
        }
    }
    for (pointer, path) in &layout.adapters {
        text.line("adapter", pointer, path.as_str());
    }
    Some(text)
}

/// The keys of the expert's other packages: what is found in one validation is about all of them.
pub fn beside(job: &Job, open: &Open, package: usize) -> Vec<String> {
    let others = (0..open.packages.len()).filter(|other| *other != package);
    others.filter_map(|other| Some(package_key(job, open, other)?.key().hex())).collect()
}

/// Looks for the package in the cache, once. A signed package is never taken from there: what is signed is made here.
pub fn look_up(job: &Job, open: &Open, package: usize, context: &Context<'_>, done: &mut Done) -> Result<bool> {
    let slot = &open.packages[package];
    if let Some(known) = slot.cached.get() {
        return Ok(known.is_some());
    }
    let Some(text) = package_key(job, open, package) else { return Ok(false) };
    let key = text.key();
    let _ = slot.key.set((key, text));
    let mut found = None;
    if job.target.signer.is_none()
        && let Some(record) = context.result(key, done)?
    {
        found = PackageResult::decode(&record).map(Box::new);
    }
    if let Some(result) = &found {
        take_hashes(open, package, result)?;
    }
    Ok(slot.cached.get_or_init(|| found).is_some())
}

/// The result knows the SHA-256 of inputs that were not read.
fn take_hashes(open: &Open, package: usize, result: &PackageResult) -> Result<()> {
    let known: BTreeMap<&RelPath, Sha256> = result.members.iter().map(|m| (&m.path, m.sha256)).collect();
    for member in &open.survey.layouts[package].members {
        if let (Some(slot), Some(sha256)) = (open.file(&member.source), known.get(&member.path)) {
            slot.set_sha256(*sha256)?;
        }
    }
    Ok(())
}

/// Makes the manifest of the package, unless the cache has the package.
pub fn compose(job: &Job, open: &Open, package: usize, context: &Context<'_>) -> Result<Done> {
    let mut done = Done::new(Status::Cached);
    if look_up(job, open, package, context, &mut done)? {
        return Ok(done);
    }
    composed(job, open, package)?;
    done.status = Status::Done;
    Ok(done)
}

/// Makes the manifest, once. Where there is a key it names its public half; `sign` adds the signature.
pub fn composed(job: &Job, open: &Open, package: usize) -> Result<()> {
    let slot = &open.packages[package];
    if slot.composed.get().is_some() {
        return Ok(());
    }
    let layout = &open.survey.layouts[package];
    let manifest = open.survey.manifest.as_ref().ok_or_else(|| Error::Bug("composing without a manifest".into()))?;
    let mut files = BTreeMap::new();
    for member in &layout.members {
        let (digest, sha256) = open
            .file(&member.source)
            .and_then(crate::engine::files::FileSlot::digests)
            .ok_or_else(|| Error::Bug(format!("`{}` was not hashed", member.source)))?;
        files.insert(member.path.clone(), (sha256, digest.size()));
    }
    let target = &job.target;
    let pubkey = target.signer.as_ref().map(|key| key.public().to_string());
    let created = target.epoch.map(rfc3339);
    let info = PackageInfo {
        compression: target.codec.compression.as_str(),
        level: target.codec.level,
        model: layout.one_of_several.then(|| manifest.base_models[layout.model].name.as_str()),
        publisher: target.expert.publisher.as_ref().map(|p| p.value.as_str()),
        pubkey: pubkey.as_deref(),
        created_at: created.as_deref(),
        weights: &layout.adapters,
        moved: &BTreeMap::new(),
    };
    let _ = slot.composed.set(compose_manifest(manifest, &info, &files)?);
    Ok(())
}

/// Seconds since 1970 as RFC 3339 in UTC (days to civil date after H. Hinnant, "chrono-compatible low-level date algorithms").
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(315_532_800), "1980-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_826_554), "2000-02-29T12:15:54Z");
        assert_eq!(rfc3339(1_700_000_000), "2023-11-14T22:13:20Z");
    }
}
