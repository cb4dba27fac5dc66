//! OpenSSF model signatures: of a package's files as they are unpacked, or of a folder's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{Error, Result, Sha256};
use crate::format::archive::Limits;
use crate::format::model_signing::{Model, ModelKey, bundle};
use crate::ops::contents::Contents;
use crate::ops::opened::Opened;
use crate::ops::sign::whole;
use crate::store::{fs, output};

pub use crate::format::model_signing::ENDING;

/// What git keeps in a folder is no part of a model.
const GIT: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// A bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bundled {
    /// The package or folder.
    pub model: PathBuf,
    /// Where the bundle lies.
    pub bundle: PathBuf,
    /// How many files it vouches for.
    pub files: usize,
}

/// Signs the files of a package, or of a folder: a sigstore bundle at `output`, else beside it with the ending
/// `.sigstore.json`. A package that is not whole is not signed.
pub fn sign_model(path: &Path, key: &ModelKey, output: Option<&Path>, limits: Limits) -> Result<Bundled> {
    let is_folder = fs::is_dir(path);
    let real = if is_folder { fs::canonical(path)? } else { path.to_path_buf() };
    let name = real.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let target = match output {
        Some(output) => output.to_path_buf(),
        None => real.with_file_name(format!("{name}{ENDING}")),
    };
    let mut ignored = Vec::new();
    let files = if is_folder {
        ignored.extend(GIT.map(str::to_owned));
        // A bundle inside of the folder cannot vouch for itself.
        let inside = target.parent().and_then(|parent| fs::canonical(parent).ok());
        let inside = inside.and_then(|parent| Some(parent.join(target.file_name()?)));
        ignored.extend(inside.and_then(|target| Some(target.strip_prefix(&real).ok()?.to_str()?.to_owned())));
        hashes_below(&real, &ignored)?
    } else {
        let opened = Opened::open(path, limits)?;
        let contents = Contents::read(&opened, |_| Ok(None))?;
        whole(&opened, &contents)?;
        contents.files.iter().map(|(path, (_, hash))| (path.to_string(), *hash)).collect()
    };
    if files.is_empty() {
        return Err(Error::usage(format!("`{}` holds no file to sign", path.display())));
    }
    let name = name.strip_suffix(".expert").filter(|stem| !is_folder && !stem.is_empty()).unwrap_or(&name);
    let text = bundle(&Model { name, files: &files, ignored: &ignored }, key);
    output::write(&target, text.as_bytes())?;
    Ok(Bundled { model: path.to_path_buf(), bundle: target, files: files.len() })
}

/// Every file below a folder with its hash. Links are refused: what they lead to is no part of the folder.
fn hashes_below(top: &Path, ignored: &[String]) -> Result<BTreeMap<String, Sha256>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::list(&top.join(&folder))? {
            let odd = |what: &str| {
                let at = top.join(&folder).join(&entry.shown);
                Err(Error::usage_help(
                    format!("`{}` is {what}", at.display()),
                    "a model signature covers regular files",
                ))
            };
            let Some(name) = &entry.name else { return odd("a name that is not UTF-8") };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if ignored.contains(&path) {
                continue;
            }
            match &entry {
                it if it.is_dir => folders.push(path),
                it if it.is_file => {
                    let hash = fs::sha256(&top.join(&path))?;
                    files.insert(path, hash);
                }
                it if it.is_link => return odd("a symbolic link"),
                _ => return odd("no regular file"),
            }
        }
    }
    Ok(files)
}
