//! `Space`: a folder of its own for one test, in which the program runs with an environment of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::expert::Expert;

/// The programs under test.
pub const EXPERT_BUILD: &str = env!("CARGO_BIN_EXE_expert-build");
pub const EXPERT_CLI: &str = env!("CARGO_BIN_EXE_expert-cli");

/// A repo in a temporary folder, a cache and a home that no other test has.
pub struct Space {
    root: tempfile::TempDir,
    env: BTreeMap<String, String>,
    umask: &'static str,
}

impl Space {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("space-").tempdir().expect("a temporary folder can be made");
        for folder in ["repo", "home"] {
            std::fs::create_dir(root.path().join(folder)).expect("it is new");
        }
        let mut space = Self { root, env: BTreeMap::new(), umask: "022" };
        space.set("HOME", &space.outer("home").display().to_string());
        space.set("EXPERT_BUILD_CACHE_DIR", &space.outer("cache").display().to_string());
        space
    }

    /// A space with these experts, each in `experts/<name>`, and an Expertfile that has them as members.
    pub fn with(experts: &[Expert]) -> Self {
        let space = Self::new();
        space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n");
        for expert in experts {
            space.add(&format!("experts/{}", expert.name()), expert);
        }
        space
    }

    /// Sets a variable for all later runs.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }

    /// Sets the mask for files that later runs create.
    pub fn umask(&mut self, mask: &'static str) {
        self.umask = mask;
    }

    /// Uses this cache instead of the space's own.
    pub fn share_cache(&mut self, other: &Self) {
        self.set("EXPERT_BUILD_CACHE_DIR", &other.outer("cache").display().to_string());
    }

    /// A path in the repo. Joining an absolute path would leave it, so that is refused.
    #[track_caller]
    pub fn path(&self, path: &str) -> PathBuf {
        let inside = |part: std::path::Component| matches!(part, std::path::Component::Normal(_));
        assert!(Path::new(path).components().all(inside), "`{path}` leaves the space");
        self.root.path().join("repo").join(path)
    }

    /// A path beside the repo.
    pub fn outer(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a path in the repo has a parent")).expect("folders can be made");
        std::fs::write(path, content).expect("a file can be written");
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Writes an expert into a folder of the repo.
    pub fn add(&self, folder: &str, expert: &Expert) {
        for (path, content) in expert.files() {
            self.write(&below(folder, &path), content);
        }
    }

    /// Copies a tree into the repo.
    pub fn copy(&self, from: &Path, to: &str) {
        for path in files_below(from) {
            self.write(&below(to, &path), std::fs::read(from.join(&path)).expect("a source can be read"));
        }
    }

    /// What tells whether a file was written again: inode and time of the last change.
    pub fn stamp(&self, path: &str) -> (u64, i64, i64) {
        let stat = std::fs::metadata(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        (stat.ino(), stat.mtime(), stat.mtime_nsec())
    }

    /// Every package and its side file: path, stamp.
    pub fn outputs(&self) -> Vec<(String, (u64, i64, i64))> {
        let all = files_below(&self.path("")).into_iter();
        all.filter(|path| path.contains(".expert")).map(|path| (path.clone(), self.stamp(&path))).collect()
    }

    /// Every package and its side file: path, content.
    pub fn packages(&self) -> BTreeMap<String, Vec<u8>> {
        let all = files_below(&self.path("")).into_iter();
        all.filter(|path| path.contains(".expert")).map(|path| (path.clone(), self.read(&path))).collect()
    }

    /// Runs `expert-build` in the repo.
    pub fn run(&self, arguments: &str) -> Ran {
        self.run_as(EXPERT_BUILD, "", &arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a program in a folder of the repo.
    pub fn run_as(&self, program: &str, folder: &str, arguments: &[&str]) -> Ran {
        let output = self.command(program, folder, arguments).output().expect("the program runs");
        Ran::new(&output, self.root.path())
    }

    /// A program, ready to run in a folder of the repo.
    pub fn command(&self, program: &str, folder: &str, arguments: &[&str]) -> Command {
        // A shell, as a umask cannot be set for a child otherwise.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "umask $0; exec \"$@\"", self.umask, program]).args(arguments);
        command.current_dir(self.path(folder)).env_clear().envs(&self.env).stdin(Stdio::null());
        command
    }
}

/// What became of a run.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn new(output: &Output, root: &Path) -> Self {
        let real = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).expect("the program prints UTF-8");
            text.replace(&*real.to_string_lossy(), "[SPACE]").replace(&*root.to_string_lossy(), "[SPACE]")
        };
        let code = output.status.code().unwrap_or(-1);
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Must have ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}", self.shown());
        self
    }

    /// Must have ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Must have said this, on stdout or stderr.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "`{text}` is not in\n{}", self.shown());
        self
    }

    /// How many packages were built, restored, up to date and failed, as the last line says.
    #[track_caller]
    pub fn counts(&self) -> [usize; 4] {
        let last = self.stderr.lines().last().unwrap_or("");
        let all = regex::Regex::new(r"^(\d+) packages? up to date").expect("a valid expression");
        if let Some(found) = all.captures(last) {
            return [0, 0, found[1].parse().expect("a number"), 0];
        }
        ["built", "restored", "up to date", "failed"].map(|word| {
            let number = regex::Regex::new(&format!(r"\b{word} (\d+)")).expect("a valid expression");
            number.captures(last).map_or(0, |found| found[1].parse().expect("a number"))
        })
    }

    /// Must have built, restored, found up to date and failed so many packages.
    #[track_caller]
    pub fn did(self, counts: [usize; 4]) -> Self {
        assert_eq!(self.counts(), counts, "\n{}", self.shown());
        self
    }

    /// All of it, with what differs from run to run taken out.
    pub fn shown(&self) -> String {
        let mut text = format!("exit {}\n", self.code);
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                let _ = write!(text, "--- {name}\n{}", redacted(stream));
            }
        }
        text
    }
}

/// A path below a folder, which may be the repo itself: the empty path.
fn below(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// The text with `[TIME]` for every time that something took, and `[SIZE]` for sizes, which the compressor decides.
pub fn redacted(text: &str) -> String {
    let time = regex::Regex::new(r"\b\d+(\.\d+)? ?(µs|us|ms|s|min)\b").expect("a valid expression");
    let size = regex::Regex::new(r"\b\d+(\.\d+)? (B|KiB|MiB)\b").expect("a valid expression");
    size.replace_all(&time.replace_all(text, "[TIME]"), "[SIZE]").into_owned()
}

/// All files below a folder, as sorted paths relative to it.
pub fn files_below(top: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![top.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let entry = entry.expect("a folder can be listed");
            if entry.file_type().expect("a kind of file").is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path().strip_prefix(top).expect("below it").to_str().expect("UTF-8").to_owned());
            }
        }
    }
    files.sort();
    files
}

/// Finds a tool of the machine; says so where there is none.
pub fn tool(name: &str, arguments: &[&str]) -> Option<Command> {
    let there = Command::new(name).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Some(Command::new(name));
    }
    eprintln!("SKIPPED: {name} is not installed");
    None
}

/// Runs a tool that must succeed, and gives back what it printed.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("the tool runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    format!("{out}{err}")
}
