//! What a build would do to a stale expert, found without doing it: nothing, restore its packages, or build them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::engine::explain::Explained;
use crate::engine::freshness::in_parallel;
use crate::engine::job::Job;
use crate::engine::key::KeyText;
use crate::engine::target::Target;
use crate::engine::tasks::compose::package_key;
use crate::ops::workspace::Workspace;
use crate::store::{Cache as _, Index, fs};

/// An expert that is stale, where nothing shall be built now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its name; its folder where that is not known.
    pub expert: String,
    /// Why it is not fresh.
    pub why: String,
    /// Would a build take every package from the cache? `None` where nobody knows before it is tried: the expert was never
    /// built here and has too much to read, or it cannot be built.
    pub cached: Option<bool>,
}

/// How many bytes of experts that were never built here are read to know whether the cache has their packages: a
/// moment's work. Of what is beyond nobody knows without building.
const READ: i64 = 256 << 20;

/// Would a build take every package of an expert, which was built here before, from the cache?
pub(crate) fn is_cached(workspace: &Workspace, target: &Target, explained: &Explained) -> bool {
    has(workspace, target, &explained.keys)
}

fn has(workspace: &Workspace, target: &Target, keys: &[KeyText]) -> bool {
    let has = |key| workspace.cache.result(key).is_ok_and(|found| found.is_some());
    // What is signed is made where the key is.
    target.signer.is_none() && !keys.is_empty() && keys.iter().all(|text| has(text.key()))
}

/// What a build of these jobs would do: one for each job, `None` where it would find everything as it was. By stat alone
/// a touched file looks changed; whoever asks without building wants to know.
pub(crate) fn due(
    workspace: &Workspace,
    jobs: &[Job],
    index: &Arc<Index>,
    force: bool,
    threads: usize,
) -> Vec<Option<Due>> {
    let room = AtomicI64::new(READ);
    in_parallel(jobs, threads, &|job: &Job| {
        let due = |cached| Some(Due { expert: job.name(), why: job.why.to_string(), cached });
        if force {
            return due(Some(false));
        }
        let Ok(explained) = Explained::of(&workspace.root, &job.target, index, &workspace.cache) else {
            return due(None);
        };
        match explained {
            explained if explained.is_same() => None,
            explained if explained.is_known => due(Some(is_cached(workspace, &job.target, &explained))),
            _ => due(keys_by_content(job, &room).map(|keys| has(workspace, &job.target, &keys))),
        }
    })
}

/// The key of each package of an expert that the index knows nothing of; `None` where that would take too much reading.
fn keys_by_content(job: &Job, room: &AtomicI64) -> Option<Vec<KeyText>> {
    let open = job.open().ok()?;
    let packed = open.survey.layouts.iter().flat_map(|layout| &layout.members);
    let slots: Vec<_> =
        packed.filter_map(|member| open.file(&member.source)).filter(|s| s.digest().is_none()).collect();
    let size = slots.iter().map(|slot| slot.stat.size).try_fold(0_i64, |sum, size| sum.checked_add_unsigned(size))?;
    if room.fetch_sub(size, Ordering::Relaxed) < size {
        room.fetch_add(size, Ordering::Relaxed);
        return None;
    }
    for slot in slots {
        slot.set_digest(fs::digest(&slot.disk()).ok()?).ok()?;
    }
    (0..open.packages.len()).map(|package| package_key(job, &open, package)).collect()
}
