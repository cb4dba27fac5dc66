//! From texts to experts: Expertfile.toml as written, profiles, flags and variables, resolved to what each expert is
//! built with, every value with its origin. No effects: files come through [`Folder`], the environment in a map.

pub mod age;
pub mod amount;
pub mod choice;
pub mod expert;
pub mod expertfile;
pub mod glob;
pub mod host_path;
pub mod init;
pub mod layers;
pub mod lock;
pub mod members;
pub mod number;
pub mod origin;
pub mod profiles;
pub mod read;
pub mod request;
pub mod resolve;
pub mod schema;
pub mod select;
pub mod show;
pub mod template;
pub mod trust;
pub mod value;

use std::path::PathBuf;

use crate::base::{RelPath, Result};

pub use age::Age;
pub use amount::{Growth, Size};
pub use choice::{Compression, Download, OnError, Sign, Write};
pub use expert::{Expert, Naming};
pub use expertfile::Expertfile;
pub use glob::{Glob, Globs};
pub use host_path::{Base, HostPath, KeySource, Places};
pub use init::init;
pub use layers::{Cache, Remote};
pub use origin::{Origin, Setting};
pub use request::{Flag, Request};
pub use resolve::{Repo, resolve, resolve_cache, resolve_empty};
pub use schema::schema;
pub use select::select;
pub use show::{Row, recipe, show};
pub use template::{Template, slug};
pub use trust::TrustedKey;

/// The repo's files, as spec sees them.
pub trait Folder {
    /// The text of a file; `None` where there is none.
    fn read(&self, path: &RelPath) -> Result<Option<String>>;
    /// Is it a regular file? What cannot be looked at is an error: it may be one, and nobody would miss it.
    fn is_file(&self, path: &RelPath) -> Result<bool>;
    /// Is it a folder?
    fn is_dir(&self, path: &RelPath) -> Result<bool>;
    /// What tells a folder from all others, by whatever path and links it is reached.
    fn real(&self, path: &RelPath) -> Result<PathBuf>;
    /// Does a folder whose name no [`RelPath`] can hold have this file in it?
    fn holds(&self, above: Option<&RelPath>, name: &str, file: &RelPath) -> Result<bool>;
    /// Names in a folder (`None` is the root), each with whether it is a folder, sorted by bytes.
    fn list(&self, path: Option<&RelPath>) -> Result<Vec<(String, bool)>>;
}
