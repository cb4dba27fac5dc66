//! `push`: packages into a registry, verified before anything is sent; what the registry has is not sent again.
//!
//! Order: layers, config, manifest, then the signature, so that a tag never names what is not there. A push that was cut
//! off is simply repeated. As ModelPack, a package is first made again of its files: one that would not come out the
//! same byte for byte, as another tool made it, is refused in that form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::base::event::{Direction, Observer, Transfer};
use crate::base::{Error, RelPath, Result, Sha256};
use crate::format::archive::{Limits, Writer};
use crate::format::integrity::Integrity;
use crate::format::json::Value;
use crate::format::oci::{
    self, Descriptor, Facts, Form, INDEX_TYPE, Index, MANIFEST_TYPE, MAX_MANIFEST, ModelFile, Rebuild, Reference,
};
use crate::format::segment::Codec;
use crate::ops::contents::Contents;
use crate::ops::opened::{Index as Entries, Opened, hash};
use crate::ops::reach::{Progress, Reach};
use crate::ops::sign::{Tee, codec};
use crate::ops::verify::{self, judge};
use crate::store::oci::{Arrival, Content, Registry};
use crate::store::package_file::PackageFile;

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// In which form.
    pub form: Form,
    /// How registries are reached.
    pub reach: Reach,
    /// How much is read of a package.
    pub limits: Limits,
}

/// A package that is in a registry.
#[derive(Debug, Clone, Serialize)]
pub struct Pushed {
    /// The package.
    pub package: PathBuf,
    /// Where it is: host, repository and tag.
    pub reference: String,
    /// The digest of its manifest, with `sha256:`.
    pub digest: String,
    /// The form.
    pub form: Form,
    /// The size of the package.
    pub bytes: u64,
    /// Blobs that were sent, and their bytes.
    pub sent: usize,
    /// The same in bytes.
    pub sent_bytes: u64,
    /// Blobs that the registry took from another of its repositories.
    pub mounted: usize,
    /// Blobs that were there.
    pub present: usize,
    /// The digest of the signature's manifest, where the package is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// Pushes packages, one after the other, and knows what went where.
pub struct Pusher {
    target: Target,
    options: Options,
    registry: Registry,
    /// Blobs that are in the registry: in which repository.
    known: BTreeMap<Sha256, String>,
    /// Which package was pushed where.
    pushed: BTreeMap<Reference, PathBuf>,
}

/// Where packages go.
enum Target {
    /// One, there.
    One(Reference),
    /// Each in a repository of its own below this.
    Below(Reference),
}

/// What is to be in a repository.
struct Blob {
    descriptor: Descriptor,
    /// What it is, for people.
    subject: String,
    source: Source,
}

enum Source {
    Ready(Content),
    Entry(RelPath),
}

impl Pusher {
    /// Prepares to push `count` packages to `to`: `host/repository[:tag]` for one, `host/namespace/` for any number.
    pub fn new(to: &str, count: usize, options: Options) -> Result<Self> {
        let target = match Reference::parse_below(to).map_err(Error::usage)? {
            Some((host, repository)) => Target::Below(Reference { host, repository, tag: None, digest: None }),
            None => Target::One(Reference::parse(to).map_err(Error::usage)?),
        };
        let reference = match &target {
            Target::One(reference) if reference.digest.is_some() => {
                let help = "name a tag; the digest is printed when it is pushed";
                return Err(Error::usage_help("what is pushed gets its digest from its bytes", help));
            }
            Target::One(reference) if count > 1 => {
                return Err(Error::usage_help(
                    format!("{count} packages cannot all be pushed to `{reference}`"),
                    "end it with `/`, and each package gets a repository of its own below it",
                ));
            }
            Target::One(reference) | Target::Below(reference) => reference,
        };
        let registry = options.reach.registry(reference, Direction::Upload)?;
        Ok(Self { target, registry, options, known: BTreeMap::new(), pushed: BTreeMap::new() })
    }

    /// Pushes a package.
    pub fn push(&mut self, package: &Path, observer: &mut dyn Observer) -> Result<Pushed> {
        let opened = Opened::open(package, self.options.limits)?;
        let contents = Contents::read(&opened, |_| Ok(None))?;
        let how = verify::Options { limits: opened.limits, ..Default::default() };
        let report = judge(&opened, &contents, &how)?;
        if let Some(problem) = report.problems.first() {
            let subject = problem.path.as_ref().map_or(String::new(), |path| format!(" `{}`:", path.escape_debug()));
            return Err(opened.wrong(&format!("not pushed:{subject} {}", problem.message)));
        }
        let manifest = opened.manifest(&contents.manifest)?;
        let facts = self.facts(&opened, &contents, &manifest)?;
        let reference = self.reference(package, &facts)?;
        let (stored, blobs) = match self.options.form {
            Form::Package => one_layer(&opened, &contents, &facts),
            Form::ModelPack => layer_a_file(&opened, &contents, &facts)?,
        };
        let stored_bytes = stored.bytes();
        if stored_bytes.len() as u64 > MAX_MANIFEST {
            let what = format!("it has {} files, too many for a registry's manifest", blobs.len());
            return Err(Error::usage_help(format!("`{}`: {what}", package.display()), "push it with `--as package`"));
        }
        let mut pushed = Pushed {
            package: package.to_path_buf(),
            reference: reference.to_string(),
            digest: format!("sha256:{}", Sha256::of(&stored_bytes)),
            form: self.options.form,
            bytes: opened.file.size(),
            sent: 0,
            sent_bytes: 0,
            mounted: 0,
            present: 0,
            signature: None,
        };
        let mut progress = Progress::new(observer, &reference, Direction::Upload);
        progress.count = blobs.len();
        self.blobs(&reference, &opened, blobs, &mut pushed, &mut progress)?;
        let tag = reference.tag.as_deref().unwrap_or_default();
        self.registry.put_manifest(&reference.repository, tag, MANIFEST_TYPE, &stored_bytes)?;
        if let Some(text) = &contents.signature {
            let subject = Descriptor::of(MANIFEST_TYPE, &stored_bytes);
            let key = report.signature.key.map(|key| key.to_string());
            let publisher = report.signature.publisher.as_deref();
            let signature = oci::signature(subject.clone(), text.as_bytes(), key, publisher);
            let digest = self.signature(&reference, &subject, &signature, text, &opened, &mut pushed, &mut progress)?;
            pushed.signature = Some(format!("sha256:{digest}"));
        }
        Ok(pushed)
    }

    fn facts(&self, opened: &Opened, contents: &Contents, manifest: &Value) -> Result<Facts> {
        let text = |key: &str| manifest.get(key).and_then(Value::as_str).map(str::to_owned);
        let codec = match self.options.form {
            Form::Package => Codec::new(contents.compression, None).map_err(|e| opened.wrong(&e))?,
            Form::ModelPack => codec(opened, contents, manifest)?,
        };
        let (Some(name), Some(version)) = (text("name"), text("version")) else {
            return Err(opened.wrong("its manifest has no `name` or no `version`"));
        };
        let first = contents.entries.first().and_then(|entry| entry.mtime);
        let file_name = opened.file.path().file_name().and_then(|name| name.to_str());
        let title = file_name.filter(|name| name.ends_with(".expert") && !name.starts_with(['.', '-']));
        let created = Integrity::read(manifest).and_then(|integrity| integrity.created_at);
        Ok(Facts {
            description: text("description"),
            licence: text("license"),
            author: text("author"),
            created_at: created.filter(|time| is_time(time)),
            rebuild: Rebuild {
                sha256: hash(opened.file.again()).map_err(|e| opened.error(e))?,
                size: opened.file.size(),
                title: title.map_or_else(|| format!("{}.v{version}.expert", slug(&name)), str::to_owned),
                codec,
                mtime: first.unwrap_or(0),
            },
            name,
            version,
        })
    }

    /// Where this package goes: a tag that is not given is its version.
    fn reference(&mut self, package: &Path, facts: &Facts) -> Result<Reference> {
        let mut reference = match &self.target {
            Target::One(reference) => reference.clone(),
            Target::Below(below) => {
                let part = oci::repository_part(&facts.rebuild.title, &facts.version).ok_or_else(|| {
                    Error::usage_help(
                        format!("`{}` makes no name of a repository", facts.rebuild.title),
                        "push it alone, to a reference that names the repository",
                    )
                })?;
                Reference { repository: format!("{}{part}", below.repository), ..below.clone() }
            }
        };
        if reference.tag.is_none() {
            let tag = oci::tag_of(&facts.version).ok_or_else(|| {
                let what = format!("its version `{}` cannot be a tag", facts.version.escape_debug());
                Error::usage_help(format!("`{}`: {what}", package.display()), "name a tag: `host/repository:tag`")
            })?;
            reference.tag = Some(tag);
        }
        match self.pushed.insert(reference.clone(), package.to_path_buf()) {
            Some(other) if other != package => Err(Error::usage_help(
                format!("`{}` and `{}` would both be `{reference}`", other.display(), package.display()),
                "push one of them alone, to a reference of its own",
            )),
            _ => Ok(reference),
        }
    }

    /// Sees to it that the repository has these.
    fn blobs(
        &mut self,
        reference: &Reference,
        opened: &Opened,
        blobs: Vec<Blob>,
        pushed: &mut Pushed,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let repository = &reference.repository;
        let mut entries: Option<Entries> = None;
        for Blob { descriptor, subject, source } in blobs {
            let Descriptor { digest, size, .. } = descriptor;
            progress.tell(&subject, Transfer::Begun, 0, size);
            let from = self.known.get(&digest).cloned();
            if from.as_ref() == Some(repository) || self.registry.has(repository, digest)? {
                self.known.insert(digest, repository.clone());
                pushed.present += 1;
                progress.tell(&subject, Transfer::Present, size, size);
                continue;
            }
            let content = match source {
                Source::Ready(content) => content,
                Source::Entry(path) => {
                    let entries = match &mut entries {
                        Some(entries) => entries,
                        none => none.insert(opened.index_or_spool()?),
                    };
                    unpacked(opened, entries, &path)?
                }
            };
            let mut watch = |bytes| progress.moving(&subject, bytes, size);
            let arrival = self.registry.put(repository, (digest, size), &content, from.as_deref(), &mut watch)?;
            self.known.insert(digest, repository.clone());
            let state = match arrival {
                Arrival::Sent => {
                    (pushed.sent, pushed.sent_bytes) = (pushed.sent + 1, pushed.sent_bytes + size);
                    Transfer::Done
                }
                Arrival::Mounted => {
                    pushed.mounted += 1;
                    Transfer::Mounted
                }
            };
            progress.tell(&subject, state, size, size);
        }
        Ok(())
    }

    /// Pushes the signature as a referrer. Where the registry takes no note of what a manifest refers to, the fallback tag
    /// lists it, beside those that are there.
    #[expect(clippy::too_many_arguments, reason = "what a push knows, for one of its steps")]
    fn signature(
        &mut self,
        reference: &Reference,
        subject: &Descriptor,
        signature: &oci::Manifest,
        text: &str,
        opened: &Opened,
        pushed: &mut Pushed,
        progress: &mut Progress<'_>,
    ) -> Result<Sha256> {
        let (_, empty) = oci::empty();
        let layers = signature.layers.iter().map(|layer| (layer, text.as_bytes().to_vec(), "the signature"));
        let blobs =
            layers.chain([(&signature.config, empty, "the signature's config")]).map(|(of, bytes, subject)| Blob {
                descriptor: of.clone(),
                subject: subject.into(),
                source: Source::Ready(Content::Memory(bytes.into())),
            });
        let blobs: Vec<Blob> = blobs.collect();
        progress.count += blobs.len();
        self.blobs(reference, opened, blobs, pushed, progress)?;
        let bytes = signature.bytes();
        let digest = Sha256::of(&bytes);
        let repository = &reference.repository;
        let noted = self.registry.put_manifest(repository, &format!("sha256:{digest}"), MANIFEST_TYPE, &bytes)?;
        if noted {
            return Ok(digest);
        }
        let tag = format!("sha256-{}", subject.digest);
        let place = format!("{}/{repository}:{tag}", reference.host);
        let mut index = match self.registry.manifest(repository, &tag)? {
            None => Index::new(Vec::new()),
            Some(there) => Index::read(&there.bytes)
                .map_err(|fault| Error::integrity(format!("`{place}`, where signatures are listed: {fault}")))?,
        };
        if !index.manifests.iter().any(|there| there.digest == digest) {
            let mut entry = Descriptor::of(MANIFEST_TYPE, &bytes);
            entry.artifact_type.clone_from(&signature.artifact_type);
            entry.annotations.clone_from(&signature.annotations);
            index.manifests.push(entry);
            self.registry.put_manifest(repository, &tag, INDEX_TYPE, &index.bytes())?;
        }
        Ok(digest)
    }
}

/// The package as one layer, its manifest as config.
fn one_layer(opened: &Opened, contents: &Contents, facts: &Facts) -> (oci::Manifest, Vec<Blob>) {
    let manifest = facts.package(&contents.manifest);
    let layer = Blob {
        descriptor: manifest.layers[0].clone(),
        subject: facts.rebuild.title.clone(),
        source: Source::Ready(Content::Package(opened.file.again())),
    };
    let config = config(&manifest, contents.manifest.clone());
    (manifest, vec![layer, config])
}

/// Each file of the package as a layer.
fn layer_a_file(opened: &Opened, contents: &Contents, facts: &Facts) -> Result<(oci::Manifest, Vec<Blob>)> {
    let files: Vec<ModelFile> = contents
        .entries
        .iter()
        .filter_map(|entry| {
            let (size, digest) = *contents.files.get(&entry.path)?;
            Some(ModelFile { path: entry.path.clone(), digest, size })
        })
        .collect();
    comes_out_the_same(opened, facts)?;
    let bytes = oci::model_config(facts, &files);
    let manifest = facts.model_pack(&files, &bytes);
    let layers = manifest.layers.iter().zip(&files).map(|(layer, file)| Blob {
        descriptor: layer.clone(),
        subject: file.path.to_string(),
        source: Source::Entry(file.path.clone()),
    });
    let blobs = layers.chain([config(&manifest, bytes)]).collect();
    Ok((manifest, blobs))
}

fn config(manifest: &oci::Manifest, bytes: Vec<u8>) -> Blob {
    let source = Source::Ready(Content::Memory(Arc::from(bytes)));
    Blob { descriptor: manifest.config.clone(), subject: "the config".into(), source }
}

/// Makes the package again of its files, as whoever pulls it will.
fn comes_out_the_same(opened: &Opened, facts: &Facts) -> Result<()> {
    let failed = |e| Error::io("pack again", opened.file.path(), e);
    let mut archive = opened.stream()?;
    let mut tee = Tee::new(std::io::sink());
    let mut writer = Writer::new(&mut tee, facts.rebuild.codec, facts.rebuild.mtime).map_err(failed)?;
    while let Some(entry) = archive.next_entry().map_err(|e| opened.error(e))? {
        writer.entry(&entry.path, entry.size, &mut archive).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    match tee.sha256() == facts.rebuild.sha256 {
        true => Ok(()),
        false => Err(Error::usage_help(
            format!(
                "`{}` would not come out the same when it is made of its files again: this version of expert-build does \
                 not pack as the tool that made it",
                opened.file.path().display()
            ),
            "push it with `--as package`, or build it again",
        )),
    }
}

/// An entry's content, in a file without a name.
fn unpacked(opened: &Opened, entries: &mut Entries, path: &RelPath) -> Result<Content> {
    let changed = || opened.wrong("it changed while it was being read");
    let entry = entries.find(path.as_str()).cloned().ok_or_else(changed)?;
    let (file, size) = PackageFile::spool(entries.tar.content(&entry)).map_err(|e| opened.error(e))?;
    if size == entry.size { Ok(Content::Spool(Arc::new(file))) } else { Err(changed()) }
}

/// A name as part of a file name.
fn slug(name: &str) -> String {
    let fine = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let text: String = name.chars().map(fine).collect();
    text.trim_start_matches(['.', '-']).to_owned()
}

/// Is it a time as RFC 3339 has it, in UTC?
fn is_time(text: &str) -> bool {
    let form = b"0000-00-00T00:00:00Z";
    text.len() == form.len()
        && text.bytes().zip(form).all(|(is, wanted)| if *wanted == b'0' { is.is_ascii_digit() } else { is == *wanted })
}

#[cfg(test)]
mod tests {
    use super::{Options, Pusher, is_time, slug};

    #[test]
    fn only_times_and_names_are_told() {
        assert!(is_time("2026-01-02T03:04:05Z") && !is_time("2026-01-02") && !is_time("2026-01-02T03:04:05+"));
        assert_eq!(slug("../a b/ü"), "a-b--");
    }

    #[test]
    fn places_that_make_no_sense_are_refused() {
        let to = |to: &str, count| Pusher::new(to, count, Options::default()).map(drop).unwrap_err();
        assert!(to("oci.lan/a:1", 2).to_string().contains("2 packages cannot all be pushed"));
        assert!(to(&format!("oci.lan/a@sha256:{}", "0".repeat(64)), 1).to_string().contains("gets its digest"));
        let secret = to("me:hunter2@oci.lan/a:1", 1);
        assert!(!secret.to_string().contains("hunter2") && secret.exit_code() == 2);
    }
}
