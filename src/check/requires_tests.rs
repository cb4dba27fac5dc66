//! Tests of the requirements between experts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Requirement, Summary, check};
use crate::base::{At, RelPath};

/// `name@version: requirement requirement ! rival #load_order`.
fn expert(line: &str) -> Summary {
    let (head, rest) = line.split_once(':').unwrap();
    let (name, version) = head.split_once('@').unwrap_or((head, "1.0.0"));
    let (rest, load_order) = match rest.split_once('#') {
        Some((rest, order)) => (rest, Some(order.trim().parse().unwrap())),
        None => (rest, None),
    };
    let (requires, rivals) = rest.split_once('!').unwrap_or((rest, ""));
    let list = |text: &str| -> Vec<(String, At)> {
        text.split_whitespace().enumerate().map(|(i, t)| (t.replace('_', " "), At::Byte(i as u64))).collect()
    };
    Summary {
        folder: RelPath::new(format!("experts/{name}-{version}")).ok(),
        name: name.to_owned(),
        version: version.to_owned(),
        requires: list(requires),
        incompatible_with: list(rivals),
        load_order,
        manifest: "manifest.json".to_owned(),
        ..Summary::default()
    }
}

fn told(lines: &[&str]) -> String {
    let experts: Vec<Summary> = lines.iter().map(|line| expert(line)).collect();
    let externals = BTreeMap::from([("english-basic".to_owned(), semver::Version::new(1, 4, 0))]);
    let checked = check(&experts, &externals);
    let mut out = String::new();
    for (index, found) in checked.found {
        out += &format!("{} {:?} {}: {}\n", experts[index].name, found.at, found.code.name, found.message);
        out += &format!("  help: {}\n", found.help.unwrap_or_default());
    }
    out += &format!("{:?}\n", checked.edges);
    out
}

#[test]
fn what_is_met_says_nothing() {
    insta::assert_snapshot!(told(&[
        "a: b@>=1.0.0 c english-basic@^1.2 #3",
        "b@1.2.0: c@1 #2",
        "c: #2",
        "d: ! a b@2 nobody",
    ]), @"[(0, 1), (0, 2), (1, 2)]");
}

#[test]
fn unmet_requirements() {
    insta::assert_snapshot!(told(&[
        "a: bb nobody@1 english-basic@2 b@>=2",
        "b@1.2.0: c@>=1",
        "c@1.1.0-beta:",
    ]), @r#"
    a Byte(0) requirement-unmet: no expert is called `bb`
      help: did you mean `b`?
    a Byte(1) requirement-unmet: no expert is called `nobody`
      help: declare it if it is kept elsewhere: `externals = { "nobody" = "1.0.0" }`
    a Byte(2) requirement-version: `english-basic@2` is not met: there is 1.4.0 in `externals`
      help: widen the range, or bring the required expert to a version that fits
    a Byte(3) requirement-version: `b@>=2` is not met: there is 1.2.0 in `experts/b-1.2.0`
      help: widen the range, or bring the required expert to a version that fits
    b Byte(0) requirement-version: `c@>=1` is not met: there is 1.1.0-beta in `experts/c-1.1.0-beta`
      help: a range takes a pre-release only where it names one of the same version
    []
    "#);
}

#[test]
fn several_versions_of_one_expert() {
    insta::assert_snapshot!(told(&["a: b@1.0 c", "b@1.0.0:", "b@2.0.0:", "c@1.0.0:", "c@1.1.0:", "c@1.1.0:"]), @"
    a Byte(1) requirement-ambiguous: `c` fits several versions: 1.0.0, 1.1.0, 1.1.0
      help: narrow the range: `c@=1.1.0`
    c File duplicate-expert: `c` 1.1.0 is also in `experts/c-1.1.0`
      help: rename one of the two, or give it another version
    [(0, 1)]
    ");
}

#[test]
fn a_circle_is_shown_as_a_chain() {
    insta::assert_snapshot!(told(&["top: c", "c: x a", "a: b", "b: c", "x:", "me: me"]), @"
    a Byte(0) requirement-cycle: experts require each other in a circle: a → b → c → a
      help: take one requirement out of the chain
    me Byte(0) requirement-cycle: experts require each other in a circle: me → me
      help: take one requirement out of the chain
    [(0, 1), (1, 2), (1, 4), (2, 3), (3, 1), (5, 5)]
    ");
}

#[test]
fn a_conflict_is_shown_with_its_chain() {
    insta::assert_snapshot!(told(&["top: a", "a: b c", "b: d", "c: ! d@1", "d: ! c", "e: f ! f", "f:"]), @"
    a Byte(1) requirement-conflict: `a` requires both `c` and `d`, which are incompatible: a → c, a → b → d
      help: `c` names `d` in `incompatible_with`: drop that, or a requirement
    e Byte(0) requirement-conflict: `e` requires `f`, and the two are incompatible: e → f
      help: `e` names `f` in `incompatible_with`: drop that, or a requirement
    [(0, 1), (1, 2), (1, 3), (2, 4), (5, 6)]
    ");
}

#[test]
fn load_order_follows_requirements() {
    insta::assert_snapshot!(told(&["a: b c d #2", "b: #6", "c: #2", "d:"]), @"
    a Byte(0) load-order: `a` (load_order 2) is loaded before `b` (load_order 6), which it requires
      help: give `b` a load_order of at most 2
    [(0, 1), (0, 2), (0, 3)]
    ");
}

#[test]
fn requirements_that_cannot_be_read() {
    insta::assert_snapshot!(told(&["a: b>=1.0 b@ @ b@one b@>=1_<2 b@1||2 ! =x", "b:"]), @"
    a Byte(0) requirement-syntax: `=x` is not a requirement
      help: a requirement is a name, or a name and a range: `english-basic@>=1.0.0`
    a Byte(0) requirement-syntax: `b>=1.0` is not a requirement
      help: did you mean `b@>=1.0`?
    a Byte(1) requirement-syntax: `` is not a version range
      help: a range is a version with `=`, `>`, `>=`, `<`, `<=`, `^` or `~` before it: `>=1.0.0`
    a Byte(2) requirement-syntax: `@` names no expert
      help: a requirement is a name, or a name and a range: `english-basic@>=1.0.0`
    a Byte(3) requirement-syntax: `one` is not a version range: unexpected character 'o' while parsing major version number
      help: a range is a version with `=`, `>`, `>=`, `<`, `<=`, `^` or `~` before it: `>=1.0.0`
    a Byte(4) requirement-syntax: `>=1 <2` is not a version range: expected comma after major version number, found '<'
      help: two bounds are parted by a comma: `>=1.0.0, <2.0.0`
    a Byte(5) requirement-syntax: `1||2` is not a version range: expected comma after major version number, found '|'
      help: `||` is not known: name one range
    []
    ");
}

#[test]
fn a_long_chain_is_no_problem() {
    let mut lines: Vec<String> = (0..10_000).map(|i| format!("e{i}: e{}", i + 1)).collect();
    lines.push("e10000: ! e0".to_owned());
    let experts: Vec<Summary> = lines.iter().map(|line| expert(line)).collect();
    let checked = check(&experts, &BTreeMap::new());
    assert_eq!(checked.edges.len(), 10_000);
    assert_eq!(checked.found.len(), 1);
    assert_eq!(checked.found[0].1.code.name, "requirement-conflict");
}

proptest! {
    #[test]
    fn any_text_is_a_requirement_or_a_fault(text in "[a@>=<^~0-9., é*|]{0,16}") {
        match Requirement::parse(&text) {
            Ok(requirement) => prop_assert!(!requirement.name.trim().is_empty()),
            Err((what, help)) => prop_assert!(!what.is_empty() && !help.is_empty()),
        }
    }

    /// A circle is found exactly where there is one: whoever is left after taking away, again and again, those
    /// that require nobody, is part of a circle or needs one.
    #[test]
    fn circles_are_found_where_there_are_any(edges in proptest::collection::vec((0usize..7, 0usize..7), 0..14)) {
        let mut experts: Vec<Summary> = (0..7).map(|i| expert(&format!("e{i}:"))).collect();
        for (from, to) in &edges {
            experts[*from].requires.push((format!("e{to}"), At::File));
        }
        let checked = check(&experts, &BTreeMap::new());
        let mut left: Vec<usize> = (0..7).collect();
        while let Some(at) = left.iter().position(|e| !checked.edges.iter().any(|(f, t)| f == e && left.contains(t))) {
            left.remove(at);
        }
        let told = checked.found.iter().any(|(_, found)| found.code.name == "requirement-cycle");
        prop_assert_eq!(told, !left.is_empty());
    }
}
