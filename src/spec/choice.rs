//! The settings that are a word out of a closed list: compression, signing, what the remote cache does.

pub use crate::format::segment::Compression;
use crate::spec::value::words;

words! { Compression, "gzip",
    "gzip" => Compression::Gzip, "One gzip member, which everything reads.";
    "zstd" => Compression::Zstd, "zstd frames with a seek table: smaller, and any one file can be read alone.";
    "none" => Compression::None, "A bare tar archive.";
}

/// Are packages signed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Never.
    Off,
    /// When there is a key.
    Auto,
    /// Always: no key is an error.
    Required,
}

words! { Sign, "auto",
    "off" => Sign::Off, "Never signed.";
    "auto" => Sign::Auto, "Signed when there is a key.";
    "required" => Sign::Required, "Signed, and without a key nothing is built.";
}

/// When results are sent to the remote cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Never.
    Never,
    /// In CI, and not for a pull request.
    Ci,
    /// Always.
    Always,
}

words! { Write, "ci",
    "never" => Write::Never, "Nothing is sent.";
    "ci" => Write::Ci, "Results are sent in CI, and not for a pull request.";
    "always" => Write::Always, "Results are always sent.";
}

/// What happens when the remote cache does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// A warning; the build goes on without it.
    Warn,
    /// The build fails.
    Fail,
}

words! { OnError, "warn",
    "warn" => OnError::Warn, "A warning is shown and the build goes on without it.";
    "fail" => OnError::Fail, "The build fails.";
}

/// Which packages of a remote cache are written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Download {
    /// All of them.
    All,
    /// None: it is enough to know that it has them.
    Minimal,
}

words! { Download, "all",
    "all" => Download::All, "Packages are fetched and written.";
    "minimal" => Download::Minimal, "Packages that the remote cache has are told, not written.";
}
