//! `ls` and `matrix`: every expert with its packages, from the index and the kernel's word on files; nothing is read.

use std::fmt::Write as _;

use serde::Serialize;

use crate::base::shown::{escaped, size};
use crate::base::{Result, Sha256};
use crate::engine::freshness::in_parallel;
use crate::ops::experts::Experts;
use crate::ops::history::History;
use crate::ops::looks::{Looks, Stale};
use crate::ops::workspace::Workspace;
use crate::spec::template::last_segment;
use crate::store::{Index, Stat};

/// How an expert stands, by stat alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Up to date.
    Fresh,
    /// Something is not as it was: `status` says what.
    Stale,
    /// It was never built here.
    New,
}

impl State {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::New => "new",
        }
    }
}

/// An expert.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its name; empty where its manifest cannot be read.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder below the repo.
    pub folder: String,
    /// Its base models.
    pub models: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it requires.
    pub requires: Vec<String>,
    /// How it stands.
    pub state: State,
    /// Its packages as they were last built here.
    pub packages: Vec<Package>,
}

/// A package that was built here.
#[derive(Debug, Clone, Serialize)]
pub struct Package {
    /// Where it lies, from the repo's root.
    pub path: String,
    /// The base model that it is for.
    pub model: String,
    /// SHA-256 when it was built.
    pub sha256: Sha256,
    /// Its size now; `None` where it is gone.
    pub bytes: Option<u64>,
    /// Is it signed?
    pub signed: bool,
}

/// The chosen experts, in order.
pub fn list(workspace: &Workspace, chosen: &[usize], threads: usize) -> Result<Vec<Listed>> {
    listed(workspace, chosen, threads, &packages)
}

/// The same without their packages.
pub fn list_briefly(workspace: &Workspace, chosen: &[usize], threads: usize) -> Result<Vec<Listed>> {
    listed(workspace, chosen, threads, &|_, _, _, _, _| Vec::new())
}

/// Finds the packages of an expert: its index, folder, base models, and whether it is up to date.
type Packages<'p> = dyn Fn(&Workspace, &Index, &str, &[String], bool) -> Vec<Package> + Sync + 'p;

fn listed(workspace: &Workspace, chosen: &[usize], threads: usize, packages: &Packages<'_>) -> Result<Vec<Listed>> {
    let index = workspace.known();
    let experts = Experts::of(workspace, &index, threads);
    let looks = Looks::at(workspace, &index, chosen, threads)?;
    let stale = |stale: &Stale| match index.get(stale.target.key()) {
        Some(_) => (stale.number, State::Stale),
        None => (stale.number, State::New),
    };
    let mut rows: Vec<(usize, State)> = looks.stale.iter().map(stale).collect();
    rows.extend(looks.fresh.iter().map(|fresh| (fresh.number, State::Fresh)));
    rows.sort_by_key(|(number, _)| *number);
    Ok(in_parallel(&rows, threads, &|(number, state): &(usize, State)| {
        let summary = &experts.summaries[*number];
        let (label, state) = (workspace.repo.experts[*number].label(), *state);
        Listed {
            name: summary.name.clone(),
            version: summary.version.clone(),
            folder: label.to_owned(),
            models: summary.models.clone(),
            tags: summary.tags.clone(),
            requires: summary.requires.iter().map(|(text, _)| text.clone()).collect(),
            state,
            packages: packages(workspace, &index, label, &summary.models, state == State::Fresh),
        }
    }))
}

fn packages(workspace: &Workspace, index: &Index, label: &str, models: &[String], is_fresh: bool) -> Vec<Package> {
    let Some(record) = index.get(label) else { return Vec::new() };
    let history = record.memo().map(History::decode).unwrap_or_default();
    let made = record.packages().enumerate().map(|(at, (path, then, sha256))| {
        let past = history.packages.get(at);
        // Of an expert that was just seen to be as it was, nothing need be asked again.
        let now = if is_fresh { then } else { Stat::of(&workspace.root.join(path)).ok() };
        Package {
            model: past.and_then(|past| past.model.clone()).or_else(|| models.first().cloned()).unwrap_or_default(),
            sha256,
            bytes: now.filter(|stat| stat.is_file()).map(|stat| stat.size),
            signed: past.is_some_and(|past| past.signed),
            path: path.to_owned(),
        }
    });
    made.collect()
}

/// Expert × base model × version × signed × size.
#[derive(Debug, Clone, Serialize)]
pub struct Matrix {
    /// One for each expert and base model.
    pub rows: Vec<Row>,
}

/// A cell of the matrix.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The expert.
    pub expert: String,
    /// Its version.
    pub version: String,
    /// The base model.
    pub model: String,
    /// How the expert stands.
    pub state: State,
    /// Is the package signed? `None` where there is none.
    pub signed: Option<bool>,
    /// The package's size; `None` where there is none.
    pub bytes: Option<u64>,
    /// The package's SHA-256.
    pub sha256: Option<Sha256>,
    /// Where the package lies.
    pub path: Option<String>,
}

impl Matrix {
    /// Of these experts: a row for each base model, whether or not it was packaged.
    pub fn of(experts: &[Listed]) -> Self {
        let mut rows = Vec::new();
        for expert in experts {
            let name = if expert.name.is_empty() { &expert.folder } else { &expert.name };
            let none = [String::new()];
            let models = if expert.models.is_empty() { &none[..] } else { &expert.models };
            for model in models {
                let package = expert.packages.iter().find(|p| p.model == *model && p.bytes.is_some());
                rows.push(Row {
                    expert: name.clone(),
                    version: expert.version.clone(),
                    model: last_segment(model).to_owned(),
                    state: expert.state,
                    signed: package.map(|p| p.signed),
                    bytes: package.and_then(|p| p.bytes),
                    sha256: package.map(|p| p.sha256),
                    path: package.map(|p| p.path.clone()),
                });
            }
        }
        Self { rows }
    }

    /// The columns' heads.
    pub const HEAD: [&'static str; 6] = ["expert", "version", "base model", "state", "signed", "size"];

    /// The rows as text.
    pub fn cells(&self) -> Vec<[String; 6]> {
        let cells = |row: &Row| {
            let signed = row.signed.map_or("–", |signed| if signed { "yes" } else { "no" });
            let size = row.bytes.map_or_else(|| "–".to_owned(), size);
            let texts = [&row.expert, &row.version, &row.model].map(String::clone);
            let [expert, version, model] = texts;
            [expert, version, model, row.state.as_str().to_owned(), signed.to_owned(), size]
        };
        self.rows.iter().map(cells).collect()
    }

    /// A table in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("| {} |\n|---|---|---|---|---|---:|\n", Self::HEAD.join(" | "));
        // What names hold must neither end a cell nor become markup.
        let clean = |cell: &String| {
            let line = cell.replace(['\n', '\r'], " ").replace('&', "&amp;").replace('<', "&lt;");
            line.replace('\\', "\\\\").replace('|', "\\|").replace('`', "\\`").replace('*', "\\*").replace('_', "\\_")
        };
        for row in self.cells() {
            let _ = writeln!(text, "| {} |", row.iter().map(clean).collect::<Vec<_>>().join(" | "));
        }
        text
    }

    /// A page of its own, light or dark as the reader likes.
    pub fn html(&self) -> String {
        let mut text = String::from(HTML);
        for head in Self::HEAD {
            let _ = write!(text, "<th scope=\"col\">{head}</th>");
        }
        text.push_str("</tr></thead>\n<tbody>\n");
        for (row, cells) in self.rows.iter().zip(self.cells()) {
            let _ = write!(text, "<tr class=\"{}\">", row.state.as_str());
            for cell in cells {
                let _ = write!(text, "<td>{}</td>", escaped(&cell));
            }
            text.push_str("</tr>\n");
        }
        text.push_str("</tbody>\n</table>\n</body>\n</html>\n");
        text
    }
}

const HTML: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Experts</title>
<style>
:root { color-scheme: light dark; --line: #d0d7de; --soft: #f6f8fa; --stale: #9a6700; --fresh: #1a7f37 }
@media (prefers-color-scheme: dark) { :root { --line: #3d444d; --soft: #151b23; --stale: #d29922; --fresh: #3fb950 } }
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem }
table { border-collapse: collapse }
th, td { border: 1px solid var(--line); padding: .3rem .7rem; text-align: left }
th { background: var(--soft); position: sticky; top: 0 }
td:last-child { text-align: right; font-variant-numeric: tabular-nums }
.fresh td:nth-child(4) { color: var(--fresh) }
.stale td:nth-child(4), .new td:nth-child(4) { color: var(--stale) }
</style>
</head>
<body>
<table>
<thead><tr>";

#[cfg(test)]
mod tests {
    use super::{Matrix, Row, State};

    #[test]
    fn names_do_not_break_tables() {
        let row = |expert: &str, bytes| Row {
            expert: expert.into(),
            version: "1.0.0".into(),
            model: "qwen".into(),
            state: State::Stale,
            signed: None,
            bytes,
            sha256: None,
            path: None,
        };
        let matrix = Matrix { rows: vec![row("a|b\n<i>", Some(2048)), row("c", None)] };
        insta::assert_snapshot!(matrix.markdown(), @r"
        | expert | version | base model | state | signed | size |
        |---|---|---|---|---|---:|
        | a\|b &lt;i> | 1.0.0 | qwen | stale | – | 2.0 KiB |
        | c | 1.0.0 | qwen | stale | – | – |
        ");
        let html = matrix.html();
        assert!(html.contains("<td>a|b&#10;&lt;i&gt;</td>") && !html.contains("<i>"), "{html}");
    }
}
