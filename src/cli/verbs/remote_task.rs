//! `remote-task`: what workers of a remote cache run. Hidden, as nobody types it.

use crate::base::Result;
use crate::cli::args::RemoteTaskArgs;
use crate::cli::exit;
use crate::cli::render::diagnostic::Look;
use crate::cli::render::human::{Human, Mode};
use crate::cli::settings::{self, Settings};
use crate::ops::remote_task as op;

/// `remote-task`
pub fn remote_task(args: &RemoteTaskArgs, settings: &Settings) -> Result<u8> {
    let look = Look::new(settings).at(&settings.here);
    let mut human = Human::new(&look, Mode::Build, true, false, false);
    let cancel = exit::cancel_in_order();
    let report = op::remote_task(&settings.here, &args.task, settings::cores(), cancel, &mut human)?;
    for (expert, error) in report.failed.iter().filter(|(_, error)| error.diagnostics().is_empty()) {
        exit::tell(error, Some(expert), &look);
    }
    Ok(report.exit_code())
}
