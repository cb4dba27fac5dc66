//! One function per verb: arguments in, the library called, answers printed, exit code out.

pub mod build;
pub mod cache;
pub mod experts;
pub mod package;
pub mod packages;
#[cfg(feature = "oci")]
pub mod registry;
pub mod remote_task;
pub mod repo;
pub mod state;

use crate::base::Result;
use crate::cli::render::diagnostic::Look;
use crate::cli::settings::Settings;
use crate::ops::glance::Glance;
use crate::ops::workspace::{self, Setup, Workspace};

/// Opens the repo and acts on it. What fails is told with paths that fit the repo.
fn opened(settings: &Settings, act: impl FnOnce(&Workspace, &Look) -> Result<u8>) -> Result<u8> {
    opened_after(settings, None, act)
}

/// The same, after a glance at the repo.
fn opened_after(
    settings: &Settings,
    glance: Option<Glance>,
    act: impl FnOnce(&Workspace, &Look) -> Result<u8>,
) -> Result<u8> {
    opened_by(settings, |setup| Workspace::open_after(setup, glance), act)
}

/// The same, for what needs less than a whole repo.
fn opened_by(
    settings: &Settings,
    open: impl FnOnce(Setup) -> Result<Workspace>,
    act: impl FnOnce(&Workspace, &Look) -> Result<u8>,
) -> Result<u8> {
    let mut look = Look::new(settings).at(&workspace::nearest(&settings.here));
    let outcome = open(settings.setup(&[])).and_then(|workspace| {
        look = look.clone().at(&workspace.root);
        act(&workspace, &look)
    });
    match outcome {
        // Errors without findings are told where all are.
        Err(error) if !error.diagnostics().is_empty() => {
            build::tell(settings, &error, None, &look)?;
            Ok(error.exit_code())
        }
        outcome => outcome,
    }
}
