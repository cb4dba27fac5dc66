//! `Task`: what another machine is asked for, as an action of the Remote Execution API.
//!
//! ```text
//! task.json           what is to be made, normalised: Task
//! expert/…            manifest and files of the expert, under their paths in its folder
//! configs/0.json …    config.json of base models, in the order of Task::configs
//! expert-build        the program, only where the action is executed
//! ```
//!
//! Two kinds: all files of an expert (asked first), and one big file alone (asked where the first is not there). Neither
//! knows a path on a disk, a host, a user, a time, or the program's own bytes: machines whose programs were compiled apart
//! share results as long as their recipe numbers agree. A signed expert asks for its files alone, and its key is in no
//! action.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, RelPath, Sha256};
use crate::engine::job::{Job, Open};
use crate::engine::key::RECIPES;
use crate::format::segment::{self, Codec, Compression};
use crate::store::remote::{Action, CasDigest, Input};

/// The folder of the expert's files.
pub const EXPERT: &str = "expert";
/// The folder of base models' configs, as seen from there.
const CONFIGS: &str = "configs";
/// The file that holds the task.
pub const TASK: &str = "task.json";
/// The program.
pub const PROGRAM: &str = "./expert-build";
/// Where the record of the result lies.
pub const RECORD: &str = "out/record";
/// The file of a task about one file.
pub const FILE: &str = "file";
/// The form of tasks and records.
const FORM: u32 = 2;

/// Where the packed bytes of the file of this number lie.
pub fn packed(number: usize) -> String {
    format!("out/files/{number}")
}

/// A task, as `task.json` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    form: u32,
    /// Recipe numbers: a program with others makes other bytes.
    recipes: BTreeMap<String, u32>,
    /// What is to be made.
    pub make: Make,
}

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Make {
    /// An expert's packed files, and its packages.
    Expert {
        /// The settings that decide what is in its packages, as an Expertfile for its folder.
        expertfile: String,
        /// `SOURCE_DATE_EPOCH`.
        epoch: Option<u64>,
        /// Are the packages told too? Those that are signed are made where the key is.
        packages: bool,
        /// Base models with a config.json, by name.
        configs: Vec<String>,
    },
    /// One file, packed.
    File {
        /// How.
        compression: Compression,
        /// How hard.
        level: u32,
    },
}

impl Task {
    fn new(make: Make, compression: Compression) -> Self {
        let mut recipes: BTreeMap<String, u32> = BTreeMap::from([("segments".to_owned(), segment::RECIPE)]);
        if compression == Compression::Zstd {
            recipes.insert("zstd library".to_owned(), segment::zstd_version());
        }
        match make {
            // Packing a file is told by the recipe of segments alone.
            Make::File { .. } => {}
            Make::Expert { .. } => recipes.extend(RECIPES.map(|(task, recipe)| (task.to_owned(), recipe))),
        }
        Self { form: FORM, recipes, make }
    }

    /// The task of this text; `None` where this program would make something else of it.
    pub fn read(text: &[u8]) -> Option<Self> {
        let task: Self = serde_json::from_slice(text).ok()?;
        let zstd = task.recipes.contains_key("zstd library");
        let compression = if zstd { Compression::Zstd } else { Compression::Gzip };
        (Self::new(task.make.clone(), compression) == task).then_some(task)
    }

    fn text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a task is plain data")
    }
}

/// The path of a config, below the working directory.
pub fn config(number: usize) -> String {
    format!("{CONFIGS}/{number}.json")
}

/// What distinguishes the actions of this repo from others', and what workers must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// `[cache.remote] namespace`.
    pub namespace: String,
    /// `[cache.remote] platform`.
    pub platform: BTreeMap<String, String>,
}

/// An action and the small messages among its inputs.
pub struct Asked {
    /// The action.
    pub action: Action,
    /// Inputs that lie nowhere on the disk.
    pub texts: Vec<Vec<u8>>,
    /// How many files it packs.
    pub files: usize,
}

impl Asked {
    fn new(task: &Task, inputs: BTreeMap<RelPath, Input>, files: usize, terms: &Terms) -> Option<Self> {
        let text = task.text();
        let mut action = Action {
            arguments: vec![PROGRAM.to_owned(), "remote-task".to_owned(), TASK.to_owned()],
            environment: BTreeMap::new(),
            inputs,
            output_paths: (0..files).map(packed).chain([RECORD.to_owned()]).collect(),
            platform: terms.platform.clone(),
            salt: terms.namespace.clone().into_bytes(),
            timeout: None,
        };
        // The protocol wants them sorted.
        action.output_paths.sort();
        action.inputs.insert(RelPath::new(TASK).ok()?, Input { digest: CasDigest::of(&text), executable: false });
        Some(Self { action, texts: vec![text], files })
    }

    /// For all files of an expert. `None` while a file was not hashed.
    pub fn expert(job: &Job, open: &Open, terms: &Terms) -> Option<Self> {
        let target = &job.target;
        let mut inputs = BTreeMap::new();
        let mut add = |path: String, sha256: Sha256, size: u64| -> Option<()> {
            inputs.insert(RelPath::new(path).ok()?, Input { digest: CasDigest { sha256, size }, executable: false });
            Some(())
        };
        let survey = &open.survey;
        let manifest = &survey.manifest_file.path;
        add(format!("{EXPERT}/{manifest}"), survey.manifest_sha256, survey.manifest_digest.size())?;
        for slot in &open.files {
            let (digest, sha256) = slot.digests()?;
            add(format!("{EXPERT}/{}", slot.path), sha256, digest.size())?;
        }
        let mut texts = Vec::new();
        let mut configs = Vec::new();
        for (number, (model, _, text)) in target.configs.iter().enumerate() {
            add(config(number), Sha256::of(text), text.len() as u64)?;
            texts.push(text.clone());
            configs.push((model.clone(), format!("../{}", config(number))));
        }
        let make = Make::Expert {
            expertfile: crate::spec::recipe(&target.expert, &configs),
            epoch: target.epoch,
            packages: target.signer.is_none(),
            configs: configs.into_iter().map(|(model, _)| model).collect(),
        };
        let task = Task::new(make, target.codec.compression);
        let mut asked = Self::new(&task, inputs, open.files.len(), terms)?;
        asked.texts.extend(texts);
        Some(asked)
    }

    /// For one file.
    pub fn file(digest: Digest, sha256: Sha256, codec: Codec, terms: &Terms) -> Option<Self> {
        let input = Input { digest: CasDigest { sha256, size: digest.size() }, executable: false };
        let make = Make::File { compression: codec.compression, level: codec.level };
        let inputs = BTreeMap::from([(RelPath::new(FILE).ok()?, input)]);
        // Where it runs is of no concern to one file's bytes.
        let terms = Terms { platform: BTreeMap::new(), ..terms.clone() };
        Self::new(&Task::new(make, codec.compression), inputs, 1, &terms)
    }

    /// The same, to be executed with this program.
    pub fn with_program(&self, program: CasDigest) -> Option<Action> {
        let mut action = self.action.clone();
        let path = RelPath::new(PROGRAM.trim_start_matches("./")).ok()?;
        action.inputs.insert(path, Input { digest: program, executable: true });
        Some(action)
    }
}
