//! The messages that name an action: canonical, so that the same action has the same digest on every machine.
//!
//! `Command`: arguments in their order; environment by name; output paths sorted, each once. `Directory`: files and folders
//! each by name, in bytes; every folder of the inputs is one, named in its parent by its digest. `Action`: the digests of
//! `Command` and of the root `Directory`, the salt, the timeout. Platform properties, by name, are in `Action` and, for
//! servers older than version 2.2, in `Command`. Fields that say nothing are left out, as proto3 does.

use std::collections::{BTreeMap, BTreeSet};

use bazel_remote_apis::build::bazel::remote::execution::v2 as reapi;
use bazel_remote_apis::google::protobuf::Duration;
use prost::Message;

use super::trouble::Trouble;
use crate::base::{RelPath, Sha256};
use crate::store::remote::{Action, ActionResult, CasDigest, FailureKind, Input, OutputFile, OutputFolder};

/// Folders of a tree at most.
const MAX_FOLDERS: usize = 100_000;
/// Files of a tree at most.
const MAX_FILES: usize = 1_000_000;

/// A message as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) digest: CasDigest,
    pub(super) bytes: Vec<u8>,
}

impl Encoded {
    fn of(message: &impl Message) -> Self {
        let bytes = message.encode_to_vec();
        Self { digest: CasDigest::of(&bytes), bytes }
    }
}

/// All messages of an action.
pub(super) struct ActionMessages {
    /// The digest of its `Action`: the key of its result.
    pub(super) key: CasDigest,
    /// Those that a server must have: `Directory` messages, `Command`, and `Action` at the end.
    pub(super) blobs: Vec<Encoded>,
}

impl ActionMessages {
    /// Writes them. The namespace goes before the action's own salt.
    #[expect(deprecated, reason = "servers older than version 2.2 look for the platform in `Command`")]
    pub(super) fn of(action: &Action, namespace: &str) -> Self {
        let mut folders = Folders::default();
        let mut root = Folder::default();
        for (path, input) in &action.inputs {
            root.add(path, *input);
        }
        let root = folders.write(root);
        let mut output_paths = action.output_paths.clone();
        output_paths.sort();
        output_paths.dedup();
        let platform = platform(&action.platform);
        let environment = action.environment.iter();
        let command = Encoded::of(&reapi::Command {
            arguments: action.arguments.clone(),
            environment_variables: environment
                .map(|(name, value)| reapi::command::EnvironmentVariable { name: name.clone(), value: value.clone() })
                .collect(),
            output_paths,
            platform: platform.clone(),
            ..reapi::Command::default()
        });
        let mut salt = Vec::new();
        if !namespace.is_empty() {
            salt.extend_from_slice(namespace.as_bytes());
            salt.push(0);
        }
        salt.extend_from_slice(&action.salt);
        let action = Encoded::of(&reapi::Action {
            command_digest: Some(digest_message(command.digest)),
            input_root_digest: Some(digest_message(root)),
            timeout: action.timeout.map(|timeout| Duration {
                seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
                nanos: i32::try_from(timeout.subsec_nanos()).unwrap_or(0),
            }),
            do_not_cache: false,
            salt,
            platform,
        });
        let key = action.digest;
        let mut blobs = folders.written;
        blobs.extend([command, action]);
        Self { key, blobs }
    }
}

fn platform(properties: &BTreeMap<String, String>) -> Option<reapi::Platform> {
    let property =
        |(name, value): (&String, &String)| reapi::platform::Property { name: name.clone(), value: value.clone() };
    let properties: Vec<_> = properties.iter().map(property).collect();
    (!properties.is_empty()).then_some(reapi::Platform { properties })
}

/// A folder that is being put together.
#[derive(Default)]
struct Folder<'a> {
    files: BTreeMap<&'a str, Input>,
    folders: BTreeMap<&'a str, Folder<'a>>,
}

impl<'a> Folder<'a> {
    fn add(&mut self, path: &'a RelPath, input: Input) {
        let mut folder = self;
        let mut rest = path.as_str();
        while let Some((name, below)) = rest.split_once('/') {
            folder = folder.folders.entry(name).or_default();
            rest = below;
        }
        folder.files.insert(rest, input);
    }
}

/// The `Directory` messages of folders, each once, parents after their children.
#[derive(Default)]
struct Folders {
    written: Vec<Encoded>,
    known: BTreeSet<CasDigest>,
}

impl Folders {
    fn write(&mut self, folder: Folder<'_>) -> CasDigest {
        let file = |(name, input): (&str, Input)| reapi::FileNode {
            name: name.into(),
            digest: Some(digest_message(input.digest)),
            is_executable: input.executable,
            node_properties: None,
        };
        let files = folder.files.into_iter().map(file).collect();
        let mut directories = Vec::new();
        for (name, folder) in folder.folders {
            let digest = Some(digest_message(self.write(folder)));
            directories.push(reapi::DirectoryNode { name: name.into(), digest });
        }
        let message =
            Encoded::of(&reapi::Directory { files, directories, symlinks: Vec::new(), node_properties: None });
        let digest = message.digest;
        if self.known.insert(digest) {
            self.written.push(message);
        }
        digest
    }
}

/// A result as a server keeps it, and the messages of its folders. Standard output and error stay empty: they hold
/// what differs between machines.
pub(super) fn result_message(result: &ActionResult) -> (reapi::ActionResult, Vec<Encoded>) {
    let output_files = result.files.iter().map(|(path, file)| reapi::OutputFile {
        path: path.clone(),
        digest: Some(digest_message(file.digest)),
        ..reapi::OutputFile::default()
    });
    let mut trees = Vec::new();
    let mut output_directories = Vec::new();
    for (path, folder) in &result.folders {
        let digest = match folder {
            OutputFolder::Tree(digest) => *digest,
            OutputFolder::Files(files) => {
                let (tree, folders) = tree_message(files);
                let digest = tree.digest;
                trees.extend(folders);
                trees.push(tree);
                digest
            }
        };
        output_directories.push(reapi::OutputDirectory {
            path: path.clone(),
            tree_digest: Some(digest_message(digest)),
            ..reapi::OutputDirectory::default()
        });
    }
    let message = reapi::ActionResult {
        output_files: output_files.collect(),
        output_directories,
        exit_code: result.exit_code,
        ..reapi::ActionResult::default()
    };
    (message, trees)
}

/// A result as a server told it. `inline` names the files whose contents are taken; they are checked.
#[expect(deprecated, reason = "servers older than version 2.1 tell links there")]
pub(super) fn read_result(told: reapi::ActionResult, inline: &[&str]) -> Result<ActionResult, Trouble> {
    let wrong = |what: String| Trouble::lasting(FailureKind::Wrong, what);
    if !told.output_symlinks.is_empty()
        || !told.output_file_symlinks.is_empty()
        || !told.output_directory_symlinks.is_empty()
    {
        return Err(wrong("the result holds symbolic links".into()));
    }
    let checked = |path: &str| match RelPath::new(path) {
        Ok(_) => Ok(()),
        Err(e) => Err(wrong(format!("the result names the output `{}`: {e}", path.escape_debug()))),
    };
    let mut result = ActionResult { exit_code: told.exit_code, stderr: told.stderr_raw, ..ActionResult::default() };
    for file in told.output_files {
        checked(&file.path)?;
        let digest = read_digest(file.digest.as_ref())?;
        let sent = !file.contents.is_empty() || digest.size == 0;
        if sent && CasDigest::of(&file.contents) != digest {
            return Err(wrong(format!("the contents of `{}` are not those of {digest}", file.path)));
        }
        let contents = (sent && inline.contains(&&*file.path)).then_some(file.contents);
        let path = file.path.clone();
        if result.files.insert(file.path, OutputFile { digest, contents }).is_some() {
            return Err(wrong(format!("the result names the output `{path}` twice")));
        }
    }
    for folder in told.output_directories {
        checked(&folder.path)?;
        let tree = OutputFolder::Tree(read_digest(folder.tree_digest.as_ref())?);
        let path = folder.path.clone();
        if result.files.contains_key(&path) || result.folders.insert(folder.path, tree).is_some() {
            return Err(wrong(format!("the result names the output `{path}` twice")));
        }
    }
    Ok(result)
}

/// The `Tree` message of a folder of outputs, and the `Directory` messages of the folders in it: the protocol does not ask
/// for them, but buildbox-casd takes a result for incomplete whose folders it does not have one by one.
fn tree_message(files: &BTreeMap<RelPath, CasDigest>) -> (Encoded, Vec<Encoded>) {
    let mut root = Folder::default();
    for (path, digest) in files {
        root.add(path, Input { digest: *digest, executable: false });
    }
    let mut folders = Folders::default();
    folders.write(root);
    // The root was written last; a folder below it cannot be equal to it.
    let root = folders.written.pop().map(|root| root.bytes);
    let children = folders.written.iter().rev().map(|child| child.bytes.clone()).collect();
    (Encoded::of(&Tree { root, children }), folders.written)
}

/// A `Tree` whose folders are still bytes: their digests are of these, whatever else a server may have written in them.
#[derive(Clone, PartialEq, Message)]
struct Tree {
    #[prost(bytes = "vec", optional, tag = "1")]
    root: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    children: Vec<Vec<u8>>,
}

/// The files of a `Tree` message.
pub(super) fn read_tree(bytes: &[u8]) -> Result<BTreeMap<RelPath, CasDigest>, Trouble> {
    let wrong = |what: String| Trouble::lasting(FailureKind::Wrong, format!("the folder's tree {what}"));
    let unreadable = |_| wrong("cannot be read".into());
    let tree = Tree::decode(bytes).map_err(unreadable)?;
    let children: BTreeMap<Sha256, &[u8]> =
        tree.children.iter().map(|child| (Sha256::of(child), child.as_slice())).collect();
    let mut files = BTreeMap::new();
    let mut left: Vec<(Option<RelPath>, &[u8])> = vec![(None, tree.root.as_deref().unwrap_or_default())];
    let mut folders = 0;
    while let Some((parent, bytes)) = left.pop() {
        folders += 1;
        let folder = reapi::Directory::decode(bytes).map_err(unreadable)?;
        if !folder.symlinks.is_empty() {
            return Err(wrong("holds symbolic links".into()));
        }
        let path = |name: &str| -> Result<RelPath, Trouble> {
            let bad = |e: &dyn std::fmt::Display| wrong(format!("holds the name `{}`: {e}", name.escape_debug()));
            if name.contains('/') {
                return Err(bad(&"a name holds no slash"));
            }
            let name = RelPath::new(name).map_err(|e| bad(&e))?;
            match &parent {
                // Joined paths may get too long, so they are checked once more.
                Some(parent) => RelPath::new(parent.join(&name).as_str()).map_err(|e| bad(&e)),
                None => Ok(name),
            }
        };
        for file in folder.files {
            let digest = read_digest(file.digest.as_ref())?;
            if files.insert(path(&file.name)?, digest).is_some() || files.len() > MAX_FILES {
                return Err(wrong(format!("holds `{}` twice, or too many files", file.name.escape_debug())));
            }
        }
        for child in folder.directories {
            let digest = read_digest(child.digest.as_ref())?;
            let Some(bytes) = children.get(&digest.sha256) else {
                return Err(wrong(format!("lacks its folder {digest}")));
            };
            // Folders that are named again and again could be many.
            if left.len() + folders > MAX_FOLDERS {
                return Err(wrong(format!("has more than {MAX_FOLDERS} folders")));
            }
            left.push((Some(path(&child.name)?), bytes));
        }
    }
    Ok(files)
}

/// A digest as the protocol has it.
pub(super) fn digest_message(digest: CasDigest) -> reapi::Digest {
    reapi::Digest { hash: digest.sha256.hex(), size_bytes: i64::try_from(digest.size).unwrap_or(i64::MAX) }
}

/// A digest that a server told.
pub(super) fn read_digest(told: Option<&reapi::Digest>) -> Result<CasDigest, Trouble> {
    let read = told.and_then(|told| {
        let sha256 = told.hash.parse().ok().filter(|_| told.hash.len() == 64)?;
        Some(CasDigest { sha256, size: told.size_bytes.try_into().ok()? })
    });
    read.ok_or_else(|| Trouble::lasting(FailureKind::Wrong, "the server names a blob by something that is no SHA-256"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use prost::Message as _;

    use super::{ActionMessages, read_tree, result_message, tree_message};
    use crate::base::RelPath;
    use crate::store::remote::{Action, ActionResult, CasDigest, Input, OutputFile, OutputFolder};

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn digest(hex: &str, size: u64) -> CasDigest {
        CasDigest { sha256: hex.parse().unwrap(), size }
    }

    fn files() -> BTreeMap<RelPath, CasDigest> {
        let same = CasDigest::of(b"same");
        BTreeMap::from([
            (path("in/é"), CasDigest::of(b"")),
            (path("in/twin/deep/one"), same),
            (path("in/.hidden/deep/one"), same),
            (path("in/a"), same),
            (path("in/Z"), same),
            (path("tool"), CasDigest::of(b"#!")),
        ])
    }

    /// The digests below were computed by Python's protobuf library over messages that were written by hand.
    #[test]
    fn messages_are_canonical() {
        let input = |(path, digest): (RelPath, CasDigest)| {
            let executable = path.as_str() == "tool";
            (path, Input { digest, executable })
        };
        let action = Action {
            arguments: vec!["./tool".into(), "run".into(), "--x".into()],
            environment: BTreeMap::from([("B".into(), String::new()), ("A".into(), "1".into())]),
            inputs: files().into_iter().map(input).collect(),
            output_paths: vec!["out/b".into(), "out/a".into(), "out/b".into()],
            platform: BTreeMap::from([("OSFamily".into(), "linux".into()), ("ISA".into(), "x86-64".into())]),
            salt: b"salt".to_vec(),
            timeout: Some(Duration::from_millis(90_500)),
        };
        let messages = ActionMessages::of(&action, "ns");
        let key = digest("607b3c769f6fb2ac4793b50a1eb617c0a83c5532b676f4b7a3add24fe151dbd6", 196);
        assert_eq!(messages.key, key);
        let written: Vec<CasDigest> = messages.blobs.iter().map(|blob| blob.digest).collect();
        let expected = [
            digest("821ac4a2b4c32ea10e64c6affe7401ffaa5af033faeff4296119b2465a6a4827", 77),
            digest("d6589eb2ae327422fcb2da02fa8979934655663bd6ecf93c0274953040ffcf18", 78),
            digest("72ac7bd7abcaf3d0fd9a8d54d7c5d6adb53de4b78dbd3a079e913e58b3e35bd8", 383),
            digest("7971447acfaf392539377715e3591f683ffe20068067ad946920f80b2f6b3978", 157),
            digest("5b2e977c441f74f0186266fa0cb0af2fb38a0cbcce03b53b072f12ab2bae2489", 81),
            key,
        ];
        assert_eq!(written, expected, "each folder once, below it those in it; the action last");
        for blob in &messages.blobs {
            assert_eq!(CasDigest::of(&blob.bytes), blob.digest);
        }

        let bare = Action { arguments: vec!["x".into()], ..Action::default() };
        let key = digest("f014c422081f3565eac914f4113d7da7d1dd379ac3941cba5d1792f8d111bde7", 138);
        assert_eq!(ActionMessages::of(&bare, "").key, key);
        assert_ne!(ActionMessages::of(&bare, "ns").key, key);
    }

    #[test]
    fn results_and_trees_are_canonical() {
        let tree = digest("438f55be0c635b20d1fb1d9cc3e264675ef21f229aecf772e84f7f0f049221d4", 703);
        let (message, folders) = tree_message(&files());
        assert_eq!((message.digest, folders.len()), (tree, 3));
        assert_eq!(read_tree(&message.bytes).unwrap(), files());
        let (empty, _) = tree_message(&BTreeMap::new());
        assert_eq!(empty.digest, digest("102b51b9765a56a3e899f7cf0ee38e5251f9c503b357b330a49183eb7b155604", 2));
        assert_eq!(read_tree(&empty.bytes).unwrap(), BTreeMap::new());

        let output = |bytes| OutputFile { digest: CasDigest::of(bytes), contents: Some(vec![1]) };
        let result = ActionResult {
            exit_code: 0,
            files: BTreeMap::from([("b/c".into(), output(b"#!")), ("a".into(), output(b"same"))]),
            folders: BTreeMap::from([("d".into(), OutputFolder::Files(files()))]),
            stderr: b"never kept".to_vec(),
        };
        let kept = digest("8c95bce67a94f8196e7acc93f962da617ac797ccab29c7b54aacd0758aaafa64", 228);
        assert_eq!(CasDigest::of(&result_message(&result).0.encode_to_vec()), kept);
        let told = ActionResult { folders: BTreeMap::from([("d".into(), OutputFolder::Tree(tree))]), ..result };
        assert_eq!(CasDigest::of(&result_message(&told).0.encode_to_vec()), kept);
    }
}
