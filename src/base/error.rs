//! `Error`: work that could not be done, split by what the reader can do next.

use std::path::{Path, PathBuf};

use crate::base::{Diagnostic, Severity};

/// The result of work that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Work that could not be done. The cause sits in `source()`, never in the message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to do instead.
        help: Option<String>,
    },
    /// The Expertfile is wrong.
    #[error("the Expertfile cannot be used")]
    Expertfile(Vec<Diagnostic>),
    /// Files of experts are wrong.
    #[error("validation failed")]
    Invalid(Vec<Diagnostic>),
    /// What would be built is not what was promised: exit 1.
    #[error("what would be built differs from Expertfile.lock")]
    Differs(Vec<Diagnostic>),
    /// Requirements between experts are unmet, cyclic or contradictory.
    #[error("the experts' requirements cannot be met")]
    Requirements(Vec<Diagnostic>),
    /// Disk, lock or cache.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// A verb: `read`, `write`, `create`, `lock`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another machine did not answer as it should.
    #[error("{message}")]
    Network {
        /// What failed.
        message: String,
        /// Why, where known.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A package is not what it says it is: hashes, signature, structure.
    #[error("{message}")]
    Integrity {
        /// What is wrong.
        message: String,
    },
    /// The user stopped the run.
    #[error("interrupted")]
    Interrupted,
    /// Something that cannot happen did.
    #[error("internal error: {0}")]
    Bug(String),
}

impl Error {
    /// `action` on `path` failed.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: None }
    }

    /// The command line is wrong, and this would be right.
    pub fn usage_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), help: Some(help.into()) }
    }

    /// These findings, among them errors, keep an expert from being built: what the Expertfile or a flag asks for is not to
    /// be had of it, or its files are wrong.
    pub fn of_expert(found: Vec<Diagnostic>) -> Self {
        let is_asked = |d: &Diagnostic| d.severity != Severity::Error || d.code.name.starts_with("expertfile-");
        if found.iter().all(is_asked) { Self::Expertfile(found) } else { Self::Invalid(found) }
    }

    /// A package is not whole.
    pub fn integrity(message: impl Into<String>) -> Self {
        Self::Integrity { message: message.into() }
    }

    /// The same error again, for whoever meets it later. A cause that is not the system's keeps its text alone.
    pub fn again(&self) -> Self {
        let copy = |source: &std::io::Error| match source.raw_os_error() {
            Some(code) => std::io::Error::from_raw_os_error(code),
            None => std::io::Error::new(source.kind(), source.to_string()),
        };
        match self {
            Self::Usage { message, help } => Self::Usage { message: message.clone(), help: help.clone() },
            Self::Expertfile(found) => Self::Expertfile(found.clone()),
            Self::Invalid(found) => Self::Invalid(found.clone()),
            Self::Requirements(found) => Self::Requirements(found.clone()),
            Self::Differs(found) => Self::Differs(found.clone()),
            Self::Io { action, path, source } => Self::Io { action, path: path.clone(), source: copy(source) },
            Self::Network { message, source } => {
                Self::Network { message: message.clone(), source: source.as_ref().map(|e| e.to_string().into()) }
            }
            Self::Integrity { message } => Self::Integrity { message: message.clone() },
            Self::Interrupted => Self::Interrupted,
            Self::Bug(message) => Self::Bug(message.clone()),
        }
    }

    /// The frozen exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Expertfile(_) => 2,
            Self::Io { .. } | Self::Network { .. } => 3,
            Self::Requirements(_) => 4,
            Self::Integrity { .. } => 5,
            Self::Invalid(_) => 11,
            Self::Differs(_) => 1,
            Self::Bug(_) => 101,
            Self::Interrupted => 130,
        }
    }

    /// The findings it carries.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Expertfile(found) | Self::Invalid(found) | Self::Requirements(found) | Self::Differs(found) => found,
            _ => &[],
        }
    }
}

/// How many errors are among these findings.
pub fn errors(found: &[Diagnostic]) -> usize {
    found.iter().filter(|d| d.severity == Severity::Error).count()
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn an_error_told_again_says_the_same() {
        let full = std::io::Error::from_raw_os_error(28);
        for error in [
            Error::usage_help("no", "yes"),
            Error::Expertfile(Vec::new()),
            Error::Invalid(Vec::new()),
            Error::Requirements(Vec::new()),
            Error::Differs(Vec::new()),
            Error::io("write", "x", full),
            Error::io("read", "x", std::io::Error::other("why")),
            Error::Network { message: "gone".into(), source: Some("why".into()) },
            Error::integrity("torn"),
            Error::Interrupted,
            Error::Bug("1 is 2".into()),
        ] {
            let again = error.again();
            let cause = |error: &Error| std::error::Error::source(error).map(ToString::to_string);
            assert_eq!(
                (again.to_string(), again.exit_code(), cause(&again)),
                (error.to_string(), error.exit_code(), cause(&error))
            );
        }
    }
}
