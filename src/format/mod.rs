//! One file, one format: bytes or `Read`/`Write` in, values out. No disk, no clock, no threads.

pub mod json;
pub mod json_write;

pub mod deflate;
pub mod gzip;
pub mod segment;
pub mod tar;
pub mod zstd;
