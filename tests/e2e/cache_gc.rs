//! The cache is counted, brought down, verified and cleared, also while builds run, and no build ever suffers for it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use expert_build::ops::cache::{self, Collect};
use expert_build::ops::workspace::{Setup, Workspace};

use crate::cache_shared::run;
use crate::expert::Expert;
use crate::space::{Space, files_below};

fn experts() -> Vec<Expert> {
    let text =
        |name: &str| (0..9000_u32).map(|i| format!("{name} {}\n", i.wrapping_mul(2_654_435_761))).collect::<String>();
    ["alpha", "beta", "gamma"].map(|name| Expert::lora(name).file("README.md", text(name))).into()
}

fn workspace(space: &Space) -> Workspace {
    let setup = Setup { directory: space.path(""), cache_dir: space.outer("cache"), ..Setup::default() };
    Workspace::open(setup).unwrap()
}

fn build(space: &Space) -> [usize; 4] {
    let (report, _) = run(&space.path(""), &space.outer("cache"));
    [report.built, report.restored, report.fresh, report.failed.len()]
}

/// Builds, and says so if that asked the cache for nothing.
fn settled(space: &Space) -> Option<()> {
    let builds = || cache::stats(&workspace(space)).unwrap().builds;
    let before = builds();
    build(space);
    (before > 0 && builds() == before).then_some(())
}

fn remove_packages(space: &Space) {
    space.packages().keys().for_each(|path| space.remove(path));
}

/// All that lies in the cache and has a name of its own.
fn cached(space: &Space) -> Vec<PathBuf> {
    let root = space.outer("cache/v1");
    let all = files_below(&root).into_iter();
    all.filter(|path| path.starts_with("results/") || path.starts_with("blobs/")).map(|path| root.join(path)).collect()
}

fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn figures_tell_what_is_there_and_what_it_saved() {
    let space = Space::with(&experts());
    assert_eq!(build(&space), [3, 0, 0, 0]);
    let first = cache::stats(&workspace(&space)).unwrap();
    assert_eq!((first.builds, first.hits, first.bytes_saved), (1, 0, 0));
    assert!(first.misses > 0 && first.results.files > 0 && first.blobs.files >= 3, "{first:?}");
    assert_eq!(first.results.files + first.blobs.files, cached(&space).len() as u64);
    assert_eq!((first.repos.files, first.max_bytes), (1, 20 << 30));
    remove_packages(&space);
    assert_eq!(build(&space), [0, 3, 0, 0]);
    let second = cache::stats(&workspace(&space)).unwrap();
    let size: usize = space.packages().iter().filter(|(p, _)| p.ends_with(".expert")).map(|(_, b)| b.len()).sum();
    assert_eq!((second.builds, second.bytes_saved), (2, size as u64), "what was restored was saved");
    assert!(second.hits > 0 && second.seconds_saved > 0.0 && second.misses == first.misses, "{second:?}");
    // A build with nothing to do asks the cache for nothing and counts for nothing.
    assert_eq!(build(&space), [0, 0, 3, 0]);
    assert_eq!(cache::stats(&workspace(&space)).unwrap(), second);
}

#[test]
fn what_is_collected_is_made_again_and_the_bytes_are_the_same() {
    let space = Space::with(&experts());
    build(&space);
    let packages = space.packages();
    cached(&space).iter().for_each(|path| age(path, 3));
    let none = Collect { max_bytes: Some(0), ..Collect::default() };
    let collected = cache::collect(&workspace(&space), &none).unwrap();
    assert_eq!((collected.kept.files, collected.removed.files > 6), (0, true), "{collected:?}");
    assert!(cached(&space).is_empty());
    remove_packages(&space);
    assert_eq!(build(&space), [3, 0, 0, 0]);
    assert_eq!(space.packages(), packages);
}

#[test]
fn a_build_brings_the_cache_down_at_most_once_a_day() {
    let space = Space::with(&experts());
    // Until times prove that nothing changed, unchanged packages are looked up too, and so count as used.
    while settled(&space).is_none() {}
    let stamp = space.outer("cache/v1/collected");
    assert!(stamp.exists());
    cached(&space).iter().for_each(|path| age(path, 100));
    space.write("experts/alpha/README.md", "changed once");
    build(&space);
    let old = |days: u64| {
        let before = SystemTime::now() - Duration::from_secs(days * 86_400);
        cached(&space).iter().filter(|p| p.metadata().unwrap().modified().unwrap() < before).count()
    };
    assert!(old(90) > 3, "today it was looked at already");
    age(&stamp, 2);
    space.write("experts/alpha/README.md", "changed twice");
    build(&space);
    assert_eq!(old(90), 0);
    assert!(stamp.metadata().unwrap().modified().unwrap().elapsed().unwrap() < Duration::from_secs(3600));
    // Nothing to do: not even a look.
    while settled(&space).is_none() {}
    age(&stamp, 2);
    assert_eq!(build(&space)[2], 3);
    assert!(stamp.metadata().unwrap().modified().unwrap().elapsed().unwrap() > Duration::from_secs(86_400));
}

#[test]
fn the_expertfile_says_how_long_what_is_unused_is_kept() {
    let space = Space::with(&experts());
    build(&space);
    cached(&space).iter().for_each(|path| age(path, 40));
    let kept = cached(&space).len() as u64;
    let collect = || cache::collect(&workspace(&space), &Collect::default()).unwrap().removed.files;
    assert_eq!(collect(), 0, "90 days is what holds where nothing is said");
    space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[cache]\nmax-age = \"6 weeks\"\n");
    assert_eq!(collect(), 0);
    space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[cache]\nmax-age = \"39 days\"\n");
    let stats = cache::stats(&workspace(&space)).unwrap();
    assert_eq!(stats.max_age, 39 * 86_400);
    assert_eq!(collect(), kept);
    assert_eq!(cached(&space).len(), 0);
}

#[test]
fn damage_is_found_removed_and_made_good() {
    let space = Space::with(&experts());
    build(&space);
    let packages = space.packages();
    let clean = cache::verify(&workspace(&space), 2, &AtomicBool::new(false)).unwrap();
    assert_eq!((clean.checked.files, clean.damaged.len()), (cached(&space).len() as u64, 0));
    let damaged: Vec<PathBuf> = cached(&space).into_iter().step_by(2).collect();
    for path in &damaged {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(path, bytes).unwrap();
    }
    let found = cache::verify(&workspace(&space), 2, &AtomicBool::new(false)).unwrap();
    let mut expected: Vec<PathBuf> =
        damaged.iter().map(|p| p.strip_prefix(space.outer("cache")).unwrap().to_path_buf()).collect();
    let mut told = found.damaged.clone();
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
    assert!(damaged.iter().all(|path| !path.exists()));
    assert!(cache::verify(&workspace(&space), 2, &AtomicBool::new(false)).unwrap().damaged.is_empty());
    let stopped = cache::verify(&workspace(&space), 2, &AtomicBool::new(true)).unwrap_err();
    assert_eq!(stopped.exit_code(), 130);
    remove_packages(&space);
    let [built, restored, ..] = build(&space);
    assert_eq!(built + restored, 3);
    assert_eq!(space.packages(), packages);
}

#[test]
fn clearing_leaves_nothing_but_the_folders() {
    let space = Space::with(&experts());
    build(&space);
    let before = cached(&space).len() as u64;
    let cleared = cache::clear(&workspace(&space)).unwrap();
    assert_eq!((cleared.removed.files, cleared.repos), (before, 1));
    assert_eq!(files_below(&space.outer("cache")), ["CACHEDIR.TAG"]);
    assert_eq!(cache::path(&workspace(&space)), space.outer("cache"));
    remove_packages(&space);
    assert_eq!(build(&space), [3, 0, 0, 0]);
}

/// Another process clears the cache once during each build, each time a little later.
#[test]
fn builds_do_not_suffer_when_the_cache_is_cleared_under_their_hands() {
    let space = Space::with(&experts());
    build(&space);
    let packages = space.packages();
    let begun = AtomicUsize::new(0);
    const ROUNDS: usize = 40;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                while begun.load(Ordering::Acquire) < round {
                    std::thread::yield_now();
                }
                // From the build's first look to its end.
                let from = Instant::now();
                while from.elapsed() < Duration::from_micros(500 * round as u64) {
                    std::thread::yield_now();
                }
                cache::clear(&workspace(&space)).unwrap();
            }
        });
        for round in 1..=ROUNDS {
            remove_packages(&space);
            begun.store(round, Ordering::Release);
            let [built, restored, _, failed] = build(&space);
            assert_eq!((built + restored, failed), (3, 0));
            assert_eq!(space.packages(), packages);
        }
    });
}
