//! Events for people: one line per package that changed, findings, one line in all.

use crate::base::Event;
use crate::base::event::{Observer, Status};

/// Prints.
#[derive(Debug, Default)]
pub struct Human;

impl Observer for Human {
    fn on(&mut self, event: &Event) {
        match event {
            Event::Diagnostic(found) => anstream::eprintln!("{}", super::plain(found)),
            Event::Notice { message } => anstream::eprintln!("note: {message}"),
            Event::Artifact { path, bytes, files, status, took_us, segments_reused, segments_made, .. } => {
                let verb = match status {
                    Status::Cached => "restored",
                    Status::Unchanged => return,
                    _ => "built",
                };
                anstream::eprintln!(
                    "{verb} {path} ({bytes} bytes, {} files, {segments_reused} of {} segments reused, {} ms)",
                    files.len(),
                    segments_reused + segments_made,
                    took_us / 1000
                );
            }
            Event::RunFinish { built, restored, fresh, failed, took_ms, .. } => {
                anstream::eprintln!(
                    "{built} built, {restored} restored, {fresh} up to date, {failed} failed in {took_ms} ms"
                );
            }
            _ => {}
        }
    }
}
