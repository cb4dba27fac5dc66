//! `Content`: bytes that are sent, read from where they lie piece by piece.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::package_file::PackageFile;

/// How much is read at a time.
const PIECE: u64 = 256 * 1024;

/// Bytes to send.
#[derive(Debug, Clone)]
pub enum Content {
    /// Small ones.
    Memory(Arc<[u8]>),
    /// A package.
    Package(PackageFile),
    /// A file without a name, from its start.
    Spool(Arc<File>),
}

/// The pieces of a content. What the disk says no to, and a file that got shorter, is an error: a request that just ended
/// would look like a whole one.
pub(super) struct Pieces {
    content: Content,
    at: u64,
    size: u64,
    failed: bool,
    /// How far it is, for whoever watches.
    sent: Arc<AtomicU64>,
}

impl Pieces {
    /// The first `size` bytes.
    pub(super) fn new(content: &Content, size: u64, sent: Arc<AtomicU64>) -> Self {
        let content = match content {
            Content::Package(file) => Content::Package(file.again()),
            other => other.clone(),
        };
        Self { content, at: 0, size, failed: false, sent }
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::Memory(bytes) => {
                let rest = usize::try_from(self.at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let count = rest.len().min(out.len());
                out[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
            Content::Package(file) => file.read(out),
            Content::Spool(file) => file.read_at(out, self.at),
        }
    }
}

impl Iterator for Pieces {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let want = PIECE.min(self.size - self.at);
        if want == 0 || self.failed {
            return None;
        }
        let mut piece = vec![0; want as usize];
        let got = match self.read(&mut piece) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file got shorter while it was being sent")),
            other => other,
        };
        Some(got.map(|count| {
            piece.truncate(count);
            self.at += count as u64;
            self.sent.store(self.at, Ordering::Relaxed);
            piece
        }))
        .inspect(|item| self.failed = item.is_err())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Content, Pieces};

    #[test]
    fn pieces_make_the_whole_or_an_error() {
        let bytes: Vec<u8> = (0..700_001_u32).map(|i| i as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        for content in [Content::Memory(bytes.clone().into()), Content::Spool(Arc::new(file))] {
            let sent = Arc::new(AtomicU64::new(0));
            let whole: Vec<u8> = Pieces::new(&content, 700_001, sent.clone()).flat_map(Result::unwrap).collect();
            assert!(whole == bytes && sent.load(Ordering::Relaxed) == 700_001);
            let mut long = Pieces::new(&content, 700_002, sent);
            assert!(long.by_ref().any(|piece| piece.is_err()) && long.next().is_none());
        }
    }
}
