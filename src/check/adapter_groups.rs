//! Names many modules in few words: `layers 0-27, q_proj and v_proj`.

use std::collections::BTreeMap;

use crate::base::Diagnostic;
use crate::check::adapter_observed::Module;
use crate::format::safetensors::shown;

/// Most groups that one message names.
const MAX_GROUPS: usize = 6;

/// Names these modules by layer range and name.
pub fn name_modules<'m>(modules: impl IntoIterator<Item = &'m Module>) -> String {
    name_places(modules.into_iter().map(|module| (module.layer, module.name.as_str())))
}

/// Names places: the layer where there is one, and the module's name.
pub fn name_places<'m>(places: impl IntoIterator<Item = (Option<u32>, &'m str)>) -> String {
    let mut layers: BTreeMap<&str, Vec<Option<u32>>> = BTreeMap::new();
    for (layer, name) in places {
        layers.entry(name).or_default().push(layer);
    }
    let mut groups: BTreeMap<Vec<Option<u32>>, Vec<&str>> = BTreeMap::new();
    for (name, mut layers) in layers {
        layers.sort_unstable();
        layers.dedup();
        groups.entry(layers).or_default().push(name);
    }
    let more = groups.len().saturating_sub(MAX_GROUPS);
    let mut texts: Vec<String> = groups
        .iter()
        .take(MAX_GROUPS)
        .map(|(layers, names)| {
            let names = list(&names.iter().map(|name| shown(name)).collect::<Vec<_>>());
            let ranges = ranges(layers.iter().flatten().copied());
            match (ranges.is_empty(), layers.iter().flatten().count()) {
                (true, _) => names,
                (false, 1) => format!("layer {ranges}, {names}"),
                (false, _) => format!("layers {ranges}, {names}"),
            }
        })
        .collect();
    if more > 0 {
        texts.push(format!("{more} more groups"));
    }
    texts.join("; ")
}

/// Most findings of one code in one file: more are one fault told many times.
const MAX_FINDINGS: usize = 20;

/// The findings with those past the twentieth of a code told as a number.
pub fn rolled_up(found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut kept: Vec<Diagnostic> = Vec::new();
    for finding in found {
        let count = counts.entry(finding.code.name).or_default();
        *count += 1;
        if *count <= MAX_FINDINGS {
            kept.push(finding);
        }
    }
    for last in kept.clone().iter().rev() {
        if let Some(count) = counts.remove(last.code.name).filter(|count| *count > MAX_FINDINGS) {
            let message = format!("{} more findings of this kind", count - MAX_FINDINGS);
            let mut more = Diagnostic::new(last.code, message);
            more.file.clone_from(&last.file);
            kept.push(more);
        }
    }
    kept
}

/// `a`, `a and b`, `a, b and c`; at most a dozen.
pub fn list(names: &[impl AsRef<str>]) -> String {
    const MOST: usize = 12;
    let more = names.len().saturating_sub(MOST);
    let mut shown: Vec<String> = names.iter().take(MOST).map(|name| name.as_ref().to_owned()).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    match shown.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => shown.concat(),
    }
}

/// `0-3, 5, 7-9` of sorted numbers.
fn ranges(numbers: impl Iterator<Item = u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = number,
            _ => runs.push((number, number)),
        }
    }
    let more = runs.len().saturating_sub(12);
    let text = |(from, to): &(u32, u32)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let mut texts: Vec<String> = runs.iter().take(12).map(text).collect();
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{name_places, rolled_up};
    use crate::base::Diagnostic;
    use crate::base::codes::weights::{ADAPTER_RANK_MISMATCH, ADAPTER_SHAPE_INCONSISTENT};

    #[test]
    fn many_findings_of_a_code_are_counted() {
        let many = (0..50).map(|i| Diagnostic::new(&ADAPTER_SHAPE_INCONSISTENT, i.to_string()).in_file("a"));
        let found = rolled_up(many.chain([Diagnostic::new(&ADAPTER_RANK_MISMATCH, "r")]).collect());
        assert_eq!(found.len(), 22);
        assert_eq!((&*found[20].message, &*found[21].message), ("r", "30 more findings of this kind"));
        assert_eq!(found[21].file.as_deref(), Some("a"));
    }

    #[test]
    fn layers_fold_into_ranges() {
        let all = (0..28).flat_map(|layer| [(Some(layer), "q_proj"), (Some(layer), "v_proj")]);
        assert_eq!(name_places(all), "layers 0-27, q_proj and v_proj");
        let some =
            [(Some(3), "q_proj"), (Some(0), "q_proj"), (Some(1), "q_proj"), (None, "lm_head"), (Some(9), "up_proj")];
        assert_eq!(name_places(some), "lm_head; layers 0-1, 3, q_proj; layer 9, up_proj");
        assert_eq!(name_places([]), "");
        let many: Vec<String> = (0..40).map(|i| format!("m{i}")).collect();
        let text = name_places(many.iter().enumerate().map(|(i, name)| (Some(i as u32), name.as_str())));
        assert!(text.ends_with("; 34 more groups"), "{text}");
    }
}
