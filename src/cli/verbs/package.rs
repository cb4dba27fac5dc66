//! `package`: one expert without an Expertfile.

use crate::base::{Error, Result};
use crate::cli::args::PackageArgs;
use crate::cli::render::diagnostic::{Look, printable};
use crate::cli::render::human::{Human, Mode};
use crate::cli::render::json::{self, Json};
use crate::cli::render::{bytes, count};
use crate::cli::settings::Settings;
use crate::cli::verbs::build::{options, packing, remote, strict, tell};
use crate::cli::{exit, out};
use crate::ops::build::Options;
use crate::ops::package::{Packaged, Request, package as run};

/// `package`
pub fn package(args: &PackageArgs, settings: &Settings) -> Result<u8> {
    let request = Request {
        manifest: args.manifest.clone(),
        weights: args.weights.clone(),
        output: args.output.clone(),
        model: args.model.clone(),
    };
    let mut flags = strict(&args.work);
    flags.extend(packing(&args.packing));
    flags.extend(remote(&args.remote));
    let options =
        Options { force: args.force, whole: true, provenance: args.packing.provenance, ..options(&args.work) };
    let folder = settings.here.join(&args.manifest);
    let look = Look::new(settings).at(folder.parent().unwrap_or(&settings.here));
    let mut human = Human::new(&look, Mode::Build, settings.quiet, settings.verbose, settings.progress);
    let mut lines = Json::new(&look);
    let done = match settings.json {
        true => run(settings.setup(&flags), &request, &options, exit::cancel_in_order(), &mut lines),
        false => run(settings.setup(&flags), &request, &options, exit::cancel_in_order(), &mut human),
    };
    drop(human);
    lines.finish()?;
    let (packages, report) = match done {
        Err(error) => {
            tell(settings, &error, None, &look)?;
            return Ok(error.exit_code());
        }
        Ok(done) => done,
    };
    for (expert, error) in report.failed.iter().filter(|(_, error)| error.diagnostics().is_empty()) {
        let expert = Some(expert.as_str()).filter(|_| !matches!(error, Error::Interrupted));
        tell(settings, error, expert, &look)?;
    }
    for package in packages {
        if settings.json {
            json::answer(&Answer { reason: "package", package: &package })?;
        } else {
            out::answer(&listing(&package, &look))?;
        }
    }
    Ok(report.exit_code())
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    reason: &'static str,
    #[serde(flatten)]
    package: &'a Packaged,
}

/// The package and every file in it.
fn listing(package: &Packaged, look: &Look) -> String {
    let path = printable(&look.shown(&package.path.to_string_lossy()));
    let files = count(package.files.len() as u64, "file");
    let mut lines = vec![format!("{path}  {} ({} bytes), {files}", bytes(package.bytes), package.bytes)];
    lines.push(format!("{}  {:>12}  (the package)", package.sha256, package.bytes));
    for file in &package.files {
        lines.push(format!("{}  {:>12}  {}", file.sha256, file.bytes, printable(file.path.as_str())));
    }
    lines.join("\n")
}
