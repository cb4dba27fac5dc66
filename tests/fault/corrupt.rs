//! Every region of what the program keeps for itself is damaged: it is made again, never trusted, never a crash.

use crate::campaign::{Campaign, is_long};
use crate::ground::{Ground, in_order};
use crate::space::files_below;

/// What may happen to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(usize),
    Cut(usize),
    Zero(usize),
    Insert(usize),
}

impl Damage {
    fn apply(self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        match self {
            Self::Flip(at) => bytes[at] ^= 1 << (at % 8),
            Self::Cut(at) => bytes.truncate(at),
            Self::Zero(at) => bytes[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
            Self::Insert(at) => bytes.splice(at..at, *b"\xff\0garbage").for_each(drop),
        }
        bytes
    }
}

fn damages(length: usize, stride: usize) -> Vec<Damage> {
    let places = (0..length).step_by(stride).chain(length.checked_sub(1));
    places.flat_map(|at| [Damage::Flip(at), Damage::Cut(at), Damage::Zero(at), Damage::Insert(at)]).collect()
}

fn is_index(path: &str) -> bool {
    path.ends_with("/index")
}

#[test]
fn the_index_and_the_cache() {
    let mut campaign = Campaign::new("corruption");
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    ground.space.run("build").ok();
    let cache = ground.space.outer("cache");
    let mut cases = Vec::new();
    let mut whole = std::collections::BTreeMap::new();
    for path in files_below(&cache) {
        let bytes = std::fs::read(cache.join(&path)).unwrap();
        // Blobs and results are many and of one form; there is one index, and all of its parts have forms of their own.
        let long = if is_index(&path) { 240 } else { 60 };
        let stride = (bytes.len() / if is_long() { long } else { 12 }).max(1);
        cases.extend(damages(bytes.len(), stride).into_iter().map(|damage| (path.clone(), damage)));
        whole.insert(path, bytes);
    }
    assert!(whole.keys().any(|path| is_index(path)) && whole.keys().any(|path| path.contains("/blobs/")));
    let mut cases = campaign.sample(cases, usize::MAX);
    cases.sort_by_key(|(path, _)| !is_index(path));
    if !is_long() {
        // Some of the index, and some of the rest.
        let index = cases.iter().filter(|(path, _)| is_index(path)).count();
        cases = [&cases[..index.min(20)], &cases[index..index + 40]].concat();
    }
    for (number, (path, damage)) in cases.into_iter().enumerate() {
        // The cache as it was, but for the damage.
        ground.drop_cache();
        for (path, bytes) in &whole {
            std::fs::create_dir_all(cache.join(path).parent().unwrap()).unwrap();
            std::fs::write(cache.join(path), bytes).unwrap();
        }
        std::fs::write(cache.join(&path), damage.apply(&whole[&path])).unwrap();
        match number % 3 {
            0 => ground.drop_outputs(),
            1 => ground.begin(&mut campaign),
            _ => {}
        }
        let ran = ground.space.run("build");
        let outcome = in_order(&ran, &[0]).and_then(|()| ground.is_built()).and_then(|()| ground.recovers());
        campaign.case(&format!("{damage:?} in `{path}`"), outcome);
    }
    campaign.finish();
}

/// An output that was damaged is restored; nobody believes its checksum file.
#[test]
fn the_outputs() {
    let mut campaign = Campaign::new("corruption, outputs");
    let ground = Ground::new("", 50_000);
    ground.space.run("build").ok();
    let mut cases = Vec::new();
    for (path, bytes) in ground.wanted() {
        let stride = (bytes.len() / if is_long() { 40 } else { 4 }).max(1);
        cases.extend(damages(bytes.len(), stride).into_iter().map(|damage| (path.clone(), damage)));
    }
    for (path, damage) in campaign.sample(cases, 30) {
        ground.space.write(&path, damage.apply(&ground.wanted()[&path]));
        let ran = ground.space.run("build");
        let outcome = in_order(&ran, &[0]).and_then(|()| ground.recovers());
        campaign.case(&format!("{damage:?} in `{path}`"), outcome);
    }
    campaign.finish();
}
