//! Builds whose experts are packed by real workers: buildbox-casd's, in a sandbox that holds the inputs and nothing else.
//!
//! `EXPERT_BUILD_STATIC` names this program, linked statically; `tests/ci.sh` builds it.

use std::path::PathBuf;
use std::time::Duration;

use crate::engine::{BIG, Built, There, build_well, built, checkout, command, copy, expected};
use crate::expert::Expert;
use crate::ground::noise;
use crate::proxy::Proxy;
use crate::space::Space;

pub fn program() -> Option<PathBuf> {
    let found = std::env::var_os("EXPERT_BUILD_STATIC").map(PathBuf::from).filter(|path| path.exists());
    let sandbox = std::process::Command::new("bwrap").arg("--version").output().is_ok();
    if found.is_none() || !sandbox {
        eprintln!("SKIPPED: EXPERT_BUILD_STATIC names no static program, or bubblewrap is not installed");
        return None;
    }
    found
}

/// Builds, and has workers pack.
pub fn executing(space: &Space, there: &There, program: &std::path::Path, arguments: &[&str]) -> Built {
    let program = program.to_str().unwrap();
    let all = [&["--remote-exec", "--remote-exec-binary", program][..], arguments].concat();
    built(&command(space, &there.url, there.instance, &all).output().unwrap())
}

#[test]
fn workers_pack_and_the_bytes_are_those_of_a_local_build() {
    let (Some(program), Some(there)) = (program(), There::casd(&[])) else { return };
    for compression in ["gzip", "zstd"] {
        let space = checkout();
        let text = format!(
            "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ncompression = \"{compression}\"\npublisher = \"me\"\n\
             [defaults.model.tiny]\nconfig = \"tiny.json\"\n[cache.remote]\nnamespace = \"{compression}\"\n"
        );
        space.write("Expertfile.toml", text);
        space.write("tiny.json", "{\"hidden_size\": 8, \"num_hidden_layers\": 2, \"vocab_size\": 100}");
        let run = executing(&space, &there, &program, &["--remote-jobs", "3"]);
        assert_eq!((run.code, run.remote("executed"), run.remote("fell_back")), (0, 3, 0), "{run:#?}");
        assert_eq!((run.counts(), run.segments()), ([0, 4, 0], 0), "nothing was compressed here");
        assert!(space.packages() == expected(&space));
        // Whoever does not execute finds it all, and whoever executes asks no worker again.
        let other = copy(&space);
        let warm = build_well(&other, &there, &[]);
        assert_eq!((warm.counts(), warm.segments(), warm.remote("hits")), ([0, 4, 0], 0, 3));
        let third = copy(&space);
        let again = executing(&third, &there, &program, &[]);
        assert_eq!((again.counts(), again.remote("executed"), again.remote("hits")), ([0, 4, 0], 0, 3));
    }
}

#[test]
fn what_workers_packed_may_stay_there() {
    let (Some(program), Some(there)) = (program(), There::casd(&[])) else { return };
    let space = checkout();
    let run = executing(&space, &there, &program, &["--remote-download", "minimal"]);
    assert_eq!((run.code, run.remote("executed"), run.remote("errors")), (0, 3, 0), "{run:#?}");
    assert!(space.packages().is_empty() && run.remote("bytes_down") < 64 << 10, "records alone: {run:#?}");
    let other = copy(&space);
    let warm = build_well(&other, &there, &[]);
    assert_eq!((warm.counts(), warm.segments(), warm.remote("hits")), ([0, 4, 0], 0, 3), "{warm:#?}");
    assert!(other.packages() == expected(&space));
}

#[test]
fn local_threads_work_while_workers_do() {
    let (Some(program), Some(there)) = (program(), There::casd(&[])) else { return };
    let expert = |number: u64| Expert::lora(&format!("e{number}")).file("vocab.model", &**noise(BIG / 2, number));
    let experts: Vec<Expert> = (0..8).map(|number| expert(number + 1)).collect();
    let space = Space::with(&experts);
    let run = executing(&space, &there, &program, &["--remote-jobs", "1"]);
    let executed = run.remote("executed");
    assert_eq!((run.code, run.remote("errors")), (0, 0), "{run:#?}");
    assert!(executed > 0 && executed < 8 && run.segments() > 0, "{executed} by workers, the rest here");
    assert!(space.packages() == expected(&space));
}

#[test]
fn a_worker_that_cannot_run_it_and_a_connection_that_breaks_leave_it_to_this_machine() {
    let (Some(program), Some(mut there)) = (program(), There::casd(&[])) else { return };
    // A program that is linked statically and is not this one: `true` of a foreign machine, as it were.
    let other = tempfile::tempdir().unwrap();
    let broken = other.path().join("broken");
    std::fs::write(&broken, &std::fs::read(&program).unwrap()[..100_000]).unwrap();
    let space = checkout();
    let run = executing(&space, &there, &broken, &[]);
    assert_eq!((run.code, run.remote("executed"), run.notices().len()), (0, 0, 1), "{run:#?}");
    assert!(run.remote("fell_back") > 0);
    assert!(space.packages() == expected(&space));
    let proxy = Proxy::before(there.server.port, Duration::ZERO);
    proxy.cut_up(BIG as i64 / 2);
    there.url = format!("grpc://127.0.0.1:{}", proxy.port);
    // What was sent the last time is of another namespace.
    let space = checkout();
    let text = "[workspace]\nmembers = [\"experts/*\"]\n[cache.remote]\nnamespace = \"torn\"\n";
    space.write("Expertfile.toml", text);
    let run = executing(&space, &there, &program, &[]);
    assert_eq!((run.code, run.remote("executed"), run.notices().len()), (0, 0, 1), "{run:#?}");
    assert!(space.packages() == expected(&space));
}

#[test]
fn an_expert_that_is_not_valid_is_told_as_ever() {
    let (Some(program), Some(there)) = (program(), There::casd(&[])) else { return };
    let wrong = Expert::lora("wrong").set("/base_models/0/adapters/0/r", serde_json::json!(5));
    let space = Space::with(&[wrong]);
    let run = executing(&space, &there, &program, &[]);
    let alone = copy(&space);
    let without =
        alone.command(crate::space::EXPERT_BUILD, "", &["build", "--message-format", "json"]).output().unwrap();
    let without = built(&without);
    assert_eq!((run.code, without.code), (11, 11), "{run:#?}");
    let findings = |built: &Built| -> Vec<serde_json::Value> {
        built.events.iter().filter(|event| event["reason"] == "diagnostic").cloned().collect()
    };
    assert!(!findings(&run).is_empty());
    assert_eq!(findings(&run), findings(&without));
}
