//! `RelPath`: the path of a file inside an expert or a package, relative, with `/`, never leaving its folder.

use std::borrow::Borrow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A relative path: UTF-8, `/` between its parts, no empty part, no `.` or `..`, no NUL, no backslash,
/// no drive letter. Ordered by bytes, as the entries of a package are. Clones share the text: one file's path stands in
/// its layout, its slot, its reports.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelPath(Arc<str>);

/// Why a text is not a `RelPath`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// The text is empty.
    #[error("the path is empty")]
    Empty,
    /// It begins with `/` or a drive letter.
    #[error("the path is absolute")]
    Absolute,
    /// One of its parts is `..`.
    #[error("the path leaves its folder (`..`)")]
    Parent,
    /// An empty part or a `.`.
    #[error("the path has an empty part or a `.`")]
    NotNormal,
    /// A NUL, another control character or a backslash.
    #[error("the path holds a backslash or a control character")]
    Character,
    /// Over 4,096 bytes, or a part over 255.
    #[error("the path is too long")]
    TooLong,
}

impl RelPath {
    /// Longest path in bytes.
    pub const MAX: usize = 4096;

    /// Takes the text as it stands.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, PathFault> {
        let text = text.into();
        check(&text)?;
        Ok(Self(text))
    }

    /// Like [`RelPath::new`], after dropping leading and inner `./` and turning a doubled or final `/` into one or none:
    /// what a person may type.
    pub fn lenient(text: &str) -> Result<Self, PathFault> {
        if text.starts_with('/') {
            return Err(PathFault::Absolute);
        }
        let parts: Vec<&str> = text.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        Self::new(parts.join("/"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// All but the last part, where there is one.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// This path with another below it.
    pub fn join(&self, below: &Self) -> Self {
        Self(format!("{}/{}", self.0, below.0).into())
    }

    /// The path of this file when its folder is `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        // A hundred thousand of them are kept: not a byte more than it takes.
        let mut path = PathBuf::with_capacity(root.as_os_str().len() + 1 + self.0.len());
        path.push(root);
        path.extend(self.0.split('/'));
        path
    }
}

fn check(text: &str) -> Result<(), PathFault> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err(PathFault::Empty);
    }
    if bytes.len() > RelPath::MAX {
        return Err(PathFault::TooLong);
    }
    if bytes[0] == b'/' || bytes[0] == b'\\' || (bytes.len() > 1 && bytes[1] == b':' && bytes[0].is_ascii_alphabetic())
    {
        return Err(PathFault::Absolute);
    }
    if text.split(['/', '\\']).any(|part| part == "..") {
        return Err(PathFault::Parent);
    }
    if bytes.iter().any(|b| *b < 0x20 || *b == 0x7f || *b == b'\\') {
        return Err(PathFault::Character);
    }
    for part in text.split('/') {
        match part {
            "" | "." => return Err(PathFault::NotNormal),
            _ if part.len() > 255 => return Err(PathFault::TooLong),
            _ => {}
        }
    }
    Ok(())
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl FromStr for RelPath {
    type Err = PathFault;

    fn from_str(text: &str) -> Result<Self, PathFault> {
        Self::new(text)
    }
}

impl Borrow<str> for RelPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RelPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{PathFault, RelPath};

    #[test]
    fn only_paths_that_stay_inside() {
        for (text, fault) in [
            ("", PathFault::Empty),
            ("/etc/passwd", PathFault::Absolute),
            ("C:/x", PathFault::Absolute),
            ("\\\\host\\x", PathFault::Absolute),
            ("a/../../b", PathFault::Parent),
            ("a\\..\\b", PathFault::Parent),
            ("a//b", PathFault::NotNormal),
            ("./a", PathFault::NotNormal),
            ("a/", PathFault::NotNormal),
            ("a\0b", PathFault::Character),
            ("a\\b", PathFault::Character),
        ] {
            assert_eq!(RelPath::new(text), Err(fault), "{text:?}");
        }
        assert!(RelPath::new("x".repeat(256)).is_err());
        assert_eq!(RelPath::lenient("./a//b/").map(|p| p.to_string()), Ok("a/b".into()));
        assert_eq!(RelPath::lenient("../a"), Err(PathFault::Parent));
    }

    #[test]
    fn order_is_by_bytes() {
        let mut paths = ["b", "a/b", "a-b", "a", "B"].map(|p| RelPath::new(p).expect("fine"));
        paths.sort();
        assert_eq!(paths.map(|p| p.to_string()), ["B", "a", "a-b", "a/b", "b"]);
    }
}
