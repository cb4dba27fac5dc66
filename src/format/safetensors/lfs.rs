//! Git LFS pointers: the small text that stands in a checkout where the content was not fetched.
//!
//! Three `key value` lines, sorted but for `version` (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>):
//! `version https://git-lfs.github.com/spec/v1`, `oid sha256:<hex>`, `size <bytes>`; under 1,024 bytes in all.

/// What a pointer points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LfsPointer {
    /// The object's name: its SHA-256 in hex.
    pub oid: String,
    /// The content's size in bytes.
    pub size: u64,
}

const VERSIONS: [&str; 3] = [
    "version https://git-lfs.github.com/spec/v1",
    "version https://hawser.github.com/spec/v1",
    "version http://git-media.io/v/2",
];

/// The pointer that these first bytes of a file are, if they are one.
pub fn is_lfs_pointer(prefix: &[u8]) -> Option<LfsPointer> {
    let head = &prefix[..prefix.len().min(1024)];
    if !head.starts_with(b"version http") {
        return None;
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(fault) => std::str::from_utf8(&head[..fault.valid_up_to()]).ok()?,
    };
    let mut lines = text.lines();
    let version = lines.next()?.trim_end();
    if !VERSIONS.contains(&version) {
        return None;
    }
    let (mut oid, mut size) = (None, None);
    for line in lines {
        match line.split_once(' ') {
            Some(("oid", value)) => oid = Some(value.trim().strip_prefix("sha256:").unwrap_or(value.trim()).to_owned()),
            Some(("size", value)) => size = value.trim().parse().ok(),
            _ => {}
        }
    }
    Some(LfsPointer { oid: oid?, size: size? })
}

#[cfg(test)]
mod tests {
    use super::{LfsPointer, is_lfs_pointer};

    #[test]
    fn pointers_are_told_from_content() {
        let text = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab12\nsize 132\n";
        assert_eq!(is_lfs_pointer(text), Some(LfsPointer { oid: "ab12".into(), size: 132 }));
        let crlf = b"version https://git-lfs.github.com/spec/v1\r\noid sha256:ab12\r\nsize 132\r\n";
        assert_eq!(is_lfs_pointer(crlf), Some(LfsPointer { oid: "ab12".into(), size: 132 }));
        assert_eq!(is_lfs_pointer(b"version https://git-lfs.github.com/spec/v1\nsize 132\n"), None);
        assert_eq!(is_lfs_pointer(b"version https://example.org/\noid sha256:ab12\nsize 1\n"), None);
        assert_eq!(is_lfs_pointer(&[8, 0, 0, 0, 0, 0, 0, 0, b'{']), None);
        assert_eq!(is_lfs_pointer(b""), None);
    }
}
