//! OCI artifacts: how a package, its files and its signature lie in a registry.
//!
//! Sources: OCI image specification 1.1 (manifests, descriptors, annotations, empty descriptor), OCI distribution
//! specification 1.1 (references, referrers and their fallback tag), CNCF ModelPack model specification (media types,
//! `org.cncf.model.filepath`, config).
//!
//! ```text
//! manifest   application/vnd.oci.image.manifest.v1+json
//!   as package                                        as modelpack
//!   artifactType …/vnd.expert.package.v1              …/vnd.cncf.model.manifest.v1+json
//!   config       …/vnd.expert.manifest.v1+json:       …/vnd.cncf.model.config.v1+json: name, version, licence,
//!                manifest.json as it is packed        and the digests of all layers
//!   layers       one …/vnd.expert.package.v1.tar,     one a file of the package, in its order: …/vnd.cncf.model.
//!                …+gzip or …+zstd: the package        weight.v1.raw, weight.config.v1.raw, doc.v1.raw, code.v1.raw
//!   annotations  org.opencontainers.image.title (file name, on the layer), .version, .licenses, .description;
//!                                                     vnd.expert.package.sha256, .size, .title, .compression, .level,
//!                                                     .mtime: what rebuilds the package and proves that it is the same
//! signature  a manifest of its own: artifactType …/vnd.expert.signature.v1, subject = the manifest above,
//!            config = the empty descriptor, one layer …/vnd.expert.signature.v1+hex: `signature.sig` as it is packed
//! fallback   tag `sha256-<hex of the subject>`: an index of the signatures, where a registry has no referrers API
//! ```
//!
//! Manifests hold no time of their own, so the same package gives the same digest wherever and whenever it is pushed.
//! In package form the config holds `integrity.files` and the referrer the signature over it: whoever wants to know
//! who vouches for a package learns it without its weights.

mod layout;
mod manifest;
mod reference;

pub use layout::{Facts, Form, ModelFile, Rebuild, Stored, empty, file_media_type, model_config, signature, stored};
pub use manifest::{Annotations, Descriptor, Index, Manifest};
pub use reference::{Reference, repository_part, tag_of};

/// The type of a manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The type of an index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// The type of the empty config, `{}`.
pub const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// What a package is, as artifact.
pub const PACKAGE: &str = "application/vnd.expert.package.v1";
/// The type of its config: `manifest.json` as it is packed.
pub const PACKAGE_CONFIG: &str = "application/vnd.expert.manifest.v1+json";
/// What a signature is, as artifact.
pub const SIGNATURE: &str = "application/vnd.expert.signature.v1";
/// The type of its layer: 128 hex digits.
pub const SIGNATURE_LAYER: &str = "application/vnd.expert.signature.v1+hex";
/// What a ModelPack is, as artifact.
pub const MODEL: &str = "application/vnd.cncf.model.manifest.v1+json";
/// The type of its config.
pub const MODEL_CONFIG: &str = "application/vnd.cncf.model.config.v1+json";
/// Where a file of a ModelPack belongs.
pub const FILEPATH: &str = "org.cncf.model.filepath";
/// The name of what a layer or manifest holds.
pub const TITLE: &str = "org.opencontainers.image.title";

/// Bytes that a manifest, an index or a ModelPack config may have: what registries accept at most.
pub const MAX_MANIFEST: u64 = 4 << 20;
