//! Actions on workers: `Execute`, and `WaitExecution` where the connection to it broke or the server fell silent.

use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
use bazel_remote_apis::google::longrunning::operations_client::OperationsClient;
use bazel_remote_apis::google::longrunning::{CancelOperationRequest, Operation, operation};
use prost::Message as _;
use reapi::execution_client::ExecutionClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::transport::Channel;

use super::byte_stream;
use super::cas;
use super::link::{Job, MAX_MESSAGE, SharedLink};
use super::messages::{ActionMessages, digest_message, read_digest, read_result};
use super::trouble::{Retry, Trouble};
use crate::store::remote::{ActionResult, CasDigest, Failure, FailureKind};

/// How often the caller is asked whether the run was stopped.
const TICK: Duration = Duration::from_millis(50);
/// How long a worker's server may take to hear that nobody waits any more.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of what an action wrote to standard error that are fetched, and of these kept.
const STDERR: (u64, usize) = (1 << 20, 64 << 10);

/// Runs an action on a worker and waits for its end.
pub(super) async fn execute(
    link: &SharedLink,
    messages: ActionMessages,
    cancelled: &dyn Fn() -> bool,
) -> Result<ActionResult, Failure> {
    let failure = |trouble| link.failure("run an action on", trouble);
    let key = messages.key;
    cas::send_messages(link, messages.blobs).await?;
    let mut run = Run { link, key, name: None, skip_cache: false };
    let (mut told, is_cached) = run.until_done(cancelled).await.map_err(failure)?;
    if is_cached && told.exit_code != 0 {
        // What failed once, there and then, may not fail now: such a result is no answer.
        run = Run { link, key, name: None, skip_cache: true };
        (told, _) = run.until_done(cancelled).await.map_err(failure)?;
    }
    let stderr = told.stderr_digest.take();
    let mut result = read_result(told, &[]).map_err(failure)?;
    if result.exit_code != 0 && result.stderr.is_empty() && stderr.is_some() {
        // It only helps to explain; without it the result is the same.
        if let Ok(digest) = read_digest(stderr.as_ref()) {
            result.stderr = fetch_stderr(link, digest).await;
        }
    }
    let surplus = result.stderr.len().saturating_sub(STDERR.1);
    result.stderr.drain(..surplus);
    Ok(result)
}

async fn fetch_stderr(link: &SharedLink, digest: CasDigest) -> Vec<u8> {
    let mut bytes = Vec::new();
    if digest.size > STDERR.0 {
        return bytes;
    }
    let mut keep = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    if byte_stream::read(link, digest, &mut keep).await.is_err() {
        bytes.clear();
    }
    bytes
}

/// One execution.
struct Run<'a> {
    link: &'a SharedLink,
    key: CasDigest,
    /// What the server calls it, once it has said so.
    name: Option<String>,
    skip_cache: bool,
}

/// What ended a stream of news of an execution.
enum News {
    /// The execution ended.
    Done(Box<(reapi::ActionResult, bool)>),
    /// The stream ended before.
    Broke(Trouble),
    /// Nothing came for so long that it may be dead.
    Silent,
}

impl Run<'_> {
    /// Starts it, or goes on waiting for it, until it is done. Says whether the result was there before.
    async fn until_done(&mut self, cancelled: &dyn Fn() -> bool) -> Result<(reapi::ActionResult, bool), Trouble> {
        let mut retry = Retry::default();
        loop {
            let mut heard = false;
            let trouble = match self.listen(cancelled, &mut heard).await? {
                News::Done(done) => return Ok(*done),
                // A server may have nothing to say for hours, but so has a connection that is dead. It is asked anew, and
                // must then say at once how things stand.
                News::Silent if heard => continue,
                News::Silent => Trouble::silence(self.link.patience.idle),
                // The server has forgotten it: begin again.
                News::Broke(trouble) if trouble.kind == FailureKind::Missing && self.name.take().is_some() => {
                    Trouble { passing: true, ..trouble }
                }
                News::Broke(trouble) => trouble,
            };
            if heard {
                retry = Retry::default();
            }
            retry.after(trouble).await?;
        }
    }

    /// Follows the news of it.
    async fn listen(&mut self, cancelled: &dyn Fn() -> bool, heard: &mut bool) -> Result<News, Trouble> {
        let (sender, mut receiver) = mpsc::channel(1);
        let job = match self.name.clone() {
            Some(name) => {
                let request = self.link.request(reapi::WaitExecutionRequest { name });
                let mut client = client(self.link.call());
                Job::start(async move { forward(client.wait_execution(request).await, sender).await })
            }
            None => {
                let request = self.link.request(reapi::ExecuteRequest {
                    instance_name: self.link.instance.clone(),
                    skip_cache_lookup: self.skip_cache,
                    action_digest: Some(digest_message(self.key)),
                    inline_stderr: true,
                    ..Default::default()
                });
                let mut client = client(self.link.call());
                Job::start(async move { forward(client.execute(request).await, sender).await })
            }
        };
        let mut silent = Duration::ZERO;
        loop {
            if cancelled() {
                self.cancel().await;
                return Err(Trouble::lasting(FailureKind::Cancelled, "the run was stopped"));
            }
            match timeout(TICK, receiver.recv()).await {
                Err(_) => {
                    silent += TICK;
                    if silent >= self.link.patience.idle {
                        return Ok(News::Silent);
                    }
                }
                Ok(Some(operation)) => {
                    (silent, *heard) = (Duration::ZERO, true);
                    if !operation.name.is_empty() {
                        self.name = Some(operation.name.clone());
                    }
                    if operation.done {
                        return self.outcome(operation);
                    }
                }
                Ok(None) => {
                    let early = || Trouble::passing(FailureKind::Unavailable, "the server said no more before the end");
                    return Ok(News::Broke(job.end().await?.err().unwrap_or_else(early)));
                }
            }
        }
    }

    /// What came of it.
    fn outcome(&mut self, operation: Operation) -> Result<News, Trouble> {
        let wrong = || Trouble::lasting(FailureKind::Wrong, "the server's answer cannot be read");
        let response = match operation.result.ok_or_else(wrong)? {
            operation::Result::Error(status) => return self.failed(status.code, &status.message),
            operation::Result::Response(any) => {
                reapi::ExecuteResponse::decode(any.value.as_slice()).map_err(|_| wrong())?
            }
        };
        let status = response.status.unwrap_or_default();
        match (status.code, response.result) {
            (0, Some(result)) => Ok(News::Done(Box::new((result, response.cached_result)))),
            (0, None) => Err(wrong()),
            (code, _) => self.failed(code, &status.message),
        }
    }

    /// It could not be run, or not to its end. What may pass is begun again.
    fn failed(&mut self, code: i32, message: &str) -> Result<News, Trouble> {
        let trouble = match Trouble::of_part(code, message) {
            // FAILED_PRECONDITION: inputs are missing.
            trouble if code == tonic::Code::FailedPrecondition as i32 => {
                Trouble { kind: FailureKind::Missing, ..trouble }
            }
            // The action took longer than it may.
            trouble if code == tonic::Code::DeadlineExceeded as i32 => Trouble { kind: FailureKind::Other, ..trouble },
            trouble => trouble,
        };
        if !trouble.passing {
            return Err(trouble);
        }
        self.name = None;
        Ok(News::Broke(trouble))
    }

    /// Tells the server that nobody waits any more. It may not care.
    async fn cancel(&mut self) {
        let Some(name) = self.name.take() else { return };
        let asked = self.link.ask(FAREWELL, CancelOperationRequest { name }, |channel, request| {
            let mut client = OperationsClient::new(channel);
            async move { client.cancel_operation(request).await }
        });
        let _ = asked.await;
    }
}

/// Hands on what a server says of an execution.
async fn forward(
    answer: Result<tonic::Response<tonic::Streaming<Operation>>, tonic::Status>,
    sender: mpsc::Sender<Operation>,
) -> Result<(), Trouble> {
    let mut news = answer.map_err(|status| Trouble::of(&status))?.into_inner();
    while let Some(operation) = news.message().await.map_err(|status| Trouble::of(&status))? {
        if sender.send(operation).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn client(channel: Channel) -> ExecutionClient<Channel> {
    ExecutionClient::new(channel).max_decoding_message_size(MAX_MESSAGE)
}
