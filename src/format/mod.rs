//! One file, one format: bytes or `Read`/`Write` in, values out. No disk, no clock, no threads.

pub mod archive;
pub mod integrity;
pub mod grammar;
pub mod json;
pub mod json_write;
pub mod signature;

pub mod deflate;
pub mod gzip;
pub mod manifest;
pub mod manifest_compose;
pub mod manifest_keys;
pub mod manifest_schema;
pub mod places;
pub mod segment;
pub mod tar;
pub mod zstd;
pub mod safetensors;
pub mod pickle;
pub mod shown;
pub mod torch;
pub mod zip;
