//! `History`: what the index remembers of an expert's packages for questions that are asked later: keys of earlier runs,
//! fingerprints of weights.
//!
//! It stands behind the `Memo` in the index, on a line of its own, so that a run with nothing to do never parses it.

use serde::{Deserialize, Serialize};

use crate::base::RelPath;
use crate::base::digest::unhex;
use crate::engine::job::{Job, Open};
use crate::format::safetensors::Fingerprint;
use crate::store::ActionKey;
use crate::store::index::Record;

/// So many earlier runs of each package are remembered.
const RUNS: usize = 8;

/// The packages of an expert, in the order of its outputs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// One for each.
    pub packages: Vec<Past>,
}

/// The past of one package.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Past {
    /// The base model that it is for, where the manifest has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Is it signed?
    #[serde(default)]
    pub signed: bool,
    /// Keys of earlier runs that made something else, the latest first, as hex digits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    /// Its weights below the expert's folder, with what tells copies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<(RelPath, Fingerprint)>,
}

impl Past {
    /// Keys of earlier runs, the latest first.
    pub fn keys(&self) -> Vec<ActionKey> {
        self.keys.iter().filter_map(|key| unhex(key).map(ActionKey::new)).collect()
    }
}

impl History {
    /// Of a job whose packages are in their places.
    pub fn of(job: &Job, open: &Open) -> Self {
        let before = Self::kept(&open.previous);
        let then: Vec<ActionKey> = open.previous.outputs.iter().filter(|o| o.is_package).map(|o| o.key).collect();
        // Which package is which is told by their order: a new version has another file name and is still the same one.
        let same = then.len() == open.packages.len();
        let manifest = open.survey.manifest.as_ref();
        let past = |(at, slot): (usize, &crate::engine::job::PackageSlot)| {
            let layout = &open.survey.layouts[at];
            let mut keys = Vec::new();
            if same {
                let last = then[at];
                keys.extend(slot.key.get().filter(|(key, _)| *key != last).map(|_| last.hex()));
                keys.extend(before.packages.get(at).into_iter().flat_map(|past| past.keys.iter().cloned()));
                keys.truncate(RUNS);
            }
            let model = manifest.and_then(|m| m.base_models.get(layout.model)).filter(|_| layout.one_of_several);
            Past {
                model: model.map(|m| m.name.clone()),
                signed: job.target.signer.is_some(),
                keys,
                weights: open.weights(at),
            }
        };
        Self { packages: open.packages.iter().enumerate().map(past).collect() }
    }

    /// As a record of the index has it; empty where it has none.
    pub fn kept(record: &Record) -> Self {
        Self::decode(&record.memo)
    }

    /// As the memo in the index has it.
    pub fn decode(memo: &[u8]) -> Self {
        let line = memo.iter().position(|byte| *byte == b'\n').map_or(&[][..], |at| &memo[at + 1..]);
        serde_json::from_slice(line).unwrap_or_default()
    }

    /// The line for the index.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a history is plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::{History, Past};
    use crate::ops::memo::Memo;

    #[test]
    fn memo_and_history_share_a_record() {
        let memo = Memo { name: "two\nlines".into(), packages: 1, ..Memo::default() };
        let history = History { packages: vec![Past { signed: true, keys: vec!["ab".repeat(32)], ..Past::default() }] };
        let both = [memo.encode(), history.encode()].join(&b'\n');
        assert_eq!(Memo::decode(&both), Some(memo.clone()));
        assert_eq!(History::decode(&both), history);
        assert_eq!(history.packages[0].keys()[0].hex(), "ab".repeat(32));
        assert_eq!(History::decode(&memo.encode()), History::default());
        let (mut bytes, more) = (both, Memo { warnings: 2, ..memo });
        more.replace(&mut bytes);
        assert_eq!((Memo::decode(&bytes), History::decode(&bytes)), (Some(more), history));
    }
}
