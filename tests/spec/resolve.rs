//! What Expertfiles mean.

#![allow(clippy::disallowed_methods, reason = "tests own their effects")]

use expert_build::base::{Level, Preset, RelPath};
use expert_build::spec::{Compression, KeySource, Naming, Request, Setting, Sign, resolve};

use crate::tree::{Tree, told};

/// The reference of the documentation, with every key.
pub const REFERENCE: &str = r#"#:schema https://example.com/expertfile.schema.json
expertfile = 1
required-version = ">=0.1"

[workspace]
members = ["experts/*"]
exclude = ["experts/_template"]
default-members = ["experts/*"]
out-dir = "dist"
externals = { "english-basic" = "1.4.0" }

[defaults]
compression = "zstd"
extend-tags = ["all"]

[[expert]]
path = "experts/sql"
manifest = "manifest.json"
weights = "weights/{model}"
models = "all"
include = ["docs/**"]
exclude = []
tests = false
tags = ["db", "prod"]
compression = "gzip"
level = 6
name = "{name}-{model}.v{version}.expert"
sign = "auto"
key = "~/.config/expert-build/publisher.pem"
publisher = "hivellm"
budget = "80MiB"
growth = "25%"
[expert.model."Qwen3-0.6B"]
slug = "qwen"
config = "models/Qwen3-0.6B/config.json"
[expert.lints]
"weights-not-finite" = "deny"
preset = "minimal"

[cache]
dir = "auto"
max-size = "20GiB"
max-age = "30 days"
[cache.remote]
url = "grpcs://cache.example.com"
instance = "experts"
read = true
write = "ci"
on-error = "warn"
headers = { authorization = { env = "CACHE_TOKEN", prefix = "Bearer " } }

[profile.ci]
lints.preset = "strict"
sign = "required"
cache.remote.write = "always"
"#;

fn reference() -> Tree {
    Tree::with(REFERENCE, &["experts/sql", "experts/css", "experts/_template"])
}

#[test]
fn the_reference_of_the_documentation() {
    let repo = reference().resolve().unwrap_or_else(|e| panic!("{}", told(&e)));
    let labels: Vec<&str> = repo.experts.iter().map(|e| e.label()).collect();
    assert_eq!(labels, ["experts/css", "experts/sql"]);
    assert_eq!(repo.defaults(), [0, 1]);
    let [css, sql] = &repo.experts[..] else { panic!() };

    assert_eq!((css.compression.value, css.level.value), (Compression::Zstd, 3));
    assert_eq!(css.compression.origin.to_string(), "defaults at Expertfile.toml:13");
    assert_eq!(css.level.origin.to_string(), "built in");
    assert_eq!((sql.compression.value, sql.level.value), (Compression::Gzip, 6));
    assert_eq!(sql.level.origin.to_string(), "expert at Expertfile.toml:26");
    assert_eq!(sql.tags.value.iter().map(|t| t.value.as_str()).collect::<Vec<_>>(), ["db", "prod"]);
    assert_eq!(css.tags.value.iter().map(|t| t.value.as_str()).collect::<Vec<_>>(), ["all"]);
    assert_eq!(sql.budget.as_ref().map(|b| b.value.0), Some(80 << 20));
    assert_eq!(sql.lints().preset, Preset::Minimal);
    assert_eq!(sql.lints().levels.get("weights-not-finite"), Some(&Level::Deny));
    assert!(matches!(&sql.key.value, KeySource::File(path) if path.text.starts_with("~/")));
    assert_eq!(css.out_dir.as_ref().map(|o| o.origin.to_string()).as_deref(), Some("workspace at Expertfile.toml:9"));
    assert_eq!(repo.externals["english-basic"].value.to_string(), "1.4.0");
    assert!(sql.includes().takes(&RelPath::new("docs/a/b.md").unwrap()));
    let remote = repo.cache.remote.as_ref().unwrap();
    assert_eq!(remote.headers.keys().collect::<Vec<_>>(), ["authorization"]);
    assert_eq!(repo.files.len(), 1);
    assert_eq!(repo.warnings, []);
}

#[test]
fn a_profile_stands_above_the_expert() {
    let request = Request { profile: Some("ci".into()), ..Request::default() };
    let repo = resolve(&reference(), &request).unwrap();
    let sql = &repo.experts[1];
    assert_eq!(sql.sign.value, Sign::Required);
    assert_eq!(sql.sign.origin.to_string(), "profile `ci` at Expertfile.toml:54");
    // The preset changes, the expert's own levels stay.
    assert_eq!(sql.lints().preset, Preset::Strict);
    assert_eq!(sql.lints().levels.get("weights-not-finite"), Some(&Level::Deny));
    assert_eq!(repo.cache.remote.as_ref().unwrap().write.origin.to_string(), "profile `ci` at Expertfile.toml:55");
    assert_eq!(repo.profile.as_ref().unwrap().origin.to_string(), "flag `--profile`");
}

#[test]
fn nothing_is_needed_to_begin() {
    let repo = Tree::new(&[], &["."]).resolve().unwrap();
    assert_eq!(repo.expertfile, None);
    let [expert] = &repo.experts[..] else { panic!() };
    assert_eq!((expert.label(), expert.manifest.value.as_str()), (".", "manifest.json"));
    assert_eq!(*expert.sign, Setting::built_in(Sign::Auto));
    assert_eq!(expert.out_dir, None);
    // An Expertfile that says nothing changes nothing.
    assert_eq!(Tree::with("", &["."]).resolve().unwrap().experts, repo.experts);
}

#[test]
fn an_expertfile_with_a_byte_order_mark_and_crlf() {
    let tree = Tree::with("\u{feff}[defaults]\r\nlevel = 9\r\n", &["."]);
    let repo = tree.resolve().unwrap_or_else(|e| panic!("{}", told(&e)));
    assert_eq!(repo.experts[0].level.origin.to_string(), "defaults at Expertfile.toml:2");
}

#[test]
fn members_by_pattern() {
    let all = ["a/x", "a/y", "a/deep/z", "b", "a/.hidden", "a/_t"];
    for (workspace, expected) in [
        ("members = ['a/*']", &["a/_t", "a/x", "a/y"][..]),
        ("members = ['a/**']", &["a/_t", "a/deep/z", "a/x", "a/y"]),
        ("members = ['**']", &["a/_t", "a/deep/z", "a/x", "a/y", "b"]),
        ("members = ['**/x', 'b']", &["a/x", "b"]),
        ("members = ['./a/x/']", &["a/x"]),
        ("members = ['a/[xy]']", &["a/x", "a/y"]),
        ("members = ['a/?']", &["a/x", "a/y"]),
        ("members = ['*']", &["b"]),
        ("members = ['a/.*']", &["a/.hidden"]),
        ("members = ['a/*', '!a/_*']", &["a/x", "a/y"]),
        ("members = ['a/*']\nexclude = ['_t', '/a/y/']", &["a/x"]),
        ("members = ['**']\nexclude = ['a/**', '!a/x']", &["a/x", "b"]),
        ("members = ['a/*', 'a/x', '*']", &["a/_t", "a/x", "a/y", "b"]),
    ] {
        let tree = Tree::with(&format!("[workspace]\n{workspace}\n"), &all);
        assert_eq!(tree.folders(), expected, "{workspace}");
    }
    let inner = Tree::with("[workspace]\nmembers = ['**']", &["a", "a/tests/b", "c/d"]);
    assert_eq!(inner.folders(), ["a", "c/d"], "no expert is looked for inside an expert");
}

#[test]
fn the_root_may_be_one_of_many() {
    let tree = Tree::with("[workspace]\nmembers = ['.', 'a/*']\ndefault-members = ['.']", &[".", "a/x"]);
    let repo = tree.resolve().unwrap_or_else(|e| panic!("{}", told(&e)));
    assert_eq!(repo.experts.iter().map(|e| (e.label(), e.default)).collect::<Vec<_>>(), [(".", true), ("a/x", false)]);
}

#[test]
fn default_members() {
    let workspace = "[workspace]\nmembers = ['a/*']\ndefault-members = ['a/*', '!a/y']";
    let repo = Tree::with(workspace, &["a/x", "a/y", "a/z"]).resolve().unwrap();
    assert_eq!(repo.defaults(), [0, 2]);
}

#[test]
fn members_bring_expertfiles_of_their_own() {
    let tree = Tree::new(
        &[
            ("Expertfile.toml", "[workspace]\nmembers = ['m/*']\n[defaults]\nlevel = 1\ntags = ['root']\n"),
            (
                "m/pair/Expertfile.toml",
                "[defaults]\nlevel = 2\nextend-tags = ['pair']\nkey = 'k.pem'\n\
                 [[expert]]\npath = 'one'\nlevel = 3\n[[expert]]\npath = 'two'\n[profile.x]\ntests = true\n",
            ),
            ("m/single/Expertfile.toml", "[defaults]\ntests = true\n"),
        ],
        &["m/pair/one", "m/pair/two", "m/single", "m/plain"],
    );
    let repo = tree.resolve().unwrap_or_else(|e| panic!("{}", told(&e)));
    let rows: Vec<_> = repo
        .experts
        .iter()
        .map(|e| {
            let tags: Vec<&str> = e.tags.value.iter().map(|t| t.value.as_str()).collect();
            format!("{} {} ({}) {}", e.label(), e.level.value, e.level.origin, tags.join(","))
        })
        .collect();
    assert_eq!(
        rows,
        [
            "m/pair/one 3 (expert at m/pair/Expertfile.toml:7) root,pair",
            "m/pair/two 2 (defaults at m/pair/Expertfile.toml:2) root,pair",
            "m/plain 1 (defaults at Expertfile.toml:4) root",
            "m/single 1 (defaults at Expertfile.toml:4) root",
        ]
    );
    let KeySource::File(key) = &repo.experts[0].key.value else { panic!() };
    let places =
        expert_build::spec::Places { repo: "/r".as_ref(), working: "/w".as_ref(), user: "/u".as_ref(), home: None };
    assert_eq!(key.resolve(&places), Some("/r/m/pair/k.pem".into()), "relative to the file it stands in");
    assert_eq!(repo.files.len(), 3);
    let [warning] = &repo.warnings[..] else { panic!("{:?}", repo.warnings) };
    assert_eq!((warning.code.name, warning.file.as_deref()), ("expertfile-ignored", Some("m/pair/Expertfile.toml")));
}

#[test]
fn names_of_packages() {
    let naming = |several| Naming { name: "sql", version: "0.3.0", model: "F:/models/Qwen3-0.6B", several };
    let of = |keys: &str, several| {
        let tree = Tree::with(&format!("[[expert]]\n{keys}\n"), &["."]);
        let repo = tree.resolve().unwrap_or_else(|e| panic!("{}", told(&e)));
        let name = repo.experts[0].file_name(&naming(several));
        name.unwrap_or_else(|d| format!("{}: {} / {}", d.code.name, d.message, d.help.unwrap_or_default()))
    };
    assert_eq!(of("", false), "sql.v0.3.0.expert");
    assert_eq!(of("", true), "sql-qwen3-0-6b.v0.3.0.expert");
    assert_eq!(of("name = '{model}_{name}.expert'", true), "qwen3-0-6b_sql.expert");
    assert_eq!(of("name = '{model}.expert'\nmodel.'Qwen3-0.6B'.slug = 'q'", true), "q.expert");
    assert_eq!(of("name = '{name}.expert'", false), "sql.expert");
    insta::assert_snapshot!(of("name = '{name}.expert'", true), @"expertfile-value: the packages of all base models would be called `{name}.expert` / the manifest has several base models: put `{model}` into `name`");
    let tree = Tree::new(&[], &["."]).resolve().unwrap();
    let evil = Naming { name: "../x", version: "1.0.0", model: "m", several: false };
    assert_eq!(tree.experts[0].file_name(&evil).unwrap_err().code.name, "path-name");
}

#[test]
fn places_of_weights() {
    let naming = Naming { name: "sql", version: "0.3.0", model: "Qwen/Qwen3-0.6B", several: false };
    let of = |keys: &str, checkpoint| {
        let tree = Tree::with(&format!("[[expert]]\n{keys}\n"), &["."]);
        let places = tree.resolve().unwrap().experts[0].weights(&naming, checkpoint);
        places.iter().map(|p| p.as_ref().map_or(".", |p| p.as_str()).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of("", None), ["weights/sql.v0.3.0", "weights/qwen3-0-6b", "weights/Qwen3-0.6B", "weights", "."]);
    assert_eq!(
        of("model.'Qwen3-0.6B'.slug = 'qwen3-06b'", Some("checkpoint-1000")),
        [
            "weights/sql.v0.3.0",
            "weights/qwen3-06b",
            "weights/Qwen3-0.6B",
            "weights/qwen3-0-6b",
            "weights/qwen3-06b/checkpoint-1000",
            "weights/Qwen3-0.6B/checkpoint-1000",
            "weights/qwen3-0-6b/checkpoint-1000",
            "weights/checkpoint-1000",
            "checkpoint-1000",
            "weights",
            ".",
        ]
    );
    assert_eq!(of("weights = 'out/{model}'", Some("final")).last().unwrap(), "out/Qwen3-0.6B/final");
    assert_eq!(of("weights = '.'", None), ["."]);
    assert!(!of("", Some("../../etc")).iter().any(|place| place.contains("..")));
}

#[test]
fn models_are_picked() {
    let of = |keys: &str| {
        let tree = Tree::with(&format!("[[expert]]\n{keys}\n"), &["."]);
        let picked = tree.resolve().unwrap().experts[0].pick(&["F:/m/Qwen3-0.6B", "meta/Llama-3"]);
        picked.map_err(|found| told(&expert_build::base::Error::Expertfile(found)))
    };
    assert_eq!(of(""), Ok(vec![0, 1]));
    assert_eq!(of("models = ['Llama-3']"), Ok(vec![1]));
    assert_eq!(of("models = ['meta/Llama-3', 'qwen3-0-6b']"), Ok(vec![0, 1]));
    insta::assert_snapshot!(of("models = ['Llama-4']").unwrap_err(), @r"
    Expertfile.toml:2:11: expertfile-value: the manifest has no base model `Llama-4` ['Llama-4']
      help: did you mean `Llama-3`?
    ");
}

/// Ten thousand experts resolve in about a second even without optimisation: nothing is looked at for each pair.
#[test]
fn ten_thousand_experts() {
    let folders: Vec<String> = (0..10_000).map(|i| format!("experts/e{i:05}")).collect();
    let mut text =
        "[workspace]\nmembers = ['experts/*']\ndefault-members = ['experts/e0*']\n[defaults]\nlevel = 9\n".to_owned();
    for folder in folders.iter().step_by(2) {
        text += &format!("[[expert]]\npath = '{folder}'\nextend-tags = ['even']\n");
    }
    let paths: Vec<&str> = folders.iter().map(String::as_str).collect();
    let tree = Tree::with(&text, &paths);
    let begun = std::time::Instant::now();
    let repo = resolve(&tree, &Request::default()).unwrap_or_else(|e| panic!("{}", told(&e)));
    let shown = expert_build::spec::show(&repo, true);
    assert_eq!((repo.experts.len(), repo.defaults().len()), (10_000, 10_000));
    assert!(shown.contains("expert at Expertfile.toml:15003"));
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("{seconds:.2} s");
    assert!(seconds < 20.0, "{seconds} s for 10,000 experts");
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    for text in ["[".repeat(100_000), format!("a = {}", "[".repeat(100_000)), "a.".repeat(100_000) + "b = 1"] {
        let error = Tree::with(&text, &["."]).resolve().unwrap_err();
        assert_eq!(error.diagnostics()[0].code.name, "expertfile-syntax");
    }
}
