//! Three-way agreement: the fixtures' experts, and one case for each code.

use serde_json::json;

use crate::case::{Case, folder, lora, module};
use crate::fixtures;

#[test]
fn good_experts_have_no_finding() {
    let Some(dir) = fixtures::dir() else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.join("experts")).unwrap() {
        let expert = entry.unwrap().path();
        if !expert.is_dir() {
            continue;
        }
        let manifest: serde_json::Value =
            serde_json::from_slice(&std::fs::read(expert.join("manifest.json")).unwrap()).unwrap();
        let models = manifest["base_models"].as_array().map_or(1, Vec::len);
        for model in 0..models {
            let (adapter, base) = match manifest.get("base_models") {
                Some(_) => (format!("/base_models/{model}/adapters/0"), format!("/base_models/{model}/name")),
                None => ("/adapters/0".to_owned(), "/base_model/name".to_owned()),
            };
            let weights = manifest
                .pointer(&format!("{adapter}/path"))
                .map_or("adapter_model.safetensors", |p| p.as_str().unwrap());
            let found = folder(&expert, "manifest.json", &adapter, &base, weights);
            // Its `lokr_w1` are zero, as PEFT made them: true, told, and no warning.
            let known = if expert.ends_with("expert-lokr") {
                "note adapter-factor-zero adapter_model.safetensors "
            } else {
                ""
            };
            match known {
                "" => assert_eq!(found, [""; 0], "{}", expert.display()),
                known => assert!(found.len() == 1 && found[0].starts_with(known), "{}: {found:?}", expert.display()),
            }

            seen += 1;
        }
    }
    assert_eq!(seen, 9);
}

#[test]
fn bad_experts_have_exactly_the_expected_finding() {
    let Some(dir) = fixtures::dir() else { return };
    let adapter = "/base_models/0/adapters/0";
    for (case, expected) in [
        ("ok-control", ""),
        ("ia3-with-rank", ""),
        ("wrong-rank", "error adapter-rank-mismatch manifest.json /base_models/0/adapters/0/r: "),
        (
            "missing-target-module",
            "error adapter-target-missing manifest.json /base_models/0/adapters/0/target_modules: ",
        ),
        (
            "undeclared-target-module",
            "error adapter-target-undeclared manifest.json /base_models/0/adapters/0/target_modules: ",
        ),
        ("lora-but-weights-are-dora", "error adapter-type-mismatch manifest.json /base_models/0/adapters/0/type: "),
        ("config-rank", "error adapter-config-rank-mismatch adapter_config.json /r: "),
        ("nan-weights", "warning weights-not-finite adapter_model.safetensors [base_model."),
        ("untrained", "warning adapter-untrained adapter_model.safetensors ["),
        (
            "weights-truncated",
            "error safetensors-truncated adapter_model.safetensors @15268: the file ends 100 bytes before",
        ),
    ] {
        let expert = dir.join("experts-bad").join(case).join("expert");
        let found = folder(&expert, "manifest.json", adapter, "/base_models/0/name", "adapter_model.safetensors");
        match expected {
            "" => assert_eq!(found, [""; 0], "{case}"),
            _ => assert!(found.len() == 1 && found[0].starts_with(expected), "{case}: {found:#?}"),
        }
    }
}

#[test]
fn the_plain_case_is_silent() {
    Case::default().has(&[]);
}

#[test]
fn the_type_must_be_that_of_the_tensors() {
    let ia3 = |name: &str| (format!("{}.ia3_l", module(0, name)), vec![64, 1]);
    let case = Case::default().tensors(vec![ia3("q_proj"), ia3("v_proj")]);
    case.has(&[
        "error adapter-type-mismatch manifest.json /adapters/0/type: the manifest says `lora`, the tensors are ia3: layer 0, q_proj and v_proj have `ia3_l`",
        "error adapter-config-type-mismatch adapter_config.json /peft_type: adapter_config.json says lora, the tensors are ia3: layer 0, q_proj and v_proj have `ia3_l`",
    ]);
    Case::default().config(json!({"use_dora": true})).has(&[
        "error adapter-config-type-mismatch adapter_config.json /use_dora: adapter_config.json says dora, the tensors are lora: layers 0-1, q_proj and v_proj have `lora_A` and nothing else",
    ]);
    // Words that mean the same, and words that nobody knows, are no mismatch.
    for word in ["LoRA", "qlora", "our-own-method"] {
        Case::default().adapter(json!({"type": word})).has(&[]);
    }
    let mut without = Case::default().config(json!({"use_dora": true}));
    without.tensors = None;
    without.has(&["error adapter-type-mismatch manifest.json /adapters/0/type: the manifest says lora, adapter_config.json says dora"]);
}

#[test]
fn ranks_follow_patterns() {
    let mut tensors = lora(28, &["q_proj"], 8, 64);
    tensors.extend(lora(28, &["v_proj"], 4, 64));
    let case = || Case::default().tensors(tensors.clone());
    case().config(json!({"rank_pattern": {"v_proj": 4}})).has(&[]);
    case().config(json!({"rank_pattern": {r"model\.layers\.\d+\.self_attn\.v_proj": 4}})).has(&[]);
    case().has(&[
        "error adapter-rank-mismatch manifest.json /adapters/0/r: layers 0-27, v_proj: rank 4, the manifest says 8",
        "error adapter-config-rank-mismatch adapter_config.json /r: layers 0-27, v_proj: rank 4, `r` of adapter_config.json says 8",
    ]);
    case().config(json!({"rank_pattern": {"v_proj": 2}})).has(&[
        "error adapter-config-rank-mismatch adapter_config.json /rank_pattern: layers 0-27, v_proj: rank 4, `rank_pattern` of adapter_config.json says 2",
    ]);
    case().config(json!({"rank_pattern": {"v_proj": 4}})).adapter(json!({"r": 12})).has(&[
        "error adapter-rank-mismatch manifest.json /adapters/0/r: layers 0-27, q_proj: rank 8, the manifest says 12",
    ]);
    case().config(json!({"rank_pattern": {"v_proj": 4}})).adapter(json!({"rank_pattern": {"v_proj": 3}})).has(&[
        "error adapter-rank-mismatch manifest.json /adapters/0/rank_pattern: layers 0-27, v_proj: rank 4, `rank_pattern` of the manifest says 3",
    ]);
    // What cannot be read is told and accuses nobody.
    case().config(json!({"rank_pattern": {"(?=.*v_proj).*": 4}})).has(&[
        "note adapter-pattern-unread adapter_config.json /rank_pattern: `rank_pattern` holds `(?=.*v_proj).*`, which is not checked",
    ]);
    let mut without = Case::default().adapter(json!({"r": 4}));
    without.tensors = None;
    without.has(&[
        "error adapter-rank-mismatch manifest.json /adapters/0/r: the manifest says rank 4, adapter_config.json says 8",
    ]);
}

#[test]
fn adalora_ranks_are_pruned_not_wrong() {
    let mut tensors = Vec::new();
    for (layer, rank) in [(0, 5), (1, 12)] {
        for name in ["q_proj", "v_proj"] {
            let path = module(layer, name);
            tensors.push((format!("{path}.lora_A"), vec![rank, 64]));
            tensors.push((format!("{path}.lora_B"), vec![64, rank]));
            tensors.push((format!("{path}.lora_E"), vec![rank, 1]));
        }
    }
    let config =
        json!({"peft_type": "ADALORA", "init_r": 12, "target_r": 8, "rank_pattern": {"x.lora_E": [true, false]}});
    let case = |config| Case::default().adapter(json!({"type": "adalora"})).config(config).tensors(tensors.clone());
    case(config).has(&[]);
    case(json!({"peft_type": "ADALORA", "init_r": 10, "target_r": 8})).has(&[
        "error adapter-config-rank-mismatch adapter_config.json /init_r: layer 1, q_proj and v_proj: rank 12, `init_r` of adapter_config.json says 10",
    ]);
}

#[test]
fn alpha_and_scaling_must_agree() {
    Case::default().config(json!({"lora_alpha": 16.0})).has(&[]);
    Case::default().adapter(json!({"alpha": 32})).has(&[
        "error adapter-alpha-mismatch manifest.json /adapters/0/alpha: the manifest says alpha 32, adapter_config.json says 16",
    ]);
    Case::default().adapter(json!({"alpha_pattern": {"q_proj": 4}})).config(json!({"alpha_pattern": {"q_proj": 2}})).has(&[
        "error adapter-alpha-mismatch manifest.json /adapters/0/alpha_pattern: the manifest says alpha 4 for `q_proj`, adapter_config.json says 2",
    ]);
    Case::default().adapter(json!({"scaling": "standard"})).has(&[]);
    Case::default().adapter(json!({"scaling": "learned"})).config(json!({"use_rslora": true})).has(&[]);
    Case::default().adapter(json!({"scaling": "standard"})).config(json!({"use_rslora": true})).has(&[
        "warning adapter-scaling-mismatch manifest.json /adapters/0/scaling: the manifest says scaling `standard`, adapter_config.json sets `use_rslora`",
    ]);
    Case::default().adapter(json!({"scaling": "rslora"})).has(&[
        "warning adapter-scaling-mismatch manifest.json /adapters/0/scaling: the manifest says scaling `rslora`, adapter_config.json does not set `use_rslora`",
    ]);
}

#[test]
fn targets_must_be_those_of_the_tensors() {
    Case::default()
        .adapter(json!({"target_modules": ["all-linear"]}))
        .config(json!({"target_modules": "all-linear"}))
        .has(&[]);
    Case::default().adapter(json!({"target_modules": "all-linear"})).has(&[]);
    Case::default().config(json!({"target_modules": r".*\.(q|v)_proj"})).has(&[]);
    Case::default().config(json!({"target_modules": r".*\.q_proj"})).has(&[
        "error adapter-config-target-undeclared adapter_config.json /target_modules: the weights adapt layers 0-1, v_proj, which adapter_config.json does not select",
    ]);
    Case::default().config(json!({"exclude_modules": ["layers.1.self_attn.v_proj"]})).has(&[
        "error adapter-config-target-undeclared adapter_config.json /target_modules: the weights adapt layer 1, v_proj, which adapter_config.json does not select",
    ]);
    Case::default().config(json!({"layers_to_transform": [0]})).has(&[
        "error adapter-config-target-undeclared adapter_config.json /target_modules: the weights adapt layer 1, q_proj and v_proj, which adapter_config.json does not select",
    ]);
    Case::default().config(json!({"target_modules": r"^(?!.*vision).*_proj"})).has(&[
        "note adapter-pattern-unread adapter_config.json /target_modules: the regular expression uses syntax that is not checked",
    ]);
    Case::default().config(json!({"target_modules": ["q_proj", "v_proj", "o_proj"]})).has(&[
        "warning adapter-config-target-missing adapter_config.json /target_modules: no tensor adapts `o_proj`, which `target_modules` names",
    ]);
    Case::default().adapter(json!({"target_modules": ["q_proj", "k_proj", "o_proj"]})).has(&[
        "error adapter-target-missing manifest.json /adapters/0/target_modules: no tensor adapts `k_proj` and `o_proj`, which `target_modules` names",
        "error adapter-target-undeclared manifest.json /adapters/0/target_modules: the weights adapt layers 0-1, v_proj, but `target_modules` does not name `v_proj`",
    ]);
    let mut without = Case::default().adapter(json!({"target_modules": ["q_proj", "k_proj"]}));
    without.tensors = None;
    without.has(&[
        "error adapter-targets-differ manifest.json /adapters/0/target_modules: adapter_config.json does not name `k_proj`, but `v_proj`",
    ]);
}

#[test]
fn ia3_scales_the_side_that_its_list_says() {
    let part = |name: &str, shape: [u64; 2]| (format!("{}.ia3_l", module(0, name)), shape.to_vec());
    let case = |one: serde_json::Value, two: serde_json::Value| {
        let mut case = Case::default().tensors(vec![part("k_proj", [32, 1]), part("down_proj", [1, 128])]);
        case.adapter = json!({"type": "ia3", "target_modules": ["k_proj"], "feedforward_modules": one});
        case.config =
            Some(json!({"peft_type": "IA3", "target_modules": ["k_proj", "down_proj"], "feedforward_modules": two}));
        case
    };
    case(json!(["down_proj"]), json!(["down_proj"])).has(&[]);
    case(json!(["down_proj"]), json!(r".*\.mlp\..*")).has(&[]);
    case(json!(["down_proj"]), json!([])).has(&[
        "error adapter-feedforward-mismatch adapter_config.json /feedforward_modules: layer 0, down_proj: `ia3_l` scales the input, but `feedforward_modules` does not name it",
    ]);
    case(json!(["down_proj", "k_proj"]), json!(["down_proj"])).has(&[
        "error adapter-feedforward-mismatch manifest.json /adapters/0/feedforward_modules: layer 0, k_proj: `ia3_l` scales the output, but `feedforward_modules` names it",
    ]);
}

#[test]
fn public_manifests_fit_weights_that_are_what_they_say() {
    let Some(dir) = fixtures::dir() else { return };
    for (path, models) in [
        ("expert-sql/manifest.json", 1),
        ("hivellm-expert/manifest_v1.json", 1),
        ("hivellm-expert/manifest_v2.json", 2),
    ] {
        let text = std::fs::read(dir.join("public").join(path)).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
        for model in 0..models {
            let (base, adapter) = match manifest.get("base_models") {
                Some(all) => (&all[model], &all[model]["adapters"][0]),
                None => (&manifest["base_model"], &manifest["adapters"][0]),
            };
            let names: Vec<&str> =
                adapter["target_modules"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
            let dora = adapter["type"] == "dora";
            let mut tensors = lora(28, &names, adapter["r"].as_u64().unwrap(), 64);
            if dora {
                let places = (0..28).flat_map(|layer| names.iter().map(move |name| module(layer, name)));
                tensors.extend(places.map(|path| (format!("{path}.lora_magnitude_vector"), vec![64])));
            }
            let name = base["name"].as_str().unwrap();
            let config = json!({"peft_type": "LORA", "r": adapter["r"], "lora_alpha": adapter["alpha"], "use_dora": dora,
                "target_modules": names, "base_model_name_or_path": format!("Qwen/{}", name.rsplit('/').next().unwrap())});
            let case = Case {
                adapter: adapter.clone(),
                base: Some(name.into()),
                config: Some(config),
                tensors: Some(tensors),
            };
            case.has(&[]);
        }
    }
}

/// What the fuzz target does with a configuration: whatever it says, nothing panics.
#[test]
fn mutated_configurations_never_panic() {
    let Some(dir) = fixtures::dir() else { return };
    let mut random = crate::header::Random(0x5eed_0002);
    for name in ["expert-lora-patterns", "expert-ia3-f16", "expert-lokr", "expert-prompt-tuning"] {
        let seed = std::fs::read_to_string(dir.join("experts").join(name).join("adapter_config.json")).unwrap();
        let words = [
            "null",
            "[]",
            "{}",
            "-1",
            "1e99",
            "\"(\"",
            "[\"(?=x)\"]",
            "{\"a\":1}",
            "true",
            "18446744073709551615",
            "\"\"",
        ];
        let whole: serde_json::Value = serde_json::from_str(&seed).unwrap();
        for _ in 0..200 {
            let mut config = whole.clone();
            for _ in 0..=random.below(3) {
                let keys: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
                config[&keys[random.below(keys.len())]] =
                    serde_json::from_str(words[random.below(words.len())]).unwrap();
            }
            let mut case = Case { config: Some(config), ..Case::default() };
            case.found();
            case.tensors = None;
            case.found();
        }
    }
}

#[test]
fn modules_kept_whole_must_be_there() {
    let mut tensors = lora(2, &["q_proj", "v_proj"], 8, 64);
    tensors.push(("base_model.model.score.weight".into(), vec![2, 64]));
    tensors.push(("base_model.model.model.embed_tokens.weight".into(), vec![100, 64]));
    let case = || Case::default().tensors(tensors.clone());
    case().config(json!({"modules_to_save": ["score"]})).has(&[]);
    // Tied embeddings are stored once.
    case().config(json!({"modules_to_save": ["embed_tokens", "lm_head"]})).has(&[]);
    case().config(json!({"modules_to_save": ["score", "classifier"]})).has(&[
        "error adapter-saved-module-missing adapter_config.json /modules_to_save: no tensor holds `classifier`, which `modules_to_save` names",
    ]);
    case().adapter(json!({"modules_to_save": ["classifier"]})).has(&[
        "error adapter-saved-module-missing manifest.json /adapters/0/modules_to_save: no tensor holds `classifier`, which `modules_to_save` names",
    ]);
}

#[test]
fn base_models_are_compared_by_name() {
    Case { base: Some("F:/models/Model-1B".into()), ..Case::default() }.has(&[]);
    Case { base: Some("org/model-3b".into()), ..Case::default() }.has(&[
        "warning base-model-name-mismatch adapter_config.json /base_model_name_or_path: adapter_config.json names the base model `org/model-1b`, the manifest says `org/model-3b`",
    ]);
}

#[test]
fn values_of_the_wrong_type_are_told() {
    Case::default()
        .config(json!({"r": "8"}))
        .has(&["error adapter-config-value adapter_config.json /r: `r` should be a whole number, it is a string"]);
}

#[test]
fn tensors_must_come_in_sets_that_fit() {
    let mut tensors = lora(2, &["q_proj", "v_proj"], 8, 64);
    tensors.retain(|(name, _)| !name.contains("layers.1.self_attn.v_proj.lora_B"));
    Case::default().tensors(tensors).has(&[
        "error adapter-tensor-missing adapter_model.safetensors [layer 1, v_proj]: layer 1, v_proj: `lora_B` is missing",
    ]);
    let mut tensors = lora(2, &["q_proj", "v_proj"], 8, 64);
    tensors[1].1 = vec![64, 4];
    Case::default().tensors(tensors).has(&[
        "error adapter-shape-inconsistent adapter_model.safetensors [layer 0, q_proj]: layer 0, q_proj: `lora_B` [64, 4] does not fit `lora_A` [8, 64]",
    ]);
    let mut tensors = lora(2, &["q_proj", "v_proj"], 8, 64);
    tensors[0].1 = vec![8, 96];
    Case::default().tensors(tensors).has(&[
        "warning adapter-width-mixed adapter_model.safetensors [layers 0-1, q_proj]: layer 1, q_proj: 64 inputs and layer 0, q_proj: 96 inputs",
    ]);
    let lokr = |part: &str, shape: [u64; 2]| (format!("{}.{part}", module(0, "q_proj")), shape.to_vec());
    let case = |tensors| {
        let names = json!({"type": "lokr", "target_modules": ["q_proj"], "r": 2});
        Case::default()
            .adapter(names)
            .config(json!({"peft_type": "LOKR", "target_modules": ["q_proj"], "r": 2}))
            .tensors(tensors)
    };
    case(vec![lokr("lokr_w1", [8, 8]), lokr("lokr_w2_a", [8, 2]), lokr("lokr_w2_b", [2, 8])]).has(&[]);
    case(vec![lokr("lokr_w2_a", [8, 3]), lokr("lokr_w2_b", [2, 8])]).has(&[
        "error adapter-tensor-missing adapter_model.safetensors [layer 0, q_proj]: layer 0, q_proj: `lokr_w1` is missing",
        "error adapter-shape-inconsistent adapter_model.safetensors [layer 0, q_proj]: layer 0, q_proj: `lokr_w2_a` [8, 3] does not fit `lokr_w2_b` [2, 8]",
    ]);
}

#[test]
fn magnitudes_must_be_complete_and_fit() {
    let dora = |lengths: [u64; 4]| {
        let mut tensors = lora(2, &["q_proj", "v_proj"], 8, 64);
        for (i, length) in lengths.into_iter().enumerate().filter(|(_, length)| *length > 0) {
            let path = module(i as u32 / 2, ["q_proj", "v_proj"][i % 2]);
            tensors.push((format!("{path}.lora_magnitude_vector"), vec![length]));
        }
        Case::default().adapter(json!({"type": "dora"})).config(json!({"use_dora": true})).tensors(tensors)
    };
    dora([64; 4]).has(&[]);
    dora([64; 4]).adapter(json!({"type": "lora", "use_dora": true})).has(&[]);
    dora([64, 0, 64, 0]).has(&[
        "error adapter-dora-incomplete adapter_model.safetensors [layers 0-1, v_proj]: layers 0-1, v_proj: `lora_magnitude_vector` is missing, other modules have one",
    ]);
    dora([64, 64, 8, 64]).has(&[
        "error adapter-shape-inconsistent adapter_model.safetensors [layer 1, q_proj]: layer 1, q_proj: `lora_magnitude_vector` [8] does not fit the 64 rows of `lora_B`",
    ]);
}

#[test]
fn prompts_must_have_the_shape_of_the_configuration() {
    let case = |tokens: u64, dim: u64| {
        let mut case = Case::default().tensors(vec![("prompt_embeddings".into(), vec![20, 64])]);
        case.adapter = json!({"type": "prompt_tuning", "target_modules": []});
        case.config = Some(json!({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": tokens, "token_dim": dim}));
        case
    };
    case(20, 64).has(&[]);
    case(20, 64).config(json!({"num_transformer_submodules": 1})).has(&[]);
    case(10, 64).config(json!({"num_transformer_submodules": 2})).has(&[]);
    case(16, 96).has(&[
        "error adapter-prompt-shape adapter_config.json /num_virtual_tokens: `prompt_embeddings` has 20 rows, `num_virtual_tokens` is 16",
        "error adapter-prompt-shape adapter_config.json /token_dim: `prompt_embeddings` is 64 wide, `token_dim` is 96",
    ]);
}

#[test]
fn names_that_peft_does_not_write_are_told() {
    let kohya =
        vec![("lora_unet_x.lora_down.weight".into(), vec![8, 64]), ("lora_unet_x.lora_up.weight".into(), vec![64, 8])];
    Case::default().tensors(kohya).has(&[
        "warning adapter-tensors-unknown adapter_model.safetensors [lora_unet_x.lora_down.weight]: none of 2 tensors has a name that PEFT writes, such as `lora_unet_x.lora_down.weight`",
    ]);
    let mut tensors = lora(2, &["q_proj", "v_proj"], 8, 64);
    tensors.push(("global_step".into(), vec![1]));
    Case::default().tensors(tensors).has(&[
        "warning adapter-tensors-unknown adapter_model.safetensors [global_step]: the tensor `global_step` has a name that PEFT does not write",
    ]);
    // Biases, an adapter's own name, fused experts and conv layers are PEFT's.
    let q = module(0, "q_proj");
    let mut tensors = lora(1, &["v_proj"], 8, 64);
    tensors.push((format!("{q}.lora_A.default.weight"), vec![8, 64]));
    tensors.push((format!("{q}.lora_B.default.weight"), vec![64, 8]));
    tensors.push((format!("{q}.lora_B.bias"), vec![64]));
    tensors.push((format!("{q}.bias"), vec![64]));
    tensors.push(("base_model.model.model.layers.0.mlp.experts.base_layer.lora_A.weight".into(), vec![32, 64]));
    tensors.push(("base_model.model.model.layers.0.mlp.experts.base_layer.lora_B.weight".into(), vec![64, 32]));
    let fused = json!({"target_parameters": ["mlp.experts.gate_up_proj"]});
    Case::default()
        .adapter(json!({"target_modules": ["q_proj", "v_proj", "experts"]}))
        .config(fused)
        .tensors(tensors)
        .has(&[]);
}
