//! `init` writes the Expertfile that a repo without one behaves as if it had.

use expert_build::base::Error;
use expert_build::spec::init;

use crate::tree::{MANIFEST, Tree, told};

/// The experts that the written Expertfile names.
fn experts(folders: &[&str]) -> Vec<String> {
    let tree = Tree::new(&[("web/manifest.json", "{\"icons\": []}")], folders);
    let text = init(&tree).unwrap_or_else(|e| panic!("{}", told(&e)));
    let mut written = tree.clone();
    written.0.insert("Expertfile.toml".into(), text);
    written.folders()
}

#[test]
fn what_is_written_builds_unchanged() {
    for folders in [
        &["."][..],
        &["experts/css", "experts/sql"],
        &["a", "b"],
        &["one"],
        &["deep/er/one", "x/1", "x/2"],
        &["a*b/x", "a*b/y", "c[d]"],
    ] {
        assert_eq!(experts(folders), folders);
    }
    // A root expert's subfolders are its own.
    assert_eq!(experts(&[".", "tests/x"]), ["."]);
}

#[test]
fn a_single_expert_is_resolved_as_without_a_file() {
    let tree = Tree::new(&[], &["."]);
    let with = Tree::with(&init(&tree).unwrap(), &["."]).resolve().unwrap();
    let without = tree.resolve().unwrap();
    let values =
        |repo: &expert_build::spec::Repo| repo.rows().into_iter().map(|row| (row.key, row.value)).collect::<Vec<_>>();
    assert_eq!(values(&with), values(&without));
}

#[test]
fn every_example_in_it_can_be_uncommented() {
    for folders in [&["."][..], &["experts/css", "experts/sql"]] {
        let tree = Tree::new(&[], folders);
        let text = init(&tree).unwrap();
        let uncommented: Vec<&str> = text
            .lines()
            .map(|line| {
                let key = line.strip_prefix("# ").filter(|rest| rest.starts_with('[') || rest.contains(" = "));
                key.filter(|rest| !rest.starts_with('`') && !rest.starts_with("What") && !rest.starts_with("in "))
                    .unwrap_or(line)
            })
            .collect();
        assert!(uncommented.iter().any(|line| line.starts_with("lints.preset")));
        let again = Tree::with(&uncommented.join("\n"), folders);
        assert_eq!(again.resolve().map(|repo| repo.experts.len()).map_err(|e| told(&e)), Ok(folders.len()));
    }
}

#[test]
fn what_it_looks_like() {
    insta::assert_snapshot!(init(&Tree::new(&[], &["experts/css", "experts/sql", "base"])).unwrap(), @r#"
    #:schema https://raw.githubusercontent.com/hivellm/expert-build/main/schema/expertfile.schema.json
    # How the experts of this repository are built. What an expert *is* (its name, version and base models) stands
    # in its manifest.json. A line that begins with `#` shows a key with an example.
    #   expert-build                        builds what changed
    #   expert-build config --show-origin   every value, and where it comes from
    #   expert-build schema expertfile      every key

    expertfile = 1

    [workspace]
    # Folders with a manifest.json, or with an Expertfile.toml of their own.
    members = ["base", "experts/*"]
    # exclude = ["experts/_template"]
    # out-dir = "dist"                      # default: each expert's own weights/ folder
    # externals = { "english-basic" = "1.4.0" }   # experts kept elsewhere that others require

    # What holds for every expert. `[[expert]]` with `path = "…"` sets the same keys for one.
    [defaults]
    # weights = "weights/{model}"           # default: the usual places, see `expert-build schema expertfile`
    # include = ["docs/**"]                 # beside what is packaged anyway
    # tags = ["db"]                         # `expert-build tag:db` builds these
    # compression = "zstd"                  # gzip (default), zstd or none
    # sign = "required"                     # off, auto (default: when there is a key) or required
    # key = "~/.config/expert-build/publisher.pem"
    # budget = "80MiB"                      # a larger package is an error

    # `--profile ci` puts these over all others.
    # [profile.ci]
    # lints.preset = "strict"               # warnings are errors
    "#);
}

#[test]
fn where_there_is_nothing_to_do() {
    let told = |tree: &Tree| match init(tree) {
        Err(error @ Error::Usage { .. }) => told(&error),
        other => panic!("{other:?}"),
    };
    insta::assert_snapshot!(told(&Tree::with("", &["."])), @"
    there is an Expertfile.toml already
      help: `expert-build config` shows what it says
    ");
    insta::assert_snapshot!(told(&Tree::new(&[("node_modules/x/manifest.json", MANIFEST)], &[])), @"
    there is no expert here or below
      help: an expert is a folder with a manifest.json that names its base model and adapters
    ");
}
