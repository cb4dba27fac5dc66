//! What a failure leaves: other experts, the index, the threads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use expert_build::base::Event;
use expert_build::base::event::Observer;
use expert_build::engine::job::Job;
use expert_build::engine::survey::Survey;
use expert_build::ops::build::{Options, build};
use expert_build::store::Index;

use crate::space::{Space, options};

const MEMBERS: &str = "[workspace]\nmembers = [\"experts/*\"]\n";

#[test]
fn an_expert_that_waited_for_a_failed_one_is_not_remembered_as_built() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    space.expert("experts/b", "b", 2, &["a"]);
    space.write("experts/a/weights/adapter_model.safetensors", b"broken");
    // Two times: what the first run remembers must not mislead the second.
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(30));
        let (report, _) = space.try_build(&options());
        let report = report.unwrap();
        assert_eq!(report.failed.len(), 1);
        assert_eq!((report.built, report.fresh, report.skipped), (0, 0, vec!["b".to_owned()]));
    }
    space.write("experts/a/weights/adapter_model.safetensors", &crate::space::weights(1));
    assert_eq!(space.build().built, 2);
}

/// Loses its listener in the middle of a run.
struct Breaks;

impl Observer for Breaks {
    fn on(&mut self, event: &Event) {
        assert!(!matches!(event, Event::TaskFinish { .. }), "on purpose");
    }
}

#[test]
fn an_observer_that_panics_does_not_leave_the_workers_waiting() {
    let space = Space::new(MEMBERS);
    for at in 0..8 {
        space.expert(&format!("experts/e{at}"), &format!("e{at}"), at, &[]);
    }
    let workspace = space.open();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let all: Vec<usize> = (0..workspace.repo.experts.len()).collect();
        let run = || build(&workspace, &all, &options(), &AtomicBool::new(false), &mut Breaks).is_ok();
        let _ = sender.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    });
    assert_eq!(receiver.recv_timeout(std::time::Duration::from_secs(60)), Ok(true));
}

#[test]
fn no_threads_are_one_thread() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    let (report, _) = space.try_build(&Options::default());
    assert_eq!(report.unwrap().built, 1);
}

#[test]
fn an_expert_that_is_no_longer_what_was_planned_fails() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    let target = space.open().targets(&[0]).unwrap().remove(0);
    let job = || Job::new(0, Arc::clone(&target), "".into(), Arc::new(Index::default()));
    let planned = job();
    planned.first_look().unwrap();
    planned.open().map(drop).unwrap();
    // There was no manifest when the plan was made: a plan without a task would else be "done".
    let text = space.read("experts/a/manifest.json");
    std::fs::remove_file(space.path("experts/a/manifest.json")).unwrap();
    let without = job();
    assert!(without.first_look().is_none());
    space.write("experts/a/manifest.json", &text);
    assert_eq!(without.open().map(drop).unwrap_err().diagnostics()[0].code.name, "file-missing");
    // It has two base models now, and the plan was made for one.
    let grown = job();
    grown.first_look().unwrap();
    let mut two = serde_json::from_slice::<serde_json::Value>(&text).unwrap();
    let model = serde_json::json!({ "name": "m", "adapters": two["adapters"] });
    two["schema_version"] = "2.0".into();
    two["base_models"] = serde_json::json!([model, model]);
    two["base_models"][1]["name"] = "n".into();
    space.write("experts/a/manifest.json", two.to_string().as_bytes());
    assert_eq!(grown.open().map(drop).unwrap_err().diagnostics()[0].code.name, "file-changed");
}

#[test]
fn what_comes_after_an_expert_with_unmet_requirements_is_skipped_too() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &["nobody"]);
    space.expert("experts/b", "b", 2, &["a"]);
    space.expert("experts/c", "c", 3, &["b"]);
    space.expert("experts/d", "d", 4, &[]);
    let (report, _) = space.try_build(&options());
    let report = report.unwrap();
    assert_eq!((report.built, report.failed.len(), report.exit_code()), (1, 1, 4));
    assert_eq!(report.skipped, ["b", "c"]);
}

#[test]
fn a_manifest_that_is_being_written_is_not_taken() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    let target = space.open().targets(&[0]).unwrap().remove(0);
    let mut text = space.read("experts/a/manifest.json");
    text.resize(8 << 20, b' ');
    space.write("experts/a/manifest.json", &text);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::File::options().append(true).open(space.path("experts/a/manifest.json")).unwrap();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut file, b" ").unwrap();
            }
        });
        let looked = (0..20).find_map(|_| Survey::take(&target).err());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(looked.expect("it changed").diagnostics()[0].code.name, "file-changed");
    });
    Survey::take(&target).unwrap();
}
