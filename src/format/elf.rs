//! ELF: does a program run without the libraries of its system?
//!
//! Source: the ELF-64 object file format, chapters on the header and the program header.
//!
//! ```text
//! 7f 45 4c 46 02 01 …       magic, 64 bits, little endian
//! at 32   u64               where the program headers are
//! at 54   u16, u16          size of one, how many
//! u32 type, …               of each: 3 (PT_INTERP) names the loader that brings the libraries
//! ```

/// What a program's beginning says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// It needs nothing but the kernel.
    Static,
    /// It needs a loader and libraries.
    Dynamic,
    /// It is no program of 64-bit Linux.
    Other,
}

/// How many bytes of a file tell how it is linked.
pub const HEAD: usize = 4096;

const PT_INTERP: u32 = 3;

/// How a program is linked, by its first [`HEAD`] bytes.
pub fn linkage(head: &[u8]) -> Linkage {
    read(head).unwrap_or(Linkage::Other)
}

fn read(head: &[u8]) -> Option<Linkage> {
    if !head.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        return None;
    }
    let u16_at = |at: usize| Some(usize::from(u16::from_le_bytes(*head.get(at..)?.first_chunk()?)));
    let start = usize::try_from(u64::from_le_bytes(*head.get(32..)?.first_chunk()?)).ok()?;
    let (size, count) = (u16_at(54)?, u16_at(56)?);
    for number in 0..count {
        let at = start.checked_add(number.checked_mul(size)?)?;
        if u32::from_le_bytes(*head.get(at..)?.first_chunk()?) == PT_INTERP {
            return Some(Linkage::Dynamic);
        }
    }
    Some(Linkage::Static)
}

#[cfg(test)]
mod tests {
    use super::{Linkage, linkage};

    fn elf(types: &[u32]) -> Vec<u8> {
        let mut head = vec![0; 64 + 56 * types.len()];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        head[32] = 64;
        head[54] = 56;
        head[56] = types.len() as u8;
        for (number, kind) in types.iter().enumerate() {
            head[64 + 56 * number..][..4].copy_from_slice(&kind.to_le_bytes());
        }
        head
    }

    #[test]
    fn a_program_with_a_loader_is_dynamic() {
        assert_eq!(linkage(&elf(&[6, 1, 1, 2])), Linkage::Static);
        assert_eq!(linkage(&elf(&[6, 3, 1])), Linkage::Dynamic);
        assert_eq!(linkage(b"#!/bin/sh\n"), Linkage::Other);
        assert_eq!(linkage(&elf(&[6, 1])[..100]), Linkage::Other, "it is cut");
        assert_eq!(linkage(b""), Linkage::Other);
    }
}
