//! What differs between two JSON values, as JSON pointers with old and new.
//!
//! Numbers are compared as RFC 8785 writes them, so `1.0` is `1`; the order of keys does not matter. Arrays are compared
//! place by place.

use serde::{Serialize, Serializer};

use crate::format::json::{Node, Value, child_pointer};
use crate::format::json_write::canonical;

/// One difference. What is absent on one side was added or removed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Where.
    pub pointer: String,
    /// What stood there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Text>,
    /// What stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Text>,
}

/// A value as canonical JSON text, which it is written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

/// The differences, in the order of the old value, then of what the new one adds.
pub fn diff(old: &Value, new: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare(&mut found, "", old, new);
    found
}

fn compare(found: &mut Vec<Change>, pointer: &str, old: &Value, new: &Value) {
    let both = |found: &mut Vec<Change>, key: &str, old: Option<&Value>, new: Option<&Value>| {
        let pointer = child_pointer(pointer, key);
        match (old, new) {
            (Some(old), Some(new)) => compare(found, &pointer, old, new),
            (old, new) => found.push(Change { pointer, old: old.map(text), new: new.map(text) }),
        }
    };
    match (&old.node, &new.node) {
        (Node::Object(a), Node::Object(b)) => {
            for member in a {
                both(found, &member.key, Some(&member.value), new.get(&member.key));
            }
            for member in b.iter().filter(|member| old.get(&member.key).is_none()) {
                both(found, &member.key, None, Some(&member.value));
            }
        }
        (Node::Array(a), Node::Array(b)) => {
            for i in 0..a.len().max(b.len()) {
                both(found, &i.to_string(), a.get(i), b.get(i));
            }
        }
        _ => {
            let (old, new) = (text(old), text(new));
            if old != new {
                found.push(Change { pointer: pointer.to_owned(), old: Some(old), new: Some(new) });
            }
        }
    }
}

fn text(value: &Value) -> Text {
    Text(canonical(value))
}

#[cfg(test)]
mod tests {
    use super::diff;
    use crate::format::json::parse;

    #[test]
    fn differences_have_pointers() {
        let old = parse(br#"{"a":1.0,"b":[1,2,3],"c":{"x/y":"s"},"gone":null}"#).unwrap();
        let new = parse(br#"{"c":{"x/y":"t"},"b":[1,5],"a":1,"new":{"z":[]}}"#).unwrap();
        let lines: Vec<String> = diff(&old, &new).iter().map(|c| serde_json::to_string(c).unwrap()).collect();
        assert_eq!(
            lines,
            [
                r#"{"pointer":"/b/1","old":2,"new":5}"#,
                r#"{"pointer":"/b/2","old":3}"#,
                r#"{"pointer":"/c/x~1y","old":"s","new":"t"}"#,
                r#"{"pointer":"/gone","old":null}"#,
                r#"{"pointer":"/new","new":{"z":[]}}"#,
            ]
        );
        assert_eq!(diff(&old, &old), []);
        assert_eq!(diff(&old, &parse(b"[]").unwrap())[0].pointer, "");
    }
}
