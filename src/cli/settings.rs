//! From arguments and environment to the library's `Setup`: the one place that reads the environment.

#![expect(clippy::disallowed_methods, reason = "cli reads the environment")]

use std::path::PathBuf;

use crate::base::{Error, Result};
use crate::cli::args::{BuildArgs, Global};
use crate::ops::workspace::Setup;
use crate::spec::Request;

/// The setup for these arguments.
pub fn setup(global: &Global, build: &BuildArgs) -> Result<Setup> {
    let here = std::env::current_dir().map_err(|e| Error::io("find", ".", e))?;
    let directory = global.directory.as_ref().map_or_else(|| here.clone(), |dir| here.join(dir));
    let env: std::collections::BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let dirs = directories::ProjectDirs::from("", "", "expert-build");
    let home = directories::BaseDirs::new().map(|d| d.home_dir().to_path_buf());
    let fallback = |kind: &str| std::env::temp_dir().join(format!("expert-build-{kind}"));
    let named = global
        .cache_dir
        .as_ref()
        .map(|dir| here.join(dir))
        .or_else(|| env.get("EXPERT_BUILD_CACHE_DIR").filter(|d| !d.is_empty()).map(|dir| here.join(dir)));
    let cache_dir: PathBuf = named
        .clone()
        .unwrap_or_else(|| dirs.as_ref().map_or_else(|| fallback("cache"), |d| d.cache_dir().to_path_buf()));
    let config_dir = dirs.as_ref().map_or_else(|| fallback("config"), |d| d.config_dir().to_path_buf());
    let mut request = Request { profile: global.profile.clone(), env, ..Request::default() };
    if let Some(dir) = &named {
        request = request.flag("--cache-dir", "cache.dir", &dir.to_string_lossy());
    }
    for (flag, key, value) in [("--compression", "compression", &build.compression), ("--level", "level", &build.level)]
    {
        if let Some(value) = value {
            request = request.flag(flag, key, value);
        }
    }
    Ok(Setup { directory, home, config_dir, cache_dir, request })
}
