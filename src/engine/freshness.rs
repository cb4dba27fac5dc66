//! Which experts are up to date, by stat alone: nothing is opened but the index.

#![expect(clippy::disallowed_methods, reason = "the engine starts threads")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::target::Target;
use crate::store::index::{Changed, Front};
use crate::store::{Index, Stat};

/// What a look at an expert tells.
pub enum Verdict<'i> {
    /// All is as it was; what the engine remembered of it.
    Fresh(&'i [u8]),
    /// Why not.
    Stale(Cow<'static, str>),
}

/// What a look at every expert of an index told, by stat alone: settings were not compared.
#[derive(Debug)]
pub struct Looked {
    /// Which index.
    id: [u8; 32],
    /// The experts that are not as they were.
    stale: BTreeMap<String, Changed>,
}

impl Looked {
    /// Is every expert as it was?
    pub fn is_fresh(&self) -> bool {
        self.stale.is_empty()
    }

    /// Was it this index that was looked at?
    pub fn is_of(&self, index: &Index) -> bool {
        self.id == *index.id()
    }

    /// Is an expert that the index knows as it was?
    pub fn is_fresh_now(&self, expert: &str) -> bool {
        !self.stale.contains_key(expert)
    }
}

/// Looks at every expert of the index with so many threads; `None` where the index is damaged.
pub fn look_at_all(root: &Path, front: &Front, threads: usize) -> Option<Looked> {
    let next = AtomicUsize::new(0);
    let work = || {
        // Each thread has the folder and a buffer for itself: what they share they would wait for.
        let folder = std::fs::File::open(root).ok()?;
        let below = |path: &CStr, links| Stat::below(&folder, path, links).ok();
        let (mut stale, mut buffer) = (BTreeMap::new(), Vec::new());
        while let Some(block) = front.blocks().get(next.fetch_add(1, Ordering::Relaxed)) {
            for record in front.stats(block, &mut buffer)? {
                if let Err(changed) = record.check(&below) {
                    stale.insert(record.key().to_owned(), changed);
                }
            }
        }
        Some(stale)
    };
    let others = threads.min(front.blocks().len()).saturating_sub(1);
    let found = std::thread::scope(|scope| {
        let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        let joined =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let own = work();
        joined.chain([own]).collect::<Option<Vec<_>>>()
    });
    Some(Looked { id: *front.id(), stale: found?.into_iter().flatten().collect() })
}

/// Looks at experts with all threads. Where all are `asked_for`, that is why they are stale. What was seen `before`, of the
/// same index, is not asked again.
pub fn look<'i>(
    root: &Path,
    index: &'i Index,
    targets: &[Arc<Target>],
    asked_for: Option<&'static str>,
    threads: usize,
    before: Option<&Looked>,
) -> Vec<Verdict<'i>> {
    let folder = std::fs::File::open(root).ok();
    let before = before.filter(|before| before.is_of(index));
    in_parallel(targets, threads, &|target: &Arc<Target>| {
        let Some(view) = index.get(target.key()) else {
            return Verdict::Stale("never built here".into());
        };
        let stale = |why: String| Verdict::Stale(why.into());
        if let Some(why) = asked_for {
            return Verdict::Stale(why.into());
        }
        let below = |path: &CStr, links| folder.as_ref().and_then(|f| Stat::below(f, path, links).ok());
        let checked = match before {
            _ if *view.stats().settings() != target.fingerprint() => Err(Changed::Settings),
            Some(before) => before.stale.get(target.key()).map_or(Ok(()), |changed| Err(changed.clone())),
            None => view.stats().check(&below),
        };
        match checked {
            Ok(()) => Verdict::Fresh(view.memo().unwrap_or_default()),
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
