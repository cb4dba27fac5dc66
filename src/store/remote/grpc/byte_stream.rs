//! Blobs as streams: `google.bytestream.ByteStream`, there and back, resumed where they broke, hashed on their way.
//!
//! A task of its own speaks to the server; whoever reads or writes the bytes does so on the calling thread, so files may
//! block it, and between the two lie [`AHEAD`] messages at most.

use std::io::{self, Read};
use std::time::Duration;

use bazel_remote_apis::google::bytestream::byte_stream_client::ByteStreamClient;
use bazel_remote_apis::google::bytestream::{QueryWriteStatusRequest, ReadRequest, WriteRequest, WriteResponse};
use sha2::Digest as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::link::{Job, Link, MAX_MESSAGE, SharedLink, slowest};
use super::trouble::{Retry, Trouble};
use crate::base::Sha256;
use crate::base::digest::hex;
use crate::store::remote::{CasDigest, FailureKind, Upload};

/// Messages between a stream and the thread that reads or writes the bytes.
const AHEAD: usize = 2;
/// So many new bytes are progress: the tries begin again.
const PROGRESS: u64 = 64 << 10;
/// Bytes that a server hashes and stores in a second, at least, before it answers to a whole stream.
const HASHED: u64 = 16 << 20;
/// Bytes of a stream that may lie in this machine's buffers when the last message is handed over.
const ON_ITS_WAY: u64 = 8 << 20;
/// Bytes of a message that is sent at most: any longer cannot be, see [`Sending::break_off`].
const MAX_SENT: usize = 2 << 20;

/// Takes the bytes of a blob as they come.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// Streams a blob into a sink; its digest is checked at the end.
pub(super) async fn read(link: &SharedLink, digest: CasDigest, sink: &mut Sink<'_>) -> Result<(), Trouble> {
    let _permit = link.transfer().await;
    let mut arrived = Arrived { digest, hasher: sha2::Sha256::new(), len: 0, again: 0 };
    let mut retry = Retry::default();
    // Not every server can begin in the middle: then what is there already is passed over.
    let mut can_resume = true;
    while arrived.len < digest.size {
        let before = arrived.len;
        let offset = if can_resume { arrived.len } else { 0 };
        arrived.again = arrived.len - offset;
        let Err(trouble) = read_some(link, &mut arrived, offset, sink).await else { break };
        if offset > 0 && arrived.len == before && !trouble.passing && trouble.kind != FailureKind::Local {
            can_resume = false;
            continue;
        }
        if arrived.len >= before + PROGRESS {
            retry = Retry::default();
        }
        retry.after(trouble).await?;
    }
    match Sha256::new(arrived.hasher.finalize().into()) {
        sha256 if sha256 == digest.sha256 => Ok(()),
        other => {
            Err(Trouble::lasting(FailureKind::Wrong, format!("the server sent other bytes than {digest}: {other}")))
        }
    }
}

/// A blob of which some is there.
struct Arrived {
    digest: CasDigest,
    hasher: sha2::Sha256,
    len: u64,
    /// Bytes that come once more and are passed over.
    again: u64,
}

impl Arrived {
    fn take(&mut self, link: &Link, data: &[u8], sink: &mut Sink<'_>) -> Result<(), Trouble> {
        link.received(data.len());
        let known = self.again.min(data.len() as u64);
        self.again -= known;
        let data = usize::try_from(known).map_or(&[][..], |known| &data[known..]);
        if self.len + data.len() as u64 > self.digest.size {
            let what = format!("the server sent more than the {} bytes of {}", self.digest.size, self.digest);
            return Err(Trouble::lasting(FailureKind::Wrong, what));
        }
        self.hasher.update(data);
        self.len += data.len() as u64;
        sink(data).map_err(|e| Trouble::local("what was received cannot be kept", &e))
    }
}

async fn read_some(link: &SharedLink, arrived: &mut Arrived, offset: u64, sink: &mut Sink<'_>) -> Result<(), Trouble> {
    let CasDigest { sha256, size } = arrived.digest;
    let request = ReadRequest {
        resource_name: named(&link.instance, &format!("blobs/{sha256}/{size}")),
        read_offset: i64::try_from(offset).unwrap_or(i64::MAX),
        read_limit: 0,
    };
    let (request, mut client, idle) = (link.request(request), client(link.call()), link.patience.idle);
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    let job = Job::start(async move {
        let silence = |_| Trouble::silence(idle);
        let answer = timeout(idle, client.read(request)).await.map_err(silence)?;
        let mut pieces = answer.map_err(|status| Trouble::of(&status))?.into_inner();
        loop {
            match timeout(idle, pieces.message()).await.map_err(silence)? {
                Ok(Some(piece)) => {
                    // Nobody wants it any more.
                    let Ok(()) = sender.send(piece.data).await else { return Ok(()) };
                }
                Ok(None) => return Ok(()),
                Err(status) => return Err(Trouble::of(&status)),
            }
        }
    });
    while let Some(data) = receiver.recv().await {
        arrived.take(link, &data, sink)?;
    }
    job.end().await??;
    match arrived.len < size {
        true => {
            Err(Trouble::passing(FailureKind::Wrong, format!("the blob ended after {} of {size} bytes", arrived.len)))
        }
        false => Ok(()),
    }
}

/// Streams a blob to the server. Its bytes are hashed on the way; the last are kept back where they are not those of the digest.
pub(super) async fn write(link: &SharedLink, upload: &Upload<'_>) -> Result<(), Trouble> {
    let _permit = link.transfer().await;
    let mut retry = Retry::default();
    let mut sending = Sending::new(link, upload.digest);
    loop {
        let Err(trouble) = sending.send(link, upload).await else { return Ok(()) };
        if trouble.too_large && link.send_smaller_pieces_than(sending.piece) {
            sending = Sending::new(link, upload.digest);
            continue;
        }
        retry.after(trouble).await?;
        match sending.committed(link).await {
            Some(len) if len == upload.digest.size => return Ok(()),
            Some(len) if len < upload.digest.size && len > 0 => {
                if len >= sending.offset + PROGRESS {
                    retry = Retry::default();
                }
                sending.offset = len;
            }
            _ => sending = Sending::new(link, upload.digest),
        }
    }
}

/// A stream to the server under one name, which can be gone on with.
struct Sending {
    digest: CasDigest,
    name: String,
    offset: u64,
    /// Bytes in one message.
    piece: usize,
}

impl Sending {
    fn new(link: &Link, digest: CasDigest) -> Self {
        let CasDigest { sha256, size } = digest;
        let name = named(&link.instance, &format!("uploads/{}/blobs/{sha256}/{size}", unique()));
        Self { digest, name, offset: 0, piece: link.piece() }
    }

    /// How much of it the server has; `None` where it does not say.
    async fn committed(&self, link: &SharedLink) -> Option<u64> {
        let request = QueryWriteStatusRequest { resource_name: self.name.clone() };
        let asked = link.ask(link.patience.lookup, request, |channel, request| {
            let mut client = client(channel);
            async move { client.query_write_status(request).await }
        });
        let status = asked.await.ok()?;
        if status.complete { Some(self.digest.size) } else { status.committed_size.try_into().ok() }
    }

    async fn send(&self, link: &SharedLink, upload: &Upload<'_>) -> Result<(), Trouble> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (request, mut client) = (link.request(ReceiverStream::new(receiver)), client(link.call()));
        let job = Job::start(async move { client.write(request).await });
        let fed = self.feed(link, upload, &sender).await;
        if let Err(trouble) = fed {
            self.break_off(sender, link.patience.lookup).await;
            return Err(trouble);
        }
        // The stream ends here, but some of it is still on its way; and the server may hash it all before it answers.
        drop(sender);
        let size = self.digest.size;
        let patience = link.patience.idle + slowest(size.min(ON_ITS_WAY)) + Duration::from_secs(size / HASHED);
        let answer = timeout(patience, job.end()).await.map_err(|_| Trouble::silence(patience))?;
        self.judge(answer?.map(tonic::Response::into_inner))
    }

    /// Sends the bytes, until there are no more or the server ends the call, which it may do whenever it has enough.
    async fn feed(&self, link: &Link, upload: &Upload<'_>, sender: &mpsc::Sender<WriteRequest>) -> Result<(), Trouble> {
        let size = self.digest.size;
        let mut source = Source::open(upload)?;
        source.pass_over(self.offset)?;
        let idle = link.patience.idle;
        let mut name = self.name.clone();
        while source.len < size {
            let offset = source.len;
            let data = source.next(self.piece)?;
            let len = data.len();
            let message = WriteRequest {
                resource_name: std::mem::take(&mut name),
                write_offset: i64::try_from(offset).unwrap_or(i64::MAX),
                finish_write: source.len == size,
                data,
            };
            match timeout(idle, sender.send(message)).await {
                Ok(Ok(())) => link.sent(len),
                Ok(Err(_)) => break,
                Err(_) => return Err(Trouble::silence(idle)),
            }
        }
        Ok(())
    }

    /// Breaks the stream. Were it merely ended, the server would take it for the end of the blob; a message that is too
    /// large to be sent is the one way that the gRPC library has to make it an error on the other side too.
    async fn break_off(&self, sender: mpsc::Sender<WriteRequest>, patience: Duration) {
        let poison = WriteRequest { data: vec![0; MAX_SENT], ..WriteRequest::default() };
        // Where the call has ended there is nothing to break.
        let _ = timeout(patience, sender.send(poison)).await;
        let _ = timeout(patience, sender.closed()).await;
    }

    fn judge(&self, answer: Result<WriteResponse, Status>) -> Result<(), Trouble> {
        let size = self.digest.size;
        match answer {
            // It has them all, be it from someone else who was faster: -1 says so too.
            Ok(WriteResponse { committed_size: -1 }) => Ok(()),
            Ok(WriteResponse { committed_size }) if u64::try_from(committed_size) == Ok(size) => Ok(()),
            Ok(WriteResponse { committed_size: n }) => {
                Err(Trouble::passing(FailureKind::Wrong, format!("the server kept {n} of {size} bytes")))
            }
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            Err(status) => Err(Trouble::of(&status)),
        }
    }
}

/// The bytes of an upload, compared with its digest.
struct Source<'a> {
    digest: CasDigest,
    reader: Box<dyn Read + Send + 'a>,
    hasher: sha2::Sha256,
    len: u64,
}

impl<'a> Source<'a> {
    fn open(upload: &Upload<'a>) -> Result<Self, Trouble> {
        let reader = (upload.open)().map_err(|e| Trouble::local("what is to be sent cannot be opened", &e))?;
        Ok(Self { digest: upload.digest, reader, hasher: sha2::Sha256::new(), len: 0 })
    }

    /// The next bytes, so many but at the end. The last are told only when all of them are right.
    fn next(&mut self, most: usize) -> Result<Vec<u8>, Trouble> {
        let left = self.digest.size - self.len;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(most);
        let mut data = Vec::with_capacity(wanted);
        self.reader
            .by_ref()
            .take(wanted as u64)
            .read_to_end(&mut data)
            .map_err(|e| Trouble::local("what is to be sent cannot be read", &e))?;
        self.hasher.update(&data);
        self.len += data.len() as u64;
        if data.len() < wanted {
            return Err(self.changed(&format!("it ended after {} bytes", self.len)));
        }
        if self.len == self.digest.size {
            let more =
                self.reader.read(&mut [0]).map_err(|e| Trouble::local("what is to be sent cannot be read", &e))?;
            if more > 0 {
                return Err(self.changed("it has more bytes"));
            }
            if Sha256::new(self.hasher.clone().finalize().into()) != self.digest.sha256 {
                return Err(self.changed("it has other bytes"));
            }
        }
        Ok(data)
    }

    fn pass_over(&mut self, bytes: u64) -> Result<(), Trouble> {
        while self.len < bytes {
            let most = usize::try_from(bytes - self.len).unwrap_or(usize::MAX).min(1 << 20);
            self.next(most)?;
        }
        Ok(())
    }

    fn changed(&self, how: &str) -> Trouble {
        let what = format!("what is to be sent is no longer {}: {how}", self.digest);
        Trouble::lasting(FailureKind::Local, what)
    }
}

/// All bytes of an upload, compared with its digest.
pub(super) fn read_whole(upload: &Upload<'_>) -> Result<Vec<u8>, Trouble> {
    Source::open(upload)?.next(usize::MAX)
}

fn client(channel: Channel) -> ByteStreamClient<Channel> {
    ByteStreamClient::new(channel).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_SENT)
}

/// A resource of an instance. The empty instance has no slash.
fn named(instance: &str, resource: &str) -> String {
    if instance.is_empty() { resource.to_owned() } else { format!("{instance}/{resource}") }
}

/// A UUID of chance: two uploads of the same blob must not get into each other's way.
fn unique() -> String {
    let mut bytes = [0; 16];
    // A system without chance gives one name to all, and servers refuse what is uploaded at the same time.
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
