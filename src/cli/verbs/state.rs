//! The verbs about what is due and why: `status`, `why`.

use serde::Serialize;

use crate::base::Result;
use crate::cli::args::{StatusArgs, WhyArgs};
use crate::cli::out::{self, BOLD, DIM, GREEN, RED, YELLOW, paint};
use crate::cli::render::diagnostic::{Look, printable};
use crate::cli::render::json;
use crate::cli::settings::{self, Settings};
use crate::cli::verbs::{opened, opened_after};
use crate::ops::experts;
use crate::ops::glance::Glance;
use crate::ops::status::{Standing, State, status as status_op};
use crate::ops::why::{Run, Why, why as why_op};

/// `status`
pub fn status(args: &StatusArgs, settings: &Settings) -> Result<u8> {
    let is_all = args.choice.selectors.is_empty();
    let glance = if is_all { Glance::at(&settings.setup(&[]), settings::cores()) } else { None };
    let found = glance.as_ref().and_then(|glance| glance.up_to_date);
    if let Some(found) = found.filter(|_| !settings.json && !settings.verbose) {
        totals(found.experts, found.experts, settings);
        return Ok(0);
    }
    opened_after(settings, glance, |workspace, look| {
        let chosen = experts::select(workspace, &args.choice.selectors, settings::cores())?;
        let status = status_op(workspace, &chosen, settings::cores())?;
        for standing in &status.experts {
            if settings.json {
                json::answer(standing)?;
            } else if settings.verbose || standing.state != State::Fresh {
                show(standing, look, settings.verbose)?;
            }
        }
        if settings.json {
            json::answer(&Totals { fresh: status.fresh, due: status.due })?;
        } else {
            totals(status.fresh, status.fresh + status.due, settings);
        }
        Ok(if args.exit_code { status.exit_code() } else { 0 })
    })
}

/// The last line of `status` for people.
fn totals(fresh: usize, all: usize, settings: &Settings) {
    if !settings.quiet {
        out::tell(&format!("{fresh} of {all} experts up to date"));
    }
}

/// The last line of `status` as JSON.
#[derive(Serialize)]
struct Totals {
    fresh: usize,
    due: usize,
}

fn show(standing: &Standing, look: &Look, all: bool) -> Result<()> {
    let (style, word) = match standing.state {
        State::Fresh => (GREEN, "up to date"),
        State::Touched => (DIM, "touched"),
        State::Stale => (YELLOW, "stale"),
        State::New => (YELLOW, "new"),
        State::Broken => (RED, "broken"),
    };
    let cached = if standing.cached == Some(true) { " (in the cache)" } else { "" };
    out::answer(&format!("{}  {}{cached}", paint(style, format!("{word:<10}")), printable(&standing.expert)))?;
    for change in &standing.changes {
        out::answer(&format!("            {}", printable(&change.to_string())))?;
    }
    if all {
        for touched in &standing.touched {
            out::answer(&format!("            `{}` has other times and the same content", printable(touched)))?;
        }
    }
    if let Some(error) = standing.error.as_ref().filter(|_| standing.findings.is_empty()) {
        out::answer(&format!("            {}", printable(error)))?;
    }
    for found in &standing.findings {
        let mut found = found.clone();
        found.folder.get_or_insert_with(|| standing.folder.clone());
        out::answer(&format!("{}\n", look.finding(&found)))?;
    }
    Ok(())
}

/// `why`
pub fn why(args: &WhyArgs, settings: &Settings) -> Result<u8> {
    opened(settings, |workspace, look| {
        for why in why_op(workspace, &args.targets, settings::cores())? {
            if settings.json {
                json::answer(&why)?;
            } else {
                tell_why(&why, look, settings.verbose)?;
            }
        }
        Ok(0)
    })
}

fn tell_why(why: &Why, look: &Look, all: bool) -> Result<()> {
    show(&why.standing, look, true)?;
    for package in &why.packages {
        out::answer(&format!("  {}", paint(BOLD, printable(&package.path))))?;
        if all {
            out::answer(&format!("    key {}", package.key))?;
        }
        if package.runs.is_empty() {
            out::answer("    made once: there is no earlier run to compare it with")?;
        }
        for run in &package.runs {
            for line in told(run) {
                out::answer(&format!("    {line}"))?;
            }
        }
    }
    Ok(())
}

/// What a run was made for.
fn told(run: &Run) -> Vec<String> {
    let short = |key: &str| key.get(..12).unwrap_or(key).to_owned();
    let head = format!("{} → {}", short(&run.before), short(&run.key));
    match &run.changes {
        None => vec![format!("{head}: the cache no longer knows what differed")],
        Some(changes) => {
            let lines = changes.iter().map(|change| format!("  {}", printable(&change.to_string())));
            std::iter::once(format!("{head}:")).chain(lines).collect()
        }
    }
}
