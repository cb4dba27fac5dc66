//! `Age`: `90 days`, as `[cache] max-age` and `--max-age` take it.

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use crate::spec::host_path::Base;
use crate::spec::read::Reader;
use crate::spec::value::{Fault, Value, quoted};

/// A stretch of time, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(pub u64);

const DAY: u64 = 86_400;

/// The words for one, and seconds; those of larger units first.
const UNITS: [(&[&str], u64); 4] = [
    (&["weeks", "week", "w"], 7 * DAY),
    (&["days", "day", "d"], DAY),
    (&["hours", "hour", "h"], 3_600),
    (&["minutes", "minute", "min"], 60),
];

impl Age {
    /// So many days.
    pub const fn days(days: u64) -> Self {
        Self(days * DAY)
    }

    /// In nanoseconds, as file times are counted; as much as fits.
    pub fn nanos(self) -> i64 {
        i64::try_from(u128::from(self.0) * 1_000_000_000).unwrap_or(i64::MAX)
    }

    /// As it is told: `90 days`.
    pub fn text(self) -> String {
        let fits = |seconds: u64| self.0 > 0 && self.0.is_multiple_of(seconds);
        // Days are what people reckon with; weeks are understood, not told.
        let unit = UNITS[1..].iter().find(|(_, seconds)| fits(*seconds));
        match unit {
            Some((words, seconds)) if self.0 == *seconds => format!("1 {}", words[1]),
            Some((words, seconds)) => format!("{} {}", self.0 / seconds, words[0]),
            None => format!("{} days", self.0 / DAY),
        }
    }
}

impl Value for Age {
    const EXPECTED: &'static str = "an age such as `\"90 days\"`";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        let with_unit = UNITS.iter().find_map(|(words, seconds)| {
            let number = words.iter().find_map(|word| text.strip_suffix(word))?;
            Some((number.trim_end(), *seconds))
        });
        // A bare number is one of days.
        let (number, seconds) = with_unit.unwrap_or((text, DAY));
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let age = digits.then(|| number.parse::<u64>().ok()?.checked_mul(seconds)).flatten();
        age.map(Self).ok_or_else(|| {
            Fault::new(format!("`{text}` is not an age"))
                .help("an age is a whole number and `minutes`, `hours`, `days` or `weeks`: `90 days`, `12h`")
        })
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => reader.text(text, value.span()),
            DeValue::Integer(days) if days.radix() == 10 => reader.text(days.as_str(), value.span()),
            _ => reader.mistyped(value, Self::EXPECTED),
        }
    }

    fn show(&self) -> String {
        quoted(&self.text())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {
                    "type": "string",
                    "pattern": "^[0-9]+ *(weeks?|w|days?|d|hours?|h|minutes?|min)?$",
                    "examples": ["90 days", "12h"]
                },
                { "type": "integer", "minimum": 0, "description": "Days." }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Age;
    use crate::spec::host_path::Base;
    use crate::spec::value::Value;

    #[test]
    fn ages() {
        for (text, seconds, shown) in [
            ("90 days", 90 * 86_400, "90 days"),
            ("30", 30 * 86_400, "30 days"),
            ("1d", 86_400, "1 day"),
            ("2 weeks", 14 * 86_400, "14 days"),
            ("12h", 12 * 3_600, "12 hours"),
            ("90 min", 90 * 60, "90 minutes"),
            ("60 minutes", 3_600, "1 hour"),
            ("0", 0, "0 days"),
        ] {
            let age = Age::from_text(text, &Base::Working).unwrap();
            assert_eq!((age.0, age.text().as_str()), (seconds, shown), "{text}");
            assert_eq!(Age::from_text(&age.text(), &Base::Working).unwrap(), age, "{text}");
        }
        for text in
            ["", "days", "-1 days", "1.5 days", "3 fortnights", "1e3", "99999999999999999999", "300000000000000 weeks"]
        {
            assert!(Age::from_text(text, &Base::Working).is_err(), "{text}");
        }
        assert_eq!(Age::days(106_752).nanos(), i64::MAX);
        assert_eq!(Age::days(1).nanos(), 86_400_000_000_000);
    }
}
