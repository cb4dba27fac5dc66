//! Blobs by content: which are missing, small ones in batches, others as streams.
//!
//! Answers are matched by digest, never by position; what a batch cannot carry goes as a stream.

use std::collections::{BTreeMap, BTreeSet};

use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use tonic::transport::Channel;

use super::byte_stream;
use super::link::{Link, MAX_MESSAGE, SharedLink};
use super::messages::{Encoded, digest_message, read_digest};
use super::trouble::{Retry, Trouble};
use crate::store::remote::{CasDigest, Failure, FailureKind, Upload};

/// Digests in one question: a large server asks a database for each.
const MAX_ASKED: usize = 100;
/// Calls of one operation that are under way at once.
const AT_ONCE: usize = 4;
/// Bytes that a blob takes in a batch beside its content: its digest, lengths, a status.
const OVERHEAD: u64 = 160;
/// Bytes of an action's messages that are sent without asking whether they are there: one round trip less.
const UNASKED: usize = 64 << 10;

const UPLOAD: &str = "send blobs to";
pub(super) const FETCH: &str = "fetch a blob from";

/// Which of these the server lacks, each once, in their order. The empty blob is never missing.
pub(super) async fn missing(link: &SharedLink, digests: &[CasDigest]) -> Result<Vec<CasDigest>, Failure> {
    let mut seen = BTreeSet::new();
    let asked: Vec<CasDigest> =
        digests.iter().copied().filter(|digest| digest.size > 0 && seen.insert(*digest)).collect();
    let questions = asked.chunks(MAX_ASKED).map(|some| missing_some(link, some));
    let answers: BTreeSet<CasDigest> = stream::iter(questions)
        .buffer_unordered(AT_ONCE)
        .try_fold(BTreeSet::new(), async |mut all, some| {
            all.extend(some);
            Ok(all)
        })
        .await
        .map_err(|trouble| link.failure("ask for missing blobs at", trouble))?;
    let lacking: Vec<CasDigest> = asked.iter().copied().filter(|digest| answers.contains(digest)).collect();
    link.present(asked.len() - lacking.len());
    Ok(lacking)
}

async fn missing_some(link: &SharedLink, digests: &[CasDigest]) -> Result<BTreeSet<CasDigest>, Trouble> {
    let request = reapi::FindMissingBlobsRequest {
        instance_name: link.instance.clone(),
        blob_digests: digests.iter().copied().map(digest_message).collect(),
        ..Default::default()
    };
    let mut retry = Retry::default();
    loop {
        let asked = link.ask(link.patience.lookup, request.clone(), |channel, request| {
            let mut client = client(channel);
            async move { client.find_missing_blobs(request).await }
        });
        match asked.await {
            Ok(answer) => return answer.missing_blob_digests.iter().map(|told| read_digest(Some(told))).collect(),
            Err(trouble) => retry.after(trouble).await?,
        }
    }
}

/// Sends what the server lacks; returns the bytes of these.
pub(super) async fn upload(link: &SharedLink, blobs: &[Upload<'_>]) -> Result<u64, Failure> {
    let by_digest: BTreeMap<CasDigest, &Upload<'_>> = blobs.iter().map(|blob| (blob.digest, blob)).collect();
    let asked: Vec<CasDigest> = blobs.iter().map(|blob| blob.digest).collect();
    let lacking = missing(link, &asked).await?;
    let lacking: Vec<&Upload<'_>> = lacking.iter().filter_map(|digest| by_digest.get(digest).copied()).collect();
    send(link, &lacking).await
}

/// Sends an action's messages, those that are small without asking.
pub(super) async fn send_messages(link: &SharedLink, messages: Vec<Encoded>) -> Result<(), Failure> {
    let bytes: usize = messages.iter().map(|message| message.bytes.len()).sum();
    let blobs: Vec<Upload<'_>> = messages.into_iter().map(|message| Upload::bytes(message.bytes)).collect();
    if bytes > UNASKED {
        return upload(link, &blobs).await.map(drop);
    }
    let blobs: Vec<&Upload<'_>> = blobs.iter().filter(|blob| blob.digest.size > 0).collect();
    send(link, &blobs).await.map(drop)
}

/// Sends blobs that the server lacks.
async fn send(link: &SharedLink, blobs: &[&Upload<'_>]) -> Result<u64, Failure> {
    let work = batches(link, blobs, |blob| blob.digest).into_iter().map(|batch| async move {
        match batch {
            Batch::Several(blobs) => send_batch(link, blobs).await,
            Batch::Large(blob) => byte_stream::write(link, blob).await.map(|()| blob.digest.size),
        }
    });
    let sent = stream::iter(work).buffer_unordered(AT_ONCE).try_fold(0, async |sum, bytes| Ok(sum + bytes)).await;
    sent.map_err(|trouble| link.failure(UPLOAD, trouble))
}

async fn send_batch(link: &SharedLink, blobs: Vec<&Upload<'_>>) -> Result<u64, Trouble> {
    let bytes = blobs.iter().map(|blob| blob.digest.size).sum();
    let mut left: BTreeMap<CasDigest, &Upload<'_>> = blobs.into_iter().map(|blob| (blob.digest, blob)).collect();
    let mut retry = Retry::default();
    while !left.is_empty() {
        let trouble = match send_once(link, &left, bytes).await {
            Ok(answer) => sort_out(&mut left, answer)?,
            Err(trouble) => Some(trouble),
        };
        match trouble {
            None => {}
            // The limit is lower than the server said.
            Some(trouble) if trouble.too_large => {
                for blob in left.values() {
                    byte_stream::write(link, blob).await?;
                }
                return Ok(bytes);
            }
            Some(trouble) => retry.after(trouble).await?,
        }
    }
    Ok(bytes)
}

/// One try. The bytes are read again each time, so that they are in memory once.
async fn send_once(
    link: &SharedLink,
    blobs: &BTreeMap<CasDigest, &Upload<'_>>,
    bytes: u64,
) -> Result<reapi::BatchUpdateBlobsResponse, Trouble> {
    let _permit = link.transfer().await;
    let mut requests = Vec::with_capacity(blobs.len());
    for (digest, blob) in blobs {
        let data = byte_stream::read_whole(blob)?;
        link.sent(data.len());
        requests.push(reapi::batch_update_blobs_request::Request {
            digest: Some(digest_message(*digest)),
            data,
            ..Default::default()
        });
    }
    let request =
        reapi::BatchUpdateBlobsRequest { instance_name: link.instance.clone(), requests, ..Default::default() };
    let asked = link.ask(link.patience_for(bytes), request, |channel, request| {
        let mut client = client(channel);
        async move { client.batch_update_blobs(request).await }
    });
    asked.await
}

/// Takes out what was kept; tells what may pass, and fails with what does not.
fn sort_out(
    left: &mut BTreeMap<CasDigest, &Upload<'_>>,
    answer: reapi::BatchUpdateBlobsResponse,
) -> Result<Option<Trouble>, Trouble> {
    let mut later = None;
    let mut told = BTreeSet::new();
    for part in answer.responses {
        let digest = read_digest(part.digest.as_ref())?;
        told.insert(digest);
        let status = part.status.unwrap_or_default();
        match status.code {
            0 => {
                left.remove(&digest);
            }
            code => match Trouble::of_part(code, &status.message) {
                trouble if trouble.passing || trouble.too_large => later = Some(trouble),
                trouble => return Err(trouble),
            },
        }
    }
    if let Some(digest) = left.keys().find(|digest| !told.contains(digest)) {
        return Err(Trouble::lasting(FailureKind::Wrong, format!("the server does not say whether it kept {digest}")));
    }
    Ok(later)
}

/// Fetches blobs: see [`Remote::fetch`](crate::store::remote::Remote::fetch).
pub(super) async fn fetch(
    link: &SharedLink,
    digests: &[CasDigest],
    limit: u64,
    each: &mut dyn FnMut(CasDigest, Result<Vec<u8>, Failure>),
) -> Result<(), Failure> {
    let mut left: BTreeSet<CasDigest> = digests.iter().copied().collect();
    for digest in left.clone() {
        if digest.size > limit {
            left.remove(&digest);
            let what = format!("the blob {digest} has more than {limit} bytes");
            each(digest, Err(link.failure(FETCH, Trouble::lasting(FailureKind::Wrong, what))));
        } else if digest.size == 0 {
            left.remove(&digest);
            each(digest, whole(digest, Vec::new()).map_err(|trouble| link.failure(FETCH, trouble)));
        }
    }
    let wanted: Vec<CasDigest> = left.iter().copied().collect();
    let work = batches(link, &wanted, |digest| *digest).into_iter().map(|batch| async move {
        match batch {
            Batch::Several(digests) => fetch_batch(link, digests).await,
            Batch::Large(digest) => Ok(vec![(digest, read_blob(link, digest).await)]),
        }
    });
    let mut work = stream::iter(work).buffer_unordered(AT_ONCE);
    while let Some(batch) = work.next().await {
        let told = batch.map_err(|trouble| link.failure(FETCH, trouble)).and_then(|batch| {
            for (digest, blob) in batch {
                left.remove(&digest);
                let blob = blob.map_err(|trouble| link.failure(FETCH, trouble));
                let hopeless = blob.as_ref().err().filter(|failure| is_hopeless(failure.kind)).cloned();
                each(digest, blob);
                if let Some(failure) = hopeless {
                    return Err(failure);
                }
            }
            Ok(())
        });
        if let Err(failure) = told {
            for digest in left {
                each(digest, Err(failure.clone()));
            }
            return Err(failure);
        }
    }
    Ok(())
}

/// After these there is no sense in asking for the next blob.
fn is_hopeless(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Unavailable | FailureKind::Denied | FailureKind::Unsupported)
}

type Blob = (CasDigest, Result<Vec<u8>, Trouble>);

async fn fetch_batch(link: &SharedLink, digests: Vec<CasDigest>) -> Result<Vec<Blob>, Trouble> {
    let (bytes, mut retry) = (digests.iter().map(|digest| digest.size).sum(), Retry::default());
    let answer = loop {
        match fetch_once(link, &digests, bytes).await {
            Ok(answer) => break answer,
            // The limit is lower than the server said.
            Err(trouble) if trouble.too_large => {
                let mut blobs = Vec::with_capacity(digests.len());
                for digest in digests {
                    blobs.push((digest, read_blob(link, digest).await));
                }
                return Ok(blobs);
            }
            Err(trouble) => retry.after(trouble).await?,
        }
    };
    let mut left: BTreeSet<CasDigest> = digests.into_iter().collect();
    let mut blobs = Vec::with_capacity(left.len());
    for part in answer.responses {
        link.received(part.data.len());
        let Ok(digest) = read_digest(part.digest.as_ref()) else { continue };
        // What was not asked for, or is told twice, is passed over.
        if !left.remove(&digest) {
            continue;
        }
        let status = part.status.unwrap_or_default();
        let blob = match (status.code, part.compressor) {
            (0, 0) => whole(digest, part.data),
            (0, _) => Err(Trouble::lasting(FailureKind::Wrong, "the server compresses what it shall not")),
            (code, _) => match Trouble::of_part(code, &status.message) {
                trouble if trouble.passing || trouble.too_large => read_blob(link, digest).await,
                trouble => Err(trouble),
            },
        };
        blobs.push((digest, blob));
    }
    // Some servers leave out what they do not have.
    let untold = |digest| (digest, Err(Trouble::lasting(FailureKind::Missing, format!("the server has no {digest}"))));
    blobs.extend(left.into_iter().map(untold));
    Ok(blobs)
}

async fn fetch_once(
    link: &SharedLink,
    digests: &[CasDigest],
    bytes: u64,
) -> Result<reapi::BatchReadBlobsResponse, Trouble> {
    let _permit = link.transfer().await;
    let request = reapi::BatchReadBlobsRequest {
        instance_name: link.instance.clone(),
        digests: digests.iter().copied().map(digest_message).collect(),
        ..Default::default()
    };
    let asked = link.ask(link.patience_for(bytes), request, |channel, request| {
        let mut client = client(channel);
        async move { client.batch_read_blobs(request).await }
    });
    asked.await
}

/// A blob in memory, by a stream.
async fn read_blob(link: &SharedLink, digest: CasDigest) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    byte_stream::read(link, digest, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })
    .await?;
    Ok(bytes)
}

fn whole(digest: CasDigest, bytes: Vec<u8>) -> Result<Vec<u8>, Trouble> {
    match CasDigest::of(&bytes) {
        actual if actual == digest => Ok(bytes),
        other => {
            Err(Trouble::lasting(FailureKind::Wrong, format!("the server sent other bytes than {digest}: {other}")))
        }
    }
}

/// What one call carries.
enum Batch<T> {
    Several(Vec<T>),
    Large(T),
}

/// Splits blobs into batches that the server takes, and those that are too large for one.
fn batches<T: Copy>(link: &Link, blobs: &[T], digest: impl Fn(&T) -> CasDigest) -> Vec<Batch<T>> {
    let room = link.capabilities().max_batch_bytes.saturating_sub(OVERHEAD + link.instance.len() as u64);
    let (mut batches, mut batch, mut filled) = (Vec::new(), Vec::new(), 0);
    for blob in blobs {
        let size = digest(blob).size.saturating_add(OVERHEAD);
        if size > room {
            batches.push(Batch::Large(*blob));
            continue;
        }
        if filled + size > room {
            batches.push(Batch::Several(std::mem::take(&mut batch)));
            filled = 0;
        }
        batch.push(*blob);
        filled += size;
    }
    if !batch.is_empty() {
        batches.push(Batch::Several(batch));
    }
    batches
}

fn client(channel: Channel) -> ContentAddressableStorageClient<Channel> {
    ContentAddressableStorageClient::new(channel).max_decoding_message_size(MAX_MESSAGE)
}
