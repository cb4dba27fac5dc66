//! The verbs that show the repo: `ls`, `graph`, `affected`, `matrix`.

use crate::base::Result;
use crate::cli::args::{AffectedArgs, GraphArgs, GraphForm, LsArgs, MatrixArgs, MatrixForm, Plain};
use crate::cli::out::{self, BOLD, paint};
use crate::cli::render::diagnostic::printable;
use crate::cli::render::{count, json};
use crate::cli::settings::{self, Settings};
use crate::cli::verbs::{opened, opened_after};
use crate::ops::affected::affected as affected_op;
use crate::ops::experts::select;
use crate::ops::glance::Glance;
use crate::ops::graph::{self as graph_op, Format};
use crate::ops::list::{Listed, Matrix, list, list_briefly};

/// `ls`
pub fn ls(args: &LsArgs, settings: &Settings) -> Result<u8> {
    let glance = Glance::at(&settings.setup(&[]), settings::cores());
    opened_after(settings, glance, |workspace, _| {
        let chosen = select(workspace, &args.choice.selectors, settings::cores())?;
        let is_json = settings.json || args.format == Plain::Json;
        if is_json {
            let experts = list(workspace, &chosen, settings::cores())?;
            experts.iter().try_for_each(json::answer)?;
            return Ok(0);
        }
        let experts = list_briefly(workspace, &chosen, settings::cores())?;
        let rows = experts.iter().map(|expert| {
            let models: Vec<&str> = expert.models.iter().map(|model| last(model)).collect();
            let tags: Vec<String> = expert.tags.iter().map(|tag| format!("tag:{tag}")).collect();
            let about = [models.join(" "), tags.join(" ")].join(" ");
            [name(expert), &expert.version, expert.state.as_str(), &expert.folder, about.trim_end()].map(printable)
        });
        columns(["expert", "version", "state", "folder", "models and tags"], &rows.collect::<Vec<_>>())?;
        Ok(0)
    })
}

/// How the user knows an expert.
fn name(expert: &Listed) -> &str {
    if expert.name.is_empty() { &expert.folder } else { &expert.name }
}

/// A base model without the path that some manifests have before it.
fn last(model: &str) -> &str {
    model.rsplit(['/', '\\']).next().unwrap_or(model)
}

/// A table with a head. The last column is as wide as it is.
fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<()> {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([head[at].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = paint(BOLD, line(&head.map(str::to_owned)));
    // In one go: whoever reads it is called once.
    out::answer(&std::iter::once(head).chain(rows.iter().map(|row| line(row))).collect::<Vec<_>>().join("\n"))
}

/// `graph`
pub fn graph(args: &GraphArgs, settings: &Settings) -> Result<u8> {
    opened(settings, |workspace, _| {
        let chosen = select(workspace, &args.choice.selectors, settings::cores())?;
        let graph = match args.tasks {
            true => graph_op::tasks(workspace, &chosen, settings::cores())?,
            false => graph_op::requirements(workspace, &chosen, settings::cores()),
        };
        if settings.json {
            json::answer(&graph)?;
            return Ok(0);
        }
        let format = match args.format {
            GraphForm::Text => Format::Text,
            GraphForm::Json => Format::Json,
            GraphForm::Dot => Format::Dot,
            GraphForm::Mermaid => Format::Mermaid,
            GraphForm::Svg => Format::Svg,
        };
        out::answer(graph.write(format)?.trim_end())?;
        Ok(0)
    })
}

/// `affected`
pub fn affected(args: &AffectedArgs, settings: &Settings) -> Result<u8> {
    opened(settings, |workspace, look| {
        let affected = affected_op(workspace, &args.base, settings::cores())?;
        if settings.json || args.format == Plain::Json {
            affected.experts.iter().try_for_each(json::answer)?;
            return Ok(0);
        }
        for expert in &affected.experts {
            // As a path even where it has one part: a bare word would be a name.
            let folder = look.shown(&workspace.root.join(&expert.folder).to_string_lossy());
            let folder = if folder.contains('/') || folder == "." { folder } else { format!("./{folder}") };
            out::answer(&printable(&folder))?;
            if settings.verbose {
                expert.files.iter().for_each(|file| out::tell(&format!("  {} changed", printable(file))));
                expert.through.iter().for_each(|name| out::tell(&format!("  requires `{}`", printable(name))));
            }
        }
        if !settings.quiet {
            let experts = count(affected.experts.len() as u64, "expert");
            let base = affected.base.get(..12).unwrap_or(&affected.base);
            let others = count(affected.others as u64, "changed file");
            out::tell(&format!("{experts} affected since {base}; {others} of no expert"));
        }
        Ok(0)
    })
}

/// `matrix`
pub fn matrix(args: &MatrixArgs, settings: &Settings) -> Result<u8> {
    opened(settings, |workspace, _| {
        let chosen = select(workspace, &args.choice.selectors, settings::cores())?;
        let matrix = Matrix::of(&list(workspace, &chosen, settings::cores())?);
        match args.format {
            MatrixForm::Json => matrix.rows.iter().try_for_each(json::answer)?,
            _ if settings.json => matrix.rows.iter().try_for_each(json::answer)?,
            MatrixForm::Markdown => out::answer(matrix.markdown().trim_end())?,
            MatrixForm::Html => out::answer(matrix.html().trim_end())?,
            MatrixForm::Text => {
                let rows: Vec<[String; 6]> =
                    matrix.cells().into_iter().map(|row| row.map(|cell| printable(&cell))).collect();
                columns(Matrix::HEAD, &rows)?;
            }
        }
        Ok(0)
    })
}
