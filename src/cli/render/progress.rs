//! `Progress`: one line on the terminal that says what is being done; gone before anything else is printed.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::Event;
use crate::base::event::Direction;
use crate::cli::render::{bytes, diagnostic};

/// The line.
pub struct Progress {
    line: ProgressBar,
    /// Tasks that run: number → what they do.
    running: BTreeMap<usize, String>,
    done: usize,
    tasks: usize,
    read: u64,
    /// What goes to a registry or comes from it.
    transfer: Option<String>,
}

impl Progress {
    /// A line that is drawn on stderr, at most ten times a second, or never.
    pub fn new(shown: bool) -> Self {
        let target = if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let line = ProgressBar::with_draw_target(None, target);
        line.set_style(ProgressStyle::with_template("{wide_msg} {elapsed}").expect("the template is constant"));
        if shown {
            line.enable_steady_tick(Duration::from_millis(100));
        }
        Self { line, running: BTreeMap::new(), done: 0, tasks: 0, read: 0, transfer: None }
    }

    /// Prints beside the line.
    pub fn aside(&self, print: impl FnOnce()) {
        self.line.suspend(print);
    }

    /// Takes the next event.
    pub fn on(&mut self, event: &Event) {
        match event {
            Event::Plan { tasks, .. } => self.tasks = *tasks,
            Event::TaskStart { id, task, expert, subject, .. } => {
                self.running.insert(*id, diagnostic::printable(&format!("{expert}: {task} {subject}")));
            }
            Event::TaskFinish { id, bytes_read, .. } => {
                self.running.remove(id);
                self.done += 1;
                self.read += bytes_read;
            }
            Event::Transfer { subject, direction, bytes: over, of, number, count, .. } => {
                let verb = if *direction == Direction::Upload { "push" } else { "pull" };
                let subject = diagnostic::printable(subject);
                let text = format!("[{number}/{count}] {verb} {subject}: {} of {}", bytes(*over), bytes(*of));
                self.transfer = Some(text);
            }
            Event::Uploading { left, bytes: sent } => {
                self.transfer =
                    Some(format!("sending results to the remote cache: {left} left, {} sent", bytes(*sent)));
            }
            Event::RunFinish { .. } => return self.line.finish_and_clear(),
            _ => return,
        }
        if !self.line.is_hidden() {
            self.line.set_message(self.text());
        }
    }

    /// The oldest task is what the run waits for.
    fn text(&self) -> String {
        if let Some(text) = &self.transfer {
            return text.clone();
        }
        let mut text = format!("[{}/{}]", self.done, self.tasks);
        if self.read > 0 {
            text.push_str(&format!(" {} read", bytes(self.read)));
        }
        if let Some(what) = self.running.values().next() {
            text.push_str(&format!(" {what}"));
        }
        if self.running.len() > 1 {
            text.push_str(&format!(" (and {} more)", self.running.len() - 1));
        }
        text
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.line.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;
    use crate::base::Event;
    use crate::base::event::{Direction, Status, Transfer};

    #[test]
    fn the_line_says_what_goes_to_a_registry() {
        let mut progress = Progress::new(false);
        progress.on(&Event::Transfer {
            reference: "host/sql:1".into(),
            subject: "a\u{1b}b".into(),
            direction: Direction::Download,
            state: Transfer::Moving,
            bytes: 1024,
            of: 2048,
            number: 2,
            count: 3,
        });
        assert_eq!(progress.text(), r"[2/3] pull a\u{1b}b: 1.0 KiB of 2.0 KiB");
    }

    #[test]
    fn the_line_says_what_is_being_done() {
        let mut progress = Progress::new(false);
        progress.on(&Event::Plan { stale: 1, fresh: 0, tasks: 3 });
        assert_eq!(progress.text(), "[0/3]");
        for id in 0..2 {
            progress.on(&Event::TaskStart {
                id,
                task: "hash",
                expert: "sql".into(),
                subject: format!("file\u{1b}{id}"),
                why: String::new(),
                after: Vec::new(),
                thread: 0,
                at_us: 0,
            });
        }
        assert_eq!(progress.text(), r"[0/3] sql: hash file\u{1b}0 (and 1 more)");
        progress.on(&Event::TaskFinish {
            id: 0,
            status: Status::Done,
            segments_made: 0,
            segments_reused: 0,
            bytes_read: 2048,
            at_us: 0,
        });
        assert_eq!(progress.text(), r"[1/3] 2.0 KiB read sql: hash file\u{1b}1");
    }
}
