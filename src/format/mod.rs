//! One file, one format: bytes or `Read`/`Write` in, values out. No disk, no clock, no threads.

pub mod adapter_config;
pub mod json;
pub mod json_write;
pub mod model_config;
pub mod safetensors;
