//! Weight files by themselves: the header's faults, values that no trained adapter has, copies.

use std::collections::BTreeMap;

use crate::base::codes::{files, weights as codes};
use crate::base::{At, Code, Diagnostic};
use crate::check::adapter_groups::{list, name_modules, name_places};
use crate::check::adapter_observed::{AdapterKind, Module, Observed};
use crate::format::safetensors::{FaultKind, Fingerprint, Header, HeaderFault, ScanReport, shown};

/// Why the file at `path` was refused.
pub fn refused(path: &str, fault: &HeaderFault) -> Diagnostic {
    let message = &fault.malformed.what;
    let (code, help): (&'static Code, String) = match &fault.kind {
        FaultKind::LfsPointer(pointer) => {
            (&files::LFS_POINTER, format!("run `git lfs pull` to fetch the {} bytes, then build again", pointer.size))
        }
        FaultKind::Truncated => (&codes::SAFETENSORS_TRUNCATED, "fetch or export the file again".into()),
        FaultKind::Malformed => (&codes::SAFETENSORS_MALFORMED, "export the weights again with `save_file`".into()),
    };
    Diagnostic::new(code, message.clone()).in_file(path).at(At::Byte(fault.malformed.at)).help(help)
}

/// What is odd about a header that was read.
pub fn header(path: &str, header: &Header) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for warning in &header.warnings {
        let finding = Diagnostic::new(&codes::SAFETENSORS_UNUSUAL, warning.what.clone());
        found.push(finding.in_file(path).at(At::Byte(warning.at)).help("put notes into `__metadata__`, as strings"));
    }
    if header.tensors.is_empty() {
        let finding = Diagnostic::new(&codes::WEIGHTS_EMPTY, "the file holds no tensor");
        found.push(finding.in_file(path).help("check what was saved after training"));
    }
    found
}

/// What the scan of the values shows.
pub fn values(path: &str, header: &Header, observed: &Observed, report: &ScanReport) -> Vec<Diagnostic> {
    let file = Values { path, header, observed, report };
    let mut found = Vec::new();
    file.finite(&mut found);
    file.trained(&mut found);
    file.zeros(&mut found);
    found
}

struct Values<'a> {
    path: &'a str,
    header: &'a Header,
    observed: &'a Observed,
    report: &'a ScanReport,
}

impl Values<'_> {
    fn finding(&self, code: &'static Code, message: String, place: String, help: &str) -> Diagnostic {
        Diagnostic::new(code, message).in_file(self.path).at(At::Tensor(place)).help(help)
    }

    fn finite(&self, found: &mut Vec<Diagnostic>) {
        let odd = || {
            let tensors = self.header.tensors.iter().zip(&self.report.tensors);
            tensors.enumerate().filter(|(_, (_, scan))| scan.nan + scan.inf > 0)
        };
        let (mut nan, mut inf, mut count) = (0_u64, 0_u64, 0);
        for (_, (_, scan)) in odd() {
            nan += scan.nan;
            inf += scan.inf;
            count += 1;
        }
        let Some((_, (first, _))) = odd().next() else { return };
        let texts = [(nan, "NaN"), (inf, "infinite")].map(|(n, what)| (n > 0).then(|| format!("{n} {what}")));
        let what = list(&texts.into_iter().flatten().collect::<Vec<_>>());
        let values = if nan + inf == 1 { "value" } else { "values" };
        let (message, place) = if count == 1 {
            (format!("`{}` holds {what} {values}", shown(&first.name)), shown(&first.name))
        } else {
            let owner: BTreeMap<usize, &Module> = self
                .observed
                .modules
                .iter()
                .flat_map(|module| module.tensors.values().map(move |i| (*i, module)))
                .collect();
            let places = name_places(odd().map(|(i, (tensor, _))| match owner.get(&i) {
                Some(module) => (module.layer, module.name.as_str()),
                None => (None, &*tensor.name),
            }));
            (format!("{count} tensors hold {what} {values}: {places}"), places)
        };
        let help = "take a checkpoint from before the training diverged, or convert to bfloat16 instead of float16";
        found.push(self.finding(&codes::WEIGHTS_NOT_FINITE, message, place, help));
    }

    /// Is this module's effect what it was before training? `None` where that cannot be told.
    fn untouched(&self, module: &Module) -> Option<bool> {
        let tensors = || {
            module
                .tensors
                .iter()
                .filter_map(|(part, i)| Some((*part, self.report.tensors.get(*i)?, &self.header.tensors[*i])))
        };
        if module.kind == AdapterKind::Ia3 {
            let (_, scan, tensor) = tensors().find(|(part, ..)| *part == "ia3_l")?;
            let one: &[u8] = match tensor.dtype.to_string().as_str() {
                "F32" => &[0, 0, 0x80, 0x3f],
                "F16" => &[0, 0x3c],
                "BF16" => &[0x80, 0x3f],
                _ => return None,
            };
            return Some(scan.fingerprint == Fingerprint::repeated(one, tensor.elements()));
        }
        // Magnitudes scale, everything else is multiplied: one factor of zeros makes the product zero.
        let factor = |part: &str| !matches!(part, "lora_magnitude_vector" | "ranknum");
        Some(tensors().any(|(part, scan, _)| factor(part) && scan.zero))
    }

    fn trained(&self, found: &mut Vec<Diagnostic>) {
        let told: Vec<(&Module, bool)> =
            self.observed.modules.iter().filter_map(|module| Some((module, self.untouched(module)?))).collect();
        let untouched: Vec<&Module> = told.iter().filter(|(_, is)| *is).map(|(module, _)| *module).collect();
        let Some(first) = untouched.first() else { return };
        let (all, places) = (untouched.len() == told.len(), name_modules(untouched.iter().copied()));
        let what = match first.kind {
            AdapterKind::Ia3 => "every scale is 1",
            _ if untouched.iter().all(|module| self.zero(module, "lora_B")) => "every `lora_B` is zero",
            _ => "one factor of every product is zero",
        };
        let (code, message, help): (&'static Code, String, &str) = match first.kind {
            AdapterKind::Lokr | AdapterKind::Loha => (
                &codes::ADAPTER_FACTOR_ZERO,
                format!("{places}: {what}, so these modules change nothing"),
                "if the adapter should do something, package the trained weights",
            ),
            _ if all => (
                &codes::ADAPTER_UNTRAINED,
                format!("{what}: the adapter does nothing ({places})"),
                "package the weights as they were after training",
            ),
            // AdaLoRA may prune all of a module's rank away.
            AdapterKind::Adalora => return,
            _ => (
                &codes::ADAPTER_MODULE_UNTRAINED,
                format!("{places}: {what}, so these modules change nothing"),
                "take them out of `target_modules` and of the weights, or find out why they were not trained",
            ),
        };
        found.push(self.finding(code, message, places, help));
    }

    fn zero(&self, module: &Module, part: &str) -> bool {
        module.tensors.get(part).and_then(|i| self.report.tensors.get(*i)).is_some_and(|scan| scan.zero)
    }

    /// What scales or is put in place must not be zero.
    fn zeros(&self, found: &mut Vec<Diagnostic>) {
        let help = "export the weights again; look for a failed conversion";
        for part in ["lora_magnitude_vector", "ia3_l"] {
            let zero: Vec<&Module> = self.observed.modules.iter().filter(|module| self.zero(module, part)).collect();
            if !zero.is_empty() {
                let places = name_modules(zero);
                let message = format!("{places}: `{part}` is all zeros, which erases the module's output");
                found.push(self.finding(&codes::WEIGHTS_ALL_ZERO, message, places, help));
            }
        }
        let tensors = self.header.tensors.iter().zip(&self.report.tensors);
        for (tensor, _) in tensors.filter(|(tensor, scan)| scan.zero && tensor.name.ends_with("prompt_embeddings")) {
            let message = format!("`{}` is all zeros", shown(&tensor.name));
            found.push(self.finding(&codes::WEIGHTS_ALL_ZERO, message, shown(&tensor.name), help));
        }
    }
}

/// A weight file of the repo, to be compared with the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The expert.
    pub expert: String,
    /// The base model it is for.
    pub model: Option<String>,
    /// The weight file, relative to the expert.
    pub path: String,
    /// [`ScanReport::fingerprint`]; files without tensors are best left out.
    pub fingerprint: Fingerprint,
}

/// Adapters that were meant to differ and do not: one finding at each later one.
pub fn copies(all: &[Copied]) -> Vec<Diagnostic> {
    let mut first: BTreeMap<Fingerprint, &Copied> = BTreeMap::new();
    let mut found = Vec::new();
    for copied in all {
        let Some(original) = first.get(&copied.fingerprint) else {
            first.insert(copied.fingerprint, copied);
            continue;
        };
        if (&original.expert, &original.model) == (&copied.expert, &copied.model) {
            continue;
        }
        let what = match (&copied.model, &original.model) {
            (Some(mine), Some(theirs)) if original.expert == copied.expert => {
                format!("the tensors for `{mine}` are those for `{theirs}` (`{}`)", original.path)
            }
            _ => format!("the tensors are those of `{}` (`{}`)", original.expert, original.path),
        };
        let mut finding = Diagnostic::new(&codes::WEIGHTS_COPY, what).in_file(copied.path.clone());
        finding.expert = Some(copied.expert.clone());
        found.push(finding.help("package each with its own weights"));
    }
    found
}
