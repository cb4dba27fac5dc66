//! Blobs of any size there and back without ever being in memory.

use std::io::{self, Read};
use std::process::Command;

use expert_build::base::Sha256;
use expert_build::store::Remote;
use expert_build::store::remote::{CasDigest, Upload};
use sha2::Digest as _;

use crate::ground::{client, connection, upload};
use crate::servers::Server;

/// Which server the child shall use.
const PORT: &str = "EXPERT_BUILD_TEST_PORT";
const SIZE: usize = 96 << 20;

/// A pattern that goes on and on.
struct Pattern {
    at: usize,
    block: Vec<u8>,
}

impl Pattern {
    fn new() -> Self {
        Self { at: 0, block: crate::ground::noise(1 << 20, 5).to_vec() }
    }
}

impl Read for Pattern {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.at % self.block.len();
        let len = into.len().min(self.block.len() - from).min(SIZE - self.at);
        into[..len].copy_from_slice(&self.block[from..from + len]);
        self.at += len;
        Ok(len)
    }
}

#[test]
fn blobs_are_never_whole_in_memory() {
    let Some(server) = Server::casd(&[]) else { return };
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "memory::in_a_process_of_its_own", "--nocapture"])
        .env(PORT, server.port.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    let peak: usize = said.split("peak ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < 48 << 10, "{peak} KiB");
}

#[test]
#[ignore = "`blobs_are_never_whole_in_memory` runs it"]
fn in_a_process_of_its_own() {
    let port = std::env::var(PORT).unwrap().parse().unwrap();
    let (mut pattern, mut hasher) = (Pattern::new(), sha2::Sha256::new());
    io::copy(&mut pattern, &mut Hasher(&mut hasher)).unwrap();
    let digest = CasDigest { sha256: Sha256::new(hasher.finalize().into()), size: SIZE as u64 };
    let remote = client(&connection(port));
    let large = Upload { digest, open: Box::new(|| Ok(Box::new(Pattern::new()))) };
    let small = crate::ground::noise(3 << 20, 1);
    assert_eq!(remote.upload(&[large, upload(&small)]), Ok(SIZE as u64 + small.len() as u64));
    let mut got = 0;
    remote
        .stream(digest, &mut |piece| {
            got += piece.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(got, SIZE);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    eprintln!("peak {}", peak.trim());
}

struct Hasher<'a>(&'a mut sha2::Sha256);

impl io::Write for Hasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
