//! `Space`: a folder with packages, and the program run in it with nothing in its environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::packages::{self, Native, key};
use expert_build::format::segment::Compression;

pub struct Space {
    folder: TempDir,
}

/// What became of a run.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    what: String,
}

impl Space {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        Self { folder }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        packages::put(self.folder.path(), path, bytes)
    }

    /// A package as expert-build makes it.
    pub fn package(&self, name: &str, compression: Compression, signed: bool) -> Vec<u8> {
        let key = key(7);
        let bytes = Native::new(compression).bytes(signed.then_some(&key));
        self.write(name, &bytes);
        bytes
    }

    /// One of 2.5 MB.
    pub fn big_package(&self, name: &str) -> Vec<u8> {
        let bytes = Native::big(Compression::Gzip).bytes(None);
        self.write(name, &bytes);
        bytes
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_expert-build"));
        command.env_clear().env("HOME", self.path("home")).current_dir(self.folder.path());
        command
    }

    pub fn run(&self, line: &str) -> Run {
        let output = self.command().args(line.split_whitespace()).output().unwrap();
        Run::of(line, &output)
    }

    /// Every file below a folder, by its path.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let (mut found, mut folders) = (Vec::new(), vec![self.path(folder)]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => found.push(shown(&entry.path(), self.folder.path())),
                }
            }
        }
        found.sort();
        found
    }
}

fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

impl Run {
    pub fn of(line: &str, output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let code = output.status.code().expect("no signal ended it");
        let what = format!("{line}\nexit {code}\n--- stdout\n{stdout}--- stderr\n{stderr}");
        Self { code, stdout, stderr, what }
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.what);
        self
    }

    /// It ends with this code and says so.
    #[track_caller]
    pub fn fails(self, code: i32, why: &str) -> Self {
        assert!(self.code == code && self.stderr.contains(why), "{code}, `{why}` were expected:\n{}", self.what);
        let told = self.stdout.contains("hunter2") || self.stderr.contains("hunter2");
        assert!(!told, "a password is told:\n{}", self.what);
        self
    }

    /// It says this on stderr.
    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        assert!(self.stderr.contains(what), "`{what}` was expected:\n{}", self.what);
        self
    }

    /// The digest at the end of its answer.
    pub fn digest(&self) -> String {
        format!("sha256:{}", self.stdout.trim().rsplit_once("@sha256:").unwrap().1)
    }
}
