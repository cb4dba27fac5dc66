//! Tensor names as they are shown: a file may name its tensors whatever it likes, a terminal should not obey it.

/// Longest name that is shown whole, in characters.
const MAX_SHOWN: usize = 200;

/// The name without control characters, cut where it is absurdly long.
pub fn shown(name: &str) -> String {
    let mut text = String::new();
    for (count, c) in name.chars().enumerate() {
        if count == MAX_SHOWN {
            text.push('…');
            break;
        }
        // Marks that turn the direction of writing hide what stands after them.
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            text.extend(c.escape_unicode());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn terminals_are_not_commanded() {
        assert_eq!(shown("model.layers.0.ключ"), "model.layers.0.ключ");
        assert_eq!(shown("a\u{1b}[31mb\n\u{202e}c"), r"a\u{1b}[31mb\u{a}\u{202e}c");
        assert_eq!(shown(&"x".repeat(10_000)).chars().count(), 201);
    }
}
