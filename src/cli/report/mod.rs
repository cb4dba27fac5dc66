//! Reports of a run for other programs: which are wanted, what they are made of, where they go.

mod collector;
mod github;
mod json;
mod junit;
mod sarif;
pub mod timings;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use collector::{Collector, Failure, Package};

use crate::base::{Error, Result};
use crate::cli::out;
use crate::cli::render::diagnostic::Look;
use crate::cli::settings::Settings;
use crate::ops::write_report;

/// What `--report` may name.
pub const KINDS: [&str; 5] = ["json", "timings", "junit", "sarif", "github"];

/// A form of report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Timings,
    Junit,
    Sarif,
    Github,
}

/// The reports of a run.
#[derive(Debug)]
pub struct Reports {
    wanted: Vec<(Form, Option<PathBuf>)>,
    /// Where to draw where the time went.
    pub timings: Vec<PathBuf>,
    /// Where annotations' paths are relative to.
    github_root: Option<PathBuf>,
    /// Where GitHub reads the summary of a step.
    summary: Option<PathBuf>,
}

impl Reports {
    /// What `--report` asks for, and what GitHub Actions gets by itself.
    pub fn parse(asked: &[String], settings: &Settings) -> Result<Self> {
        let (mut wanted, mut timings) = (Vec::new(), Vec::new());
        for text in asked {
            let (kind, path) = text.split_once('=').map_or((text.as_str(), None), |(kind, path)| (kind, Some(path)));
            let form = match kind {
                "json" => Form::Json,
                "timings" => Form::Timings,
                "junit" => Form::Junit,
                "sarif" => Form::Sarif,
                "github" => Form::Github,
                _ => {
                    let near = crate::base::suggest::did_you_mean(kind, KINDS);
                    let all = "a report is `json`, `timings`, `junit`, `sarif` or `github`";
                    let help = near.unwrap_or_else(|| all.into());
                    return Err(Error::usage_help(format!("there is no report `{kind}`"), help));
                }
            };
            if path.is_some_and(str::is_empty) {
                return Err(Error::usage_help(
                    format!("`--report {text}` names no file"),
                    format!("write `--report {kind}=FILE`, or `--report {kind}` for stdout"),
                ));
            }
            if form == Form::Timings {
                if path == Some("-") {
                    return Err(Error::usage_help(
                        "`--report timings` draws a page, which goes to a file",
                        format!("write `--report timings=FILE`, or `--report timings` for {}", timings::PAGE),
                    ));
                }
                timings.push(PathBuf::from(path.unwrap_or(timings::PAGE)));
                continue;
            }
            wanted.push((form, path.filter(|path| *path != "-").map(PathBuf::from)));
        }
        if settings.github && !wanted.iter().any(|(form, _)| *form == Form::Github) {
            wanted.push((Form::Github, None));
        }
        let on_stdout = wanted.iter().filter(|(form, path)| path.is_none() && *form != Form::Github).count();
        if on_stdout + usize::from(settings.json) > 1 {
            return Err(Error::usage_help(
                "two reports would be mixed on stdout",
                "give all but one a file: `--report sarif=findings.sarif`",
            ));
        }
        let variable = |name: &str| settings.env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (github_root, summary) = (variable("GITHUB_WORKSPACE"), variable("GITHUB_STEP_SUMMARY"));
        Ok(Self { wanted, timings, github_root, summary })
    }

    /// The files that are written.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.wanted.iter().filter_map(|(_, path)| path.as_ref()).chain(&self.timings).chain(&self.summary)
    }

    /// Has each a file of its own, also beside what `--timings` writes? Else the last would be all that is left.
    pub fn are_apart(&self, timings: &[PathBuf], settings: &Settings) -> Result<()> {
        let reports = self.wanted.iter().filter_map(|(_, path)| path.as_ref());
        let mut taken: BTreeSet<PathBuf> = BTreeSet::new();
        for path in reports.chain(&self.timings).chain(timings) {
            // By its parts, so that `./r.json` and `r.json` are one.
            if !taken.insert(settings.here.join(path).components().collect()) {
                return Err(Error::usage_help(
                    format!("two reports would be written to `{}`", path.display()),
                    "give each a file of its own: `--report json=run.json --report junit=run.xml`",
                ));
            }
        }
        Ok(())
    }

    /// Is there any?
    pub fn wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Writes them all.
    pub fn write(&mut self, collector: &Collector, code: u8, look: &Look) -> Result<()> {
        for (form, path) in &self.wanted {
            let root = self.github_root.as_deref().unwrap_or(look.root());
            let text = match form {
                Form::Json => json::report(collector, code, look),
                Form::Junit => junit::report(collector),
                Form::Sarif => sarif::report(collector, look),
                // Drawn where the repo is open.
                Form::Timings => continue,
                Form::Github => {
                    for line in github::annotations(collector, look, root) {
                        // GitHub reads commands from either stream; stdout is for answers.
                        out::tell(&line);
                    }
                    if let Some(path) = path.as_ref().or(self.summary.as_ref()) {
                        write_report::append(path, github::summary(collector, look).as_bytes())?;
                    }
                    continue;
                }
            };
            match path {
                Some(path) => write_report::write(path, text.as_bytes())?,
                None => out::raw(text.as_bytes())?,
            }
        }
        Ok(())
    }
}

/// A path below `root` with `/`, as reports write it; else as it is.
fn below(path: &Path, root: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}
