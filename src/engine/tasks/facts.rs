//! `Facts`: what `validate` reads of each file before anything big is read: headers, small files, nothing else.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use crate::base::{Diagnostic, RelPath, Result};
use crate::check::adapter_observed::Observed;
use crate::check::{companions, grammar, soft_prompt, tensors};
use crate::engine::files::FileSlot;
use crate::engine::layout::Role;
use crate::engine::survey::SMALL;
use crate::engine::tasks::Context;
use crate::engine::tasks::hash::read_at;
use crate::format::adapter_config::AdapterConfig;
use crate::format::safetensors::{Header, Scan, is_lfs_pointer};
use crate::format::torch::{self, TorchFile};
use crate::format::{json, safetensors};

/// A weights file by its header.
#[derive(Debug)]
pub struct WeightsFact {
    /// The header.
    pub header: Header,
    /// The adapter that it shows.
    pub observed: Observed,
}

/// An adapter_config.json.
#[derive(Debug)]
pub struct ConfigFact {
    /// Its text.
    pub text: Arc<str>,
    /// What it says.
    pub config: AdapterConfig,
}

/// What was read, by source path.
#[derive(Debug, Default)]
pub struct Facts {
    /// Weights.
    pub weights: BTreeMap<RelPath, WeightsFact>,
    /// Torch files.
    pub torch: BTreeMap<RelPath, TorchFile>,
    /// PEFT's configurations.
    pub configs: BTreeMap<RelPath, ConfigFact>,
    /// Licence texts.
    pub licences: Vec<(RelPath, Arc<Vec<u8>>)>,
    /// Tokens of each tokenizer.json.
    pub tokens: BTreeMap<RelPath, u64>,
}

impl Facts {
    /// Reads what is to be known of a file, and tells what is wrong with it. Returns the bytes read.
    pub fn read(&mut self, slot: &FileSlot, context: &Context<'_>, found: &mut Vec<Diagnostic>) -> Result<u64> {
        let path = slot.path.as_str();
        let companion = matches!(slot.role, Role::Json) && slot.stat.size > SMALL;
        if companion && let Some(tokens) = slot.digest().and_then(|digest| context.companion(digest, &slot.path)) {
            self.tokens.extend(tokens.map(|tokens| (slot.path.clone(), tokens)));
            return Ok(0);
        }
        if slot.is_small() {
            let (bytes, read) = slot.content()?;
            if let Some(pointer) = is_lfs_pointer(&bytes) {
                found.push(lfs(path, pointer.size));
                return Ok(read);
            }
            let before = found.len();
            self.small(slot, &bytes, found);
            if let Some(digest) = slot.digest().filter(|_| companion && found.len() == before) {
                context.found_good(digest, &slot.path, self.tokens.get(&slot.path).copied());
            }
            return Ok(read);
        }
        match &slot.role {
            Role::Weights(_) => self.big_weights(slot, found),
            Role::SoftPrompt(_) => {
                let (mut file, stat) = slot.open()?;
                self.torch(slot, torch::read(&mut file, stat.size), found);
                Ok(0)
            }
            Role::Json | Role::AdapterConfig => {
                let (file, stat) = slot.open()?;
                found.extend(companions::walk(std::io::BufReader::new(file), path));
                Ok(stat.size)
            }
            Role::Other => {
                let (mut file, stat) = slot.open()?;
                let head =
                    read_at(&file, 0, torch::HEAD.min(stat.size as usize), &slot.disk()).map_err(|e| slot.blame(e))?;
                if torch::is_pickled(path, &head) {
                    found.extend(torch::read(&mut file, stat.size).err().map(|fault| unpickled(&fault, slot)));
                }
                Ok(0)
            }
            Role::Grammar | Role::Licence | Role::Named => Ok(0),
        }
    }

    fn small(&mut self, slot: &FileSlot, bytes: &Arc<Vec<u8>>, found: &mut Vec<Diagnostic>) {
        let path = slot.path.as_str();
        match &slot.role {
            Role::Weights(_) => {
                let length = bytes.len() as u64;
                let header = Header::len_needed(&bytes[..bytes.len().min(8)], length)
                    .and_then(|needed| Header::parse(&bytes[..needed.min(bytes.len())], length));
                if let Ok(header) = &header {
                    let mut scan = Scan::new(header);
                    scan.feed(0, bytes);
                    if let Ok(report) = scan.finish(header) {
                        let _ = slot.scan.set(report.into());
                    }
                }
                self.weights(slot, header, found);
            }
            Role::SoftPrompt(_) => {
                let length = bytes.len() as u64;
                self.torch(slot, torch::read(&mut Cursor::new(&bytes[..]), length), found);
            }
            Role::AdapterConfig => match json::parse(bytes) {
                Ok(value) => {
                    let text: Arc<str> = String::from_utf8_lossy(bytes).into();
                    let config = AdapterConfig::read(value);
                    self.configs.insert(slot.path.clone(), ConfigFact { text, config });
                }
                Err(fault) => found.push(fault.finding(bytes, path)),
            },
            Role::Json => {
                let companion = companions::read(bytes, path);
                found.extend(companion.found);
                if let Some(tokens) = companion.tokens {
                    self.tokens.insert(slot.path.clone(), tokens);
                }
            }
            Role::Grammar => found.extend(grammar::check(bytes, path)),
            Role::Licence => self.licences.push((slot.path.clone(), Arc::clone(bytes))),
            Role::Other if torch::is_pickled(path, bytes) => {
                let length = bytes.len() as u64;
                found.extend(
                    torch::read(&mut Cursor::new(&bytes[..]), length).err().map(|fault| unpickled(&fault, slot)),
                );
            }
            Role::Other | Role::Named => {}
        }
    }

    fn big_weights(&mut self, slot: &FileSlot, found: &mut Vec<Diagnostic>) -> Result<u64> {
        let (file, stat) = slot.open()?;
        let head = read_at(&file, 0, 8, &slot.disk()).map_err(|e| slot.blame(e))?;
        let mut read = 8;
        let header = match Header::len_needed(&head, stat.size) {
            Ok(needed) => {
                read = needed as u64;
                Header::parse(&read_at(&file, 0, needed, &slot.disk()).map_err(|e| slot.blame(e))?, stat.size)
            }
            Err(fault) => Err(fault),
        };
        self.weights(slot, header, found);
        Ok(read)
    }

    fn weights(
        &mut self,
        slot: &FileSlot,
        header: std::result::Result<Header, safetensors::HeaderFault>,
        found: &mut Vec<Diagnostic>,
    ) {
        match header {
            Ok(header) => {
                found.extend(tensors::header(slot.path.as_str(), &header));
                let observed = Observed::new(&header);
                self.weights.insert(slot.path.clone(), WeightsFact { header, observed });
            }
            Err(fault) => found.push(tensors::refused(slot.path.as_str(), &fault)),
        }
    }

    fn torch(
        &mut self,
        slot: &FileSlot,
        file: std::result::Result<TorchFile, torch::TorchFault>,
        found: &mut Vec<Diagnostic>,
    ) {
        match file {
            Ok(file) => {
                found.extend(soft_prompt::oddities(&file, &slot.path));
                self.torch.insert(slot.path.clone(), file);
            }
            Err(fault) => found.push(soft_prompt::from_fault(&fault, &slot.path)),
        }
    }
}

/// A file that is nobody's weights and that Python would unpickle all the same.
fn unpickled(fault: &torch::TorchFault, slot: &FileSlot) -> Diagnostic {
    let found = soft_prompt::from_fault(fault, &slot.path);
    found.help("leave it out, or name the file itself in `include`, without wildcards, if its receivers may load it")
}

fn lfs(path: &str, size: u64) -> Diagnostic {
    Diagnostic::new(&crate::base::codes::files::LFS_POINTER, "the file is a Git LFS pointer, not its content")
        .in_file(path)
        .help(format!("run `git lfs pull` to fetch the {size} bytes, then build again"))
}
