//! The verbs about settings, findings and formats: `init`, `config`, `explain`, `schema`, `completions`, `man`.

use serde::Serialize;

use crate::base::{Code, Error, Level, Result, codes, suggest};
use crate::cli::args::{CompletionsArgs, ConfigArgs, ExplainArgs, InitArgs, ManArgs, SchemaArgs, SchemaName};
use crate::cli::out::{self, BOLD, CYAN, DIM, RED, YELLOW, paint};
use crate::cli::render::diagnostic::Look;
use crate::cli::render::{count, json};
use crate::cli::settings::Settings;
use crate::cli::verbs::opened_by;
use crate::cli::{complete, man};
use crate::ops::workspace::Workspace;
use crate::ops::{init as init_op, write_report};
use crate::spec;

/// `init`
pub fn init(args: &InitArgs, settings: &Settings) -> Result<u8> {
    let done = init_op::init(&settings.here, args.force).map_err(|error| match error {
        Error::Usage { message, .. } if message.starts_with("there is an Expertfile") => {
            Error::usage_help(message, "`expert-build config` shows what it says; `--force` overwrites it")
        }
        error => error,
    })?;
    if settings.json {
        json::answer(&done)?;
    } else if !settings.quiet {
        let verb = if done.replaced { "replaced" } else { "wrote" };
        let path = Look::new(settings).shown(&done.path.to_string_lossy());
        let experts = match &done.experts[..] {
            [one] if one == "." => "this expert".to_owned(),
            experts => count(experts.len() as u64, "expert"),
        };
        out::tell(&format!("{verb} {path} for {experts}; `expert-build` builds what it says"));
    }
    Ok(0)
}

/// `config`
pub fn config(args: &ConfigArgs, settings: &Settings) -> Result<u8> {
    opened_by(settings, Workspace::open_empty, |workspace, _| {
        if args.keys.is_empty() && !settings.json {
            out::answer(spec::show(&workspace.repo, args.show_origin).trim_end())?;
            return Ok(0);
        }
        let rows = workspace.repo.rows();
        for key in &args.keys {
            if !rows.iter().any(|row| is(key, row)) {
                let help = suggest::did_you_mean(key, rows.iter().map(|row| row.key.as_str()));
                return Err(Error::Usage { message: format!("no value is set for `{key}`"), help });
            }
        }
        for row in rows.iter().filter(|row| args.keys.is_empty() || args.keys.iter().any(|key| is(key, row))) {
            if settings.json {
                json::answer(row)?;
                continue;
            }
            let expert = row.expert.as_ref().map_or(String::new(), |expert| format!("{expert}: "));
            let origin =
                if args.show_origin { format!("  {}", paint(DIM, format!("# {}", row.origin))) } else { String::new() };
            out::answer(&format!("{expert}{} = {}{origin}", row.key, row.value))?;
        }
        Ok(0)
    })
}

/// Is the key of this row meant? `cache.dir` and `dir` both mean `dir` of `[cache]`; `lints` all below it.
fn is(key: &str, row: &spec::Row) -> bool {
    let whole = match row.table {
        "[cache]" => format!("cache.{}", row.key),
        "[workspace]" => format!("workspace.{}", row.key),
        "[trust]" => format!("trust.{}", row.key),
        _ => row.key.clone(),
    };
    [&row.key, &whole].into_iter().any(|known| known == key || known.starts_with(&format!("{key}.")))
}

#[derive(Serialize)]
struct Explained {
    code: &'static str,
    level: Level,
    fixed: bool,
    summary: &'static str,
    explanation: &'static str,
}

/// `explain`
pub fn explain(args: &ExplainArgs, settings: &Settings) -> Result<u8> {
    let chosen: Vec<&'static Code> = match &args.code {
        None => codes::all().collect(),
        Some(typed) => {
            // As it stands in a message: `warning[file-missing]`.
            let word = typed.trim_end_matches(']').rsplit('[').next().unwrap_or(typed);
            let Some(code) = codes::find(word) else {
                let near = suggest::did_you_mean(word, codes::all().map(|code| code.name));
                let help = near.unwrap_or_else(|| "`expert-build explain` lists every code".into());
                return Err(Error::usage_help(format!("there is no finding `{word}`"), help));
            };
            vec![code]
        }
    };
    if settings.json {
        for code in chosen {
            let (level, fixed) = (code.level, code.fixed);
            json::answer(&Explained {
                code: code.name,
                level,
                fixed,
                summary: code.summary,
                explanation: code.explain,
            })?;
        }
        return Ok(0);
    }
    if args.code.is_none() {
        let width = chosen.iter().map(|code| code.name.len()).max().unwrap_or(0);
        for code in chosen {
            let (style, level) = level(code);
            let level = paint(style, format!("{level:<7}"));
            out::answer(&format!("{level}  {:<width$}  {}", code.name, code.summary))?;
        }
        return Ok(0);
    }
    for code in chosen {
        let (style, level) = level(code);
        let may = match (code.fixed, code.level) {
            (true, _) => "an error that no setting lowers",
            (false, Level::Deny) => "an error; `[lints]` may lower it",
            (false, Level::Warn) => "a warning; an error under `--strict`, and as `[lints]` says",
            (false, Level::Allow) => "a notice; `[lints]` may raise it",
        };
        let head = format!("{}[{}]: {}", paint(style, level), paint(BOLD, code.name), code.summary);
        out::answer(&format!("{head}\n\n{}\n\nLevel: {may}.", code.explain.trim_end()))?;
    }
    Ok(0)
}

fn level(code: &Code) -> (clap::builder::styling::Style, &'static str) {
    match code.level {
        Level::Deny => (RED, "error"),
        Level::Warn => (YELLOW, "warning"),
        Level::Allow => (CYAN, "note"),
    }
}

/// `schema`
pub fn schema(args: &SchemaArgs) -> Result<u8> {
    let text = match args.name {
        SchemaName::Expertfile => spec::schema(),
        SchemaName::Manifest => include_str!("../../../schema/manifest.schema.json").to_owned(),
        SchemaName::Events => include_str!("../../../schema/events.schema.json").to_owned(),
    };
    out::raw(text.as_bytes())?;
    Ok(0)
}

/// `completions`
pub fn completions(args: &CompletionsArgs) -> Result<u8> {
    out::raw(&complete::script(&args.shell.to_string())?)?;
    Ok(0)
}

/// `man`
pub fn man(args: &ManArgs, settings: &Settings) -> Result<u8> {
    let Some(dir) = &args.dir else {
        out::raw(&man::page()?)?;
        return Ok(0);
    };
    let pages = man::pages()?;
    for (name, page) in &pages {
        write_report::write(&settings.here.join(dir).join(name), page)?;
    }
    if !settings.quiet {
        let dir = Look::new(settings).shown(&settings.here.join(dir).to_string_lossy());
        out::tell(&format!("wrote {} into {dir}", count(pages.len() as u64, "page")));
    }
    Ok(0)
}
