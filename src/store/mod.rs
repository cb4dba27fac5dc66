//! The one layer that touches the disk: files as they are, outputs that appear whole, the index and the cache.

pub mod cache;
pub mod counters;
pub mod extract;
pub mod fs;
pub mod gc;
pub mod git;
pub mod index;
pub mod keys;
pub mod local;
pub mod output;
pub mod package_file;
pub mod stat;
pub mod watcher;

pub use cache::{ActionKey, BlobWriter, Cache};
pub use fs::DiskFolder;
pub use index::Index;
pub use local::LocalCache;
pub use output::Output;
pub use stat::Stat;
