//! `offer`: an expert that the local cache had, for a machine that lacks it.
//!
//! Nothing was asked for such an expert, and nothing of it was packed in this run. Where results are sent, one question tells
//! whether others would find it; only if not, its small files are packed again, and it is [given](mod@super::give) like any other.

use crate::base::Result;
use crate::base::event::Status;
use crate::engine::job::{Job, Open};
use crate::engine::remote::take::Taken;
use crate::engine::remote::task::Asked;
use crate::engine::scratch::Scratch;
use crate::engine::survey::SMALL;
use crate::engine::tasks::{Context, Done, hash};

/// Makes an expert ready to be given whose packages were restored. What the local cache no longer has whole is not offered.
pub fn offer(job: &Job, open: &Open, context: &Context<'_>, scratch: &mut Scratch, done: &mut Done) -> Result<()> {
    let Some(link) = context.remote.filter(|link| link.writes() && open.vouched.get().is_some()) else { return Ok(()) };
    // What is looked up here was found before: it is counted once.
    let mut again = Done::new(Status::Cached);
    for slot in open.files.iter().filter(|slot| slot.stat.size > SMALL) {
        if !hash::known_here(slot, job.target.codec, context, &mut again)? {
            return Ok(());
        }
    }
    let Some(asked) = Asked::expert(job, open, &link.policy.terms) else { return Ok(()) };
    let answer = context.pool.away(|| link.remote.result(&asked.action, &[]));
    let complete = link.heard(answer)?.flatten().is_some();
    if !complete {
        for slot in open.files.iter().filter(|slot| slot.stat.size <= SMALL) {
            hash::pack_small(slot, job.target.codec, context, scratch, &mut again)?;
        }
    }
    let _ = open.remote.set(Taken { complete, ..Taken::default() });
    done.notices.extend(link.notices());
    Ok(())
}
