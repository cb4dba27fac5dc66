//! `Space`: a folder of its own, the programs run in it with a cleared environment, and what became of that as text.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A folder to run in.
pub struct Space {
    folder: TempDir,
    written: Cell<Instant>,
}

impl Space {
    /// An empty folder.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("repo")).unwrap();
        Self { folder, written: Cell::new(Instant::now()) }
    }

    /// A workspace with the example experts `english-basic` and `sql`.
    pub fn workspace() -> Self {
        let space = Self::empty();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        for part in ["experts/english-basic", "experts/sql"] {
            copy(&examples.join(part), &space.path(part));
        }
        space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n");
        space
    }

    /// The path of a file in it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("repo").join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.written.set(Instant::now());
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Replaces a text that stands in a file once.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {path}");
        self.write(path, &text.replace(from, to));
    }

    /// `expert-build` with nothing in its environment but where its cache and configuration lie.
    pub fn command(&self) -> Command {
        self.program(env!("CARGO_BIN_EXE_expert-build"))
    }

    pub fn program(&self, path: &str) -> Command {
        let mut command = Command::new(path);
        command.env_clear().current_dir(self.path(""));
        for (name, folder) in [("HOME", "home"), ("XDG_CACHE_HOME", "cache"), ("XDG_CONFIG_HOME", "config")] {
            command.env(name, self.folder.path().join(folder));
        }
        command
    }

    /// Runs `expert-build` and gives exit code and both streams as text.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        self.settle();
        let output = self.command().args(arguments).output().unwrap();
        self.shown(&output)
    }

    /// A file that changed in the same tick as the build read it is looked at again by the next build, as nobody can
    /// tell whether it changed once more. So that what is told is the same in each run, the tick is let pass.
    fn settle(&self) {
        std::thread::sleep(Duration::from_millis(30).saturating_sub(self.written.get().elapsed()));
    }

    /// The same, split at spaces.
    pub fn x(&self, line: &str) -> String {
        self.run(line.split_whitespace())
    }

    /// stdout of a run that must succeed.
    pub fn stdout(&self, line: &str) -> String {
        let output = self.command().args(line.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", self.shown(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn shown(&self, output: &Output) -> String {
        let mut text = format!("exit {}", output.status.code().map_or("by a signal".into(), |code| code.to_string()));
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !bytes.is_empty() {
                text.push_str(&format!("\n--- {name}\n{}", self.redacted(&String::from_utf8_lossy(bytes))));
            }
        }
        text
    }

    /// Without what is another in each run: times, keys, the folder.
    pub fn redacted(&self, text: &str) -> String {
        let real = self.folder.path().canonicalize().unwrap();
        let text = text.replace(&*real.to_string_lossy(), "[SPACE]");
        let text = text.replace(&*self.folder.path().to_string_lossy(), "[SPACE]");
        let text = replace(&text, r"\b\d+\.\d+ s\b", "[TIME]");
        let text = replace(&text, r"ed25519:[0-9a-f]{64}", "ed25519:[KEY]");
        let text = replace(&text, r"\b[0-9a-f]{64}\b", "[SHA256]");
        replace(&text, r"\b[0-9a-f]{12}\b", "[SHORT]")
    }
}

fn replace(text: &str, pattern: &str, by: &str) -> String {
    regex::Regex::new(pattern).unwrap().replace_all(text, by).into_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&from, &to),
            // What a build left there is no part of the example.
            false if from.extension().is_some_and(|ending| ending == "expert" || ending == "sha256") => {}
            false => {
                fs::copy(from, to).unwrap();
            }
        }
    }
}
