//! The JSON schema of Expertfile.toml, made from the Rust types that read it.

use schemars::generate::SchemaSettings;

use crate::spec::expertfile::Expertfile;

/// Where the schema is found by editors.
pub const URL: &str = "https://raw.githubusercontent.com/hivellm/expert-build/main/schema/expertfile.schema.json";

/// The schema (draft 2020-12), as it stands in `schema/expertfile.schema.json`.
pub fn schema() -> String {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Expertfile>();
    schema.insert("$id".to_owned(), URL.into());
    schema.insert("title".to_owned(), "Expertfile.toml".into());
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}
