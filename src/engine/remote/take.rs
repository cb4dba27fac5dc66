//! `take`: an expert's packed files from another machine, each proven against its source here before it counts.
//!
//! The expert as a whole is asked for first: one question, whose answer brings all small files with it. Only where it is
//! not there are its big files asked for, one by one, and only where one of those is not there either may a worker be asked
//! to check and pack them. What is taken lies in the local cache afterwards, and the build goes on as if it had been there
//! before. Values of weights that were not read here are looked at in what comes out of their packed bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::{Diagnostic, Digest, Error, Result, Sha256};
use crate::engine::files::{FileSlot, Packed};
use crate::engine::job::{Job, Open};
use crate::engine::key::KeyText;
use crate::engine::record::KeptFinding;
use crate::engine::remote::execute;
use crate::engine::remote::link::Link;
use crate::engine::remote::proof::{is_plausible, proves};
use crate::engine::remote::record::{MOST, Package, PackedFile, Record, Wanted};
use crate::engine::remote::task::{self, Asked};
use crate::engine::scratch::Scratch;
use crate::engine::tasks::{Context, Done, hash};
use crate::format::safetensors::{Header, Scan};
use crate::format::segment::{Codec, SEGMENT};
use crate::store::remote::{ActionResult, CasDigest, Failure, FailureKind};

/// Packed files up to this size are fetched together, as much of them as fits.
const TOGETHER: u64 = 1 << 20;
/// So many bytes of them.
const AT_ONCE: u64 = 4 << 20;

/// What another machine had of an expert.
#[derive(Debug, Default)]
pub struct Taken {
    /// Was its result there, and all that it speaks of?
    pub complete: bool,
    /// The packages that it makes, in the survey's order, where that was told. Nothing is proven by that.
    pub packages: Vec<Package>,
    /// Why a worker refused the expert, whose values nobody here has looked at yet. Nothing is proven by that either.
    pub refused: Option<String>,
}

/// A result with its record, and the small blobs that came with it.
struct Answer {
    record: Record,
    result: ActionResult,
    found: BTreeMap<CasDigest, Vec<u8>>,
}

/// What is needed everywhere here.
pub(super) struct Taking<'t, 'c> {
    pub(super) job: &'t Job,
    pub(super) open: &'t Open,
    pub(super) context: &'t Context<'c>,
    pub(super) link: &'t Arc<Link>,
}

/// Takes what another machine has of an expert whose files are all hashed.
pub fn take(job: &Job, open: &Open, context: &Context<'_>, scratch: &mut Scratch, done: &mut Done) -> Result<()> {
    let Some(link) = context.remote.filter(|link| link.asks() && !context.force) else { return Ok(()) };
    let taking = Taking { job, open, context, link };
    let taken = taking.take(scratch, done);
    done.notices.extend(link.notices());
    let _ = open.remote.set(taken?);
    Ok(())
}

impl Taking<'_, '_> {
    fn codec(&self) -> Codec {
        self.job.target.codec
    }

    fn take(&self, scratch: &mut Scratch, done: &mut Done) -> Result<Taken> {
        for slot in self.open.files.iter().filter(|slot| slot.stat.size > hash::INLINE as u64) {
            hash::known_here(slot, self.codec(), self.context, done)?;
        }
        let Some(asked) = Asked::expert(self.job, self.open, &self.link.policy.terms) else {
            return Ok(Taken::default());
        };
        let mut taken = Taken::default();
        let slots: Vec<&FileSlot> = self.open.files.iter().collect();
        if self.link.reads() {
            let answer = self.ask(&asked, &slots)?;
            let was_there = answer.is_some();
            if let Some(answer) = answer {
                let stays = self.link.policy.minimal && self.tells_packages(&answer.record);
                taken.complete = stays || self.files(&answer, &slots, scratch, done)?;
                taken.packages = answer.record.packages;
            }
            if !taken.complete {
                taken.packages.clear();
            }
            self.count(taken.complete);
            if taken.complete {
                return Ok(taken);
            }
            if !was_there {
                self.one_by_one(scratch, done)?;
            }
        }
        if self.link.executes() && self.is_worth_it() {
            self.have_packed(&asked, &slots, &mut taken, scratch, done)?;
        }
        Ok(taken)
    }

    fn count(&self, hit: bool) {
        let figures = &self.link.figures;
        if hit { &figures.hits } else { &figures.misses }.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for the big files that are packed nowhere here.
    fn one_by_one(&self, scratch: &mut Scratch, done: &mut Done) -> Result<()> {
        for slot in self.open.files.iter().filter(|slot| is_big(slot) && slot.packed().is_none()) {
            let Some((digest, sha256)) = slot.digests() else { continue };
            let Some(asked) = Asked::file(digest, sha256, self.codec(), &self.link.policy.terms) else { continue };
            if !self.link.reads() {
                return Ok(());
            }
            let hit = match self.ask(&asked, &[slot])? {
                Some(answer) => self.files(&answer, &[slot], scratch, done)?,
                None => false,
            };
            if hit {
                self.link.note_sent(KeyText::file(&digest, self.codec()).key());
            }
            self.count(hit);
        }
        Ok(())
    }

    /// Is there so much to pack that it is worth sending it away? Small files beside big ones that are packed are not.
    fn is_worth_it(&self) -> bool {
        let is_unpacked = |slot: &&FileSlot| slot.packed().is_none();
        let mut big = self.open.files.iter().filter(|slot| is_big(slot)).peekable();
        match big.peek() {
            Some(_) => big.any(|slot| is_unpacked(&slot)),
            None => self.open.files.iter().any(|slot| is_unpacked(&slot)),
        }
    }

    /// Has a worker check and pack the files, and takes them from there. Where that fails they are packed here.
    fn have_packed(
        &self,
        asked: &Asked,
        slots: &[&FileSlot],
        taken: &mut Taken,
        scratch: &mut Scratch,
        done: &mut Done,
    ) -> Result<()> {
        let Some(_right) = self.link.may_execute() else { return Ok(()) };
        let mut did_it = false;
        if let Some(result) = execute::execute(self, asked)?
            && let Some(answer) = self.read(result, slots)?
        {
            match answer.record.refused.iter().find_map(KeptFinding::restore) {
                Some(found) => did_it = self.refused(&found, taken)?,
                None => {
                    let told = self.tells_packages(&answer.record);
                    did_it = match self.link.policy.minimal && told {
                        true => self.leave(asked, &answer.result, taken)?,
                        false => {
                            let _carrying = self.link.carry();
                            self.files(&answer, slots, scratch, done)?
                        }
                    };
                    taken.packages.extend(answer.record.packages);
                }
            }
        }
        let figures = &self.link.figures;
        if did_it { &figures.executed } else { &figures.fell_back }.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Are all packages of the expert told?
    fn tells_packages(&self, record: &Record) -> bool {
        record.packages.len() == self.open.packages.len() && !self.open.packages.is_empty()
    }

    /// What a worker made stays there, under the name that all ask by. Nobody believes it for that.
    fn leave(&self, asked: &Asked, result: &ActionResult, taken: &mut Taken) -> Result<bool> {
        if self.link.writes() {
            let kept = self.context.pool.away(|| self.link.remote.update(&asked.action, result));
            let sent = self.link.delivered(kept)?;
            self.link.figures.sent.fetch_add(u64::from(sent), Ordering::Relaxed);
        }
        taken.complete = true;
        Ok(true)
    }

    /// A worker refused the expert. That may be so where it looked at values that were not looked at here, which is done
    /// next; whatever else it could find was looked for here before.
    fn refused(&self, found: &Diagnostic, taken: &mut Taken) -> Result<bool> {
        let why = format!("{} ({})", found.message, found.code.name);
        if self.open.files.iter().any(hash::is_late) {
            taken.refused = Some(why);
            return Ok(true);
        }
        let name = self.open.name(&self.job.target);
        self.link.wrong(format!("a worker refused `{name}`, which is good here: {why}")).map(|()| false)
    }

    /// The look at its values that is still to be taken, of weights that needed no reading for their name.
    fn scan(&self, slot: &FileSlot) -> Option<(&Header, Scan)> {
        let facts = self.open.facts.get().filter(|_| hash::is_late(slot))?;
        let header = &facts.weights.get(&slot.path)?.header;
        Some((header, Scan::new(header)))
    }

    /// The file was proven: what was seen of its values counts.
    fn scanned(slot: &FileSlot, scan: Option<(&Header, Scan)>) {
        if let Some(report) = scan.and_then(|(header, scan)| scan.finish(header).ok()) {
            let _ = slot.scan.set(report.into());
        }
    }

    /// Asks for a result, and reads its record.
    fn ask(&self, asked: &Asked, slots: &[&FileSlot]) -> Result<Option<Answer>> {
        let remote = &self.link.remote;
        let answer = self.context.pool.away(|| remote.result(&asked.action, &[task::RECORD]));
        let Some(result) = self.link.heard(answer)?.flatten() else { return Ok(None) };
        let answer = self.read(result, slots)?;
        if answer.as_ref().is_some_and(|answer| !answer.record.refused.is_empty()) {
            self.link.wrong("a kept result is a refusal, which nobody keeps")?;
            return Ok(None);
        }
        Ok(answer)
    }

    /// Reads the record of a result. Servers need not send contents along: then what else is small is fetched with it.
    fn read(&self, result: ActionResult, slots: &[&FileSlot]) -> Result<Option<Answer>> {
        let Some(file) = result.files.get(task::RECORD) else {
            self.link.wrong("a result has no record")?;
            return Ok(None);
        };
        let (mut contents, mut found) = (file.contents.clone(), BTreeMap::new());
        if contents.is_none() {
            let mut wanted = vec![file.digest];
            if !self.link.policy.minimal {
                let small = slots.iter().enumerate().filter(|(_, slot)| slot.packed().is_none());
                let small = small.filter_map(|(number, _)| Some(result.files.get(&task::packed(number))?.digest));
                let mut room = AT_ONCE.saturating_sub(file.digest.size);
                wanted.extend(small.filter(|digest| digest.size <= TOGETHER).take_while(|digest| {
                    let fits = digest.size <= room;
                    room = room.saturating_sub(digest.size);
                    fits
                }));
            }
            wanted.sort_unstable();
            wanted.dedup();
            self.fetch(&wanted, MOST, &mut |digest, bytes| drop(found.insert(digest, bytes)))?;
            contents = found.remove(&file.digest);
        }
        let Some(bytes) = contents else { return Ok(None) };
        let record = Record::decode(&bytes, slots.len());
        if record.is_none() {
            self.link.wrong("a result's record is not one")?;
        }
        Ok(record.map(|record| Answer { record, result, found }))
    }

    /// Fetches blobs. Those that could not be had are not told.
    fn fetch(&self, digests: &[CasDigest], limit: u64, each: &mut dyn FnMut(CasDigest, Vec<u8>)) -> Result<()> {
        let mut failures = Vec::new();
        let answer = self.context.pool.away(|| {
            self.link.remote.fetch(digests, limit, &mut |digest, bytes| match bytes {
                Ok(bytes) => each(digest, bytes),
                Err(failure) => failures.push(failure),
            })
        });
        // A call that failed has told it of each blob too: it is one failure.
        if self.link.heard(answer)?.is_none() {
            return Ok(());
        }
        failures.into_iter().try_for_each(|failure| self.link.heard::<()>(Err(failure)).map(drop))
    }

    /// Takes the files of a record that are packed nowhere here. Are all of them packed now?
    fn files(&self, answer: &Answer, slots: &[&FileSlot], scratch: &mut Scratch, done: &mut Done) -> Result<bool> {
        let Answer { record, result, found } = answer;
        if record.files.iter().zip(slots).any(|(file, slot)| slot.sha256() != Some(file.sha256)) {
            self.link.wrong("a result is of other files than those that were asked for")?;
            return Ok(false);
        }
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for (number, bytes) in record.inlined().into_iter().enumerate() {
            let (slot, file) = (slots[number], &record.files[number]);
            if slot.packed().is_some() {
                continue;
            }
            // What it claims to be decides how much room is made for it, here and on the disk.
            if !is_plausible(&file.table(), slot.stat.size) {
                self.link.wrong(format!("`{}` is said to be cut as no package is", slot.path))?;
                continue;
            }
            if let Some(bytes) = bytes {
                self.small(slot, file, bytes.to_vec(), None, scratch, done)?;
                continue;
            }
            match result.files.get(&task::packed(number)).map(|output| output.digest) {
                Some(digest) if digest.size == file.len() => {
                    let wanted = Wanted { file: number, digest };
                    match found.get(&digest) {
                        Some(bytes) => self.small(slot, file, bytes.clone(), Some(digest), scratch, done)?,
                        None if digest.size <= TOGETHER => together.push(wanted),
                        None => alone.push(wanted),
                    }
                }
                _ => self.link.wrong("a result lacks a packed file that its record speaks of")?,
            }
        }
        self.together(&together, record, slots, scratch, done)?;
        for wanted in alone {
            if !self.link.asks() {
                break;
            }
            self.alone(wanted, &record.files[wanted.file], slots[wanted.file], scratch, done)?;
        }
        Ok(slots.iter().all(|slot| slot.packed().is_some()))
    }

    /// Takes files that are small when packed, many with one call.
    fn together(
        &self,
        wanted: &[Wanted],
        record: &Record,
        slots: &[&FileSlot],
        scratch: &mut Scratch,
        done: &mut Done,
    ) -> Result<()> {
        let mut rest = wanted;
        while !rest.is_empty() && self.link.asks() {
            let mut size = 0;
            let fits = rest.iter().take_while(|wanted| {
                size += wanted.digest.size;
                size <= AT_ONCE
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            rest = later;
            let mut digests: Vec<CasDigest> = now.iter().map(|wanted| wanted.digest).collect();
            digests.sort_unstable();
            digests.dedup();
            let mut found = BTreeMap::new();
            self.fetch(&digests, TOGETHER, &mut |digest, bytes| drop(found.insert(digest, bytes)))?;
            for Wanted { file, digest } in now {
                if let Some(bytes) = found.get(digest) {
                    self.small(slots[*file], &record.files[*file], bytes.clone(), Some(*digest), scratch, done)?;
                }
            }
        }
        Ok(())
    }

    /// Takes a file whose packed bytes are in memory.
    fn small(
        &self,
        slot: &FileSlot,
        file: &PackedFile,
        packed: Vec<u8>,
        name: Option<CasDigest>,
        scratch: &mut Scratch,
        done: &mut Done,
    ) -> Result<()> {
        let Some(content) = slot.digest() else { return Ok(()) };
        let (mut hasher, mut out, mut rest) = (blake3::Hasher::new(), Vec::new(), &packed[..]);
        let mut scan = self.scan(slot);
        let table = file.table();
        let cut = table.iter().rev().skip(1).all(|segment| segment.source_len as usize == SEGMENT);
        let unpacks = table.iter().all(|segment| {
            let Some((now, later)) = rest.split_at_checked(segment.packed_len as usize) else { return false };
            rest = later;
            let whole = scratch.reader.read(self.codec().compression, segment, now, &mut out);
            if let Some((_, scan)) = &mut scan {
                scan.feed(hasher.count(), &out);
            }
            hasher.update(&out);
            whole
        });
        let is_it = Digest::new(*hasher.finalize().as_bytes(), hasher.count()) == content;
        if !(cut && unpacks && rest.is_empty() && is_it) {
            return self.link.wrong(format!("`{}` is packed wrongly there", slot.path));
        }
        Self::scanned(slot, scan);
        let packed = if packed.len() <= hash::INLINE {
            Packed::Inline(packed, table)
        } else {
            let home = Digest::of(&packed);
            let mut blob = self.context.cache.new_blob(home.size())?;
            blob.write(&packed)?;
            blob.finish(home)?;
            self.context.wrote(home);
            let name = name.map_or_else(|| Sha256::of(&packed), |name| name.sha256);
            self.note_name(home, name);
            Packed::Blob(home, table)
        };
        self.keep(slot, file, packed, done)
    }

    /// The name on the wire of what was fetched need not be reckoned when it is sent.
    fn note_name(&self, home: Digest, sha256: Sha256) {
        if self.link.writes() {
            self.link.note_name(&home, sha256);
        }
    }

    /// Takes a big file: streamed into the local cache, then proven.
    fn alone(
        &self,
        wanted: Wanted,
        file: &PackedFile,
        slot: &FileSlot,
        scratch: &mut Scratch,
        done: &mut Done,
    ) -> Result<()> {
        let Some(content) = slot.digest() else { return Ok(()) };
        let key = KeyText::file(&content, self.codec()).key();
        // Others may fetch the same file for another expert; who waits for them is away.
        let _alone = self.context.pool.away(|| self.link.fetch_alone(key));
        if hash::known_here(slot, self.codec(), self.context, done)? {
            return Ok(());
        }
        let Some(home) = self.stream(wanted.digest)? else { return Ok(()) };
        let Some(packed) = self.context.cache.blob(&home)? else { return Ok(()) };
        let table = file.table();
        let compression = self.codec().compression;
        let mut scan = self.scan(slot);
        let values = scan.as_mut().map(|(_, scan)| scan);
        if !proves(packed, &table, compression, content, values, self.context.pool, scratch)? {
            self.context.cache.forget_blob(&home);
            return self.link.wrong(format!("`{}` is packed wrongly there", slot.path));
        }
        Self::scanned(slot, scan);
        self.context.wrote(home);
        self.note_name(home, wanted.digest.sha256);
        self.keep(slot, file, Packed::Blob(home, table), done)
    }

    /// Streams a blob into the local cache.
    fn stream(&self, digest: CasDigest) -> Result<Option<Digest>> {
        let (context, link) = (self.context, self.link);
        let streamed = context.pool.away(|| -> Result<_> {
            let mut blob = context.cache.new_blob(digest.size)?;
            let (mut hasher, mut fault) = (blake3::Hasher::new(), None);
            let answer = link.remote.stream(digest, &mut |bytes| {
                if context.pool.is_cancelled() {
                    fault = Some(Error::Interrupted);
                    return Err(std::io::Error::other("the run was stopped"));
                }
                hasher.update(bytes);
                blob.write(bytes).map_err(|error| {
                    let text = error.to_string();
                    fault = Some(error);
                    std::io::Error::other(text)
                })
            });
            if let Some(fault) = fault {
                return Err(fault);
            }
            if let Err(failure) = answer {
                return Ok(Err(failure));
            }
            // Whoever carries the bytes has checked their SHA-256, and what they hold is proven: a third hash would cost more
            // than fetching them over a fast line.
            if hasher.count() != digest.size {
                let message = format!("{digest} came as other bytes");
                return Ok(Err(Failure { kind: FailureKind::Wrong, message }));
            }
            let home = Digest::new(*hasher.finalize().as_bytes(), hasher.count());
            blob.finish(home)?;
            Ok(Ok(home))
        });
        self.link.heard(streamed?)
    }

    /// What was proven is packed: here, and for whoever looks into the local cache.
    fn keep(&self, slot: &FileSlot, file: &PackedFile, packed: Packed, done: &mut Done) -> Result<()> {
        let took_us = if file.took_us > 3_600_000_000 { 0 } else { file.took_us };
        self.link.figures.saved_us.fetch_add(took_us, Ordering::Relaxed);
        slot.packing_us.store(took_us, Ordering::Relaxed);
        done.segments_reused += packed.segments().len() as u64;
        hash::keep_taken(slot, packed, self.codec(), self.context, done)
    }
}

/// Is the file asked for by itself?
fn is_big(slot: &FileSlot) -> bool {
    slot.stat.size > crate::engine::survey::SMALL
}
