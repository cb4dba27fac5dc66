//! `Manifest`, `Index` and `Descriptor`: the documents of a registry, read from foreign bytes and written.
//!
//! Fields that are not here are passed over in reading. Writing is compact JSON in the order of the fields below, so
//! equal values give equal digests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{INDEX_TYPE, MANIFEST_TYPE, MAX_MANIFEST};
use crate::base::{Malformed, Sha256};

/// Key → text.
pub type Annotations = BTreeMap<String, String>;

/// What names a blob or manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The type of its bytes.
    pub media_type: String,
    /// Their hash.
    #[serde(with = "prefixed")]
    pub digest: Sha256,
    /// How many they are.
    pub size: u64,
    /// What kind of artifact it is, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_none")]
    pub annotations: Annotations,
}

/// What an artifact is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    #[serde(default = "manifest_type")]
    media_type: String,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its config.
    pub config: Descriptor,
    /// Its layers.
    pub layers: Vec<Descriptor>,
    /// The manifest that it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_none")]
    pub annotations: Annotations,
}

/// A list of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u32,
    #[serde(default = "index_type")]
    media_type: String,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
}

impl Descriptor {
    /// Names these bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Sha256::of(bytes), bytes.len() as u64)
    }

    /// Names a blob.
    pub fn new(media_type: &str, digest: Sha256, size: u64) -> Self {
        Self { media_type: media_type.into(), digest, size, artifact_type: None, annotations: Annotations::new() }
    }

    /// With one more thing said of it.
    pub fn with(mut self, key: &str, text: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), text.into());
        self
    }
}

impl Manifest {
    /// An artifact of this kind.
    pub fn new(artifact_type: &str, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST_TYPE.into(),
            artifact_type: Some(artifact_type.into()),
            config,
            layers,
            subject: None,
            annotations: Annotations::new(),
        }
    }

    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let manifest: Self = read(bytes)?;
        if manifest.schema_version != 2 || manifest.media_type != MANIFEST_TYPE {
            let what = match manifest.media_type.as_str() {
                INDEX_TYPE => "it is an index, not a manifest".into(),
                other => format!("it is no OCI manifest but `{}`", other.escape_debug()),
            };
            return Err(Malformed::new(0, what));
        }
        Ok(manifest)
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and whole numbers can always be written")
    }

    /// What kind of artifact it is; older tools say it by the config's type.
    pub fn kind(&self) -> &str {
        self.artifact_type.as_deref().unwrap_or(&self.config.media_type)
    }
}

impl Index {
    /// An index of these.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: INDEX_TYPE.into(), manifests }
    }

    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let index: Self = read(bytes)?;
        match index.media_type == INDEX_TYPE {
            true => Ok(index),
            false => Err(Malformed::new(0, "it is no OCI index")),
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and whole numbers can always be written")
    }
}

/// What is not known is passed over without recursion, and what is made is not much bigger than the text.
fn read<'d, T: Deserialize<'d>>(bytes: &'d [u8]) -> Result<T, Malformed> {
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(Malformed::new(MAX_MANIFEST, format!("it has more than {MAX_MANIFEST} bytes")));
    }
    serde_json::from_slice(bytes).map_err(|e| {
        let lines = bytes.split_inclusive(|b| *b == b'\n').take(e.line().saturating_sub(1));
        let at = lines.map(<[u8]>::len).sum::<usize>() + e.column();
        let text = e.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        Malformed::new(at as u64, what.escape_debug().to_string())
    })
}

fn manifest_type() -> String {
    MANIFEST_TYPE.into()
}

fn index_type() -> String {
    INDEX_TYPE.into()
}

/// Some write `null` for what is absent.
fn or_none<'d, D: serde::Deserializer<'d>>(from: D) -> Result<Annotations, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// `sha256:` and the hex.
mod prefixed {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::base::Sha256;

    pub(super) fn serialize<S: Serializer>(digest: &Sha256, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("sha256:{digest}"))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Sha256, D::Error> {
        let text = String::deserialize(from)?;
        let hash = text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
        hash.ok_or_else(|| D::Error::custom("a digest is not `sha256:` and 64 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Descriptor, Index, Manifest};
    use crate::format::oci::{EMPTY_TYPE, INDEX_TYPE, MAX_MANIFEST, PACKAGE};

    #[test]
    fn manifests_are_written_and_read_back() {
        let config = Descriptor::of(EMPTY_TYPE, b"{}");
        let mut manifest = Manifest::new(PACKAGE, config.clone(), vec![config.clone().with("k", "v\n")]);
        manifest.subject = Some(config.clone());
        let bytes = manifest.bytes();
        assert_eq!(Manifest::read(&bytes).unwrap(), manifest);
        let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert!(std::str::from_utf8(&bytes).unwrap().contains(empty));
        let index = Index::new(vec![config]);
        assert_eq!(Index::read(&index.bytes()).unwrap(), index);
    }

    #[test]
    fn what_others_write_is_read() {
        let digest = format!("sha256:{}", "AB".repeat(32));
        let one = format!(r#"{{"mediaType":"x","digest":"{digest}","size":1,"annotations":null,"urls":["u"]}}"#);
        let text = format!(r#"{{"schemaVersion":2,"config":{one},"layers":[{one}],"more":[1]}}"#);
        let manifest = Manifest::read(text.as_bytes()).unwrap();
        assert_eq!((manifest.kind(), manifest.layers.len()), ("x", 1));
    }

    #[test]
    fn wrong_bytes_are_told_and_never_believed() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let one = |digest: &str, size: &str| format!(r#"{{"mediaType":"x","digest":"{digest}","size":{size}}}"#);
        let whole =
            |one: &str, kind: &str| format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{one},"layers":[]}}"#);
        let kind = "application/vnd.oci.image.manifest.v1+json";
        for (text, what) in [
            (String::new(), "EOF"),
            ("[]".into(), "invalid length"),
            ("{}".into(), "missing field"),
            (format!(r#"{{"x":{}"#, "[".repeat(10_000)), "EOF"),
            (whole(&one("sha256:12", "1"), kind), "a digest is not"),
            (whole(&one("sha512:12", "1"), kind), "a digest is not"),
            (whole(&one(&digest, "-1"), kind), "invalid value"),
            (whole(&one(&digest, "1e30"), kind), "invalid type"),
            (whole(&one(&digest, "1"), INDEX_TYPE), "it is an index"),
            (whole(&one(&digest, "1"), "application/x"), "no OCI manifest"),
            ("x".repeat(MAX_MANIFEST as usize + 1), "it has more than"),
        ] {
            let fault = Manifest::read(text.as_bytes()).unwrap_err();
            assert!(fault.what.contains(what), "{}: {fault}", &text[..text.len().min(80)]);
        }
        assert!(Index::read(whole(&one(&digest, "1"), kind).as_bytes()).is_err());
    }

    /// Nothing that a registry sends may do worse than be refused.
    #[test]
    fn no_bytes_make_it_panic() {
        let config = Descriptor::of(EMPTY_TYPE, b"{}").with("k", "v");
        let good = Manifest::new(PACKAGE, config.clone(), vec![config]).bytes();
        for at in 0..good.len() {
            for byte in [0, b'"', b'{', 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                let _ = Manifest::read(&bad);
                let _ = Index::read(&bad[..at]);
            }
        }
    }
}
