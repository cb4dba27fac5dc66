//! `Reader`: walks a TOML document into tables, collecting every fault with its place; and `table!`, the one
//! declaration from which a table's fields, known keys, documentation and schema are made.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::suggest;
use crate::base::{Code, Diagnostic, codes::repo};
use crate::spec::glob::Glob;
use crate::spec::host_path::Base;
use crate::spec::origin::{Origin, Section, Setting, Source};
use crate::spec::value::{Fault, Value, quoted};

/// A key that can be set, and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The word.
    pub name: &'static str,
    /// What it means, in a sentence or two.
    pub doc: &'static str,
}

/// What a key of a table holds.
pub trait Slot {
    /// Fills it from TOML.
    fn read(&mut self, value: &Spanned<DeValue<'_>>, reader: &mut Reader);
    /// Fills what lies at `path` (`""` is the slot itself) from the text of a flag or variable.
    fn assign(&mut self, path: &str, text: &str, origin: &Origin, base: &Base) -> Result<(), Fault>;
    /// The schema of its TOML form.
    fn schema(generator: &mut SchemaGenerator) -> Schema
    where
        Self: Sized;
}

/// A table of known keys.
pub trait Table: JsonSchema {
    /// Its keys.
    fn keys() -> Vec<Key>
    where
        Self: Sized;
    /// The section that values in it belong to, when it stands at the top of a file.
    fn section(name: &str) -> Option<Section>
    where
        Self: Sized;
    /// The slot of a key.
    fn slot(&mut self, key: &str) -> Option<&mut dyn Slot>;
    /// Remembers where the table stands.
    fn stands(&mut self, origin: Origin);
}

/// Declares a table: its fields are slots, and one line of documentation serves rustdoc, schema and `config`.
macro_rules! table {
    (
        $(#[doc = $about:literal])+
        pub struct $Name:ident in $section:expr;
        $(flatten $flat:ident: $Flat:ty;)?
        $($(#[doc = $doc:literal])+ $field:ident $key:literal: $Type:ty,)*
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $Name {
            $($(#[doc = $doc])+ pub $field: $Type,)*
            $(/// The keys that it shares with other tables.
            pub $flat: $Flat,)?
            /// Where the table stands.
            pub origin: Option<$crate::spec::origin::Origin>,
        }

        impl $crate::spec::read::Table for $Name {
            fn keys() -> Vec<$crate::spec::read::Key> {
                #[allow(unused_mut, reason = "only some tables share keys")]
                let mut keys = vec![$($crate::spec::read::Key { name: $key, doc: concat!($($doc),+).trim_ascii() }),*];
                $(keys.extend(<$Flat as $crate::spec::read::Table>::keys());)?
                keys
            }

            fn section(name: &str) -> Option<$crate::spec::origin::Section> {
                #[allow(clippy::redundant_closure_call, reason = "most tables do not look at the name")]
                ($section)(name)
            }

            fn slot(&mut self, key: &str) -> Option<&mut dyn $crate::spec::read::Slot> {
                match key {
                    $($key => Some(&mut self.$field),)*
                    _ => {
                        $(if true { return $crate::spec::read::Table::slot(&mut self.$flat, key); })?
                        None
                    }
                }
            }

            fn stands(&mut self, origin: $crate::spec::origin::Origin) {
                self.origin = Some(origin);
            }
        }

        impl schemars::JsonSchema for $Name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($Name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                #[allow(unused_mut, reason = "only some tables share keys")]
                let mut schema = $crate::spec::read::table_schema(concat!($($about),+), &[
                    $(($key, concat!($($doc),+), <$Type as $crate::spec::read::Slot>::schema(generator))),*
                ]);
                $($crate::spec::read::absorb(&mut schema, &<$Flat as schemars::JsonSchema>::json_schema(generator));)?
                schema
            }
        }
    };
}
pub(crate) use table;

/// The schema of a table with these properties.
pub fn table_schema(about: &str, properties: &[(&str, &str, Schema)]) -> Schema {
    let mut all = serde_json::Map::new();
    for (key, doc, schema) in properties {
        let mut schema = schema.clone();
        schema.insert("description".to_owned(), doc.trim().into());
        all.insert((*key).to_owned(), schema.to_value());
    }
    json_schema!({ "description": about.trim(), "type": "object", "properties": all, "additionalProperties": false })
}

/// Adds the properties of another table.
pub fn absorb(schema: &mut Schema, other: &Schema) {
    let more = other.get("properties").and_then(|p| p.as_object()).cloned().unwrap_or_default();
    if let Some(properties) = schema.get_mut("properties").and_then(|p| p.as_object_mut()) {
        properties.extend(more);
    }
}

/// Walks one document.
pub struct Reader {
    source: Arc<Source>,
    section: Section,
    base: Base,
    found: Vec<Diagnostic>,
    /// The patterns so far.
    pub globs: BTreeMap<String, Glob>,
}

impl Reader {
    /// Reads the whole document into `table`. All its faults are returned, in the order of their places.
    pub fn document<T: Table>(table: &mut T, source: &Arc<Source>, section: Section, base: Base) -> Vec<Diagnostic> {
        Self::part(table, source, section, base, &|_| true)
    }

    /// The same for some of the keys at its top: of the others only the syntax must be right.
    pub fn part<T: Table>(
        table: &mut T,
        source: &Arc<Source>,
        section: Section,
        base: Base,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Vec<Diagnostic> {
        let mut reader = Self { source: Arc::clone(source), section, base, found: Vec::new(), globs: BTreeMap::new() };
        if source.text().len() > Source::MAX {
            let message = format!("the file is larger than {} MiB", Source::MAX >> 20);
            return vec![Diagnostic::new(&repo::EXPERTFILE_SYNTAX, message).in_file(source.name())];
        }
        let text = Arc::clone(source.text());
        let (document, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            let message = error.message().lines().next().unwrap_or("this is not TOML").trim_end_matches('.');
            reader.error(&repo::EXPERTFILE_SYNTAX, &span, message.to_owned());
        }
        // After a syntax error the rest of the tree is guesswork: what it seems to say is not held against the user.
        if errors.is_empty() {
            reader.entries(table, document.get_ref(), wanted);
        }
        reader.found.sort_by(|a, b| (&a.at, &a.message).cmp(&(&b.at, &b.message)));
        reader.found.dedup();
        reader.found
    }

    /// Reports an error.
    pub fn error(&mut self, code: &'static Code, span: &Range<usize>, message: String) -> &mut Diagnostic {
        let index = self.found.len();
        self.found.push(self.source.finding(code, span, message));
        &mut self.found[index]
    }

    /// How many faults were found so far.
    pub fn faults(&self) -> usize {
        self.found.len()
    }

    /// The value is of the right type, and wrong.
    pub fn bad<T>(&mut self, span: Range<usize>, what: String, help: Option<String>) -> Option<T> {
        self.error(&repo::EXPERTFILE_VALUE, &span, what).help = help;
        None
    }

    /// The value is of the wrong type.
    pub fn mistyped<T>(&mut self, value: &Spanned<DeValue<'_>>, expected: &str) -> Option<T> {
        self.mistyped_help(value, expected, None)
    }

    /// The value is of the wrong type, and this is what to write.
    pub fn mistyped_help<T>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
        help: Option<String>,
    ) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.error(&repo::EXPERTFILE_TYPE, &value.span(), format!("expected {expected}, found {found}")).help = help;
        None
    }

    /// The origin of what stands at `span`.
    pub fn origin(&self, span: &Range<usize>) -> Origin {
        Origin::File {
            section: self.section.clone(),
            source: Arc::clone(&self.source),
            start: span.start as u32,
            end: span.end as u32,
        }
    }

    /// Reads the text of a TOML string that stands at `span`.
    pub fn text<T: Value>(&mut self, text: &str, span: Range<usize>) -> Option<T> {
        match T::from_text(text, &self.base) {
            Ok(value) => Some(value),
            Err(fault) => {
                // Without escapes the text stands in the file as it is, one quote further on.
                let plain = span.len() == text.len() + 2;
                let blamed = fault.span.filter(|_| plain);
                let span = blamed.map_or(span.clone(), |b| span.start + 1 + b.start..span.start + 1 + b.end);
                self.bad(span, fault.what, fault.help)
            }
        }
    }

    /// Reads a value and notes where it stands.
    pub fn setting<T: Value>(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Setting<T>> {
        let read = T::from_toml(value, self)?;
        Some(Setting { value: read, origin: self.origin(&value.span()) })
    }

    /// Reads a table.
    pub fn table<T: Table>(&mut self, table: &mut T, value: &Spanned<DeValue<'_>>) {
        table.stands(self.origin(&value.span()));
        match value.get_ref().as_table() {
            Some(entries) => self.entries(table, entries, &|_| true),
            None => {
                self.mistyped::<()>(value, "a table");
            }
        }
    }

    fn entries<T: Table>(&mut self, table: &mut T, entries: &DeTable<'_>, wanted: &dyn Fn(&str) -> bool) {
        for (key, value) in entries.iter().filter(|(key, _)| wanted(key.get_ref())) {
            match table.slot(key.get_ref()) {
                Some(slot) => slot.read(value, self),
                None => {
                    let keys = T::keys();
                    self.unknown(key.get_ref(), &key.span(), keys.iter().map(|key| key.name));
                }
            }
        }
    }

    /// Reports a key that nobody knows.
    pub fn unknown<'a>(&mut self, key: &str, span: &Range<usize>, known: impl Iterator<Item = &'a str>) {
        let near = suggest::did_you_mean(key, known).or_else(|| crate::spec::expertfile::home_of(key));
        let all = match self.section {
            Section::User => "the user's own configuration has `[defaults]`, `[cache]` and `[trust]`",
            _ => "`expert-build schema expertfile` lists every key",
        };
        self.error(&repo::EXPERTFILE_UNKNOWN_KEY, span, format!("unknown key `{key}`")).help =
            Some(near.unwrap_or_else(|| all.to_owned()));
    }

    /// Runs `read` with the section that a table of type `T` brings, unless the section is settled already.
    fn within<T: Table>(&mut self, name: &str, read: impl FnOnce(&mut Self)) {
        let outer = self.section.clone();
        if outer == Section::Top {
            self.section = T::section(name).unwrap_or(Section::Top);
        }
        read(self);
        self.section = outer;
    }
}

fn not_settable() -> Fault {
    Fault::new("this key can only be set in a file")
}

impl<T: Value> Slot for Option<Setting<T>> {
    fn read(&mut self, value: &Spanned<DeValue<'_>>, reader: &mut Reader) {
        *self = reader.setting(value);
    }

    fn assign(&mut self, path: &str, text: &str, origin: &Origin, base: &Base) -> Result<(), Fault> {
        if !path.is_empty() {
            return Err(Fault::new(format!("there is no key `{path}` below this one")));
        }
        let mut value = T::from_text(text, base)?;
        value.stamp(origin);
        *self = Some(Setting { value, origin: origin.clone() });
        Ok(())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

/// A setting that many experts have in common.
impl<T: Value> Slot for Option<Arc<Setting<T>>> {
    fn read(&mut self, value: &Spanned<DeValue<'_>>, reader: &mut Reader) {
        *self = reader.setting(value).map(Arc::new);
    }

    fn assign(&mut self, path: &str, text: &str, origin: &Origin, base: &Base) -> Result<(), Fault> {
        let mut setting = None;
        Slot::assign(&mut setting, path, text, origin, base)?;
        *self = setting.map(Arc::new);
        Ok(())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }
}

impl<T: Table> Slot for T {
    fn read(&mut self, value: &Spanned<DeValue<'_>>, reader: &mut Reader) {
        reader.within::<T>("", |reader| reader.table(self, value));
    }

    fn assign(&mut self, path: &str, text: &str, origin: &Origin, base: &Base) -> Result<(), Fault> {
        let (key, rest) = path.split_once('.').unwrap_or((path, ""));
        match self.slot(key) {
            Some(slot) => slot.assign(rest, text, origin, base),
            None => {
                let keys = T::keys();
                let help = suggest::did_you_mean(key, keys.iter().map(|key| key.name));
                Err(Fault { help, ..Fault::new(format!("unknown key `{key}`")) })
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

impl<T: Table + Default> Slot for Vec<T> {
    fn read(&mut self, value: &Spanned<DeValue<'_>>, reader: &mut Reader) {
        let Some(items) = value.get_ref().as_array() else {
            let help = Some("write the name in double brackets: `[[expert]]`".to_owned());
            reader.mistyped_help::<()>(value, "an array of tables", help);
            return;
        };
        for item in items.iter() {
            let mut table = T::default();
            reader.within::<T>("", |reader| reader.table(&mut table, item));
            self.push(table);
        }
    }

    fn assign(&mut self, _: &str, _: &str, _: &Origin, _: &Base) -> Result<(), Fault> {
        Err(not_settable())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": items })
    }
}

impl<T: Table + Default> Slot for BTreeMap<String, T> {
    fn read(&mut self, value: &Spanned<DeValue<'_>>, reader: &mut Reader) {
        let Some(entries) = value.get_ref().as_table() else {
            reader.mistyped::<()>(value, "a table");
            return;
        };
        for (name, value) in entries.iter() {
            let mut table = T::default();
            reader.within::<T>(name.get_ref(), |reader| reader.table(&mut table, value));
            self.insert(name.get_ref().to_string(), table);
        }
    }

    fn assign(&mut self, _: &str, _: &str, _: &Origin, _: &Base) -> Result<(), Fault> {
        Err(not_settable())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": values })
    }
}

impl<T: Value> Slot for BTreeMap<String, Setting<T>> {
    fn read(&mut self, value: &Spanned<DeValue<'_>>, reader: &mut Reader) {
        let Some(entries) = value.get_ref().as_table() else {
            reader.mistyped::<()>(value, "a table");
            return;
        };
        for (name, value) in entries.iter() {
            if let Some(setting) = reader.setting(value) {
                self.insert(name.get_ref().to_string(), setting);
            }
        }
    }

    fn assign(&mut self, _: &str, _: &str, _: &Origin, _: &Base) -> Result<(), Fault> {
        Err(not_settable())
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let values = T::schema(generator);
        json_schema!({ "type": "object", "additionalProperties": values })
    }
}

/// A key as TOML wants it: bare where it may be.
pub fn key_text(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { key.to_owned() } else { quoted(key) }
}
