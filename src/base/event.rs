//! `Event`: everything the engine says, as data, in one order.
//!
//! Human output, JSON lines, timings and tests all read this stream. Written as JSON, each event is one object with
//! `"v": 1` and a `reason`; fields may be added, never removed (`schema/events.schema.json`).

use serde::{Deserialize, Serialize};

use crate::base::{Diagnostic, Digest, RelPath, Sha256};

/// What happened to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It ran.
    Done,
    /// Its result came from the cache.
    Cached,
    /// Its result was the same as before: nothing was written.
    Unchanged,
    /// It failed.
    Failed,
    /// It was not run, as something before it failed or the run was cancelled.
    Skipped,
    /// Another machine has the result, and it was left there.
    Remote,
}

/// Which way something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To a registry.
    Upload,
    /// From a registry.
    Download,
}

/// What becomes of something that goes to a registry or comes from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transfer {
    /// It begins.
    Begun,
    /// It is under way.
    Moving,
    /// It is over.
    Done,
    /// It was there before.
    Present,
    /// The registry took it from another of its repositories.
    Mounted,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins.
    RunStart {
        /// The version of expert-build.
        version: &'static str,
        /// Threads that work.
        jobs: usize,
        /// Experts chosen.
        experts: usize,
    },
    /// What is to be done.
    Plan {
        /// Packages whose inputs changed.
        stale: usize,
        /// Packages that are up to date.
        fresh: usize,
        /// Tasks in the graph.
        tasks: usize,
    },
    /// A task begins.
    TaskStart {
        /// Its number in the graph.
        id: usize,
        /// `validate`, `hash`, `compose`, `sign`, `archive`.
        task: &'static str,
        /// The expert it belongs to.
        expert: String,
        /// The file or package it is about.
        subject: String,
        /// Why it is not fresh.
        why: String,
        /// Tasks that had to end before.
        after: Vec<usize>,
        /// The thread that runs it.
        thread: usize,
        /// Microseconds since the run began.
        at_us: u64,
    },
    /// A finding.
    Diagnostic(Box<Diagnostic>),
    /// A task ended.
    TaskFinish {
        /// Its number in the graph.
        id: usize,
        /// How it ended.
        status: Status,
        /// Compressed segments made.
        segments_made: u64,
        /// Compressed segments taken from the cache.
        segments_reused: u64,
        /// Source bytes read.
        bytes_read: u64,
        /// Microseconds since the run began.
        at_us: u64,
    },
    /// A package is in its place.
    Artifact {
        /// The expert.
        expert: String,
        /// Where it lies, as the user would write it.
        path: String,
        /// SHA-256 of the package.
        sha256: Sha256,
        /// Its size.
        bytes: u64,
        /// The size it had when it was last built here, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes_before: Option<u64>,
        /// Is it signed?
        signed: bool,
        /// How it came there: done, cached (restored) or unchanged.
        status: Status,
        /// Its members.
        files: Vec<Member>,
        /// Segments compressed for it.
        segments_made: u64,
        /// Segments taken from the cache for it.
        segments_reused: u64,
        /// Microseconds that its tasks took.
        took_us: u64,
    },
    /// Something goes to a registry or comes from it (`push`, `pull`).
    Transfer {
        /// What it is a part of, as the user would write it.
        reference: String,
        /// What it is: a file, the config, the signature.
        subject: String,
        /// Which way it goes.
        direction: Direction,
        /// What becomes of it.
        state: Transfer,
        /// Bytes of it that are over.
        bytes: u64,
        /// Its size.
        of: u64,
        /// Which part it is, from 1.
        number: usize,
        /// How many parts are known.
        count: usize,
    },
    /// All is built, and results are still on their way to the remote cache.
    Uploading {
        /// Results that are left.
        left: usize,
        /// Bytes that were sent so far.
        bytes: u64,
    },
    /// Something worth telling that is not a finding: a degraded cache, a lock that is waited for.
    Notice {
        /// The text.
        message: String,
    },
    /// An expert is stale, and nothing shall be built now (`--dry-run`, `--frozen`).
    Stale {
        /// The expert.
        expert: String,
        /// Why it is not fresh.
        why: String,
        /// Would a build take every package from the cache? Absent where that is not known before it is tried.
        #[serde(skip_serializing_if = "Option::is_none")]
        cached: Option<bool>,
    },
    /// Work could not be done, for a reason that is no finding in a file.
    Failure {
        /// The expert it concerns; none where it is the run as a whole.
        #[serde(skip_serializing_if = "Option::is_none")]
        expert: Option<String>,
        /// What could not be done and why.
        message: String,
        /// What to do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        help: Option<String>,
        /// The exit code that it leads to.
        exit_code: u8,
    },
    /// The run ended.
    RunFinish {
        /// Experts whose validation was finished.
        checked: usize,
        /// Packages built.
        built: usize,
        /// Packages restored from the cache.
        restored: usize,
        /// Packages that were up to date.
        fresh: usize,
        /// Packages that failed.
        failed: usize,
        /// Packages not tried.
        skipped: usize,
        /// Warnings told.
        warnings: usize,
        /// Warnings of experts that were up to date: they were told when those were built.
        not_repeated: usize,
        /// Task results found in the cache.
        cache_hits: u64,
        /// Task results not found in the cache.
        cache_misses: u64,
        /// Packages that the remote cache has and that were left there.
        left_there: usize,
        /// Packed bytes that the local cache had.
        bytes_saved: u64,
        /// Milliseconds that making them took when they were made.
        saved_ms: u64,
        /// What was asked of the remote cache, where there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        remote: Option<RemoteUse>,
        /// Milliseconds in all.
        took_ms: u64,
    },
}

/// What was asked of a remote cache.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RemoteUse {
    /// How it was used in the end: `read-only (pull request)`, `off: after 3 failures`.
    pub mode: String,
    /// Results that it had.
    pub hits: u64,
    /// Results that it had not, or not whole.
    pub misses: u64,
    /// Calls that failed, and answers that were wrong.
    pub errors: u64,
    /// Results that were sent to it.
    pub sent: u64,
    /// Experts that its workers packed, or found wrong.
    pub executed: u64,
    /// Experts that a worker was to pack, and that were packed here after all.
    pub fell_back: u64,
    /// Round trips.
    pub calls: u64,
    /// Bytes received.
    pub bytes_down: u64,
    /// Bytes sent.
    pub bytes_up: u64,
    /// Milliseconds that making what it had took when it was made.
    pub saved_ms: u64,
}

/// A member of a package, for reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its path in the package.
    pub path: RelPath,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its digest in the cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// Where events go. One of the two traits that take `dyn`.
pub trait Observer {
    /// Takes the next event. Called by one thread alone.
    fn on(&mut self, event: &Event);
}

/// Hears nothing.
impl Observer for () {
    fn on(&mut self, _: &Event) {}
}

/// Collects.
impl Observer for Vec<Event> {
    fn on(&mut self, event: &Event) {
        self.push(event.clone());
    }
}
