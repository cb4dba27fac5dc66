//! `cache`: what it holds, and what can be done with it.

use std::time::Duration;

use crate::base::Result;
use crate::cli::args::{CacheArgs, CacheVerb};
use crate::cli::render::diagnostic::printable;
use crate::cli::render::remote::misses;
use crate::cli::render::{bytes, count, duration, json};
use crate::cli::settings::{self, Settings};
use crate::cli::verbs::opened_by;
use crate::cli::{exit, out};
use crate::ops::cache::{self, Collect, Collected, Stats};
use crate::ops::workspace::Workspace;
use crate::spec::Age;

/// `cache`
pub fn cache(args: &CacheArgs, settings: &Settings) -> Result<u8> {
    opened_by(settings, Workspace::open_cache, |workspace, _| match &args.verb {
        CacheVerb::Stats => {
            let stats = cache::stats(workspace)?;
            if settings.json {
                json::answer(&stats)?
            } else {
                out::answer(&table(&stats))?
            }
            Ok(0)
        }
        CacheVerb::Gc(args) => {
            let wanted = Collect { max_bytes: args.max_size, max_files: args.max_files, max_age: args.max_age };
            tell(&cache::collect(workspace, &wanted)?, settings)
        }
        CacheVerb::Clear => tell(&cache::clear(workspace)?, settings),
        CacheVerb::Verify => {
            let verified = cache::verify(workspace, settings::cores(), exit::cancel_in_order())?;
            if settings.json {
                json::answer(&verified)?;
                return Ok(0);
            }
            for path in &verified.damaged {
                out::answer(&format!("damaged, removed: {}", printable(&path.to_string_lossy())))?;
            }
            if !settings.quiet {
                let read = format!("{} ({})", count(verified.checked.files, "file"), bytes(verified.checked.bytes));
                let (damaged, dropped) = (verified.damaged.len(), verified.dropped.files);
                let mut text = format!("read {read}: {damaged} damaged");
                if dropped > 0 {
                    text.push_str(&format!(", {} that needed them removed", count(dropped, "result")));
                }
                out::tell(&text);
            }
            Ok(0)
        }
        CacheVerb::Path => {
            let path = cache::path(workspace);
            if settings.json {
                json::answer(&serde_json::json!({ "path": path }))?;
            } else {
                out::answer(&path.to_string_lossy())?;
            }
            Ok(0)
        }
    })
}

fn tell(collected: &Collected, settings: &Settings) -> Result<u8> {
    if settings.json {
        json::answer(collected)?;
    } else if !settings.quiet {
        let files = collected.removed.files + collected.dropped.files;
        let freed = collected.removed.bytes + collected.dropped.bytes;
        let mut text = format!("removed {} ({})", count(files, "file"), bytes(freed));
        if collected.spared.files > 0 {
            let stay = format!("{} ({})", count(collected.spared.files, "file"), bytes(collected.spared.bytes));
            text.push_str(&format!("; {stay} used within the last hour stay, as a build may need them"));
        }
        out::tell(&text);
    }
    Ok(0)
}

fn table(stats: &Stats) -> String {
    let total = |files: u64, size: u64| format!("{:>10}  {}", bytes(size), count(files, "file"));
    let mut lines = vec![
        format!("path      {}", printable(&stats.path.to_string_lossy())),
        format!("results   {}", total(stats.results.files, stats.results.bytes)),
        format!("contents  {}", total(stats.blobs.files, stats.blobs.bytes)),
        format!("indexes   {}", total(stats.repos.files, stats.repos.bytes)),
        format!("in all    {}, at most {}", total(stats.total.files, stats.total.bytes), bytes(stats.max_bytes)),
        format!("unused    kept for {}", Age(stats.max_age).text()),
    ];
    let asked = stats.hits + stats.misses;
    if let Some(percent) = (stats.hits * 100).checked_div(asked) {
        let saved = Duration::from_secs_f64(stats.seconds_saved.clamp(0.0, 1e12)).as_millis() as u64;
        let hits = stats.hits;
        lines.push(format!("builds    {}: {hits} of {asked} results found ({percent} %)", stats.builds));
        lines.push(format!("saved     {} of packing, {} of work", bytes(stats.bytes_saved), duration(saved)));
    }
    if let Some(mode) = &stats.remote.mode {
        lines.push(format!("remote    {}", printable(mode)));
    }
    let all = stats.remote.counted;
    if all.calls + all.errors > 0 {
        let sent = count(all.sent, "result");
        let asked = format!("{}, {}, {}", count(all.hits, "hit"), misses(all.misses), count(all.errors, "error"));
        let moved = format!("{} down, {} up ({sent} sent)", bytes(all.bytes_down), bytes(all.bytes_up));
        let saved = format!("{}, {} of work saved", count(all.calls, "round trip"), duration(all.saved_us / 1000));
        lines.push(format!("          {asked}, {moved}, {saved}"));
    }
    lines.join("\n")
}
