//! `Plan`: the graph of tasks. Knows what must come before what, and nothing of how a task is done.
//!
//! Per expert: `hash` of each small file → `validate` (headers) → `hash` of each big file → `validate` (contents) →
//! per package `compose` → `archive`, with `sign` between the two where there is a key. Across experts: an expert's
//! packages come after those of the experts it requires.

use std::ops::Range;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

/// A task of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// The digests of one file (by its index in the survey), and its packed segments if it is big.
    Hash {
        /// The job.
        job: usize,
        /// The file.
        file: usize,
    },
    /// What manifest and headers tell.
    Headers {
        /// The job.
        job: usize,
    },
    /// What contents tell.
    Contents {
        /// The job.
        job: usize,
    },
    /// The manifest of one package.
    Compose {
        /// The job.
        job: usize,
        /// The package.
        package: usize,
    },
    /// The signature of one package.
    Sign {
        /// The job.
        job: usize,
        /// The package.
        package: usize,
    },
    /// One package in its place.
    Archive {
        /// The job.
        job: usize,
        /// The package.
        package: usize,
    },
}

impl Task {
    /// The job it belongs to.
    pub fn job(self) -> usize {
        match self {
            Self::Hash { job, .. }
            | Self::Headers { job }
            | Self::Contents { job }
            | Self::Compose { job, .. }
            | Self::Sign { job, .. }
            | Self::Archive { job, .. } => job,
        }
    }

    /// Its kind, as events name it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Hash { .. } => "hash",
            Self::Headers { .. } | Self::Contents { .. } => "validate",
            Self::Compose { .. } => "compose",
            Self::Sign { .. } => "sign",
            Self::Archive { .. } => "archive",
        }
    }
}

/// What the plan must know of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// For each file: is it small?
    pub files: Vec<bool>,
    /// How many packages it makes.
    pub packages: usize,
    /// Are they signed?
    pub signed: bool,
    /// Jobs that must have made theirs before.
    pub after: Vec<usize>,
}

/// The graph of tasks.
///
/// Only what is between experts is kept as a graph. Within an expert the tasks have numbers in a row and always the same
/// edges, so these are reckoned from its shape: a hundred thousand experts are a million tasks.
#[derive(Debug, Default)]
pub struct Plan {
    /// The experts, in the order of their tasks' numbers.
    parts: Vec<Part>,
    /// Which of them wait for the packages of which others: its nodes are the indices of `parts`.
    between: DiGraph<(), ()>,
}

/// The tasks of one job: hashes of small files, headers, hashes of big files, contents; then of each package its manifest,
/// the package itself and, where there is a key, the signature.
#[derive(Debug)]
struct Part {
    job: u32,
    /// The number of its first task.
    first: u32,
    files: u32,
    packages: u32,
    signed: bool,
    /// Which files are big.
    big: Box<[u32]>,
}

impl Part {
    fn small(&self) -> usize {
        self.files as usize - self.big.len()
    }

    fn headers(&self) -> usize {
        self.first as usize + self.small()
    }

    fn contents(&self) -> usize {
        self.headers() + 1 + self.big.len()
    }

    fn compose(&self, package: usize) -> usize {
        self.contents() + 1 + package * (2 + usize::from(self.signed))
    }

    fn archive(&self, package: usize) -> usize {
        self.compose(package) + 1
    }

    fn sign(&self, package: usize) -> usize {
        self.compose(package) + 2
    }

    /// Its tasks' numbers.
    fn tasks(&self) -> Range<usize> {
        self.first as usize..self.compose(self.packages as usize)
    }

    fn archives(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..self.packages as usize).map(|package| self.archive(package))
    }

    fn task(&self, id: usize) -> Task {
        let job = self.job as usize;
        if id < self.headers() {
            // Every big file before it moves a small one on by one.
            let at = id - self.first as usize;
            let (mut low, mut high) = (0, self.big.len());
            while low < high {
                let middle = low + (high - low) / 2;
                match self.big[middle] as usize - middle <= at {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            return Task::Hash { job, file: at + low };
        }
        if id == self.headers() {
            return Task::Headers { job };
        }
        if id < self.contents() {
            return Task::Hash { job, file: self.big[id - self.headers() - 1] as usize };
        }
        if id == self.contents() {
            return Task::Contents { job };
        }
        let stride = 2 + usize::from(self.signed);
        let (package, which) = ((id - self.contents() - 1) / stride, (id - self.contents() - 1) % stride);
        match which {
            0 => Task::Compose { job, package },
            1 => Task::Archive { job, package },
            _ => Task::Sign { job, package },
        }
    }
}

/// Numbers of tasks.
type Ids<'p> = Box<dyn Iterator<Item = usize> + 'p>;

impl Plan {
    /// Plans these jobs. With `packages` false, only what `check` does.
    pub fn new(shapes: &[Shape], packages: bool) -> Self {
        let order = order(shapes);
        let mut place = vec![usize::MAX; shapes.len()];
        let mut plan =
            Self { parts: Vec::with_capacity(shapes.len()), between: DiGraph::with_capacity(shapes.len(), 0) };
        let mut first = 0;
        // Dependencies first, so that an expert gets lower numbers than those that require it.
        for (at, job) in order.into_iter().enumerate() {
            let shape = &shapes[job];
            let big = shape.files.iter().zip(0_u32..).filter(|(small, _)| !**small).map(|(_, file)| file).collect();
            let part = Part {
                job: job as u32,
                first,
                files: shape.files.len() as u32,
                packages: if packages { shape.packages as u32 } else { 0 },
                signed: shape.signed,
                big,
            };
            first = part.tasks().end as u32;
            place[job] = at;
            plan.parts.push(part);
            let node = plan.between.add_node(());
            // Of a circle, which has been refused before, only what goes forward would be kept.
            for before in shape.after.iter().map(|job| place[*job]).filter(|before| *before < at) {
                plan.between.add_edge(NodeIndex::new(before), node, ());
            }
        }
        plan
    }

    fn part(&self, id: usize) -> (usize, &Part) {
        let at = self.parts.partition_point(|part| part.first as usize <= id) - 1;
        (at, &self.parts[at])
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.tasks().end)
    }

    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The task of this number.
    pub fn task(&self, id: usize) -> Task {
        self.part(id).1.task(id)
    }

    /// All tasks of the job that this one belongs to: they have numbers in a row.
    pub fn of_job(&self, id: usize) -> Range<usize> {
        self.part(id).1.tasks()
    }

    /// For each job, the numbers of its tasks.
    pub fn jobs(&self) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        self.parts.iter().map(|part| (part.job as usize, part.tasks()))
    }

    /// Tasks that wait for no other: ranges, in order.
    pub fn first(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.parts.iter().map(|part| match part.headers() {
            headers if part.small() > 0 => part.first as usize..headers,
            headers => headers..headers + 1,
        })
    }

    /// The parts that a part waits for, or that wait for it.
    fn beside(&self, part: usize, direction: Direction) -> impl Iterator<Item = &Part> + '_ {
        self.between.neighbors_directed(NodeIndex::new(part), direction).map(|node| &self.parts[node.index()])
    }

    /// Tasks that wait for this one.
    pub fn after(&self, id: usize) -> impl Iterator<Item = usize> + '_ {
        let (at, part) = self.part(id);
        let ids: Ids<'_> = match part.task(id) {
            Task::Hash { .. } if id < part.headers() => Box::new([part.headers()].into_iter()),
            Task::Headers { .. } => Box::new((part.headers() + 1..part.contents()).rev().chain([part.contents()])),
            Task::Hash { .. } => Box::new([part.contents()].into_iter()),
            Task::Contents { .. } => Box::new((0..part.packages as usize).rev().map(|package| part.compose(package))),
            Task::Compose { package, .. } if part.signed => Box::new([part.sign(package)].into_iter()),
            Task::Compose { package, .. } | Task::Sign { package, .. } => Box::new([part.archive(package)].into_iter()),
            Task::Archive { .. } => {
                Box::new(self.beside(at, Direction::Outgoing).flat_map(|part| part.archives().rev()))
            }
        };
        ids
    }

    /// Tasks that this one waits for.
    pub fn before(&self, id: usize) -> impl Iterator<Item = usize> + '_ {
        let (at, part) = self.part(id);
        let ids: Ids<'_> = match part.task(id) {
            Task::Hash { .. } if id < part.headers() => Box::new(std::iter::empty()),
            Task::Headers { .. } => Box::new((part.first as usize..part.headers()).rev()),
            Task::Hash { .. } => Box::new([part.headers()].into_iter()),
            Task::Contents { .. } => Box::new((part.headers()..part.contents()).rev()),
            Task::Compose { .. } => Box::new([part.contents()].into_iter()),
            Task::Sign { package, .. } => Box::new([part.compose(package)].into_iter()),
            Task::Archive { package, .. } => {
                let own = if part.signed { part.sign(package) } else { part.compose(package) };
                Box::new(self.beside(at, Direction::Incoming).flat_map(|part| part.archives().rev()).chain([own]))
            }
        };
        ids
    }

    /// For each task, how many others it waits for.
    pub fn waits(&self) -> Vec<u32> {
        let mut waits = Vec::with_capacity(self.len());
        for (at, part) in self.parts.iter().enumerate() {
            let others: u32 = self.beside(at, Direction::Incoming).map(|part| part.packages).sum();
            waits.extend(part.tasks().map(|id| match part.task(id) {
                Task::Hash { .. } if id < part.headers() => 0,
                Task::Headers { .. } => part.small() as u32,
                Task::Contents { .. } => 1 + part.big.len() as u32,
                Task::Archive { .. } => 1 + others,
                Task::Hash { .. } | Task::Compose { .. } | Task::Sign { .. } => 1,
            }));
        }
        waits
    }
}

/// Jobs so that each comes after those it waits for. Circles have been refused before; should one come here, its jobs
/// keep their order.
fn order(shapes: &[Shape]) -> Vec<usize> {
    let mut ordered = Vec::with_capacity(shapes.len());
    let mut state = vec![0_u8; shapes.len()];
    for start in 0..shapes.len() {
        let mut stack = vec![(start, 0)];
        while let Some((job, next)) = stack.pop() {
            if next == 0 {
                if state[job] != 0 {
                    continue;
                }
                state[job] = 1;
            }
            match shapes[job].after.get(next) {
                Some(before) => {
                    stack.push((job, next + 1));
                    if state[*before] == 0 {
                        stack.push((*before, 0));
                    }
                }
                None => ordered.push(job),
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::{Plan, Shape, Task};

    fn shape(files: &[bool], packages: usize, after: &[usize]) -> Shape {
        Shape { files: files.to_vec(), packages, signed: false, after: after.to_vec() }
    }

    /// The tasks in an order in which they could run one after the other: all of them, or the plan has a circle.
    fn in_order(plan: &Plan) -> Vec<Task> {
        let mut waits = plan.waits();
        let mut ready: Vec<usize> = plan.first().flatten().collect();
        assert_eq!(ready, (0..plan.len()).filter(|id| waits[*id] == 0).collect::<Vec<_>>());
        let mut order = Vec::new();
        while let Some(id) = ready.pop() {
            order.push(plan.task(id));
            for next in plan.after(id) {
                assert!(plan.before(next).any(|before| before == id), "{:?}", (plan.task(id), plan.task(next)));
                waits[next] -= 1;
                ready.extend((waits[next] == 0).then_some(next));
            }
        }
        assert_eq!(order.len(), plan.len());
        let befores: usize = (0..plan.len()).map(|id| plan.before(id).count()).sum();
        assert_eq!(befores, (0..plan.len()).map(|id| plan.after(id).count()).sum::<usize>());
        order
    }

    #[test]
    fn an_expert_becomes_a_diamond_and_requirements_come_first() {
        let plan = Plan::new(&[shape(&[true, false], 2, &[1]), shape(&[], 1, &[])], true);
        let order = in_order(&plan);
        let at = |task: Task| order.iter().position(|t| *t == task).expect("planned");
        let (small, big) = (Task::Hash { job: 0, file: 0 }, Task::Hash { job: 0, file: 1 });
        assert!(at(small) < at(Task::Headers { job: 0 }) && at(Task::Headers { job: 0 }) < at(big));
        assert!(at(big) < at(Task::Contents { job: 0 }));
        for package in 0..2 {
            assert!(at(Task::Compose { job: 0, package }) < at(Task::Archive { job: 0, package }));
            assert!(at(Task::Archive { job: 1, package: 0 }) < at(Task::Archive { job: 0, package }));
        }
        assert_eq!(plan.len(), 8 + 4);
        let jobs: Vec<usize> = (0..plan.len()).map(|id| plan.task(id).job()).collect();
        for id in 0..plan.len() {
            let own: Vec<usize> = (0..plan.len()).filter(|other| jobs[*other] == jobs[id]).collect();
            assert_eq!(plan.of_job(id).collect::<Vec<_>>(), own);
        }
        assert_eq!(plan.jobs().collect::<Vec<_>>(), [(1, 0..4), (0, 4..12)]);
        assert_eq!(Plan::new(&[shape(&[true], 1, &[])], false).len(), 3);
    }

    #[test]
    fn every_file_is_hashed_once_wherever_the_big_ones_stand() {
        for sizes in 0..1_u32 << 7 {
            let files: Vec<bool> = (0..7).map(|file| sizes >> file & 1 == 0).collect();
            let plan = Plan::new(&[shape(&files, 1, &[])], true);
            let order = in_order(&plan);
            let headers = order.iter().position(|task| *task == Task::Headers { job: 0 }).expect("planned");
            for (file, small) in files.iter().enumerate() {
                let at: Vec<usize> = (0..order.len()).filter(|at| order[*at] == Task::Hash { job: 0, file }).collect();
                assert!(at.len() == 1 && (at[0] < headers) == *small, "{files:?}");
            }
        }
    }

    #[test]
    fn a_circle_is_cut_where_it_closes() {
        let plan = Plan::new(&[shape(&[true], 1, &[1]), shape(&[true], 2, &[0, 1]), shape(&[], 1, &[0, 1])], true);
        assert_eq!(in_order(&plan).len(), 5 + 7 + 4);
    }

    #[test]
    fn what_is_signed_is_signed_between_its_manifest_and_its_place() {
        let plan = Plan::new(&[Shape { signed: true, ..shape(&[], 1, &[]) }], true);
        let order = in_order(&plan);
        let (job, package) = (0, 0);
        let last = [Task::Compose { job, package }, Task::Sign { job, package }, Task::Archive { job, package }];
        assert_eq!(order[order.len() - 3..], last);
        let archive = (0..plan.len()).find(|id| plan.task(*id) == last[2]).expect("planned");
        assert_eq!(plan.before(archive).map(|id| plan.task(id)).collect::<Vec<_>>(), [last[1]], "by no other way");
    }
}
