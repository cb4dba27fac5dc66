//! Tensors of a safetensors file as it passes: header first, then every value once, in bounded memory.

use std::io::{self, Read};

use safetensors::Dtype;

use crate::base::Malformed;
use crate::format::archive::Fault;
use crate::format::safetensors::Header;
use crate::format::tensor_values::width;

/// Values that are looked at together.
pub(crate) const BLOCK: u64 = 64 * 1024;

/// The header of the file that this reader gives, of this length. What follows is the data.
pub(crate) fn header(from: &mut impl Read, size: u64) -> Result<Header, Fault> {
    let mut prefix = Vec::new();
    from.take(8).read_to_end(&mut prefix)?;
    let needed = Header::len_needed(&prefix, size).map_err(|fault| fault.malformed)?;
    from.take(needed as u64 - prefix.len() as u64).read_to_end(&mut prefix)?;
    Ok(Header::parse(&prefix, size).map_err(|fault| fault.malformed)?)
}

/// Gives the bytes of a tensor to `each` in blocks of whole values. Types whose values are not read are passed over.
pub(crate) fn blocks(
    from: &mut impl Read,
    dtype: Dtype,
    length: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Fault> {
    let Some(width) = width(dtype) else {
        let passed = io::copy(&mut from.take(length), &mut io::sink())?;
        return if passed == length { Ok(()) } else { Err(cut()) };
    };
    let mut block = Vec::new();
    let mut left = length;
    while left > 0 {
        block.clear();
        let part = left.min(BLOCK * width as u64);
        from.take(part).read_to_end(&mut block)?;
        if block.len() as u64 != part {
            return Err(cut());
        }
        each(&block);
        left -= part;
    }
    Ok(())
}

fn cut() -> Fault {
    Malformed::new(0, "the weights end before their last tensor does").into()
}
