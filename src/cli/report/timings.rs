//! Where the time of a run went, as `--timings` asks for it.

use std::path::PathBuf;

use crate::base::Result;
use crate::cli::out;
use crate::cli::render::diagnostic::Look;
use crate::cli::settings::Settings;
use crate::ops::timings::{Timings, page, trace};
use crate::ops::write_report;

/// Where the page goes unless a file is named.
pub const PAGE: &str = "expert-build-timings.html";

/// Writes the page, or the trace where the name ends in `.json`, to each of these files.
pub fn write(timings: &Timings, paths: &[PathBuf], settings: &Settings, look: &Look) -> Result<()> {
    for path in paths {
        let is_trace = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        let text = if is_trace { trace(timings) } else { page(timings) };
        let path = settings.here.join(path);
        write_report::write(&path, text.as_bytes())?;
        if !settings.quiet && !settings.json {
            out::tell(&format!("wrote {}", look.shown(&path.to_string_lossy())));
        }
    }
    Ok(())
}
