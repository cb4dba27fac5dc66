//! Rank and alpha: manifest and adapter_config.json against the tensors, and against each other.

use std::collections::BTreeMap;

use crate::base::Diagnostic;
use crate::base::codes::weights as codes;
use crate::check::adapter::{Configured, Declared, Sides};
use crate::check::adapter_groups::name_modules;
use crate::check::adapter_observed::{AdapterKind, Module};
use crate::check::adapter_pattern::Pattern;
use crate::format::json::Value;
use crate::format::safetensors::shown;

/// Modules whose rank is not what it should be, by (rank, wanted).
type Wrong<'a> = BTreeMap<(u64, u64), Vec<&'a Module>>;

pub(super) fn ranks(sides: Sides<'_>, found: &mut Vec<Diagnostic>) {
    let pattern = Pattern::new(sides.configured.map_or(&[], |configured| configured.config.rank_pattern.as_slice()));
    if let (Some(configured), Some(key)) = (sides.configured, &pattern.unreadable) {
        let message = format!("`rank_pattern` holds `{}`, which is not checked", shown(key));
        found.push(configured.finding(&codes::ADAPTER_PATTERN_UNREAD, message, "/rank_pattern"));
    }
    let ranked = sides.weights.filter(|weights| weights.observed.kind.is_some_and(AdapterKind::ranked));
    let Some(weights) = ranked else {
        if sides.weights.is_none() {
            without_weights(sides, found);
        }
        return;
    };
    let modules = || {
        let fused = |module: &Module| sides.configured.is_some_and(|configured| is_parameter(configured, module));
        let modules = weights.observed.modules.iter().filter(move |module| !fused(module));
        modules.filter_map(|module| Some((module, module.rank?)))
    };
    if weights.observed.kind == Some(AdapterKind::Adalora) {
        if let Some(configured) = sides.configured {
            pruned(sides, configured, modules(), found);
        }
        return;
    }
    if let Some(declared) = sides.declared
        && declared.kind().is_none_or(AdapterKind::ranked)
    {
        declared_ranks(declared, &pattern, modules(), found);
    }
    let Some(configured) = sides.configured else { return };
    let (mut by_r, mut by_pattern) = (Wrong::new(), Wrong::new());
    for (module, rank) in modules() {
        match (pattern.of(&module.path), configured.config.r) {
            (Some(wanted), _) if wanted != rank => by_pattern.entry((rank, wanted)).or_default().push(module),
            (None, Some(wanted)) if wanted != rank && pattern.unreadable.is_none() => {
                by_r.entry((rank, wanted)).or_default().push(module);
            }
            _ => {}
        }
    }
    for (wrong, key) in [(by_r, "r"), (by_pattern, "rank_pattern")] {
        if let Some(message) = tell(&wrong, &format!("`{key}` of {}", configured.file.path)) {
            let help = "use the file that was saved with these weights";
            let pointer = format!("/{key}");
            found.push(configured.finding(&codes::ADAPTER_CONFIG_RANK_MISMATCH, message, &pointer).help(help));
        }
    }
}

fn declared_ranks<'a>(
    declared: &Declared<'_>,
    configured: &Pattern<u64>,
    modules: impl Iterator<Item = (&'a Module, u64)>,
    found: &mut Vec<Diagnostic>,
) {
    let own: Vec<(String, u64)> = declared.value.get("rank_pattern").map_or(Vec::new(), |value| {
        value.members().iter().filter_map(|member| Some((member.key.to_string(), member.value.as_u64()?))).collect()
    });
    let own = Pattern::new(&own);
    let r = declared.value.get("r").and_then(Value::as_u64);
    let (mut by_r, mut by_pattern, mut right) = (Wrong::new(), Wrong::new(), false);
    for (module, rank) in modules {
        match (own.of(&module.path), configured.of(&module.path), r) {
            (Some(wanted), _, _) if wanted != rank => by_pattern.entry((rank, wanted)).or_default().push(module),
            (None, None, Some(wanted)) if wanted != rank => {
                if own.unreadable.is_none() && configured.unreadable.is_none() {
                    by_r.entry((rank, wanted)).or_default().push(module);
                }
            }
            _ => right = true,
        }
    }
    if let Some(message) = tell(&by_pattern, "`rank_pattern` of the manifest") {
        found.push(declared.finding(&codes::ADAPTER_RANK_MISMATCH, message, "rank_pattern"));
    }
    if let Some(message) = tell(&by_r, "the manifest") {
        let help = match by_r.keys().next() {
            Some((rank, _)) if by_r.len() == 1 && !right => {
                format!("set `r` to {rank}, or package the weights that were meant")
            }
            _ => "ranks that differ between modules need a `rank_pattern` in adapter_config.json".to_owned(),
        };
        found.push(declared.finding(&codes::ADAPTER_RANK_MISMATCH, message, "r").help(help));
    }
}

/// `layers 0-27, q_proj: rank 8, the manifest says 12`
fn tell(wrong: &Wrong<'_>, whose: &str) -> Option<String> {
    let texts: Vec<String> = wrong
        .iter()
        .take(4)
        .map(|((rank, wanted), modules)| {
            format!("{}: rank {rank}, {whose} says {wanted}", name_modules(modules.iter().copied()))
        })
        .collect();
    let more = wrong.len().saturating_sub(texts.len());
    let tail = if more > 0 { format!("; and {more} more ranks") } else { String::new() };
    (!texts.is_empty()).then(|| texts.join("; ") + &tail)
}

/// AdaLoRA prunes ranks while it trains: none may be above the one it began with.
fn pruned<'a>(
    sides: Sides<'_>,
    configured: Configured<'_>,
    modules: impl Iterator<Item = (&'a Module, u64)>,
    found: &mut Vec<Diagnostic>,
) {
    let config = configured.config;
    let declared = sides.declared.and_then(|declared| declared.value.get("r")?.as_u64());
    let Some(most) = config.init_r.into_iter().chain(config.target_r).chain(declared).max() else { return };
    let mut wrong = Wrong::new();
    for (module, rank) in modules.filter(|(_, rank)| *rank > most) {
        wrong.entry((rank, most)).or_default().push(module);
    }
    if let Some(message) = tell(&wrong, &format!("`init_r` of {}", configured.file.path)) {
        found.push(configured.finding(&codes::ADAPTER_CONFIG_RANK_MISMATCH, message, "/init_r"));
    }
}

/// Fused experts hold all of their ranks in one tensor.
fn is_parameter(configured: Configured<'_>, module: &Module) -> bool {
    configured.config.target_parameters.iter().any(|parameter| {
        let parent = parameter.rsplit_once('.').map_or(parameter.as_str(), |(parent, _)| parent);
        module.path == parent || module.path.ends_with(&format!(".{parent}"))
    })
}

fn without_weights(sides: Sides<'_>, found: &mut Vec<Diagnostic>) {
    let (Some(declared), Some(configured)) = (sides.declared, sides.configured) else { return };
    let ranked = declared.kind().is_some_and(|kind| kind.ranked() && kind != AdapterKind::Adalora);
    let (Some(one), Some(two)) = (declared.value.get("r").and_then(Value::as_u64), configured.config.r) else { return };
    if ranked && one != two {
        let message = format!("the manifest says rank {one}, {} says {two}", configured.file.path);
        found.push(
            declared
                .finding(&codes::ADAPTER_RANK_MISMATCH, message, "r")
                .help("put the rank of the training run into both"),
        );
    }
}

/// Alpha stands in no tensor: manifest against configuration.
pub(super) fn alphas(sides: Sides<'_>, found: &mut Vec<Diagnostic>) {
    let (Some(declared), Some(configured)) = (sides.declared, sides.configured) else { return };
    let one = declared.value.get("alpha").and_then(Value::as_f64);
    if let (Some(one), Some(two)) = (one, configured.config.alpha)
        && (one - two).abs() > 1e-9
    {
        let message = format!("the manifest says alpha {one}, {} says {two}", configured.file.path);
        let help = "put the alpha of the training run into both";
        found.push(declared.finding(&codes::ADAPTER_ALPHA_MISMATCH, message, "alpha").help(help));
    }
    let Some(own) = declared.value.get("alpha_pattern") else { return };
    for member in own.members() {
        let other = configured.config.alpha_pattern.iter().find(|(key, _)| **key == *member.key);
        let (one, two) = (member.value.as_f64(), other.map(|(_, alpha)| *alpha).or(configured.config.alpha));
        if let (Some(one), Some(two)) = (one, two)
            && (one - two).abs() > 1e-9
        {
            let message = format!(
                "the manifest says alpha {one} for `{}`, {} says {two}",
                shown(&member.key),
                configured.file.path
            );
            found.push(declared.finding(&codes::ADAPTER_ALPHA_MISMATCH, message, "alpha_pattern"));
        }
    }
}

/// `scaling` of the manifest against `use_rslora`. Words that say nothing about alpha are passed over.
pub(super) fn scaling(sides: Sides<'_>, found: &mut Vec<Diagnostic>) {
    let (Some(declared), Some(configured)) = (sides.declared, sides.configured) else { return };
    let Some(word) = declared.value.get("scaling").and_then(Value::as_str) else { return };
    let plain: String = word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let stabilised = match &*plain {
        "standard" | "default" => false,
        "rslora" | "rs" | "rankstabilized" | "rankstabilised" => true,
        _ => return,
    };
    if stabilised != configured.config.use_rslora {
        let path = configured.file.path;
        let message = match stabilised {
            true => format!("the manifest says scaling `{word}`, {path} does not set `use_rslora`"),
            false => format!("the manifest says scaling `{word}`, {path} sets `use_rslora`"),
        };
        let help = "let `scaling` and `use_rslora` say the same: alpha / r or alpha / sqrt(r)";
        found.push(declared.finding(&codes::ADAPTER_SCALING_MISMATCH, message, "scaling").help(help));
    }
}
