//! Provenance of a package: an in-toto statement (SLSA provenance v1) in a DSSE envelope.
//!
//! ```text
//! {"payloadType": "application/vnd.in-toto+json", "payload": "<base64 of the statement>",
//!  "signatures": [{"keyid": "ed25519:<hex>", "sig": "<base64>"}]}
//! ```
//! What is signed is the pre-authentication encoding: `DSSEv1 <length of type> <type> <length of payload> <payload>`.
//! Sources: DSSE protocol 1.0.2, in-toto Statement v1, SLSA provenance v1. A statement holds no time, host or path of the
//! machine: equal builds give equal statements.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};

use crate::base::{RelPath, Sha256};
use crate::format::signature::{PrivateKey, PublicKey, Signature};

/// The type of the payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// What kind of build a statement tells of.
pub const BUILD_TYPE: &str = "urn:expert-build:package:v1";

/// What is stated of a package.
#[derive(Debug, Clone)]
pub struct Provenance<'a> {
    /// File name of the package.
    pub name: &'a str,
    /// Its hash.
    pub sha256: Sha256,
    /// Every input, by its path in the expert's folder.
    pub inputs: &'a BTreeMap<RelPath, Sha256>,
    /// Settings that decide its bytes: compression, level, model.
    pub settings: &'a BTreeMap<String, String>,
    /// The version of expert-build.
    pub version: &'a str,
}

/// The statement, as compact JSON.
pub fn statement(provenance: &Provenance<'_>) -> String {
    let inputs: Vec<Value> = provenance
        .inputs
        .iter()
        .map(|(path, hash)| json!({"name": path.as_str(), "digest": {"sha256": hash.hex()}}))
        .collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": provenance.name, "digest": {"sha256": provenance.sha256.hex()}}],
        "predicateType": "https://slsa.dev/provenance/v1",
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

/// The statement in an envelope, signed; with a final newline.
pub fn envelope(statement: &str, key: &PrivateKey) -> String {
    let signature = key.sign(&encoded(PAYLOAD_TYPE, statement.as_bytes()));
    let envelope = json!({
        "payloadType": PAYLOAD_TYPE,
        "payload": Base64::encode_string(statement.as_bytes()),
        "signatures": [{"keyid": key.public().to_string(), "sig": Base64::encode_string(signature.bytes())}],
    });
    format!("{envelope}\n")
}

/// The statement in this envelope, if one of its signatures is by this key. The error is a phrase.
pub fn open(envelope: &str, key: &PublicKey) -> Result<String, String> {
    let envelope: Value = serde_json::from_str(envelope).map_err(|e| format!("the envelope is not JSON: {e}"))?;
    let kind = envelope["payloadType"].as_str().unwrap_or_default();
    if kind != PAYLOAD_TYPE {
        return Err("the envelope does not hold an in-toto statement".into());
    }
    let bytes = |value: &Value| value.as_str().and_then(|text| Base64::decode_vec(text).ok());
    let payload = bytes(&envelope["payload"]).ok_or("the payload of the envelope is not base64")?;
    let message = encoded(kind, &payload);
    let signatures = envelope["signatures"].as_array().map_or(&[][..], Vec::as_slice);
    let good = signatures.iter().filter_map(|signature| bytes(&signature["sig"])?.try_into().ok());
    if !good.map(Signature::new).any(|signature| key.verifies(&message, &signature)) {
        return Err("the envelope is not signed by this key".into());
    }
    String::from_utf8(payload).map_err(|_| "the statement is not UTF-8".into())
}

/// DSSE's pre-authentication encoding.
fn encoded(kind: &str, payload: &[u8]) -> Vec<u8> {
    [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Provenance, encoded, envelope, open, statement};
    use crate::base::{RelPath, Sha256};
    use crate::format::signature::PrivateKey;

    #[test]
    fn encoded_as_the_protocol_says() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(encoded("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn an_envelope_opens_for_its_key_alone() {
        let hash = Sha256::of(b"");
        let inputs = BTreeMap::from([(RelPath::new("manifest.json").unwrap(), hash)]);
        let settings = BTreeMap::from([("compression".to_owned(), "zstd".to_owned())]);
        let made =
            Provenance { name: "x.expert", sha256: hash, inputs: &inputs, settings: &settings, version: "0.1.0" };
        let text = statement(&made);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["subject"][0]["digest"]["sha256"], hash.hex());
        assert_eq!(value["predicate"]["buildDefinition"]["resolvedDependencies"][0]["name"], "manifest.json");
        let (key, other) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
        let signed = envelope(&text, &key);
        assert_eq!(open(&signed, &key.public()).as_ref(), Ok(&text));
        assert!(open(&signed, &other.public()).unwrap_err().contains("not signed by this key"));
        let forged = signed.replace("\"payload\":\"eyJ", "\"payload\":\"eyK");
        assert_ne!(forged, signed);
        assert!(open(&forged, &key.public()).is_err());
        assert!(open("{}", &key.public()).is_err());
    }
}
