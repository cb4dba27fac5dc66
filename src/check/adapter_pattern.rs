//! Which modules a target list, a target regex or a rank pattern means, as PEFT reads them.
//!
//! Lists: a module's whole path, or its end from a dot on. Regexes: Python's `re.fullmatch` over the whole path.
//! `rank_pattern` keys: `(.*\.)?(key)$`, the first key that matches. Syntax that only Python has (look-around,
//! back references) cannot be judged: the answer is then `None`, and no finding rests on it.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use crate::format::adapter_config::Targets;

/// Longest compiled form of a regex, in bytes.
const MAX_PROGRAM: usize = 512 << 10;
/// More regexes than any pattern of a real adapter has.
const MAX_KEYS: usize = 64;

/// A choice of modules, ready to be asked.
#[derive(Debug, Clone)]
pub enum Choice {
    /// These paths or ends of paths.
    Ends(BTreeMap<String, usize>),
    /// What the regex matches.
    Pattern(Box<Regex>),
    /// Everything.
    All,
    /// It cannot be read here.
    Unreadable,
}

impl Choice {
    /// The choice that a configuration makes.
    pub fn new(targets: &Targets) -> Self {
        match targets {
            Targets::AllLinear => Self::All,
            Targets::List(names) if names.iter().any(|name| is_all(name)) => Self::All,
            Targets::List(names) => Self::Ends(names.iter().cloned().zip(0..).collect()),
            Targets::Pattern(text) => compile(text).map_or(Self::Unreadable, |regex| Self::Pattern(Box::new(regex))),
        }
    }

    /// Is this module meant? `None` where it cannot be told.
    pub fn has(&self, path: &str) -> Option<bool> {
        match self {
            Self::Ends(names) => Some(ends(path).any(|end| names.contains_key(end))),
            Self::Pattern(regex) => Some(regex.is_match(path)),
            Self::All => Some(true),
            Self::Unreadable => None,
        }
    }
}

/// Does this entry of a list stand for every module?
pub fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("all-linear") || name.eq_ignore_ascii_case("all")
}

/// The choice of one entry of a manifest's list: the end of a path or, as some write, a regex.
pub fn entry(text: &str) -> Choice {
    let literal = is_all(text) || is_literal(text);
    Choice::new(&if literal { Targets::List(vec![text.to_owned()]) } else { Targets::Pattern(text.to_owned()) })
}

/// The path itself and what stands after each of its dots.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    std::iter::once(path).chain(path.match_indices('.').map(|(at, _)| &path[at + 1..]))
}

fn is_literal(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).size_limit(MAX_PROGRAM).build().ok()
}

/// `rank_pattern` or `alpha_pattern`, ready to be asked.
#[derive(Debug, Clone)]
pub struct Pattern<T> {
    literals: BTreeMap<String, usize>,
    regexes: Vec<(usize, Regex)>,
    values: Vec<T>,
    /// A key that cannot be read here.
    pub unreadable: Option<String>,
}

impl<T: Copy> Pattern<T> {
    /// The pattern of these keys, in the order of the file.
    pub fn new(keys: &[(String, T)]) -> Self {
        let mut pattern = Self { literals: BTreeMap::new(), regexes: Vec::new(), values: Vec::new(), unreadable: None };
        for (index, (key, value)) in keys.iter().enumerate() {
            pattern.values.push(*value);
            if is_literal(key) {
                pattern.literals.entry(key.clone()).or_insert(index);
            } else if let Some(regex) =
                (pattern.regexes.len() < MAX_KEYS).then(|| compile(&format!(r"(?:.*\.)?(?:{key})"))).flatten()
            {
                pattern.regexes.push((index, regex));
            } else {
                pattern.unreadable.get_or_insert_with(|| key.clone());
            }
        }
        pattern
    }

    /// The value for this module, where a key matches.
    pub fn of(&self, path: &str) -> Option<T> {
        let literal = ends(path).filter_map(|end| self.literals.get(end).copied()).min();
        let regex = self.regexes.iter().find(|(_, regex)| regex.is_match(path)).map(|(index, _)| *index);
        literal.into_iter().chain(regex).min().map(|index| self.values[index])
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Pattern, entry};
    use crate::format::adapter_config::Targets;

    const Q: &str = "model.layers.11.self_attn.q_proj";

    #[test]
    fn lists_mean_whole_paths_and_ends() {
        let list = |names: &[&str]| Choice::new(&Targets::List(names.iter().map(|n| (*n).to_owned()).collect()));
        assert_eq!(list(&["q_proj"]).has(Q), Some(true));
        assert_eq!(list(&["self_attn.q_proj"]).has(Q), Some(true));
        assert_eq!(list(&[Q]).has(Q), Some(true));
        assert_eq!(list(&["proj"]).has(Q), Some(false));
        assert_eq!(list(&["1.self_attn.q_proj"]).has(Q), Some(false));
        assert_eq!(list(&["all-linear"]).has(Q), Some(true));
        assert_eq!(Choice::new(&Targets::AllLinear).has(Q), Some(true));
    }

    #[test]
    fn regexes_match_the_whole_path_as_python_does() {
        let regex = |text: &str| Choice::new(&Targets::Pattern(text.to_owned())).has(Q);
        assert_eq!(regex(r".*\.(q_proj|v_proj)"), Some(true));
        assert_eq!(regex("q_proj"), Some(false));
        assert_eq!(regex(r"model\.layers\.(\d+)\.self_attn\.[qk]_proj"), Some(true));
        assert_eq!(regex(r"(a|b)|.*q_proj"), Some(true));
        // Only Python has look-around: no answer rather than a wrong one.
        assert_eq!(regex(r"^(?!.*vision).*q_proj"), None);
        assert_eq!(regex("("), None);
        assert_eq!(regex(&"(a{1000}){1000}".repeat(3)), None);
    }

    #[test]
    fn the_first_key_of_a_pattern_counts() {
        let keys = [
            ("layers.11.self_attn.q_proj".to_owned(), 4),
            ("q_proj".to_owned(), 2),
            (r"model\.layers\.1.*".to_owned(), 9),
        ];
        let pattern = Pattern::new(&keys);
        assert_eq!(pattern.of(Q), Some(4));
        assert_eq!(pattern.of("model.layers.2.self_attn.q_proj"), Some(2));
        assert_eq!(pattern.of("model.layers.12.mlp.up_proj"), Some(9));
        assert_eq!(pattern.of("model.layers.2.mlp.up_proj"), None);
        // `1.self_attn…` must not match layer 11.
        assert_eq!(Pattern::new(&[("1.self_attn.q_proj".to_owned(), 3)]).of(Q), None);
        let anchored = Pattern::new(&[("^model.layers.11.self_attn.q_proj".to_owned(), 3)]);
        assert_eq!(anchored.of(Q), Some(3));
        assert_eq!(anchored.of(&format!("x.{Q}")), None);
        assert_eq!(Pattern::new(&[("(?=x)".to_owned(), 3)]).unreadable.as_deref(), Some("(?=x)"));
    }

    #[test]
    fn manifests_may_hold_names_or_regexes() {
        assert_eq!(entry("q_proj").has(Q), Some(true));
        assert_eq!(entry(r".*\.q_proj").has(Q), Some(true));
        assert_eq!(entry("v_proj").has(Q), Some(false));
        assert_eq!(entry("all-linear").has(Q), Some(true));
    }
}
