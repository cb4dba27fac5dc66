//! Manual pages, made from the arguments as `--help` is.

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::base::{Error, Result};
use crate::cli::args::Cli;

/// The page of the program.
pub fn page() -> Result<Vec<u8>> {
    rendered(Cli::command()).map(|(_, page)| page)
}

/// The pages of the program and of every verb, by the names of their files.
pub fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    let mut todo = vec![command];
    while let Some(command) = todo.pop() {
        todo.extend(command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned());
        pages.push(rendered(command)?);
    }
    pages.sort();
    Ok(pages)
}

fn rendered(command: Command) -> Result<(String, Vec<u8>)> {
    let source = format!("expert-build {}", env!("CARGO_PKG_VERSION"));
    // What stands below the help is set in columns, which paragraphs would undo.
    let notes = command.get_after_help().map(ToString::to_string);
    let has_verbs = command.get_subcommands().next().is_some();
    let man = Man::new(command.after_help("")).source(source).manual("expert-build manual");
    let mut page = Vec::new();
    let mut write = || -> std::io::Result<()> {
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if has_verbs {
            man.render_subcommands_section(&mut page)?;
        }
        if let Some(notes) = &notes {
            let mut section = Roff::new();
            section.control("SH", ["NOTES"]).control("nf", []).text([roman(notes.trim_end())]).control("fi", []);
            section.to_writer(&mut page)?;
        }
        Ok(())
    };
    write().map_err(|e| Error::io("write", "the manual page", e))?;
    Ok((man.get_filename(), page))
}
