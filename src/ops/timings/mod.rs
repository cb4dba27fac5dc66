//! `--timings`: what a run's events tell of its time, as one HTML page that needs nothing else, or as a Chrome trace.

mod page;
mod path;
mod trace;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::base::event::Status;
use crate::base::{Event, Result};
use crate::ops::locked;
use crate::ops::memo::Memo;
use crate::ops::workspace::Workspace;
use crate::store::Index;

pub use page::page;
pub use trace::trace;

/// What the events do not tell.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// The repo: paths below it are shown without it.
    pub root: PathBuf,
    /// Which expert requires which, by name.
    pub requires: Vec<(String, String)>,
    /// The sizes that packages had when they were locked, by expert and base model (empty where it has one): for those
    /// of which the run itself does not know what they were before.
    pub before: BTreeMap<(String, String), u64>,
}

impl Around {
    /// What the index of this repo knows of the requirements between these experts.
    pub fn of(workspace: &Workspace, chosen: &[usize]) -> Result<Self> {
        let index = Index::load(&workspace.index);
        let labels = chosen.iter().map(|number| workspace.repo.experts[*number].label());
        let memos: Vec<Memo> = labels.filter_map(|label| Memo::decode(&index.get(label)?.decode()?.memo)).collect();
        let mut requires = Vec::new();
        for memo in &memos {
            // `name`, or `name@requirement`.
            let names = memo.requires.iter().map(|text| text.split('@').next().unwrap_or(text).trim().to_owned());
            requires.extend(names.map(|name| (memo.name.clone(), name)));
        }
        // A lock file that cannot be read is told where it counts; here it would only have made a column.
        let all = locked::load(workspace).ok().flatten().unwrap_or_default().packages;
        let sizes = all.into_iter().map(|(id, locked)| ((id.name, id.model.unwrap_or_default()), locked.bytes));
        Ok(Self { root: workspace.root.clone(), requires, before: sizes.collect() })
    }

    fn locked(&self, expert: &str, model: &str) -> Option<u64> {
        let of = |model: &str| self.before.get(&(expert.to_owned(), model.to_owned())).copied();
        of(model).or_else(|| of(""))
    }
}

/// A task that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ran {
    /// Its number in the plan.
    pub id: usize,
    /// What kind it is.
    pub task: &'static str,
    /// Number of its expert in [`Timings::experts`].
    pub expert: usize,
    /// The file or base model it is about.
    pub subject: String,
    /// Number of the reason in [`Timings::reasons`].
    pub why: usize,
    /// The thread.
    pub thread: usize,
    /// Microseconds since the run began.
    pub start: u64,
    /// Microseconds since the run began.
    pub end: u64,
    /// What became of it.
    pub status: Status,
    /// Source bytes read.
    pub read: u64,
    /// Segments compressed.
    pub made: u64,
    /// Segments taken from the cache.
    pub reused: u64,
    /// Places in [`Timings::tasks`] of the tasks that it waited for.
    pub after: Vec<usize>,
}

/// A package that was put in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// The expert.
    pub expert: String,
    /// The base model.
    pub model: String,
    /// Where it lies.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its size before, where that is known.
    pub before: Option<u64>,
    /// How it came there.
    pub status: Status,
    /// Its files.
    pub files: usize,
    /// Segments compressed.
    pub made: u64,
    /// Segments taken from the cache.
    pub reused: u64,
}

/// The work on one expert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Number of the expert in [`Timings::experts`].
    pub expert: usize,
    /// Microseconds that its tasks took together.
    pub took: u64,
    /// When its first task began.
    pub start: u64,
    /// When its last task ended.
    pub end: u64,
    /// Its tasks.
    pub tasks: usize,
    /// How many of them the cache or an unchanged output answered.
    pub cached: usize,
    /// Source bytes read.
    pub read: u64,
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Timings {
    /// The version that built.
    pub version: String,
    /// Threads.
    pub jobs: usize,
    /// Microseconds from the first to the last.
    pub took: u64,
    /// Packages built, restored, up to date, failed, skipped.
    pub packages_by_end: [usize; 5],
    /// Task results found in the cache, and looked for in vain.
    pub cache: [u64; 2],
    /// Names of experts.
    pub experts: Vec<String>,
    /// Why they were stale.
    pub reasons: Vec<String>,
    /// Tasks by their start.
    pub tasks: Vec<Ran>,
    /// Places of the tasks that the run could not have been shorter than, in order.
    pub critical: Vec<usize>,
    /// Work by expert, the most first.
    pub work: Vec<Work>,
    /// Packages, the largest first.
    pub packages: Vec<Package>,
    /// Which expert requires which.
    pub requires: Vec<(String, String)>,
}

impl Timings {
    /// What these events tell.
    pub fn of(events: &[Event], around: &Around) -> Self {
        let mut timings = Self { requires: around.requires.clone(), ..Self::default() };
        timings.requires.sort();
        timings.requires.dedup();
        let (mut experts, mut reasons) = (Numbers::default(), Numbers::default());
        let mut running: BTreeMap<usize, (Ran, &[usize])> = BTreeMap::new();
        let mut ended: Vec<(Ran, &[usize])> = Vec::new();
        for event in events {
            match event {
                Event::RunStart { version, jobs, .. } => (timings.version, timings.jobs) = ((*version).into(), *jobs),
                Event::TaskStart { id, task, expert, subject, why, after, thread, at_us } => {
                    let ran = Ran {
                        id: *id,
                        task,
                        expert: experts.number(expert),
                        subject: subject.clone(),
                        why: reasons.number(why),
                        thread: *thread,
                        start: *at_us,
                        end: *at_us,
                        status: Status::Skipped,
                        read: 0,
                        made: 0,
                        reused: 0,
                        after: Vec::new(),
                    };
                    running.insert(*id, (ran, after));
                }
                Event::TaskFinish { id, status, segments_made, segments_reused, bytes_read, at_us } => {
                    let Some((mut ran, after)) = running.remove(id) else { continue };
                    (ran.status, ran.end, ran.read) = (*status, (*at_us).max(ran.start), *bytes_read);
                    (ran.made, ran.reused) = (*segments_made, *segments_reused);
                    ended.push((ran, after));
                }
                Event::Artifact {
                    expert,
                    path,
                    bytes,
                    bytes_before,
                    status,
                    files,
                    segments_made,
                    segments_reused,
                    ..
                } => {
                    // The task that made it ended just before.
                    let model = ended.last().map_or_else(String::new, |(ran, _)| ran.subject.clone());
                    let shown = std::path::Path::new(path).strip_prefix(&around.root).ok();
                    timings.packages.push(Package {
                        before: bytes_before.or_else(|| around.locked(expert, &model)),
                        expert: expert.clone(),
                        model,
                        path: shown.map_or_else(|| path.clone(), |p| p.to_string_lossy().into_owned()),
                        bytes: *bytes,
                        status: *status,
                        files: files.len(),
                        made: *segments_made,
                        reused: *segments_reused,
                    });
                }
                Event::RunFinish {
                    built, restored, fresh, failed, skipped, cache_hits, cache_misses, took_ms, ..
                } => {
                    timings.packages_by_end = [*built, *restored, *fresh, *failed, *skipped];
                    timings.cache = [*cache_hits, *cache_misses];
                    timings.took = took_ms * 1000;
                }
                _ => {}
            }
        }
        ended.extend(running.into_values());
        ended.sort_by_key(|(ran, _)| (ran.start, ran.id));
        let places: BTreeMap<usize, usize> = ended.iter().enumerate().map(|(at, (ran, _))| (ran.id, at)).collect();
        for (mut ran, after) in ended {
            ran.after = after.iter().filter_map(|id| places.get(id).copied()).collect();
            timings.took = timings.took.max(ran.end);
            timings.tasks.push(ran);
        }
        timings.experts = experts.texts();
        timings.reasons = reasons.texts();
        timings.critical = path::critical(&timings.tasks);
        timings.work = path::work(&timings.tasks);
        timings.packages.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        timings
    }
}

/// Texts by number: each is kept once.
#[derive(Default)]
struct Numbers(BTreeMap<String, usize>);

impl Numbers {
    fn number(&mut self, text: &str) -> usize {
        let next = self.0.len();
        match self.0.get(text) {
            Some(number) => *number,
            None => *self.0.entry(text.to_owned()).or_insert(next),
        }
    }

    fn texts(self) -> Vec<String> {
        let mut all: Vec<(usize, String)> = self.0.into_iter().map(|(text, number)| (number, text)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, text)| text).collect()
    }
}
