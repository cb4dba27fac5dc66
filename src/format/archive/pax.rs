//! pax records: `LENGTH KEY=VALUE\n`, of which only `path` and `size` mean something here.
//!
//! Source: POSIX.1-2017 pax, "pax Extended Header". Records that would change what an entry *is* are refused; times,
//! owners and comments are skipped. Readers of the world disagree on doubled and empty values, so those are refused too.

use crate::format::archive::header::shown;

/// What the records say about the next entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// Its path.
    pub path: Option<Vec<u8>>,
    /// Length of its content.
    pub size: Option<u64>,
}

impl Records {
    /// Reads all records. The error is a phrase.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, String> {
        let mut records = Self::default();
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or("the pax header has a record that cannot be read")?;
            bytes = rest;
            let known = matches!(key, b"path" | b"size");
            if known && value.is_empty() {
                return Err(format!("the pax record `{}` is empty", shown(key)));
            }
            let twice = match key {
                b"path" => records.path.replace(value.to_vec()).is_some(),
                b"size" => {
                    let text = std::str::from_utf8(value).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
                    let size = text.and_then(|t| t.parse().ok()).filter(|n| i64::try_from(*n).is_ok());
                    let size = size.ok_or_else(|| format!("the pax record `size={}` is no size", shown(value)))?;
                    records.size.replace(size).is_some()
                }
                b"linkpath" => return Err("a pax record makes the entry a link".into()),
                _ if key.starts_with(b"GNU.sparse.") => return Err("a pax record makes the entry a sparse file".into()),
                _ => false,
            };
            if twice {
                return Err(format!("the pax record `{}` stands twice", shown(key)));
            }
        }
        Ok(records)
    }
}

/// Key, value and what follows.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let digits = bytes[..space].iter().all(u8::is_ascii_digit);
    let length: usize = std::str::from_utf8(&bytes[..space]).ok().filter(|_| digits)?.parse().ok()?;
    let body = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::Records;

    #[test]
    fn records_are_read_strictly() {
        let good = Records::parse(b"12 path=a/b\n20 mtime=1700000000\n9 size=3\n").unwrap();
        assert_eq!(good, Records { path: Some(b"a/b".to_vec()), size: Some(3) });
        assert_eq!(Records::parse(b""), Ok(Records::default()));
        for (bytes, phrase) in [
            (&b"12 path=a/b"[..], "cannot be read"),
            (b"99 path=a/b\n", "cannot be read"),
            (b"11 path=a/b\n", "cannot be read"),
            (b"+9 size=3\n", "cannot be read"),
            (b" path=a/b\n", "cannot be read"),
            (b"0 \n", "cannot be read"),
            (b"8 path=\n", "is empty"),
            (b"12 path=a/b\n12 path=a/c\n", "stands twice"),
            (b"11 size=-3\n", "is no size"),
            (b"11 size=+3\n", "is no size"),
            (b"28 size=9999999999999999999\n", "is no size"),
            (b"14 linkpath=a\n", "a link"),
            (b"22 GNU.sparse.major=1\n", "sparse"),
            (b"99999999999999999999999 path=a\n", "cannot be read"),
        ] {
            let fault = Records::parse(bytes).unwrap_err();
            assert!(fault.contains(phrase), "{}: {fault}", bytes.escape_ascii());
        }
    }
}
