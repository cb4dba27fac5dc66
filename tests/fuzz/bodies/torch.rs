//! The fuzz body of torch files: whatever the bytes, an answer and no panic; what is accepted keeps its promises.

use std::io::Cursor;

use expert_build::base::RelPath;
use expert_build::check::soft_prompt;
use expert_build::format::torch::{self, Layout};

/// Reads `data` as a torch file and runs the rules on the answer.
pub fn torch(data: &[u8]) {
    let path = RelPath::new("soft_prompts/fuzz.pt").unwrap();
    match torch::read(&mut Cursor::new(data), data.len() as u64) {
        Ok(file) => {
            for tensor in &file.tensors {
                assert!(tensor.dtype.size > 0 && tensor.shape.len() <= 64);
                match tensor.layout {
                    Layout::Strided | Layout::Meta => assert_eq!(tensor.shape.len(), tensor.stride.len()),
                    _ => assert!(tensor.stride.is_empty()),
                }
                if tensor.layout == Layout::Strided && !tensor.shape.contains(&0) {
                    let last: u64 = tensor.shape.iter().zip(&tensor.stride).map(|(n, stride)| (n - 1) * stride).sum();
                    // Deflated storages may be larger than the file, but not by more than deflate can do.
                    assert!((tensor.storage_offset + last) * tensor.dtype.size < 1100 * data.len() as u64 + (2 << 20));
                }
            }
            let declared = soft_prompt::Declared { path: &path, tokens: Some((16, "/soft_prompts/0/tokens")) };
            let models = [soft_prompt::BaseModel { name: "tiny", hidden: Some((64, "config.json")) }];
            soft_prompt::check(&file, &declared, &models);
            soft_prompt::oddities(&file, &path);
        }
        Err(fault) => {
            // A place in the file, and a phrase that can be shown on any terminal.
            assert!(fault.malformed.at <= data.len() as u64, "{fault:?}");
            assert!(!fault.malformed.what.is_empty() && !fault.malformed.what.contains(char::is_control), "{fault:?}");
            soft_prompt::from_fault(&fault, &path);
        }
    }
}
