//! `Fake`: another machine in memory, with figures, faults and latency: what a server of the Remote Execution API is to the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::sync::Mutex;
use std::time::Duration;

use expert_build::base::{RelPath, Sha256};
use expert_build::store::Remote;
use expert_build::store::remote::{
    Action, ActionResult, Capabilities, CasDigest, Failure, FailureKind, OutputFile, Traffic, Upload,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// No call is answered.
    Down,
    /// Nobody is let in.
    Denied,
    /// It keeps no results.
    ReadOnly,
    /// It has no room.
    Full,
    /// One byte of every blob that is fetched is another, and its name fits.
    WrongBytes,
    /// No blob is there, whatever the results say.
    Evicted,
    /// Streams break in their middle.
    Torn,
}

/// Another machine.
#[derive(Default)]
pub struct Fake {
    pub state: Mutex<State>,
    /// How long each call takes.
    pub latency: Duration,
    /// Runs actions, where it does.
    pub worker: Option<Worker>,
}

/// Runs an action: its inputs by path, and what it leaves.
pub type Worker = Box<dyn Fn(&Action, &BTreeMap<RelPath, Vec<u8>>) -> ActionResultOf + Send + Sync>;

/// What a worker leaves: exit code, files, last words.
pub type ActionResultOf = (i32, BTreeMap<String, Vec<u8>>, Vec<u8>);

/// What it holds.
#[derive(Default)]
pub struct State {
    pub blobs: BTreeMap<CasDigest, Vec<u8>>,
    pub results: BTreeMap<CasDigest, ActionResult>,
    pub faults: BTreeSet<Fault>,
    pub traffic: Traffic,
    pub executed: usize,
    /// Calls by name.
    pub calls: BTreeMap<&'static str, u64>,
}

impl Fake {
    pub fn break_by(&self, fault: Fault) {
        self.state.lock().unwrap().faults.insert(fault);
    }

    pub fn mend(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// Calls by name since the last time, and what went over the wire.
    pub fn take(&self) -> (BTreeMap<&'static str, u64>, Traffic) {
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.calls), std::mem::take(&mut state.traffic))
    }

    fn call(&self, name: &'static str) -> Result<std::sync::MutexGuard<'_, State>, Failure> {
        std::thread::sleep(self.latency);
        let mut state = self.state.lock().unwrap();
        state.traffic.calls += 1;
        *state.calls.entry(name).or_default() += 1;
        let failed = |kind, message: &str| Err(Failure { kind, message: format!("{name}: {message}") });
        if state.faults.contains(&Fault::Down) {
            state.traffic.failures += 1;
            return failed(FailureKind::Unavailable, "no answer");
        }
        if state.faults.contains(&Fault::Denied) {
            state.traffic.failures += 1;
            return failed(FailureKind::Denied, "who are you?");
        }
        Ok(state)
    }

    fn get(&self, state: &mut State, digest: CasDigest) -> Result<Vec<u8>, Failure> {
        let gone = state.faults.contains(&Fault::Evicted);
        let Some(mut bytes) = state.blobs.get(&digest).filter(|_| !gone).cloned() else {
            return Err(Failure { kind: FailureKind::Missing, message: format!("{digest} is not there") });
        };
        state.traffic.received += bytes.len() as u64;
        if state.faults.contains(&Fault::WrongBytes) && !bytes.starts_with(b"{\"files\"") {
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x11;
            }
        }
        Ok(bytes)
    }
}

/// The name of an action: the fake's own, over everything in it.
fn name(action: &Action) -> CasDigest {
    CasDigest::of(format!("{action:?}").as_bytes())
}

impl Remote for Fake {
    fn capabilities(&self) -> Capabilities {
        let exec_enabled = self.worker.is_some();
        Capabilities { max_batch_bytes: 4 << 20, update_enabled: true, exec_enabled, zstd: false }
    }

    fn key(&self, action: &Action) -> CasDigest {
        name(action)
    }

    fn result(&self, action: &Action, inline: &[&str]) -> Result<Option<ActionResult>, Failure> {
        let state = self.call("GetActionResult")?;
        let Some(mut result) = state.results.get(&name(action)).cloned() else { return Ok(None) };
        for (path, file) in &mut result.files {
            if inline.contains(&path.as_str()) {
                file.contents = state.blobs.get(&file.digest).cloned();
            }
        }
        Ok((result.exit_code == 0).then_some(result))
    }

    fn update(&self, action: &Action, result: &ActionResult) -> Result<(), Failure> {
        drop(self.call("BatchUpdateBlobs")?);
        let mut state = self.call("UpdateActionResult")?;
        if state.faults.contains(&Fault::ReadOnly) {
            return Err(Failure { kind: FailureKind::Unsupported, message: "UpdateActionResult: not here".into() });
        }
        for file in result.files.values() {
            assert!(state.blobs.contains_key(&file.digest), "a result speaks of what was not sent");
        }
        state.results.insert(name(action), result.clone());
        Ok(())
    }

    fn missing(&self, digests: &[CasDigest]) -> Result<Vec<CasDigest>, Failure> {
        let mut missing = Vec::new();
        for part in digests.chunks(100) {
            let state = self.call("FindMissingBlobs")?;
            missing.extend(part.iter().filter(|digest| !state.blobs.contains_key(digest)));
        }
        Ok(missing)
    }

    fn upload(&self, blobs: &[Upload<'_>]) -> Result<u64, Failure> {
        let digests: Vec<CasDigest> = blobs.iter().map(|blob| blob.digest).collect();
        let missing: BTreeSet<CasDigest> = self.missing(&digests)?.into_iter().collect();
        let (mut sent, mut batch) = (0, false);
        for blob in blobs.iter().filter(|blob| missing.contains(&blob.digest)) {
            let local = |e: io::Error| Failure { kind: FailureKind::Local, message: e.to_string() };
            let mut bytes = Vec::new();
            (blob.open)().map_err(local)?.read_to_end(&mut bytes).map_err(local)?;
            let mut state = match bytes.len() > 1 << 20 || !std::mem::replace(&mut batch, true) {
                true => self.call(if bytes.len() > 1 << 20 { "Write" } else { "BatchUpdateBlobs" })?,
                false => self.state.lock().unwrap(),
            };
            if state.faults.contains(&Fault::Full) {
                return Err(Failure { kind: FailureKind::Exhausted, message: "there is no room".into() });
            }
            if CasDigest::of(&bytes) != blob.digest {
                return Err(Failure { kind: FailureKind::Other, message: "these are other bytes".into() });
            }
            sent += bytes.len() as u64;
            state.traffic.sent += bytes.len() as u64;
            state.blobs.insert(blob.digest, bytes);
        }
        Ok(sent)
    }

    fn fetch(
        &self,
        digests: &[CasDigest],
        limit: u64,
        each: &mut dyn FnMut(CasDigest, Result<Vec<u8>, Failure>),
    ) -> Result<(), Failure> {
        let mut state = self.call("BatchReadBlobs")?;
        for digest in digests {
            assert!(digest.size <= limit);
            let bytes = self.get(&mut state, *digest);
            each(*digest, bytes);
        }
        Ok(())
    }

    fn stream(&self, digest: CasDigest, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Failure> {
        let (bytes, torn) = {
            let mut state = self.call("Read")?;
            (self.get(&mut state, digest)?, state.faults.contains(&Fault::Torn))
        };
        let local = |e: io::Error| Failure { kind: FailureKind::Local, message: e.to_string() };
        let end = if torn { bytes.len() / 2 } else { bytes.len() };
        for chunk in bytes[..end].chunks(1 << 20) {
            sink(chunk).map_err(local)?;
        }
        match torn {
            true => Err(Failure { kind: FailureKind::Unavailable, message: "Read: the connection broke".into() }),
            false if CasDigest::of(&bytes) != digest => {
                Err(Failure { kind: FailureKind::Wrong, message: format!("Read: other bytes than {digest}") })
            }
            false => Ok(()),
        }
    }

    fn tree(&self, tree: CasDigest) -> Result<BTreeMap<RelPath, CasDigest>, Failure> {
        Err(Failure { kind: FailureKind::Missing, message: format!("{tree} is not there") })
    }

    fn execute(&self, action: &Action, cancelled: &dyn Fn() -> bool) -> Result<ActionResult, Failure> {
        let worker = self.worker.as_ref().expect("asked only where there are workers");
        let inputs = {
            let state = self.call("Execute")?;
            let mut inputs = BTreeMap::new();
            for (path, input) in &action.inputs {
                let Some(bytes) = state.blobs.get(&input.digest) else {
                    return Err(Failure {
                        kind: FailureKind::Other,
                        message: format!("the input {path} is not there"),
                    });
                };
                inputs.insert(path.clone(), bytes.clone());
            }
            inputs
        };
        if cancelled() {
            return Err(Failure { kind: FailureKind::Cancelled, message: "stopped".into() });
        }
        let (exit_code, files, stderr) = worker(action, &inputs);
        let mut state = self.state.lock().unwrap();
        state.executed += 1;
        let mut result = ActionResult { exit_code, stderr, ..ActionResult::default() };
        for (path, bytes) in files {
            let digest = CasDigest::of(&bytes);
            state.blobs.insert(digest, bytes);
            result.files.insert(path, OutputFile { digest, contents: None });
        }
        Ok(result)
    }

    fn traffic(&self) -> Traffic {
        self.state.lock().unwrap().traffic
    }
}

/// Changes the record of every result and what it speaks of, with names that fit.
pub fn poison(fake: &Fake, change: impl Fn(&str, &[u8]) -> Option<Vec<u8>>) {
    let mut state = fake.state.lock().unwrap();
    let State { blobs, results, .. } = &mut *state;
    for result in results.values_mut() {
        for (path, file) in &mut result.files {
            if let Some(bytes) = change(path, &blobs[&file.digest]) {
                file.digest = CasDigest { sha256: Sha256::of(&bytes), size: bytes.len() as u64 };
                blobs.insert(file.digest, bytes);
            }
        }
    }
}
