//! `GrpcRemote`: a server of the Remote Execution API v2, over gRPC. Blocking; owns a runtime of two threads.
//!
//! Sources: `remote_execution.proto` of the Remote Execution API 2.x; `google/bytestream/bytestream.proto`;
//! `google/longrunning/operations.proto`. Does not know what an action is for.
//!
//! # Parts
//!
//! | file | what |
//! |---|---|
//! | `connection` | plain values → an endpoint with TLS and headers; what is wrong with them |
//! | `link` | one connection: deadlines, counters, how much moves at once |
//! | `trouble` | what a failure means, and whether to try again |
//! | `messages` | actions, folders and results as canonical messages, and back |
//! | `cas` | missing blobs, batches |
//! | `byte_stream` | blobs of any size, resumed |
//! | `action_cache` | results, capabilities |
//! | `execute` | workers |
//!
//! # Decisions, and why
//!
//! * **Nothing is believed.** Each blob is compared with the SHA-256 that it was asked by, contents that come along with a
//!   result too; answers are matched by digest; paths of outputs cannot leave their folder. What is sent is hashed as well:
//!   a file that changed meanwhile is this side's failure and leaves nothing wrong in the cache.
//! * **Round trips decide.** A result is one call, with the contents of its small files. An update is two: the action's
//!   messages in one batch, unasked as they are small, and the result. An upload asks for a hundred blobs in one call and
//!   sends what fits in batches of at most 4 MB, four calls at once.
//! * **Memory is bounded**: at most eight batches or streams move at once, of which each holds one batch or three messages,
//!   ours of a MiB; a blob is never whole in memory, but where [`fetch`](Remote::fetch) was asked to hand it over so.
//! * **No single deadline.** A question has 20 s, a batch more by its size; a stream may last as long as it moves. Tried
//!   again, five times with growing pauses, is only what may pass: `UNAVAILABLE`, `ABORTED`, `RESOURCE_EXHAUSTED` and broken
//!   connections. A stream goes on where it broke, if the server can.
//! * **Limits of messages are guessed.** 0 as the largest batch means that the server does not say; what is refused as too
//!   large goes once more in smaller pieces.
//! * **Credentials** are sent as headers to the one server only, and taken out of its words before these are told.
//!
//! # Limits
//!
//! No proxy: gRPC over HTTP `CONNECT` is not spoken, and the environment is not read. Neither compression (what is large is
//! packed already, and the rest small) nor `SplitBlob` and `SpliceBlob`. No symbolic links among outputs. One connection.

mod action_cache;
mod byte_stream;
mod cas;
mod connection;
mod execute;
mod link;
mod messages;
mod trouble;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::runtime::Runtime;

pub use connection::{ClientIdentity, Connection, Patience};
use link::{Link, SharedLink};
use messages::ActionMessages;
use trouble::Trouble;

use crate::base::{Error, RelPath, Result as BaseResult};
use crate::store::remote::{
    Action, ActionResult, Capabilities, CasDigest, Failure, FailureKind, Remote, Traffic, Upload,
};

/// Threads that speak; those that call do the hashing and the reading of files.
const THREADS: usize = 2;
/// Bytes of a `Tree` message at most.
const MAX_TREE: u64 = 64 << 20;

/// A server of the Remote Execution API.
pub struct GrpcRemote {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    link: SharedLink,
    namespace: String,
}

impl GrpcRemote {
    /// Prepares to speak to a server; nothing is sent yet.
    pub fn new(connection: &Connection) -> BaseResult<Self> {
        let prepared = connection.prepare()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("remote")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| Error::Network { message: "cannot prepare for the network".into(), source: Some(e.into()) })?;
        let link = {
            let _guard = runtime.enter();
            Arc::new(Link::new(connection, prepared))
        };
        Ok(Self { runtime: Some(runtime), link, namespace: connection.namespace.clone() })
    }

    /// Connects, and asks the server what it can do. Without it what all servers can do is assumed.
    pub fn greet(&self) -> Result<Capabilities, Failure> {
        self.wait(action_cache::greet(&self.link))?;
        Ok(self.link.capabilities())
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(self.link.failure("use", Trouble::lasting(FailureKind::Cancelled, "it is being closed"))),
        }
    }

    fn messages(&self, action: &Action) -> ActionMessages {
        ActionMessages::of(action, &self.namespace)
    }
}

impl Drop for GrpcRemote {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name that is being looked up cannot be interrupted, and need not be waited for.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for GrpcRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcRemote").field("traffic", &self.link.traffic()).finish_non_exhaustive()
    }
}

impl Remote for GrpcRemote {
    fn capabilities(&self) -> Capabilities {
        self.link.capabilities()
    }

    fn key(&self, action: &Action) -> CasDigest {
        self.messages(action).key
    }

    fn result(&self, action: &Action, inline: &[&str]) -> Result<Option<ActionResult>, Failure> {
        self.wait(action_cache::result(&self.link, &self.messages(action), inline))
    }

    fn update(&self, action: &Action, result: &ActionResult) -> Result<(), Failure> {
        self.wait(action_cache::update(&self.link, self.messages(action), result))
    }

    fn missing(&self, digests: &[CasDigest]) -> Result<Vec<CasDigest>, Failure> {
        self.wait(cas::missing(&self.link, digests))
    }

    fn upload(&self, blobs: &[Upload<'_>]) -> Result<u64, Failure> {
        self.wait(cas::upload(&self.link, blobs))
    }

    fn fetch(
        &self,
        digests: &[CasDigest],
        limit: u64,
        each: &mut dyn FnMut(CasDigest, Result<Vec<u8>, Failure>),
    ) -> Result<(), Failure> {
        self.wait(cas::fetch(&self.link, digests, limit, each))
    }

    fn stream(&self, digest: CasDigest, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Failure> {
        self.wait(async {
            let read = byte_stream::read(&self.link, digest, sink).await;
            read.map_err(|trouble| self.link.failure(cas::FETCH, trouble))
        })
    }

    fn tree(&self, tree: CasDigest) -> Result<BTreeMap<RelPath, CasDigest>, Failure> {
        let mut bytes = Err(Failure { kind: FailureKind::Other, message: String::new() });
        self.fetch(&[tree], MAX_TREE, &mut |_, fetched| bytes = fetched)?;
        messages::read_tree(&bytes?).map_err(|trouble| self.link.failure(cas::FETCH, trouble))
    }

    fn execute(&self, action: &Action, cancelled: &dyn Fn() -> bool) -> Result<ActionResult, Failure> {
        self.wait(execute::execute(&self.link, self.messages(action), cancelled))
    }

    fn traffic(&self) -> Traffic {
        self.link.traffic()
    }
}
