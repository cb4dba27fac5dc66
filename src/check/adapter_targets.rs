//! Target modules and modules kept whole: who names what, and what the tensors have.

use std::collections::BTreeSet;

use crate::base::Diagnostic;
use crate::base::codes::weights as codes;
use crate::check::adapter::{Configured, Declared, Sides, Weights};
use crate::check::adapter_groups::{list, name_modules};
use crate::check::adapter_observed::{AdapterKind, Module, Saved};
use crate::check::adapter_pattern::{Choice, entry, is_all};
use crate::format::adapter_config::Targets;
use crate::format::json::Value;
use crate::format::safetensors::shown;

pub(super) fn targets(sides: Sides<'_>, found: &mut Vec<Diagnostic>) {
    match sides.weights {
        Some(weights) if !weights.observed.modules.is_empty() => {
            if let Some(declared) = sides.declared {
                declared_targets(declared, sides, weights, found);
            }
            if let Some(configured) = sides.configured {
                configured_targets(configured, weights, found);
            }
        }
        Some(_) => {}
        None => {
            if let (Some(declared), Some(configured)) = (sides.declared, sides.configured) {
                without_weights(declared, configured, found);
            }
        }
    }
}

fn declared_targets(declared: &Declared<'_>, sides: Sides<'_>, weights: Weights<'_>, found: &mut Vec<Diagnostic>) {
    let targets = declared.targets();
    if targets.is_empty() {
        return;
    }
    let choices: Vec<(&str, Choice)> = targets.into_iter().map(|target| (target, entry(target))).collect();
    let observed = weights.observed;
    let unreadable: Vec<&str> =
        choices.iter().filter(|(_, choice)| matches!(choice, Choice::Unreadable)).map(|(target, _)| *target).collect();
    if !unreadable.is_empty() {
        let message = format!("`target_modules` holds {}, which is not checked", quoted(&unreadable));
        found.push(declared.finding(&codes::ADAPTER_PATTERN_UNREAD, message, "target_modules"));
    }
    let whole = |choice: &Choice| observed.saved.iter().any(|saved| choice.has(&saved.path) == Some(true));
    let missing: Vec<&str> = choices
        .iter()
        .filter(|(_, choice)| observed.modules.iter().all(|module| choice.has(&module.path) == Some(false)))
        .filter(|(_, choice)| !whole(choice))
        .map(|(target, _)| *target)
        .collect();
    if !missing.is_empty() {
        let message = format!("no tensor adapts {}, which `target_modules` names", quoted(&missing));
        let names: BTreeSet<&str> = observed.modules.iter().map(|module| module.name.as_str()).collect();
        let help = format!(
            "the weights adapt {}: take the name out, or package the weights that have it",
            list(&names.into_iter().collect::<Vec<_>>())
        );
        found.push(declared.finding(&codes::ADAPTER_TARGET_MISSING, message, "target_modules").help(help));
    }
    let kept: Vec<Choice> =
        names_of(declared.value, "modules_to_save").chain(configured_saved(sides.configured)).map(entry).collect();
    let kept: Vec<Choice> =
        kept.into_iter().chain(names_of(declared.value, "feedforward_modules").map(entry)).collect();
    let undeclared: Vec<&Module> = observed
        .modules
        .iter()
        .filter(|module| choices.iter().all(|(_, choice)| choice.has(&module.path) == Some(false)))
        .filter(|module| !kept.iter().any(|choice| choice.has(&module.path) == Some(true)))
        .collect();
    if !undeclared.is_empty() {
        let names: BTreeSet<&str> = undeclared.iter().map(|module| module.name.as_str()).collect();
        let names = quoted(&names.into_iter().collect::<Vec<_>>());
        let places = name_modules(undeclared.iter().copied());
        let message = format!("the weights adapt {places}, but `target_modules` does not name {names}");
        let help = format!("add {names} to `target_modules`");
        found.push(declared.finding(&codes::ADAPTER_TARGET_UNDECLARED, message, "target_modules").help(help));
    }
}

fn configured_targets(configured: Configured<'_>, weights: Weights<'_>, found: &mut Vec<Diagnostic>) {
    let config = configured.config;
    let Some(targets) = &config.target_modules else { return };
    let (choice, exclude) = (Choice::new(targets), config.exclude_modules.as_ref().map(Choice::new));
    let pointer = "/target_modules";
    for (choice, pointer) in [(Some(&choice), pointer), (exclude.as_ref(), "/exclude_modules")] {
        if let Some(Choice::Unreadable) = choice {
            let message = "the regular expression uses syntax that is not checked";
            found.push(configured.finding(&codes::ADAPTER_PATTERN_UNREAD, message, pointer));
        }
    }
    let parameters: Vec<Choice> = config
        .target_parameters
        .iter()
        .filter_map(|parameter| parameter.rsplit_once('.'))
        .map(|(parent, _)| Choice::new(&Targets::List(vec![parent.to_owned()])))
        .collect();
    let dropped: Vec<&Module> = weights
        .observed
        .modules
        .iter()
        .filter(|module| {
            let chosen =
                choice.has(&module.path) != Some(false) && in_layers(config.layers_to_transform.as_deref(), module);
            let excluded = exclude.as_ref().is_some_and(|exclude| exclude.has(&module.path) == Some(true));
            !chosen || excluded
        })
        .filter(|module| !parameters.iter().any(|choice| choice.has(&module.path) == Some(true)))
        .collect();
    if !dropped.is_empty() {
        let places = name_modules(dropped.iter().copied());
        let message = format!("the weights adapt {places}, which {} does not select", configured.file.path);
        let help = "use the file that was saved with these weights";
        found.push(configured.finding(&codes::ADAPTER_CONFIG_TARGET_UNDECLARED, message, pointer).help(help));
    }
    if let Choice::Ends(names) = &choice {
        let has = |name: &str| {
            let end = format!(".{name}");
            let is = |path: &str| path == name || path.ends_with(&end);
            weights.observed.modules.iter().any(|module| is(&module.path))
                || weights.observed.saved.iter().any(|saved| is(&saved.path))
        };
        // Whole paths by the thousand are a tool's work, not a person's: nothing is misspelt there.
        let missing: Vec<&str> =
            names.keys().filter(|name| names.len() <= 256 && !has(name)).map(String::as_str).collect();
        if !missing.is_empty() {
            let message = format!("no tensor adapts {}, which `target_modules` names", quoted(&missing));
            let help = "take the name out, or package the weights that have it";
            found.push(configured.finding(&codes::ADAPTER_CONFIG_TARGET_MISSING, message, pointer).help(help));
        }
    }
}

/// With more than one number in a path it is not certain which is the layer's.
fn in_layers(layers: Option<&[u64]>, module: &Module) -> bool {
    let numbers = module.path.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
    match (layers, module.layer) {
        (Some(layers), Some(layer)) if numbers == 1 && !layers.is_empty() => layers.contains(&u64::from(layer)),
        _ => true,
    }
}

fn without_weights(declared: &Declared<'_>, configured: Configured<'_>, found: &mut Vec<Diagnostic>) {
    let Some(Targets::List(theirs)) = &configured.config.target_modules else { return };
    let ours = declared.targets();
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    if ours.is_empty() || ours.iter().any(|name| is_all(name) || !plain(name)) || theirs.iter().any(|name| is_all(name))
    {
        return;
    }
    let same =
        |one: &str, two: &str| one == two || one.ends_with(&format!(".{two}")) || two.ends_with(&format!(".{one}"));
    let more: Vec<&str> = ours.iter().copied().filter(|one| !theirs.iter().any(|two| same(one, two))).collect();
    let less: Vec<&str> =
        theirs.iter().map(String::as_str).filter(|two| !ours.iter().any(|one| same(one, two))).collect();
    let path = configured.file.path;
    let message = match (more.is_empty(), less.is_empty()) {
        (true, true) => return,
        (false, true) => format!("{path} does not name {}", quoted(&more)),
        (true, false) => format!("{path} names {} too", quoted(&less)),
        (false, false) => format!("{path} does not name {}, but {}", quoted(&more), quoted(&less)),
    };
    let help = "put the same modules into both";
    found.push(declared.finding(&codes::ADAPTER_TARGETS_DIFFER, message, "target_modules").help(help));
}

fn quoted(names: &[&str]) -> String {
    list(&names.iter().map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>())
}

fn names_of<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    value.get(key).map_or(&[][..], Value::items).iter().filter_map(Value::as_str)
}

fn configured_saved<'a>(configured: Option<Configured<'a>>) -> impl Iterator<Item = &'a str> {
    configured.map_or(&[][..], |configured| configured.config.modules_to_save.as_slice()).iter().map(String::as_str)
}

/// IA3 scales the input of feed-forward modules and the output of all others: the shape tells which.
pub(super) fn feedforward(sides: Sides<'_>, found: &mut Vec<Diagnostic>) {
    let Some(weights) = sides.weights.filter(|weights| weights.observed.kind == Some(AdapterKind::Ia3)) else { return };
    let key = "feedforward_modules";
    let compare = |has: &dyn Fn(&str) -> Option<bool>| {
        let modules =
            weights.observed.modules.iter().filter(|module| module.inputs.is_some() != module.outputs.is_some());
        let wrong = |module: &&Module| has(&module.path).is_some_and(|is| is != module.inputs.is_some());
        let (inputs, outputs): (Vec<&Module>, Vec<&Module>) = modules.filter(wrong).partition(|m| m.inputs.is_some());
        let texts = [
            (inputs, "input, but `feedforward_modules` does not name it"),
            (outputs, "output, but `feedforward_modules` names it"),
        ];
        let told = texts.into_iter().filter(|(modules, _)| !modules.is_empty());
        told.map(|(modules, what)| format!("{}: `ia3_l` scales the {what}", name_modules(modules))).collect::<Vec<_>>()
    };
    if let Some((configured, targets)) =
        sides.configured.and_then(|c| Some((c, c.config.feedforward_modules.as_ref()?)))
    {
        let choice = Choice::new(targets);
        for message in compare(&|path| choice.has(path)) {
            let help = "use the file that was saved with these weights";
            let code = &codes::ADAPTER_FEEDFORWARD_MISMATCH;
            found.push(configured.finding(code, message, "/feedforward_modules").help(help));
        }
    }
    if let Some(declared) = sides.declared.filter(|declared| declared.value.get(key).is_some()) {
        let choices: Vec<Choice> = names_of(declared.value, key).map(entry).collect();
        for message in compare(&|path| Some(choices.iter().any(|choice| choice.has(path) != Some(false)))) {
            let help = "let `feedforward_modules` name the modules whose `ia3_l` is [1, inputs]";
            found.push(declared.finding(&codes::ADAPTER_FEEDFORWARD_MISMATCH, message, key).help(help));
        }
    }
}

/// Modules kept whole must have their tensors.
pub(super) fn saved(sides: Sides<'_>, found: &mut Vec<Diagnostic>) {
    let Some(weights) = sides.weights.filter(|weights| weights.observed.kind.is_some()) else { return };
    let observed = &weights.observed.saved;
    let help = "save the adapter again, or take the name out";
    let message = |names: &[&str]| format!("no tensor holds {}, which `modules_to_save` names", quoted(names));
    let configured: Vec<&str> = configured_saved(sides.configured).filter(|name| !has_saved(observed, name)).collect();
    if let Some(side) = sides.configured.filter(|_| !configured.is_empty()) {
        let code = &codes::ADAPTER_SAVED_MODULE_MISSING;
        found.push(side.finding(code, message(&configured), "/modules_to_save").help(help));
    }
    let Some(declared) = sides.declared else { return };
    let missing: Vec<&str> =
        names_of(declared.value, "modules_to_save").filter(|name| !has_saved(observed, name)).collect();
    if !missing.is_empty() && missing.iter().any(|name| !configured.contains(name)) {
        let code = &codes::ADAPTER_SAVED_MODULE_MISSING;
        found.push(declared.finding(code, message(&missing), "modules_to_save").help(help));
    }
}

/// The module or one below it. Where input and output embeddings are one tensor, it is stored once.
fn has_saved(observed: &[Saved], name: &str) -> bool {
    const TIED: [&str; 2] = ["embed_tokens", "lm_head"];
    let has = |name: &str| {
        let within = format!(".{name}.");
        observed.iter().any(|saved| format!(".{}.", saved.path).contains(&within))
    };
    has(name) || TIED.iter().any(|tied| name.ends_with(tied)) && TIED.iter().any(|tied| has(tied))
}
