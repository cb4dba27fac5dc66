//! What the tests have in common: a client, blobs, actions.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

use expert_build::base::RelPath;
use expert_build::store::Remote;
use expert_build::store::remote::{Action, CasDigest, Connection, Failure, GrpcRemote, Input, Patience, Upload};

/// How to reach a server of this machine, which does not need long.
pub fn connection(port: u16) -> Connection {
    let patience =
        Patience { connect: Duration::from_secs(10), lookup: Duration::from_secs(30), idle: Duration::from_secs(30) };
    Connection { url: format!("grpc://127.0.0.1:{port}"), patience, ..Connection::default() }
}

/// A client that has asked what the server can do.
pub fn client(connection: &Connection) -> GrpcRemote {
    let remote = GrpcRemote::new(connection).unwrap();
    remote.greet().unwrap();
    remote
}

/// Bytes of no order, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Arc<Vec<u8>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    Arc::new(bytes)
}

/// These bytes, to be sent.
pub fn upload(bytes: &Arc<Vec<u8>>) -> Upload<'static> {
    let (digest, bytes) = (CasDigest::of(bytes), bytes.clone());
    Upload { digest, open: Box::new(move || Ok(Box::new(Cursor::new(Shared(bytes.clone()))) as Box<dyn Read + Send>)) }
}

struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

pub fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

/// An action that nobody else has, over a nested tree with files of the same content.
pub fn action(name: &str) -> Action {
    let input = |bytes: &[u8], executable| Input { digest: CasDigest::of(bytes), executable };
    Action {
        arguments: vec!["./tool".into(), name.into()],
        environment: BTreeMap::from([("B".into(), "2".into()), ("A".into(), "1".into())]),
        inputs: BTreeMap::from([
            (path("tool"), input(b"#!", true)),
            (path("in/.hidden/deep/one"), input(b"same", false)),
            (path("in/two"), input(b"same", false)),
        ]),
        output_paths: vec!["out/two".into(), "out/one".into()],
        platform: BTreeMap::from([("OSFamily".into(), "linux".into())]),
        salt: b"tests".to_vec(),
        timeout: Some(Duration::from_secs(60)),
    }
}

/// Fetches one blob.
pub fn fetch(remote: &dyn Remote, digest: CasDigest) -> Result<Vec<u8>, Failure> {
    let mut got = Vec::new();
    let done = remote.fetch(&[digest], u64::MAX, &mut |of, blob| got.push((of, blob)));
    assert_eq!(got.len(), 1, "each is told once");
    let (of, blob) = got.pop().unwrap();
    assert_eq!(of, digest);
    done.and(blob)
}

/// Streams one blob.
pub fn stream(remote: &dyn Remote, digest: CasDigest) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    remote.stream(digest, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}
