//! Profiles and what they inherit: from a name to the chain of tables, the strongest first.

use std::collections::BTreeMap;

use crate::base::codes::repo;
use crate::base::suggest;
use crate::base::{Diagnostic, Error, Result};
use crate::spec::expertfile::ProfileTable;
use crate::spec::origin::Origin;

/// What is wrong between the profiles: circles, and parents that do not exist.
pub fn check(profiles: &BTreeMap<String, ProfileTable>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (name, profile) in profiles {
        let Some(inherits) = &profile.inherits else { continue };
        if !profiles.contains_key(&inherits.value) {
            let message = format!("profile `{name}` inherits from `{}`, which does not exist", inherits.value);
            let mut finding = inherits.finding(&repo::EXPERTFILE_PROFILE, message);
            finding.help = Some(known(profiles, &inherits.value));
            found.push(finding);
        }
        let chain = walk(profiles, name);
        // Each circle is told once, from its first profile.
        let closed = chain.len() > 1 && chain.first() == chain.last();
        if closed && chain.iter().all(|other| *other >= name.as_str()) {
            let message = format!("profiles inherit in a circle: {}", chain.join(" → "));
            found.push(
                inherits.finding(&repo::EXPERTFILE_PROFILE, message).help("take one `inherits` out of the chain"),
            );
        }
    }
    found
}

/// The names from a profile on; ends before a name that does not exist or after one that was there already.
fn walk<'a>(profiles: &'a BTreeMap<String, ProfileTable>, from: &'a str) -> Vec<&'a str> {
    let mut chain = vec![from];
    while let Some(next) = chain.last().and_then(|last| profiles.get(*last)?.inherits.as_ref()) {
        let again = chain.contains(&next.value.as_str());
        if !profiles.contains_key(&next.value) {
            break;
        }
        chain.push(&next.value);
        if again {
            break;
        }
    }
    chain
}

/// The tables of a profile and of those it inherits from, which [`check`] found to be sound.
pub fn chain<'a>(
    profiles: &'a BTreeMap<String, ProfileTable>,
    name: &'a str,
    asked: &Origin,
) -> Result<Vec<&'a ProfileTable>> {
    if !profiles.contains_key(name) {
        return Err(Error::usage_help(format!("there is no profile `{name}` ({asked})"), known(profiles, name)));
    }
    Ok(walk(profiles, name).into_iter().filter_map(|name| profiles.get(name)).collect())
}

fn known(profiles: &BTreeMap<String, ProfileTable>, typed: &str) -> String {
    suggest::did_you_mean(typed, profiles.keys().map(String::as_str)).unwrap_or_else(|| {
        let names: Vec<String> = profiles.keys().map(|name| format!("`{name}`")).collect();
        if names.is_empty() {
            return "a profile is a table of Expertfile.toml: `[profile.ci]`".to_owned();
        }
        format!("the profiles are {}", names.join(", "))
    })
}
