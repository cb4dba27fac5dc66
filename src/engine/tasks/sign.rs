//! `sign`: the signature of a package, into its manifest. Always made here, with the key: no cache answers for it.
//!
//! What is signed are the hashes that the manifest lists, so nothing is read for it, however large the weights are.

use crate::base::event::Status;
use crate::base::{Error, Result};
use crate::engine::job::{Job, Open};
use crate::engine::tasks::Done;

/// Signs one package.
pub fn sign(job: &Job, open: &Open, package: usize) -> Result<Done> {
    let slot = &open.packages[package];
    let key = job.target.signer.as_ref().ok_or_else(|| Error::Bug("signing without a key".into()))?;
    let composed = slot.composed.get().ok_or_else(|| Error::Bug("signing without a manifest".into()))?;
    let signature = key.sign(composed.message().as_bytes());
    let _ = slot.signed.set(composed.clone().with_signature(&signature.to_string()));
    Ok(Done::new(Status::Done))
}
