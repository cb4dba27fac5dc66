//! `Count` and `Seconds`: whole numbers from 1 on, as `[cache.remote]` has them.

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use crate::spec::host_path::Base;
use crate::spec::read::Reader;
use crate::spec::value::{Fault, Value, quoted};

/// How many of something: 1 to [`Count::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub usize);

impl Count {
    /// No more than so many.
    pub const MOST: usize = 1024;
}

impl Value for Count {
    const EXPECTED: &'static str = "a whole number";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        let number = text.parse().ok().filter(|number| (1..=Self::MOST).contains(number));
        number
            .map(Self)
            .ok_or_else(|| Fault::new(format!("expected a number from 1 to {}, found `{text}`", Self::MOST)))
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => reader.text(number.as_str(), value.span()),
            _ => reader.mistyped(value, Self::EXPECTED),
        }
    }

    fn show(&self) -> String {
        self.0.to_string()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": Self::MOST })
    }
}

/// A stretch of time, in seconds: an hour at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

impl Seconds {
    const MOST: u64 = 3600;
}

impl Value for Seconds {
    const EXPECTED: &'static str = "a time such as `\"30s\"`";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        let (number, unit) = match text.strip_suffix("min") {
            Some(number) => (number, 60),
            None => (text.strip_suffix('s').unwrap_or(text), 1),
        };
        let number = number.trim_end();
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let seconds = digits.then(|| number.parse::<u64>().ok()?.checked_mul(unit)).flatten();
        seconds.filter(|seconds| (1..=Self::MOST).contains(seconds)).map(Self).ok_or_else(|| {
            Fault::new(format!("`{text}` is not a time from 1 second to an hour"))
                .help("`30s`, `2min`, or a number of seconds")
        })
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => reader.text(text, value.span()),
            DeValue::Integer(seconds) if seconds.radix() == 10 => reader.text(seconds.as_str(), value.span()),
            _ => reader.mistyped(value, Self::EXPECTED),
        }
    }

    fn show(&self) -> String {
        quoted(&format!("{}s", self.0))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "pattern": "^[0-9]+ ?(s|min)?$", "examples": ["30s"] },
                { "type": "integer", "minimum": 1, "maximum": Self::MOST }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Seconds};
    use crate::spec::host_path::Base;
    use crate::spec::value::Value;

    #[test]
    fn numbers_have_bounds_and_units() {
        let seconds = |text: &str| Seconds::from_text(text, &Base::Working).map(|seconds| seconds.0).ok();
        assert_eq!(
            [seconds("30s"), seconds("2min"), seconds("2 min"), seconds("7")],
            [Some(30), Some(120), Some(120), Some(7)]
        );
        assert_eq!([seconds("0s"), seconds("2h"), seconds("61min"), seconds("s"), seconds("-1s")], [None; 5]);
        let count = |text: &str| Count::from_text(text, &Base::Working).map(|count| count.0).ok();
        assert_eq!(
            [count("1"), count("1024"), count("0"), count("1025"), count("x")],
            [Some(1), Some(1024), None, None, None]
        );
        assert_eq!(Seconds::from_text(&Seconds(90).show().replace('"', ""), &Base::Working), Ok(Seconds(90)));
    }
}
