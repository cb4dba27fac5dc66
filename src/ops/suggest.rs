//! What may be typed where experts are chosen: names, folders, tags and base models, for completion in shells.

use std::collections::BTreeMap;

use crate::base::RelPath;
use crate::ops::experts::Experts;
use crate::ops::workspace::Workspace;
use crate::spec::template::slug;
use crate::store::Index;

/// A selector, and a line about what it selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// What would be typed.
    pub text: String,
    /// What it stands for.
    pub about: String,
}

/// The selectors that begin like this: names and folders first, then tags, then base models. Folders are offered to who
/// types one; nothing is read but the index and manifests that it does not know.
pub fn selectors(workspace: &Workspace, typed: &str, threads: usize) -> Vec<Suggestion> {
    let (plus, typed) = typed.strip_prefix('+').map_or(("", typed), |rest| ("+", rest));
    let experts = Experts::of(workspace, &Index::load(&workspace.index), threads);
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut tags: BTreeMap<String, usize> = BTreeMap::new();
    let mut models: BTreeMap<String, usize> = BTreeMap::new();
    let is_path = typed.contains('/') || typed.starts_with('.');
    for (number, summary) in experts.summaries.iter().enumerate() {
        let folder = summary.folder.as_ref().map_or(".", RelPath::as_str);
        if is_path {
            let version = format!("{} {}", experts.name(number), summary.version);
            names.extend(from_here(workspace, folder, typed).map(|path| (path, version)));
            continue;
        }
        names.entry(experts.name(number).to_owned()).or_insert_with(|| match summary.version.as_str() {
            "" => folder.to_owned(),
            version => format!("{version}, in {folder}"),
        });
        for tag in &summary.tags {
            *tags.entry(format!("tag:{tag}")).or_default() += 1;
        }
        let own: std::collections::BTreeSet<String> = summary.models.iter().map(|m| slug(m)).collect();
        for model in own {
            *models.entry(format!("model:{model}")).or_default() += 1;
        }
    }
    let counted = |(text, count): (String, usize)| {
        let about = if count == 1 { "1 expert".to_owned() } else { format!("{count} experts") };
        (text, about)
    };
    let all = names.into_iter().chain(tags.into_iter().map(counted)).chain(models.into_iter().map(counted));
    let fitting = all.filter(|(text, _)| text.starts_with(typed));
    fitting.map(|(text, about)| Suggestion { text: format!("{plus}{text}"), about }).collect()
}

/// An expert's folder as one would type it where the user stands; `None` where it lies elsewhere.
fn from_here(workspace: &Workspace, folder: &str, typed: &str) -> Option<String> {
    let below = match &workspace.standing {
        None => folder,
        Some(standing) => folder.strip_prefix(standing.as_str())?.strip_prefix('/')?,
    };
    let lead = if typed.starts_with("./") { "./" } else { "" };
    Some(format!("{lead}{below}"))
}

/// The profiles of the Expertfile.
pub fn profiles(workspace: &Workspace) -> Vec<String> {
    let expertfile = workspace.repo.expertfile.iter();
    expertfile.flat_map(|file| file.profile.keys().cloned()).collect()
}
