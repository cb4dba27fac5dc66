//! Tar archives put together by hand, right or wrong in any field.

#![allow(clippy::unwrap_used, dead_code, reason = "tests own their effects")]

/// A header block whose checksum is right unless it is said otherwise.
#[derive(Clone)]
pub struct Block {
    pub name: Vec<u8>,
    pub kind: u8,
    pub size: Vec<u8>,
    pub link: Vec<u8>,
    pub gnu: bool,
    pub prefix: Vec<u8>,
    /// In the place of the right checksum.
    pub checksum: Option<Vec<u8>>,
}

pub fn octal(size: u64) -> Vec<u8> {
    format!("{size:011o}\0").into_bytes()
}

impl Block {
    pub fn file(name: impl AsRef<[u8]>, size: u64) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            kind: b'0',
            size: octal(size),
            link: Vec::new(),
            gnu: false,
            prefix: Vec::new(),
            checksum: None,
        }
    }

    pub fn kind(mut self, kind: u8) -> Self {
        self.kind = kind;
        self
    }

    pub fn size(mut self, size: &[u8]) -> Self {
        self.size = size.to_vec();
        self
    }

    pub fn link(mut self, link: &str) -> Self {
        self.link = link.into();
        self
    }

    pub fn gnu(mut self, gnu: bool) -> Self {
        self.gnu = gnu;
        self
    }

    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    pub fn checksum(mut self, checksum: &[u8]) -> Self {
        self.checksum = Some(checksum.to_vec());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut block = vec![0u8; 512];
        let mut put = |at: usize, bytes: &[u8], most: usize| {
            let bytes = &bytes[..bytes.len().min(most)];
            block[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, &self.name, 100);
        put(100, b"0000644\0", 8);
        put(108, b"0000000\0", 8);
        put(116, b"0000000\0", 8);
        put(124, &self.size, 12);
        put(136, b"00000000000\0", 12);
        put(148, b"        ", 8);
        put(156, &[self.kind], 1);
        put(157, &self.link, 100);
        put(257, if self.gnu { b"ustar  \0" } else { b"ustar\x0000" }, 8);
        put(345, &self.prefix, 155);
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        let checksum = self.checksum.clone().unwrap_or_else(|| format!("{sum:06o}\0 ").into_bytes());
        block[148..156].fill(0);
        block[148..148 + checksum.len()].copy_from_slice(&checksum);
        block
    }
}

/// A content, padded.
pub fn padded(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.resize(content.len().next_multiple_of(512), 0);
    bytes
}

/// Block and content.
pub fn entry(block: &Block, content: &[u8]) -> Vec<u8> {
    [block.bytes(), padded(content)].concat()
}

/// A plain file.
pub fn file(name: impl AsRef<[u8]>, content: &[u8]) -> Vec<u8> {
    entry(&Block::file(name, content.len() as u64), content)
}

/// A GNU long name before an entry.
pub fn long_name(name: &[u8]) -> Vec<u8> {
    let content = [name, b"\0"].concat();
    entry(&Block::file("././@LongLink", content.len() as u64).kind(b'L').gnu(true), &content)
}

/// One pax record, its length counted right.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A pax header with this content.
pub fn pax(kind: u8, content: &[u8]) -> Vec<u8> {
    entry(&Block::file("PaxHeaders/x", content.len() as u64).kind(kind), content)
}

pub const MANIFEST: &[u8] = br#"{"name":"x","version":"1.0.0"}"#;

/// The manifest, these entries, and the end.
pub fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [file("manifest.json", MANIFEST), entries.concat(), vec![0; 1024]].concat()
}
