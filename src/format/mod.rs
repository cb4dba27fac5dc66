//! One file, one format: bytes or `Read`/`Write` in, values out. No disk, no clock, no threads.

pub mod json;
pub mod json_write;
pub mod pickle;
pub mod shown;
pub mod torch;
pub mod zip;
