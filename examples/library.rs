//! The library without the command line: `cargo run --example library -- [FOLDER]` builds a repo and says what is in its packages.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use expert_build::base::event::{Observer, Status};
use expert_build::base::{Event, Result};
use expert_build::format::archive::Limits;
use expert_build::ops::build::{Options, build};
use expert_build::ops::inspect::inspect;
use expert_build::ops::workspace::{Setup, Workspace};

/// Everything that happens comes here, on one thread and in order; the library itself prints nothing.
#[derive(Default)]
struct Listener {
    packages: Vec<PathBuf>,
    lines: Vec<String>,
}

impl Observer for Listener {
    fn on(&mut self, event: &Event) {
        match event {
            Event::Artifact { expert, path, bytes, sha256, status, .. } => {
                let how = match status {
                    Status::Done => "built",
                    Status::Cached => "restored",
                    _ => "unchanged",
                };
                self.lines.push(format!("{expert}: {how}, {bytes} bytes, SHA-256 {sha256}"));
                self.packages.push(PathBuf::from(path));
            }
            Event::Diagnostic(found) => self.lines.push(format!("{}: {}", found.code.name, found.message)),
            _ => {}
        }
    }
}

fn run(repo: PathBuf) -> Result<(Listener, u8)> {
    // The library reads no environment: the caller says where the repo and the cache are.
    let cache_dir = std::env::temp_dir().join("expert-build-example");
    let workspace = Workspace::open(Setup { directory: repo, cache_dir, ..Setup::default() })?;
    let options = Options { jobs: 2, keep_going: true, ..Options::default() };
    let mut listener = Listener::default();
    let report = build(&workspace, &workspace.defaults(), &options, &AtomicBool::new(false), &mut listener)?;
    for package in &listener.packages {
        let inspection = inspect(package, false, Limits::default())?;
        for file in &inspection.files {
            listener.lines.push(format!("  {} {}: {} bytes", inspection.name, file.path, file.bytes));
        }
    }
    listener.lines.push(format!("{} built, {} up to date", report.built, report.fresh));
    Ok((listener, report.exit_code()))
}

fn main() -> std::process::ExitCode {
    let examples = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"));
    let (text, code) = match run(std::env::args_os().nth(1).map_or(examples, PathBuf::from)) {
        Ok((listener, code)) => (listener.lines.join("\n"), code),
        Err(error) => (format!("error: {error}"), error.exit_code()),
    };
    #[expect(clippy::print_stdout, reason = "an example prints")]
    {
        println!("{text}");
    }
    std::process::ExitCode::from(code)
}
