//! Grammars of real experts get the verdicts that their maintainers would agree with, and no bytes make the parser fall.

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

#[test]
fn mutated_grammars_never_make_it_fall() {
    let Some(dir) = fixtures::dir() else { return };
    let seed = std::fs::read(dir.join("public/expert-sql/grammar.gbnf")).unwrap();
    let tokens: [&[u8]; 12] = [b"(", b")", b"\"", b"[", b"]", b"{1,", b"}", b"\\x", b"::=", b"\n", b"\xc3", b"<[0]>"];
    // xorshift: the same mutations in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut faulty = 0;
    for _ in 0..3_000 {
        let mut bytes = seed.clone();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes.truncate(at + 1),
                1 => drop(bytes.splice(at..at, tokens[next(tokens.len())].iter().copied())),
                2 => bytes[at] = next(256) as u8,
                _ => {
                    let end = (at + next(40)).min(bytes.len());
                    bytes.drain(at..end.max(at + 1).min(bytes.len()));
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        let found = grammar::check(&bytes, "grammar.gbnf");
        assert!(found.iter().all(|d| matches!(d.at, At::Text { end, .. } if end as usize <= bytes.len() * 3)));
        faulty += usize::from(found.iter().any(|d| d.is_error()));
    }
    assert!(faulty > 1_000, "{faulty}");
}
