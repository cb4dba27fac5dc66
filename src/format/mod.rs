//! One file, one format: bytes or `Read`/`Write` in, values out. No disk, no clock, no threads.

pub mod adapter_config;
pub mod archive;
pub mod deflate;
pub mod grammar;
pub mod gzip;
pub mod integrity;
pub mod json;
pub mod json_diff;
pub mod json_write;
pub mod licence;
pub mod manifest;
pub mod manifest_compose;
pub mod manifest_keys;
pub mod manifest_schema;
pub mod model_config;
pub mod pickle;
pub mod places;
pub mod safetensors;
pub mod segment;
pub mod shown;
pub mod signature;
pub mod tar;
pub mod tensor_values;
pub mod torch;
pub mod zip;
pub mod zstd;
