//! `Human`: events for people. Findings, one line per package that changed, one line in all; everything on stderr.

use std::collections::BTreeSet;

use crate::base::event::{Observer, Status};
use crate::base::{Diagnostic, Event, Severity};
use crate::cli::out::{self, CYAN, DIM, GREEN, RED, YELLOW, paint};
use crate::cli::render::diagnostic::{Look, printable};
use crate::cli::render::progress::Progress;
use crate::cli::render::{bytes, count, duration, remote};

/// What kind of run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Packages are built.
    Build,
    /// Nothing is written.
    Check,
    /// Only what would be done is told.
    Plan,
}

/// Prints events.
pub struct Human<'a> {
    look: &'a Look,
    mode: Mode,
    quiet: bool,
    verbose: bool,
    keep_going: bool,
    progress: Progress,
    told: BTreeSet<String>,
    errors: u64,
    notices: u64,
}

impl<'a> Human<'a> {
    /// Prints in this look, with a progress line where `progress` allows it.
    pub fn new(look: &'a Look, mode: Mode, quiet: bool, verbose: bool, progress: bool) -> Self {
        let (told, progress) = (BTreeSet::new(), Progress::new(progress && mode != Mode::Plan));
        Self { look, mode, quiet, verbose, keep_going: false, progress, told, errors: 0, notices: 0 }
    }

    /// Does the run go on after a failure?
    #[must_use]
    pub fn going_on(self, keep_going: bool) -> Self {
        Self { keep_going, ..self }
    }

    fn tell(&self, text: &str) {
        self.progress.aside(|| out::tell(text));
    }

    fn finding(&mut self, found: &Diagnostic) {
        if found.severity == Severity::Note && !self.verbose {
            self.notices += 1;
            return;
        }
        if self.quiet && !found.is_error() {
            return;
        }
        // Two packages of one expert may find the same.
        let text = self.look.finding(found);
        if !self.told.contains(&text) {
            self.errors += u64::from(found.is_error());
            self.tell(&format!("{text}\n"));
            self.told.insert(text);
        }
    }

    fn finish(&self, event: &Event) {
        if self.quiet || self.mode == Mode::Plan {
            return;
        }
        let &Event::RunFinish {
            checked,
            built,
            restored,
            fresh,
            failed,
            skipped,
            warnings,
            not_repeated,
            left_there,
            took_ms,
            ..
        } = event
        else {
            return;
        };
        let changed = built + restored + failed + skipped + left_there > 0;
        caches(event);
        // Where nothing changed there is no news in them.
        if self.notices > 0 && (changed || self.mode == Mode::Check) {
            out::tell(&format!("{}: {} (-v shows them)", paint(CYAN, "note"), count(self.notices, "notice")));
        }
        if not_repeated > 0 {
            let warnings = count(not_repeated as u64, "warning");
            let text = "of up-to-date experts not repeated (`expert-build check` tells all)";
            out::tell(&format!("{}: {warnings} {text}", paint(CYAN, "note")));
        }
        let mut text = match self.mode {
            Mode::Check if failed + skipped == 0 => format!("{}: all valid", count(checked as u64, "expert")),
            Mode::Check => format!("checked {}, {}", checked + failed, red("failed", failed)),
            _ if !changed => {
                format!("{} up to date", count(fresh as u64, "package"))
            }
            _ => format!("built {built}, restored {restored}, up to date {fresh}, {}", red("failed", failed)),
        };
        if left_there > 0 {
            text.push_str(&format!(", left on the remote {left_there}"));
        }
        if skipped > 0 {
            text.push_str(&format!(", skipped {skipped}"));
            text.push_str(match (self.keep_going, failed, skipped) {
                // It was interrupted.
                (_, 0, _) => "",
                (false, ..) => " (-k goes on after a failure)",
                (true, _, 1) => " (it requires one that failed)",
                (true, ..) => " (they require one that failed)",
            });
        }
        if warnings > 0 {
            text.push_str(&format!(", {}", paint(YELLOW, count(warnings as u64, "warning"))));
        }
        out::tell(&format!("{text} in {}", duration(took_ms)));
    }
}

/// What the caches did, where one of them is another machine's.
fn caches(event: &Event) {
    if let Event::RunFinish { cache_hits, cache_misses, bytes_saved, saved_ms, remote: Some(used), .. } = event {
        let (hits, misses) = (count(*cache_hits, "hit"), remote::misses(*cache_misses));
        let saved = format!("{} and {} saved", bytes(*bytes_saved), duration(*saved_ms));
        let local = format!("local {hits}, {misses}, {saved}");
        out::tell(&format!("{}: {local}; {}", paint(CYAN, "caches"), printable(&remote::used(used))));
    }
}

fn red(word: &str, number: usize) -> String {
    if number > 0 { paint(RED, format!("{word} {number}")) } else { format!("{word} 0") }
}

impl Observer for Human<'_> {
    fn on(&mut self, event: &Event) {
        self.progress.on(event);
        match event {
            Event::Diagnostic(found) => self.finding(found),
            Event::Notice { message } if !self.quiet => self.tell(&format!("{}: {message}", paint(CYAN, "note"))),
            Event::Artifact { .. } if !self.quiet => {
                if let Some(line) = artifact(event, self.look) {
                    self.tell(&line);
                }
            }
            Event::RunFinish { .. } => self.finish(event),
            _ => {}
        }
    }
}

/// The line on a package that changed.
fn artifact(event: &Event, look: &Look) -> Option<String> {
    let Event::Artifact { path, bytes: size, signed, status, files, segments_made, segments_reused, took_us, .. } =
        event
    else {
        return None;
    };
    let verb = match status {
        Status::Unchanged => return None,
        Status::Cached => "restored",
        Status::Remote => "remote",
        _ => "built",
    };
    let mut about = format!("{}, {}", bytes(*size), count(files.len() as u64, "file"));
    if *signed {
        about.push_str(", signed");
    }
    match (status, segments_reused, segments_made + segments_reused) {
        (Status::Cached, ..) => about.push_str(", from the cache"),
        (Status::Remote, ..) => about.push_str(", not written"),
        (_, 0, _) => {}
        (_, reused, all) => about.push_str(&format!(", {reused} of {} reused", count(all, "segment"))),
    }
    about.push_str(&format!(", {}", duration(took_us / 1000)));
    let path = printable(&look.shown(path));
    Some(format!("{} {path} {}", paint(GREEN, format!("{verb:>8}")), paint(DIM, format!("({about})"))))
}
