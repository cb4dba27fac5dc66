//! Writes JSON values: `pretty` for people, `canonical` by RFC 8785 for hashes.

use std::fmt::Write as _;

use crate::format::json::{Node, Value};

/// Two spaces of indentation, numbers as they were written, a final newline.
pub fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write_pretty(&mut out, value, 0);
    out.push('\n');
    out
}

fn write_pretty(out: &mut String, value: &Value, depth: usize) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    match &value.node {
        Node::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                write_pretty(out, item, depth + 1);
            }
            indent(out, depth);
            out.push(']');
        }
        Node::Object(members) if !members.is_empty() => {
            out.push('{');
            for (i, member) in members.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                write_string(out, &member.key);
                out.push_str(": ");
                write_pretty(out, &member.value, depth + 1);
            }
            indent(out, depth);
            out.push('}');
        }
        Node::Number(text) => out.push_str(text),
        _ => write_canonical(out, value),
    }
}

/// RFC 8785: no spaces, keys sorted by UTF-16 code units, numbers as ECMAScript writes doubles.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(&mut out, value);
    out
}

fn write_canonical(out: &mut String, value: &Value) {
    match &value.node {
        Node::Null => out.push_str("null"),
        Node::Bool(true) => out.push_str("true"),
        Node::Bool(false) => out.push_str("false"),
        Node::Number(text) => write_number(out, text),
        Node::String(text) => write_string(out, text),
        Node::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(out, item);
            }
            out.push(']');
        }
        Node::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.key.encode_utf16().cmp(b.key.encode_utf16()));
            out.push('{');
            for (i, member) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(out, &member.key);
                out.push(':');
                write_canonical(out, &member.value);
            }
            out.push('}');
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number as ECMAScript's `Number::toString` writes it. A number outside of the doubles keeps its text, so that
/// hashing never fails; RFC 8785 has no answer for it.
fn write_number(out: &mut String, text: &str) {
    let number = match text.parse::<f64>() {
        Ok(n) if n.is_finite() => n,
        _ => {
            out.push_str(text);
            return;
        }
    };
    if number == 0.0 {
        out.push('0');
        return;
    }
    if number < 0.0 {
        out.push('-');
    }
    // Rust's `{:e}` gives the shortest digits that read back, as ECMAScript wants; only their layout differs.
    let shortest = format!("{:e}", number.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = digits.len() as i32;
    if count <= point && point <= 21 {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', (point - count) as usize));
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at(point as usize);
        let _ = write!(out, "{whole}.{fraction}");
    } else if -6 < point && point <= 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-point) as usize));
        out.push_str(&digits);
    } else {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            let _ = write!(out, ".{rest}");
        }
        let _ = write!(out, "e{}{}", if point > 0 { '+' } else { '-' }, (point - 1).abs());
    }
}

#[cfg(test)]
mod tests {
    use super::{canonical, pretty};
    use crate::format::json::{FaultKind, parse};

    fn canon(text: &str) -> String {
        canonical(&parse(text.as_bytes()).expect("JSON"))
    }

    #[test]
    fn canonical_as_rfc_8785() {
        // Section 3.2.2 of RFC 8785.
        let text = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        assert_eq!(
            canon(text),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        // Keys by UTF-16 units: the emoji (surrogates d83d) before U+FB33.
        assert_eq!(canon("{\"\u{fb33}\":1,\"😀\":2,\"\\r\":3}"), "{\"\\r\":3,\"😀\":2,\"\u{fb33}\":1}");
        assert_eq!(
            canon("[-0, 1e21, 123456789012345678901, 5e-324, 1e-7, 100]"),
            "[0,1e+21,123456789012345680000,5e-324,1e-7,100]"
        );
    }

    #[test]
    fn pretty_keeps_numbers_and_order() {
        let text = "{\n  \"b\": 5e-05,\n  \"a\": [\n    1.0,\n    {}\n  ],\n  \"c\": []\n}\n";
        assert_eq!(pretty(&parse(text.as_bytes()).expect("JSON")), text);
    }

    #[test]
    fn faults_have_places() {
        for (text, at, kind, pointer) in [
            ("\u{feff}{}", 0, FaultKind::ByteOrderMark, ""),
            ("{\"a\":1,\"b\":{\"x\":1,\"x\":2}}", 18, FaultKind::DuplicateKey, "/b/x"),
            ("{\"a\":[1,2,]}", 10, FaultKind::Syntax, "/a/2"),
            ("{\"a\":1,}", 7, FaultKind::Syntax, ""),
            ("[01]", 1, FaultKind::Syntax, "/0"),
            ("[\"\\ud800\"]", 2, FaultKind::Syntax, "/0"),
            ("[1] x", 4, FaultKind::Syntax, ""),
            ("", 0, FaultKind::Syntax, ""),
            ("nul", 0, FaultKind::Syntax, ""),
        ] {
            let fault = parse(text.as_bytes()).expect_err(text);
            assert_eq!((fault.malformed.at, fault.kind, fault.pointer.as_str()), (at, kind, pointer), "{text:?}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn spans_and_pointers() {
        let text = r#"{"a": {"b/c": [1, "x"]}}"#;
        let value = parse(text.as_bytes()).expect("JSON");
        let x = value.pointer("/a/b~1c/1").expect("there");
        assert_eq!((&text[x.span.clone()], x.as_str()), ("\"x\"", Some("x")));
    }
}
