//! What `diff` found, for people.

use crate::cli::out::{BOLD, GREEN, RED, YELLOW, paint};
use crate::cli::render::bytes;
use crate::cli::render::diagnostic::{Look, printable};
use crate::ops::diff::{Diff, FileChange, TensorChange, TensorState, WeightsChange};

/// Longest value that is shown.
const LONGEST: usize = 100;

/// The difference; with `all`, every tensor.
pub fn report(diff: &Diff, all: bool, look: &Look) -> String {
    let (old, new) = (printable(&look.shown(&diff.old)), printable(&look.shown(&diff.new)));
    if diff.equal {
        return format!("{old} and {new} hold the same");
    }
    let mut lines = vec![paint(RED, format!("--- {old}")), paint(GREEN, format!("+++ {new}"))];
    if !diff.manifest.is_empty() {
        lines.push(paint(BOLD, "manifest.json"));
    }
    for change in &diff.manifest {
        let text = |text: &str| shortened(&printable(text));
        let pointer = printable(&change.pointer);
        lines.push(match (&change.old, &change.new) {
            (Some(old), Some(new)) => format!("  {} {pointer}: {} → {}", sign('~'), text(&old.0), text(&new.0)),
            (Some(old), None) => format!("  {} {pointer}: {}", sign('-'), text(&old.0)),
            (_, new) => {
                let new = new.as_ref().map_or(String::new(), |new| text(&new.0));
                format!("  {} {pointer}: {new}", sign('+'))
            }
        });
    }
    if !diff.files.is_empty() {
        lines.push(paint(BOLD, "files"));
    }
    lines.extend(diff.files.iter().map(file));
    for weights in &diff.weights {
        tensors(weights, all, &mut lines);
    }
    lines.join("\n")
}

fn sign(sign: char) -> String {
    let style = match sign {
        '+' => GREEN,
        '-' => RED,
        _ => YELLOW,
    };
    paint(style, sign)
}

fn file(change: &FileChange) -> String {
    let path = printable(change.path.as_str());
    match (change.old, change.new) {
        (Some(old), Some(new)) if old.bytes == new.bytes => {
            format!("  {} {path} ({}, other content)", sign('~'), bytes(new.bytes))
        }
        (Some(old), Some(new)) => format!("  {} {path} ({} → {})", sign('~'), bytes(old.bytes), bytes(new.bytes)),
        (Some(old), None) => format!("  {} {path} ({})", sign('-'), bytes(old.bytes)),
        (None, new) => format!("  {} {path} ({})", sign('+'), bytes(new.map_or(0, |new| new.bytes))),
    }
}

fn tensors(weights: &WeightsChange, all: bool, lines: &mut Vec<String>) {
    let path = paint(BOLD, printable(weights.path.as_str()));
    if let Some(fault) = &weights.fault {
        lines.push(format!("{path}: cannot be compared: {}", printable(fault)));
        return;
    }
    let (changed, total) = (weights.changed.len(), weights.total);
    lines.push(format!("{path}: {changed} of {total} tensors changed"));
    let shown = if all { changed } else { changed.min(10) };
    lines.extend(weights.changed.iter().take(shown).map(tensor));
    if shown < changed {
        lines.push(format!("  and {} more (-v shows them)", changed - shown));
    }
}

fn tensor(change: &TensorChange) -> String {
    let name = printable(&change.name);
    let text = |state: &TensorState| format!("{} {:?}", state.dtype, state.shape);
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            let mut line = format!("  {} {name}", sign('~'));
            if old != new {
                line.push_str(&format!(": {} → {}", text(old), text(new)));
            }
            if let Some(distance) = &change.distance {
                let cosine = distance.cosine.map_or(String::new(), |cosine| format!(", cosine {cosine:.6}"));
                let (max, l2) = (distance.max_abs, distance.relative_l2);
                line.push_str(&format!(": at most {max:.3e} apart, relative L2 {l2:.3e}{cosine}"));
                if distance.not_finite > 0 {
                    line.push_str(&format!(", {} values not finite", distance.not_finite));
                }
            }
            line
        }
        (Some(old), None) => format!("  {} {name}: {}", sign('-'), text(old)),
        (None, new) => format!("  {} {name}: {}", sign('+'), new.as_ref().map_or(String::new(), text)),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain("…".chars()).collect()
}
