//! Sizes and foreign text as tables, pages and reports show them.

/// A number of bytes for people: `12.3 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.96 would be written as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A text as HTML, XML and SVG take it, between tags and in attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // In an attribute they would be read as blanks.
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            // XML has no way to write these.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{escaped, size};

    #[test]
    fn sizes_for_people() {
        let all = [0, 1023, 1024, 1536, 1_048_575, 1_048_576, 10 << 30, u64::MAX].map(size);
        assert_eq!(all, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "10.0 GiB", "16.0 EiB"]);
    }

    #[test]
    fn markup_stays_text() {
        assert_eq!(
            escaped("a<b>&\"c\"\n\t\u{1b}\u{ffff}'é"),
            "a&lt;b&gt;&amp;&quot;c&quot;&#10;&#9;\u{fffd}\u{fffd}'é"
        );
    }
}
