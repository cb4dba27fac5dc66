//! safetensors: what the header reader takes the reference crate takes too, with the same tensors, however it is cut.

use expert_build::check::adapter_observed::Observed;
use expert_build::check::tensors;
use expert_build::format::safetensors::{Header, HeaderFault, Scan};

use super::sound::sound;

/// Reads the header as a caller does: eight bytes, then what is needed.
pub fn read(bytes: &[u8]) -> Result<Header, HeaderFault> {
    let len = bytes.len() as u64;
    let needed = Header::len_needed(&bytes[..bytes.len().min(200)], len)?;
    Header::parse(&bytes[..needed], len)
}

/// Reads `data` as weights, and scans its values.
pub fn safetensors(data: &[u8]) {
    let path = "adapter_model.safetensors";
    let header = match read(data) {
        Ok(header) => header,
        Err(fault) => {
            assert!(fault.malformed.at <= data.len() as u64, "{fault:?}");
            return sound(&[tensors::refused(path, &fault)]);
        }
    };
    sound(&tensors::header(path, &header));
    let theirs = safetensors::SafeTensors::deserialize(data).expect("the reference takes what we take");
    assert_eq!(theirs.len(), header.tensors.len());
    for tensor in &header.tensors {
        let view = theirs.tensor(&tensor.name).expect("the reference knows it");
        let shape: Vec<u64> = view.shape().iter().map(|n| *n as u64).collect();
        assert_eq!((view.dtype(), shape), (tensor.dtype, tensor.shape.to_vec()), "{}", tensor.name);
    }
    let mut whole = Scan::new(&header);
    whole.feed(0, data);
    let whole = whole.finish(&header).expect("all of it was given");
    // In two parts, the later one first.
    let (mut cut, middle) = (Scan::new(&header), data.len() / 2);
    cut.feed(middle as u64, &data[middle..]);
    cut.feed(0, &data[..middle]);
    assert_eq!(cut.finish(&header).expect("all of it was given"), whole);
    sound(&tensors::values(path, &header, &Observed::new(&header), &whole));
}
