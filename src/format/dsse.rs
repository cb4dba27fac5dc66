//! `Envelope`: DSSE, an in-toto statement with signatures over it. Knows nothing of keys or of what is stated.
//!
//! ```text
//! {"payload": "<base64 of the statement>", "payloadType": "application/vnd.in-toto+json",
//!  "signatures": [{"keyid": "<text>", "sig": "<base64>"}]}
//! ```
//! What is signed is the pre-authentication encoding: `DSSEv1 <length of type> <type> <length of payload> <payload>`.
//! Source: DSSE protocol 1.0.2. Both alphabets of base64 are read, as the protocol asks; the standard one is written.

use base64ct::{Base64, Base64Url, Encoding as _};
use serde_json::{Value, json};

/// The type of the payload: an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A statement and the signatures over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The statement.
    pub statement: String,
    /// The signatures.
    pub signatures: Vec<Signed>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Whose it says it is; a hint that proves nothing.
    pub key: String,
    /// Its bytes.
    pub signature: Vec<u8>,
}

impl Envelope {
    /// Reads an envelope. The error is a phrase.
    pub fn read(envelope: &Value) -> Result<Self, String> {
        if envelope["payloadType"].as_str() != Some(PAYLOAD_TYPE) {
            return Err("the envelope does not hold an in-toto statement".into());
        }
        let bytes = |value: &Value| {
            let text = value.as_str()?;
            Base64::decode_vec(text).or_else(|_| Base64Url::decode_vec(text)).ok()
        };
        let payload = bytes(&envelope["payload"]).ok_or("the payload of the envelope is not base64")?;
        let statement = String::from_utf8(payload).map_err(|_| "the statement is not UTF-8")?;
        let listed = envelope["signatures"].as_array().map_or(&[][..], Vec::as_slice);
        let signatures = listed.iter().filter_map(|signed| {
            let key = signed["keyid"].as_str().unwrap_or_default().to_owned();
            Some(Signed { key, signature: bytes(&signed["sig"])? })
        });
        Ok(Self { signatures: signatures.collect(), statement })
    }

    /// The envelope as JSON.
    pub fn value(&self) -> Value {
        let signed = |signed: &Signed| json!({"keyid": signed.key, "sig": Base64::encode_string(&signed.signature)});
        json!({
            "payload": Base64::encode_string(self.statement.as_bytes()),
            "payloadType": PAYLOAD_TYPE,
            "signatures": self.signatures.iter().map(signed).collect::<Vec<_>>(),
        })
    }
}

/// What is signed of a statement.
pub fn message(statement: &str) -> Vec<u8> {
    encoded(PAYLOAD_TYPE, statement.as_bytes())
}

/// DSSE's pre-authentication encoding.
fn encoded(kind: &str, payload: &[u8]) -> Vec<u8> {
    [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::{Envelope, PAYLOAD_TYPE, Signed, encoded};

    #[test]
    fn encoded_as_the_protocol_says() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(encoded("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn an_envelope_is_read_as_it_was_written_and_in_either_alphabet() {
        let signatures = vec![Signed { key: "k".into(), signature: vec![0xfb, 0xff, 0xfe] }];
        let envelope = Envelope { statement: "{\"é\":\"~~~\"}".into(), signatures };
        let value = envelope.value();
        assert_eq!(Envelope::read(&value).unwrap(), envelope);
        assert_eq!(value["signatures"][0]["sig"], "+//+");
        let mut other = value.clone();
        other["signatures"][0]["sig"] = "-__-".into();
        assert_eq!(Envelope::read(&other).unwrap(), envelope);
        for (at, wrong, says) in
            [("payloadType", "text/plain", "in-toto"), ("payload", "*", "base64"), ("payload", "/w==", "UTF-8")]
        {
            let mut broken = value.clone();
            broken[at] = wrong.into();
            assert!(Envelope::read(&broken).unwrap_err().contains(says), "{says}");
        }
        assert!(Envelope::read(&serde_json::json!([PAYLOAD_TYPE])).is_err());
    }
}
