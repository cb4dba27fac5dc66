//! Torch files: every file of the fixtures' ledgers gets the verdict it names, within the bounds of memory and time.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

mod fixtures;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use expert_build::base::RelPath;
use expert_build::check::soft_prompt::{self, BaseModel, Declared};
use expert_build::format::torch::{self, FaultKind, Format, Layout, Oddity, TorchFault, TorchFile};
use expert_build::format::zip::Kind;
use serde_json::Value;

fn read(path: &Path) -> Result<TorchFile, TorchFault> {
    let bytes = fs::read(path).unwrap();
    let len = bytes.len() as u64;
    torch::read(&mut Cursor::new(bytes), len)
}

fn ledger(path: &Path) -> BTreeMap<String, Value> {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_valid_file_is_read_as_torch_reads_it() {
    let Some(dir) = fixtures::dir() else { return };
    let dir = dir.join("pt/valid");
    let ledger = ledger(&dir.join("EXPECTED.json"));
    assert_eq!(ledger.len(), 53);
    let mut wrong = Vec::new();
    for (name, expected) in &ledger {
        let file = match read(&dir.join(name)) {
            Ok(file) => file,
            Err(fault) => {
                // Numpy objects are no tensors; torch.load itself refuses them unless told otherwise.
                let numpy = fault.global.as_deref() == Some("numpy._core.multiarray._reconstruct");
                if name != "zip-numpy-inside.pt" || !numpy {
                    wrong.push(format!("{name}: {fault}"));
                }
                continue;
            }
        };
        let text = |key: &str| expected[key].as_str().unwrap();
        assert_eq!(file.container, text("container"), "{name}");
        assert_eq!(file.format, if text("format") == "zip" { Format::Zip } else { Format::Legacy }, "{name}");
        assert_eq!(u64::from(file.pickle_protocol), expected["pickle_protocol"].as_u64().unwrap(), "{name}");
        let tensors = expected["tensors"].as_array().unwrap();
        assert_eq!(file.tensors.len(), tensors.len(), "{name}: {:?}", file.tensors);
        for (tensor, expected) in file.tensors.iter().zip(tensors) {
            let numbers = |key: &str| expected[key].as_array().map(|v| v.iter().map(|n| n.as_u64().unwrap()).collect());
            assert_eq!(tensor.key, expected["key"].as_str().unwrap(), "{name}");
            assert_eq!(tensor.dtype.name, expected["dtype"].as_str().unwrap(), "{name}");
            assert_eq!(Some(&tensor.shape), numbers("shape").as_ref(), "{name}");
            // The ledger has strides of tensors with a storage alone, and a layout of sparse ones alone.
            match numbers("stride") {
                Some(stride) => {
                    assert_eq!((&tensor.stride, tensor.layout), (&stride, Layout::Strided), "{name}");
                    assert_eq!(Some(tensor.storage_offset), expected["storage_offset"].as_u64(), "{name}");
                }
                None => assert_eq!(tensor.layout.to_string(), expected["layout"].as_str().unwrap_or("meta"), "{name}"),
            }
        }
        let refused_by_torch = text("torch_weights_only") != "accept";
        let told = file.oddities.iter().any(|o| matches!(o, Oddity::Protocol(_)));
        assert_eq!(refused_by_torch, told, "{name}: {:?}", file.oddities);
        assert!(!file.oddities.iter().any(|o| matches!(o, Oddity::Extra(_))), "{name}: {:?}", file.oddities);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_hostile_file_gets_its_verdict() {
    let Some(dir) = fixtures::dir() else { return };
    let dir = dir.join("pt/hostile");
    let ledger = ledger(&dir.join("EXPECTED.json"));
    assert_eq!(ledger.len(), 80);
    let mut wrong = Vec::new();
    for (name, expected) in &ledger {
        let result = read(&dir.join(name));
        let verdict = match &result {
            Ok(file) if file.oddities.iter().any(|o| matches!(o, Oddity::Extra(_))) => "warn",
            Ok(_) => "accept",
            Err(_) => "reject",
        };
        if verdict != expected["expect"] {
            wrong.push(format!("{name}: {verdict}, not {} ({result:?})", expected["expect"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a file is refused for is what is wrong with it, not something met on the way.
#[test]
fn hostile_files_are_refused_for_the_right_reason() {
    let Some(dir) = fixtures::dir() else { return };
    let dir = dir.join("pt/hostile");
    let ledger = ledger(&dir.join("EXPECTED.json"));
    for (name, expected) in &ledger {
        if expected["expect"] == "warn" {
            continue;
        }
        let fault = read(&dir.join(name)).unwrap_err();
        let expected = match name.trim_end_matches(".pt") {
            "exec-after-stop" => FaultKind::Pickle,
            n if n.starts_with("exec-") || n.starts_with("legacy-exec-") => FaultKind::Global,
            "side-effect-setitem" | "unknown-global-harmless" | "whole-module" => FaultKind::Global,
            // The name of the function that a payload calls says more than the checksum.
            "zip-crc-wrong-hostile" => FaultKind::Global,
            "ext1" | "persid-module" | "persid-text" | "next-buffer" | "legacy-wrong-protocol" => FaultKind::Pickle,
            "pkl-bad-opcode" | "pkl-get-undefined" | "pkl-not-utf8" => FaultKind::Pickle,
            "pkl-nested-100k-lists" | "pkl-memo-doubling" | "pkl-long-binput" => FaultKind::Limit,
            "pkl-binunicode8-huge" | "pkl-no-stop" | "pkl-empty" => FaultKind::Truncated,
            "legacy-truncated" | "legacy-huge-count" | "zip-truncated-half" => FaultKind::Truncated,
            "storage-key-traversal" | "zip-no-data-pkl" | "zip-no-storage" | "zip-only-folder" => FaultKind::Record,
            "zip-extra-pickle" | "zip-two-roots" => FaultKind::Record,
            "tensor-huge-storage" | "zip-storage-short" => FaultKind::Storage,
            "zip-bomb-data" => FaultKind::Zip(Kind::Bomb),
            "tensor-record-too-small" => FaultKind::Dtype,
            n if n.starts_with("tensor-") => FaultKind::Shape,
            "zip-two-data-pkl-good-first" => FaultKind::Zip(Kind::Duplicate),
            "zip-dotdot-entry" => FaultKind::Zip(Kind::Path),
            "zip-local-name-differs" => FaultKind::Zip(Kind::Mismatch),
            "zip-size-lie" | "zip64-size-lie" => FaultKind::Zip(Kind::Size),
            "zip-encrypted-flag" => FaultKind::Zip(Kind::Flags),
            "zip-bitflip-data" => FaultKind::Zip(Kind::Crc),
            "zip-prefix-shell" => FaultKind::Zip(Kind::Layout),
            "zip-symlink-pkl" => FaultKind::Zip(Kind::Link),
            "not-torchscript" => FaultKind::Script,
            n if n.starts_with("not-") => FaultKind::NotTorch,
            other => panic!("{other} is new in the ledger"),
        };
        assert_eq!(fault.kind, expected, "{name}: {fault}");
        assert_eq!(fault.global.is_some(), fault.kind == FaultKind::Global, "{name}");
    }
}

/// The name is the one that would be imported, and the place is the opcode's: the byte there is the opcode.
#[test]
fn a_global_is_named_with_its_place() {
    let Some(dir) = fixtures::dir() else { return };
    for (name, global, opcode) in [
        ("exec-global-os-system", "os.system", b'c'),
        ("exec-stack-global", "os.system", 0x93),
        ("exec-stack-global-memo", "os.system", 0x93),
        ("exec-stack-global-dotted", "torch.os.system", 0x93),
        ("exec-inst", "os.system", b'i'),
        ("exec-torch-collect-env-run", "torch.utils.collect_env.run", b'c'),
        ("exec-py2-builtin-eval", "__builtin__.eval", b'c'),
        ("exec-in-storage-type", "os.system", b'c'),
        ("legacy-exec-object", "os.system", b'c'),
        ("legacy-exec-sysinfo", "os.system", b'c'),
        ("whole-module", "torch.nn.modules.container.Sequential", b'c'),
    ] {
        let path = dir.join(format!("pt/hostile/{name}.pt"));
        let fault = read(&path).unwrap_err();
        assert_eq!(fault.global.as_deref(), Some(global), "{name}");
        assert_eq!(fs::read(&path).unwrap()[fault.malformed.at as usize], opcode, "{name}");
    }
}

/// What trainers leave beside an adapter.
#[test]
fn files_of_real_training_runs() {
    let Some(dir) = fixtures::dir() else { return };
    let run = dir.join("experts/expert-trained-checkpoints");
    let checkpoint = run.join("weights/tiny-qwen3/checkpoint-250");
    let names_a_class = |path: &Path, class: &str| {
        let fault = read(path).unwrap_err();
        assert_eq!(fault.global.as_deref(), Some(class), "{}: {fault}", path.display());
    };
    names_a_class(&run.join("training_args.bin"), "transformers.training_args.TrainingArguments");
    names_a_class(&checkpoint.join("rng_state.pth"), "numpy._core.multiarray._reconstruct");
    assert!(!read(&checkpoint.join("optimizer.pt")).unwrap().tensors.is_empty());
    assert!(read(&checkpoint.join("scheduler.pt")).unwrap().tensors.is_empty());
}

/// The soft prompts of every expert in the fixtures, good and bad, as their manifests declare them.
#[test]
fn soft_prompts_of_every_expert() {
    let Some(dir) = fixtures::dir() else { return };
    let mut experts: Vec<(String, std::path::PathBuf)> = Vec::new();
    for (folder, inner) in [("experts", ""), ("experts-bad", "expert")] {
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            experts.push((name, path.join(inner)));
        }
    }
    experts.sort();
    let (mut read_prompts, mut told) = (0, BTreeMap::new());
    for (name, expert) in &experts {
        let Ok(text) = fs::read(expert.join("manifest.json")) else { continue };
        // Manifests that are malformed are another test's.
        let Ok(manifest) = serde_json::from_slice::<Value>(&text) else { continue };
        let models: &[BaseModel<'_>] = match name.as_str() {
            "expert-two-models" => &[
                BaseModel { name: "tiny-qwen3-h64-l2", hidden: Some((64, "q_proj's lora_A")) },
                BaseModel { name: "tiny-llama-h96-l3", hidden: Some((96, "q_proj's lora_A")) },
            ],
            _ => &[BaseModel { name: "tiny", hidden: Some((64, "q_proj's lora_A")) }],
        };
        for (i, prompt) in manifest["soft_prompts"].as_array().into_iter().flatten().enumerate() {
            let Ok(path) = RelPath::new(prompt["path"].as_str().unwrap()) else { continue };
            if !expert.join(path.as_str()).is_file() {
                continue;
            }
            let pointer = format!("/soft_prompts/{i}/tokens");
            let declared =
                Declared { path: &path, tokens: prompt["tokens"].as_u64().map(|tokens| (tokens, pointer.as_str())) };
            let found = match read(&expert.join(path.as_str())) {
                Ok(file) => {
                    [soft_prompt::check(&file, &declared, models), soft_prompt::oddities(&file, &path)].concat()
                }
                Err(fault) => vec![soft_prompt::from_fault(&fault, &path)],
            };
            read_prompts += 1;
            if !found.is_empty() {
                told.insert(name.clone(), found);
            }
        }
    }
    assert!(read_prompts > 20, "{read_prompts}");
    let names: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["soft-prompt-hostile", "soft-prompt-tokens", "soft-prompt-width"], "{told:#?}");
    for (name, kind, declared, actual) in [
        ("soft-prompt-hostile", "pickle-global", "", "os.system"),
        ("soft-prompt-tokens", "soft-prompt-tokens", "32", "16"),
        ("soft-prompt-width", "soft-prompt-width", "64", "96"),
    ] {
        let [found] = told[name].as_slice() else { panic!("{:#?}", told[name]) };
        assert_eq!((found.code.name, found.file.as_deref()), (kind, Some("soft_prompts/style.pt")));
        assert!(found.message.contains(declared) && found.message.contains(actual), "{}", found.message);
    }
    let help = told["soft-prompt-tokens"][0].help.as_deref().unwrap();
    assert!(help.contains("`/soft_prompts/0/tokens` in manifest.json"), "{help}");
}
