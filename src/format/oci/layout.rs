//! What of a package goes where in an artifact, in both forms, and the way back.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Annotations, Descriptor, EMPTY_TYPE, FILEPATH, MODEL, MODEL_CONFIG, Manifest, PACKAGE, PACKAGE_CONFIG, SIGNATURE,
    SIGNATURE_LAYER, TITLE,
};
use crate::base::{RelPath, Sha256};
use crate::format::segment::{Codec, Compression};

const VERSION: &str = "org.opencontainers.image.version";
const LICENSES: &str = "org.opencontainers.image.licenses";
const DESCRIPTION: &str = "org.opencontainers.image.description";
const AUTHORS: &str = "org.opencontainers.image.authors";
const CREATED: &str = "org.opencontainers.image.created";
/// What rebuilds a package of the files of a ModelPack.
const REBUILD: [&str; 6] = [
    "vnd.expert.package.sha256",
    "vnd.expert.package.size",
    "vnd.expert.package.title",
    "vnd.expert.package.compression",
    "vnd.expert.package.level",
    "vnd.expert.package.mtime",
];

/// How a package lies in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// As one layer.
    #[default]
    Package,
    /// Each file as a layer, so that registries hold equal files once and other tools can take them.
    ModelPack,
}

/// What is known of a package.
#[derive(Debug, Clone)]
pub struct Facts {
    /// `name` of its manifest.
    pub name: String,
    /// `version`.
    pub version: String,
    /// `description`.
    pub description: Option<String>,
    /// `license`.
    pub licence: Option<String>,
    /// `author`.
    pub author: Option<String>,
    /// `integrity.created_at`.
    pub created_at: Option<String>,
    /// What rebuilds it.
    pub rebuild: Rebuild,
}

/// A file of a package, as layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// Its path in the package.
    pub path: RelPath,
    /// Its hash.
    pub digest: Sha256,
    /// Its length.
    pub size: u64,
}

/// What makes a package of its files, and proves that it is the one that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    /// Its hash.
    pub sha256: Sha256,
    /// Its length.
    pub size: u64,
    /// Its file name.
    pub title: String,
    /// How it is packed.
    pub codec: Codec,
    /// The time of its entries.
    pub mtime: u64,
}

/// What a manifest says is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A package.
    Package {
        /// The package itself.
        layer: Descriptor,
        /// Its file name, checked; what is wrong with it where it is none.
        title: Result<String, String>,
    },
    /// The files of a package, in its order.
    ModelPack {
        /// The files.
        files: Vec<ModelFile>,
        /// What makes the package of them.
        rebuild: Rebuild,
    },
}

/// The empty config, and its bytes.
pub fn empty() -> (Descriptor, Vec<u8>) {
    (Descriptor::of(EMPTY_TYPE, b"{}"), b"{}".to_vec())
}

impl Facts {
    /// The manifest of the package as one layer; `config` are the bytes of its `manifest.json`.
    pub fn package(&self, config: &[u8]) -> Manifest {
        let suffix = match self.rebuild.codec.compression {
            Compression::Gzip => "+gzip",
            Compression::Zstd => "+zstd",
            Compression::None => "",
        };
        let layer = Descriptor::new(&format!("{PACKAGE}.tar{suffix}"), self.rebuild.sha256, self.rebuild.size);
        let layer = layer.with(TITLE, &*self.rebuild.title);
        let mut manifest = Manifest::new(PACKAGE, Descriptor::of(PACKAGE_CONFIG, config), vec![layer]);
        manifest.annotations = self.annotations();
        manifest
    }

    /// The manifest of the package with each file as a layer; `config` is what [`model_config`] gives.
    pub fn model_pack(&self, files: &[ModelFile], config: &[u8]) -> Manifest {
        let layer = |file: &ModelFile| {
            let layer = Descriptor::new(file_media_type(&file.path), file.digest, file.size);
            layer.with(FILEPATH, file.path.as_str()).with(TITLE, file.path.as_str())
        };
        let layers = files.iter().map(layer).collect();
        let mut manifest = Manifest::new(MODEL, Descriptor::of(MODEL_CONFIG, config), layers);
        manifest.annotations = self.annotations();
        let Rebuild { sha256, size, title, codec, mtime } = &self.rebuild;
        let texts = [
            sha256.to_string(),
            size.to_string(),
            title.clone(),
            codec.compression.to_string(),
            codec.level.to_string(),
            mtime.to_string(),
        ];
        manifest.annotations.extend(REBUILD.map(str::to_owned).into_iter().zip(texts));
        manifest
    }

    fn annotations(&self) -> Annotations {
        let told = [
            (TITLE, Some(&self.name)),
            (VERSION, Some(&self.version)),
            (DESCRIPTION, self.description.as_ref()),
            (LICENSES, self.licence.as_ref()),
            (AUTHORS, self.author.as_ref()),
            (CREATED, self.created_at.as_ref()),
        ];
        let told = told.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?.clone())));
        told.filter(|(_, text)| !text.is_empty()).collect()
    }
}

/// The config of a ModelPack: what it is, and the hashes of its layers.
pub fn model_config(facts: &Facts, files: &[ModelFile]) -> Vec<u8> {
    let mut descriptor = json!({"name": facts.name, "version": facts.version});
    for (key, text) in [("description", &facts.description), ("createdAt", &facts.created_at)] {
        if let Some(text) = text {
            descriptor[key] = Value::from(&**text);
        }
    }
    for (key, text) in [("authors", &facts.author), ("licenses", &facts.licence)] {
        if let Some(text) = text {
            descriptor[key] = json!([text]);
        }
    }
    let safetensors = files.iter().any(|file| file.path.as_str().ends_with(".safetensors"));
    let config = if safetensors { json!({"format": "safetensors"}) } else { json!({}) };
    let ids: Vec<String> = files.iter().map(|file| format!("sha256:{}", file.digest)).collect();
    let config = json!({"descriptor": descriptor, "config": config, "modelfs": {"type": "layers", "diffIds": ids}});
    config.to_string().into_bytes()
}

/// The type of a file's layer in a ModelPack.
pub fn file_media_type(path: &RelPath) -> &'static str {
    let name = path.file_name().to_ascii_lowercase();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "safetensors" | "pt" | "pth" | "bin" | "gguf" | "npz" => "application/vnd.cncf.model.weight.v1.raw",
        "py" => "application/vnd.cncf.model.code.v1.raw",
        "md" | "rst" | "pdf" => "application/vnd.cncf.model.doc.v1.raw",
        _ if ["license", "licence", "notice", "readme"].iter().any(|word| name.starts_with(word)) => {
            "application/vnd.cncf.model.doc.v1.raw"
        }
        _ => "application/vnd.cncf.model.weight.config.v1.raw",
    }
}

/// The manifest of a signature, which refers to `subject`.
pub fn signature(subject: Descriptor, text: &[u8], key: Option<String>, publisher: Option<&str>) -> Manifest {
    let layer = Descriptor::of(SIGNATURE_LAYER, text).with(TITLE, "signature.sig");
    let mut manifest = Manifest::new(SIGNATURE, empty().0, vec![layer]);
    manifest.subject = Some(subject);
    let told = [("vnd.expert.signature.key", key.as_deref()), ("vnd.expert.signature.publisher", publisher)];
    let told = told.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.to_owned())));
    manifest.annotations = told.filter(|(_, text)| !text.is_empty()).collect();
    manifest
}

/// What this manifest, of anyone's making, says is stored. The fault is a phrase.
pub fn stored(manifest: &Manifest) -> Result<Stored, String> {
    match manifest.kind() {
        PACKAGE | PACKAGE_CONFIG => match &manifest.layers[..] {
            [layer] if layer.media_type.starts_with(PACKAGE) => Ok(Stored::Package {
                title: title(layer.annotations.get(TITLE).map_or("", |text| text)),
                layer: layer.clone(),
            }),
            _ => Err("the artifact of a package has not one layer, the package".into()),
        },
        MODEL | MODEL_CONFIG => model_pack(manifest),
        SIGNATURE => Err("it is the signature of a package, not a package".into()),
        other => Err(format!("it is no package but `{}`", other.escape_debug())),
    }
}

fn model_pack(manifest: &Manifest) -> Result<Stored, String> {
    if !REBUILD.iter().all(|key| manifest.annotations.contains_key(*key)) {
        return Err("it is a ModelPack that was not made of a package: only its own tools can take it".into());
    }
    let told = REBUILD.map(|key| manifest.annotations.get(key).map_or("", |text| &**text));
    let wrong = |at: usize| format!("its annotation `{}` is `{}`", REBUILD[at], told[at].escape_debug());
    let number = |at: usize| told[at].parse::<u64>().map_err(|_| wrong(at));
    let level = u32::try_from(number(4)?).map_err(|_| wrong(4))?;
    let compression = told[3].parse::<Compression>().map_err(|_| wrong(3))?;
    let rebuild = Rebuild {
        sha256: told[0].parse().map_err(|_| wrong(0))?,
        size: number(1)?,
        title: title(told[2])?,
        codec: Codec::new(compression, Some(level)).map_err(|_| wrong(4))?,
        mtime: number(5)?,
    };
    let mut seen = BTreeSet::new();
    let mut files = Vec::with_capacity(manifest.layers.len());
    for layer in &manifest.layers {
        let told = layer.annotations.get(FILEPATH).map_or("", |text| text);
        let path = RelPath::new(told).map_err(|e| format!("a layer's path is `{}`: {e}", told.escape_debug()))?;
        if !seen.insert(path.clone()) {
            return Err(format!("two layers are `{}`", told.escape_debug()));
        }
        files.push(ModelFile { path, digest: layer.digest, size: layer.size });
    }
    Ok(Stored::ModelPack { files, rebuild })
}

/// A file name that a registry gives: one name, which hides nowhere and leads nowhere.
fn title(text: &str) -> Result<String, String> {
    let plain = RelPath::new(text).is_ok_and(|path| path.file_name() == text);
    if !plain || text.starts_with(['.', '-']) || !text.ends_with(".expert") {
        return Err(format!("it names the file `{}`, which is no name of a package", text.escape_debug()));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Facts, ModelFile, Rebuild, Stored, model_config, signature, stored};
    use crate::base::{RelPath, Sha256};
    use crate::format::oci::{Descriptor, FILEPATH, MODEL, Manifest, PACKAGE, TITLE};
    use crate::format::segment::{Codec, Compression};

    fn facts() -> Facts {
        let rebuild = Rebuild {
            sha256: Sha256::of(b"package"),
            size: 7,
            title: "sql.v1.0.0.expert".into(),
            codec: Codec::new(Compression::Zstd, Some(19)).unwrap(),
            mtime: 315_532_800,
        };
        let (name, version, licence) = ("sql".into(), "1.0.0".into(), Some("MIT".into()));
        let author = Some(String::new());
        Facts { name, version, description: None, licence, author, created_at: None, rebuild }
    }

    fn files() -> Vec<ModelFile> {
        let file = |path: &str| ModelFile { path: RelPath::new(path).unwrap(), digest: Sha256::of(b""), size: 0 };
        ["manifest.json", "LICENSE", "a/b.safetensors", "tests/run.py", "README.md"].map(file).into()
    }

    #[test]
    fn a_package_is_one_layer() {
        let manifest = facts().package(b"{}");
        assert_eq!(manifest.layers[0].media_type, "application/vnd.expert.package.v1.tar+zstd");
        assert_eq!(manifest.annotations.len(), 3, "what is empty is not told");
        let Stored::Package { layer, title } = stored(&manifest).unwrap() else { panic!("a package") };
        assert_eq!((layer.digest, layer.size, title.unwrap()), (Sha256::of(b"package"), 7, "sql.v1.0.0.expert".into()));
    }

    #[test]
    fn a_model_pack_is_a_layer_a_file_and_can_be_rebuilt() {
        let config = model_config(&facts(), &files());
        let parsed: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(parsed["modelfs"]["diffIds"].as_array().unwrap().len(), 5);
        let manifest = facts().model_pack(&files(), &config);
        let kinds: Vec<&str> = manifest.layers.iter().map(|l| l.media_type.rsplit("model.").next().unwrap()).collect();
        assert_eq!(kinds, ["weight.config.v1.raw", "doc.v1.raw", "weight.v1.raw", "code.v1.raw", "doc.v1.raw"]);
        assert_eq!(stored(&manifest), Ok(Stored::ModelPack { files: files(), rebuild: facts().rebuild }));
    }

    #[test]
    fn a_signature_refers_to_its_subject() {
        let subject = Descriptor::of("x", b"y");
        let manifest = signature(subject.clone(), b"00", Some("ed25519:11".into()), Some(""));
        assert_eq!(manifest.subject, Some(subject));
        assert_eq!(manifest.annotations.len(), 1);
        assert!(stored(&manifest).unwrap_err().contains("it is the signature"));
    }

    #[test]
    fn what_a_registry_says_is_not_believed() {
        let config = || Descriptor::of("x", b"");
        let refused = |manifest: &Manifest, what: &str| {
            let fault = stored(manifest).unwrap_err();
            assert!(fault.contains(what), "{fault}");
        };
        refused(&Manifest::new("application/x", config(), vec![]), "no package but `application/x`");
        refused(&Manifest::new(PACKAGE, config(), vec![]), "not one layer");
        refused(&Manifest::new(PACKAGE, config(), vec![config()]), "not one layer");
        refused(&Manifest::new(MODEL, config(), vec![]), "not made of a package");
        let good = || facts().model_pack(&files(), b"{}");
        for (key, value) in [
            ("sha256", "12"),
            ("size", "-1"),
            ("size", "99999999999999999999"),
            ("compression", "xz"),
            ("level", "99"),
            ("mtime", "now"),
        ] {
            let mut manifest = good();
            manifest.annotations.insert(format!("vnd.expert.package.{key}"), value.into());
            refused(&manifest, &format!("`vnd.expert.package.{key}` is `{value}`"));
        }
        for path in ["../x", "/etc/passwd", "a/../../b", "", "a\\b", "a\0b"] {
            let mut manifest = good();
            manifest.layers[1].annotations.insert(FILEPATH.into(), path.into());
            refused(&manifest, "a layer's path is");
        }
        let mut twice = good();
        twice.layers[1].annotations.insert(FILEPATH.into(), "manifest.json".into());
        refused(&twice, "two layers are `manifest.json`");
        for name in ["../x.expert", "/x.expert", ".expert", "x", "a/b.expert", "-x.expert", "x\n.expert", ""] {
            let mut manifest = good();
            manifest.annotations.insert("vnd.expert.package.title".into(), name.into());
            refused(&manifest, "is no name of a package");
            let mut package = facts().package(b"{}");
            package.layers[0].annotations.insert(TITLE.into(), name.into());
            let Stored::Package { title, .. } = stored(&package).unwrap() else { panic!("a package") };
            assert!(title.is_err(), "{name}");
        }
    }
}
