//! One file, one format: bytes or `Read`/`Write` in, values out. No disk, no clock, no threads.

pub mod archive;
pub mod integrity;
pub mod json;
pub mod json_diff;
pub mod json_write;
pub mod signature;
pub mod tensor_values;

pub mod gzip;
pub mod manifest;
pub mod manifest_compose;
pub mod places;
pub mod safetensors;
pub mod segment;
pub mod tar;
pub mod zstd;
