//! `Value`: what every kind of setting can do: be read from TOML or from a flag's text, be shown, describe itself.

use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use crate::base::{Preset, RelPath, codes};
use crate::spec::glob::Glob;
use crate::spec::host_path::Base;
use crate::spec::origin::{Origin, Setting};
use crate::spec::read::Reader;
use crate::spec::template::{Template, slug};

/// Why a text is not a value of some kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A phrase.
    pub what: String,
    /// The bytes of the text that are to blame, where it is not all of it.
    pub span: Option<Range<usize>>,
    /// The way out.
    pub help: Option<String>,
}

impl Fault {
    /// All of the text is to blame.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), span: None, help: None }
    }

    /// With a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A kind of setting.
pub trait Value: Sized + Clone {
    /// What is expected, for messages: `a string`.
    const EXPECTED: &'static str;

    /// Reads what a flag, a variable or a TOML string holds.
    fn from_text(text: &str, base: &Base) -> Result<Self, Fault>;

    /// Reads a TOML value. What is wrong with it goes to the reader.
    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_str() {
            Some(text) => reader.text(text, value.span()),
            None => reader.mistyped(value, Self::EXPECTED),
        }
    }

    /// Notes who set the parts of a value that was read from a text.
    fn stamp(&mut self, _: &Origin) {}

    /// The value as TOML.
    fn show(&self) -> String;

    /// The schema of its TOML form.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// The schema of a setting is that of its value.
impl<T: Value> JsonSchema for Setting<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::EXPECTED.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

/// The text as a TOML string.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Value for bool {
    const EXPECTED: &'static str = "`true` or `false`";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(Fault::new(format!("expected `true` or `false`, found `{text}`"))),
        }
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        value.get_ref().as_bool().or_else(|| reader.mistyped(value, Self::EXPECTED))
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        bool::json_schema(generator)
    }
}

/// A compression level or the edition: a small whole number.
impl Value for u32 {
    const EXPECTED: &'static str = "a whole number";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        text.parse().map_err(|_| Fault::new(format!("expected a whole number, found `{text}`")))
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        let Some(integer) = value.get_ref().as_integer() else {
            return reader.mistyped(value, Self::EXPECTED);
        };
        match Self::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Some(number),
            Err(_) => reader.bad(value.span(), format!("`{integer}` is out of range"), None),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": 22 })
    }
}

/// Any line of text that is not empty.
impl Value for String {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        match text {
            "" => Err(Fault::new("the text is empty")),
            _ if text.chars().any(char::is_control) => Err(Fault::new("the text holds a control character")),
            _ => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> String {
        quoted(self)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// A file inside the expert's folder.
impl Value for RelPath {
    const EXPECTED: &'static str = "a path inside the expert's folder";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        Self::lenient(text).map_err(|e| Fault::new(format!("`{text}` cannot be used: {e}")))
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// A folder inside the repo, relative to the file it stands in; `.` is that file's own folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Folder(pub Option<RelPath>);

impl Value for Folder {
    const EXPECTED: &'static str = "a folder inside the repo";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        if !text.is_empty() && !text.starts_with('/') && text.split('/').all(|part| part.is_empty() || part == ".") {
            return Ok(Self(None));
        }
        let path = RelPath::lenient(text).map_err(|e| Fault::new(format!("`{text}` cannot be used: {e}")))?;
        Ok(Self(Some(path)))
    }

    fn show(&self) -> String {
        quoted(self.0.as_ref().map_or(".", RelPath::as_str))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "default": "." })
    }
}

impl Value for Glob {
    const EXPECTED: &'static str = "a pattern (a string)";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        Self::new(text).map_err(Fault::new)
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        let Some(text) = value.get_ref().as_str() else { return reader.mistyped(value, Self::EXPECTED) };
        // Ten thousand experts may have the same few patterns.
        if let Some(known) = reader.globs.get(text) {
            return Some(known.clone());
        }
        let glob: Self = reader.text(text, value.span())?;
        reader.globs.insert(text.to_owned(), glob.clone());
        Some(glob)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl Value for Template {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new("the text is empty"));
        }
        let template = Self::new(text).map_err(|f| Fault { what: f.what, span: Some(f.span), help: f.help })?;
        // Whatever fills the holes is checked when it is known; the fixed parts can be checked now.
        if text != "." && RelPath::lenient(&template.fill("x", "x", "x")).is_err() {
            return Err(Fault::new(format!("`{text}` is not a relative path inside the expert's folder")));
        }
        Ok(template)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// The name of a package: a template without `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(pub Template);

impl Value for FileName {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str, base: &Base) -> Result<Self, Fault> {
        let template = <Template as Value>::from_text(text, base)?;
        match text.find('/') {
            Some(at) => Err(Fault { span: Some(at..at + 1), ..Fault::new("a package's name has no `/`") }
                .help("the folder is set by `out-dir`")),
            None if text == "." => Err(Fault::new("`.` is not a file's name")),
            None => Ok(Self(template)),
        }
    }

    fn show(&self) -> String {
        quoted(self.0.as_str())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "pattern": "^[^/]+$", "examples": ["{name}.v{version}.expert"] })
    }
}

/// The part of a package's name that stands for a base model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug(pub String);

impl Value for Slug {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        let fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.starts_with('.') || !text.chars().all(fine) {
            return Err(Fault::new(format!("`{text}` cannot be a part of a file's name"))
                .help(format!("use letters, digits, `-`, `_` and `.`: `{}`", slug(text))));
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[^./\\\\][^/\\\\]*$" })
    }
}

impl Value for semver::VersionReq {
    const EXPECTED: &'static str = "a version range (a string)";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        Self::parse(text).map_err(|e| {
            Fault::new(format!("`{text}` is not a version range: {e}"))
                .help("a version range is written `>=0.1` or `0.1`")
        })
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": [">=0.1"] })
    }
}

impl Value for semver::Version {
    const EXPECTED: &'static str = "a version (a string)";

    fn from_text(text: &str, _: &Base) -> Result<Self, Fault> {
        Self::parse(text).map_err(|e| {
            Fault::new(format!("`{text}` is not a version: {e}")).help("a version has three numbers: `1.4.0`")
        })
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["1.4.0"] })
    }
}

/// A list. From a flag or a variable: items parted by commas.
impl<T: Value> Value for Vec<Setting<T>> {
    const EXPECTED: &'static str = "a list";

    fn from_text(text: &str, base: &Base) -> Result<Self, Fault> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| Ok(Setting::built_in(T::from_text(item, base)?))).collect()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        let Some(items) = value.get_ref().as_array() else {
            let one = value.get_ref().as_str().map(|text| format!("write it in brackets: `[{}]`", quoted(text)));
            return reader.mistyped_help(value, Self::EXPECTED, one);
        };
        let before = reader.faults();
        let items: Self = items.iter().filter_map(|item| reader.setting(item)).collect();
        (reader.faults() == before).then_some(items)
    }

    fn stamp(&mut self, origin: &Origin) {
        self.iter_mut().for_each(|item| item.origin = origin.clone());
    }

    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(|item| item.value.show()).collect();
        format!("[{}]", items.join(", "))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let items = T::schema(generator);
        json_schema!({ "type": "array", "items": items })
    }
}

/// The base models to package for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Models {
    /// Every one of the manifest.
    All,
    /// Those of these names, whole or their last path segment.
    Only(Vec<Setting<String>>),
}

impl Value for Models {
    const EXPECTED: &'static str = "`\"all\"` or a list of model names";

    fn from_text(text: &str, base: &Base) -> Result<Self, Fault> {
        match text {
            "all" => Ok(Self::All),
            _ => Self::only(Value::from_text(text, base)?),
        }
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) if text == "all" => Some(Self::All),
            DeValue::Array(_) => match Self::only(Value::from_toml(value, reader)?) {
                Ok(models) => Some(models),
                Err(fault) => reader.bad(value.span(), fault.what, fault.help),
            },
            _ => reader.mistyped(value, Self::EXPECTED),
        }
    }

    fn stamp(&mut self, origin: &Origin) {
        if let Self::Only(names) = self {
            names.stamp(origin);
        }
    }

    fn show(&self) -> String {
        match self {
            Self::All => quoted("all"),
            Self::Only(names) => names.show(),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "const": "all" }, { "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } }],
            "default": "all"
        })
    }
}

impl Models {
    fn only(names: Vec<Setting<String>>) -> Result<Self, Fault> {
        if names.is_empty() {
            return Err(Fault::new("no model is named").help("name a base model of the manifest, or write `\"all\"`"));
        }
        Ok(Self::Only(names))
    }
}

/// A word out of a closed list.
macro_rules! words {
    ($Type:ty, $default:literal, $($word:literal => $variant:expr, $doc:literal;)+) => {
        impl $crate::spec::value::Value for $Type {
            const EXPECTED: &'static str = concat!("one of", $(" `\"", $word, "\"`",)+);

            fn from_text(text: &str, _: &$crate::spec::host_path::Base) -> Result<Self, $crate::spec::value::Fault> {
                const WORDS: &[&str] = &[$($word),+];
                match text {
                    $($word => Ok($variant),)+
                    _ => {
                        let all: Vec<String> = WORDS.iter().map(|word| format!("`{word}`")).collect();
                        let help = $crate::base::suggest::did_you_mean(text, WORDS.iter().copied());
                        let known = format!("the words are {}", all.join(", "));
                        Err($crate::spec::value::Fault::new(format!("unknown word `{text}`")).help(help.unwrap_or(known)))
                    }
                }
            }

            fn show(&self) -> String {
                $(if *self == $variant { return $crate::spec::value::quoted($word); })+
                unreachable!("every variant has its word")
            }

            fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "oneOf": [$({ "const": $word, "description": $doc }),+], "default": $default })
            }
        }
    };
}
pub(crate) use words;

words! { Preset, "recommended",
    "minimal" => Preset::Minimal, "Errors only, but for what makes a package useless.";
    "recommended" => Preset::Recommended, "What is used when nothing is said.";
    "strict" => Preset::Strict, "Warnings are errors.";
}

/// The level of a finding.
pub use crate::base::Level;

words! { Level, "warn",
    "allow" => Level::Allow, "Not reported.";
    "warn" => Level::Warn, "Reported as a warning.";
    "deny" => Level::Deny, "Reported as an error: no package.";
}

/// The code of this name, and whether it may be set to this level.
pub(crate) fn lint(name: &str, level: Level) -> Result<(), Fault> {
    let Some(code) = codes::find(name) else {
        let help = crate::base::suggest::did_you_mean(name, codes::all().map(|code| code.name));
        return Err(Fault::new(format!("no finding has the code `{name}`"))
            .help(help.unwrap_or_else(|| "`expert-build explain` lists all codes".to_owned())));
    };
    if code.fixed && level < code.level {
        return Err(Fault::new(format!("`{name}` cannot be lowered"))
            .help(format!("it keeps packages safe or correct: `expert-build explain {name}`")));
    }
    Ok(())
}
