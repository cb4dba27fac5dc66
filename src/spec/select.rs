//! Selectors: from `sql`, `experts/a*`, `tag:db`, `model:qwen3-*`, `+x` and `x+` to experts.

use std::collections::BTreeSet;

use crate::base::suggest;
use crate::base::{Error, RelPath, Result};
use crate::check::requires::{Requirement, Summary};
use crate::spec::glob::Glob;
use crate::spec::template::{last_segment, slug};

/// The experts that any of the selectors names, by index and in order. No selector, no expert: which are built then is
/// [`crate::spec::Repo::defaults`]'s to say. `edges` are those of [`crate::check::requires::check`].
pub fn select(experts: &[Summary], edges: &[(usize, usize)], selectors: &[String]) -> Result<Vec<usize>> {
    let mut chosen = BTreeSet::new();
    for selector in selectors {
        let (below, rest) = selector.strip_prefix('+').map_or((false, selector.as_str()), |rest| (true, rest));
        let (above, rest) = rest.strip_suffix('+').map_or((false, rest), |rest| (true, rest));
        let matched = matching(experts, rest)?;
        if matched.is_empty() {
            return Err(nothing(experts, selector, rest));
        }
        if below {
            chosen.extend(reach(&matched, edges.iter().copied()));
        }
        if above {
            chosen.extend(reach(&matched, edges.iter().map(|(from, to)| (*to, *from))));
        }
        chosen.extend(matched);
    }
    Ok(chosen.into_iter().collect())
}

/// The experts that a selector without `+` names.
fn matching(experts: &[Summary], text: &str) -> Result<Vec<usize>> {
    let those = |wanted: &dyn Fn(&Summary) -> bool| -> Vec<usize> {
        (0..experts.len()).filter(|index| wanted(&experts[*index])).collect()
    };
    if let Some(tag) = text.strip_prefix("tag:") {
        let glob = pattern(tag)?;
        return Ok(those(&|expert| expert.tags.iter().any(|tag| glob.matches(tag, false))));
    }
    if let Some(model) = text.strip_prefix("model:") {
        let wanted = model.to_lowercase();
        let glob = pattern(&wanted)?;
        let is = |model: &String| {
            let whole = model.to_lowercase();
            whole == wanted || glob.matches(last_segment(&whole), false) || glob.matches(&slug(model), false)
        };
        return Ok(those(&|expert| expert.models.iter().any(is)));
    }
    if text.contains('/') || text == "." {
        return Ok(by_path(experts, text));
    }
    let glob = pattern(text)?;
    let named = those(&|expert| expert.name == text || glob.matches(&expert.name, false));
    if !named.is_empty() {
        return Ok(named);
    }
    if let Some(Requirement { name, range: Some(range) }) = Requirement::parse(text).ok().filter(|_| text.contains('@'))
    {
        let fits = |version: &str| semver::Version::parse(version).is_ok_and(|version| range.matches(&version));
        return Ok(those(&|expert| expert.name == name && fits(&expert.version)));
    }
    Ok(by_path(experts, text))
}

/// A path takes the expert in that folder, and those below it.
fn by_path(experts: &[Summary], text: &str) -> Vec<usize> {
    let path = text.trim_start_matches("./").trim_end_matches('/');
    if path.is_empty() || path == "." {
        let root: Vec<usize> = (0..experts.len()).filter(|index| experts[*index].folder.is_none()).collect();
        return if root.is_empty() { (0..experts.len()).collect() } else { root };
    }
    let glob = Glob::new(&format!("/{path}")).ok();
    let takes = |folder: &RelPath| {
        folder.as_str() == path || glob.as_ref().is_some_and(|glob| glob.covers(folder.as_str(), true))
    };
    (0..experts.len()).filter(|index| experts[*index].folder.as_ref().is_some_and(takes)).collect()
}

fn pattern(text: &str) -> Result<Glob> {
    let wrong =
        |what| Error::usage_help(what, "a selector is a name, a path, `tag:…` or `model:…`; `*` stands for any text");
    if text.is_empty() {
        return Err(wrong("a selector is empty".to_owned()));
    }
    // Told as it was typed.
    Glob::new(text).and_then(|_| Glob::new(&format!("/{text}"))).map_err(wrong)
}

/// All that can be reached along edges.
fn reach(from: &[usize], edges: impl Iterator<Item = (usize, usize)>) -> BTreeSet<usize> {
    let edges: BTreeSet<(usize, usize)> = edges.collect();
    let mut seen: BTreeSet<usize> = from.iter().copied().collect();
    let mut todo = from.to_vec();
    while let Some(node) = todo.pop() {
        for (_, next) in edges.range((node, 0)..=(node, usize::MAX)) {
            if seen.insert(*next) {
                todo.push(*next);
            }
        }
    }
    seen
}

fn nothing(experts: &[Summary], selector: &str, text: &str) -> Error {
    let (kind, typed) = text.split_once(':').filter(|(kind, _)| matches!(*kind, "tag" | "model")).unwrap_or(("", text));
    let known: BTreeSet<String> = match kind {
        "tag" => experts.iter().flat_map(|expert| expert.tags.clone()).collect(),
        "model" => experts.iter().flat_map(|expert| expert.models.iter().map(|model| slug(model))).collect(),
        _ => {
            let folders = experts.iter().filter_map(|expert| expert.folder.as_ref().map(ToString::to_string));
            experts.iter().map(|expert| expert.name.clone()).chain(folders).collect()
        }
    };
    let near = suggest::nearest(typed, known.iter().map(String::as_str));
    let help = match (near, kind) {
        (Some(near), "") => format!("did you mean `{near}`?"),
        (Some(near), kind) => format!("did you mean `{kind}:{near}`?"),
        (None, "tag") if known.is_empty() => "no expert has a tag: `tags = [\"…\"]` in the Expertfile".to_owned(),
        (None, _) => "`expert-build ls` shows every expert with its tags and models".to_owned(),
    };
    Error::usage_help(format!("no expert matches `{selector}`"), help)
}

#[cfg(test)]
mod tests {
    use super::select;
    use crate::base::{Error, RelPath};
    use crate::check::requires::Summary;

    fn experts() -> Vec<Summary> {
        let rows = [
            ("experts/sql", "expert-sql", "0.3.0", "db prod", "F:/models/Qwen3-0.6B"),
            ("experts/css", "expert-css", "1.0.0", "web", "Qwen3-0.6B meta/Llama-3"),
            ("experts/old/css", "expert-css", "0.9.0", "", "meta/Llama-3"),
            ("base", "english", "1.0.0", "prod", "Qwen3-0.6B"),
        ];
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let expert = |(folder, name, version, tags, models): (&str, &str, &str, &str, &str)| Summary {
            folder: RelPath::new(folder).ok(),
            name: name.to_owned(),
            version: version.to_owned(),
            tags: words(tags),
            models: words(models),
            ..Summary::default()
        };
        rows.into_iter().map(expert).collect()
    }

    fn of(selectors: &[&str]) -> Result<Vec<usize>, String> {
        let selectors: Vec<String> = selectors.iter().map(|s| (*s).to_owned()).collect();
        select(&experts(), &[(0, 3), (1, 0)], &selectors).map_err(|error| match error {
            Error::Usage { message, help } => format!("{message}; {}", help.unwrap_or_default()),
            other => other.to_string(),
        })
    }

    #[test]
    fn selectors() {
        for (selectors, expected) in [
            (&["expert-sql"][..], &[0][..]),
            (&["expert-*"], &[0, 1, 2]),
            (&["expert-css@>=1"], &[1]),
            (&["experts/sql"], &[0]),
            (&["./experts/sql/"], &[0]),
            (&["experts"], &[0, 1, 2]),
            (&["experts/*ss"], &[1]),
            (&["**/css"], &[1, 2]),
            (&["base"], &[3]),
            (&["."], &[0, 1, 2, 3]),
            (&["tag:prod"], &[0, 3]),
            (&["tag:*"], &[0, 1, 3]),
            (&["model:qwen3-*"], &[0, 1, 3]),
            (&["model:Qwen3-0.6B"], &[0, 1, 3]),
            (&["model:meta/llama-3"], &[1, 2]),
            (&["+expert-sql"], &[0, 3]),
            (&["expert-sql+"], &[0, 1]),
            (&["+expert-sql+"], &[0, 1, 3]),
            (&["english+"], &[0, 1, 3]),
            (&["+tag:web"], &[0, 1, 3]),
            (&["english", "expert-sql", "english"], &[0, 3]),
            (&[], &[]),
        ] {
            assert_eq!(of(selectors).as_deref(), Ok(expected), "{selectors:?}");
        }
    }

    #[test]
    fn what_matches_nothing_is_an_error() {
        let told = |selector: &str| of(&[selector]).unwrap_err();
        insta::assert_snapshot!(told("expert-sqk"), @"no expert matches `expert-sqk`; did you mean `expert-sql`?");
        insta::assert_snapshot!(told("tag:wbe"), @"no expert matches `tag:wbe`; did you mean `tag:web`?");
        insta::assert_snapshot!(told("experts/sqll"), @"no expert matches `experts/sqll`; did you mean `experts/sql`?");
        insta::assert_snapshot!(told("+zzzzzz"), @"no expert matches `+zzzzzz`; `expert-build ls` shows every expert with its tags and models");
        insta::assert_snapshot!(told("+"), @"a selector is empty; a selector is a name, a path, `tag:…` or `model:…`; `*` stands for any text");
        insta::assert_snapshot!(told("a[b"), @"the pattern `a[b` cannot be read: unclosed character class; missing ']'; a selector is a name, a path, `tag:…` or `model:…`; `*` stands for any text");
    }
}
