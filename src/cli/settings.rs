//! `Settings`: what arguments, environment and terminal say together. The one place that reads the environment.

#![expect(clippy::disallowed_methods, reason = "cli reads the environment")]

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anstream::ColorChoice;

use crate::base::{Error, Result};
use crate::cli::args::{Color, Global, MessageFormat};
use crate::ops::remote::Ci;
use crate::ops::workspace::Setup;
use crate::spec::Request;

/// The variable that does what `--offline` does.
const OFFLINE: &str = "EXPERT_BUILD_OFFLINE";

/// How a command is to behave.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that is worked in.
    pub here: PathBuf,
    /// The environment, as far as it is text.
    pub env: BTreeMap<String, String>,
    /// Answers and errors only.
    pub quiet: bool,
    /// Notices too.
    pub verbose: bool,
    /// JSON on stdout.
    pub json: bool,
    /// May a progress line be drawn?
    pub progress: bool,
    /// Columns of the terminal, where stderr is one.
    pub columns: Option<usize>,
    /// Does GitHub Actions run this?
    pub github: bool,
    /// Who says that no other machine may be spoken to, if anyone does.
    pub offline: Option<&'static str>,
    profile: Option<String>,
    cache_dir: Option<PathBuf>,
}

impl Settings {
    /// Enters the folder of `-C` and looks around.
    pub fn new(global: &Global) -> Result<Self> {
        if let Some(directory) = &global.directory {
            std::env::set_current_dir(directory).map_err(|e| Error::io("enter the folder", directory, e))?;
        }
        let here = std::env::current_dir().map_err(|e| Error::io("find the folder", ".", e))?;
        let env = environment();
        color(global.color);
        let json = global.message_format == MessageFormat::Json;
        let is_set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty() && value != "false");
        let terminal = std::io::stderr().is_terminal() && env.get("TERM").is_some_and(|term| term != "dumb");
        Ok(Self {
            progress: terminal && !json && !global.quiet && !is_set("CI"),
            columns: console::columns().filter(|_| terminal),
            github: is_set("GITHUB_ACTIONS"),
            offline: if global.offline { Some("--offline") } else { switched_on(&env, OFFLINE)?.then_some(OFFLINE) },
            quiet: global.quiet,
            verbose: global.verbose,
            json,
            profile: global.profile.clone(),
            cache_dir: global.cache_dir.clone(),
            here,
            env,
        })
    }

    /// What the library is told of the machine. `flags` are those that set keys: flag, key, value.
    pub fn setup(&self, flags: &[(&str, &str, String)]) -> Setup {
        let dirs = directories::ProjectDirs::from("", "", "expert-build");
        let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_path_buf());
        let fallback = |kind: &str| std::env::temp_dir().join(format!("expert-build-{kind}"));
        let folder = |kind: &str, of: fn(&directories::ProjectDirs) -> &Path| {
            dirs.as_ref().map_or_else(|| fallback(kind), |dirs| of(dirs).to_path_buf())
        };
        let variable = self.env.get("EXPERT_BUILD_CACHE_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let named = self.cache_dir.clone().or(variable).map(|dir| self.here.join(dir));
        let mut request = Request { profile: self.profile.clone(), env: self.env.clone(), ..Request::default() };
        if let Some(dir) = &self.cache_dir {
            request = request.flag("--cache-dir", "cache.dir", &dir.to_string_lossy());
        }
        for (flag, key, value) in flags {
            request = request.flag(flag, key, value);
        }
        Setup {
            directory: self.here.clone(),
            home,
            config_dir: folder("config", directories::ProjectDirs::config_dir),
            cache_dir: named.unwrap_or_else(|| folder("cache", directories::ProjectDirs::cache_dir)),
            request,
            offline: self.offline,
            ci: ci(&self.env),
            program: std::env::current_exe().ok(),
        }
    }
}

/// Is the switch of this variable on?
fn switched_on(env: &BTreeMap<String, String>, name: &str) -> Result<bool> {
    let value = env.get(name).map_or("", String::as_str);
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(Error::usage_help(
            format!("{name} is `{value}`, which is neither on nor off"),
            "it is 1, true, yes or on; or 0, false, no, off or not set",
        )),
    }
}

/// What CI systems say by their variables. GitHub, GitLab, Azure, Buildkite, CircleCI, Travis, AppVeyor, Bitbucket, Cirrus,
/// Drone, Woodpecker and Jenkins name the pull request that they run for.
fn ci(env: &BTreeMap<String, String>) -> Ci {
    const NUMBERS: [&str; 11] = [
        "CI_MERGE_REQUEST_ID",
        "CI_MERGE_REQUEST_IID",
        "SYSTEM_PULLREQUEST_PULLREQUESTID",
        "BUILDKITE_PULL_REQUEST",
        "CIRCLE_PULL_REQUEST",
        "TRAVIS_PULL_REQUEST",
        "APPVEYOR_PULL_REQUEST_NUMBER",
        "BITBUCKET_PR_ID",
        "CIRRUS_PR",
        "DRONE_PULL_REQUEST",
        "CHANGE_ID",
    ];
    let value = |name: &str| env.get(name).map(String::as_str).filter(|value| !matches!(*value, "" | "false" | "0"));
    let numbered = NUMBERS.iter().any(|name| value(name).is_some());
    let mut event = ["GITHUB_EVENT_NAME", "CI_PIPELINE_EVENT", "BUILD_REASON"].iter().filter_map(|name| value(name));
    let is_request = |event: &str| {
        let event = event.to_ascii_lowercase().replace('_', "");
        event.starts_with("pullrequest") || event.starts_with("mergerequest")
    };
    match event.any(is_request) || numbered {
        true => Ci::PullRequest,
        false if ["CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD"].iter().any(|name| value(name).is_some()) => {
            Ci::Branch
        }
        false => Ci::None,
    }
}

/// Sets when colour is used, also for what clap prints.
pub fn color(when: Color) {
    match when {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    }
    .write_global();
}

/// The program's arguments.
pub fn arguments() -> Vec<std::ffi::OsString> {
    std::env::args_os().collect()
}

/// Is this variable set, and not to nothing?
pub fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The number that this variable holds.
pub fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// The number of cores that may be used.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The environment, as far as it is text.
fn environment() -> BTreeMap<String, String> {
    let pairs = std::env::vars_os();
    pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// What is asked of the terminal.
mod console {
    /// Its columns.
    pub(super) fn columns() -> Option<usize> {
        rustix::termios::tcgetwinsize(std::io::stderr()).ok().map(|size| usize::from(size.ws_col)).filter(|c| *c > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ci, ci};

    #[test]
    fn ci_systems_say_for_whom_they_run() {
        let of = |pairs: &[(&str, &str)]| ci(&pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect());
        assert_eq!(of(&[]), Ci::None);
        assert_eq!(of(&[("CI", "false")]), Ci::None);
        assert_eq!(of(&[("CI", "true")]), Ci::Branch);
        assert_eq!(of(&[("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "push")]), Ci::Branch);
        assert_eq!(of(&[("CI", "true"), ("TRAVIS_PULL_REQUEST", "false")]), Ci::Branch);
        for (name, value) in [
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("GITHUB_EVENT_NAME", "pull_request_target"),
            ("CI_MERGE_REQUEST_ID", "17"),
            ("BUILD_REASON", "PullRequest"),
            ("TRAVIS_PULL_REQUEST", "12"),
            ("CI_PIPELINE_EVENT", "pull_request"),
        ] {
            assert_eq!(of(&[("CI", "true"), (name, value)]), Ci::PullRequest, "{name}");
        }
    }
}
