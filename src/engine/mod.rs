//! The engine: what is stale, in which order, by which threads, from which cache.

pub mod explain;
pub mod files;
pub mod freshness;
pub mod job;
pub mod key;
pub mod lane;
pub mod layout;
pub mod limits;
pub mod plan;
pub mod pool;
pub mod record;
pub mod schedule;
pub mod scratch;
pub mod stream;
pub mod survey;
pub mod target;
pub mod tasks;
