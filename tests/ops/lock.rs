//! Locked versions keep their bytes; budgets, growth, two experts with one output, copied weights.

use std::sync::atomic::AtomicBool;

use expert_build::base::{Error, Event, Severity};
use expert_build::ops::build::{Options, Report, build};
use expert_build::ops::lock::{Written, lock};
use expert_build::ops::locked::load;

use crate::space::{Space, options, weights};

const FILE: &str = "[workspace]\nmembers = [\"experts/*\"]\n";
const PACKAGE: &str = "experts/a/weights/alpha.v1.0.0.expert";

fn two(file: &str) -> Space {
    let space = Space::new(file);
    space.expert("experts/a", "alpha", 1, &[]);
    space.expert("experts/b", "beta", 2, &[]);
    space
}

fn write_lock(space: &Space, chosen: &[usize]) -> Written {
    let never = AtomicBool::new(false);
    let (report, written) = lock(&space.open(), chosen, &options(), &never, &mut ()).unwrap();
    assert!(report.failed.is_empty());
    written.expect("nothing failed")
}

fn locked(space: &Space) -> Report {
    let (report, _) = space.try_build(&Options { locked: true, ..options() });
    report.unwrap()
}

/// The findings of a run, as `code: message`.
fn told(events: &[Event], severity: Severity) -> Vec<String> {
    let found = events.iter().filter_map(|event| match event {
        Event::Diagnostic(found) if found.severity == severity => {
            Some(format!("{}: {}", found.code.name, found.message))
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn content_changed_version_did_not() {
    let space = two(FILE);
    let (report, _) = space.try_build(&Options { locked: true, ..options() });
    assert!(matches!(report, Err(Error::Usage { .. })), "there is no lock file yet");
    let written = write_lock(&space, &[0, 1]);
    assert_eq!((written.packages, &written.changed[..]), (2, &["alpha 1.0.0".to_owned(), "beta 1.0.0".to_owned()][..]));
    assert!(write_lock(&space, &[0, 1]).changed.is_empty());
    let file = load(&space.open()).unwrap().unwrap();
    let entry = file.packages.values().next().unwrap();
    assert_eq!(
        entry.inputs.keys().collect::<Vec<_>>(),
        ["README.md", "manifest.json", "weights/adapter_model.safetensors"]
    );
    assert_eq!(entry.bytes, space.read(PACKAGE).len() as u64);
    assert_eq!(locked(&space).exit_code(), 0);

    let before = space.read(PACKAGE);
    space.write("experts/a/README.md", b"# other\n");
    let (report, events) = space.try_build(&Options { locked: true, ..options() });
    let report = report.unwrap();
    assert_eq!((report.exit_code(), report.failed.len()), (1, 1));
    assert!(matches!(report.failed[0].1, Error::Differs(_)));
    let errors = told(&events, Severity::Error);
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].starts_with("locked-content-changed: content changed, version did not: `alpha` 1.0.0 would be "),
        "{errors:?}"
    );
    assert!(errors[0].contains("; `README.md` changed (") && !errors[0].contains("manifest.json"), "{errors:?}");
    assert_eq!(space.read(PACKAGE), before, "the locked package is still there");

    // Built without the flag, it is up to date; with it, that is still not what was locked.
    space.build();
    assert_ne!(space.read(PACKAGE), before);
    assert_eq!(locked(&space).exit_code(), 1);
    // From the cache it comes no further.
    std::fs::remove_file(space.path(PACKAGE)).unwrap();
    assert_eq!(locked(&space).exit_code(), 1);
    assert!(!space.path(PACKAGE).exists());
    // A new version is free.
    space.manifest("experts/a", "alpha", "1.0.1", &[]);
    assert_eq!(locked(&space).exit_code(), 0);
    assert_eq!(write_lock(&space, &[0]).changed, ["alpha 1.0.1"]);
    assert_eq!(load(&space.open()).unwrap().unwrap().packages.len(), 2, "beta was kept");
    std::fs::remove_dir_all(space.path("experts/b")).unwrap();
    assert_eq!(write_lock(&space, &[0]).packages, 1, "beta is gone");
}

#[test]
fn budgets_hold_for_what_is_built_and_for_what_stands() {
    let space = two(FILE);
    space.build();
    let size = space.read(PACKAGE).len();
    let with = |keys: &str| {
        space.write("Expertfile.toml", format!("{FILE}[[expert]]\npath = \"experts/a\"\n{keys}").as_bytes())
    };
    with(&format!("budget = {size}\n"));
    space.build();
    with(&format!("budget = {}\n", size - 1));
    let (report, events) = space.try_build(&options());
    assert_eq!(report.unwrap().exit_code(), 11);
    assert_eq!(
        told(&events, Severity::Error),
        [format!("package-over-budget: the package has {size} bytes, 1 over its budget of {}", size - 1)]
    );
    with(&format!("budget = {}\nlints.\"package-over-budget\" = \"warn\"\n", size - 1));
    let (report, events) = space.try_build(&options());
    assert_eq!(report.unwrap().exit_code(), 0);
    assert!(
        told(&events, Severity::Warning).iter().any(|line| line.starts_with("package-over-budget: ")),
        "{events:?}"
    );

    with("growth = \"10%\"\n");
    write_lock(&space, &[0, 1]);
    let noise: Vec<u8> = (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::remove_file(space.path(PACKAGE)).unwrap();
    space.write("experts/a/README.md", &noise);
    let (report, events) = space.try_build(&options());
    assert_eq!(report.unwrap().exit_code(), 11);
    assert!(told(&events, Severity::Error)[0].starts_with("package-growth: "), "{events:?}");
    assert!(!space.path(PACKAGE).exists());
    // That is how it is agreed to.
    assert_eq!(write_lock(&space, &[0, 1]).changed, ["alpha 1.0.0"]);
    space.build();
}

#[test]
fn a_lock_file_that_nobody_can_read_is_written_anew_by_a_lock_of_all() {
    let space = two(FILE);
    write_lock(&space, &[0, 1]);
    let good = space.read("Expertfile.lock");
    let never = AtomicBool::new(false);
    for bad in [&b"<<<<<<< HEAD\n"[..], b"\xff", b"version = 7\n"] {
        space.write("Expertfile.lock", bad);
        let refused = lock(&space.open(), &[0], &options(), &never, &mut ()).unwrap_err();
        assert!(matches!(refused, Error::Usage { .. }), "what it says of `beta` would be lost");
        assert_eq!(space.read("Expertfile.lock"), bad);
        let mut events = Vec::new();
        let (_, written) = lock(&space.open(), &[0, 1], &options(), &never, &mut events).unwrap();
        assert_eq!(written.unwrap().packages, 2);
        let told =
            |event: &Event| matches!(event, Event::Notice { message } if message.ends_with("it is written anew"));
        assert!(events.iter().any(told), "{events:?}");
        assert_eq!(space.read("Expertfile.lock"), good);
    }
}

#[test]
fn two_experts_do_not_write_one_file() {
    let space = two("[workspace]\nmembers = [\"experts/*\"]\nout-dir = \"dist\"\n[defaults]\nname = \"all.expert\"\n");
    // What was written in the build's own tick is not believed later.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let (report, events) = space.try_build(&options());
    let report = report.unwrap();
    assert_eq!((report.exit_code(), report.failed.len(), report.built), (4, 1, 1));
    let clash = told(&events, Severity::Error).remove(0);
    assert!(
        clash.starts_with("duplicate-expert: ") && clash.ends_with("is also that of the expert in `experts/a`"),
        "{clash}"
    );
    // The one that stands there already counts as well, chosen or not.
    let alone = build(&space.open(), &[1], &options(), &AtomicBool::new(false), &mut ()).unwrap();
    assert_eq!((alone.exit_code(), alone.built), (4, 0));
    // Without `-k` nothing is written at all.
    std::fs::remove_file(space.path("dist/all.expert")).unwrap();
    let (report, _) = space.try_build(&Options { keep_going: false, ..options() });
    assert!(matches!(report, Err(Error::Requirements(_))));
    assert!(!space.path("dist/all.expert").exists());
}

#[test]
fn copied_weights_are_told_where_they_came_to_be() {
    let space = two(FILE);
    space.build();
    space.expert("experts/c", "gamma", 2, &[]);
    let (report, events) = space.try_build(&options());
    assert_eq!(report.unwrap().exit_code(), 0);
    let copy = "weights-copy: the tensors are those of `beta` (`weights/adapter_model.safetensors`)";
    assert_eq!(told(&events, Severity::Warning).iter().filter(|line| *line == copy).count(), 1, "{events:?}");
    std::thread::sleep(std::time::Duration::from_millis(30));
    space.write("experts/c/README.md", b"# not news\n");
    let (_, events) = space.try_build(&options());
    assert!(!told(&events, Severity::Warning).contains(&copy.to_owned()), "told once");
    // A strict repo does not let it pass, however often it is asked; the cache knows the weights as well.
    space.write("Expertfile.toml", format!("{FILE}[defaults.lints]\n\"weights-copy\" = \"deny\"\n").as_bytes());
    space.write("experts/b/weights/adapter_model.safetensors", &weights(5));
    space.build();
    space.write("experts/b/weights/adapter_model.safetensors", &weights(1));
    for _ in 0..2 {
        let (report, _) = space.try_build(&options());
        assert_eq!(report.unwrap().exit_code(), 11);
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
}
