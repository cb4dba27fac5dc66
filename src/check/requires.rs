//! `constraints.requires` and `incompatible_with` across the repo: what is unmet, cyclic or contradictory, and who
//! depends on whom. It does not know where the experts come from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;
use semver::{Version, VersionReq};

use crate::base::codes::repo;
use crate::base::{At, Code, Diagnostic, RelPath};
use crate::format::manifest::{Manifest, Phrase};

/// What the repo needs to know of an expert.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Its folder; `None` is the repo's root.
    pub folder: Option<RelPath>,
    /// Its name.
    pub name: String,
    /// Its version, as written.
    pub version: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The names of its base models.
    pub models: Vec<String>,
    /// `constraints.requires`, each with its place in the manifest.
    pub requires: Vec<(String, At)>,
    /// `constraints.incompatible_with`, each with its place.
    pub incompatible_with: Vec<(String, At)>,
    /// `constraints.load_order`: lower is loaded first.
    pub load_order: Option<u64>,
    /// The manifest, inside the expert's folder.
    pub manifest: String,
    /// The manifest's text, for excerpts.
    pub source: Option<Arc<str>>,
}

impl Summary {
    /// What a manifest says. Its folder and what the Expertfile adds to its tags are the caller's.
    pub fn new(manifest: &Manifest, folder: Option<RelPath>, tags: Vec<String>) -> Self {
        let phrases = |list: &[Phrase]| list.iter().map(|phrase| (phrase.text.clone(), phrase.at.clone())).collect();
        Self {
            folder,
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            tags,
            models: manifest.base_models.iter().map(|model| model.name.clone()).collect(),
            requires: phrases(&manifest.requires),
            incompatible_with: phrases(&manifest.incompatible_with),
            load_order: manifest.load_order,
            manifest: manifest.file.to_string(),
            source: Some(Arc::clone(&manifest.text)),
        }
    }
}

/// `english-basic@>=1.0.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The expert's name.
    pub name: String,
    /// Its versions; any where nothing is said.
    pub range: Option<VersionReq>,
}

impl Requirement {
    /// Reads a requirement; else a phrase that says what is wrong, and the way out.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let help = "a requirement is a name, or a name and a range: `english-basic@>=1.0.0`";
        let at = text.char_indices().find(|(i, c)| *i > 0 && *c == '@').map(|(i, _)| i);
        let (name, range) = at.map_or((text, None), |at| (&text[..at], Some(text[at + 1..].trim())));
        let name = name.trim();
        if name.is_empty() || name == "@" {
            return Err((format!("`{text}` names no expert"), help.to_owned()));
        }
        if let Some(at) = name.find(['<', '>', '=', '^', '~', ',', ' ', '*', '|']) {
            let (name, range) = (name[..at].trim(), name[at..].trim());
            let help = if name.is_empty() { help.to_owned() } else { format!("did you mean `{name}@{range}`?") };
            return Err((format!("`{text}` is not a requirement"), help));
        }
        let range = range.map(|range| {
            let fault = |why: String| (format!("`{range}` is not a version range{why}"), range_help(range));
            if range.is_empty() {
                Err(fault(String::new()))
            } else {
                VersionReq::parse(range).map_err(|e| fault(format!(": {e}")))
            }
        });
        Ok(Self { name: name.to_owned(), range: range.transpose()? })
    }

    /// Does this version fit? One that is no version fits only where any does.
    pub fn takes(&self, version: Option<&Version>) -> bool {
        self.range.as_ref().is_none_or(|range| version.is_some_and(|version| range.matches(version)))
    }
}

fn range_help(range: &str) -> String {
    if range.contains("||") {
        return "`||` is not known: name one range".to_owned();
    }
    if range.split_whitespace().count() > 1 && !range.contains(',') {
        return "two bounds are parted by a comma: `>=1.0.0, <2.0.0`".to_owned();
    }
    "a range is a version with `=`, `>`, `>=`, `<`, `<=`, `^` or `~` before it: `>=1.0.0`".to_owned()
}

/// What the check found.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// Who requires whom: the first index needs the second. Sorted, each once.
    pub edges: Vec<(usize, usize)>,
    /// The findings, each with the index of the expert that it is about.
    pub found: Vec<(usize, Diagnostic)>,
}

/// Checks the experts of a repo against each other and against those that are kept elsewhere.
pub fn check(experts: &[Summary], externals: &BTreeMap<String, Version>) -> Requirements {
    let versions: Vec<Option<Version>> = experts.iter().map(|e| Version::parse(&e.version).ok()).collect();
    let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, expert) in experts.iter().enumerate() {
        named.entry(&expert.name).or_default().push(index);
    }
    let mut check = Check {
        experts,
        externals,
        versions,
        named,
        places: BTreeMap::new(),
        near: BTreeMap::new(),
        found: Vec::new(),
    };
    check.duplicates();
    check.requirements();
    check.load_orders();
    let graph = check.graph();
    check.cycles(&graph);
    check.conflicts(&graph);
    let mut found = check.found;
    found.sort_by(|a, b| (a.0, &a.1.at, a.1.code.name, &a.1.message).cmp(&(b.0, &b.1.at, b.1.code.name, &b.1.message)));
    Requirements { edges: check.places.into_keys().collect(), found }
}

type Graph = DiGraphMap<usize, ()>;

struct Check<'a> {
    experts: &'a [Summary],
    externals: &'a BTreeMap<String, Version>,
    versions: Vec<Option<Version>>,
    named: BTreeMap<&'a str, Vec<usize>>,
    /// Edges, each with the requirement that made it.
    places: BTreeMap<(usize, usize), usize>,
    /// The expert that is nearest to a name that no expert has.
    near: BTreeMap<String, Option<String>>,
    found: Vec<(usize, Diagnostic)>,
}

/// So many unknown names are compared with all that there are. Where more are wrong, it is not for typing.
const COMPARED: usize = 100;

impl Check<'_> {
    fn report(&mut self, expert: usize, code: &'static Code, at: At, message: String, help: String) {
        let summary = &self.experts[expert];
        let mut finding = Diagnostic::new(code, message).in_file(&*summary.manifest).at(at).help(help);
        finding.expert = Some(summary.name.clone());
        finding.source = summary.source.clone();
        self.found.push((expert, finding));
    }

    fn duplicates(&mut self) {
        for group in self.named.clone().into_values() {
            for (position, index) in group.iter().enumerate() {
                let twin = group[..position]
                    .iter()
                    .find(|other| self.experts[**other].version == self.experts[*index].version);
                if let Some(twin) = twin {
                    let expert = &self.experts[*index];
                    let message =
                        format!("`{}` {} is also in `{}`", expert.name, expert.version, place(&self.experts[*twin]));
                    let help = "rename one of the two, or give it another version".to_owned();
                    self.report(*index, &repo::DUPLICATE_EXPERT, At::File, message, help);
                }
            }
        }
    }

    fn requirements(&mut self) {
        let experts = self.experts;
        for (index, expert) in experts.iter().enumerate() {
            for (position, (text, at)) in expert.requires.iter().enumerate() {
                match Requirement::parse(text) {
                    Ok(wanted) => self.meet(index, position, &wanted),
                    Err((what, help)) => self.report(index, &repo::REQUIREMENT_SYNTAX, at.clone(), what, help),
                }
            }
            for (text, at) in &expert.incompatible_with {
                if let Err((what, help)) = Requirement::parse(text) {
                    self.report(index, &repo::REQUIREMENT_SYNTAX, at.clone(), what, help);
                }
            }
        }
    }

    /// The known name that an unknown one most likely stands for.
    fn near(&mut self, name: &str) -> Option<String> {
        if !self.near.contains_key(name) && self.near.len() < COMPARED {
            let names = self.named.keys().copied().chain(self.externals.keys().map(String::as_str));
            let near = crate::base::suggest::nearest(name, names).map(str::to_owned);
            self.near.insert(name.to_owned(), near);
        }
        self.near.get(name).cloned().flatten()
    }

    fn meet(&mut self, index: usize, position: usize, wanted: &Requirement) {
        let (text, at) = &self.experts[index].requires[position];
        let there = self.named.get(wanted.name.as_str()).cloned().unwrap_or_default();
        let fitting: Vec<usize> = there.iter().copied().filter(|i| wanted.takes(self.versions[*i].as_ref())).collect();
        let external = self.externals.get(&wanted.name);
        match (fitting.as_slice(), external) {
            ([one], _) => drop(self.places.insert((index, *one), position)),
            ([], Some(version)) if wanted.takes(Some(version)) => {}
            ([], None) if there.is_empty() => {
                let near = self.near(&wanted.name);
                let declare = || {
                    format!("declare it if it is kept elsewhere: `externals = {{ \"{}\" = \"1.0.0\" }}`", wanted.name)
                };
                let help = near.map_or_else(declare, |near| format!("did you mean `{near}`?"));
                self.report(
                    index,
                    &repo::REQUIREMENT_UNMET,
                    at.clone(),
                    format!("no expert is called `{}`", wanted.name),
                    help,
                );
            }
            ([], _) => {
                // A version that cannot be read is told by the manifest's own check.
                if there.iter().any(|i| self.versions[*i].is_none()) {
                    return;
                }
                let repo =
                    there.iter().map(|i| format!("{} in `{}`", self.experts[*i].version, place(&self.experts[*i])));
                let all: Vec<String> =
                    repo.chain(external.map(|version| format!("{version} in `externals`"))).collect();
                let message = format!("`{text}` is not met: there is {}", all.join(" and "));
                let pre =
                    there.iter().filter_map(|i| self.versions[*i].as_ref()).any(|version| !version.pre.is_empty());
                let help = if pre {
                    "a range takes a pre-release only where it names one of the same version".to_owned()
                } else {
                    "widen the range, or bring the required expert to a version that fits".to_owned()
                };
                self.report(index, &repo::REQUIREMENT_VERSION, at.clone(), message, help);
            }
            (several, _) => {
                let all: Vec<String> = several.iter().map(|i| self.experts[*i].version.clone()).collect();
                let message = format!("`{text}` fits several versions: {}", all.join(", "));
                let help = format!("narrow the range: `{}@={}`", wanted.name, all.last().map_or("", String::as_str));
                self.report(index, &repo::REQUIREMENT_AMBIGUOUS, at.clone(), message, help);
            }
        }
    }

    fn load_orders(&mut self) {
        for ((from, to), position) in self.places.clone() {
            let (expert, required) = (&self.experts[from], &self.experts[to]);
            let (Some(own), Some(other)) = (expert.load_order, required.load_order) else { continue };
            if own < other {
                let message = format!(
                    "`{}` (load_order {own}) is loaded before `{}` (load_order {other}), which it requires",
                    expert.name, required.name
                );
                let help = format!("give `{}` a load_order of at most {own}", required.name);
                self.report(from, &repo::LOAD_ORDER, expert.requires[position].1.clone(), message, help);
            }
        }
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::new();
        for index in 0..self.experts.len() {
            graph.add_node(index);
        }
        for (from, to) in self.places.keys() {
            graph.add_edge(*from, *to, ());
        }
        graph
    }

    fn cycles(&mut self, graph: &Graph) {
        for mut group in kosaraju_scc(graph) {
            let alone = group.len() == 1 && !graph.contains_edge(group[0], group[0]);
            if alone {
                continue;
            }
            group.sort_by_key(|index| (&self.experts[*index].name, *index));
            let inside: BTreeSet<usize> = group.iter().copied().collect();
            let first = group[0];
            let Some(chain) = path(graph, first, first, |node| inside.contains(&node)) else { continue };
            let at = self.requirement(&chain);
            let message = format!("experts require each other in a circle: {}", self.chain(&chain));
            let help = "take one requirement out of the chain".to_owned();
            self.report(first, &repo::REQUIREMENT_CYCLE, at, message, help);
        }
    }

    fn conflicts(&mut self, graph: &Graph) {
        let mut told: BTreeSet<(usize, usize)> = BTreeSet::new();
        let experts = self.experts;
        for (index, expert) in experts.iter().enumerate() {
            for (text, _) in &expert.incompatible_with {
                let Ok(rival) = Requirement::parse(text) else { continue };
                for other in self.named.get(rival.name.as_str()).cloned().unwrap_or_default() {
                    let fits = other != index && rival.takes(self.versions[other].as_ref());
                    if fits && told.insert((index.min(other), index.max(other))) {
                        self.conflict(graph, index, other);
                    }
                }
            }
        }
    }

    /// `index` says that it is incompatible with `other`: tells those experts that need both and of whose
    /// requirements none needs both by itself.
    fn conflict(&mut self, graph: &Graph, index: usize, other: usize) {
        let needs = |node| dependents(graph, node);
        let both: BTreeSet<usize> = needs(index).intersection(&needs(other)).copied().collect();
        for expert in both.iter().copied().filter(|expert| !graph.neighbors(*expert).any(|below| both.contains(&below)))
        {
            let chains: Vec<Vec<usize>> =
                [index, other].into_iter().filter_map(|to| path(graph, expert, to, |_| true)).collect();
            let ends = [index, other].map(|i| self.experts[i].name.clone());
            let name = &self.experts[expert].name;
            let shown: Vec<String> = chains.iter().map(|chain| self.chain(chain)).collect();
            let shown = shown.join(", ");
            let message = if expert == index || expert == other {
                let rival = if expert == index { &ends[1] } else { &ends[0] };
                format!("`{name}` requires `{rival}`, and the two are incompatible: {shown}")
            } else {
                format!("`{name}` requires both `{}` and `{}`, which are incompatible: {shown}", ends[0], ends[1])
            };
            let help = format!("`{}` names `{}` in `incompatible_with`: drop that, or a requirement", ends[0], ends[1]);
            let at = chains.first().map_or(At::File, |chain| self.requirement(chain));
            self.report(expert, &repo::REQUIREMENT_CONFLICT, at, message, help);
        }
    }

    /// The place of the requirement that a chain begins with.
    fn requirement(&self, chain: &[usize]) -> At {
        let [from, to, ..] = chain else { return At::File };
        self.places.get(&(*from, *to)).map_or(At::File, |position| self.experts[*from].requires[*position].1.clone())
    }

    /// `a → b → c`, with versions where a name stands for several experts.
    fn chain(&self, chain: &[usize]) -> String {
        let names: Vec<String> = chain
            .iter()
            .map(|index| {
                let expert = &self.experts[*index];
                let several = self.named.get(expert.name.as_str()).is_some_and(|group| group.len() > 1);
                if several { format!("{}@{}", expert.name, expert.version) } else { expert.name.clone() }
            })
            .collect();
        names.join(" → ")
    }
}

fn place(expert: &Summary) -> &str {
    expert.folder.as_ref().map_or(".", RelPath::as_str)
}

/// The shortest way along edges, of at least one step; `None` where there is none.
fn path(graph: &Graph, from: usize, to: usize, allowed: impl Fn(usize) -> bool) -> Option<Vec<usize>> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut todo = VecDeque::from([from]);
    while let Some(node) = todo.pop_front() {
        let mut next: Vec<usize> = graph.neighbors(node).filter(|next| allowed(*next)).collect();
        next.sort_unstable();
        for next in next {
            if before.contains_key(&next) {
                continue;
            }
            before.insert(next, node);
            if next == to {
                let mut chain = vec![to];
                let mut at = node;
                while at != from {
                    chain.push(at);
                    at = before[&at];
                }
                chain.push(from);
                chain.reverse();
                return Some(chain);
            }
            todo.push_back(next);
        }
    }
    None
}

/// An expert and all that require it, directly or through others.
fn dependents(graph: &Graph, node: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::from([node]);
    let mut todo = vec![node];
    while let Some(node) = todo.pop() {
        for next in graph.neighbors_directed(node, petgraph::Direction::Incoming) {
            if seen.insert(next) {
                todo.push(next);
            }
        }
    }
    seen
}

#[cfg(test)]
#[path = "requires_tests.rs"]
mod tests;
