//! `Provenance`: what a package was made of: an in-toto statement (SLSA provenance v1) in a DSSE envelope on one line.
//!
//! ```text
//! {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1",
//!  "subject": [{"name": "<file name>", "digest": {"sha256": "<hex>"}}],
//!  "predicate": {
//!    "buildDefinition": {"buildType": …, "externalParameters": {<setting>: <value>, …},
//!                        "resolvedDependencies": [{"name": "<path>", "digest": {"sha256": "<hex>"}}, …]},
//!    "runDetails": {"builder": {"id": …, "version": {"expert-build": "<version>"}}}}}
//! ```
//! Sources: in-toto Statement v1, SLSA provenance v1. A statement holds no time, host or path of the machine: equal builds
//! give equal statements, and Ed25519 gives equal signatures. The file is `<package>.intoto.jsonl`, which may hold more
//! envelopes, by other tools.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::Sha256;
use crate::format::dsse::{self, Envelope, Signed};
use crate::format::signature::{PrivateKey, PublicKey, Signature};

/// What the name of a package is followed by.
pub const ENDING: &str = ".intoto.jsonl";
/// What kind of build a statement tells of, and who builds so.
pub const BUILD_TYPE: &str = "urn:expert-build:package:v1";
/// The kind of statement.
pub const PREDICATE: &str = "https://slsa.dev/provenance/v1";

/// What is stated of a package.
#[derive(Debug, Clone)]
pub struct Provenance<'a> {
    /// File name of the package.
    pub name: &'a str,
    /// Its hash.
    pub sha256: Sha256,
    /// Every input, by its path in the expert's folder.
    pub inputs: &'a BTreeMap<String, Sha256>,
    /// Settings that decide its bytes: compression, level, model.
    pub settings: &'a BTreeMap<String, String>,
    /// The version of expert-build.
    pub version: &'a str,
}

/// What a statement says, as far as a receiver asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stated {
    /// The hashes of what it is about.
    #[serde(skip)]
    pub subjects: Vec<Sha256>,
    /// Who built it.
    pub builder: Option<String>,
    /// How many inputs it names.
    pub inputs: usize,
}

/// The statement, as compact JSON.
pub fn statement(provenance: &Provenance<'_>) -> String {
    let inputs: Vec<Value> =
        provenance.inputs.iter().map(|(path, hash)| json!({"name": path, "digest": {"sha256": hash.hex()}})).collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": provenance.name, "digest": {"sha256": provenance.sha256.hex()}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": provenance.settings,
                "resolvedDependencies": inputs,
            },
            "runDetails": {
                "builder": {"id": BUILD_TYPE, "version": {"expert-build": provenance.version}},
            },
        },
    })
    .to_string()
}

/// The statement in an envelope, signed; a line.
pub fn envelope(statement: &str, key: &PrivateKey) -> String {
    let signature = key.sign(&dsse::message(statement)).bytes().to_vec();
    let signed = Signed { key: key.public().to_string(), signature };
    let envelope = Envelope { statement: statement.to_owned(), signatures: vec![signed] };
    format!("{}\n", envelope.value())
}

/// The envelopes of a file, one a line; what is none is left out.
pub fn envelopes(text: &str) -> Vec<Envelope> {
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.filter_map(|value: Value| Envelope::read(&value).ok()).collect()
}

/// Is this envelope signed by this key?
pub fn is_by(envelope: &Envelope, key: &PublicKey) -> bool {
    let message = dsse::message(&envelope.statement);
    let signatures = envelope.signatures.iter().filter_map(|signed| signed.signature.as_slice().try_into().ok());
    signatures.map(Signature::new).any(|signature| key.verifies(&message, &signature))
}

/// What the statement says; `None` where it is no provenance.
pub fn read(statement: &str) -> Option<Stated> {
    let value: Value = serde_json::from_str(statement).ok()?;
    if value["predicateType"].as_str() != Some(PREDICATE) {
        return None;
    }
    let subjects = value["subject"].as_array()?.iter();
    let predicate = &value["predicate"];
    Some(Stated {
        subjects: subjects.filter_map(|subject| subject["digest"]["sha256"].as_str()?.parse().ok()).collect(),
        builder: predicate["runDetails"]["builder"]["id"].as_str().map(str::to_owned),
        inputs: predicate["buildDefinition"]["resolvedDependencies"].as_array().map_or(0, Vec::len),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{BUILD_TYPE, Provenance, envelope, envelopes, is_by, read, statement};
    use crate::base::Sha256;
    use crate::format::signature::PrivateKey;

    #[test]
    fn an_envelope_opens_for_its_key_alone() {
        let hash = Sha256::of(b"");
        let inputs = BTreeMap::from([("manifest.json".to_owned(), hash)]);
        let settings = BTreeMap::from([("compression".to_owned(), "zstd".to_owned())]);
        let made =
            Provenance { name: "x.expert", sha256: hash, inputs: &inputs, settings: &settings, version: "0.1.0" };
        let text = statement(&made);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["subject"][0]["digest"]["sha256"], hash.hex());
        assert_eq!(value["predicate"]["buildDefinition"]["resolvedDependencies"][0]["name"], "manifest.json");
        let stated = read(&text).unwrap();
        assert_eq!((stated.subjects, stated.builder.as_deref(), stated.inputs), (vec![hash], Some(BUILD_TYPE), 1));

        let (key, other) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
        let signed = envelope(&text, &key);
        assert_eq!(signed, envelope(&text, &key), "nothing of chance is in it");
        let [found] = &envelopes(&signed)[..] else { panic!("one envelope") };
        assert_eq!(found.statement, text);
        assert!(is_by(found, &key.public()));
        assert!(!is_by(found, &other.public()));
        let forged = signed.replace("\"payload\":\"eyJ", "\"payload\":\"eyK");
        assert_ne!(forged, signed);
        assert!(!envelopes(&forged).iter().any(|envelope| is_by(envelope, &key.public())));
        let many = format!("nonsense\n{{}}\n{signed}{}", envelope("{}", &other));
        assert_eq!(envelopes(&many).len(), 2, "what other tools wrote beside it is passed over");
        assert_eq!(read("{}"), None);
    }
}
