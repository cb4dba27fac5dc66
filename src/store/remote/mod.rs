//! `Remote`: the cache and the workers of another machine, in the words of the Remote Execution API v2.
//!
//! The engine speaks to a [`Remote`] and never sees gRPC: plain values in, plain values out, blocking, callable from any
//! thread. Names on the wire are SHA-256 and size ([`CasDigest`]). Does not know what a package is.
//!
//! Source of the protocol: `build/bazel/remote/execution/v2/remote_execution.proto` of the Remote Execution API, and
//! `google/bytestream/bytestream.proto`. The client, behind the feature `remote`, is in the module `grpc`.

#[cfg(feature = "remote")]
pub mod grpc;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::base::{RelPath, Sha256};

#[cfg(feature = "remote")]
#[doc(no_inline)]
pub use grpc::{ClientIdentity, Connection, GrpcRemote, Patience};

/// The name of bytes in content-addressed storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CasDigest {
    /// SHA-256 of the bytes.
    pub sha256: Sha256,
    /// How many there are.
    pub size: u64,
}

impl CasDigest {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: Sha256::of(bytes), size: bytes.len() as u64 }
    }
}

impl fmt::Display for CasDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sha256, self.size)
    }
}

/// A file that an action reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Its content.
    pub digest: CasDigest,
    /// May it be run?
    pub executable: bool,
}

/// A command over a tree of files. Its digest, over everything here, is the key of its result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Action {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// Environment variables, all of them.
    pub environment: BTreeMap<String, String>,
    /// The files below the working directory.
    pub inputs: BTreeMap<RelPath, Input>,
    /// Files and folders that it leaves, relative to the working directory.
    pub output_paths: Vec<String>,
    /// What the worker must be: names and values that the server knows.
    pub platform: BTreeMap<String, String>,
    /// Tells equal actions of different owners apart.
    pub salt: Vec<u8>,
    /// When the worker gives up.
    pub timeout: Option<Duration>,
}

/// What an action left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionResult {
    /// Its exit code; results with another one than zero are never taken from a cache.
    pub exit_code: i32,
    /// Files by output path.
    pub files: BTreeMap<String, OutputFile>,
    /// Folders by output path: the files in them, by relative path. Written as a `Tree` message; on reading only
    /// the name of that message is known until [`Remote::tree`] fetches it.
    pub folders: BTreeMap<String, OutputFolder>,
    /// The end of what it wrote to standard error, where the server tells it.
    pub stderr: Vec<u8>,
}

/// A file that an action left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Its content.
    pub digest: CasDigest,
    /// The content itself, where the server sent it along. Its digest was checked.
    pub contents: Option<Vec<u8>>,
}

/// A folder that an action left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputFolder {
    /// The files, to be told to a server.
    Files(BTreeMap<RelPath, CasDigest>),
    /// The name of the `Tree` message, as told by a server.
    Tree(CasDigest),
}

/// Bytes to be sent.
pub struct Upload<'a> {
    /// Their name.
    pub digest: CasDigest,
    /// Opens them at their start; called once for each try, only if the server lacks them.
    pub open: Box<dyn Fn() -> io::Result<Box<dyn io::Read + Send>> + Send + Sync + 'a>,
}

impl Upload<'_> {
    /// Bytes that are in memory.
    pub fn bytes(bytes: Vec<u8>) -> Upload<'static> {
        let digest = CasDigest::of(&bytes);
        let bytes = std::sync::Arc::<[u8]>::from(bytes);
        Upload { digest, open: Box::new(move || Ok(Box::new(io::Cursor::new(std::sync::Arc::clone(&bytes))))) }
    }
}

/// What the server said of itself, within what every server is known to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Largest sum of sizes in one batch.
    pub max_batch_bytes: u64,
    /// Does it say that results may be written?
    pub update_enabled: bool,
    /// Does it execute actions?
    pub exec_enabled: bool,
    /// Does it take zstd streams?
    pub zstd: bool,
}

/// Why the other machine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// The operation and the server's words; never a credential.
    pub message: String,
}

/// Kinds of failure, by what a caller can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// It does not have it. For a cache: a miss.
    Missing,
    /// It did not answer, or not in time, after all tries.
    Unavailable,
    /// Who are you? May you?
    Denied,
    /// It does not do this: read-only, no execution.
    Unsupported,
    /// It has no room, or the message was too large.
    Exhausted,
    /// What it sent is not what was asked for.
    Wrong,
    /// This side could not read or write its own bytes.
    Local,
    /// The run was stopped.
    Cancelled,
    /// Anything else.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What went over the wire so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Calls that were made, tries included: round trips.
    pub calls: u64,
    /// Bytes of blobs received, as they travelled.
    pub received: u64,
    /// Bytes of blobs sent, as they travelled.
    pub sent: u64,
    /// Blobs that the server had already.
    pub present: u64,
    /// Calls that failed for good. What was not there, or was not waited for, is not among them.
    pub failures: u64,
}

/// Another machine that keeps results and blobs, and may run actions.
///
/// What it is given to call (sinks, sources, `each`, `cancelled`) must not call it in turn. The empty blob is everywhere: it
/// is never asked for, sent or fetched.
pub trait Remote: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The digest of an action, as the server computes it.
    fn key(&self, action: &Action) -> CasDigest;

    /// The kept result; output files named in `inline` come with their contents where the server sends them along.
    /// `None` is a miss. One whose exit code is not zero is a miss.
    fn result(&self, action: &Action, inline: &[&str]) -> Result<Option<ActionResult>, Failure>;

    /// Keeps a result. Its outputs must have been [uploaded](Self::upload); the action's own messages are sent here.
    fn update(&self, action: &Action, result: &ActionResult) -> Result<(), Failure>;

    /// Which of these it lacks.
    fn missing(&self, digests: &[CasDigest]) -> Result<Vec<CasDigest>, Failure>;

    /// Sends what it lacks of these: asks first, small ones in batches, others as streams. Returns the bytes sent.
    fn upload(&self, blobs: &[Upload<'_>]) -> Result<u64, Failure>;

    /// Fetches blobs, small ones in batches. Each is told once, in any order, whole and with its digest checked, or with
    /// why it could not be had. None is larger than `limit` bytes: those are [`FailureKind::Wrong`]. Where there is no sense
    /// in asking on, all that are left are told that, and it is the result too.
    fn fetch(
        &self,
        digests: &[CasDigest],
        limit: u64,
        each: &mut dyn FnMut(CasDigest, Result<Vec<u8>, Failure>),
    ) -> Result<(), Failure>;

    /// Streams a blob of any size; its digest is checked at the end. After an error the sink's bytes are worth nothing.
    fn stream(&self, digest: CasDigest, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Failure>;

    /// The files of an output folder.
    fn tree(&self, tree: CasDigest) -> Result<BTreeMap<RelPath, CasDigest>, Failure>;

    /// Runs an action on a worker, unless its result is kept; all inputs must be there, the action's own messages are sent
    /// here. Waits until it is done, reconnects to the operation where the connection breaks, asks `cancelled` meanwhile.
    /// An exit code that is not zero is a result; one that was kept is not believed, and the action run anew. The server
    /// looks for a kept result itself, but ask for [one](Self::result) first: it is the cheaper question.
    fn execute(&self, action: &Action, cancelled: &dyn Fn() -> bool) -> Result<ActionResult, Failure>;

    /// What went over the wire so far.
    fn traffic(&self) -> Traffic;
}
