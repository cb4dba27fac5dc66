//! `Plan`: the graph of tasks. Knows what must come before what, and nothing of how a task is done.
//!
//! Per expert: `hash` of each small file → `validate` (headers) → `hash` of each big file → `validate` (contents) →
//! per package `compose` → `archive`, with `sign` between the two where there is a key. Across experts: an expert's
//! packages come after those of the experts it requires.

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;

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
#[derive(Debug, Default)]
pub struct Plan {
    graph: DiGraph<Task, ()>,
}

impl Plan {
    /// Plans these jobs. With `packages` false, only what `check` does.
    pub fn new(shapes: &[Shape], packages: bool) -> Self {
        let mut graph = DiGraph::new();
        let mut archives: Vec<Vec<NodeIndex>> = vec![Vec::new(); shapes.len()];
        // Dependencies first, so that an expert gets lower numbers than those that require it.
        for job in order(shapes) {
            let shape = &shapes[job];
            let small: Vec<NodeIndex> = (0..shape.files.len())
                .filter(|file| shape.files[*file])
                .map(|file| graph.add_node(Task::Hash { job, file }))
                .collect();
            let headers = graph.add_node(Task::Headers { job });
            for node in small {
                graph.add_edge(node, headers, ());
            }
            let big: Vec<NodeIndex> = (0..shape.files.len())
                .filter(|file| !shape.files[*file])
                .map(|file| graph.add_node(Task::Hash { job, file }))
                .collect();
            let contents = graph.add_node(Task::Contents { job });
            graph.add_edge(headers, contents, ());
            for node in big {
                graph.add_edge(headers, node, ());
                graph.add_edge(node, contents, ());
            }
            if !packages {
                continue;
            }
            for package in 0..shape.packages {
                let compose = graph.add_node(Task::Compose { job, package });
                let archive = graph.add_node(Task::Archive { job, package });
                graph.add_edge(contents, compose, ());
                if shape.signed {
                    let sign = graph.add_node(Task::Sign { job, package });
                    graph.add_edge(compose, sign, ());
                    graph.add_edge(sign, archive, ());
                } else {
                    graph.add_edge(compose, archive, ());
                }
                for before in shape.after.iter().flat_map(|job| &archives[*job]) {
                    graph.add_edge(*before, archive, ());
                }
                archives[job].push(archive);
            }
        }
        Self { graph }
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The task of this number.
    pub fn task(&self, id: usize) -> Task {
        self.graph[NodeIndex::new(id)]
    }

    /// All tasks of the job that this one belongs to: they have numbers in a row.
    pub fn of_job(&self, id: usize) -> std::ops::Range<usize> {
        let job = self.task(id).job();
        let same = |id: &usize| self.task(*id).job() == job;
        let before = (0..id).rev().take_while(same).count();
        let after = (id..self.len()).take_while(same).count();
        id - before..id + after
    }

    /// Tasks that wait for this one.
    pub fn after(&self, id: usize) -> impl Iterator<Item = usize> + '_ {
        self.graph.edges(NodeIndex::new(id)).map(|edge| edge.target().index())
    }

    /// Tasks that this one waits for.
    pub fn before(&self, id: usize) -> impl Iterator<Item = usize> + '_ {
        let incoming = petgraph::Direction::Incoming;
        self.graph.edges_directed(NodeIndex::new(id), incoming).map(|edge| edge.source().index())
    }

    /// For each task, how many others it waits for.
    pub fn waits(&self) -> Vec<usize> {
        let incoming = petgraph::Direction::Incoming;
        self.graph.node_indices().map(|node| self.graph.edges_directed(node, incoming).count()).collect()
    }

    /// Tasks in an order in which they could run one after the other.
    pub fn in_order(&self) -> Vec<usize> {
        petgraph::algo::toposort(&self.graph, None)
            .map(|nodes| nodes.into_iter().map(NodeIndex::index).collect())
            .unwrap_or_default()
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

    #[test]
    fn an_expert_becomes_a_diamond_and_requirements_come_first() {
        let plan = Plan::new(&[shape(&[true, false], 2, &[1]), shape(&[], 1, &[])], true);
        let order: Vec<Task> = plan.in_order().into_iter().map(|id| plan.task(id)).collect();
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
        assert_eq!(Plan::new(&[shape(&[true], 1, &[])], false).len(), 3);
    }

    #[test]
    fn what_is_signed_is_signed_between_its_manifest_and_its_place() {
        let plan = Plan::new(&[Shape { signed: true, ..shape(&[], 1, &[]) }], true);
        let order: Vec<Task> = plan.in_order().into_iter().map(|id| plan.task(id)).collect();
        let (job, package) = (0, 0);
        let last = [Task::Compose { job, package }, Task::Sign { job, package }, Task::Archive { job, package }];
        assert_eq!(order[order.len() - 3..], last);
        let archive = (0..plan.len()).find(|id| plan.task(*id) == last[2]).expect("planned");
        assert_eq!(plan.before(archive).map(|id| plan.task(id)).collect::<Vec<_>>(), [last[1]], "by no other way");
    }
}
