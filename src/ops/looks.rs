//! `Looks`: which of the chosen experts are as they were, what the index remembers of those, and targets for the others.

use std::borrow::Cow;
use std::sync::Arc;

use crate::base::Result;
use crate::engine::freshness::{Verdict, look};
use crate::engine::target::Target;
use crate::ops::glance::UpToDate;
use crate::ops::memo::Memo;
use crate::ops::provenance;
use crate::ops::workspace::Workspace;
use crate::store::Index;

/// The chosen experts, looked at.
pub struct Looks<'i> {
    /// Those that are up to date, in order.
    pub fresh: Vec<Fresh<'i>>,
    /// Those that are not, in order.
    pub stale: Vec<Stale>,
    /// What is remembered of those that are up to date, where it is known without asking for each.
    pub total: Option<UpToDate>,
}

/// An expert that is up to date.
pub struct Fresh<'i> {
    /// Its number in the repo.
    pub number: usize,
    /// What the index remembers of it: its `Memo` and its `History`.
    pub memo: &'i [u8],
    /// Its target, where its settings had to be compared.
    pub target: Option<Arc<Target>>,
}

/// An expert that is not as it was.
pub struct Stale {
    /// Its number in the repo.
    pub number: usize,
    /// Its target.
    pub target: Arc<Target>,
    /// Why.
    pub why: Cow<'static, str>,
}

impl Fresh<'_> {
    /// What others must know of it.
    pub fn memo(&self) -> Memo {
        Memo::decode(self.memo).unwrap_or_default()
    }
}

impl<'i> Looks<'i> {
    /// With those that are up to date but for their provenance, which is not there, among those that are not.
    pub fn with_provenance(mut self, index: &Index) -> Self {
        for fresh in std::mem::take(&mut self.fresh) {
            match fresh.target {
                Some(target) if provenance::is_missing(index, &target) => {
                    let why = "its provenance is not there".into();
                    self.stale.push(Stale { number: fresh.number, target, why });
                }
                _ => self.fresh.push(fresh),
            }
        }
        self.stale.sort_by_key(|stale| stale.number);
        Self { total: None, ..self }
    }

    /// The targets that there are.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let fresh = self.fresh.iter().filter_map(|fresh| fresh.target.as_deref());
        fresh.chain(self.stale.iter().map(|stale| &*stale.target))
    }

    /// Looks at experts with so many threads. Where the repo was recalled by the grounds of this index, settings are known
    /// to be as they were, and nobody needs a target who needs no work.
    pub fn at(workspace: &Workspace, index: &'i Index, chosen: &[usize], threads: usize) -> Result<Self> {
        let glance = workspace.glanced(index).filter(|_| workspace.recalls(index));
        let Some(glance) = glance else { return Self::with_targets(workspace, index, chosen, None, threads) };
        let mut near = 0;
        let (mut fresh, mut others, mut before) = (Vec::with_capacity(chosen.len()), Vec::new(), glance.remembered());
        for number in chosen {
            let label = workspace.repo.experts[*number].label();
            let memo = index.get_near(label, &mut near).and_then(|view| view.memo());
            match memo.filter(|_| glance.looked.is_fresh_now(label)) {
                Some(memo) => fresh.push(Fresh { number: *number, memo, target: None }),
                None => {
                    let memo = memo.and_then(Memo::decode).unwrap_or_default();
                    before.packages = before.packages.saturating_sub(memo.packages.max(1));
                    before.warnings = before.warnings.saturating_sub(memo.warnings);
                    others.push(*number);
                }
            }
        }
        let is_all = chosen.len() == workspace.repo.experts.len();
        let others = Self::with_targets(workspace, index, &others, None, threads)?;
        let total = Some(before).filter(|_| is_all && others.fresh.is_empty());
        fresh.extend(others.fresh);
        Ok(Self { fresh, stale: others.stale, total })
    }

    /// The same, with a target for each, and each settings compared. Where all are `asked_for`, that is why they are stale.
    pub fn with_targets(
        workspace: &Workspace,
        index: &'i Index,
        chosen: &[usize],
        asked_for: Option<&'static str>,
        threads: usize,
    ) -> Result<Self> {
        let targets = workspace.targets(chosen)?;
        let seen = workspace.glanced(index).map(|glance| &glance.looked);
        let verdicts = look(&workspace.root, index, &targets, asked_for, threads, seen);
        let mut looks = Self { fresh: Vec::new(), stale: Vec::new(), total: None };
        for ((number, target), verdict) in chosen.iter().copied().zip(targets).zip(verdicts) {
            match verdict {
                Verdict::Fresh(memo) => looks.fresh.push(Fresh { number, memo, target: Some(target) }),
                Verdict::Stale(why) => looks.stale.push(Stale { number, target, why }),
            }
        }
        Ok(looks)
    }
}
