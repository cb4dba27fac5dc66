//! What may stand for an argument, beginning with what is typed.

use std::ffi::OsStr;

use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};

use crate::base::codes;
use crate::cli::report;
use crate::cli::settings::{self, Settings};
use crate::ops::suggest;
use crate::ops::workspace::Workspace;

type Candidates = Vec<CompletionCandidate>;

/// The repo of the folder that is worked in. Where it cannot be opened nothing is offered: it is no time for findings.
fn workspace(settings: Option<&Settings>) -> Option<Workspace> {
    Workspace::open(settings?.setup(&[])).ok()
}

fn candidate(text: impl Into<std::ffi::OsString>, about: impl Into<String>) -> CompletionCandidate {
    let about = about.into();
    CompletionCandidate::new(text).help((!about.is_empty()).then(|| about.into()))
}

/// Selectors of experts.
pub(super) fn experts(settings: Option<&Settings>, typed: &OsStr) -> Candidates {
    let (Some(workspace), Some(typed)) = (workspace(settings), typed.to_str()) else { return Candidates::new() };
    let found = suggest::selectors(&workspace, typed, settings::cores()).into_iter();
    found.map(|one| candidate(one.text, one.about)).collect()
}

/// Selectors of experts, and packages where a path is typed.
pub(super) fn targets(settings: Option<&Settings>, typed: &OsStr) -> Candidates {
    let mut found = experts(settings, typed);
    if !typed.is_empty() {
        found.extend(packages(typed));
    }
    found
}

/// Packages, and the folders on the way to them.
pub(super) fn packages(typed: &OsStr) -> Candidates {
    let is_package = |path: &std::path::Path| path.extension().is_some_and(|ending| ending == "expert");
    PathCompleter::any().filter(is_package).complete(typed)
}

/// Profiles of the Expertfile.
pub(super) fn profiles(settings: Option<&Settings>, typed: &OsStr) -> Candidates {
    let profiles = workspace(settings).map_or_else(Vec::new, |workspace| suggest::profiles(&workspace));
    beginning(typed, profiles.into_iter().map(|name| (name, String::new())))
}

/// Keys of the Expertfile that are set.
pub(super) fn keys(settings: Option<&Settings>, typed: &OsStr) -> Candidates {
    let Some(workspace) = workspace(settings) else { return Candidates::new() };
    let keys: std::collections::BTreeSet<String> = workspace.repo.rows().into_iter().map(|row| row.key).collect();
    beginning(typed, keys.into_iter().map(|key| (key, String::new())))
}

/// Codes of findings.
pub(super) fn codes(typed: &OsStr) -> Candidates {
    beginning(typed, codes::all().map(|code| (code.name.to_owned(), code.summary.to_owned())))
}

/// Kinds of reports, and the file that one goes to.
pub(super) fn reports(typed: &OsStr) -> Candidates {
    let text = typed.to_string_lossy();
    if let Some((kind, path)) = text.split_once('=') {
        let files = PathCompleter::any().complete(OsStr::new(path));
        return files.into_iter().map(|file| file.add_prefix(format!("{kind}="))).collect();
    }
    beginning(typed, report::KINDS.into_iter().map(|kind| (kind.to_owned(), String::new())))
}

fn beginning(typed: &OsStr, all: impl Iterator<Item = (String, String)>) -> Candidates {
    let typed = typed.to_string_lossy();
    all.filter(|(text, _)| text.starts_with(&*typed)).map(|(text, about)| candidate(text, about)).collect()
}
