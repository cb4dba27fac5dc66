//! `--watch`, by real events of the file system: what is saved is built, soon and never half-written.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use expert_build::base::Error;
use expert_build::ops::build::{Options, Report, build};
use expert_build::ops::watch::{Cycle, watch};
use expert_build::ops::workspace::{Setup, Workspace};

use crate::expert::Expert;
use crate::space::Space;

/// What one build of the watch did: what it was for, and packages built, unchanged or up to date, failed.
type Told = (Cycle, Result<[usize; 3], u8>);

/// Longer than anything takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(20);

/// Watches a repo while `act` works in it.
fn watching(space: &Space, act: impl FnOnce(&dyn Fn() -> Told)) {
    let setup = Setup { directory: space.path(""), cache_dir: space.outer("cache"), ..Setup::default() };
    let stop = AtomicBool::new(false);
    // Written by every build, as a report is: to build again for it would never end.
    let report = space.path("report.json");
    let (sender, told): (_, Receiver<Told>) = channel();
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut once = |cycle: &Cycle| {
                let outcome = one(&setup, &stop);
                std::fs::write(&report, format!("{cycle:?}")).expect("written");
                let counts = |r: &Report| [r.built, r.fresh + r.restored, r.failed.len()];
                let _ = sender.send((cycle.clone(), outcome.as_ref().map(counts).map_err(Error::exit_code)));
                outcome
            };
            watch(&setup, std::slice::from_ref(&report), &mut once, &stop)
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            act(&|| told.recv_timeout(LONG).expect("a build"));
        }));
        stop.store(true, Ordering::Relaxed);
        let ended = watcher.join().expect("no panic");
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        assert_eq!(ended.unwrap_err().exit_code(), 130);
    });
}

fn one(setup: &Setup, stop: &AtomicBool) -> Result<Report, Error> {
    let workspace = Workspace::open(setup.clone())?;
    let options = Options { jobs: 2, keep_going: true, ..Options::default() };
    build(&workspace, &workspace.defaults(), &options, stop, &mut ())
}

fn two() -> Space {
    Space::with(&[Expert::lora("alpha"), Expert::lora("beta")])
}

/// The next build that had something to build: a save may be heard of twice.
fn next_work(next: &dyn Fn() -> Told) -> Told {
    loop {
        let told = next();
        if !matches!(told.1, Ok([0, _, 0])) {
            return told;
        }
    }
}

#[test]
fn a_save_is_built_within_a_second_and_so_is_a_file_replaced_by_renaming() {
    let space = two();
    watching(&space, |next| {
        assert_eq!(next(), (Cycle { number: 1, changed: vec![] }, Ok([2, 0, 0])));
        let saved = Instant::now();
        space.write("experts/alpha/README.md", "saved");
        let (cycle, did) = next();
        let took = saved.elapsed();
        assert_eq!((cycle.number, did), (2, Ok([1, 1, 0])));
        assert_eq!(cycle.changed, ["experts/alpha/README.md"], "our own outputs are no changes");
        assert!(took < Duration::from_secs(1), "{took:?}");
        // As vim does it: a backup, a new file, the backup removed.
        for round in 0..2 {
            let (file, backup) = (space.path("experts/beta/README.md"), space.path("experts/beta/README.md~"));
            space.write("experts/beta/4913", "");
            space.remove("experts/beta/4913");
            std::fs::rename(&file, &backup).unwrap();
            space.write("experts/beta/README.md", format!("saved by vim {round}"));
            std::fs::remove_file(&backup).unwrap();
            assert_eq!(next_work(next).1, Ok([1, 1, 0]));
            // As others do it: a new file beside it, renamed over it.
            space.write("experts/beta/new.tmp", format!("saved by renaming {round}"));
            std::fs::rename(space.path("experts/beta/new.tmp"), &file).unwrap();
            assert_eq!(next_work(next).1, Ok([1, 1, 0]));
        }
    });
    let (report, _) = crate::cache_shared::run(&space.path(""), &space.outer("cache"));
    assert_eq!((report.built, report.fresh), (0, 2), "all of it is built");
}

#[test]
fn a_file_is_not_built_before_it_is_whole() {
    let space = two();
    let weights = space.read("experts/alpha/adapter_model.safetensors");
    watching(&space, |next| {
        assert_eq!(next().1, Ok([2, 0, 0]));
        let path: PathBuf = space.path("experts/alpha/adapter_model.safetensors");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&weights[..weights.len() / 2]).unwrap();
        file.sync_all().unwrap();
        // The writer takes its time: much longer than it must be quiet.
        std::thread::sleep(Duration::from_millis(700));
        file.write_all(&weights[weights.len() / 2..]).unwrap();
        drop(file);
        let (cycle, did) = next();
        assert_eq!(cycle.number, 2);
        assert_eq!(did, Ok([0, 2, 0]), "half of it would not have been valid");
    });
}

#[test]
fn new_experts_and_broken_expertfiles_are_lived_with() {
    let space = two();
    watching(&space, |next| {
        assert_eq!(next().1, Ok([2, 0, 0]));
        let good = space.read("Expertfile.toml");
        space.write("Expertfile.toml", "[workspace\n");
        assert_eq!(next_work(next).1, Err(2));
        space.write("Expertfile.toml", good);
        assert_eq!(next().1, Ok([0, 2, 0]));
        // Made beside and moved in whole, or written file by file: it is built in the end.
        space.add("experts/gamma", &Expert::lora("gamma"));
        loop {
            match next().1 {
                Ok([1, 2, 0]) => break,
                other => assert!(!matches!(other, Ok([built, ..]) if built > 1), "{other:?}"),
            }
        }
        space.write("experts/gamma/README.md", "a folder that was not there when the watch began");
        assert_eq!(next_work(next).1, Ok([1, 2, 0]));
        space.write("experts/gamma/manifest.json", "{");
        assert_eq!(next_work(next).1, Ok([0, 2, 1]));
    });
}

#[test]
fn a_repo_that_cannot_be_read_to_begin_with_is_an_error() {
    let space = Space::new();
    space.write("Expertfile.toml", "[workspace\n");
    let setup = Setup { directory: space.path(""), cache_dir: space.outer("cache"), ..Setup::default() };
    let mut never = |_: &Cycle| panic!("nothing to build");
    assert_eq!(watch(&setup, &[], &mut never, &AtomicBool::new(false)).unwrap_err().exit_code(), 2);
}
