//! `Asked`: the repo's folder as the spec layer sees it, and everything that was asked of it.
//!
//! Resolving has no other effects, so the answers are all that its outcome rests on beside the request: where each of them
//! would be the same again, so would be the outcome.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{Error, RelPath, Result};
use crate::ops::memory::Memory;
use crate::spec::{Folder, Repo, expertfile};
use crate::store::stat::{Kind, Links};
use crate::store::{DiskFolder, Stat, fs};

/// What stood at a path, and how much of that mattered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing, or a link that leads nowhere.
    Nothing,
    /// Something of this kind; what is in it did not matter.
    Is(Kind),
    /// This file, whose text was read.
    Holds(Stat),
    /// This folder, which was listed.
    Lists(Stat),
}

/// A question to the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Below the repo's root, or absolute.
    pub path: PathBuf,
    /// What was there.
    pub answer: Answer,
}

impl Question {
    /// Would it be answered the same now?
    pub fn holds(&self, root: &Path) -> bool {
        match (self.answer, Stat::following(&root.join(&self.path))) {
            (Answer::Nothing, Err(e)) => is_nothing(&e),
            (Answer::Is(kind), Ok(now)) => now.kind == kind,
            (Answer::Holds(then), Ok(now)) => now == then,
            (Answer::Lists(then), Ok(now)) => now.is_dir() && now.has_entries_of(&then),
            _ => false,
        }
    }
}

/// Does this error say that there is nothing?
fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// A folder, and what was asked of it.
pub struct Asked<'m> {
    disk: DiskFolder,
    heard: RefCell<Heard>,
    /// Answers instead of the disk where it can.
    memory: Option<Memory<'m>>,
}

/// The questions so far; `None` once one had an answer that may change without any stat's changing.
type Heard = Option<Vec<Asking>>;

struct Asking {
    path: Option<RelPath>,
    answer: Answer,
    /// Did a link lead there? What it leads to may come and go without a change of the folder that it lies in.
    linked: bool,
}

impl Asked<'static> {
    /// The folder at this path, of which nothing was asked yet.
    pub fn new(root: &Path) -> Self {
        Self { disk: DiskFolder::new(root), heard: RefCell::new(Some(Vec::new())), memory: None }
    }
}

impl<'m> Asked<'m> {
    /// The folder that was glanced at.
    pub fn recalling(memory: Memory<'m>) -> Self {
        let all = Asked::new(memory.root());
        Self { memory: Some(memory), ..all }
    }

    /// Was every answer the one that the memory has of it? Then so was the outcome.
    pub fn is_as_remembered(&self) -> bool {
        let Some(memory) = &self.memory else { return false };
        let same = |asked: &Asking| memory.holds(asked.path.as_ref(), asked.answer, asked.linked);
        self.heard.borrow().as_ref().is_some_and(|heard| heard.iter().all(same))
    }

    /// What was asked beyond that each expert's manifest is a file and that there is no Expertfile beside it: of these
    /// every record of the index speaks anyway. `None` where an answer proves nothing for later.
    pub fn beyond(self, repo: &Repo) -> Option<Vec<Question>> {
        let mut questions = Vec::new();
        let mut next = 0;
        for Asking { path, answer, linked } in self.heard.into_inner()? {
            let parent = path.as_ref().map(|path| path.as_str().rsplit_once('/').map(|(parent, _)| parent));
            // Experts are mostly asked for in their order.
            let found = parent.and_then(|parent| {
                let folder = |at: &usize| repo.experts.get(*at).map(|e| e.folder.as_ref().map(RelPath::as_str));
                let near = [next, next + 1].into_iter().find(|at| folder(at) == Some(parent));
                near.or_else(|| {
                    repo.experts.binary_search_by(|e| e.folder.as_ref().map(RelPath::as_str).cmp(&parent)).ok()
                })
            });
            next = found.unwrap_or(next);
            let is_known = |path: &RelPath, at: usize| match answer {
                Answer::Nothing => path.file_name() == expertfile::NAME,
                Answer::Is(Kind::File) => path.file_name() == repo.experts[at].manifest.value.as_str(),
                _ => false,
            };
            if linked || !found.zip(path.as_ref()).is_some_and(|(at, path)| is_known(path, at)) {
                let path = path.map_or_else(PathBuf::new, |path| PathBuf::from(path.as_str()));
                questions.push(Question { path, answer });
            }
        }
        questions.sort_by(|a, b| a.path.cmp(&b.path));
        questions.dedup();
        Some(questions)
    }

    fn hear(&self, path: Option<&RelPath>, answer: Answer, linked: bool) {
        if let Some(heard) = &mut *self.heard.borrow_mut() {
            heard.push(Asking { path: path.cloned(), answer, linked });
        }
    }

    /// Is there a file, as far as that is known?
    fn remembers(&self, path: &RelPath) -> Option<bool> {
        self.memory.as_ref()?.is_file(path)
    }

    fn forget(&self) {
        *self.heard.borrow_mut() = None;
    }

    /// What stands there, and whether a link leads to it.
    fn look(&self, path: &RelPath) -> Result<(Option<Stat>, bool)> {
        match self.disk.stat(path, Links::Keep)? {
            Some(stat) if stat.kind == Kind::Link => Ok((self.disk.stat(path, Links::Follow)?, true)),
            found => Ok((found, false)),
        }
    }

    fn kind(&self, path: &RelPath) -> Result<Option<Kind>> {
        let (found, linked) = self.look(path)?;
        let kind = found.map(|stat| stat.kind);
        self.hear(Some(path), kind.map_or(Answer::Nothing, Answer::Is), linked);
        Ok(kind)
    }
}

impl Folder for Asked<'_> {
    fn read(&self, path: &RelPath) -> Result<Option<String>> {
        if self.remembers(path) == Some(false) {
            return Ok(None);
        }
        let (found, linked) = self.look(path)?;
        let on_disk = self.disk.path(Some(path));
        let read = if found.is_some() { fs::read(&on_disk, 64 << 20)? } else { None };
        let Some((bytes, stat)) = read else {
            self.hear(Some(path), Answer::Nothing, linked);
            return Ok(None);
        };
        match stat.is_racy(fs::now()) {
            true => self.forget(),
            false => self.hear(Some(path), Answer::Holds(stat), linked),
        }
        text(bytes, &on_disk).map(Some)
    }

    fn is_file(&self, path: &RelPath) -> Result<bool> {
        self.remembers(path).map_or_else(|| Ok(self.kind(path)? == Some(Kind::File)), Ok)
    }

    fn is_dir(&self, path: &RelPath) -> Result<bool> {
        Ok(self.kind(path)? == Some(Kind::Dir))
    }

    fn real(&self, path: &RelPath) -> Result<PathBuf> {
        // No answer tells where links lead.
        self.forget();
        fs::canonical(&self.disk.path(Some(path)))
    }

    fn holds(&self, above: Option<&RelPath>, name: &str, file: &RelPath) -> Result<bool> {
        // No question can name it.
        self.forget();
        fs::has_file(&file.under(&self.disk.path(above).join(name)))
    }

    fn list(&self, path: Option<&RelPath>) -> Result<Vec<(String, bool)>> {
        let at = self.disk.path(path);
        // The stat comes first: what changes between it and the listing is noticed next time.
        match Stat::following(&at) {
            Ok(stat) if stat.is_dir() && !stat.is_racy(fs::now()) => self.hear(path, Answer::Lists(stat), true),
            Err(e) if is_nothing(&e) => self.hear(path, Answer::Nothing, true),
            _ => self.forget(),
        }
        let mut names = Vec::new();
        for entry in fs::list(&at)? {
            let Some(name) = entry.name else { continue };
            let mut is_dir = entry.is_dir;
            // A link to a folder may be a member: people link submodules and worktrees into place.
            if entry.is_link {
                let target =
                    RelPath::new(name.as_str()).map(|name| path.map_or_else(|| name.clone(), |at| at.join(&name)));
                is_dir = match target {
                    Ok(target) => self.is_dir(&target)?,
                    Err(_) => {
                        self.forget();
                        fs::is_dir(&at.join(&name))
                    }
                };
            }
            names.push((name, is_dir));
        }
        Ok(names)
    }
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::usage(format!("`{}` is not UTF-8", path.display())))
}

/// A folder as if one of its files were not there.
pub struct Without<'a>(pub &'a Asked<'a>, pub &'a RelPath);

impl Folder for Without<'_> {
    fn read(&self, path: &RelPath) -> Result<Option<String>> {
        if path == self.1 { Ok(None) } else { self.0.read(path) }
    }

    fn is_file(&self, path: &RelPath) -> Result<bool> {
        if path == self.1 { Ok(false) } else { self.0.is_file(path) }
    }

    fn real(&self, path: &RelPath) -> Result<PathBuf> {
        self.0.real(path)
    }

    fn holds(&self, above: Option<&RelPath>, name: &str, file: &RelPath) -> Result<bool> {
        self.0.holds(above, name, file)
    }

    fn is_dir(&self, path: &RelPath) -> Result<bool> {
        self.0.is_dir(path)
    }

    fn list(&self, path: Option<&RelPath>) -> Result<Vec<(String, bool)>> {
        self.0.list(path)
    }
}
