//! `graph`: who requires whom, or what a build would do after what, as text, JSON, dot, Mermaid or SVG.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;

use crate::base::{Error, Result};
use crate::check::requires::Requirement;
use crate::engine::job::Job;
use crate::engine::plan::{Plan, Task};
use crate::ops::build::{shapes, survey};
use crate::ops::experts::Experts;
use crate::ops::graph_svg;
use crate::ops::requirements;
use crate::ops::workspace::Workspace;
use crate::store::Index;

/// A graph: an arrow leads from the first to the second node of an edge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The arrows, by index of the nodes; sorted, each once.
    pub edges: Vec<(usize, usize)>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What is said beside it: a version, or the expert of a task.
    pub detail: String,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An expert of the repo.
    Expert,
    /// An expert that is kept elsewhere.
    External,
    /// A task of the engine.
    Task,
}

/// How a graph is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An indented tree, for terminals.
    Text,
    /// Nodes and edges.
    Json,
    /// Graphviz.
    Dot,
    /// Mermaid, as code forges show it in Markdown.
    Mermaid,
    /// A picture of its own.
    Svg,
}

/// The chosen experts: each points to those that it requires, in the repo or kept elsewhere.
pub fn requirements(workspace: &Workspace, chosen: &[usize], threads: usize) -> Graph {
    let index = Index::load(&workspace.index);
    let experts = Experts::of(workspace, &index, threads);
    let place: BTreeMap<usize, usize> = chosen.iter().enumerate().map(|(at, number)| (*number, at)).collect();
    let node = |number: &usize| Node {
        kind: Kind::Expert,
        name: experts.name(*number).to_owned(),
        detail: experts.summaries[*number].version.clone(),
    };
    let mut nodes: Vec<Node> = chosen.iter().map(node).collect();
    let all = experts.edges(workspace).into_iter();
    let mut edges: BTreeSet<(usize, usize)> =
        all.filter_map(|(from, to)| Some((*place.get(&from)?, *place.get(&to)?))).collect();
    let here: BTreeSet<&str> = experts.summaries.iter().map(|s| s.name.as_str()).collect();
    let mut externals: BTreeMap<String, usize> = BTreeMap::new();
    for (at, number) in chosen.iter().enumerate() {
        let wanted = experts.summaries[*number].requires.iter().filter_map(|(text, _)| Requirement::parse(text).ok());
        for wanted in wanted.filter(|wanted| !here.contains(wanted.name.as_str())) {
            let Some(version) = workspace.repo.externals.get(&wanted.name) else { continue };
            let to = *externals.entry(wanted.name).or_insert_with_key(|name| {
                let detail = version.value.to_string();
                nodes.push(Node { kind: Kind::External, name: name.clone(), detail });
                nodes.len() - 1
            });
            edges.insert((at, to));
        }
    }
    Graph { nodes, edges: edges.into_iter().collect() }
}

/// The tasks of a build of the chosen experts, as if all of them were stale: each points to those that wait for it.
pub fn tasks(workspace: &Workspace, chosen: &[usize], threads: usize) -> Result<Graph> {
    let index = Arc::new(Index::load(&workspace.index));
    let targets = workspace.targets(chosen)?;
    let jobs: Vec<Job> = targets
        .into_iter()
        .zip(chosen)
        .map(|(target, number)| Job::new(*number, target, "".into(), Arc::clone(&index)))
        .collect();
    let mut surveyed = survey(&jobs, threads);
    let memos = jobs.iter().zip(&mut surveyed).filter_map(|(job, looked)| Some((job.number, looked.as_mut()?.memo()?)));
    let known = memos.collect();
    let needs = requirements::check(workspace, &index, &known)?;
    let plan = Plan::new(&shapes(&jobs, surveyed, &needs.after), true);
    let mut names: Vec<(String, Vec<String>, Vec<String>)> = Vec::with_capacity(jobs.len());
    for job in &jobs {
        let open = job.open().ok();
        let survey = open.as_ref().map(|open| &open.survey);
        let files = survey.iter().flat_map(|s| &s.files).map(|file| file.path.to_string()).collect();
        let model = |at: usize| Some(survey?.manifest.as_ref()?.base_models.get(at)?.short_name().to_owned());
        let packages = survey.iter().flat_map(|s| &s.layouts).map(|l| model(l.model).unwrap_or_default()).collect();
        names.push((job.name(), files, packages));
        job.close();
    }
    let node = |id: usize| {
        let task = plan.task(id);
        let (expert, files, packages) = &names[task.job()];
        let subject = match task {
            Task::Hash { file, .. } => files.get(file).cloned(),
            Task::Headers { .. } => Some("headers".to_owned()),
            Task::Contents { .. } => Some("contents".to_owned()),
            Task::Compose { package, .. } | Task::Sign { package, .. } | Task::Archive { package, .. } => {
                packages.get(package).cloned()
            }
        };
        let name = format!("{} {}", task.kind(), subject.unwrap_or_default());
        Node { kind: Kind::Task, name, detail: expert.clone() }
    };
    let nodes = (0..plan.len()).map(node).collect();
    let edges: BTreeSet<(usize, usize)> =
        (0..plan.len()).flat_map(|id| plan.after(id).map(move |next| (id, next))).collect();
    Ok(Graph { nodes, edges: edges.into_iter().collect() })
}

impl Graph {
    /// The graph in this form.
    pub fn write(&self, format: Format) -> Result<String> {
        Ok(match format {
            Format::Text => self.text(),
            Format::Json => {
                let text = serde_json::to_string_pretty(self);
                text.map_err(|e| Error::Bug(format!("a graph as JSON: {e}")))? + "\n"
            }
            Format::Dot => self.dot(),
            Format::Mermaid => self.mermaid(),
            Format::Svg => graph_svg::draw(self),
        })
    }

    /// For each node, the nodes that it points to.
    pub(crate) fn next(&self) -> Vec<Vec<usize>> {
        let mut next = vec![Vec::new(); self.nodes.len()];
        for (from, to) in &self.edges {
            next[*from].push(*to);
        }
        next
    }

    /// A tree for each node that nothing points to. What was shown before is not shown again below `(*)`.
    fn text(&self) -> String {
        let next = self.next();
        let pointed: BTreeSet<usize> = self.edges.iter().map(|(_, to)| *to).collect();
        let mut text = String::new();
        let mut seen = vec![false; self.nodes.len()];
        // Nodes of a circle that nothing leads to come last, so that none is left out.
        let starts = (0..self.nodes.len()).filter(|n| !pointed.contains(n)).chain(0..self.nodes.len());
        for start in starts.collect::<Vec<_>>() {
            if seen[start] {
                continue;
            }
            let mut stack = vec![(start, String::new(), String::new())];
            while let Some((node, lead, indent)) = stack.pop() {
                let again = seen[node] && !next[node].is_empty();
                let Node { kind, name, detail } = &self.nodes[node];
                let outside = if *kind == Kind::External { " (external)" } else { "" };
                let mark = if again { " (*)" } else { "" };
                let space = if detail.is_empty() { "" } else { " " };
                let _ = writeln!(text, "{lead}{}{space}{}{outside}{mark}", shown(name), shown(detail));
                if again {
                    continue;
                }
                seen[node] = true;
                for (at, child) in next[node].iter().enumerate().rev() {
                    let (branch, below) =
                        if at + 1 == next[node].len() { ("└── ", "    ") } else { ("├── ", "│   ") };
                    stack.push((*child, format!("{indent}{branch}"), format!("{indent}{below}")));
                }
            }
        }
        text
    }

    fn dot(&self) -> String {
        let clean = |text: &str| shown(text).replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = String::from("digraph experts {\n  rankdir=LR\n  node [shape=box, style=rounded]\n");
        for (at, Node { kind, name, detail }) in self.nodes.iter().enumerate() {
            let style = if *kind == Kind::External { ", style=\"rounded,dashed\"" } else { "" };
            let _ = writeln!(text, "  n{at} [label=\"{}\\n{}\"{style}]", clean(name), clean(detail));
        }
        for (from, to) in &self.edges {
            let _ = writeln!(text, "  n{from} -> n{to}");
        }
        text + "}\n"
    }

    fn mermaid(&self) -> String {
        // Mermaid reads entity codes in quoted labels, written with # for &.
        let clean = |text: &str| {
            shown(text).replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
        };
        let mut text = String::from("flowchart LR\n");
        for (at, Node { kind, name, detail }) in self.nodes.iter().enumerate() {
            let (open, close) = if *kind == Kind::External { ("([", "])") } else { ("[", "]") };
            let _ = writeln!(text, "  n{at}{open}\"{}<br>{}\"{close}", clean(name), clean(detail));
        }
        for (from, to) in &self.edges {
            let _ = writeln!(text, "  n{from} --> n{to}");
        }
        text
    }
}

/// A name without what would break a line.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Format, Graph, Kind, Node};

    pub(crate) fn graph(nodes: &[&str], edges: &[(usize, usize)]) -> Graph {
        let node = |name: &&str| Node { kind: Kind::Expert, name: (*name).into(), detail: "1.0.0".into() };
        Graph { nodes: nodes.iter().map(node).collect(), edges: edges.to_vec() }
    }

    #[test]
    fn a_tree_shows_each_branch_once_and_every_circle() {
        let graph = graph(&["app", "sql", "base", "x", "y"], &[(0, 1), (0, 2), (1, 2), (2, 4), (3, 3)]);
        insta::assert_snapshot!(graph.write(Format::Text).expect("text"), @r"
        app 1.0.0
        ├── sql 1.0.0
        │   └── base 1.0.0
        │       └── y 1.0.0
        └── base 1.0.0 (*)
        x 1.0.0
        └── x 1.0.0 (*)
        ");
    }

    #[test]
    fn dot_and_mermaid_escape_what_they_must() {
        let mut graph = graph(&["a\"b\\", "c<d>#"], &[(0, 1)]);
        graph.nodes[1].kind = Kind::External;
        insta::assert_snapshot!(graph.write(Format::Dot).expect("dot"), @r##"
        digraph experts {
          rankdir=LR
          node [shape=box, style=rounded]
          n0 [label="a\"b\\\n1.0.0"]
          n1 [label="c<d>#\n1.0.0", style="rounded,dashed"]
          n0 -> n1
        }
        "##);
        insta::assert_snapshot!(graph.write(Format::Mermaid).expect("mermaid"), @r##"
        flowchart LR
          n0["a#quot;b\<br>1.0.0"]
          n1(["c#lt;d#gt;#35;<br>1.0.0"])
          n0 --> n1
        "##);
    }
}
