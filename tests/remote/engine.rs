//! What the tests of whole builds have in common: checkouts, builds against a server, and what they did.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::expert::Expert;
use crate::ground::noise;
use crate::servers::{BuildGrid, Server};
use crate::space::{EXPERT_BUILD, Space};

/// Weights that are large enough to be a stream of their own, and pack to about as much.
pub const BIG: usize = 3 << 20;

/// A repo of three experts: two of them share a big file, one has two packages.
pub fn checkout() -> Space {
    let text = "Words that come again and again. ".repeat(3000);
    let one = Expert::lora("one").soft_prompt("x").file("vocab.model", &**noise(BIG, 1)).file("README.md", text);
    let other = Expert::lora("other").file("vocab.model", &**noise(BIG, 1));
    // Larger than what travels with the record, and of no order: fetched in a batch.
    let other = other.file("merges.txt", &**noise(90_000, 4));
    Space::with(&[one, Expert::two_models("two"), other])
}

/// The same files in another place, and nothing that was built.
pub fn copy(space: &Space) -> Space {
    let other = Space::new();
    other.copy(&space.path(""), "");
    other.outputs().iter().for_each(|(path, _)| other.remove(path));
    other
}

/// A server, and how it is spoken to.
pub struct There {
    pub server: Server,
    pub url: String,
    pub instance: &'static str,
}

impl There {
    pub fn casd(arguments: &[&str]) -> Option<Self> {
        let server = Server::casd(arguments)?;
        Some(Self { url: format!("grpc://127.0.0.1:{}", server.port), server, instance: "" })
    }

    pub fn build_grid(wants: &BuildGrid) -> Option<Self> {
        let server = Server::build_grid(wants)?;
        let scheme = if wants.certificates.is_some() { "grpcs" } else { "grpc" };
        Some(Self { url: format!("{scheme}://127.0.0.1:{}", server.port), server, instance: "some/where" })
    }

    /// Both kinds, as far as they are to be had.
    pub fn both() -> Vec<Self> {
        Self::casd(&[]).into_iter().chain(Self::build_grid(&BuildGrid::default())).collect()
    }
}

/// What a build did.
#[derive(Debug)]
pub struct Built {
    pub code: i32,
    pub events: Vec<Value>,
    /// Shown where a test fails.
    _stderr: String,
}

impl Built {
    fn last(&self) -> &Value {
        let last = self.events.iter().rev().find(|event| event["reason"] == "run-finish");
        last.unwrap_or_else(|| panic!("the run did not end well: {self:#?}"))
    }

    /// Packages built, restored, up to date.
    pub fn counts(&self) -> [u64; 3] {
        ["built", "restored", "fresh"].map(|key| self.last()[key].as_u64().unwrap())
    }

    /// A figure of the remote cache.
    #[track_caller]
    pub fn remote(&self, figure: &str) -> u64 {
        self.last()["remote"][figure].as_u64().unwrap_or_else(|| panic!("no `{figure}`: {:#}", self.last()))
    }

    /// How it was used.
    pub fn mode(&self) -> String {
        self.last()["remote"]["mode"].as_str().unwrap_or("none").to_owned()
    }

    /// Segments that were compressed.
    pub fn segments(&self) -> u64 {
        self.events.iter().filter(|e| e["reason"] == "task-finish").filter_map(|e| e["segments_made"].as_u64()).sum()
    }

    /// What was told beside findings.
    pub fn notices(&self) -> Vec<&str> {
        self.events.iter().filter(|e| e["reason"] == "notice").filter_map(|e| e["message"].as_str()).collect()
    }
}

/// A build that is ready to run in a space.
pub fn command(space: &Space, url: &str, instance: &str, arguments: &[&str]) -> Command {
    let all = [&["build", "--message-format", "json", "-j", "2", "--remote-cache", url][..], arguments].concat();
    let mut command = space.command(EXPERT_BUILD, "", &all);
    // A server on a busy machine is slow, and that is not what is looked at.
    command.env("EXPERT_BUILD_CACHE_REMOTE_WRITE", "always").env("EXPERT_BUILD_CACHE_REMOTE_TIMEOUT", "120");
    if !instance.is_empty() {
        command.env("EXPERT_BUILD_CACHE_REMOTE_INSTANCE", instance);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What came of a build.
pub fn built(output: &std::process::Output) -> Built {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let schema = serde_json::from_str(include_str!("../../schema/events.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    assert!(events.iter().all(|event| schema.is_valid(event)), "{text}");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Built { code: output.status.code().unwrap_or(-1), events, _stderr: stderr }
}

/// Builds against a server.
pub fn build(space: &Space, there: &There, arguments: &[&str]) -> Built {
    built(&command(space, &there.url, there.instance, arguments).output().unwrap())
}

/// Builds against a server, which must go well.
#[track_caller]
pub fn build_well(space: &Space, there: &There, arguments: &[&str]) -> Built {
    let built = build(space, there, arguments);
    assert_eq!(built.code, 0, "{built:#?}");
    built
}

/// What is built without a server.
pub fn expected(space: &Space) -> std::collections::BTreeMap<String, Vec<u8>> {
    let alone = copy(space);
    alone.run("build -j 2").ok();
    alone.packages()
}
