//! The engine: what is stale, in which order, by which threads, from which cache.

pub mod key;
pub mod pool;
pub mod record;
pub mod scratch;
pub mod stream;
