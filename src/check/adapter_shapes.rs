//! Does the weight file make sense by itself: whole sets of tensors, factors that can be multiplied, one width.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Diagnostic;
use crate::base::codes::weights as codes;
use crate::check::adapter::{Configured, Weights};
use crate::check::adapter_groups::{list, name_modules};
use crate::check::adapter_observed::{AdapterKind, Module};
use crate::format::safetensors::shown;

pub(super) fn shapes(weights: Weights<'_>, configured: Option<Configured<'_>>, found: &mut Vec<Diagnostic>) {
    partners(weights, found);
    factors(weights, found);
    magnitudes(weights, found);
    widths(weights, found);
    unknown(weights, found);
    if let Some(configured) = configured {
        prompt(weights, configured, found);
    }
}

/// The sets of which a module has all or nothing.
const SETS: [&[&str]; 6] = [
    &["lora_A", "lora_B"],
    &["lora_embedding_A", "lora_embedding_B"],
    &["lokr_w1_a", "lokr_w1_b"],
    &["lokr_w2_a", "lokr_w2_b"],
    &["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"],
    &["hada_t1", "hada_t2"],
];

fn partners(weights: Weights<'_>, found: &mut Vec<Diagnostic>) {
    let mut lacking: BTreeMap<&str, Vec<&Module>> = BTreeMap::new();
    for module in &weights.observed.modules {
        let has = |part: &str| module.parts.contains_key(part);
        for set in SETS.iter().filter(|set| set.iter().any(|part| has(part))) {
            for part in set.iter().filter(|part| !has(part)) {
                lacking.entry(part).or_default().push(module);
            }
        }
        match module.kind {
            AdapterKind::Lokr => {
                for (full, factor) in [("lokr_w1", "lokr_w1_a"), ("lokr_w2", "lokr_w2_a")] {
                    if !has(full) && !has(factor) && !has(&format!("{full}_b")) {
                        lacking.entry(full).or_default().push(module);
                    }
                }
            }
            AdapterKind::Dora | AdapterKind::Adalora
                if !has("lora_A") && !has("lora_embedding_A") && !has("lora_B") =>
            {
                lacking.entry("lora_A").or_default().push(module);
                lacking.entry("lora_B").or_default().push(module);
            }
            _ => {}
        }
    }
    for (part, modules) in lacking {
        let places = name_modules(modules.iter().copied());
        let message = format!("{places}: `{part}` is missing");
        let help = "save the adapter again with all of its tensors";
        found.push(weights.finding(&codes::ADAPTER_TENSOR_MISSING, message, places).help(help));
    }
}

/// A dimension of a part.
type Dim = (&'static str, usize);

/// Pairs that must be equal.
const INNER: [(Dim, Dim); 7] = [
    (("lora_B", 1), ("lora_A", 0)),
    (("lora_embedding_B", 1), ("lora_embedding_A", 0)),
    (("lora_E", 0), ("lora_A", 0)),
    (("lokr_w1_a", 1), ("lokr_w1_b", 0)),
    (("lokr_w2_a", 1), ("lokr_w2_b", 0)),
    (("hada_w1_a", 1), ("hada_w1_b", 0)),
    (("hada_w2_a", 1), ("hada_w2_b", 0)),
];

fn factors(weights: Weights<'_>, found: &mut Vec<Diagnostic>) {
    let mut wrong: BTreeMap<String, Vec<&Module>> = BTreeMap::new();
    for module in &weights.observed.modules {
        // With a core tensor the factors are multiplied into it instead.
        let core = module.parts.keys().any(|part| matches!(*part, "lokr_t2" | "hada_t1" | "hada_t2"));
        for ((one, i), (two, j)) in INNER.iter().filter(|((one, _), _)| !core || one.starts_with("lora")) {
            let (Some(left), Some(right)) = (module.parts.get(one), module.parts.get(two)) else { continue };
            if left.get(*i).is_none() || left.get(*i) != right.get(*j) {
                wrong.entry(format!("`{one}` {left:?} does not fit `{two}` {right:?}")).or_default().push(module);
            }
        }
        let rows = module.dim("lora_B", 0);
        if let (Some(magnitude), Some(rows)) = (module.parts.get("lora_magnitude_vector"), rows) {
            let length = magnitude.iter().try_fold(1_u64, |length, dim| length.checked_mul(*dim));
            if length != Some(rows) {
                let text = format!("`lora_magnitude_vector` {magnitude:?} does not fit the {rows} rows of `lora_B`");
                wrong.entry(text).or_default().push(module);
            }
        }
    }
    for (what, modules) in wrong {
        let places = name_modules(modules.iter().copied());
        let help = "the file was put together from different adapters, or a matrix was transposed: export it again";
        let message = format!("{places}: {what}");
        found.push(weights.finding(&codes::ADAPTER_SHAPE_INCONSISTENT, message, places).help(help));
    }
}

fn magnitudes(weights: Weights<'_>, found: &mut Vec<Diagnostic>) {
    if weights.observed.kind != Some(AdapterKind::Dora) {
        return;
    }
    let plain = |module: &&Module| module.kind == AdapterKind::Lora && module.parts.contains_key("lora_A");
    let lacking: Vec<&Module> = weights.observed.modules.iter().filter(plain).collect();
    if !lacking.is_empty() {
        let places = name_modules(lacking);
        let message = format!("{places}: `lora_magnitude_vector` is missing, other modules have one");
        let help = "save the adapter again with all of its tensors";
        found.push(weights.finding(&codes::ADAPTER_DORA_INCOMPLETE, message, places).help(help));
    }
}

fn widths(weights: Weights<'_>, found: &mut Vec<Diagnostic>) {
    let mut same: BTreeMap<String, BTreeMap<u64, Vec<&Module>>> = BTreeMap::new();
    for module in &weights.observed.modules {
        let Some(inputs) = module.inputs else { continue };
        let star = |part: &str| if part.parse::<u32>().is_ok() { "*".to_owned() } else { part.to_owned() };
        let template: Vec<String> = module.path.split('.').map(star).collect();
        same.entry(template.join(".")).or_default().entry(inputs).or_default().push(module);
    }
    for (_, widths) in same.into_iter().filter(|(_, widths)| widths.len() > 1) {
        let texts: Vec<String> = widths
            .iter()
            .map(|(width, modules)| format!("{}: {width} inputs", name_modules(modules.iter().copied())))
            .collect();
        let places = name_modules(widths.values().flatten().copied());
        let help = "tensors of two base models seem to be mixed: package the weights of one at a time";
        found.push(weights.finding(&codes::ADAPTER_WIDTH_MIXED, list(&texts), places).help(help));
    }
}

fn unknown(weights: Weights<'_>, found: &mut Vec<Diagnostic>) {
    let observed = weights.observed;
    let Some(first) = observed.unknown.first().map(|name| shown(name)) else {
        if observed.kind.is_none() && !observed.saved.is_empty() {
            let message = "no tensor is part of an adapter, only modules kept whole are there";
            found.push(weights.finding(&codes::ADAPTER_TENSORS_UNKNOWN, message, shown(&observed.saved[0].path)));
        }
        return;
    };
    let count = observed.unknown.len();
    let message = match (observed.kind, count) {
        (None, 1) => format!("no tensor has a name that PEFT writes: `{first}`"),
        (None, _) => format!("none of {count} tensors has a name that PEFT writes, such as `{first}`"),
        (Some(_), 1) => format!("the tensor `{first}` has a name that PEFT does not write"),
        (Some(_), _) => format!("{count} tensors have names that PEFT does not write, such as `{first}`"),
    };
    let help = match ["lora_down", "lora_up", "lora_a", "lora_b"].iter().find(|part| first.contains(*part)) {
        Some(part) => format!("`{part}` is another trainer's name: convert the file to PEFT's `lora_A` and `lora_B`"),
        None => "names begin with `base_model.model.` and end in a part such as `lora_A.weight`".to_owned(),
    };
    found.push(weights.finding(&codes::ADAPTER_TENSORS_UNKNOWN, message, first).help(help));
}

fn prompt(weights: Weights<'_>, configured: Configured<'_>, found: &mut Vec<Diagnostic>) {
    let config = configured.config;
    if !config.peft_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("PROMPT_TUNING")) {
        return;
    }
    let Some((rows, width)) = weights.observed.prompt else { return };
    let submodules = config.value.get("num_transformer_submodules").and_then(crate::format::json::Value::as_u64);
    let counts: BTreeSet<u64> = config
        .num_virtual_tokens
        .iter()
        .flat_map(|tokens| [Some(*tokens), tokens.checked_mul(submodules.unwrap_or(1))])
        .flatten()
        .collect();
    let mut tell = |pointer: &str, message: String| {
        let help = "use the file that was saved with these weights";
        found.push(configured.finding(&codes::ADAPTER_PROMPT_SHAPE, message, pointer).help(help));
    };
    if let Some(tokens) = config.num_virtual_tokens.filter(|_| !counts.contains(&rows)) {
        tell("/num_virtual_tokens", format!("`prompt_embeddings` has {rows} rows, `num_virtual_tokens` is {tokens}"));
    }
    if let Some(dim) = config.token_dim.filter(|dim| *dim != width) {
        tell("/token_dim", format!("`prompt_embeddings` is {width} wide, `token_dim` is {dim}"));
    }
}
