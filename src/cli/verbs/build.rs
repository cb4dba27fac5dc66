//! `build` and `check`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::base::event::Observer;
use crate::base::{Diagnostic, Error, Event, Result};
use crate::cli::args::{BuildArgs, CheckArgs, Choice, Download, Kind, LockArgs, Packing, RemoteArgs, When, Work};
use crate::cli::exit;
use crate::cli::out::{self, DIM, RED, paint};
use crate::cli::render::count;
use crate::cli::render::diagnostic::{Look, printable};
use crate::cli::render::human::{Human, Mode};
use crate::cli::render::json::{self, Json};
use crate::cli::report::{self, Collector, Reports};
use crate::cli::settings::{self, Settings};
use crate::ops::build::{Options, Report, build as run, nothing_to_do};
use crate::ops::glance::{Glance, UpToDate};
use crate::ops::lock::{Written, lock as write_lock};
use crate::ops::timings::{Around, Timings};
use crate::ops::workspace::{self, Setup, Workspace};
use crate::ops::{experts, fix, watch};

/// `build`
pub fn build(args: &BuildArgs, reports: &[String], settings: &Settings) -> Result<u8> {
    let mut flags = strict(&args.work);
    let out_dir = args.out_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
    flags.extend(out_dir.map(|dir| ("--out-dir", "out-dir", dir)));
    flags.extend(packing(&args.packing));
    flags.extend(remote(&args.remote));
    let options = Options {
        force: args.force,
        dry_run: args.dry_run,
        frozen: args.frozen,
        locked: args.locked,
        provenance: args.packing.provenance,
        ..options(&args.work)
    };
    let run = Run { options, flags: &flags, choice: &args.choice, timings: &args.timings, settings, lock: false };
    if args.watch { run.watch(reports) } else { run.run(reports) }
}

/// `check`
pub fn check(args: &CheckArgs, reports: &[String], settings: &Settings) -> Result<u8> {
    let flags = strict(&args.work);
    // Whoever asks what is wrong asks for all of it, as linters are asked.
    let options = Options { check: true, keep_going: true, ..options(&args.work) };
    if args.fix {
        mend(args, &flags, settings)?;
    }
    Run { options, flags: &flags, choice: &args.choice, timings: &[], settings, lock: false }.run(reports)
}

/// `lock`
pub fn lock(args: &LockArgs, reports: &[String], settings: &Settings) -> Result<u8> {
    let mut flags = strict(&args.work);
    flags.extend(remote(&args.remote));
    let options = options(&args.work);
    Run { options, flags: &flags, choice: &args.choice, timings: &[], settings, lock: true }.run(reports)
}

/// Applies the safe edits of what a silent check finds, and says which.
fn mend(args: &CheckArgs, flags: &[Flag], settings: &Settings) -> Result<()> {
    let workspace = Workspace::open(settings.setup(flags))?;
    let chosen = experts::select(&workspace, &args.choice.selectors, settings::cores())?;
    // Nothing from the cache: what it keeps of findings has no edits.
    let options = Options { check: true, force: true, keep_going: true, ..options(&args.work) };
    let mut heard: Vec<Event> = Vec::new();
    let report = run(&workspace, &chosen, &options, exit::cancel_in_order(), &mut heard)?;
    let found: Vec<Diagnostic> = heard
        .into_iter()
        .filter_map(|event| match event {
            Event::Diagnostic(found) => Some(*found),
            _ => None,
        })
        .collect();
    for fixed in fix::fix(&workspace.root, &found)? {
        let file = fixed.file.strip_prefix(&workspace.root).unwrap_or(&fixed.file);
        out::tell(&format!("fixed {}: {}", file.display(), fixed.codes.join(", ")));
    }
    // An expert that could not be read was not mended, even if it can be read the next moment.
    let unread = report.failed.into_iter().find(|(_, error)| matches!(error, Error::Io { .. }));
    unread.map_or(Ok(()), |(_, error)| Err(error))
}

/// A flag that sets a key of the Expertfile: flag, key, value.
pub type Flag = (&'static str, &'static str, String);

/// What all runs have in common.
pub fn options(work: &Work) -> Options {
    let jobs = work.jobs.map_or_else(settings::cores, |jobs| usize::from(jobs.get()));
    Options { jobs, keep_going: work.keep_going, ..Options::default() }
}

/// The key that `--strict` sets.
pub fn strict(work: &Work) -> Vec<Flag> {
    work.strict.then(|| ("--strict", "lints.preset", "strict".to_owned())).into_iter().collect()
}

/// The keys that say how packages are made.
pub fn packing(args: &Packing) -> Vec<Flag> {
    let all = [
        ("--compression", "compression", args.compression.map(|kind| word(kind).to_owned())),
        ("--level", "level", args.level.map(|level| level.to_string())),
        ("--sign", "sign", args.sign.map(|when| sign(when).to_owned())),
        ("--key", "key", args.key.as_ref().map(|file| file.to_string_lossy().into_owned())),
    ];
    all.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?))).collect()
}

/// The keys that say how a remote cache is used.
pub fn remote(args: &RemoteArgs) -> Vec<Flag> {
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    let download = |which: Download| if which == Download::All { "all" } else { "minimal" };
    let all = [
        ("--remote-cache", "cache.remote.url", args.remote_cache.clone()),
        ("--remote-required", "cache.remote.on-error", args.remote_required.then(|| "fail".to_owned())),
        ("--remote-download", "cache.remote.download", args.remote_download.map(|which| download(which).to_owned())),
        ("--remote-exec", "cache.remote.exec", args.remote_exec.then(|| "true".to_owned())),
        ("--remote-jobs", "cache.remote.jobs", args.remote_jobs.map(|jobs| jobs.to_string())),
        ("--remote-exec-binary", "cache.remote.exec-binary", args.remote_exec_binary.as_ref().map(path)),
    ];
    all.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?))).collect()
}

/// The word of the Expertfile.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Gzip => "gzip",
        Kind::Zstd => "zstd",
        Kind::None => "none",
    }
}

fn sign(when: When) -> &'static str {
    match when {
        When::Off => "off",
        When::Auto => "auto",
        When::Required => "required",
    }
}

/// A run of either.
struct Run<'a> {
    options: Options,
    flags: &'a [Flag],
    choice: &'a Choice,
    /// Where to draw where the time went.
    timings: &'a [PathBuf],
    settings: &'a Settings,
    /// Is Expertfile.lock written in the end?
    lock: bool,
}

impl Run<'_> {
    fn run(&self, reports: &[String]) -> Result<u8> {
        Ok(self.once(reports)?.0)
    }

    /// Builds again and again, until it is interrupted.
    fn watch(&self, reports: &[String]) -> Result<u8> {
        let setup = self.settings.setup(self.flags);
        let mut cycle = |cycle: &watch::Cycle| {
            if !self.settings.json && !self.settings.quiet && cycle.number > 1 {
                let more = cycle.changed.len().saturating_sub(1);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                // Nothing is told where the system heard of more changes than it could remember.
                let first = cycle.changed.first().map_or("files", String::as_str);
                out::tell(&paint(DIM, format!("{}{more} changed", printable(first))));
            }
            let (_, outcome) = self.once(reports)?;
            if !self.settings.json && !self.settings.quiet && !exit::cancel_in_order().load(Ordering::Relaxed) {
                out::tell(&paint(DIM, "waiting for changes; ctrl-C ends"));
            }
            outcome
        };
        let parsed = Reports::parse(reports, self.settings)?;
        let ours: Vec<PathBuf> = parsed.files().chain(self.timings).cloned().collect();
        watch::watch(&setup, &ours, &mut cycle, exit::cancel_in_order()).map(|()| 0)
    }

    /// One build, told and reported: the exit code, and what became of it.
    fn once(&self, reports: &[String]) -> Result<(u8, Result<Report>)> {
        let mut reports = Reports::parse(reports, self.settings)?;
        reports.are_apart(self.timings, self.settings)?;
        let mut look = Look::new(self.settings).at(&workspace::nearest(&self.settings.here));
        let mut collector = reports.wanted().then(Collector::default);
        let timings = [self.timings, &reports.timings].concat();
        let (code, outcome) = match self.work(&mut look, collector.as_mut(), &timings) {
            Ok((code, report)) => (code, Ok(report)),
            Err(error) => {
                tell(self.settings, &error, None, &look)?;
                if let Some(collector) = &mut collector {
                    collector.failed(None, &error);
                }
                (error.exit_code(), Err(error))
            }
        };
        if let Some(collector) = &mut collector {
            collector.sort();
            reports.write(collector, code, &look)?;
        }
        Ok((code, outcome))
    }

    /// What can be said before the repo is resolved. `None` where that would not be all that was asked for.
    fn glance(&self, setup: &Setup, timings: &[PathBuf]) -> Option<Glance> {
        let Options { force, check, locked, provenance, .. } = self.options;
        let is_more = force || check || locked || provenance || self.lock || !timings.is_empty();
        if is_more || !self.choice.selectors.is_empty() { None } else { Glance::at(setup, self.options.jobs) }
    }

    fn work(&self, look: &mut Look, collector: Option<&mut Collector>, timings: &[PathBuf]) -> Result<(u8, Report)> {
        let setup = self.settings.setup(self.flags);
        let glance = self.glance(&setup, timings);
        if let Some(glance) = &glance
            && let Some(found) = glance.up_to_date
        {
            *look = look.clone().at(&glance.root);
            return self.rest(look, collector, glance, found);
        }
        let workspace = Workspace::open_after(setup, glance)?;
        *look = look.clone().at(&workspace.root);
        let chosen = experts::select(&workspace, &self.choice.selectors, self.options.jobs)
            .map_err(|error| self.verb_meant(error))?;
        let (json, mode) = (self.settings.json, self.mode());
        let mut human = Human::new(look, mode, self.settings.quiet, self.settings.verbose, self.settings.progress)
            .going_on(self.options.keep_going);
        let mut lines = Json::new(look);
        let mut tee = Tee {
            shown: if json { &mut lines } else { &mut human },
            collector,
            all: (!timings.is_empty()).then(Vec::new),
        };
        let cancel = exit::cancel_in_order();
        let (report, written) = if self.lock {
            write_lock(&workspace, &chosen, &self.options, cancel, &mut tee)?
        } else {
            (run(&workspace, &chosen, &self.options, cancel, &mut tee)?, None)
        };
        for due in &report.stale {
            tee.on(&Event::Stale { expert: due.expert.clone(), why: due.why.clone(), cached: due.cached });
        }
        let mut interrupted = false;
        for (expert, error) in report.failed.iter().filter(|(_, error)| error.diagnostics().is_empty()) {
            if matches!(error, Error::Interrupted) {
                interrupted = true;
                continue;
            }
            if let Some(collector) = &mut tee.collector {
                collector.failed(Some(expert), error);
            }
            tell(self.settings, error, Some(expert), look)?;
        }
        let events = tee.all.take();
        drop(human);
        lines.finish()?;
        if let Some(written) = written {
            self.locked(&written, look)?;
        }
        if interrupted {
            tell(self.settings, &Error::Interrupted, None, look)?;
        }
        if let Some(events) = &events {
            report::timings::write(
                &Timings::of(events, &Around::of(&workspace, &chosen)?),
                timings,
                self.settings,
                look,
            )?;
        }
        let answer = if mode == Mode::Plan { self.plan(&report, chosen.len())? } else { 0 };
        Ok((exit::gravest([report.exit_code(), answer]), report))
    }

    /// Nothing is to do: says so.
    fn rest(
        &self,
        look: &Look,
        collector: Option<&mut Collector>,
        glance: &Glance,
        found: UpToDate,
    ) -> Result<(u8, Report)> {
        let Settings { json, quiet, verbose, progress, .. } = *self.settings;
        let (mut human, mut lines) = (Human::new(look, self.mode(), quiet, verbose, progress), Json::new(look));
        let mut tee = Tee { shown: if json { &mut lines } else { &mut human }, collector, all: None };
        let report = nothing_to_do(glance, found, &self.options, &mut tee);
        drop(human);
        lines.finish()?;
        let answer = if self.mode() == Mode::Plan { self.plan(&report, found.experts)? } else { 0 };
        Ok((answer, report))
    }

    /// Says what stands in the lock file now.
    fn locked(&self, written: &Written, look: &Look) -> Result<()> {
        if self.settings.json {
            return json::answer(written);
        }
        if !self.settings.quiet {
            let path = look.shown(&written.path.to_string_lossy());
            let (all, changed) = (count(written.packages as u64, "package"), written.changed.len());
            out::tell(&format!("{path} holds {all}, {changed} of them new or changed"));
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        match &self.options {
            Options { check: true, .. } => Mode::Check,
            Options { dry_run: true, .. } | Options { frozen: true, .. } => Mode::Plan,
            _ => Mode::Build,
        }
    }

    /// Says what is stale, and answers by the exit code whether anything is.
    fn plan(&self, report: &Report, chosen: usize) -> Result<u8> {
        let stale = report.stale.len();
        if !self.settings.json {
            for due in &report.stale {
                let cached = if due.cached == Some(true) { " (in the cache)" } else { "" };
                out::answer(&format!("{}: {}{cached}", printable(&due.expert), printable(&due.why)))?;
            }
            let (all, quiet) = (format!("{stale} of {chosen} experts"), self.settings.quiet);
            match (stale, self.options.frozen) {
                (0, _) if !quiet => out::tell(&format!("{} up to date", count(report.fresh as u64, "package"))),
                (0, _) => {}
                (_, true) => {
                    out::tell(&format!("{}: {all} not up to date, and `--frozen` builds nothing", paint(RED, "error")));
                }
                (_, false) if !quiet => {
                    let restored = report.stale.iter().filter(|due| due.cached == Some(true)).count();
                    let how = match (restored, stale - restored) {
                        (0, _) => "would be built".to_owned(),
                        (_, 0) => "would be restored from the cache".to_owned(),
                        (restored, built) => {
                            format!("are stale: {built} would be built, {restored} restored from the cache")
                        }
                    };
                    out::tell(&format!("{all} {how}"));
                }
                (_, false) => {}
            }
        }
        Ok(u8::from(stale > 0))
    }

    /// Where no expert has that name, perhaps a verb was meant.
    fn verb_meant(&self, error: Error) -> Error {
        let Some(typed) = self.choice.selectors.first() else { return error };
        let verb = crate::cli::args::verb_like(typed);
        let is_alone = self.choice.selectors.len() == 1;
        match (error, verb) {
            (Error::Usage { message, .. }, Some(verb)) if verb == *typed && message.contains(&format!("`{typed}`")) => {
                Error::usage_help(
                    format!("{message}; a verb comes before the flags"),
                    format!("did you mean `{}`?", verb_first(&verb)),
                )
            }
            (Error::Usage { message, .. }, Some(verb)) if is_alone => Error::usage_help(
                format!("{message}, and there is no such verb"),
                format!("did you mean `expert-build {verb}`?"),
            ),
            (error, _) => error,
        }
    }
}

/// What was typed, with the verb in its place.
fn verb_first(verb: &str) -> String {
    let typed = settings::arguments().into_iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    let mut words: Vec<String> = typed.collect();
    if let Some(at) = words.iter().rposition(|word| word == verb) {
        words.remove(at);
    }
    match words.first_mut().filter(|first| *first == "build") {
        Some(first) => verb.clone_into(first),
        None => words.insert(0, verb.to_owned()),
    }
    printable(&format!("expert-build {}", words.join(" ")))
}

/// Tells an error: as events where those are wanted, and to people unless they are told by those events already.
pub fn tell(settings: &Settings, error: &Error, expert: Option<&str>, look: &Look) -> Result<()> {
    if settings.json {
        json::failure(error, expert, look)?;
    }
    if !settings.json || error.diagnostics().is_empty() {
        exit::tell(error, expert, look);
    }
    Ok(())
}

/// Shows events, and keeps what reports need.
struct Tee<'a> {
    shown: &'a mut dyn Observer,
    collector: Option<&'a mut Collector>,
    /// Every event, where they are wanted.
    all: Option<Vec<Event>>,
}

impl Observer for Tee<'_> {
    fn on(&mut self, event: &Event) {
        self.shown.on(event);
        if let Some(collector) = &mut self.collector {
            collector.on(event);
        }
        if let Some(all) = &mut self.all {
            all.push(event.clone());
        }
    }
}
