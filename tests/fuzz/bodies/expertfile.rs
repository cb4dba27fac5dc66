//! The fuzz body of Expertfiles: any bytes, in a repo of three experts, resolve or are refused with a place.

use expert_build::base::{At, RelPath, Result};
use expert_build::spec::{Folder, Request, init, resolve, show};

/// A repo whose Expertfiles, its own and a member's, are these bytes.
struct Repo<'a>(&'a str);

impl Folder for Repo<'_> {
    fn read(&self, path: &RelPath) -> Result<Option<String>> {
        Ok(self.is_file(path)?.then(|| if path.file_name() == "manifest.json" { "{}" } else { self.0 }.to_owned()))
    }

    fn is_file(&self, path: &RelPath) -> Result<bool> {
        let files = ["Expertfile.toml", "manifest.json", "experts/css/manifest.json", "experts/sql/manifest.json"];
        Ok(files.contains(&path.as_str()) || path.as_str() == "experts/own/Expertfile.toml")
    }

    fn is_dir(&self, path: &RelPath) -> Result<bool> {
        Ok(["experts", "experts/css", "experts/own", "experts/sql"].contains(&path.as_str()))
    }

    fn real(&self, path: &RelPath) -> Result<std::path::PathBuf> {
        Ok(path.as_str().into())
    }

    fn holds(&self, _: Option<&RelPath>, _: &str, _: &RelPath) -> Result<bool> {
        Ok(false)
    }

    fn list(&self, path: Option<&RelPath>) -> Result<Vec<(String, bool)>> {
        let names: &[(&str, bool)] = match path.map(RelPath::as_str) {
            None => &[("Expertfile.toml", false), ("experts", true), ("manifest.json", false)],
            Some("experts") => &[("css", true), ("own", true), ("sql", true)],
            Some("experts/own") => &[("Expertfile.toml", false)],
            Some(_) => &[("manifest.json", false)],
        };
        Ok(names.iter().map(|(name, is_dir)| ((*name).to_owned(), *is_dir)).collect())
    }
}

/// Resolves `data` as Expertfile, without a profile and with one.
pub fn expertfile(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    one(&Repo(&text), None);
    one(&Repo(&text), Some("ci"));
    assert!(init(&Repo(&text)).is_err(), "there is an Expertfile already");
}

fn one(repo: &Repo<'_>, profile: Option<&str>) {
    let request = Request { profile: profile.map(str::to_owned), ..Request::default() };
    match resolve(repo, &request) {
        Ok(resolved) => {
            assert!(!resolved.experts.is_empty());
            assert!(toml::from_str::<toml::Table>(&show(&resolved, true)).is_ok(), "what `config` shows is TOML");
        }
        Err(error) => {
            assert_eq!(error.exit_code(), 2, "{error}");
            for found in error.diagnostics() {
                if let At::Text { start, end, .. } = found.at {
                    let source = found.source.as_ref().expect("a place has a text");
                    assert!(source.get(start as usize..end as usize).is_some(), "{found:?}");
                }
            }
        }
    }
}
