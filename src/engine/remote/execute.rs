//! `execute`: has a worker validate, hash and pack an expert: sends the inputs that it lacks, waits, takes the result.
//!
//! Whoever waits is away, so it costs no thread of this machine. A worker that fails is told once: the expert is packed here
//! then. One that finds something wrong with the expert has a result like any other, and [`take`](mod@super::take) looks into it.

use std::io::Cursor;

use crate::base::Result;
use crate::engine::remote::take::Taking;
use crate::engine::remote::task::Asked;
use crate::store::fs;
use crate::store::remote::{ActionResult, CasDigest, Failure, FailureKind, Upload};

/// The most of a worker's last words that is told.
const WORDS: usize = 300;

/// Has the task run. `None` where it did not end well.
pub(super) fn execute(taking: &Taking<'_, '_>, asked: &Asked) -> Result<Option<ActionResult>> {
    let Some(worker) = &taking.link.policy.worker else { return Ok(None) };
    let Some(action) = asked.with_program(worker.digest) else { return Ok(None) };
    let program = worker.program.clone();
    let open = Box::new(move || -> std::io::Result<Box<dyn std::io::Read + Send>> {
        let (file, _) = fs::open(&program).map_err(|e| std::io::Error::other(e.to_string()))?;
        Ok(Box::new(file))
    });
    let mut inputs = vec![Upload { digest: worker.digest, open }];
    inputs.extend(asked.texts.iter().map(|text| Upload::bytes(text.clone())));
    let survey = &taking.open.survey;
    let manifest = survey.manifest.as_ref().map(|manifest| manifest.text.clone());
    if let Some(manifest) = manifest {
        inputs.push(Upload::bytes(manifest.as_bytes().to_vec()));
    }
    for slot in &taking.open.files {
        let Some((digest, sha256)) = slot.digests() else { return Ok(None) };
        let open = Box::new(move || -> std::io::Result<Box<dyn std::io::Read + Send>> {
            if let Some(kept) = slot.kept() {
                return Ok(Box::new(Cursor::new(kept.to_vec())));
            }
            let (file, _) = slot.open().map_err(|e| std::io::Error::other(e.to_string()))?;
            Ok(Box::new(file))
        });
        inputs.push(Upload { digest: CasDigest { sha256, size: digest.size() }, open });
    }
    let wanted = |digest: &CasDigest| action.inputs.values().any(|input| input.digest == *digest);
    inputs.retain(|input| wanted(&input.digest));
    let (pool, remote) = (taking.context.pool, &taking.link.remote);
    let carrying = taking.link.carry();
    let sent = pool.away(|| remote.upload(&inputs));
    drop(carrying);
    if taking.link.heard(sent)?.is_none() {
        return Ok(None);
    }
    let answer = pool.away(|| remote.execute(&action, &|| pool.is_cancelled())).map_err(|failure| match failure.kind {
        // An input that went away again is no miss.
        FailureKind::Missing => Failure { kind: FailureKind::Wrong, ..failure },
        _ => failure,
    });
    let Some(result) = taking.link.heard(answer)? else { return Ok(None) };
    if result.exit_code != 0 {
        let words = String::from_utf8_lossy(&result.stderr);
        let words = words.trim();
        let from = words.char_indices().rev().nth(WORDS).map_or(0, |(at, _)| at);
        let name = taking.open.name(&taking.job.target);
        let message = format!("a worker ended with code {} on `{name}`: {}", result.exit_code, &words[from..]);
        taking.link.heard::<()>(Err(Failure { kind: FailureKind::Wrong, message }))?;
        return Ok(None);
    }
    Ok(Some(result))
}
