//! `Chunk`: a stretch of bytes that several threads look at, and whose room is used again after the last of them.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Room that is free.
#[derive(Debug, Default, Clone)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Room of this length: what was in it before, where there was something.
    pub fn take(&self, length: usize) -> Chunk {
        self.filled(|bytes| {
            if bytes.len() < length {
                bytes.resize(length, 0);
            }
            length
        })
    }

    /// What `fill` writes over what is in some room, from its start; it says how much that is.
    pub fn filled(&self, fill: impl FnOnce(&mut Vec<u8>) -> usize) -> Chunk {
        let mut bytes = self.free().pop().unwrap_or_default();
        let length = fill(&mut bytes);
        Chunk { bytes, length, home: self.clone() }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes whose room goes back when they are dropped.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    /// How many of them count.
    length: usize,
    home: Buffers,
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.home.free().push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::Buffers;

    #[test]
    fn room_is_used_again_when_the_last_is_done_with_it() {
        let buffers = Buffers::default();
        let first = std::sync::Arc::new(buffers.take(100));
        let place = first.as_ptr();
        let other = std::sync::Arc::clone(&first);
        drop(first);
        assert_ne!(buffers.take(100).as_ptr(), place);
        drop(other);
        let again = buffers.take(50);
        assert_eq!((again.as_ptr(), again.len()), (place, 50));
    }
}
