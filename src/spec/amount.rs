//! `Size` and `Growth`: `80MiB` and `25%`.

use schemars::{Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use crate::spec::host_path::Base;
use crate::spec::read::Reader;
use crate::spec::value::{Fault, Value, quoted};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// `12.5` as 12,500 thousandths, without floating point.
fn thousandths(text: &str) -> Option<u128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.len() > 20 || part.len() > 3 {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let part: u128 = format!("{part:0<3}").parse().ok()?;
    Some(whole * 1000 + part)
}

impl Value for Size {
    const EXPECTED: &'static str = "a size such as `\"80MiB\"`";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        let (number, unit) = UNITS
            .iter()
            .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?.trim_end(), *bytes)))
            .unwrap_or((text, 1));
        let bytes = thousandths(number).and_then(|n| u64::try_from(n * u128::from(unit) / 1000).ok());
        bytes.map(Self).ok_or_else(|| {
            Fault::new(format!("`{text}` is not a size"))
                .help("a size is a number and `KiB`, `MiB`, `GiB`, `TiB` (or `kB`, `MB`, `GB`, `TB`): `80MiB`")
        })
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => reader.text(text, value.span()),
            DeValue::Integer(bytes) if bytes.radix() == 10 => reader.text(bytes.as_str(), value.span()),
            _ => reader.mistyped(value, Self::EXPECTED),
        }
    }

    fn show(&self) -> String {
        let whole = UNITS.iter().take(4).find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        quoted(&whole.map_or_else(|| format!("{}B", self.0), |(unit, bytes)| format!("{}{unit}", self.0 / bytes)))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,3})? *([kKMGT]?B|[KMGT]iB)?$", "examples": ["80MiB"] },
                { "type": "integer", "minimum": 0 }
            ]
        })
    }
}

/// How much larger than before, in thousandths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Growth(pub u64);

impl Growth {
    /// The most bytes that something of `before` bytes may grow to.
    pub fn limit(self, before: u64) -> u64 {
        let more = u128::from(before) * u128::from(self.0) / 100_000;
        u64::try_from(u128::from(before) + more).unwrap_or(u64::MAX)
    }
}

impl Value for Growth {
    const EXPECTED: &'static str = "a percentage such as `\"25%\"`";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        let number = text.strip_suffix('%').and_then(|number| thousandths(number.trim_end()));
        number.and_then(|n| u64::try_from(n).ok()).map(Self).ok_or_else(|| {
            Fault::new(format!("`{text}` is not a percentage")).help("a growth is a number and `%`: `25%`")
        })
    }

    fn show(&self) -> String {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        quoted(&format!("{}%", text.trim_end_matches('0').trim_end_matches('.')))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,3})? *%$", "examples": ["25%"] })
    }
}

#[cfg(test)]
mod tests {
    use super::{Growth, Size};
    use crate::spec::host_path::Base;
    use crate::spec::value::Value;

    #[test]
    fn sizes() {
        for (text, bytes, shown) in [
            ("80MiB", 80 << 20, "\"80MiB\""),
            ("20 GiB", 20 << 30, "\"20GiB\""),
            ("1.5KiB", 1536, "\"1536B\""),
            ("5MB", 5_000_000, "\"5000000B\""),
            ("7", 7, "\"7B\""),
            ("0", 0, "\"0B\""),
            ("1024B", 1024, "\"1KiB\""),
        ] {
            let size = Size::from_text(text, &Base::Working).unwrap();
            assert_eq!((size.0, size.show().as_str()), (bytes, shown), "{text}");
        }
        for text in ["", "MiB", "-1MiB", "1e3", "80 mib", "1.2345MiB", "99999999999TiB", "1,5MiB", "."] {
            assert!(Size::from_text(text, &Base::Working).is_err(), "{text}");
        }
    }

    #[test]
    fn growth() {
        let quarter = Growth::from_text("25%", &Base::Working).unwrap();
        assert_eq!((quarter.limit(1000), quarter.show().as_str()), (1250, "\"25%\""));
        assert_eq!(Growth::from_text("2.5 %", &Base::Working).unwrap().show(), "\"2.5%\"");
        assert_eq!(quarter.limit(u64::MAX), u64::MAX);
        for text in ["25", "", "%", "-5%", "x%"] {
            assert!(Growth::from_text(text, &Base::Working).is_err(), "{text}");
        }
    }
}
