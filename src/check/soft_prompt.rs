//! Soft prompts and other torch files: what a reader found, held against what the manifest and the base models say.

use crate::base::codes::torch as codes;
use crate::base::{At, Code, Diagnostic, RelPath};
use crate::format::torch::{FaultKind, Layout, Oddity, TorchFault, TorchFile, TorchTensor};

/// What the manifest says about a soft prompt.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The file.
    pub path: &'a RelPath,
    /// The number of tokens, where it is declared, and the JSON pointer to it in `manifest.json`.
    pub tokens: Option<(u64, &'a str)>,
}

/// A base model that the expert is for.
#[derive(Debug, Clone, Copy)]
pub struct BaseModel<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its hidden size, where it is known, and from where (`config.json`, `q_proj's lora_A`).
    pub hidden: Option<(u64, &'a str)>,
}

/// What is wrong with a soft prompt that could be read. [`oddities`] says what is odd about the file itself.
pub fn check(file: &TorchFile, declared: &Declared<'_>, models: &[BaseModel<'_>]) -> Vec<Diagnostic> {
    let finding = |code, message: String| Diagnostic::new(code, message).file(declared.path);
    let tensor = match file.tensors.as_slice() {
        [tensor] => tensor,
        [] => {
            let message = format!("the file holds no tensor, but a `{}`", file.container);
            let help = "save the prompt's tensor: `torch.save(prompt.detach().cpu(), path)`";
            return vec![finding(&codes::SOFT_PROMPT_SHAPE, message).help(help)];
        }
        many => {
            let names: Vec<String> = many.iter().take(4).map(|t| format!("`{}` {:?}", t.key, t.shape)).collect();
            let rest = if many.len() > 4 { ", …" } else { "" };
            let message = format!("the file holds {} tensors: {}{rest}", many.len(), names.join(", "));
            return vec![
                finding(&codes::SOFT_PROMPT_SHAPE, message)
                    .help("a soft prompt is one tensor: save the prompt's alone"),
            ];
        }
    };
    let at = |d: Diagnostic| if tensor.key.is_empty() { d } else { d.at(At::Tensor(tensor.key.clone())) };
    let mut found = Vec::new();
    if !tensor.dtype.is_float() {
        let message = format!("the soft prompt's elements are {}, embeddings are floats", tensor.dtype.name);
        found.push(at(finding(&codes::SOFT_PROMPT_DTYPE, message).help("save the embeddings, not the token numbers")));
    }
    match (tensor.layout, tensor.shape.as_slice()) {
        (Layout::Strided, &[tokens, width]) if tokens > 0 && width > 0 => {
            found.extend(tokens_differ(declared, tensor, tokens).map(at));
            found.extend(width_differs(declared, tensor, width, models).map(at));
        }
        (Layout::Strided, shape) => {
            let mut message = format!("a soft prompt is one tensor [tokens, width], this one is {shape:?}");
            if shape.contains(&0) {
                message += " and has no elements";
            }
            let help = "save the two-dimensional tensor: `torch.save(prompt.squeeze(0), path)` drops a leading 1";
            found.push(at(finding(&codes::SOFT_PROMPT_SHAPE, message).help(help)));
        }
        (layout, _) => {
            let what = if layout == Layout::Meta { "has a shape and no elements" } else { "is sparse" };
            let message = format!("the soft prompt's tensor {what} (layout {layout})");
            found.push(at(
                finding(&codes::SOFT_PROMPT_SHAPE, message).help("save a dense tensor that holds its elements")
            ));
        }
    }
    found
}

fn tokens_differ(declared: &Declared<'_>, tensor: &TorchTensor, tokens: u64) -> Option<Diagnostic> {
    let (says, pointer) = declared.tokens.filter(|(says, _)| *says != tokens)?;
    let message = format!("the tensor has {tokens} tokens (shape {:?}), the manifest says {says}", tensor.shape);
    let help = format!("set `{pointer}` in manifest.json to {tokens}, or put the right file in place");
    Some(Diagnostic::new(&codes::SOFT_PROMPT_TOKENS, message).file(declared.path).help(help))
}

/// The width fits none of the models. A model of unknown width may be the one that it fits.
fn width_differs(
    declared: &Declared<'_>,
    tensor: &TorchTensor,
    width: u64,
    models: &[BaseModel<'_>],
) -> Option<Diagnostic> {
    let known: Vec<(&str, u64, &str)> =
        models.iter().map(|m| m.hidden.map(|(size, from)| (m.name, size, from))).collect::<Option<_>>()?;
    if known.is_empty() || known.iter().any(|(_, size, _)| *size == width) {
        return None;
    }
    let each: Vec<String> =
        known.iter().map(|(name, size, from)| format!("`{name}` has a hidden size of {size} (from {from})")).collect();
    let message = format!("the tensor is {width} wide (shape {:?}), {}", tensor.shape, each.join(", "));
    let transposed = known.iter().any(|(_, size, _)| *size == tensor.shape[0]);
    let help = if transposed {
        "the tensor lies the other way round: save `prompt.t().contiguous()`"
    } else {
        "a prompt of another width was trained for another model: train it again, or name the right base model"
    };
    Some(Diagnostic::new(&codes::SOFT_PROMPT_WIDTH, message).file(declared.path).help(help))
}

/// What is odd about a torch file that could be read, whatever it is for.
pub fn oddities(file: &TorchFile, path: &RelPath) -> Vec<Diagnostic> {
    let again = "load the file and save it again: `torch.save(torch.load(path), path)`";
    let finding = |oddity: &Oddity| match oddity {
        Oddity::Extra(what) => Diagnostic::new(&codes::TORCH_EXTRA_DATA, what.clone()).help(again),
        Oddity::Protocol(version) => {
            let message = format!("written in pickle protocol {version}, which torch.load refuses by default");
            Diagnostic::new(&codes::TORCH_PROTOCOL, message).help("save it without `pickle_protocol`")
        }
        Oddity::Devices(devices) => {
            let message = format!("saved from `{}`", devices.join("`, `"));
            Diagnostic::new(&codes::TORCH_DEVICE, message)
                .help("save it from the CPU: `torch.save(tensor.cpu(), path)`")
        }
    };
    file.oddities.iter().map(|oddity| finding(oddity).file(path)).collect()
}

/// The finding for a torch file that is refused.
pub fn from_fault(fault: &TorchFault, path: &RelPath) -> Diagnostic {
    let (code, help): (&'static Code, &str) = match fault.kind {
        FaultKind::Global => (
            &codes::PICKLE_GLOBAL,
            "loading this file would import that name and may run code: do not load it; save the tensors alone",
        ),
        FaultKind::Pickle => (&codes::PICKLE_MALFORMED, "save the tensors again with torch.save"),
        FaultKind::NotTorch => (&codes::TORCH_FORMAT, "save the tensor with torch.save, or correct the path"),
        FaultKind::Script => (&codes::TORCH_SCRIPT, "save `module.state_dict()` with torch.save"),
        FaultKind::Zip(_) => (&codes::TORCH_ZIP, "fetch the file again, or save it again with torch.save"),
        FaultKind::Record => (&codes::TORCH_RECORD, "save the file again with torch.save"),
        FaultKind::Storage | FaultKind::Dtype => (&codes::TORCH_STORAGE, "save the file again with torch.save"),
        FaultKind::Shape => (&codes::TORCH_SHAPE, "save `tensor.contiguous()` with torch.save"),
        FaultKind::Limit => (&codes::TORCH_LIMIT, "save the tensors alone, in one flat dict or as safetensors"),
        FaultKind::Truncated => (&codes::TORCH_TRUNCATED, "the copy is incomplete: fetch or save the file again"),
        FaultKind::Unreadable => (&codes::TORCH_UNREADABLE, "look at the disk or mount that holds the file"),
    };
    let help = if fault.malformed.what.contains("Git LFS pointer") { "run `git lfs pull`" } else { help };
    Diagnostic::new(code, fault.malformed.what.clone()).file(path).at(At::Byte(fault.malformed.at)).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Severity;
    use crate::format::torch::{Dtype, Format};
    use crate::format::zip;

    const F32: Dtype = Dtype { name: "float32", size: 4 };

    fn file(shapes: &[&[u64]]) -> TorchFile {
        let tensor = |(i, shape): (usize, &&[u64])| TorchTensor {
            key: if shapes.len() == 1 { String::new() } else { format!("t{i}") },
            dtype: F32,
            shape: shape.to_vec(),
            stride: vec![1; shape.len()],
            storage_offset: 0,
            layout: Layout::Strided,
        };
        TorchFile {
            format: Format::Zip,
            container: "dict".into(),
            tensors: shapes.iter().enumerate().map(tensor).collect(),
            pickle_protocol: 2,
            oddities: Vec::new(),
        }
    }

    fn told(file: &TorchFile, tokens: Option<u64>, hidden: &[Option<u64>]) -> Vec<String> {
        let path = RelPath::new("soft_prompts/style.pt").unwrap();
        let declared = Declared { path: &path, tokens: tokens.map(|n| (n, "/soft_prompts/0/tokens")) };
        let models: Vec<BaseModel<'_>> =
            hidden.iter().map(|h| BaseModel { name: "tiny", hidden: h.map(|h| (h, "config.json")) }).collect();
        let found = check(file, &declared, &models);
        assert!(found.iter().all(|d| d.file.as_deref() == Some("soft_prompts/style.pt") && d.help.is_some()));
        found.iter().map(|d| format!("{}: {}", d.code.name, d.message)).collect()
    }

    #[test]
    fn a_good_prompt_is_silent() {
        let prompt = file(&[&[16, 64]]);
        assert!(told(&prompt, Some(16), &[Some(64)]).is_empty());
        assert!(told(&prompt, None, &[]).is_empty());
        // One of several models is enough, and an unknown one may be it.
        assert!(told(&prompt, Some(16), &[Some(96), Some(64)]).is_empty());
        assert!(told(&prompt, Some(16), &[Some(96), None]).is_empty());
    }

    #[test]
    fn numbers_that_differ_are_both_named() {
        assert_eq!(
            told(&file(&[&[16, 64]]), Some(32), &[Some(64)]),
            ["soft-prompt-tokens: the tensor has 16 tokens (shape [16, 64]), the manifest says 32"]
        );
        assert_eq!(
            told(&file(&[&[16, 96]]), Some(16), &[Some(64)]),
            [
                "soft-prompt-width: the tensor is 96 wide (shape [16, 96]), `tiny` has a hidden size of 64 (from config.json)"
            ]
        );
        assert_eq!(told(&file(&[&[64, 16]]), Some(16), &[Some(64)]).len(), 2);
    }

    #[test]
    fn a_transposed_prompt_is_named_as_such() {
        let path = RelPath::new("p.pt").unwrap();
        let models = [BaseModel { name: "tiny", hidden: Some((64, "config.json")) }];
        let found = check(&file(&[&[64, 16]]), &Declared { path: &path, tokens: None }, &models);
        assert!(found[0].help.as_deref().unwrap().contains("the other way round"), "{found:?}");
    }

    #[test]
    fn shapes_that_are_no_prompt() {
        let cases: [&[&[u64]]; 5] = [&[], &[&[16, 64], &[64]], &[&[1, 16, 64]], &[&[0, 64]], &[&[]]];
        for shapes in cases {
            let found = told(&file(shapes), Some(16), &[Some(64)]);
            assert!(
                matches!(found.as_slice(), [one] if one.starts_with("soft-prompt-shape: ")),
                "{shapes:?}: {found:?}"
            );
        }
        for layout in [Layout::Meta, Layout::SparseCoo] {
            let mut odd = file(&[&[16, 64]]);
            odd.tensors[0].layout = layout;
            assert!(told(&odd, Some(16), &[])[0].starts_with("soft-prompt-shape: "), "{layout}");
        }
    }

    #[test]
    fn token_numbers_are_no_embeddings() {
        let mut ids = file(&[&[16, 64]]);
        ids.tensors[0].dtype = Dtype { name: "int64", size: 8 };
        assert_eq!(
            told(&ids, Some(16), &[]),
            ["soft-prompt-dtype: the soft prompt's elements are int64, embeddings are floats"]
        );
        ids.tensors[0].dtype = Dtype { name: "bfloat16", size: 2 };
        assert!(told(&ids, Some(16), &[]).is_empty());
    }

    #[test]
    fn every_fault_has_its_code_and_place() {
        let path = RelPath::new("p.pt").unwrap();
        for (kind, code) in [
            (FaultKind::Global, "pickle-global"),
            (FaultKind::Pickle, "pickle-malformed"),
            (FaultKind::NotTorch, "torch-format"),
            (FaultKind::Script, "torch-script"),
            (FaultKind::Zip(zip::Kind::Crc), "torch-zip"),
            (FaultKind::Record, "torch-record"),
            (FaultKind::Storage, "torch-storage"),
            (FaultKind::Dtype, "torch-storage"),
            (FaultKind::Shape, "torch-shape"),
            (FaultKind::Limit, "torch-limit"),
            (FaultKind::Truncated, "torch-truncated"),
            (FaultKind::Unreadable, "torch-unreadable"),
        ] {
            let found = from_fault(&TorchFault::new(kind, 7, "a phrase"), &path);
            assert_eq!((found.code.name, found.at, found.severity), (code, At::Byte(7), Severity::Error));
            assert!(found.code.fixed, "{code} keeps code out of packages, no setting lowers it");
        }
        let pointer = TorchFault::new(FaultKind::NotTorch, 0, "a Git LFS pointer stands in the place of the file");
        assert_eq!(from_fault(&pointer, &path).help.as_deref(), Some("run `git lfs pull`"));
    }

    #[test]
    fn oddities_are_told_and_do_not_stop() {
        let mut odd = file(&[&[16, 64]]);
        odd.oddities = vec![
            Oddity::Extra("x".into()),
            Oddity::Protocol(4),
            Oddity::Devices(vec!["cuda:0".into(), "cuda:1".into()]),
        ];
        let found = oddities(&odd, &RelPath::new("p.pt").unwrap());
        let told: Vec<_> = found.iter().map(|d| (d.code.name, d.severity, d.message.as_str())).collect();
        assert_eq!(
            told,
            [
                ("torch-extra-data", Severity::Warning, "x"),
                (
                    "torch-protocol",
                    Severity::Warning,
                    "written in pickle protocol 4, which torch.load refuses by default"
                ),
                ("torch-device", Severity::Note, "saved from `cuda:0`, `cuda:1`"),
            ]
        );
    }
}
