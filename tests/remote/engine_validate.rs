//! Builds whose experts are validated by real workers: weights that need no reading here for their name are not read for their
//! values either, and what a worker finds wrong is found here before anything is packed.

use serde_json::Value;

use crate::engine::{Built, There, built, copy};
use crate::engine_exec::{executing, program};
use crate::expert::{self, Expert};
use crate::space::{EXPERT_BUILD, Space};

/// An expert whose weights are of 2 MiB; with `nan`, one number of them is none.
fn wide(name: &str, nan: bool) -> Expert {
    let mut weights = expert::lora(name, 2, 4, &["q_proj", "v_proj"], 1 << 15, false);
    if nan {
        let end = weights.len();
        weights[end - 2..].copy_from_slice(&[0xc0, 0x7f]);
    }
    Expert::lora(name).file("adapter_model.safetensors", weights)
}

fn settings(space: &Space, level: &str, compression: &str) {
    let text = format!(
        "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ncompression = \"{compression}\"\n\
         [defaults.lints]\n\"weights-not-finite\" = \"{level}\"\n"
    );
    space.write("Expertfile.toml", text);
}

/// A repo that was built with other settings: the index has the name of every file, and the cache none of them packed so.
fn known(experts: &[Expert]) -> Space {
    let space = Space::with(experts);
    settings(&space, "allow", "gzip");
    space.run("build").ok();
    settings(&space, "deny", "zstd");
    space
}

fn locally(space: &Space) -> (Built, Space) {
    let alone = copy(space);
    let run = alone.command(EXPERT_BUILD, "", &["build", "--keep-going", "--message-format", "json"]).output().unwrap();
    (built(&run), alone)
}

fn findings(built: &Built) -> Vec<&Value> {
    built.events.iter().filter(|event| event["reason"] == "diagnostic").collect()
}

fn bytes_read(built: &Built) -> u64 {
    built.events.iter().filter_map(|event| event["bytes_read"].as_u64()).sum()
}

#[test]
fn a_good_expert_is_validated_by_a_worker_and_its_weights_are_not_read_here() {
    let (Some(program), Some(there)) = (program(), There::casd(&[])) else { return };
    let space = known(&[wide("good", false)]);
    let run = executing(&space, &there, &program, &[]);
    assert_eq!((run.code, run.remote("executed"), run.remote("fell_back")), (0, 1, 0), "{run:#?}");
    assert_eq!((run.segments(), run.notices().len()), (0, 0), "{run:#?}");
    assert!(bytes_read(&run) < 1 << 20, "small files alone: {}", bytes_read(&run));
    let (_, alone) = locally(&space);
    assert!(space.packages() == alone.packages());
    // What was seen of the values when the bytes were proven is kept as if they had been read here.
    space.outputs().iter().for_each(|(path, _)| space.remove(path));
    space.run("build --offline").ok();
    assert!(space.packages() == alone.packages());
}

#[test]
fn a_bad_expert_is_refused_by_a_worker_and_fails_as_it_does_locally() {
    let (Some(program), Some(there)) = (program(), There::casd(&[])) else { return };
    let space = known(&[wide("bad", true), wide("good", false)]);
    let run = executing(&space, &there, &program, &["--keep-going"]);
    let (without, alone) = locally(&space);
    assert_eq!((run.code, without.code), (11, 11), "{run:#?}");
    assert_eq!((run.remote("executed"), run.remote("fell_back"), run.remote("errors")), (2, 0, 0), "{run:#?}");
    assert_eq!(run.segments(), 0, "nothing was packed here, least of all what is wrong");
    assert!(findings(&run).iter().any(|found| found["code"] == "weights-not-finite"), "{run:#?}");
    let sorted = |built: &Built| {
        let mut all: Vec<String> = findings(built).into_iter().map(ToString::to_string).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&run), sorted(&without));
    let good = |space: &Space| -> Vec<(String, Vec<u8>)> {
        space.packages().into_iter().filter(|(path, _)| path.starts_with("experts/good/")).collect()
    };
    assert!(!good(&space).is_empty() && good(&space) == good(&alone));
    // A refusal is nothing that others are told: whoever only reads finds it all out again.
    let other = copy(&space);
    let next = crate::engine::build(&other, &there, &["--keep-going"]);
    assert_eq!((next.code, next.remote("errors")), (11, 0), "{next:#?}");
}
