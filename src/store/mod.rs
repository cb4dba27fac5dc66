//! Disk, locks, cache and network.

pub mod keys;
