//! `status`: which experts are up to date, and of the others what exactly changed, without building.

use std::sync::Arc;

use serde::Serialize;

use crate::base::{Diagnostic, Result};
use crate::engine::explain::Explained;
use crate::engine::freshness::in_parallel;
use crate::engine::key::Change;
use crate::engine::target::Target;
use crate::ops::due;
use crate::ops::experts::remembered;
use crate::ops::looks::{Fresh, Looks, Stale};
use crate::ops::memo::Memo;
use crate::ops::workspace::Workspace;
use crate::store::Index;

/// How an expert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Up to date.
    Fresh,
    /// Files have other times and the same content: a build would read them and write nothing.
    Touched,
    /// Something changed.
    Stale,
    /// It was never built here.
    New,
    /// Its manifest cannot be read, or a file that it needs is not there.
    Broken,
}

/// One expert.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// Its number in the repo.
    #[serde(skip)]
    pub number: usize,
    /// Its name; its folder where that is not known.
    pub expert: String,
    /// Its folder.
    pub folder: String,
    /// How it stands.
    pub state: State,
    /// What changed.
    pub changes: Vec<Change>,
    /// What has other times and the same content.
    pub touched: Vec<String>,
    /// Would a build take every package from the cache? Known for what was built here before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached: Option<bool>,
    /// Why it is broken, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The findings behind that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Diagnostic>,
}

/// The status of the chosen experts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// Each of them, in order.
    pub experts: Vec<Standing>,
    /// How many are up to date, the touched among them.
    pub fresh: usize,
    /// How many are not.
    pub due: usize,
}

impl Status {
    /// With `--exit-code`: 0 where nothing is due, else 1; 11 where an expert cannot be built.
    pub fn exit_code(&self) -> u8 {
        let broken = self.experts.iter().any(|e| e.state == State::Broken);
        if broken { 11 } else { u8::from(self.due > 0) }
    }
}

/// Looks at the chosen experts with so many threads.
pub fn status(workspace: &Workspace, chosen: &[usize], threads: usize) -> Result<Status> {
    let index = workspace.known();
    let looks = Looks::at(workspace, &index, chosen, threads)?;
    let mut experts = in_parallel(&looks.fresh, threads, &|fresh: &Fresh<'_>| {
        let folder = workspace.repo.experts[fresh.number].label();
        Standing { number: fresh.number, ..Standing::new(folder, State::Fresh, Memo::decode(fresh.memo)) }
    });
    experts.extend(in_parallel(&looks.stale, threads, &|expert: &Stale| Standing {
        number: expert.number,
        ..stale(workspace, &expert.target, &index)
    }));
    experts.sort_by_key(|expert| expert.number);
    let due = experts.iter().filter(|e| !matches!(e.state, State::Fresh | State::Touched)).count();
    Ok(Status { fresh: experts.len() - due, due, experts })
}

impl Standing {
    fn new(folder: &str, state: State, memo: Option<Memo>) -> Self {
        let folder = folder.to_owned();
        let name = memo.map(|memo| memo.name).filter(|name| !name.is_empty());
        Self {
            number: 0,
            expert: name.unwrap_or_else(|| folder.clone()),
            folder,
            state,
            changes: Vec::new(),
            touched: Vec::new(),
            cached: None,
            error: None,
            findings: Vec::new(),
        }
    }
}

fn stale(workspace: &Workspace, target: &Arc<Target>, index: &Arc<Index>) -> Standing {
    let memo = || {
        let read = || crate::ops::experts::read(&workspace.root, &target.expert);
        remembered(&workspace.root, index, &target.expert)
            .or_else(|| read().map(|manifest| Memo::of_manifest(&manifest)))
    };
    let explained = Explained::of(&workspace.root, target, index, &workspace.cache);
    let explained = explained.and_then(|explained| match explained.is_known {
        true => Ok(explained),
        false => Explained::first_look(target, index).map(|()| explained),
    });
    match explained {
        Err(error) => {
            let mut standing = Standing::new(target.key(), State::Broken, memo());
            standing.error = Some(std::error::Error::source(&error).map_or_else(
                || error.diagnostics().first().map_or_else(|| error.to_string(), |found| found.message.clone()),
                |why| format!("{error}: {why}"),
            ));
            standing.findings = error.diagnostics().to_vec();
            standing
        }
        Ok(explained) if !explained.is_known => Standing::new(target.key(), State::New, memo()),
        Ok(explained) => {
            let state = match (explained.is_same(), explained.touched.is_empty()) {
                (true, true) => State::Fresh,
                (true, false) => State::Touched,
                (false, _) => State::Stale,
            };
            let mut standing = Standing::new(target.key(), state, memo());
            if state == State::Stale {
                standing.cached = Some(due::is_cached(workspace, target, &explained));
            }
            standing.changes = [explained.changes, explained.outputs].concat();
            standing.touched = explained.touched;
            standing
        }
    }
}
