//! What git knows of a repo: which files differ from another state of it. Runs the user's `git`; reads, never writes.

#![expect(clippy::disallowed_methods, reason = "git is asked and answers at the same time")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::base::{Error, Result};
use crate::store::{Stat, fs};

/// Files that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The root of git's working tree.
    pub top: PathBuf,
    /// The commit that the working tree was compared with.
    pub base: String,
    /// Below the root: what was changed, added, removed or is untracked. A submodule that moved is its folder.
    pub files: BTreeSet<String>,
    /// Submodules that were looked into, each with the commit that it was compared with.
    submodules: BTreeMap<String, String>,
}

/// The files that differ between the working tree that `folder` lies in and the point where its branch left `base`.
pub fn changed(folder: &Path, base: &str) -> Result<Changed> {
    ask(folder, base)?.answer()
}

/// Git, looking for what differs while others do something else.
pub struct Asked {
    top: PathBuf,
    base: String,
    diff: Child,
    others: Child,
    staged: Child,
}

/// Asks which files those are, and waits for no answer yet.
pub fn ask(folder: &Path, base: &str) -> Result<Asked> {
    if base.is_empty() || base.starts_with('-') {
        return Err(Error::usage_help(
            format!("`{base}` is no commit"),
            "`--base` is a branch, a tag or a commit: `--base origin/main`",
        ));
    }
    let top = text(run(folder, &["rev-parse", "--show-toplevel"])?).map_err(|said| {
        let help = "`affected` compares the working tree with a commit: run it in a clone of the repository";
        match said.contains("dubious ownership") {
            true => Error::usage(format!("git does not trust this folder: {said}")),
            false => Error::usage_help(format!("`{}` does not lie in a git repository", folder.display()), help),
        }
    })?;
    let top = fs::canonical(Path::new(&top))?;
    if text(run(&top, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?).is_err() {
        return Err(Error::usage("the repository has no commit yet, so nothing can be compared"));
    }
    let commit = format!("{base}^{{commit}}");
    let commit = text(run(&top, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])?)
        .map_err(|_| missing(&top, base))?;
    let base = text(run(&top, &["merge-base", &commit, "HEAD"])?).map_err(|_| unrelated(&top, base))?;
    // The longest of the three first. Renames are told as one file gone and one new: both experts are affected. A submodule is
    // looked into on its own.
    let others = start(&top, &["ls-files", "--others", "--exclude-standard", "-z"])?;
    let diff = ["diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules=dirty", &base, "--"];
    let diff = start(&top, &diff)?;
    let staged = start(&top, &["ls-files", "--stage", "-z"])?;
    Ok(Asked { top, base, diff, others, staged })
}

impl Asked {
    /// The answer.
    pub fn answer(self) -> Result<Changed> {
        let Self { top, base, diff, others, staged } = self;
        let done = |child: Child| child.wait_with_output().map_err(|e| Error::io("run git in", &top, e));
        let (diff, staged, others) = (done(diff), done(staged), done(others));
        let mut changed = Changed { top, base, files: BTreeSet::new(), submodules: BTreeMap::new() };
        changed.files.extend(names(diff?, "diff")?);
        changed.files.extend(names(others?, "ls-files")?);
        for submodule in submodules(&changed.top, staged?)? {
            changed.look_into(submodule)?;
        }
        Ok(changed)
    }
}

impl Changed {
    /// What differs inside a submodule, from the commit that the base of the repo above has of it. Where that commit is not
    /// there, the submodule as a whole counts as changed, which it then is by the repo's own diff.
    fn look_into(&mut self, path: String) -> Result<()> {
        let folder = self.top.join(&path);
        let commit = format!("{}:{path}", self.base);
        let Ok(then) = text(run(&self.top, &["rev-parse", "--verify", "--quiet", &commit])?) else {
            // It was not there: all of it is new.
            self.files.insert(path);
            return Ok(());
        };
        let diff = ["diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", &then, "--"];
        let mut found = Vec::new();
        match names(run(&folder, &diff)?, "diff") {
            Ok(names) => {
                self.files.remove(&path);
                found = names;
                self.submodules.insert(path.clone(), then);
            }
            Err(_) => drop(self.files.insert(path.clone())),
        }
        found.extend(names(run(&folder, &["ls-files", "--others", "--exclude-standard", "-z"])?, "ls-files")?);
        self.files.extend(found.into_iter().map(|name| format!("{path}/{name}")));
        Ok(())
    }

    /// What these files held in the commits that they were compared with, by name. One that was not there is left out.
    pub fn then(&self, files: &[&str]) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut asked: BTreeMap<(PathBuf, &str), Vec<(&str, &str)>> = BTreeMap::new();
        for file in files {
            let inside = self.submodules.iter().find_map(|(path, commit)| {
                Some((self.top.join(path), commit.as_str(), file.strip_prefix(path.as_str())?.strip_prefix('/')?))
            });
            let (folder, commit, name) = inside.unwrap_or_else(|| (self.top.clone(), &self.base, file));
            asked.entry((folder, commit)).or_default().push((file, name));
        }
        let mut found = BTreeMap::new();
        for ((folder, commit), files) in asked {
            let names: Vec<&str> = files.iter().map(|(_, name)| *name).collect();
            let texts = show(&folder, commit, &names)?;
            let texts = files.iter().zip(texts).filter_map(|((file, _), text)| Some(((*file).to_owned(), text?)));
            found.extend(texts);
        }
        Ok(found)
    }
}

/// The texts of files as they were in a commit, all from one git; `None` for one that was not there.
fn show(folder: &Path, commit: &str, files: &[&str]) -> Result<Vec<Option<Vec<u8>>>> {
    let mut asked = Vec::new();
    // A question is a line.
    for file in files.iter().filter(|file| !file.contains('\n')) {
        asked.extend_from_slice(format!("{commit}:{file}\n").as_bytes());
    }
    let mut git = start_with(folder, &["cat-file", "--batch"], Stdio::piped())?;
    let mut stdin = git.stdin.take();
    let output = std::thread::scope(|scope| {
        // Where git fails it reads no more, and says why.
        scope.spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(&asked)));
        git.wait_with_output().map_err(|e| Error::io("run git in", folder, e))
    })?;
    let failed = |said: &str| Error::usage(format!("`git cat-file` failed: {said}"));
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim()));
    }
    let mut rest = output.stdout.as_slice();
    let mut next = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        if line.ends_with(" missing") {
            return Some(None);
        }
        // `<object> blob <bytes>`, the bytes, and a newline.
        let length: usize = line.rsplit(' ').next()?.parse().ok()?;
        let text = rest.get(..length)?.to_vec();
        rest = rest.get(length + 1..)?;
        Some(Some(text))
    };
    let answer = |file: &&str| match file.contains('\n') {
        true => Ok(None),
        false => next().ok_or_else(|| failed("its answer ends too soon")),
    };
    files.iter().map(answer).collect()
}

/// Folders of the submodules that are checked out, among all that is staged.
fn submodules(top: &Path, mut staged: Output) -> Result<Vec<String>> {
    // There may be a hundred thousand files; links to submodules are few.
    let is_link = |line: &&[u8]| line.starts_with(b"160000 ");
    staged.stdout = staged.stdout.split(|byte| *byte == 0).filter(is_link).collect::<Vec<_>>().join(&0);
    let links = names(staged, "ls-files")?;
    let paths = links.into_iter().filter_map(|line| Some(line.split_once('\t')?.1.to_owned()));
    Ok(paths.filter(|path| Stat::of(&top.join(path).join(".git")).is_ok()).collect())
}

fn run(folder: &Path, arguments: &[&str]) -> Result<Output> {
    start(folder, arguments)?.wait_with_output().map_err(|e| Error::io("run git in", folder, e))
}

fn start(folder: &Path, arguments: &[&str]) -> Result<Child> {
    start_with(folder, arguments, Stdio::null())
}

fn start_with(folder: &Path, arguments: &[&str], stdin: Stdio) -> Result<Child> {
    // Paths as they are, no colours, no pager, no questions, no lock that would disturb the user's own git.
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["--no-optional-locks", "-c", "core.quotePath=false", "-c", "core.fsmonitor=false"]);
    git.args(arguments).env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").stdin(stdin);
    git.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::usage_help("`git` is not installed", "`affected` asks git what changed: install it")
        }
        _ => Error::io("run git in", folder, e),
    })
}

/// The one line that git said, else its complaint.
fn text(output: Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Names that git said, each followed by a NUL. One that is not UTF-8 cannot belong to an expert's package.
fn names(output: Output, what: &str) -> Result<Vec<String>> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::usage(format!("`git {what}` failed: {said}")));
    }
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn is_shallow(top: &Path) -> bool {
    run(top, &["rev-parse", "--is-shallow-repository"]).is_ok_and(|out| text(out).is_ok_and(|said| said == "true"))
}

/// The name of the remote and of what is on it: `origin/main` is `main` of `origin`.
fn remote(top: &Path, base: &str) -> (String, String) {
    let remotes = run(top, &["remote"]).ok().and_then(|out| text(out).ok()).unwrap_or_default();
    let full = base.strip_prefix("refs/remotes/").unwrap_or(base);
    // `origin/main` is meant so even where no remote is set up yet.
    let named = remotes
        .lines()
        .chain(["origin"])
        .find_map(|remote| Some((remote, full.strip_prefix(remote)?.strip_prefix('/')?)));
    let (remote, name) = named.unwrap_or((remotes.lines().find(|r| *r == "origin").unwrap_or("origin"), full));
    (remote.to_owned(), name.split(['~', '^', '@']).next().unwrap_or(name).to_owned())
}

/// How to get a commit that is not there.
fn fetch(top: &Path, base: &str) -> String {
    let (remote, name) = remote(top, base);
    let is_commit = name.len() >= 7 && name.bytes().all(|b| b.is_ascii_hexdigit());
    match (is_commit, base == name) {
        (true, _) => format!("git fetch --depth=1000 {remote} {name}"),
        // A branch by its bare name is wanted as a branch of this clone.
        (false, true) => {
            format!("git fetch --depth=1000 {remote} {name}:refs/remotes/{remote}/{name}` and `--base {remote}/{name}")
        }
        (false, false) => format!("git fetch --depth=1000 {remote} {name}:refs/remotes/{remote}/{name}"),
    }
}

fn missing(top: &Path, base: &str) -> Error {
    let shallow = if is_shallow(top) { " (the clone is shallow: it has only the latest commits)" } else { "" };
    Error::usage_help(
        format!("there is no commit `{base}` in this clone{shallow}"),
        format!("fetch it: `{}`", fetch(top, base)),
    )
}

fn unrelated(top: &Path, base: &str) -> Error {
    if is_shallow(top) {
        let (remote, _) = remote(top, base);
        return Error::usage_help(
            format!("this clone is shallow: the commit where the branch left `{base}` is not in it"),
            format!(
                "fetch more of the history: `git fetch --deepen=1000 {remote}`, or all of it: `git fetch --unshallow {remote}`"
            ),
        );
    }
    Error::usage_help(
        format!("`{base}` and this branch have no commit in common"),
        "name a base that this branch grew from",
    )
}
