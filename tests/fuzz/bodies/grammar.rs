//! Grammars: any bytes get findings whose places lie in the text.

use expert_build::base::At;
use expert_build::check::grammar;

use super::sound::sound;

/// Reads `data` as a GBNF grammar.
pub fn grammar(data: &[u8]) {
    let found = grammar::check(data, "grammar.gbnf");
    // Bytes that are no UTF-8 are shown as three each.
    assert!(found.iter().all(|d| matches!(d.at, At::Text { end, .. } if end as usize <= data.len() * 3 + 1)));
    sound(&found);
}
