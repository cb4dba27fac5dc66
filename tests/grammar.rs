//! Grammars of real experts get the verdicts that their maintainers would agree with.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

mod fixtures;

use expert_build::base::{At, Severity};
use expert_build::check::grammar;

#[test]
fn real_grammars() {
    let Some(dir) = fixtures::dir() else { return };
    let mut seen = 0;
    for expert in std::fs::read_dir(dir.join("experts")).unwrap() {
        let Ok(bytes) = std::fs::read(expert.unwrap().path().join("grammar.gbnf")) else { continue };
        assert_eq!(grammar::check(&bytes, "grammar.gbnf"), []);
        seen += 1;
    }
    assert!(seen >= 7, "{seen}");
    let bytes = std::fs::read(dir.join("public/expert-sql/grammar.gbnf")).unwrap();
    let found = grammar::check(&bytes, "grammar.gbnf");
    // It is left-recursive: llama.cpp does refuse it.
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].code.name, found[0].severity), ("grammar-left-recursion", Severity::Warning));
    assert!(matches!(found[0].at, At::Text { line: 44, column: 1, .. }), "{:?}", found[0].at);
    assert_eq!(found[0].message, "a rule begins with itself: `expression` → `comparison-expr` → `expression`");
}
