//! One file, one format: bytes or `Read`/`Write` in, values out. No disk, no clock, no threads.

pub mod archive;
pub mod grammar;
pub mod integrity;
pub mod json;
pub mod json_write;
pub mod signature;
pub mod tensor_values;

pub mod deflate;
pub mod gzip;
pub mod manifest;
pub mod manifest_compose;
pub mod manifest_keys;
pub mod manifest_schema;
pub mod pickle;
pub mod places;
pub mod safetensors;
pub mod segment;
pub mod shown;
pub mod tar;
pub mod torch;
pub mod zip;
pub mod zstd;
