//! The arguments of `cache`.

use clap::{Args, Subcommand};

use crate::cli::args::packages::{size, value};
use crate::spec::Age;

pub(super) const CACHE_MORE: &str = "\
Examples:
  expert-build cache stats               what it holds and what it saved
  expert-build cache gc --max-size 5GiB --max-age 30d
  expert-build cache clear               costs time only: nothing in it cannot be made again

Builds keep it within `max-size` and `max-age` of `[cache]` by themselves, at most once a day.";

/// `cache`
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub verb: CacheVerb,
}

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub enum CacheVerb {
    /// Show what it holds and what it saved
    Stats,
    /// Remove what was not used for long, and what is over its size
    ///
    /// What was used within the last hour stays, as a build may need it; `cache clear` takes that too.
    Gc(GcArgs),
    /// Read everything in it and remove what is damaged
    Verify,
    /// Remove everything from it
    Clear,
    /// Print where it lies
    Path,
}

/// `cache gc`
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Bring it down to this [default: `max-size` of `[cache]`]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
    /// Bring it down to so many files
    #[arg(long, value_name = "N")]
    pub max_files: Option<u64>,
    /// Remove what was not used for so long, `30 days` or `12h` [default: `max-age` of `[cache]`]
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub max_age: Option<Age>,
}

fn age(text: &str) -> Result<Age, String> {
    value(text)
}
