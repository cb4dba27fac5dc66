//! `Memory`: what a glance at a repo and the index that it looked at tell of the disk, for resolving to ask instead.
//!
//! Grounds that hold leave little open: all that resolving asked, it would be answered again, but perhaps for what lies in
//! the folder of an expert that is no longer as its record has it. There alone the disk is asked. Resolving is a function of
//! the request and the answers, so where each of those is the one of then, so are the experts and their settings.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::RelPath;
use crate::ops::asked::Answer;
use crate::ops::glance::Glance;
use crate::spec::expertfile;
use crate::store::Index;
use crate::store::index::RecordView;
use crate::store::stat::Kind;

/// What is known of the disk.
pub struct Memory<'m> {
    glance: &'m Glance,
    index: &'m Index,
    /// The questions of the grounds: what was asked beyond what the records tell.
    answers: BTreeMap<&'m str, Vec<Answer>>,
    /// Where the last expert's record is. Experts are mostly asked for in their order.
    near: Cell<usize>,
}

impl<'m> Memory<'m> {
    /// Of these two; `None` where the glance was at another index.
    pub fn of(glance: &'m Glance, index: &'m Index) -> Option<Self> {
        let mut answers: BTreeMap<&str, Vec<Answer>> = BTreeMap::new();
        for question in glance.asked() {
            answers.entry(question.path.to_str()?).or_default().push(question.answer);
        }
        glance.looked.is_of(index).then_some(Self { glance, index, answers, near: Cell::new(0) })
    }

    /// The repo's folder.
    pub fn root(&self) -> &'m Path {
        &self.glance.root
    }

    /// Is there a file? `None` where only the disk can tell.
    pub fn is_file(&self, path: &RelPath) -> Option<bool> {
        if self.answers.contains_key(path.as_str()) {
            return None;
        }
        let (folder, name) = parted(path);
        let record = self.record(folder).filter(|_| self.glance.looked.is_fresh_now(folder))?;
        // The record tells that nothing came into the folder, and that the manifest is the file of then.
        match name == expertfile::NAME {
            true => Some(false),
            false => record.stats().tells_of(folder, path.as_str()).then_some(true),
        }
    }

    /// Was this the answer when the grounds were laid? `linked`: did a link lead there?
    pub fn holds(&self, path: Option<&RelPath>, answer: Answer, linked: bool) -> bool {
        if let Some(then) = self.answers.get(path.map_or("", RelPath::as_str)) {
            return then.contains(&answer);
        }
        let Some(path) = path.filter(|_| !linked) else { return false };
        let (folder, name) = parted(path);
        // What the grounds do not speak of is that every expert has a manifest and no Expertfile.
        self.record(folder).is_some_and(|record| match answer {
            Answer::Nothing => name == expertfile::NAME,
            Answer::Is(Kind::File) => record.stats().tells_of(folder, path.as_str()),
            _ => false,
        })
    }

    fn record(&self, folder: &str) -> Option<RecordView<'m>> {
        let mut near = self.near.get();
        let record = self.index.get_near(folder, &mut near);
        self.near.set(near);
        record
    }
}

/// The folder of a file as the index names it, and the file's name.
fn parted(path: &RelPath) -> (&str, &str) {
    path.as_str().rsplit_once('/').unwrap_or((".", path.as_str()))
}
