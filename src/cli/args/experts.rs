//! The arguments of the verbs that show the repo: `ls`, `graph`, `affected`, `matrix`.

use clap::{Args, ValueEnum};

use crate::cli::args::Choice;

pub(super) const LS_MORE: &str = "\
Examples:
  expert-build ls                        every expert: version, state, models, tags
  expert-build ls tag:prod --format json | jq -r .folder

Nothing but manifests that changed is read; `status` says what is stale and why.";
pub(super) const GRAPH_MORE: &str = "\
Examples:
  expert-build graph                     who requires whom
  expert-build graph --format svg > experts.svg
  expert-build graph --tasks expert-sql --format dot | dot -Tpng > tasks.png";
pub(super) const AFFECTED_MORE: &str = "\
Examples:
  expert-build affected --base origin/main
  expert-build affected --base origin/main | xargs -r expert-build check

Prints folders, which select the experts. A base that git does not know is an error, never all experts.";
pub(super) const MATRIX_MORE: &str = "\
Examples:
  expert-build matrix                    expert, version, base model, state, signed, size
  expert-build matrix --format markdown >> README.md
  expert-build matrix --format html > experts.html";

/// `ls`
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Which experts.
    #[command(flatten)]
    pub choice: Choice,
    /// Print as text or json (one object an expert)
    #[arg(long, value_name = "FORM", default_value = "text", hide_possible_values = true)]
    pub format: Plain,
}

/// `graph`
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// Which experts.
    #[command(flatten)]
    pub choice: Choice,
    /// Show the tasks of a build instead of requirements
    #[arg(long)]
    pub tasks: bool,
    /// Print as text, json, dot, mermaid or svg
    #[arg(long, value_name = "FORM", default_value = "text", hide_possible_values = true)]
    pub format: GraphForm,
}

/// `affected`
#[derive(Debug, Args)]
pub struct AffectedArgs {
    /// Compare with where this branch left that commit or branch
    #[arg(long, value_name = "REF")]
    pub base: String,
    /// Print as text or json (one object an expert)
    #[arg(long, value_name = "FORM", default_value = "text", hide_possible_values = true)]
    pub format: Plain,
}

/// `matrix`
#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Which experts.
    #[command(flatten)]
    pub choice: Choice,
    /// Print as text, markdown, html or json (one object a row)
    #[arg(long, value_name = "FORM", default_value = "text", hide_possible_values = true)]
    pub format: MatrixForm,
}

/// Text or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plain {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// How a graph is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphForm {
    /// For people.
    Text,
    /// Nodes and edges.
    Json,
    /// For Graphviz.
    Dot,
    /// For Markdown.
    Mermaid,
    /// A picture.
    Svg,
}

/// How the matrix is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatrixForm {
    /// For people.
    Text,
    /// A table in Markdown.
    Markdown,
    /// A page.
    Html,
    /// One object a row.
    Json,
}
