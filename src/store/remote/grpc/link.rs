//! `Link`: the connection to one server, and what all calls over it share: headers, deadlines, counters, how much may move at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
use prost::Message as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::connection::{Connection, Patience, Prepared};
use super::trouble::Trouble;
use crate::store::remote::{Capabilities, Failure, FailureKind, Traffic};

/// Bytes of a message that is received. Servers send a batch, a result with its contents or a piece of a stream in one.
pub(super) const MAX_MESSAGE: usize = 32 << 20;
/// Bytes that a batch has at most: what servers take that name no limit, and what gRPC takes that was not told otherwise.
const MAX_BATCH: u64 = 4_000_000;
/// Batches and streams that move at once, whoever asked for them: they bound the memory.
const TRANSFERS: usize = 8;
/// Bytes of a blob in one message of a stream.
const PIECE: usize = 1 << 20;
/// The same for servers that take no such message.
const SMALL_PIECE: usize = 32 << 10;
/// Bytes that get through in a second, at least.
const SLOWEST: u64 = 128 << 10;
/// Where the protocol wants to be told who asks.
const ABOUT_US: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

/// The connection to one server.
pub(super) struct Link {
    channel: Channel,
    address: String,
    headers: MetadataMap,
    secrets: Vec<Zeroizing<String>>,
    transfers: Semaphore,
    capabilities: OnceLock<Capabilities>,
    piece: AtomicUsize,
    counters: Counters,
    pub(super) instance: String,
    pub(super) patience: Patience,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    present: AtomicU64,
    failures: AtomicU64,
}

impl Link {
    /// Prepares to speak; nothing is sent. Must be called within the runtime that carries it.
    pub(super) fn new(connection: &Connection, prepared: Prepared) -> Self {
        let Prepared { endpoint, address, mut headers } = prepared;
        let about = reapi::RequestMetadata {
            tool_details: Some(reapi::ToolDetails {
                tool_name: "expert-build".into(),
                tool_version: env!("CARGO_PKG_VERSION").into(),
            }),
            ..reapi::RequestMetadata::default()
        };
        headers.insert_bin(ABOUT_US, MetadataValue::from_bytes(&about.encode_to_vec()));
        Self {
            channel: endpoint.connect_lazy(),
            address,
            headers,
            secrets: connection.secrets(),
            transfers: Semaphore::new(TRANSFERS),
            capabilities: OnceLock::new(),
            piece: AtomicUsize::new(PIECE),
            counters: Counters::default(),
            instance: connection.instance.clone(),
            patience: connection.patience,
        }
    }

    /// What the server said of itself, and before it did what any server takes.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities.get().copied().unwrap_or(Capabilities { max_batch_bytes: MAX_BATCH, ..Default::default() })
    }

    /// Keeps what the server said of itself.
    pub(super) fn learn(&self, told: &reapi::ServerCapabilities) {
        let cache = told.cache_capabilities.as_ref();
        let zstd = reapi::compressor::Value::Zstd as i32;
        let max_batch_bytes = match cache.map_or(0, |cache| cache.max_batch_total_size_bytes) {
            // Zero means that the server does not say, not that there is no limit.
            ..=0 => MAX_BATCH,
            bytes => MAX_BATCH.min(bytes.unsigned_abs()),
        };
        if max_batch_bytes < PIECE as u64 {
            self.piece.store(SMALL_PIECE, Ordering::Relaxed);
        }
        let capabilities = Capabilities {
            max_batch_bytes,
            update_enabled: cache
                .and_then(|cache| cache.action_cache_update_capabilities.as_ref())
                .is_some_and(|update| update.update_enabled),
            exec_enabled: told.execution_capabilities.as_ref().is_some_and(|execution| execution.exec_enabled),
            zstd: cache.is_some_and(|cache| cache.supported_compressors.contains(&zstd)),
        };
        // Only `connect` calls this, once.
        let _ = self.capabilities.set(capabilities);
    }

    /// A request with the headers that each has.
    pub(super) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request
    }

    /// The channel, for one more call, which is counted.
    pub(super) fn call(&self) -> Channel {
        self.counters.calls.fetch_add(1, Ordering::Relaxed);
        self.channel.clone()
    }

    /// Makes one call with one answer, which must be there in time. It goes on while its caller is busy with other things.
    pub(super) async fn ask<M, R, F>(
        &self,
        patience: Duration,
        message: M,
        call: impl FnOnce(Channel, Request<M>) -> F,
    ) -> Result<R, Trouble>
    where
        F: Future<Output = Result<Response<R>, Status>> + Send + 'static,
        R: Send + 'static,
    {
        let answer = tokio::time::timeout(patience, call(self.call(), self.request(message)));
        match Job::start(answer).end().await? {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Trouble::of(&status)),
            Err(_) => Err(Trouble::silence(patience)),
        }
    }

    /// Until a call must be answered that carries so many bytes.
    pub(super) fn patience_for(&self, bytes: u64) -> Duration {
        self.patience.lookup + slowest(bytes)
    }

    /// Waits until one more batch or stream may move.
    pub(super) async fn transfer(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed; and were it, there would be no bound but no harm either.
        self.transfers.acquire().await.ok()
    }

    /// Bytes of a blob in one message of a stream.
    pub(super) fn piece(&self) -> usize {
        self.piece.load(Ordering::Relaxed)
    }

    /// From now on smaller messages than these, which were too large; says whether there are any.
    pub(super) fn send_smaller_pieces_than(&self, piece: usize) -> bool {
        self.piece.store(SMALL_PIECE, Ordering::Relaxed);
        piece > SMALL_PIECE
    }

    /// Counts bytes of blobs that came.
    pub(super) fn received(&self, bytes: usize) {
        self.counters.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes of blobs that went.
    pub(super) fn sent(&self, bytes: usize) {
        self.counters.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts blobs that the server had already.
    pub(super) fn present(&self, blobs: usize) {
        self.counters.present.fetch_add(blobs as u64, Ordering::Relaxed);
    }

    /// What went over the wire so far.
    pub(super) fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            calls: read(&self.counters.calls),
            received: read(&self.counters.received),
            sent: read(&self.counters.sent),
            present: read(&self.counters.present),
            failures: read(&self.counters.failures),
        }
    }

    /// Why an operation failed for good, counted unless the server merely does not have it. `what` says what could not be done.
    pub(super) fn failure(&self, what: &str, trouble: Trouble) -> Failure {
        if trouble.kind != FailureKind::Missing && trouble.kind != FailureKind::Cancelled {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
        let mut message = format!("cannot {what} `{}`: {}", self.address, trouble.why);
        for secret in &self.secrets {
            message = message.replace(secret.as_str(), "(hidden)");
        }
        Failure { kind: trouble.kind, message }
    }
}

/// How long so many bytes may take.
pub(super) fn slowest(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST)
}

/// Work that goes on by itself and ends with whoever waits for it.
pub(super) struct Job<T>(JoinHandle<T>);

impl<T: Send + 'static> Job<T> {
    pub(super) fn start(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// Waits for its end. Malformed answers have made the gRPC library panic.
    pub(super) async fn end(mut self) -> Result<T, Trouble> {
        let broken = |_| Trouble::lasting(FailureKind::Wrong, "the server's answer cannot be read");
        (&mut self.0).await.map_err(broken)
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A link that several tasks hold.
pub(super) type SharedLink = Arc<Link>;
