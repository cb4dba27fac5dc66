//! The fuzz body of the pickle in a torch file.

use super::torch::torch;
use super::torch_maker;

/// Reads `data` as the pickle of a torch file whose archive is in order: a mutation of the file itself would fail at
/// its checksum.
pub fn pickle(data: &[u8]) {
    let deflate = data.len() % 7 == 3;
    let mut members = torch_maker::members(data, &[("0", &[1; 128]), ("1", &[0; 64])]);
    members[0].deflate = deflate;
    torch(&torch_maker::zip(&members));
}
