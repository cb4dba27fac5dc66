//! Flag > variable > profile > expert > `[defaults]` > user config > built in.

use expert_build::spec::{Request, resolve, show};
use proptest::prelude::*;

use crate::tree::Tree;

/// The layers, the strongest first.
const LAYERS: [&str; 7] = ["flag", "variable", "profile", "parent", "expert", "defaults", "user config"];

/// A repo in which the layers with `true` set `level` to their number and from 1 and say what to do with `tags`.
fn repo(level: [bool; 7], tags: [Option<bool>; 7]) -> (Tree, Request) {
    let lines = |layer: usize| {
        let mut lines = String::new();
        if level[layer] {
            lines += &format!("level = {}\n", layer + 1);
        }
        if let Some(extend) = tags[layer] {
            lines += &format!("{}tags = ['{}']\n", if extend { "extend-" } else { "" }, LAYERS[layer]);
        }
        lines
    };
    let text = format!(
        "[defaults]\n{}[[expert]]\n{}[profile.child]\ninherits = 'parent'\n{}[profile.parent]\n{}",
        lines(5),
        lines(4),
        lines(2),
        lines(3)
    );
    let mut request = Request {
        profile: Some("child".into()),
        user_config: Some(("config.toml".into(), format!("[defaults]\n{}", lines(6)))),
        ..Request::default()
    };
    let key = |extend: bool| if extend { "extend-tags" } else { "tags" };
    if level[0] {
        request = request.flag("--level", "level", "1");
    }
    if let Some(extend) = tags[0] {
        request = request.flag("--tags", key(extend), "flag");
    }
    if level[1] {
        request.env.insert("EXPERT_BUILD_LEVEL".into(), "2".into());
    }
    if let Some(extend) = tags[1] {
        let name = format!("EXPERT_BUILD_{}", key(extend).to_uppercase().replace('-', "_"));
        request.env.insert(name, "variable".into());
    }
    (Tree::with(&text, &["."]), request)
}

proptest! {
    #[test]
    fn the_strongest_layer_wins(level: [bool; 7]) {
        let (tree, request) = repo(level, [None; 7]);
        let repo = resolve(&tree, &request).unwrap();
        let found = &repo.experts[0].level;
        match level.iter().position(|set| *set) {
            Some(layer) => {
                prop_assert_eq!(found.value, layer as u32 + 1);
                prop_assert!(found.origin.to_string().contains(LAYERS[layer]), "{}", found.origin);
            }
            None => prop_assert_eq!((found.value, found.origin.to_string()), (6, "built in".to_owned())),
        }
    }

    #[test]
    fn lists_replace_and_extend(tags: [Option<bool>; 7]) {
        let (tree, request) = repo([false; 7], tags);
        let repo = resolve(&tree, &request).unwrap();
        let mut expected: Vec<&str> = Vec::new();
        for (layer, extend) in tags.iter().enumerate().rev() {
            match extend {
                Some(false) => expected = vec![LAYERS[layer]],
                Some(true) => expected.push(LAYERS[layer]),
                None => {}
            }
        }
        let found = &repo.experts[0].tags.value;
        prop_assert_eq!(found.iter().map(|tag| tag.value.as_str()).collect::<Vec<_>>(), expected);
        for tag in found {
            prop_assert!(tag.origin.to_string().contains(&tag.value), "{} {}", tag.value, tag.origin);
        }
    }

    /// What `config` prints is an Expertfile that means the same.
    #[test]
    fn shown_settings_mean_the_same(level: [bool; 7], tags: [Option<bool>; 7], origins: bool) {
        let (tree, request) = repo(level, tags);
        let first = resolve(&tree, &request).unwrap();
        let again = Tree::with(&show(&first, origins), &["."]).resolve().unwrap();
        prop_assert_eq!(values(&again), values(&first));
    }
}

fn values(repo: &expert_build::spec::Repo) -> Vec<(String, String)> {
    repo.rows().into_iter().map(|row| (row.key, row.value)).collect()
}

#[test]
fn the_reference_shown_means_the_same() {
    let first = Tree::with(crate::resolve::REFERENCE, &["experts/sql", "experts/css"]).resolve().unwrap();
    let again = Tree::with(&show(&first, false), &["experts/sql", "experts/css"]).resolve().unwrap();
    assert_eq!(values(&again), values(&first));
    assert!(first.rows().iter().all(|row| !row.doc.is_empty()), "every key has its description");
}

#[test]
fn an_empty_variable_is_none() {
    let env = [("EXPERT_BUILD_KEY".to_owned(), String::new()), ("EXPERT_BUILD_LEVEL".to_owned(), String::new())];
    let request = Request { env: env.into(), ..Request::default() };
    let repo = resolve(&Tree::new(&[], &["."]), &request).unwrap();
    assert_eq!(repo.experts[0].level.origin.to_string(), "built in");
}

#[test]
fn the_profile_may_come_from_a_variable() {
    let env = [("EXPERT_BUILD_PROFILE".to_owned(), "ci".to_owned())];
    let request = Request { env: env.into(), ..Request::default() };
    let repo = resolve(&Tree::with("[profile.ci]\nlevel = 1\n", &["."]), &request).unwrap();
    assert_eq!(repo.experts[0].level.origin.to_string(), "profile `ci` at Expertfile.toml:2");
    assert_eq!(repo.profile.unwrap().origin.to_string(), "variable `EXPERT_BUILD_PROFILE`");
}

#[test]
fn tables_merge_deeply() {
    let text = "\
[defaults]
model.Q.slug = 'q'
model.Q.config = 'q.json'
lints = { preset = 'strict', load-order = 'allow' }
[[expert]]
model.Q.slug = 'own'
lints = { load-order = 'deny' }
";
    let repo = Tree::with(text, &["."]).resolve().unwrap();
    let rows: Vec<String> = repo
        .rows()
        .into_iter()
        .filter(|row| row.key.starts_with("model") || row.key.starts_with("lints"))
        .map(|row| format!("{} = {} # {}", row.key, row.value, row.origin))
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r#"
    models = "all" # built in
    lints.preset = "strict" # defaults at Expertfile.toml:4
    lints.load-order = "deny" # expert at Expertfile.toml:7
    model.Q.slug = "own" # expert at Expertfile.toml:6
    model.Q.config = "q.json" # defaults at Expertfile.toml:3
    "#);
}

#[test]
fn what_config_shows() {
    let text = "\
[workspace]
members = ['experts/*']
out-dir = 'dist'
[defaults]
exclude = [
  '*.tmp',
  '*.bak',
]
[[expert]]
path = 'experts/sql'
extend-exclude = ['notes']
key = { env = 'KEY' }
[cache.remote]
url = 'grpcs://cache.example.com'
";
    let request = Request::default().flag("--strict", "lints.preset", "strict");
    let repo = resolve(&Tree::with(text, &["experts/sql"]), &request).unwrap();
    insta::assert_snapshot!(show(&repo, true), @r#"
    expertfile = 1

    [workspace]
    members = ["experts/*"]                   # workspace at Expertfile.toml:2
    out-dir = "dist"                          # workspace at Expertfile.toml:3

    [cache]
    dir = "auto"                              # built in
    max-size = "20GiB"                        # built in
    max-age = "90 days"                       # built in
    remote.url = "grpcs://cache.example.com"  # cache at Expertfile.toml:14
    remote.read = true                        # built in
    remote.write = "ci"                       # built in
    remote.on-error = "warn"                  # built in
    remote.timeout = "30s"                    # built in
    remote.download = "all"                   # built in
    remote.exec = false                       # built in
    remote.jobs = 16                          # built in

    [[expert]]
    path = "experts/sql"                      # expert at Expertfile.toml:9
    manifest = "manifest.json"                # built in
    models = "all"                            # built in
    include = []                              # built in
    exclude = ["*.tmp", "*.bak", "notes"]     # defaults at Expertfile.toml:5, expert at Expertfile.toml:11
    tests = false                             # built in
    tags = []                                 # built in
    compression = "gzip"                      # built in
    level = 6                                 # built in
    out-dir = "dist"                          # workspace at Expertfile.toml:3
    sign = "auto"                             # built in
    key = { env = "KEY" }                     # expert at Expertfile.toml:12
    lints.preset = "strict"                   # flag `--strict`
    "#);
}
