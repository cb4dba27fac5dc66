//! `TorchFault`: why a torch file is refused.

use std::fmt;

use crate::base::Malformed;
use crate::format::pickle;
use crate::format::zip;

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Not written by `torch.save` at all.
    NotTorch,
    /// A TorchScript archive: it holds code.
    Script,
    /// The pickle names a global outside the allow-list.
    Global,
    /// The pickle is not one that `torch.save` writes.
    Pickle,
    /// The zip archive is malformed, damaged or made to be read in two ways.
    Zip(zip::Kind),
    /// A record that must be in the archive is missing, or one lies there that must not.
    Record,
    /// A tensor's shape is impossible or reaches beyond its storage.
    Shape,
    /// A storage has another type than its bytes or its other users say.
    Dtype,
    /// A storage has another size than the pickle says.
    Storage,
    /// More memory, depth or entries than a file may take.
    Limit,
    /// The file ends too early.
    Truncated,
    /// The file could not be read: a fault of the disk, not of the file.
    Unreadable,
}

/// Why a torch file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchFault {
    /// Its kind.
    pub kind: FaultKind,
    /// Place and phrase.
    pub malformed: Malformed,
    /// The global that is not on the list, as `module.name`.
    pub global: Option<String>,
}

impl TorchFault {
    /// `what` is wrong at byte `at`.
    pub fn new(kind: FaultKind, at: u64, what: impl Into<String>) -> Self {
        Self { kind, malformed: Malformed::new(at, what), global: None }
    }

    /// A fault of the pickle that begins at byte `start`.
    pub(super) fn in_pickle(fault: pickle::Fault<FaultKind>, start: u64) -> Self {
        let (kind, global) = match fault.kind {
            pickle::Kind::Malformed => (FaultKind::Pickle, None),
            pickle::Kind::Truncated => (FaultKind::Truncated, None),
            pickle::Kind::Global(name) => (FaultKind::Global, Some(name)),
            pickle::Kind::Limit => (FaultKind::Limit, None),
            pickle::Kind::Unreadable => (FaultKind::Unreadable, None),
            pickle::Kind::Refused(kind) => (kind, None),
        };
        Self { kind, malformed: Malformed::new(start.saturating_add(fault.at), fault.what), global }
    }
}

impl From<zip::Fault> for TorchFault {
    fn from(fault: zip::Fault) -> Self {
        let kind = match fault.kind {
            zip::Kind::Truncated => FaultKind::Truncated,
            zip::Kind::Limit => FaultKind::Limit,
            zip::Kind::Unreadable => FaultKind::Unreadable,
            other => FaultKind::Zip(other),
        };
        Self { kind, malformed: fault.malformed, global: None }
    }
}

impl fmt::Display for TorchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.malformed.fmt(f)
    }
}

impl std::error::Error for TorchFault {}
