//! One file, one format: bytes or `Read`/`Write` in, values out. No disk, no clock, no threads.

pub mod grammar;
pub mod json;
pub mod json_write;
pub mod licence;
pub mod manifest;
pub mod manifest_compose;
pub mod manifest_keys;
pub mod manifest_schema;
pub mod places;
