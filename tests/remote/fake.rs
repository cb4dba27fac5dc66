//! `Fake`: a server of the Remote Execution API in this process, which keeps blobs and results and misbehaves as it is told.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
use bazel_remote_apis::google::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use bazel_remote_apis::google::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use bazel_remote_apis::google::rpc;
use expert_build::store::remote::CasDigest;
use reapi::action_cache_server::{ActionCache, ActionCacheServer};
use reapi::capabilities_server::{Capabilities, CapabilitiesServer};
use reapi::content_addressable_storage_server::{ContentAddressableStorage, ContentAddressableStorageServer};
use tokio::runtime::Runtime;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::workers::Workers;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

type Before = dyn Fn(&str, usize, &MetadataMap) -> Result<(), Status> + Send + Sync;

/// What a fake server does wrong.
pub struct Behaviour {
    /// What it says that a batch may hold.
    pub max_batch: i64,
    /// Bytes of a message that it takes, and that it sends.
    pub limits: (usize, usize),
    /// Asked before each call, with the method's name and how often it was called before.
    pub before: Box<Before>,
    /// What it does to what it sends.
    pub twist: Twist,
    /// What it does to streams that it gets.
    pub manner: Manner,
    /// How long it waits before each answer and each piece of a stream.
    pub slow: Duration,
    /// Bytes of a piece of a stream that it sends.
    pub piece: usize,
    /// Can it begin in the middle of a blob?
    pub resumes: bool,
    pub tls: Option<ServerTlsConfig>,
    pub workers: Workers,
}

/// What a server does to blobs that it sends.
#[derive(Clone, Copy, PartialEq)]
pub enum Twist {
    None,
    /// Another byte at the end.
    Flip,
    /// A byte less.
    Short,
    /// A byte more.
    Long,
    /// Streams end with this after so many bytes, whatever their offset.
    Cut(usize, Code),
    /// Streams say no more after so many bytes.
    Stall(usize),
    /// The answers of a batch come backwards, one is told twice, and something nobody asked for comes first.
    Shuffle,
    /// The first answer of a batch is left out.
    Omit,
    /// The digest is told in capitals of MD5.
    NoSha256,
}

/// What a server does to streams that it gets.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    /// Keeps them, when they are finished.
    Keep,
    /// Answers after the first message, and keeps nothing.
    Early(Committed),
    /// Breaks off with this code once more than so many bytes are there, the first time; what it has it may remember.
    Cut(usize, Code),
    /// Says that it kept one byte less.
    Less,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Committed {
    Whole,
    MinusOne,
    Nothing,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            max_batch: 4 << 20,
            limits: (4 << 20, usize::MAX),
            before: Box::new(|_, _, _| Ok(())),
            twist: Twist::None,
            manner: Manner::Keep,
            slow: Duration::ZERO,
            piece: 1 << 20,
            resumes: true,
            tls: None,
            workers: Workers::default(),
        }
    }
}

/// What a fake server has.
#[derive(Default)]
pub struct Kept {
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub results: BTreeMap<String, reapi::ActionResult>,
    pub partial: BTreeMap<String, Vec<u8>>,
    /// The methods that were called, with what they were called on where that matters.
    pub calls: Vec<String>,
    /// How streams that were not finished ended.
    pub unfinished: Vec<String>,
    pub instances: Vec<String>,
}

pub struct Fake {
    pub port: u16,
    pub kept: Arc<Mutex<Kept>>,
    runtime: Option<Runtime>,
}

#[derive(Clone)]
pub struct Service {
    pub behaviour: Arc<Behaviour>,
    pub kept: Arc<Mutex<Kept>>,
}

impl Fake {
    pub fn start(mut behaviour: Behaviour) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let (decode, encode) = behaviour.limits;
        let mut server = Server::builder();
        if let Some(tls) = behaviour.tls.take() {
            server = server.tls_config(tls).unwrap();
        }
        let service = Service { behaviour: Arc::new(behaviour), kept: kept.clone() };
        macro_rules! limited {
            ($server:ident) => {
                $server::new(service.clone()).max_decoding_message_size(decode).max_encoding_message_size(encode)
            };
        }
        let router = server
            .add_service(limited!(CapabilitiesServer))
            .add_service(limited!(ContentAddressableStorageServer))
            .add_service(limited!(ActionCacheServer))
            .add_service(limited!(ByteStreamServer))
            .add_service(crate::workers::execution(service.clone()))
            .add_service(crate::workers::operations(service.clone()));
        let _guard = runtime.enter();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = incoming.local_addr().unwrap().port();
        runtime.spawn(router.serve_with_incoming(incoming));
        drop(_guard);
        Self { port, kept, runtime: Some(runtime) }
    }

    /// How often a method was called.
    pub fn calls(&self, method: &str) -> usize {
        self.kept.lock().unwrap().calls.iter().filter(|call| *call == method).count()
    }

    pub fn has(&self, bytes: &[u8]) -> bool {
        self.kept.lock().unwrap().blobs.get(&CasDigest::of(bytes).sha256.hex()).is_some_and(|kept| kept == bytes)
    }

    /// Gives it a blob.
    pub fn put(&self, bytes: &[u8]) -> CasDigest {
        let digest = CasDigest::of(bytes);
        self.kept.lock().unwrap().blobs.insert(digest.sha256.hex(), bytes.to_vec());
        digest
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Service {
    pub async fn begin<T>(&self, method: &str, request: &Request<T>, instance: &str) -> Result<(), Status> {
        let nth = {
            let mut kept = self.kept.lock().unwrap();
            kept.instances.push(instance.to_owned());
            kept.calls.push(method.to_owned());
            kept.calls.iter().filter(|call| *call == method).count() - 1
        };
        tokio::time::sleep(self.behaviour.slow).await;
        (self.behaviour.before)(method, nth, request.metadata())
    }

    fn blob(&self, hash: &str) -> Option<Vec<u8>> {
        self.kept.lock().unwrap().blobs.get(hash).cloned()
    }

    fn twisted(&self, mut data: Vec<u8>) -> Vec<u8> {
        match self.behaviour.twist {
            Twist::Flip => {
                if let Some(last) = data.last_mut() {
                    *last ^= 1;
                }
            }
            Twist::Short => {
                data.pop();
            }
            Twist::Long => data.push(0),
            _ => {}
        }
        data
    }
}

#[tonic::async_trait]
impl Capabilities for Service {
    async fn get_capabilities(
        &self,
        request: Request<reapi::GetCapabilitiesRequest>,
    ) -> Answer<reapi::ServerCapabilities> {
        self.begin("GetCapabilities", &request, &request.get_ref().instance_name).await?;
        Ok(Response::new(reapi::ServerCapabilities {
            cache_capabilities: Some(reapi::CacheCapabilities {
                digest_functions: vec![reapi::digest_function::Value::Sha256 as i32],
                max_batch_total_size_bytes: self.behaviour.max_batch,
                action_cache_update_capabilities: Some(reapi::ActionCacheUpdateCapabilities { update_enabled: true }),
                ..Default::default()
            }),
            ..Default::default()
        }))
    }
}

#[tonic::async_trait]
impl ContentAddressableStorage for Service {
    type GetTreeStream = Answers<reapi::GetTreeResponse>;
    type GetChunkMappingStream = Answers<reapi::GetChunkMappingResponse>;

    async fn find_missing_blobs(
        &self,
        request: Request<reapi::FindMissingBlobsRequest>,
    ) -> Answer<reapi::FindMissingBlobsResponse> {
        self.begin("FindMissingBlobs", &request, &request.get_ref().instance_name).await?;
        let mut missing_blob_digests = request.into_inner().blob_digests;
        assert!(missing_blob_digests.len() <= 100);
        missing_blob_digests.retain(|digest| self.blob(&digest.hash).is_none());
        missing_blob_digests.reverse();
        Ok(Response::new(reapi::FindMissingBlobsResponse { missing_blob_digests }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<reapi::BatchUpdateBlobsRequest>,
    ) -> Answer<reapi::BatchUpdateBlobsResponse> {
        self.begin("BatchUpdateBlobs", &request, &request.get_ref().instance_name).await?;
        let mut kept = self.kept.lock().unwrap();
        let mut responses = Vec::new();
        for blob in request.into_inner().requests {
            kept.blobs.insert(blob.digest.clone().unwrap().hash, blob.data);
            responses.push(reapi::batch_update_blobs_response::Response { digest: blob.digest, status: None });
        }
        match self.behaviour.twist {
            Twist::Shuffle => responses.reverse(),
            Twist::Omit => drop(responses.remove(0)),
            _ => {}
        }
        Ok(Response::new(reapi::BatchUpdateBlobsResponse { responses }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<reapi::BatchReadBlobsRequest>,
    ) -> Answer<reapi::BatchReadBlobsResponse> {
        self.begin("BatchReadBlobs", &request, &request.get_ref().instance_name).await?;
        let mut responses: Vec<_> = request
            .into_inner()
            .digests
            .into_iter()
            .map(|digest| {
                let blob = self.blob(&digest.hash);
                let code = if blob.is_some() { Code::Ok } else { Code::NotFound };
                reapi::batch_read_blobs_response::Response {
                    digest: Some(digest),
                    data: self.twisted(blob.unwrap_or_default()),
                    status: Some(rpc::Status { code: code as i32, ..Default::default() }),
                    ..Default::default()
                }
            })
            .collect();
        match self.behaviour.twist {
            Twist::Shuffle => {
                responses.reverse();
                responses.push(responses[0].clone());
                let mut other = responses[0].clone();
                other.digest = Some(reapi::Digest { hash: "0".repeat(64), size_bytes: 1 });
                responses.insert(0, other);
            }
            Twist::Omit => drop(responses.remove(0)),
            _ => {}
        }
        Ok(Response::new(reapi::BatchReadBlobsResponse { responses }))
    }

    async fn get_tree(&self, _: Request<reapi::GetTreeRequest>) -> Answer<Self::GetTreeStream> {
        Err(Status::unimplemented(""))
    }

    async fn split_blob(&self, _: Request<reapi::SplitBlobRequest>) -> Answer<reapi::SplitBlobResponse> {
        Err(Status::unimplemented(""))
    }

    async fn get_chunk_mapping(
        &self,
        _: Request<reapi::GetChunkMappingRequest>,
    ) -> Answer<Self::GetChunkMappingStream> {
        Err(Status::unimplemented(""))
    }

    async fn splice_blob(&self, _: Request<reapi::SpliceBlobRequest>) -> Answer<reapi::SpliceBlobResponse> {
        Err(Status::unimplemented(""))
    }

    async fn register_chunk_mapping(
        &self,
        _: Request<Streaming<reapi::RegisterChunkMappingRequest>>,
    ) -> Answer<reapi::RegisterChunkMappingResponse> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl ActionCache for Service {
    async fn get_action_result(&self, request: Request<reapi::GetActionResultRequest>) -> Answer<reapi::ActionResult> {
        self.begin("GetActionResult", &request, &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        let kept = self.kept.lock().unwrap().results.get(&request.action_digest.unwrap().hash).cloned();
        let mut result = kept.ok_or_else(|| Status::not_found("no such result"))?;
        for file in &mut result.output_files {
            if request.inline_output_files.contains(&file.path) {
                file.contents = self.twisted(self.blob(&file.digest.clone().unwrap().hash).unwrap_or_default());
            }
            if self.behaviour.twist == Twist::NoSha256 {
                file.digest.as_mut().unwrap().hash = "D41D8CD98F00B204E9800998ECF8427E".into();
            }
        }
        Ok(Response::new(result))
    }

    async fn update_action_result(
        &self,
        request: Request<reapi::UpdateActionResultRequest>,
    ) -> Answer<reapi::ActionResult> {
        self.begin("UpdateActionResult", &request, &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        let result = request.action_result.unwrap();
        self.kept.lock().unwrap().results.insert(request.action_digest.unwrap().hash, result.clone());
        Ok(Response::new(result))
    }
}

#[tonic::async_trait]
impl ByteStream for Service {
    type ReadStream = Answers<ReadResponse>;

    async fn read(&self, request: Request<ReadRequest>) -> Answer<Self::ReadStream> {
        let (instance, rest) = split(&request.get_ref().resource_name, "blobs/");
        self.begin("Read", &request, &instance).await?;
        let data = self.blob(rest.split('/').nth(1).unwrap()).ok_or_else(|| Status::not_found("no such blob"))?;
        let offset = usize::try_from(request.get_ref().read_offset).unwrap();
        if offset > 0 && !self.behaviour.resumes {
            return Err(Status::unimplemented("no offsets"));
        }
        let data = self.twisted(data);
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let behaviour = self.behaviour.clone();
        tokio::spawn(async move {
            let mut sent = 0;
            for piece in data[offset..].chunks(behaviour.piece) {
                tokio::time::sleep(behaviour.slow).await;
                match behaviour.twist {
                    Twist::Cut(after, code) if sent >= after => {
                        // Code::Ok: a normal end, only too early.
                        if code != Code::Ok {
                            let _ = sender.send(Err(Status::new(code, "cut"))).await;
                        }
                        return;
                    }
                    Twist::Stall(after) if sent >= after => std::future::pending().await,
                    _ => {}
                }
                sent += piece.len();
                if sender.send(Ok(ReadResponse { data: piece.to_vec() })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Answer<WriteResponse> {
        let mut watched = Watched { kept: &self.kept, answered: false };
        let answer = self.take(request).await;
        watched.answered = true;
        answer
    }

    async fn query_write_status(&self, request: Request<QueryWriteStatusRequest>) -> Answer<QueryWriteStatusResponse> {
        self.begin("QueryWriteStatus", &request, "").await?;
        if !self.behaviour.resumes {
            return Err(Status::unimplemented(""));
        }
        let kept = self.kept.lock().unwrap();
        let partial = kept.partial.get(&request.get_ref().resource_name);
        let partial = partial.ok_or_else(|| Status::not_found("no such upload"))?;
        Ok(Response::new(QueryWriteStatusResponse {
            committed_size: i64::try_from(partial.len()).unwrap(),
            complete: false,
        }))
    }
}

impl Service {
    async fn take(&self, request: Request<Streaming<WriteRequest>>) -> Answer<WriteResponse> {
        self.begin("Write", &request, "").await?;
        let nth = self.kept.lock().unwrap().calls.iter().filter(|call| *call == "Write").count();
        let mut pieces = request.into_inner();
        let (mut name, mut data) = (String::new(), Vec::new());
        loop {
            let piece = match pieces.message().await {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    self.kept.lock().unwrap().unfinished.push("ended".into());
                    return Err(Status::invalid_argument("the stream ended early"));
                }
                Err(status) => {
                    self.kept.lock().unwrap().unfinished.push("broken".into());
                    return Err(status);
                }
            };
            if name.is_empty() {
                name = piece.resource_name.clone();
                let (instance, _) = split(&name, "uploads/");
                self.kept.lock().unwrap().instances.push(instance);
                if piece.write_offset > 0 {
                    data = self.kept.lock().unwrap().partial.get(&name).cloned().unwrap_or_default();
                }
            }
            if usize::try_from(piece.write_offset) != Ok(data.len()) {
                return Err(Status::invalid_argument("that is not where it goes on"));
            }
            data.extend_from_slice(&piece.data);
            tokio::time::sleep(self.behaviour.slow).await;
            let size: i64 = name.rsplit('/').next().unwrap().parse().unwrap();
            match self.behaviour.manner {
                Manner::Early(committed) => {
                    let committed_size = match committed {
                        Committed::Whole => size,
                        Committed::MinusOne => -1,
                        Committed::Nothing => 0,
                    };
                    return Ok(Response::new(WriteResponse { committed_size }));
                }
                Manner::Cut(after, code) if data.len() > after && nth == 1 => {
                    self.kept.lock().unwrap().partial.insert(name, data);
                    return Err(Status::new(code, "cut"));
                }
                _ => {}
            }
            if piece.finish_write {
                let less = i64::from(self.behaviour.manner == Manner::Less);
                let committed_size = i64::try_from(data.len()).unwrap() - less;
                let hash = name.rsplit('/').nth(1).unwrap().to_owned();
                self.kept.lock().unwrap().blobs.insert(hash, data);
                return Ok(Response::new(WriteResponse { committed_size }));
            }
        }
    }
}

/// A stream that the client breaks off: the service then never comes to its answer.
struct Watched<'k> {
    kept: &'k Mutex<Kept>,
    answered: bool,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.kept.lock().unwrap().unfinished.push("broken".into());
        }
    }
}

/// The instance of a resource's name, and the rest.
fn split(name: &str, part: &str) -> (String, String) {
    let at = if name.starts_with(part) { 0 } else { name.find(&format!("/{part}")).unwrap() + 1 };
    (name[..at].trim_end_matches('/').to_owned(), name[at..].to_owned())
}
