//! `archive`: the package in its place: unchanged, restored from the cache, or assembled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::event::{Member, Status};
use crate::base::{Digest, Error, Event, RelPath, Result, Sha256};
use crate::engine::beside;
use crate::engine::files::{FileSlot, Packed};
use crate::engine::job::{Job, Open};
use crate::engine::key::KeyText;
use crate::engine::limits::Candidate;
use crate::engine::record::{KeptFinding, PackageResult};
use crate::engine::remote;
use crate::engine::remote::record::Package;
use crate::engine::scratch::Scratch;
use crate::engine::tasks::assemble::{Assembler, Stretch, Stretches, Unwritten, forget_damaged, write};
use crate::engine::tasks::{Context, Done, compose, hash, provenance};
use crate::format::provenance::ENDING;
use crate::spec::lock::Id;
use crate::store::index::{Built, Seen};
use crate::store::{ActionKey, Output, Stat, fs, output};

/// Puts the package in its place.
pub fn archive(job: &Job, open: &Open, package: usize, context: &Context<'_>, scratch: &mut Scratch) -> Result<Done> {
    let mut done = Done::new(Status::Done);
    let began = context.started.elapsed();
    let manifest = open.survey.manifest.as_ref().ok_or_else(|| Error::Bug("archiving without a manifest".into()))?;
    let model = &manifest.base_models[open.survey.layouts[package].model];
    let target = job.target.output(manifest, model).map_err(|found| Error::Invalid(vec![*found]))?;
    let (key, text) = open.packages[package].key.get().ok_or_else(|| Error::Bug("a package without a key".into()))?;
    let key = *key;
    if let Some(there) = left_there(open, package, context) {
        return leave(job, open, (package, &target), there, context, done);
    }
    let cached = open.packages[package].cached.get().and_then(Option::as_deref);
    let made = match cached {
        Some(result) => {
            let restored = restore(result, job, open, (package, &target), context, scratch, &mut done)?;
            if restored.is_some() {
                done.bytes_saved += result.bytes;
                done.saved_us += result.took_us;
                again(result, key, job, open, package, context, &mut done);
            }
            restored
        }
        None => None,
    };
    let Placed { sha256, bytes, members, stat } = match made {
        Some(made) => made,
        None => {
            let work = Work { job, open, package, target: &target, text, key };
            work.assemble(context, scratch, &mut done, began)?
        }
    };
    if package + 1 == open.packages.len() {
        remote::offer(job, open, context, scratch, &mut done)?;
    }
    let mut sides = vec![(beside::path(&target, beside::CHECKSUM), checksum(&target, sha256))];
    if context.provenance {
        sides.push((beside::path(&target, ENDING), provenance::text(job, open, package, &target, sha256)?));
    }
    sides.iter().try_for_each(|(path, text)| side_file(path, text))?;
    remember(job, open, package, (&target, stat, sha256, key), &sides)?;
    done.artifact = Some(Event::Artifact {
        expert: manifest.name.clone(),
        path: target.to_string_lossy().into_owned(),
        sha256,
        bytes,
        bytes_before: before(open, package),
        signed: job.target.signer.is_some(),
        status: done.status,
        files: members,
        segments_made: done.segments_made,
        segments_reused: done.segments_reused,
        took_us: (context.started.elapsed() - began).as_micros() as u64,
    });
    Ok(done)
}

/// A package at its place.
struct Placed {
    sha256: Sha256,
    bytes: u64,
    members: Vec<Member>,
    /// Of this very file: by now another build may have put another one at the place.
    stat: Stat,
}

/// What another machine said of the package.
fn told(open: &Open, package: usize) -> Option<&Package> {
    open.remote.get()?.packages.get(package)
}

/// The package, if it is enough to know that another machine has it.
fn left_there<'o>(open: &'o Open, package: usize, context: &Context<'_>) -> Option<&'o Package> {
    context.remote.filter(|link| link.policy.minimal)?;
    open.remote.get().filter(|taken| taken.complete)?;
    told(open, package)
}

/// Tells of a package that is not written, as another machine has it.
fn leave(
    job: &Job,
    open: &Open,
    (package, target): (usize, &Path),
    there: &Package,
    context: &Context<'_>,
    mut done: Done,
) -> Result<Done> {
    compose::composed(job, open, package)?;
    admit(job, open, package, (there.sha256, there.bytes), context, &mut done)?;
    done.status = Status::Remote;
    done.artifact = Some(Event::Artifact {
        expert: open.name(&job.target),
        path: target.to_string_lossy().into_owned(),
        sha256: there.sha256,
        bytes: there.bytes,
        bytes_before: before(open, package),
        signed: false,
        status: done.status,
        files: members(job, open, package),
        segments_made: 0,
        segments_reused: 0,
        took_us: 0,
    });
    Ok(done)
}

/// A package of the cache whose expert was validated anew: from now on it tells what was found this time.
fn again(
    result: &PackageResult,
    key: ActionKey,
    job: &Job,
    open: &Open,
    package: usize,
    context: &Context<'_>,
    done: &mut Done,
) {
    if open.vouched.get().is_some() {
        return;
    }
    let warnings: Vec<KeptFinding> = open.findings_to_keep(&job.target).iter().map(KeptFinding::of).collect();
    let beside = compose::beside(job, open, package);
    if (&warnings, &beside) != (&result.warnings, &result.beside) {
        let result = PackageResult { warnings, beside, ..result.clone() };
        context.keep(key, &result.encode(), done);
    }
}

/// The size that the package had when it was last built here. Which is which is told by their order: a new version has
/// another file name and is still the same package.
fn before(open: &Open, package: usize) -> Option<u64> {
    let packages: Vec<&Built> = open.previous.outputs.iter().filter(|output| output.is_package).collect();
    let same = packages.len() == open.packages.len();
    packages.get(package).filter(|_| same)?.seen.stat.map(|stat| stat.size)
}

/// Restores a package from the cache. `false` where the cache has lost a part of it.
fn restore(
    result: &PackageResult,
    job: &Job,
    open: &Open,
    (package, target): (usize, &Path),
    context: &Context<'_>,
    scratch: &mut Scratch,
    done: &mut Done,
) -> Result<Option<Placed>> {
    admit(job, open, package, (result.sha256, result.bytes), context, done)?;
    let placed = |stat| Placed { sha256: result.sha256, bytes: result.bytes, members: result.members.clone(), stat };
    if let Some(stat) = stands(job, open, target, result.sha256, result.bytes, context)? {
        done.status = Status::Unchanged;
        return Ok(Some(placed(stat)));
    }
    let stretches: Vec<Stretch> = result.pieces.iter().copied().map(Stretch::from).collect();
    match write(&stretches, &result.inline, target, false, context, scratch, done) {
        Ok((output, sha256)) if sha256 == result.sha256 => {
            let stat = put_in_place(output, last(job, open, target, sha256), context, done)?;
            done.status = Status::Cached;
            done.segments_reused += result.segments;
            Ok(Some(placed(stat)))
        }
        Ok(_) => {
            forget_damaged(&result.pieces, context)?;
            done.notices.push(format!("the cached package for `{}` was damaged; it is made again", target.display()));
            Ok(None)
        }
        Err(Unwritten::Lost(_)) => {
            done.notices.push(format!("the cache has lost a part of `{}`; it is made again", target.display()));
            Ok(None)
        }
        Err(Unwritten::Failed(e)) => Err(e),
    }
}

/// May the package be put in its place?
fn admit(
    job: &Job,
    open: &Open,
    package: usize,
    (sha256, bytes): (Sha256, u64),
    context: &Context<'_>,
    done: &mut Done,
) -> Result<()> {
    let (survey, layout) = (&open.survey, &open.survey.layouts[package]);
    let manifest = survey.manifest.as_ref().ok_or_else(|| Error::Bug("archiving without a manifest".into()))?;
    let inputs = || {
        let files = layout.members.iter().filter_map(|m| Some((m.source.to_string(), open.file(&m.source)?.sha256()?)));
        files.chain([(survey.manifest_file.path.to_string(), survey.manifest_sha256)]).collect()
    };
    let model = layout.one_of_several.then(|| manifest.base_models[layout.model].name.clone());
    let id = Id { name: manifest.name.clone(), version: manifest.version.clone(), model };
    let candidate = Candidate { id, sha256, bytes, inputs: &inputs };
    // A package that is assembled again because the cache lost a part is judged again: the last word counts.
    done.found = context.limits.judge(&job.target, &candidate)?;
    Ok(())
}

/// The stat of this very package, if it stands at its place already.
fn stands(
    job: &Job,
    open: &Open,
    target: &Path,
    sha256: Sha256,
    bytes: u64,
    context: &Context<'_>,
) -> Result<Option<Stat>> {
    let Ok(stat) = Stat::of(target) else { return Ok(None) };
    if context.force || !stat.is_file() || stat.size != bytes {
        return Ok(None);
    }
    let path = output_path(job, target);
    let known = |o: &Built| o.seen.path == path && o.seen.stat == Some(stat) && o.sha256 == sha256;
    let same = open.previous.outputs.iter().any(known) || fs::sha256(target)? == sha256;
    Ok(same.then_some(stat))
}

/// Is this what was built here last?
fn last(job: &Job, open: &Open, target: &Path, sha256: Sha256) -> bool {
    let path = output_path(job, target);
    open.previous.outputs.iter().any(|output| output.is_package && output.seen.path == path && output.sha256 == sha256)
}

struct Work<'w> {
    job: &'w Job,
    open: &'w Open,
    package: usize,
    target: &'w Path,
    text: &'w KeyText,
    key: ActionKey,
}

impl Work<'_> {
    fn assemble(
        &self,
        context: &Context<'_>,
        scratch: &mut Scratch,
        done: &mut Done,
        began: std::time::Duration,
    ) -> Result<Placed> {
        compose::composed(self.job, self.open, self.package)?;
        // A blob that the cache loses between packing and copying is packed again; twice is more than bad luck.
        for _ in 0..3 {
            let stretches = self.stretches(context, scratch, done)?;
            match write(&stretches.stretches, &stretches.inline, self.target, true, context, scratch, done) {
                Ok((output, sha256)) => {
                    let bytes = stretches.len();
                    admit(self.job, self.open, self.package, (sha256, bytes), context, done)?;
                    let stat = match stands(self.job, self.open, self.target, sha256, bytes, context)? {
                        Some(stat) => {
                            output.discard()?;
                            done.status = Status::Unchanged;
                            stat
                        }
                        None => {
                            let last = last(self.job, self.open, self.target, sha256);
                            let stat = put_in_place(output, last, context, done)?;
                            done.status = self.came(sha256, context, done)?;
                            stat
                        }
                    };
                    let members = members(self.job, self.open, self.package);
                    let members = self.keep(stretches, sha256, members, context, began, done);
                    return Ok(Placed { sha256, bytes, members, stat });
                }
                Err(Unwritten::Lost(lost)) => {
                    let is_lost = |packed: &Packed| match (packed, &lost) {
                        (Packed::Blob(blob, _), Stretch::Blob(lost)) => blob == lost,
                        (Packed::Unnamed(unnamed), Stretch::Blob(lost)) => unnamed.named() == Some(*lost),
                        (Packed::Unnamed(unnamed), Stretch::Unnamed(lost)) => Arc::ptr_eq(unnamed, lost),
                        _ => false,
                    };
                    for slot in &self.open.files {
                        if slot.packed().as_deref().is_some_and(is_lost) {
                            slot.set_packed(None);
                        }
                    }
                }
                Err(Unwritten::Failed(e)) => return Err(e),
            }
        }
        let gone = std::io::Error::other("the cache keeps losing what was just written to it");
        Err(Error::io("assemble", self.target, gone))
    }

    /// Was it made here, or put together from what another machine had? That had to be this very package.
    fn came(&self, sha256: Sha256, context: &Context<'_>, done: &Done) -> Result<Status> {
        let (Some(link), Some(there)) = (context.remote, told(self.open, self.package)) else {
            return Ok(Status::Done);
        };
        if there.sha256 != sha256 {
            link.wrong(format!("`{}` was said to be another package", self.target.display()))?;
            return Ok(Status::Done);
        }
        Ok(if done.segments_made == 0 { Status::Cached } else { Status::Done })
    }

    /// The package, stretch by stretch.
    fn stretches(&self, context: &Context<'_>, scratch: &mut Scratch, done: &mut Done) -> Result<Stretches> {
        let target = &self.job.target;
        let layout = &self.open.survey.layouts[self.package];
        let composed = self.open.packages[self.package].manifest(target)?;
        // A file that stands in no other place of the expert's packages is let go as soon as it is in this one.
        let is_alone = self.open.packages.len() == 1 && self.open.files.len() == layout.members.len();
        let mut assembler = Assembler::new(target.codec, target.mtime());
        assembler.inline(&path("manifest.json")?, composed.text().as_bytes(), scratch);
        let signature = signature_of(composed);
        let mut signature = signature.as_deref().map(|text| (path("signature.sig"), text));
        for member in &layout.members {
            let slot = self.slot(&member.source)?;
            let size = slot.stat.size;
            if size <= crate::engine::survey::SMALL {
                hash::pack_small(slot, target.codec, context, scratch, done)?;
            } else {
                let more = hash::big(slot, Some(target.codec), context, scratch)?;
                done.segments_made += more.segments_made;
                done.segments_reused += more.segments_reused;
                done.bytes_saved += more.bytes_saved;
                done.saved_us += more.saved_us;
                done.bytes_read += more.bytes_read;
            }
            let packed = slot.packed().ok_or_else(|| Error::Bug(format!("`{}` was not packed", member.source)))?;
            if signature.as_ref().is_some_and(|_| member.path.as_str() > "signature.sig")
                && let Some((path, text)) = signature.take()
            {
                assembler.inline(&path?, text.as_bytes(), scratch);
            }
            assembler.member(&member.path, size, &packed, scratch);
            if is_alone && !context.gives {
                slot.let_go();
            }
        }
        if let Some((path, text)) = signature {
            assembler.inline(&path?, text.as_bytes(), scratch);
        }
        Ok(assembler.finish(scratch))
    }

    fn slot(&self, source: &RelPath) -> Result<&FileSlot> {
        self.open.file(source).ok_or_else(|| Error::Bug(format!("`{source}` has no slot")))
    }

    /// Remembers the result, and gives the members back. Of a signed package only what it was made of is remembered: what is
    /// signed is made where the key is.
    fn keep(
        &self,
        stretches: Stretches,
        sha256: Sha256,
        members: Vec<Member>,
        context: &Context<'_>,
        began: std::time::Duration,
        done: &mut Done,
    ) -> Vec<Member> {
        let bytes = stretches.len();
        let Some(pieces) = stretches.pieces() else { return members };
        let (pieces, inline) = match self.job.target.signer {
            Some(_) => Default::default(),
            None => (pieces, stretches.inline),
        };
        let warnings = self.open.findings_to_keep(&self.job.target);
        let members_of = &self.open.survey.layouts[self.package].members;
        let slots = members_of.iter().filter_map(|member| self.open.file(&member.source));
        // Small files were packed in here; the big ones have their own time.
        let packing_us: u64 = slots
            .filter(|slot| slot.stat.size > crate::engine::survey::SMALL)
            .map(|slot| slot.packing_us.load(std::sync::atomic::Ordering::Relaxed))
            .sum();
        let result = PackageResult {
            sha256,
            bytes,
            members,
            segments: stretches.segments,
            warnings: warnings.iter().map(KeptFinding::of).collect(),
            beside: compose::beside(self.job, self.open, self.package),
            key_text: self.text.as_str().to_owned(),
            took_us: (context.started.elapsed() - began).as_micros() as u64 + packing_us,
            weights: self.open.weights(self.package),
            pieces,
            inline,
        };
        context.keep(self.key, &result.encode(), done);
        result.members
    }
}

/// The members of a package, for reports.
fn members(job: &Job, open: &Open, package: usize) -> Vec<Member> {
    let mut members = Vec::new();
    if let Ok(composed) = open.packages[package].manifest(&job.target) {
        let text = composed.text();
        let path = path("manifest.json").into_iter();
        members.extend(path.map(|path| Member {
            path,
            bytes: text.len() as u64,
            sha256: composed.manifest_sha256(),
            digest: Some(Digest::of(text.as_bytes())),
        }));
    }
    members.extend(open.members(package));
    members
}

fn path(text: &str) -> Result<RelPath> {
    RelPath::new(text).map_err(|e| Error::Bug(format!("`{text}`: {e}")))
}

/// The signature in the composed manifest, as the entry `signature.sig` has it.
fn signature_of(composed: &crate::format::manifest_compose::Composed) -> Option<Arc<str>> {
    Some(composed.root().pointer("/integrity/signature")?.as_str()?.into())
}

/// Another build that puts the same package in its place takes the checksum away for a moment: how often it is written
/// again.
const SIDE_FILE_TRIES: usize = 100;

/// What lies beside the old package goes first: a crash leaves a package without a checksum, never one with a wrong one.
/// Of a package that is `known`, because it is what was built here last, all that was said stays true. Returns the stat of the
/// file that was put there.
fn put_in_place(output: Output, known: bool, context: &Context<'_>, done: &mut Done) -> Result<Stat> {
    if let Some(e) = output.unlocked() {
        let what = "files cannot be locked where packages go";
        done.notices.push(format!("{what}: {e}; temporary ones that a killed build leaves there stay for a day"));
    }
    let target = output.target().to_path_buf();
    if known {
        fs::remove(&beside::path(&target, beside::CHECKSUM))?;
    } else {
        let provenance = beside::path(&target, ENDING);
        for gone in beside::take_away(&target)? {
            if !(context.provenance && gone == provenance) {
                let what = format!("took away `{}`", gone.display());
                done.notices
                    .push(format!("{what}, which spoke of the package as it was; what it said is to be signed again"));
            }
        }
    }
    Stat::of_file(&output.commit()?).map_err(|e| Error::io("read", &target, e))
}

/// The text of `<package>.sha256`, in the form of `sha256sum -c`.
fn checksum(target: &Path, sha256: Sha256) -> String {
    let name = target.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    format!("{sha256}  {name}\n")
}

/// Writes a file beside a package, if it is not there.
fn side_file(path: &Path, text: &str) -> Result<()> {
    if matches!(fs::read(path, text.len() as u64), Ok(Some((bytes, _))) if bytes == text.as_bytes()) {
        return Ok(());
    }
    output::write(path, text.as_bytes())
}

/// The output's path as the index keeps it: below the repo where it is (whose own path may be no UTF-8), else absolute.
fn output_path(job: &Job, target: &Path) -> String {
    let depth = if job.target.key() == "." { 0 } else { job.target.key().split('/').count() };
    let below = job.target.folder.ancestors().nth(depth).and_then(|root| target.strip_prefix(root).ok());
    below.unwrap_or(target).to_string_lossy().into_owned()
}

fn remember(
    job: &Job,
    open: &Open,
    package: usize,
    (target, stat, sha256, key): (&Path, Stat, Sha256, ActionKey),
    sides: &[(PathBuf, String)],
) -> Result<()> {
    let mut built = open.packages[package].built.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    built.clear();
    let mut add = |path: &Path, stat, is_package| {
        let seen = Seen { path: output_path(job, path), stat: Some(stat) };
        built.push(Built { seen, sha256, key, is_package });
    };
    add(target, stat, true);
    for (path, text) in sides {
        let mut stat = Stat::of(path);
        for _ in 0..SIDE_FILE_TRIES {
            if !matches!(&stat, Err(e) if e.kind() == std::io::ErrorKind::NotFound) {
                break;
            }
            side_file(path, text)?;
            stat = Stat::of(path);
        }
        add(path, stat.map_err(|e| Error::io("read", path, e))?, false);
    }
    Ok(())
}
