//! `remote-task`: what a worker of a remote cache does: the task in its working directory, and nothing outside of it.
//!
//! An expert is built there as anywhere: validated, hashed, packed, put together; then its packed files and their record
//! are left where the action says. Of one that is wrong, the record has what was found, and nothing is packed. No home, no user's configuration, no variable and no network take part, and the cache is
//! a folder of the working directory.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::base::event::Observer;
use crate::base::{Digest, Error, RelPath, Result, Sha256};
use crate::engine::files::Packed;
use crate::engine::job::Open;
use crate::engine::remote::record::{Adding, Record};
use crate::engine::remote::task::{EXPERT, FILE, Make, RECORD, Task, packed};
use crate::format::segment::{Codec, Compression, Packer, SEGMENT};
use crate::ops::build::{Options, Report, build_each};
use crate::ops::workspace::{Setup, Workspace};
use crate::spec::Request;
use crate::store::{Cache as _, Output, fs, output};

/// The folder for all that is not a result.
const WORK: &str = "work";
/// No task's text is longer.
const MOST: u64 = 16 << 20;

/// Does the task of a file in a working directory, with so many threads. An expert that is wrong is a result.
pub fn remote_task(
    directory: &Path,
    task: &Path,
    threads: usize,
    cancel: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Report> {
    let directory = fs::canonical(directory)?;
    let path = directory.join(task);
    let (text, _) =
        fs::read(&path, MOST)?.ok_or_else(|| Error::usage(format!("there is no task at `{}`", path.display())))?;
    let task = Task::read(&text).ok_or_else(|| {
        Error::usage_help(
            format!("`{}` is no task that this version does", path.display()),
            "whoever asks and the worker need programs with the same recipes: `--remote-exec-binary` names the worker's",
        )
    })?;
    match task.make {
        Make::Expert { expertfile, epoch, packages, .. } => {
            let workspace = Workspace::given(setup(&directory, epoch), &directory.join(EXPERT), &expertfile)?;
            let options = Options { jobs: threads, whole: true, ..Options::default() };
            let left = |open: &Open| leave(&directory, &workspace, open, packages);
            let report = build_each(&workspace, &[0], &options, cancel, observer, Some(&mut |_, open| left(open)))?;
            // To find it wrong is a result, too: whoever asked looks at it then, and packs nothing.
            if let Some((_, Error::Invalid(found))) = report.failed.first() {
                output::write(&result(&directory, RECORD), &Record::refused(found).encode())?;
                return Ok(Report::default());
            }
            Ok(report)
        }
        Make::File { compression, level } => file(&directory, compression, level).map(|()| Report::default()),
    }
}

fn setup(directory: &Path, epoch: Option<u64>) -> Setup {
    let work = directory.join(WORK);
    let mut request = Request::default().flag("remote-task", "out-dir", &work.join("packages").to_string_lossy()).flag(
        "remote-task",
        "sign",
        "off",
    );
    request.env.extend(epoch.map(|epoch| ("SOURCE_DATE_EPOCH".to_owned(), epoch.to_string())));
    Setup {
        directory: directory.to_path_buf(),
        config_dir: work.join("config"),
        cache_dir: work.join("cache"),
        request,
        offline: Some("--offline"),
        ..Setup::default()
    }
}

/// Leaves the results of an expert that is built.
fn leave(directory: &Path, workspace: &Workspace, open: &Open, packages: bool) -> Result<()> {
    let mut record = Record::default();
    for (number, slot) in open.files.iter().enumerate() {
        let made = slot.packed().ok_or_else(|| Error::Bug(format!("`{}` was not packed", slot.path)))?;
        let adding = Adding::of(slot, &made).ok_or_else(|| Error::Bug(format!("`{}` was not hashed", slot.path)))?;
        let read = |home: &Digest| -> Option<Vec<u8>> {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut workspace.cache.blob(home).ok()??, &mut bytes).ok()?;
            Some(bytes)
        };
        let Packed::Blob(home, _) = &*made else {
            record.add(&adding, || None);
            continue;
        };
        if !record.add(&adding, || read(home)) {
            let path = result(directory, &packed(number));
            let mut blob = workspace
                .cache
                .blob(home)?
                .ok_or_else(|| Error::io("read", &path, std::io::Error::other("the cache has lost it")))?;
            let mut output = Output::create(&path)?;
            copy(&mut blob, &path, &mut |bytes| output.write(bytes))?;
            output.commit().map(drop)?;
        }
    }
    if packages {
        record.add_packages(open).ok_or_else(|| Error::Bug("a package is not in its place".into()))?;
    }
    output::write(&result(directory, RECORD), &record.encode())
}

/// Packs one file.
fn file(directory: &Path, compression: Compression, level: u32) -> Result<()> {
    let codec = Codec::new(compression, Some(level)).map_err(Error::usage)?;
    let path = directory.join(FILE);
    let (mut source, _) = fs::open(&path)?;
    let mut packer = Packer::new(codec);
    let (mut segments, mut bytes) = (Vec::new(), Vec::new());
    let (mut hash, mut chunk) = (blake3::Hasher::new(), Vec::with_capacity(SEGMENT));
    let target = result(directory, &packed(0));
    let mut output = Output::create(&target)?;
    let mut pack = |chunk: &[u8]| -> Result<()> {
        bytes.clear();
        segments.push(packer.pack(chunk, &mut bytes));
        hash.update(&bytes);
        output.write(&bytes)
    };
    copy(&mut source, &path, &mut |mut bytes| {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at((SEGMENT - chunk.len()).min(bytes.len()));
            chunk.extend_from_slice(now);
            bytes = later;
            if chunk.len() == SEGMENT {
                pack(&chunk)?;
                chunk.clear();
            }
        }
        Ok(())
    })?;
    if !chunk.is_empty() {
        pack(&chunk)?;
    }
    output.commit().map(drop)?;
    let sha256: Sha256 = fs::sha256(&path)?;
    let made = Packed::Blob(Digest::new(*hash.finalize().as_bytes(), hash.count()), segments);
    let mut record = Record::default();
    record.add(&Adding { sha256, packed: &made, took_us: 0 }, || None);
    output::write(&result(directory, RECORD), &record.encode())
}

fn result(directory: &Path, path: &str) -> PathBuf {
    RelPath::new(path).map_or_else(|_| directory.join(path), |path| path.under(directory))
}

fn copy(from: &mut impl std::io::Read, name: &Path, into: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; SEGMENT];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => into(&buffer[..count])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", name, e)),
        }
    }
}
