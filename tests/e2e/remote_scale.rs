//! What workers do for 10, 1,000 and 100,000 experts, simulated: one machine of two cores, a line, 0, 10 or 100 workers.
//!
//! Time is a number here; what decides is the program's own: the [plan](Plan) says what comes after what, [`most_open`] how many
//! experts are open at once, [`Link::may_execute`] which of them travel. The rates were measured with a release build over one
//! package of 1 GiB of bfloat16 (CPU seconds of user and kernel), buildbox-casd at the other end. The table that comes out is the
//! one in the head of `engine::remote`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use expert_build::base::Sha256;
use expert_build::engine::plan::{Plan, Shape, Task};
use expert_build::engine::remote::link::{CARRIED, Carrying, Executing};
use expert_build::engine::remote::{Link, Policy, Worker};
use expert_build::engine::schedule::most_open;
use expert_build::store::LocalCache;
use expert_build::store::remote::CasDigest;

use crate::remote_fake::Fake;

/// An expert's weights, and what becomes of them.
const SOURCE: u64 = 20 << 20;
const PACKED: u64 = SOURCE / 5 * 4;
/// The machine that asks.
const CORES: usize = 2;
const AWAY: usize = 16;
/// Microseconds: a round trip, the start of a sandbox, all small files of an expert together.
const ROUND_TRIP: u64 = 20_000;
const SANDBOX: u64 = 100_000;
const SMALL: u64 = 600;
/// What one core does in a second, in MiB of source: hashes and values in one reading, values alone, all that and packing,
/// packing what has a name, putting a package together.
const NAME: u64 = 690;
const LOOK: u64 = 1_360;
const WHOLE: u64 = 310;
const PACK: u64 = 410;
const ASSEMBLE: u64 = 1_090;
/// The same for what goes to a worker and comes from it.
const SEND: u64 = 2_000;
const RECEIVE: u64 = 820;
const PROVE_GZIP: u64 = 256;
const PROVE_ZSTD: u64 = 1_700;

/// What a simulation is of.
#[derive(Clone, Copy)]
struct Scene {
    name: &'static str,
    /// MiB a second, each way.
    line: u64,
    prove: u64,
    /// Are the inputs there already?
    there: bool,
    /// Do the packages stay there?
    minimal: bool,
    /// Does the index know the names of the files?
    known: bool,
}

const SCENES: [Scene; 5] = [
    Scene {
        name: "gzip, inputs sent, 1 Gbit/s",
        line: 110,
        prove: PROVE_GZIP,
        there: false,
        minimal: false,
        known: false,
    },
    Scene {
        name: "zstd, inputs sent, 10 Gbit/s",
        line: 1_100,
        prove: PROVE_ZSTD,
        there: false,
        minimal: false,
        known: false,
    },
    Scene {
        name: "zstd, inputs there, names known, 10 Gbit/s",
        line: 1_100,
        prove: PROVE_ZSTD,
        there: true,
        minimal: false,
        known: true,
    },
    Scene {
        name: "inputs there, packages stay",
        line: 110,
        prove: PROVE_GZIP,
        there: true,
        minimal: true,
        known: false,
    },
    Scene {
        name: "inputs there, packages stay, names known",
        line: 110,
        prove: PROVE_GZIP,
        there: true,
        minimal: true,
        known: true,
    },
];

fn took(bytes: u64, rate: u64) -> u64 {
    bytes * 1_000_000 / (rate << 20)
}

/// What a task does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// So long on a core of this machine.
    Here(u64),
    /// So long somewhere else.
    Away(u64),
    Up(u64),
    Down(u64),
    /// Is there a worker for it?
    Ask,
    /// Its bytes are on their way, and no longer.
    Carry,
    Carried,
    Free,
}

/// A task on its way.
struct Run<'l> {
    id: usize,
    steps: VecDeque<Step>,
    right: Option<Executing<'l>>,
    carrying: Option<Carrying<'l>>,
    /// Has it a core?
    works: bool,
}

/// What is to be known of a simulation afterwards.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    wall: u64,
    finished: usize,
    executed: usize,
    most_away: usize,
    /// Microseconds that cores, and the line each way, were used.
    core: u64,
    up: u64,
    down: u64,
}

struct World<'w> {
    scene: Scene,
    plan: &'w Plan,
    link: &'w Link,
    workers: usize,
    now: u64,
    waits: Vec<u32>,
    queue: BTreeSet<usize>,
    to_begin: Box<dyn Iterator<Item = std::ops::Range<usize>> + 'w>,
    open: usize,
    left: Vec<u32>,
    runs: BTreeMap<usize, Run<'w>>,
    begun: usize,
    working: usize,
    returning: VecDeque<(usize, u64)>,
    events: BinaryHeap<Reverse<(u64, usize)>>,
    up_free: u64,
    down_free: u64,
    by_worker: BTreeSet<usize>,
    executing: usize,
    outcome: Outcome,
}

fn simulate(scene: Scene, experts: usize, workers: usize) -> Outcome {
    let shapes = vec![Shape { files: vec![false], packages: 1, signed: false, after: Vec::new() }; experts];
    let plan = Plan::new(&shapes, true);
    let digest = CasDigest { sha256: Sha256::of(b""), size: 0 };
    let worker = Worker { program: PathBuf::new(), digest, jobs: workers };
    let policy = Policy { worker: (workers > 0).then_some(worker), away: AWAY.max(workers), ..Policy::default() };
    let link = Link::new(Arc::new(Fake::default()), policy, Arc::new(LocalCache::new("/nowhere")));
    let world = World {
        scene,
        plan: &plan,
        link: &link,
        workers,
        now: 0,
        waits: plan.waits(),
        queue: BTreeSet::new(),
        to_begin: Box::new(plan.first()),
        open: 0,
        left: plan.jobs().map(|(_, tasks)| tasks.len() as u32).collect(),
        runs: BTreeMap::new(),
        begun: 0,
        working: 0,
        returning: VecDeque::new(),
        events: BinaryHeap::new(),
        up_free: 0,
        down_free: 0,
        by_worker: BTreeSet::new(),
        executing: 0,
        outcome: Outcome::default(),
    };
    world.run()
}

impl World<'_> {
    fn run(mut self) -> Outcome {
        self.begin_more();
        self.give_cores();
        while let Some(Reverse((at, run))) = self.events.pop() {
            self.now = at;
            self.go_on(run);
            self.give_cores();
        }
        assert!(self.runs.is_empty() && self.queue.is_empty() && self.returning.is_empty(), "nothing is left behind");
        self.outcome.wall = self.now;
        self.outcome
    }

    fn begin_more(&mut self) {
        while self.open < most_open(CORES, self.link.workers()) {
            let Some(first) = self.to_begin.next() else { return };
            self.open += 1;
            self.queue.extend(first);
        }
    }

    /// As the pool does: who was away goes first, then the lowest task; and there are only so many threads.
    fn give_cores(&mut self) {
        while self.working < CORES {
            if let Some((run, micros)) = self.returning.pop_front() {
                self.working += 1;
                self.runs.get_mut(&run).unwrap().works = true;
                self.outcome.core += micros;
                self.events.push(Reverse((self.now + micros, run)));
            } else if self.runs.len() < CORES + self.link.policy.away
                && let Some(id) = self.queue.pop_first()
            {
                self.working += 1;
                self.begun += 1;
                let steps = self.steps(self.plan.task(id));
                self.runs.insert(self.begun, Run { id, steps, right: None, carrying: None, works: true });
                self.go_on(self.begun);
            } else {
                return;
            }
        }
    }

    fn steps(&self, task: Task) -> VecDeque<Step> {
        let (scene, alone) = (self.scene, self.workers == 0);
        let here = |rate| Step::Here(took(SOURCE, rate));
        match task {
            Task::Headers { .. } => [Step::Here(SMALL)].into(),
            Task::Hash { .. } if alone => [here(WHOLE)].into(),
            Task::Hash { .. } => match (scene.known, scene.minimal) {
                (true, true) => [here(LOOK)].into(),
                (true, false) => [].into(),
                (false, _) => [here(NAME)].into(),
            },
            // The expert is asked for, then its big file, then a worker.
            Task::Contents { .. } if alone => [].into(),
            Task::Contents { .. } => [Step::Away(2 * ROUND_TRIP), Step::Ask].into(),
            Task::Archive { job, .. } => match (self.by_worker.contains(&job), alone) {
                (true, _) if scene.minimal => [].into(),
                (true, _) | (_, true) => [here(ASSEMBLE)].into(),
                (false, false) => [here(PACK), here(ASSEMBLE)].into(),
            },
            Task::Compose { .. } | Task::Sign { .. } => [].into(),
        }
    }

    /// What it takes to have a worker do it.
    fn journey(&self) -> Vec<Step> {
        let (scene, here) = (self.scene, |rate| Step::Here(took(SOURCE, rate)));
        let mut steps = vec![Step::Carry, Step::Away(ROUND_TRIP)];
        if !scene.there {
            steps.extend([here(SEND), Step::Up(SOURCE)]);
        }
        steps.extend([Step::Carried, Step::Away(ROUND_TRIP + SANDBOX + took(SOURCE, WHOLE) + took(SOURCE, ASSEMBLE))]);
        if !scene.minimal {
            steps.extend([Step::Carry, Step::Away(ROUND_TRIP), Step::Down(PACKED), here(RECEIVE), Step::Carried]);
            steps.push(here(scene.prove));
        }
        steps.push(Step::Free);
        steps
    }

    fn go_on(&mut self, run: usize) {
        loop {
            let now = self.now;
            let Some(step) = self.runs.get_mut(&run).unwrap().steps.pop_front() else {
                return self.ended(run);
            };
            let until = match step {
                Step::Here(micros) if self.runs[&run].works => {
                    self.outcome.core += micros;
                    now + micros
                }
                Step::Here(micros) => return self.returning.push_back((run, micros)),
                Step::Away(micros) => now + micros,
                Step::Up(bytes) => {
                    let micros = took(bytes, self.scene.line);
                    self.outcome.up += micros;
                    self.up_free = self.up_free.max(now) + micros;
                    self.up_free
                }
                Step::Down(bytes) => {
                    let micros = took(bytes, self.scene.line);
                    self.outcome.down += micros;
                    self.down_free = self.down_free.max(now) + micros;
                    self.down_free
                }
                Step::Ask => {
                    if let Some(right) = self.link.may_execute() {
                        let journey = self.journey();
                        let job = self.plan.task(self.runs[&run].id).job();
                        let run = self.runs.get_mut(&run).unwrap();
                        (run.right, run.steps) = (Some(right), journey.into());
                        self.by_worker.insert(job);
                        self.executing += 1;
                        self.outcome.executed += 1;
                        self.outcome.most_away = self.outcome.most_away.max(self.executing);
                    }
                    continue;
                }
                Step::Carry | Step::Carried => {
                    let carrying = (step == Step::Carry).then(|| self.link.carry());
                    self.runs.get_mut(&run).unwrap().carrying = carrying;
                    continue;
                }
                Step::Free => {
                    self.runs.get_mut(&run).unwrap().right = None;
                    self.executing -= 1;
                    continue;
                }
            };
            if !matches!(step, Step::Here(_)) && std::mem::take(&mut self.runs.get_mut(&run).unwrap().works) {
                self.working -= 1;
            }
            return self.events.push(Reverse((until, run)));
        }
    }

    fn ended(&mut self, run: usize) {
        let Run { id, works, .. } = self.runs.remove(&run).unwrap();
        self.working -= usize::from(works);
        let job = self.plan.task(id).job();
        self.left[job] -= 1;
        for next in self.plan.after(id) {
            self.waits[next] -= 1;
            if self.waits[next] == 0 {
                self.queue.insert(next);
            }
        }
        if self.left[job] == 0 {
            self.outcome.finished += 1;
            self.open -= 1;
            self.begin_more();
        }
    }
}

/// What must hold of every outcome, whatever the rates.
fn check(scene: Scene, experts: usize, workers: usize, outcome: &Outcome, alone: &Outcome) {
    let what = format!("{}, {experts} experts, {workers} workers: {outcome:?}, alone {alone:?}", scene.name);
    assert_eq!(outcome.finished, experts, "each is built, once: {what}");
    assert!(outcome.executed <= experts && outcome.most_away <= workers, "{what}");
    // Nobody does more than there is time for, and what is carried is what was asked to travel.
    assert!(outcome.core <= outcome.wall * CORES as u64, "{what}");
    assert!(outcome.up <= outcome.wall && outcome.down <= outcome.wall, "the line is the limit: {what}");
    let carried = |bytes, does| if does { outcome.executed as u64 * took(bytes, scene.line) } else { 0 };
    assert_eq!(outcome.up, carried(SOURCE, !scene.there), "{what}");
    assert_eq!(outcome.down, carried(PACKED, !scene.minimal), "{what}");
    // Cores idle only while everything else is away: at the end, or where no more may be open.
    let way = ROUND_TRIP * 8 + SANDBOX + took(SOURCE, WHOLE) + took(SOURCE, ASSEMBLE);
    let carried = CARRIED as u64 * (took(SOURCE, scene.line) + took(PACKED, scene.line));
    let at_once = most_open(CORES, workers) as u64;
    let rounds = (experts as u64).div_ceil(at_once);
    assert!(
        outcome.wall <= outcome.core / CORES as u64 + outcome.up.max(outcome.down) + rounds * way + carried,
        "work is conserved: {what}"
    );
    // What workers may cost: the questions, and what it takes here to name, send, take and prove more than packing does.
    let here = |rate| took(SOURCE, rate);
    let (name, pack) = (here(NAME), here(NAME) + here(PACK) - here(WHOLE));
    let more = pack.max((name + here(SEND) + here(RECEIVE) + here(scene.prove)).saturating_sub(here(WHOLE)));
    let most = alone.wall + experts as u64 * more / CORES as u64 + way + 2 * carried;
    assert!(outcome.wall <= most, "never slower than alone by more than that: {most} {what}");
}

fn row(scene: Scene, experts: usize) -> String {
    let alone = simulate(scene, experts, 0);
    check(scene, experts, 0, &alone, &alone);
    let mut row = format!("//! | {} | {} |", scene.name, grouped(experts));
    row.push_str(&format!(" {} |", seconds(alone.wall)));
    for workers in [10, 100] {
        let outcome = simulate(scene, experts, workers);
        check(scene, experts, workers, &outcome, &alone);
        assert!(outcome.executed > 0);
        let share = 100 * outcome.executed / experts;
        row.push_str(&format!(" {}, {share} % |", seconds(outcome.wall)));
    }
    row
}

fn seconds(micros: u64) -> String {
    match micros {
        0..10_000_000 => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        _ => format!("{} s", grouped((micros / 1_000_000) as usize)),
    }
}

fn grouped(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

#[test]
fn the_page_on_workers_is_true() {
    let page = include_str!("../../src/engine/remote/mod.rs");
    let rows: Vec<String> = std::thread::scope(|scope| {
        let run = |scene| scope.spawn(move || [10, 1_000, 100_000].map(|experts| row(scene, experts)));
        let threads: Vec<_> = SCENES.into_iter().map(run).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let missing: Vec<&str> = rows.iter().map(String::as_str).filter(|row| !page.contains(row)).collect();
    assert!(missing.is_empty(), "the head of engine::remote should say:\n{}", rows.join("\n"));
}

#[test]
fn the_same_is_simulated_twice_and_every_worker_is_used() {
    let scene = SCENES[4];
    let first = simulate(scene, 1_000, 100);
    assert_eq!(first, simulate(scene, 1_000, 100));
    assert!(first.most_away > most_open(CORES, 0), "what workers do does not count among what is open for the cores");
    assert!(simulate(Scene { prove: 1 << 30, ..scene }, 1_000, 10).most_away == 10, "all that there are");
    // A line that is slow is left to few: the rest is packed here.
    let slow = Scene { line: 10, ..SCENES[0] };
    let (alone, many) = (simulate(slow, 1_000, 0), simulate(slow, 1_000, 100));
    check(slow, 1_000, 100, &many, &alone);
    assert!(many.executed < 100, "{many:?}");
}
