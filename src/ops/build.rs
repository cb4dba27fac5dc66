//! `build` and `check`: which experts are stale and why, then the plan, then what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;

use crate::base::event::Observer;
use crate::base::{Diagnostic, Error, Event, Result, Severity, Sha256};
use crate::engine::finished::Finished;
use crate::engine::job::{Job, Open, PackageSlot};
use crate::engine::limits::Limits;
use crate::engine::plan::{Plan, Shape};
use crate::engine::pool::Pool;
use crate::engine::remote::give;
use crate::engine::survey::SourceFile;
use crate::engine::tasks::hash::name_the_rest;
use crate::engine::tasks::{Context, Flights};
use crate::engine::unnamed::Waiting;
use crate::engine::{freshness, schedule};
use crate::ops::due::{self, Due};
use crate::ops::glance::{self, Glance, UpToDate};
use crate::ops::history::History;
use crate::ops::ledger::Ledger;
use crate::ops::looks::{Looks, Stale};
use crate::ops::memo::Memo;
use crate::ops::remote::Used;
use crate::ops::requirements::{Needs, is_as_remembered};
use crate::ops::workspace::Workspace;
use crate::ops::{cache, copies, locked, provenance, remote, requirements};
use crate::store::index::{Built, Record};
use crate::store::{Cache as _, Index, RunCache, output};

/// How to build.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Threads.
    pub jobs: usize,
    /// Go on with other experts after a failure.
    pub keep_going: bool,
    /// Build even what is up to date, and take nothing from the cache.
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Something stale is a failure, and nothing is built.
    pub frozen: bool,
    /// Fail where a version in Expertfile.lock would get other bytes.
    pub locked: bool,
    /// Validate, write no package.
    pub check: bool,
    /// Write beside each package what it was made of, signed.
    pub provenance: bool,
    /// Expertfile.lock is about to be written anew: what it says now limits nothing, and need not be readable.
    pub unlocked: bool,
    /// Packages must be written: it is not enough that a remote cache has them.
    pub whole: bool,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Packages written.
    pub built: usize,
    /// Packages given back by the cache.
    pub restored: usize,
    /// Packages that were up to date, or whose bytes did not change.
    pub fresh: usize,
    /// Packages that the remote cache has and that were left there.
    pub left_there: usize,
    /// Does a package lie where none lay before?
    pub has_new_places: bool,
    /// Experts checked (with `check`).
    pub checked: usize,
    /// Experts that are stale, why, and what a build would do (with `dry_run` and `frozen`).
    pub stale: Vec<Due>,
    /// Errors, by expert.
    pub failed: Vec<(String, Error)>,
    /// Experts that were not finished.
    pub skipped: Vec<String>,
    /// Warnings told.
    pub warnings: usize,
    /// Warnings of experts that were up to date: told when they were built, and by `check`.
    pub not_repeated: usize,
    /// Why the index does not know what was done: it could not be written.
    pub forgotten: Option<Error>,
}

impl Report {
    /// The exit code: of several failures the gravest.
    pub fn exit_code(&self) -> u8 {
        let codes: Vec<u8> = self.failed.iter().map(|(_, e)| e.exit_code()).collect();
        [101, 130, 5, 4, 11, 3, 2, 1].into_iter().find(|code| codes.contains(code)).unwrap_or(0)
    }
}

/// Builds (or checks) the chosen experts.
pub fn build(
    workspace: &Workspace,
    chosen: &[usize],
    options: &Options,
    cancel: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Report> {
    build_each(workspace, chosen, options, cancel, observer, None)
}

/// Sees an expert that is finished.
pub(crate) type Each<'e> = &'e mut dyn FnMut(&Job, &Open) -> Result<()>;

/// The same; `each` sees every expert that is finished while all that is held of it is there.
pub(crate) fn build_each(
    workspace: &Workspace,
    chosen: &[usize],
    options: &Options,
    cancel: &AtomicBool,
    observer: &mut dyn Observer,
    mut each: Option<Each<'_>>,
) -> Result<Report> {
    let started = now();
    let index = workspace.known();
    let looks = match options {
        Options { force: false, check: false, provenance: false, locked: false, .. } => {
            Looks::at(workspace, &index, chosen, options.jobs)?
        }
        _ => {
            let asked_for = match options {
                Options { force: true, .. } => Some("asked for by `--force`"),
                Options { check: true, .. } => Some("asked for by `check`"),
                _ => None,
            };
            Looks::with_targets(workspace, &index, chosen, asked_for, options.jobs)?
        }
    };
    if options.provenance {
        provenance::has_keys(looks.targets())?;
    }
    observer.on(&Event::RunStart { version: env!("CARGO_PKG_VERSION"), jobs: options.jobs, experts: chosen.len() });
    for warning in &workspace.repo.warnings {
        observer.on(&Event::Diagnostic(Box::new(warning.clone())));
    }
    let lock = match options.unlocked {
        true => None,
        false => locked::needed(workspace, looks.targets(), options.locked)?,
    };
    let limits = Limits { lock: lock.as_ref(), locked: options.locked };
    let mut report = Report { warnings: workspace.repo.warnings.len(), ..Report::default() };
    let experts = chosen.len();
    let looks = if options.provenance { looks.with_provenance(&index) } else { looks };
    let (mut told, mut known, mut fresh) = (Vec::new(), BTreeMap::new(), UpToDate::default());
    match looks.total {
        Some(total) => {
            (report.fresh, report.not_repeated) = (total.packages, total.warnings);
            fresh = total;
        }
        None => {
            for expert in &looks.fresh {
                let memo = expert.memo();
                match expert.target.as_ref().map_or(Ok(Vec::new()), |target| locked::hold(limits, &index, target)) {
                    Ok(found) => {
                        report.fresh += memo.packages.max(1);
                        report.not_repeated += memo.warnings;
                        told.extend(found);
                    }
                    Err(error) => {
                        told.extend(error.diagnostics().iter().cloned());
                        report.failed.push((memo.name.clone(), error));
                    }
                }
                fresh.packages += memo.packages.max(1);
                fresh.warnings += memo.warnings;
                known.insert(expert.number, memo);
            }
            fresh.experts = workspace.repo.experts.len();
        }
    }
    let job = |stale: Stale| Job::new(stale.number, stale.target, stale.why, Arc::clone(&index));
    let jobs = looks.stale.into_iter().map(|stale| if options.force { job(stale).reading_all() } else { job(stale) });
    let jobs: Vec<Job> = jobs.collect();
    for found in told {
        report.warnings += usize::from(found.severity == Severity::Warning);
        observer.on(&Event::Diagnostic(Box::new(found)));
    }
    if !report.failed.is_empty() && !options.keep_going {
        report.skipped = jobs.iter().map(Job::name).collect();
        finish(observer, &report, &schedule::Outcome::default(), &Used::None, started);
        return Ok(report);
    }
    let mut surveyed = survey(&jobs, options.jobs);
    let now = jobs.iter().zip(&mut surveyed).filter_map(|(job, looked)| Some((job.number, looked.as_mut()?.memo()?)));
    let now: Vec<(usize, Memo)> = now.collect();
    let needs = match looks.total.filter(|_| now.len() == jobs.len() && is_as_remembered(workspace, &index, &now)) {
        // All is as it was when nothing was wrong with it.
        Some(_) => Needs::default(),
        None => {
            if looks.total.is_some() {
                known.extend(looks.fresh.iter().map(|fresh| (fresh.number, fresh.memo())));
            }
            known.extend(now);
            requirements::check(workspace, &index, &known)?
        }
    };
    drop((known, looks.fresh));
    let held = needs.held_back();
    // Would the next run have nothing to tell either, if all went well now?
    let is_plain = chosen.len() == workspace.repo.experts.len()
        && !(options.check || options.locked || options.provenance)
        && needs.warnings.is_empty()
        && needs.unmet.is_empty();
    for warning in needs.warnings {
        report.warnings += 1;
        observer.on(&Event::Diagnostic(Box::new(warning)));
    }
    if !needs.unmet.is_empty() {
        let found: Vec<Diagnostic> = needs.unmet.values().flatten().cloned().collect();
        if !options.keep_going {
            return Err(Error::Requirements(found));
        }
        found.into_iter().for_each(|d| observer.on(&Event::Diagnostic(Box::new(d))));
    }
    let is_due = |job: &Job| !needs.unmet.contains_key(&job.number) && !held.contains(&job.number);
    let held_back = jobs.iter().filter(|job| held.contains(&job.number) && !needs.unmet.contains_key(&job.number));
    let held_back: Vec<String> = held_back.map(Job::name).collect();
    let (jobs, surveyed): (Vec<Job>, Vec<_>) = jobs.into_iter().zip(surveyed).filter(|(job, _)| is_due(job)).unzip();
    report.failed.extend(
        needs
            .unmet
            .into_iter()
            .map(|(expert, found)| (workspace.repo.experts[expert].label().to_owned(), Error::Requirements(found))),
    );
    report.skipped = held_back;
    let shapes = shapes(&jobs, surveyed, &needs.after);
    let plan = Plan::new(&shapes, !options.check);
    observer.on(&Event::Plan { stale: jobs.len(), fresh: experts - jobs.len(), tasks: plan.len() });
    if options.dry_run || options.frozen {
        for (shape, due) in shapes.iter().zip(due::due(workspace, &jobs, &index, options.force, options.jobs)) {
            match due {
                None => report.fresh += shape.packages.max(1),
                Some(due) => report.stale.push(due),
            }
        }
        finish(observer, &report, &schedule::Outcome::default(), &Used::None, started);
        return Ok(report);
    }
    drop(shapes);
    if !options.check {
        tidy(&jobs);
    }
    let results = Arc::new(RunCache::new(workspace.cache.clone()));
    let used = match options.check || plan.is_empty() {
        true => Used::None,
        false => remote::of(workspace, results.clone(), options.whole, observer)?,
    };
    let link = used.link();
    let pool = Pool::with_away(options.jobs, link.map_or(0, |link| link.policy.away), cancel);
    let context = Context {
        cache: &*results,
        remote: link,
        gives: each.is_some() || link.is_some_and(|link| link.writes()),
        pool: &pool,
        force: options.force,
        provenance: options.provenance,
        started,
        flights: Flights::default(),
        limits,
        written: std::sync::Mutex::default(),
        spare_cores: jobs.len() < pool.threads(),
        unnamed: Waiting::default(),
        companions: std::sync::Mutex::default(),
    };
    let mut ledger = Ledger::new(workspace, &jobs);
    let (mut settings, mut has_new_places) = (BTreeSet::new(), false);
    let mut remember = |number: usize| -> Result<()> {
        let job = &jobs[number];
        let open = job.open()?;
        let found = open.findings(&job.target);
        let warnings = found.iter().filter(|found| found.severity == Severity::Warning).count();
        let memo = Memo { warnings, ..Memo::of(&open.survey) };
        if let Some(each) = &mut each {
            each(job, &open)?;
        }
        if let Some(link) = link {
            give(job, &open, link, &|| pool.is_cancelled())?;
        }
        // What was left on another machine is looked for again next time.
        if !options.check && !open.packages.iter().all(PackageSlot::is_built) {
            return Ok(());
        }
        let (before, history) = (History::kept(&open.previous), History::of(job, &open));
        let was_there = |now: &Built| open.previous.outputs.iter().any(|then| then.seen.path == now.seen.path);
        let both = [memo.encode(), history.encode()].join(&b'\n');
        let finished = if options.check {
            Finished { record: Record { memo: both, ..Record::default() }, written: Vec::new() }
        } else {
            let text = job.target.fingerprint_text();
            // It is told apart by its hash, so once is enough; without it a change is still noticed, only not named.
            if settings.insert(text.key()) && workspace.cache.put_result(text.key(), text.as_str().as_bytes()).is_err()
            {
                settings.remove(&text.key());
            }
            job.finish(&open, both)?
        };
        has_new_places |= !finished.record.outputs.iter().all(was_there);
        ledger.add(number, &finished, &memo, &history, &before);
        Ok(())
    };
    let outcome = schedule::run(&plan, &jobs, &context, !options.check, options.keep_going, observer, &mut remember);
    name_the_rest(&context);
    ledger.sort();
    let mut failed_late = 0;
    let (copied, mut late) = match copies::copies(workspace, &index, &ledger, options.check) {
        Ok(found) => (found, None),
        Err(e) => (Vec::new(), Some(e)),
    };
    for (expert, found) in copied {
        report.warnings += usize::from(found.severity == Severity::Warning);
        observer.on(&Event::Diagnostic(Box::new(found.clone())));
        if found.severity == Severity::Warning {
            ledger.warned(&expert);
        }
        if copies::is_error(&found) {
            // It is not done with: the next run looks at it again.
            failed_late += usize::from(ledger.drop(&expert));
            report.failed.push((found.expert.clone().unwrap_or(expert), Error::Invalid(vec![found])));
        }
    }
    // What was left on another machine is looked for again next time.
    let went_well = |o: &schedule::Outcome| o.failed.is_empty() && o.skipped.is_empty() && o.left_there == 0;
    let is_whole = is_plain && late.is_none() && report.failed.is_empty() && outcome.as_ref().is_ok_and(went_well);
    let grounds = is_whole.then(|| glance::grounds(workspace, &index, &ledger, fresh)).flatten();
    let is_new = !options.check && !ledger.is_empty();
    // What was finished is remembered even if the run failed; where nothing was, that nothing is to do.
    if is_new || grounds.as_ref().is_some_and(|grounds| grounds != index.grounds()) {
        match ledger.save(workspace, &index, &grounds.unwrap_or_default()) {
            Err(e) if is_new => {
                observer.on(&Event::Notice {
                    message: format!("the index was not written: {e}; the next build reads more than it need"),
                });
                report.forgotten = Some(e);
            }
            _ => {}
        }
    }
    let drained = used.drain(&|| outcome.is_err() || pool.is_cancelled(), observer);
    let mut outcome = outcome?;
    // What fails at the very end is told like all that failed before.
    match drained {
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(e) => report.failed.push(("remote cache".to_owned(), e)),
        Ok(()) => {}
    }
    report.failed.extend(late.take().map(|e| ("copies".to_owned(), e)));
    match results.trouble() {
        Some(trouble) => cache::tell(&trouble, observer),
        None => cache::after_build(workspace, &outcome, used.counters(), observer),
    }
    report.has_new_places = has_new_places;
    report.built = outcome.built;
    report.restored = outcome.restored;
    report.fresh += outcome.unchanged;
    report.left_there = outcome.left_there;
    report.checked = outcome.finished.len() - failed_late;
    report.warnings += outcome.warnings;
    for (job, error) in std::mem::take(&mut outcome.failed) {
        report.failed.push((jobs[job].name(), error));
    }
    report.skipped.extend(outcome.skipped.iter().map(|job| jobs[*job].name()));
    finish(observer, &report, &outcome, &used, started);
    Ok(report)
}

/// What [`build`] would do and say where a glance found nothing to do.
pub fn nothing_to_do(glance: &Glance, found: UpToDate, options: &Options, observer: &mut dyn Observer) -> Report {
    let report = Report { fresh: found.packages, not_repeated: found.warnings, ..Report::default() };
    observer.on(&Event::RunStart { version: env!("CARGO_PKG_VERSION"), jobs: options.jobs, experts: found.experts });
    observer.on(&Event::Plan { stale: 0, fresh: found.experts, tasks: 0 });
    finish(observer, &report, &schedule::Outcome::default(), &Used::None, glance.started);
    report
}

/// The packages of these experts as the index knows them: path and SHA-256.
pub fn outputs(workspace: &Workspace, chosen: &[usize]) -> Result<Vec<(PathBuf, Sha256)>> {
    let index = Index::load(&workspace.index);
    let mut outputs = Vec::new();
    for number in chosen {
        let record = index.get(workspace.repo.experts[*number].label()).and_then(|view| view.decode());
        let packages = record.into_iter().flat_map(|r| r.outputs).filter(|o| o.is_package);
        outputs.extend(packages.map(|o| (workspace.root.join(o.seen.path), o.sha256)));
    }
    Ok(outputs)
}

fn finish(observer: &mut dyn Observer, report: &Report, outcome: &schedule::Outcome, used: &Used, started: Instant) {
    observer.on(&Event::RunFinish {
        checked: report.checked,
        built: report.built,
        restored: report.restored,
        fresh: report.fresh,
        failed: report.failed.len(),
        skipped: report.skipped.len(),
        warnings: report.warnings,
        not_repeated: report.not_repeated,
        cache_hits: outcome.hits,
        cache_misses: outcome.misses,
        left_there: report.left_there,
        bytes_saved: outcome.bytes_saved,
        saved_ms: outcome.saved_us / 1000,
        remote: used.figures(),
        took_ms: started.elapsed().as_millis() as u64,
    });
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts the run's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What a first look tells the planner, and what other experts must know.
pub(crate) struct Looked {
    /// For each file: is it small?
    files: Vec<bool>,
    packages: usize,
    memo: Option<Box<Memo>>,
}

impl Looked {
    /// What other experts must know; it is taken, not copied.
    pub(crate) fn memo(&mut self) -> Option<Memo> {
        self.memo.take().map(|memo| *memo)
    }
}

/// What first looks are kept of until their expert's turn comes, in bytes as far as they can be told.
const KEPT: i64 = 4 << 20;

/// First looks at all stale experts, by all threads. They are kept until their expert is built, as far as there is room;
/// of a repo larger than that they are taken again.
pub(crate) fn survey(jobs: &[Job], threads: usize) -> Vec<Option<Looked>> {
    let room = AtomicI64::new(KEPT);
    freshness::in_parallel(jobs, threads, &|job: &Job| {
        let survey = job.first_look()?;
        let files: Vec<bool> = survey.files.iter().map(SourceFile::is_small).collect();
        let looked = Looked { packages: survey.layouts.len(), memo: Some(Memo::of(&survey).into()), files };
        // The manifest is held as text and as a tree of values, a file in the layout and as a slot for what is read of it.
        let manifest = survey.manifest.as_ref().map_or(0, |m| m.text.len() as i64);
        let size = (4 << 10) + 8 * manifest + (1 << 10) * looked.files.len() as i64;
        if room.fetch_sub(size, Ordering::Relaxed) > size {
            job.open_with(survey);
        }
        Some(looked)
    })
}

pub(crate) fn shapes(jobs: &[Job], surveyed: Vec<Option<Looked>>, after: &BTreeMap<usize, Vec<usize>>) -> Vec<Shape> {
    let number: BTreeMap<usize, usize> = jobs.iter().enumerate().map(|(i, job)| (job.number, i)).collect();
    let mut shapes = Vec::with_capacity(jobs.len());
    for (job, surveyed) in jobs.iter().zip(surveyed) {
        let before = after.get(&job.number).into_iter().flatten().filter_map(|n| number.get(n).copied()).collect();
        // A job without a first look fails as soon as it is opened, and says why.
        let (files, packages) = surveyed.map_or_else(Default::default, |looked| (looked.files, looked.packages));
        shapes.push(Shape { files, packages, signed: job.target.signer.is_some(), after: before });
    }
    shapes
}

/// Removes what killed builds left in the folders that this one writes to.
fn tidy(jobs: &[Job]) {
    let folders: BTreeSet<PathBuf> = jobs.iter().map(|job| job.target.output_folder()).collect();
    for folder in folders {
        output::tidy(&folder);
    }
}
