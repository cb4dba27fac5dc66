//! Two checkouts of one repo that share a cache, through the library, whose events say what was done.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use expert_build::base::Event;
use expert_build::base::event::{Observer, Status};
use expert_build::ops::build::{Options, Report, build};
use expert_build::ops::workspace::{Setup, Workspace};

use crate::expert::Expert;
use crate::space::Space;

/// So large that its packed bytes get their name when the package is written.
const BIG: u32 = 9 << 20;

/// What a run did.
#[derive(Default)]
pub struct Seen {
    /// Kind and status of each task, in the order of their ends.
    pub tasks: Vec<(&'static str, Status)>,
    pub artifacts: Vec<(String, Status, u64, u64)>,
    pub segments_made: u64,
    pub segments_reused: u64,
    kinds: std::collections::BTreeMap<usize, &'static str>,
}

impl Observer for Seen {
    fn on(&mut self, event: &Event) {
        match event {
            Event::TaskStart { id, task, .. } => drop(self.kinds.insert(*id, task)),
            Event::TaskFinish { id, status, segments_made, segments_reused, .. } => {
                self.segments_made += segments_made;
                self.segments_reused += segments_reused;
                self.tasks.push((self.kinds[id], *status));
            }
            Event::Artifact { expert, status, segments_made, segments_reused, .. } => {
                self.artifacts.push((expert.clone(), *status, *segments_made, *segments_reused));
            }
            _ => {}
        }
    }
}

/// Builds all of a repo with the library.
pub fn run(repo: &Path, cache: &Path) -> (Report, Seen) {
    let setup = Setup { directory: repo.into(), cache_dir: cache.into(), ..Setup::default() };
    let workspace = Workspace::open(setup).unwrap();
    // More threads than experts, so that the names of big blobs are put off.
    let options = Options { jobs: 4, ..Options::default() };
    let mut seen = Seen::default();
    let report = build(&workspace, &workspace.defaults(), &options, &AtomicBool::new(false), &mut seen).unwrap();
    (report, seen)
}

/// So large that its segments are kept in the cache one by one.
fn big() -> Vec<u8> {
    (0..BIG).map(|i| (i.wrapping_mul(2_654_435_761) >> 27) as u8).collect()
}

fn checkout() -> Space {
    let big = big();
    Space::with(&[Expert::lora("a").soft_prompt("x").file("vocab.model", &big), Expert::two_models("b")])
}

#[test]
fn a_fresh_checkout_with_a_warm_cache_restores_and_makes_nothing() {
    let (first, second) = (checkout(), checkout());
    let cache = first.outer("cache");
    let (report, seen) = run(&first.path(""), &cache);
    assert_eq!((report.built, report.restored, report.fresh), (3, 0, 0));
    assert!(seen.segments_made > 0);

    let (report, seen) = run(&second.path(""), &cache);
    assert_eq!((report.built, report.restored, report.fresh), (0, 3, 0));
    assert_eq!(seen.segments_made, 0, "nothing is compressed");
    let made: Vec<_> = seen
        .tasks
        .iter()
        .filter(|(kind, status)| matches!(*kind, "compose" | "archive") && *status != Status::Cached)
        .collect();
    assert!(made.is_empty(), "{:?}", seen.tasks);
    assert!(seen.artifacts.iter().all(|(_, status, made, _)| *status == Status::Cached && *made == 0));
    assert!(first.packages() == second.packages());

    let (report, seen) = run(&second.path(""), &cache);
    assert_eq!((report.built, report.restored, report.fresh), (0, 0, 3));
    assert!(seen.tasks.is_empty(), "{:?}", seen.tasks);
}

#[test]
fn one_readme_changed_in_the_other_checkout_compresses_the_readme_alone() {
    let (first, second) = (checkout(), checkout());
    let cache = first.outer("cache");
    run(&first.path(""), &cache);
    second.write("experts/a/README.md", "# Another title\n");
    let (report, seen) = run(&second.path(""), &cache);
    assert_eq!((report.built, report.restored), (1, 2));
    let made = seen.artifacts.iter().find(|(expert, ..)| expert == "a").unwrap();
    assert_eq!(made.1, Status::Done);
    let of_big = u64::from(BIG >> 20);
    let (made, reused) = (seen.segments_made, seen.segments_reused);
    assert!(reused >= of_big && made < of_big, "{made} made, {reused} reused of a file of {of_big}");
}

#[test]
fn the_same_file_in_two_experts_is_compressed_once() {
    let big = big();
    let one = Space::with(&[Expert::lora("a").file("vocab.model", &big)]);
    let two = Space::with(&[Expert::lora("a").file("vocab.model", &big), Expert::lora("b").file("vocab.model", &big)]);
    let (_, alone) = run(&one.path(""), &one.outer("cache"));
    let (_, both) = run(&two.path(""), &two.outer("cache"));
    let of_big = u64::from(BIG >> 20);
    assert!(
        both.segments_made + of_big <= 2 * alone.segments_made,
        "{} for two, {} for one",
        both.segments_made,
        alone.segments_made
    );
}

/// What was packed for an expert that is refused in the end is there when the fault is mended.
#[test]
fn a_refused_expert_leaves_its_packed_files_to_the_next_run() {
    let space = Space::with(&[Expert::lora("a").file("vocab.model", big())]);
    let deny = "[workspace]\nmembers = [\"experts/*\"]\n[defaults.lints]\n\"weights-not-finite\" = \"deny\"\n";
    space.write("Expertfile.toml", deny);
    let weights = "experts/a/adapter_model.safetensors";
    let good = space.read(weights);
    let mut bad = good.clone();
    let end = bad.len();
    bad[end - 4..].fill(0xff);
    space.write(weights, &bad);
    let (report, seen) = run(&space.path(""), &space.outer("cache"));
    assert_eq!((report.built, report.failed.len()), (0, 1));
    let of_big = u64::from(BIG >> 20);
    assert!(seen.segments_made >= of_big, "{} were made", seen.segments_made);

    space.write(weights, &good);
    let (report, seen) = run(&space.path(""), &space.outer("cache"));
    assert_eq!((report.built, report.failed.len()), (1, 0));
    let (made, reused) = (seen.segments_made, seen.segments_reused);
    assert!(reused >= of_big && made < of_big, "{made} made, {reused} reused of a file of {of_big}");
}

/// The same, as a script that reads `--message-format json` sees it.
#[test]
fn the_events_of_the_program_say_so_too() {
    let (first, mut second) = (checkout(), checkout());
    second.share_cache(&first);
    let events = |space: &Space| -> Vec<serde_json::Value> {
        let ran = space.run("--message-format json build").ok();
        let events: Vec<serde_json::Value> =
            ran.stdout.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
        assert!(events.iter().all(|event| event["v"] == 1), "{}", ran.stdout);
        assert_eq!(events.first().unwrap()["reason"], "run-start");
        assert_eq!(events.last().unwrap()["reason"], "run-finish");
        events
    };
    let of = |events: &[serde_json::Value], reason: &str, key: &str| -> Vec<String> {
        let wanted = events.iter().filter(|event| event["reason"] == reason);
        wanted.map(|event| event[key].as_str().expect("a text").to_owned()).collect()
    };
    let made = events(&first);
    assert_eq!(of(&made, "artifact", "status"), ["done"; 3]);
    assert_eq!(made.last().unwrap()["built"], 3);
    let restored = events(&second);
    assert_eq!(of(&restored, "artifact", "status"), ["cached"; 3]);
    assert_eq!(restored.last().unwrap()["restored"], 3);
    assert_eq!(restored.last().unwrap()["cache_misses"], 0, "every result was in the cache");
    let segments: u64 = restored.iter().filter_map(|event| event["segments_made"].as_u64()).sum();
    assert_eq!(segments, 0);
    let again = events(&second);
    assert!(of(&again, "task-start", "task").is_empty() && of(&again, "artifact", "path").is_empty());
}
