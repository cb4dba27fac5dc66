//! `give`: queues what was packed here, for whoever asks the other machine next.
//!
//! The expert as a whole, and each big file by itself: whoever changes the README alone finds the weights by these.

use std::io::Read as _;
use std::sync::Arc;

use crate::base::{Digest, Result};
use crate::engine::files::{FileSlot, Packed};
use crate::engine::job::{Job, Open};
use crate::engine::key::KeyText;
use crate::engine::remote::link::Link;
use crate::engine::remote::record::{Adding, Record};
use crate::engine::remote::task::Asked;
use crate::engine::remote::uploads::{Made, Sending};

/// Queues the results of an expert whose packages are in their places, unless the other machine has them.
pub fn give(job: &Job, open: &Open, link: &Arc<Link>, stopped: &dyn Fn() -> bool) -> Result<()> {
    // What was restored from the local cache and not offered is not ready.
    let known = open.remote.get().map_or(open.vouched.get().is_some(), |taken| taken.complete);
    if !link.writes() || known {
        return Ok(());
    }
    let terms = &link.policy.terms;
    let mut record = Record::default();
    let mut files = Vec::new();
    for (number, slot) in open.files.iter().enumerate() {
        let Some(packed) = slot.packed() else { return Ok(()) };
        let Some(blob) = add(&mut record, slot, &packed, link) else { return Ok(()) };
        files.extend(blob.map(|blob| (number, blob)));
    }
    if job.target.signer.is_none() && record.add_packages(open).is_none() {
        return Ok(());
    }
    let mut sending = Sending::default();
    if let Some(asked) = Asked::expert(job, open, terms) {
        sending.0.push(Made { action: asked.action, record: record.encode(), files });
    }
    for slot in open.files.iter().filter(|slot| slot.stat.size > crate::engine::survey::SMALL) {
        let (Some(packed), Some((digest, sha256))) = (slot.packed(), slot.digests()) else { continue };
        // Experts share tokenizers: one of them sends it.
        if !link.note_sent(KeyText::file(&digest, job.target.codec).key()) {
            continue;
        }
        let Some(asked) = Asked::file(digest, sha256, job.target.codec, terms) else { continue };
        let mut record = Record::default();
        let Some(blob) = add(&mut record, slot, &packed, link) else { continue };
        let files = blob.into_iter().map(|blob| (0, blob)).collect();
        sending.0.push(Made { action: asked.action, record: record.encode(), files });
    }
    link.send(sending, stopped)
}

/// Adds a file to a record. The blob is what is to be sent beside it; `None` where the file cannot be told.
#[expect(clippy::option_option, reason = "not to be told, and told with or without a blob, are three answers")]
fn add(record: &mut Record, slot: &FileSlot, packed: &Packed, link: &Link) -> Option<Option<Digest>> {
    let adding = Adding::of(slot, packed)?;
    let Packed::Blob(home, _) = packed else {
        record.add(&adding, || None);
        return Some(None);
    };
    let read = || {
        let mut bytes = Vec::new();
        let file = link.cache.blob(home).ok()??;
        file.take(home.size()).read_to_end(&mut bytes).ok()?;
        (Digest::of(&bytes) == *home).then_some(bytes)
    };
    Some(if record.add(&adding, read) { None } else { Some(*home) })
}
