//! Runs a plan: hands ready tasks to threads, tells events in one order, decides what failure stops.
//!
//! One thread coordinates: it alone knows which tasks wait for what, and it alone speaks to the observer. Workers send
//! it what became of their task. Without `keep_going` the first failure lets running tasks end and starts no more.

#![expect(clippy::disallowed_methods, reason = "the engine starts threads")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::base::event::{Observer, Status};
use crate::base::{Diagnostic, Error, Event, Result};
use crate::engine::job::Job;
use crate::engine::plan::{Plan, Task};
use crate::engine::pool::{Next, Pool};
use crate::engine::remote;
use crate::engine::scratch::Scratch;
use crate::engine::tasks::{Context, Done, archive, compose, hash, sign, validate};

/// How a run went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Packages that were written new.
    pub built: usize,
    /// Packages that the cache gave back.
    pub restored: usize,
    /// Packages whose bytes were there already.
    pub unchanged: usize,
    /// Packages that another machine has, which was enough to know.
    pub left_there: usize,
    /// Errors, by job.
    pub failed: BTreeMap<usize, Error>,
    /// Jobs that were not finished because of others' failures or because the run was stopped.
    pub skipped: Vec<usize>,
    /// Jobs that were finished.
    pub finished: Vec<usize>,
    /// Warnings told.
    pub warnings: usize,
    /// Results found in the cache.
    pub hits: u64,
    /// Results not found.
    pub misses: u64,
    /// Packed bytes that the cache had.
    pub bytes_saved: u64,
    /// Microseconds that making them took when they were made.
    pub saved_us: u64,
}

/// So many messages may wait for a slow observer; then the workers wait for it too, and memory does not grow.
const WAITING: usize = 1024;

/// So many jobs are open at a time, and so many more for each thread.
const OPEN: usize = 4;
const OPEN_EACH: usize = 4;

/// How many jobs are open at a time, with so many threads and other machines' workers. What a worker does is open here.
pub fn most_open(threads: usize, workers: usize) -> usize {
    OPEN + OPEN_EACH * threads + workers
}

enum Message {
    Started { id: usize, thread: usize, at_us: u64 },
    Ended { id: usize, at_us: u64, result: Box<Result<Done>> },
}

/// Runs the plan. `finished` is called with the number of each job as soon as its last task is done, before it is closed.
pub fn run(
    plan: &Plan,
    jobs: &[Job],
    context: &Context<'_>,
    packages: bool,
    keep_going: bool,
    observer: &mut dyn Observer,
    finished: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Outcome> {
    let (sender, receiver) = sync_channel(WAITING);
    let pool = context.pool;
    std::thread::scope(|scope| {
        let _closing = Closing(pool);
        for thread in 0..pool.all_threads() {
            let sender = sender.clone();
            std::thread::Builder::new()
                .name(format!("worker-{thread}"))
                .spawn_scoped(scope, move || work(thread, plan, jobs, context, packages, &sender))
                .map_err(|e| Error::io("start a thread of", ".", e))?;
        }
        drop(sender);
        Coordinator::new(plan, jobs, context, keep_going, observer, finished).run(receiver)
    })
}

/// Sends the workers home when the coordinator leaves, be it by an error or a panic of the observer: they are waited for.
/// The receiver went with it, so none of them waits for room in the channel.
struct Closing<'p, 'c>(&'p Pool<'c>);

impl Drop for Closing<'_, '_> {
    fn drop(&mut self) {
        self.0.take_back(0..usize::MAX);
        self.0.close();
    }
}

fn work(thread: usize, plan: &Plan, jobs: &[Job], context: &Context<'_>, packages: bool, sender: &SyncSender<Message>) {
    let mut scratch = Scratch::default();
    let now = || context.started.elapsed().as_micros() as u64;
    loop {
        match context.pool.next() {
            Next::Closed => return,
            // A panic of an assist is told by its owner, who never gets its chunk.
            Next::Assist(assist) => {
                if catch_unwind(AssertUnwindSafe(|| assist(&mut scratch))).is_err() {
                    scratch = Scratch::default();
                }
            }
            Next::Task(id) => {
                let task = plan.task(id);
                let _ = sender.send(Message::Started { id, thread, at_us: now() });
                let run = || perform(task, &jobs[task.job()], context, packages, &mut scratch);
                let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
                    scratch = Scratch::default();
                    Err(Error::Bug(panic_text(&*panic)))
                });
                let _ = sender.send(Message::Ended { id, at_us: now(), result: Box::new(result) });
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a task panicked".into())
}

fn perform(task: Task, job: &Job, context: &Context<'_>, packages: bool, scratch: &mut Scratch) -> Result<Done> {
    if context.pool.is_cancelled() {
        return Err(Error::Interrupted);
    }
    let open = job.open()?;
    match task {
        Task::Hash { file, .. } => {
            let slot = open
                .files
                .get(file)
                .ok_or_else(|| Error::Bug("the expert's files are not those of the plan".into()))?;
            if slot.is_small() {
                return hash::small(slot, packages.then_some(job.target.codec), context, scratch);
            }
            if open.vouched.get().is_some() || open.packages.is_empty() {
                return Ok(Done::new(Status::Cached));
            }
            match context.remote.filter(|link| packages && link.asks() && !context.force) {
                // What stays there is not unpacked here.
                Some(link) => hash::first_reading(slot, job.target.codec, !link.policy.minimal, context, scratch),
                None => hash::big(slot, packages.then_some(job.target.codec), context, scratch),
            }
        }
        Task::Headers { .. } => validate::headers(job, &open, context, scratch),
        Task::Contents { .. } => {
            let asks = packages && open.vouched.get().is_none();
            let may_come = asks && !open.packages.is_empty() && context.remote.is_some() && !context.force;
            let late = may_come && open.files.iter().any(hash::is_late);
            let mut done = validate::contents(job, &open, !late)?;
            if asks {
                remote::take(job, &open, context, scratch, &mut done)?;
            }
            if late { validate::late(job, &open, context, scratch, done) } else { Ok(done) }
        }
        Task::Compose { package, .. } => compose::compose(job, &open, package, context),
        Task::Sign { package, .. } => sign::sign(job, &open, package),
        Task::Archive { package, .. } => archive::archive(job, &open, package, context, scratch),
    }
}

struct Coordinator<'c, 'o, 'x> {
    plan: &'c Plan,
    jobs: &'c [Job],
    context: &'c Context<'x>,
    keep_going: bool,
    observer: &'o mut dyn Observer,
    finished: &'o mut dyn FnMut(usize) -> Result<()>,
    waits: Vec<u32>,
    state: Vec<State>,
    /// Tasks of each job that have not ended.
    left: Vec<u32>,
    /// Jobs of which a task was skipped: they are never finished.
    cut: BTreeSet<usize>,
    /// Notices that were told.
    told: BTreeSet<String>,
    running: usize,
    /// The first tasks of jobs that were not begun.
    to_begin: Box<dyn Iterator<Item = Range<usize>> + 'c>,
    /// Jobs that were begun and are not over.
    open: usize,
    stopping: bool,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Queued,
    Ended,
    Skipped,
}

impl<'c, 'o, 'x> Coordinator<'c, 'o, 'x> {
    fn new(
        plan: &'c Plan,
        jobs: &'c [Job],
        context: &'c Context<'x>,
        keep_going: bool,
        observer: &'o mut dyn Observer,
        finished: &'o mut dyn FnMut(usize) -> Result<()>,
    ) -> Self {
        let mut left = vec![0; jobs.len()];
        for (job, tasks) in plan.jobs() {
            left[job] = tasks.len() as u32;
        }
        Self {
            plan,
            jobs,
            context,
            keep_going,
            observer,
            finished,
            waits: plan.waits(),
            state: vec![State::Waiting; plan.len()],
            left,
            cut: BTreeSet::new(),
            told: BTreeSet::new(),
            running: 0,
            to_begin: Box::new(plan.first()),
            open: 0,
            stopping: false,
            outcome: Outcome::default(),
        }
    }

    fn run(mut self, receiver: Receiver<Message>) -> Result<Outcome> {
        self.begin_more();
        while self.running > 0 {
            let Ok(message) = receiver.recv() else {
                return Err(Error::Bug("all workers went away".into()));
            };
            match message {
                Message::Started { id, thread, at_us } => self.started(id, thread, at_us),
                Message::Ended { id, at_us, result } => {
                    self.ended(id, at_us, *result)?;
                    self.begin_more();
                }
            }
        }
        for id in 0..self.plan.len() {
            if self.state[id] == State::Waiting {
                self.skip(id);
            }
        }
        let failed = &self.outcome.failed;
        self.outcome.skipped = self.cut.into_iter().filter(|job| !failed.contains_key(job)).collect();
        Ok(self.outcome)
    }

    /// Gives the workers the first tasks of more jobs. They never get far ahead of this thread: what was begun and not
    /// finished is what memory goes to. Jobs wait for none but those before them, so there is always one that goes on.
    fn begin_more(&mut self) {
        let workers = self.context.remote.map_or(0, |link| link.workers());
        let most = most_open(self.context.pool.threads(), workers);
        while self.open < most && !self.stopping {
            let Some(first) = self.to_begin.next() else { return };
            self.open += 1;
            self.queue(vec![first]);
        }
    }

    fn queue(&mut self, tasks: Vec<Range<usize>>) {
        for range in &tasks {
            self.state[range.clone()].fill(State::Queued);
            self.running += range.len();
        }
        self.context.pool.add(tasks);
    }

    fn started(&mut self, id: usize, thread: usize, at_us: u64) {
        let task = self.plan.task(id);
        let job = &self.jobs[task.job()];
        let open = job.open().ok();
        let subject = match (task, &open) {
            (Task::Hash { file, .. }, Some(open)) => {
                open.survey.files.get(file).map_or_else(String::new, |f| f.path.to_string())
            }
            (Task::Headers { .. }, _) => "headers".into(),
            (Task::Contents { .. }, _) => "contents".into(),
            (
                Task::Compose { package, .. } | Task::Sign { package, .. } | Task::Archive { package, .. },
                Some(open),
            ) => open
                .survey
                .manifest
                .as_ref()
                .and_then(|m| Some(m.base_models.get(open.survey.layouts.get(package)?.model)?.name.clone()))
                .unwrap_or_default(),
            _ => String::new(),
        };
        let expert = open.map_or_else(|| job.target.key().to_owned(), |open| open.name(&job.target));
        self.observer.on(&Event::TaskStart {
            id,
            task: task.kind(),
            expert,
            subject,
            why: job.why.to_string(),
            after: self.plan.before(id).collect(),
            thread,
            at_us,
        });
    }

    fn ended(&mut self, id: usize, at_us: u64, result: Result<Done>) -> Result<()> {
        self.running -= 1;
        self.state[id] = State::Ended;
        let task = self.plan.task(id);
        let job = task.job();
        match result {
            Ok(done) => {
                self.outcome.hits += done.hits;
                self.outcome.misses += done.misses;
                self.outcome.bytes_saved += done.bytes_saved;
                self.outcome.saved_us += done.saved_us;
                self.observer.on(&Event::TaskFinish {
                    id,
                    status: done.status,
                    segments_made: done.segments_made,
                    segments_reused: done.segments_reused,
                    bytes_read: done.bytes_read,
                    at_us,
                });
                for found in done.found {
                    self.tell(found);
                }
                for message in done.notices {
                    // What is wrong with a disk would be told for every package.
                    if self.told.insert(message.clone()) {
                        self.observer.on(&Event::Notice { message });
                    }
                }
                if matches!(task, Task::Archive { .. }) {
                    match done.status {
                        Status::Unchanged => self.outcome.unchanged += 1,
                        Status::Cached => self.outcome.restored += 1,
                        Status::Remote => self.outcome.left_there += 1,
                        _ => self.outcome.built += 1,
                    }
                }
                if let Some(artifact) = done.artifact {
                    self.observer.on(&artifact);
                }
                if matches!(task, Task::Contents { .. }) {
                    self.tell_findings(job);
                }
                self.one_less(job);
                if self.left[job] == 0 && !self.outcome.failed.contains_key(&job) && !self.cut.contains(&job) {
                    self.outcome.finished.push(job);
                    (self.finished)(job)?;
                    self.jobs[job].close();
                }
                let mut ready = Vec::new();
                for next in self.plan.after(id) {
                    self.waits[next] -= 1;
                    if self.waits[next] == 0 && self.state[next] == State::Waiting {
                        ready.push(next..next + 1);
                    }
                }
                if !self.stopping {
                    self.queue(ready);
                }
            }
            Err(error) => self.fail(id, at_us, error),
        }
        Ok(())
    }

    fn tell_findings(&mut self, job: usize) {
        let Ok(open) = self.jobs[job].open() else { return };
        for found in open.findings(&self.jobs[job].target) {
            self.tell(found);
        }
    }

    fn tell(&mut self, found: Diagnostic) {
        if found.severity == crate::base::Severity::Warning {
            self.outcome.warnings += 1;
        }
        self.observer.on(&Event::Diagnostic(Box::new(found)));
    }

    fn fail(&mut self, id: usize, at_us: u64, error: Error) {
        let task = self.plan.task(id);
        let job = task.job();
        self.observer.on(&Event::TaskFinish {
            id,
            status: Status::Failed,
            segments_made: 0,
            segments_reused: 0,
            bytes_read: 0,
            at_us,
        });
        let name = self.jobs[job]
            .open()
            .map_or_else(|_| self.jobs[job].target.key().to_owned(), |o| o.name(&self.jobs[job].target));
        for found in error.diagnostics().to_vec() {
            let mut found = found;
            found.expert.get_or_insert_with(|| name.clone());
            found.folder.get_or_insert_with(|| self.jobs[job].target.key().to_owned());
            self.tell(found);
        }
        self.stopping |= matches!(error, Error::Interrupted) || !self.keep_going;
        // Of several failures of one job the first is its reason.
        self.outcome.failed.entry(job).or_insert(error);
        // What the job's other tasks would make is of no use any more.
        let own = self.plan.of_job(id);
        for queued in self.context.pool.take_back(if self.stopping { 0..usize::MAX } else { own.clone() }) {
            self.running -= 1;
            self.skip(queued);
        }
        let mut cut: Vec<usize> = own.collect();
        while let Some(next) = cut.pop() {
            if self.state[next] == State::Waiting {
                self.skip(next);
            }
            if self.state[next] != State::Queued {
                cut.extend(self.plan.after(next).filter(|after| self.state[*after] == State::Waiting));
            }
        }
        self.one_less(job);
        self.jobs[job].close();
    }

    fn skip(&mut self, id: usize) {
        self.state[id] = State::Skipped;
        let job = self.plan.task(id).job();
        self.cut.insert(job);
        self.one_less(job);
    }

    /// A task of the job is over. The last of one that cannot be finished lets go of what the job holds: a task that had
    /// been begun when the job failed may have opened it again.
    fn one_less(&mut self, job: usize) {
        self.left[job] -= 1;
        if self.left[job] == 0 {
            // At the end those that were never begun are skipped, too.
            self.open = self.open.saturating_sub(1);
        }
        if self.left[job] == 0 && (self.outcome.failed.contains_key(&job) || self.cut.contains(&job)) {
            self.jobs[job].close();
        }
    }
}
