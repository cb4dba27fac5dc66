//! Workers of a fake of another machine: what they do, what they do not, and what they say that is not so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::expert::{self, Expert};
use crate::remote::{Client, checkout, expected};
use crate::remote_fake::Fake;
use crate::space::Space;

/// Runs the program in a folder, as a worker would.
fn worker(fail: fn(usize) -> bool) -> crate::remote_fake::Worker {
    let number = std::sync::atomic::AtomicUsize::new(0);
    Box::new(move |action, inputs| {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in inputs {
            let path = path.under(folder.path());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        if fail(number.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            return (1, BTreeMap::new(), b"error: the worker has no room".to_vec());
        }
        let output = std::process::Command::new(crate::space::EXPERT_BUILD)
            .args(&action.arguments[1..])
            .current_dir(folder.path())
            .env_clear()
            .output()
            .unwrap();
        let read = |path: &String| Some((path.clone(), std::fs::read(folder.path().join(path)).ok()?));
        let files = action.output_paths.iter().filter_map(read).collect();
        (output.status.code().unwrap_or(-1), files, output.stderr)
    })
}

/// A program that workers could run, as far as can be told from its head.
fn static_program(space: &Space) -> &'static str {
    let mut head = vec![0_u8; 64 + 56];
    head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    (head[32], head[54], head[56]) = (64, 56, 1);
    let path = space.outer("program");
    std::fs::write(&path, head).unwrap();
    Box::leak(path.to_string_lossy().into_owned().into_boxed_str())
}

#[test]
fn workers_pack_experts_and_the_bytes_are_the_same() {
    let fake = Arc::new(Fake { worker: Some(worker(|_| false)), ..Fake::default() });
    let space = checkout();
    let text = "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\npublisher = \"me\"\ncompression = \"zstd\"\n\
                include = [\"README.md\"]\nlints = { preset = \"recommended\" }\n[defaults.model.tiny]\nconfig = \"tiny.json\"\n";
    space.write("Expertfile.toml", text);
    space.write("tiny.json", "{\"hidden_size\": 8, \"num_hidden_layers\": 2, \"vocab_size\": 100}");
    let program = static_program(&space);
    let client = || Client::new(&fake).with("exec", "true").with("exec-binary", program);
    let (report, seen) = client().run(&space);
    let used = seen.remote.unwrap();
    assert_eq!((used.executed, used.fell_back, used.errors), (3, 0, 0), "{:?}", seen.notices);
    assert_eq!((report.built, report.restored, seen.segments_made), (0, 4, 0));
    assert!(space.packages() == expected(&space));
    // Whoever does not execute finds the same results.
    let other = Space::new();
    other.copy(&space.path(""), "");
    other.outputs().iter().for_each(|(path, _)| other.remove(path));
    let (report, seen) = Client::new(&fake).run(&other);
    assert_eq!((report.restored, seen.segments_made, seen.remote.unwrap().hits), (4, 0, 3));
    assert_eq!(fake.state.lock().unwrap().executed, 3);
}

#[test]
fn what_workers_do_not_do_is_done_here() {
    let space = checkout();
    let fake = Arc::new(Fake { worker: Some(worker(|number| number == 0)), ..Fake::default() });
    let program = static_program(&space);
    let (_, seen) = Client::new(&fake).with("exec", "true").with("exec-binary", program).run(&space);
    let used = seen.remote.unwrap();
    assert_eq!((used.executed, used.fell_back, used.errors), (2, 1, 1));
    assert_eq!(seen.notices.len(), 1);
    assert!(seen.notices[0].contains("a worker ended with code 1") && seen.notices[0].contains("no room"));
    assert!(space.packages() == expected(&space));
    // One at a time: the others are built here meanwhile.
    let fake = Arc::new(Fake { worker: Some(worker(|_| false)), ..Fake::default() });
    let other = Space::new();
    other.copy(&space.path(""), "");
    other.outputs().iter().for_each(|(path, _)| other.remove(path));
    let (_, seen) = Client::new(&fake).with("exec", "true").with("jobs", "1").with("exec-binary", program).run(&other);
    let used = seen.remote.unwrap();
    assert!(used.executed >= 1 && used.executed < 3 && used.fell_back == 0, "{used:?}");
    assert!(other.packages() == space.packages());
}

#[test]
fn a_program_that_workers_cannot_run_is_refused_and_named() {
    let space = checkout();
    let fake = Arc::new(Fake { worker: Some(worker(|_| false)), ..Fake::default() });
    std::fs::write(space.outer("script"), "#!/bin/sh\n").unwrap();
    let script = Box::leak(space.outer("script").to_string_lossy().into_owned().into_boxed_str());
    let (report, _) = Client::new(&fake).with("exec", "true").with("exec-binary", script).try_run(&space);
    let error = report.unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("not a statically linked program"), "{error}");
    assert!(Path::new(script).exists());
}

/// A repo of one expert with weights of 2 MiB that was built with other settings: the index has the name of every file, and
/// the cache none of them packed as they shall be.
fn known(nan: bool) -> Space {
    let mut weights = expert::lora("wide", 2, 4, &["q_proj", "v_proj"], 1 << 15, false);
    if nan {
        let end = weights.len();
        weights[end - 2..].copy_from_slice(&[0xc0, 0x7f]);
    }
    let space = Space::with(&[Expert::lora("wide").file("adapter_model.safetensors", weights)]);
    settings(&space, "allow", "gzip");
    space.run("build").ok();
    settings(&space, "deny", "zstd");
    space
}

fn settings(space: &Space, level: &str, compression: &str) {
    let text = format!(
        "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ncompression = \"{compression}\"\n\
         [defaults.lints]\n\"weights-not-finite\" = \"{level}\"\n"
    );
    space.write("Expertfile.toml", text);
}

/// The worker's program does another task than the one that was asked for.
fn lying(from: &'static str, to: &'static str) -> crate::remote_fake::Worker {
    let honest = worker(|_| false);
    Box::new(move |action, inputs| {
        let mut inputs = inputs.clone();
        for bytes in inputs.iter_mut().filter(|(path, _)| path.as_str() == "task.json").map(|(_, bytes)| bytes) {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(from), "{text}");
            *bytes = text.replace(from, to).into_bytes();
        }
        honest(action, &inputs)
    })
}

#[test]
fn weights_that_need_no_reading_for_their_name_are_validated_by_a_worker() {
    let space = known(false);
    let fake = Arc::new(Fake { worker: Some(worker(|_| false)), ..Fake::default() });
    let program = static_program(&space);
    let client = || Client::new(&fake).with("exec", "true").with("exec-binary", program);
    let (_, seen) = client().run(&space);
    let used = seen.remote.unwrap();
    assert_eq!((used.executed, used.fell_back, used.errors, seen.segments_made), (1, 0, 0, 0));
    assert!(seen.bytes_read < 1 << 20, "small files alone: {}", seen.bytes_read);
    assert!(space.packages() == expected(&space));
    // From a cache they come as unread; where nobody has them they are read once, to be packed.
    let (again, alone) = (known(false), known(false));
    let (_, seen) = Client::new(&fake).run(&again);
    assert_eq!((seen.remote.unwrap().hits, seen.segments_made), (1, 0));
    assert!(seen.bytes_read < 1 << 20, "{}", seen.bytes_read);
    assert!(again.packages() == space.packages());
    let (_, seen) = Client::new(&Arc::new(Fake::default())).run(&alone);
    assert!(seen.bytes_read > 2 << 20 && seen.bytes_read < 3 << 20, "{}", seen.bytes_read);
    assert!(alone.packages() == space.packages());
    // What stays there is validated here.
    let there = known(false);
    let (report, seen) = Client::new(&fake).with("download", "minimal").run(&there);
    assert_eq!(report.left_there, 1);
    assert!(seen.bytes_read > 2 << 20, "{}", seen.bytes_read);
}

#[test]
fn a_worker_that_refuses_what_is_good_is_not_believed() {
    let space = known(true);
    settings(&space, "allow", "zstd");
    let program = static_program(&space);
    let lies = lying("lints.weights-not-finite = \\\"allow\\\"", "lints.weights-not-finite = \\\"deny\\\"");
    let fake = Arc::new(Fake { worker: Some(lies), ..Fake::default() });
    let (report, seen) = Client::new(&fake).with("exec", "true").with("exec-binary", program).run(&space);
    assert_eq!((report.built, seen.remote.unwrap().errors), (1, 1));
    assert!(
        seen.notices.len() == 1 && seen.notices[0].contains("refused `wide`, which is good here"),
        "{:?}",
        seen.notices
    );
    assert!(space.packages() == expected(&space));
}

#[test]
fn a_worker_that_finds_nothing_wrong_is_not_believed() {
    let space = known(true);
    let program = static_program(&space);
    let fake = |worker| Arc::new(Fake { worker: Some(worker), ..Fake::default() });
    let run = |fake: &Arc<Fake>| {
        let (report, seen) = Client::new(fake).with("exec", "true").with("exec-binary", program).try_run(&space);
        assert_eq!(report.unwrap().exit_code(), 11);
        assert!(seen.found.iter().any(|found| found.starts_with("weights-not-finite")), "{:?}", seen.found);
        let used = seen.remote.unwrap();
        assert_eq!((used.executed, used.fell_back, used.errors), (1, 0, 0));
        seen.found
    };
    let packed = || -> usize {
        let cache = space.outer("cache");
        let size = |path: &String| std::fs::metadata(cache.join(path)).unwrap().len();
        crate::space::files_below(&cache).iter().filter(|path| size(path) > 1 << 20).count()
    };
    let (told, before) = (fake(worker(|_| false)), packed());
    let honest = run(&told);
    assert_eq!(packed(), before, "what is wrong was packed nowhere here");
    assert!(told.state.lock().unwrap().results.is_empty(), "a refusal is not kept for others");
    // Its packed bytes show what it did not say.
    let lies = lying("lints.weights-not-finite = \\\"deny\\\"", "lints.weights-not-finite = \\\"allow\\\"");
    assert_eq!(run(&fake(lies)), honest);
    assert_eq!(packed(), before + 1, "it came from there");
}

#[test]
fn what_workers_packed_may_stay_there_and_all_others_find_it() {
    let fake = Arc::new(Fake { worker: Some(worker(|_| false)), ..Fake::default() });
    let (first, second) = (checkout(), checkout());
    let program = static_program(&first);
    let client = Client::new(&fake).with("exec", "true").with("exec-binary", program).with("download", "minimal");
    let (report, seen) = client.run(&first);
    let used = seen.remote.unwrap();
    assert_eq!((report.left_there, used.executed, used.fell_back, used.sent), (4, 3, 0, 3), "{:?}", seen.notices);
    assert!(first.packages().is_empty() && used.bytes_down < 64 << 10, "records alone: {}", used.bytes_down);
    let (report, seen) = Client::new(&fake).run(&second);
    assert_eq!((report.restored, seen.segments_made, seen.remote.unwrap().hits), (4, 0, 3));
    assert!(second.packages() == expected(&second));
}
