//! `Space`: a folder with tiny experts, a cache of its own, and the library's verbs on them.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use expert_build::base::{Error, Event};
use expert_build::ops::build::{Options, Report, build};
use expert_build::ops::workspace::{Setup, Workspace};
use expert_build::spec::Request;

pub struct Space {
    dir: tempfile::TempDir,
    pub request: Request,
}

impl Space {
    /// A repo with this Expertfile.
    pub fn new(expertfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let space = Self { dir, request: Request::default() };
        space.write("Expertfile.toml", expertfile.as_bytes());
        space
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// An expert with weights of this seed: LoRA of rank 2 on one module.
    pub fn expert(&self, folder: &str, name: &str, seed: u8, requires: &[&str]) {
        self.manifest(folder, name, "1.0.0", requires);
        self.write(&format!("{folder}/README.md"), format!("# {name}\n").as_bytes());
        self.write(&format!("{folder}/weights/adapter_model.safetensors"), &weights(seed));
    }

    pub fn manifest(&self, folder: &str, name: &str, version: &str, requires: &[&str]) {
        let manifest = serde_json::json!({
            "name": name, "version": version, "description": "a tiny one",
            "base_model": { "name": "tiny-qwen3" },
            "adapters": [{ "type": "lora", "path": "weights/adapter_model.safetensors", "r": 2, "alpha": 4, "target_modules": ["q_proj"] }],
            "constraints": { "requires": requires },
        });
        self.write(&format!("{folder}/manifest.json"), manifest.to_string().as_bytes());
    }

    /// Where everything is.
    pub fn setup(&self) -> Setup {
        Setup {
            directory: std::fs::canonicalize(self.root()).unwrap(),
            home: None,
            config_dir: self.dir.path().join("config"),
            cache_dir: self.dir.path().join("cache"),
            request: self.request.clone(),
        }
    }

    pub fn open_at(&self, below: &str) -> Workspace {
        let setup = self.setup();
        let directory = setup.directory.join(below);
        Workspace::open(Setup { directory, ..setup }).unwrap_or_else(|e| panic!("{e}: {:?}", e.diagnostics()))
    }

    pub fn open(&self) -> Workspace {
        self.open_at("")
    }

    pub fn try_build(&self, options: &Options) -> (Result<Report, Error>, Vec<Event>) {
        let workspace = self.open();
        let all: Vec<usize> = (0..workspace.repo.experts.len()).collect();
        let mut events = Vec::new();
        let report = build(&workspace, &all, options, &AtomicBool::new(false), &mut events);
        (report, events)
    }

    /// Builds all; nothing may fail.
    pub fn build(&self) -> Report {
        // Times of files that are written now must differ from those that the index has seen.
        let tick = || std::thread::sleep(std::time::Duration::from_millis(30));
        tick();
        let (report, _) = self.try_build(&options());
        let report = report.unwrap_or_else(|e| panic!("{e}: {:?}", e.diagnostics()));
        let failed: Vec<_> =
            report.failed.iter().map(|(name, e)| format!("{name}: {e} {:?}", e.diagnostics())).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        tick();
        report
    }

    /// Files below the root with these bytes.
    pub fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

/// Two threads, nothing special.
pub fn options() -> Options {
    Options { jobs: 2, keep_going: true, ..Options::default() }
}

/// A safetensors file of a LoRA of rank 2 whose values depend on the seed.
pub fn weights(seed: u8) -> Vec<u8> {
    let name = |part: &str| format!("base_model.model.model.layers.0.self_attn.q_proj.lora_{part}.weight");
    let header = serde_json::json!({
        name("A"): { "dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32] },
        name("B"): { "dtype": "F32", "shape": [4, 2], "data_offsets": [32, 64] },
    });
    let mut header = header.to_string().into_bytes();
    while !header.len().is_multiple_of(8) {
        header.push(b' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    for at in 0..16_u16 {
        file.extend((f32::from(at) + f32::from(seed) / 7.0 + 0.5).to_le_bytes());
    }
    file
}

/// Sets a file's times without a change of content.
pub fn touch(path: &Path) {
    let file = std::fs::File::options().append(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5)).unwrap();
}
