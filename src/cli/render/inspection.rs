//! What `inspect` saw, as a table.

use crate::cli::out::{BOLD, DIM, paint};
use crate::cli::render::bytes;
use crate::cli::render::diagnostic::printable;
use crate::cli::render::verification;
use crate::ops::inspect::{AdapterInfo, Inspection, TensorInfo, Weights};

/// The table.
pub fn table(seen: &Inspection) -> String {
    let mut lines = vec![paint(BOLD, format!("{} {}", printable(&seen.name), printable(&seen.version)))];
    let mut row = |key: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("  {key:<14}{}", printable(value)));
        }
    };
    row("package", &seen.package.to_string_lossy());
    let level = seen.level.filter(|level| *level > 0).map_or(String::new(), |level| format!(" level {level}"));
    let (size, unpacked) = (bytes(seen.bytes), bytes(seen.unpacked));
    row("size", &format!("{size}, {unpacked} unpacked ({}{level})", seen.compression));
    row("description", seen.description.as_deref().unwrap_or_default());
    row("author", seen.author.as_deref().unwrap_or_default());
    row("license", seen.license.as_deref().unwrap_or_default());
    row("schema", seen.schema);
    row("capabilities", &seen.capabilities.join(", "));
    row("requires", &seen.requires.join(", "));
    for model in &seen.models {
        let quantization = model.quantization.as_ref().filter(|how| *how != "none");
        let quantization = quantization.map_or(String::new(), |how| format!(" ({how})"));
        row("base model", &format!("{}{quantization}", model.name));
        for adapter in &model.adapters {
            row("  adapter", &self::adapter(adapter));
        }
    }
    for prompt in &seen.soft_prompts {
        let tokens = prompt.tokens.map_or(String::new(), |tokens| format!(", {tokens} tokens"));
        let name = prompt.name.as_ref().map_or(String::new(), |name| format!("{name}, "));
        row("soft prompt", &format!("{name}{}{tokens}", prompt.path));
    }
    row("signature", &verification::signature(&seen.signature));
    lines.push(String::new());
    let packed = seen.files.iter().any(|file| file.packed.is_some());
    let title = if packed { "      size      packed" } else { "      size" };
    lines.push(paint(DIM, format!("{title}  {:<64}  path", "sha256")));
    for file in &seen.files {
        let own = match file.packed {
            Some(packed) => format!("  {:>10}", bytes(packed)),
            None if packed => format!("  {:>10}", "-"),
            None => String::new(),
        };
        let hash = file.sha256.map_or("-".repeat(64), |hash| hash.to_string());
        lines.push(format!("{:>10}{own}  {hash}  {}", bytes(file.bytes), printable(file.path.as_str())));
    }
    for weights in seen.weights.iter().flatten() {
        lines.push(String::new());
        tensors(weights, &mut lines);
    }
    lines.join("\n")
}

fn adapter(adapter: &AdapterInfo) -> String {
    let mut parts = vec![adapter.kind.clone().unwrap_or_else(|| "of no type".into())];
    parts.extend(adapter.r.map(|r| format!("r {r}")));
    parts.extend(adapter.alpha.map(|alpha| format!("alpha {alpha}")));
    if !adapter.target_modules.is_empty() {
        parts.push(adapter.target_modules.join(" "));
    }
    parts.extend(adapter.path.clone());
    parts.join(", ")
}

fn tensors(weights: &Weights, lines: &mut Vec<String>) {
    lines.push(paint(BOLD, printable(weights.path.as_str())));
    for (key, value) in &weights.metadata {
        lines.push(format!("  {}: {}", printable(key), printable(value)));
    }
    if let Some(fault) = &weights.fault {
        lines.push(format!("  cannot be read: {}", printable(fault)));
        return;
    }
    let wide = |text: fn(&TensorInfo) -> usize| weights.tensors.iter().map(text).max().unwrap_or(0);
    let name = wide(|tensor| tensor.name.chars().count()).max(6);
    let shape = wide(|tensor| self::shape(tensor).chars().count()).max(5);
    let dtype = wide(|tensor| tensor.dtype.len()).max(5);
    let (min, max, mean) = ("min", "max", "mean");
    lines.push(paint(
        DIM,
        format!("  {:<name$}  {:<dtype$}  {:<shape$}  {min:>11}  {max:>11}  {mean:>11}", "name", "dtype", "shape"),
    ));
    for tensor in &weights.tensors {
        let stats = tensor.stats.map_or(String::new(), |stats| {
            let mut text = format!("  {:>11.4e}  {:>11.4e}  {:>11.4e}", stats.min, stats.max, stats.mean);
            if stats.nan + stats.inf > 0 {
                text.push_str(&format!("  {} NaN, {} infinite", stats.nan, stats.inf));
            }
            text
        });
        let shape_text = self::shape(tensor);
        let called = if tensor.name.is_empty() { "(bare)".to_owned() } else { printable(&tensor.name) };
        lines.push(format!("  {called:<name$}  {:<dtype$}  {shape_text:<shape$}{stats}", tensor.dtype));
    }
}

fn shape(tensor: &TensorInfo) -> String {
    let dimensions: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
    dimensions.join("×")
}
