//! Which experts are up to date, by stat alone: nothing is opened but the index.

#![expect(clippy::disallowed_methods, reason = "the engine starts threads")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::engine::job::Finished;
use crate::engine::survey::{fingerprint, way_to};
use crate::engine::target::Target;
use crate::store::index::{Changed, Record};
use crate::store::{Index, Stat, fs};

/// What a look at an expert tells.
pub enum Verdict {
    /// All is as it was; what the engine remembered of it.
    Fresh(Vec<u8>),
    /// Why not.
    Stale(String),
}

/// Looks at experts with all threads.
pub fn look(root: &Path, index: &Index, targets: &[Arc<Target>], force: bool, threads: usize) -> Vec<Verdict> {
    let folder = std::fs::File::open(root).ok();
    in_parallel(targets, threads, &|target: &Arc<Target>| {
        let Some(view) = index.get(target.key()) else {
            return Verdict::Stale("never built here".into());
        };
        let stale = |why: String| Verdict::Stale(why);
        if force {
            return stale("asked for by `--force`".into());
        }
        let below = |path: &std::ffi::CStr, links| folder.as_ref().and_then(|f| Stat::below(f, path, links).ok());
        match view.check(&target.fingerprint(), &below) {
            Ok(()) => Verdict::Fresh(view.memo().unwrap_or_default().to_vec()),
            Err(Changed::Settings) => stale("settings or the program changed".into()),
            Err(Changed::Folder(path)) => stale(format!("files came or went in `{path}`")),
            Err(Changed::Input(path)) => stale(format!("`{path}` changed")),
            Err(Changed::Output(path)) => stale(format!("`{path}` is missing or was changed")),
            Err(Changed::Damaged) => stale("its record in the index is damaged".into()),
        }
    })
}

/// Does something for each item, by so many threads, and keeps the order.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], threads: usize, act: &(dyn Fn(&T) -> R + Sync)) -> Vec<R> {
    const FEW: usize = 64;
    if threads < 2 || items.len() < FEW {
        return items.iter().map(act).collect();
    }
    let share = items.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let work = |part: &'_ [T]| part.iter().map(act).collect::<Vec<R>>();
        let handles: Vec<_> = items.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
        let mut all = Vec::with_capacity(items.len());
        for handle in handles {
            match handle.join() {
                Ok(part) => all.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

/// The records for the index: folders that packages were written to get the stat that they have now, if nothing but
/// packages came or went there.
pub fn settle(finished: BTreeMap<String, Finished>) -> BTreeMap<String, Record> {
    if finished.values().any(|f| !f.written.is_empty()) {
        // A change in the same tick as the last package would not change the folder's times: let the tick pass.
        std::thread::sleep(std::time::Duration::from_millis(21));
    }
    let settled = finished.into_iter().map(|(key, mut finished)| {
        for (at, folder, names) in &finished.written {
            let stat = Stat::following(folder).ok();
            let ours = way_to(&finished.output, folder);
            let same = fs::list(folder)
                .is_ok_and(|entries| fingerprint(entries.iter().filter_map(|e| e.name.as_deref()), ours) == *names);
            finished.record.folders[*at].stat = stat.filter(|_| same);
        }
        (key, finished.record)
    });
    settled.collect()
}
