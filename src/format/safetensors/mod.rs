//! safetensors: the header that says where each tensor lies, and a scan of the values.
//!
//! Layout (<https://huggingface.co/docs/safetensors>, `safetensors/src/tensor.rs` of huggingface/safetensors):
//!
//! ```text
//! 0      u64, little-endian: length n of the header, at most 100,000,000
//! 8      n bytes of UTF-8 JSON, first byte `{`, may end in spaces:
//!        {"name": {"dtype": "BF16", "shape": [8, 64], "data_offsets": [start, end]}, …, "__metadata__": {"k": "v"}}
//! 8 + n  the data section: offsets count from here, tensors lie end to end and fill it exactly
//! ```
//!
//! The reference reader lets some faults pass (a name that stands twice, a leading space); here they are refused, as
//! two readers would see two different files. Does not know which tensors make an adapter.

mod fields;
pub mod fingerprint;
pub mod header;
mod lanes;
pub mod lfs;
pub mod names;
pub mod scan;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use fingerprint::Fingerprint;
pub use header::{FaultKind, Header, HeaderFault, Tensor};
pub use lfs::{LfsPointer, is_lfs_pointer};
pub use names::shown;
pub use scan::{ChunkScan, Scan, ScanReport, Scanner, TensorScan};
