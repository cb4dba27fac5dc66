//! "Did you mean": the known word that is nearest to one that nobody knows.

/// The candidate that the typed word most likely stands for, if any is near enough.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('_', "-");
    // One slip in three letters is a typo, more is another word.
    let limit = (typed.chars().count() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.into_iter().filter(|candidate| !candidate.is_empty()) {
        let lower = candidate.to_lowercase();
        let distance = strsim::osa_distance(&typed, &lower);
        let near = distance <= limit || (typed.len() >= 3 && (lower.starts_with(&typed) || typed.starts_with(&lower)));
        if near && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The help line for it.
pub fn did_you_mean<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(typed, candidates).map(|word| format!("did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_understood_and_other_words_are_not() {
        let known = ["weights", "manifest", "out-dir", "max-size"];
        for (typed, meant) in [
            ("wieghts", Some("weights")),
            ("weight", Some("weights")),
            ("Manifest", Some("manifest")),
            ("out_dir", Some("out-dir")),
            ("outdir", Some("out-dir")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        // What has no name cannot be meant.
        assert_eq!(nearest("sql", [""]), None);
    }
}
