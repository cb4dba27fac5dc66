//! What a second build finds up to date, and packages that would be wrong.

use std::path::Path;

use expert_build::base::{Diagnostic, Digest, Event, Sha256};
use expert_build::ops::Limits;
use expert_build::ops::build::Options;
use expert_build::ops::inspect::inspect;
use expert_build::store::Index;

use crate::space::{Space, options, weights};

const MEMBERS: &str = "[workspace]\nmembers = [\"experts/*\"]\n";

/// The paths in a package.
fn paths(space: &Space, package: &str) -> Vec<String> {
    let inspection = inspect(&space.path(package), false, Limits::default()).unwrap();
    inspection.files.iter().map(|file| file.path.to_string()).collect()
}

/// Changes the manifest of `experts/a`.
fn edit(space: &Space, change: impl Fn(&mut serde_json::Value)) {
    let mut manifest = serde_json::from_slice(&space.read("experts/a/manifest.json")).unwrap();
    change(&mut manifest);
    space.write("experts/a/manifest.json", manifest.to_string().as_bytes());
}

/// The build made the folder, and a source that comes into it later wins over the one that was packaged.
#[test]
fn what_comes_into_a_folder_that_the_build_made_is_seen() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    let weights_of = |space: &Space| {
        let package = space.path("experts/a/weights/a.v1.0.0.expert");
        inspect(&package, false, Limits::default())
            .unwrap()
            .files
            .iter()
            .find(|f| f.path.as_str().ends_with(".safetensors"))
            .unwrap()
            .sha256
    };
    std::fs::rename(
        space.path("experts/a/weights/adapter_model.safetensors"),
        space.path("experts/a/adapter_model.safetensors"),
    )
    .unwrap();
    std::fs::remove_dir(space.path("experts/a/weights")).unwrap();
    edit(&space, |manifest| drop(manifest["adapters"][0].as_object_mut().unwrap().remove("path")));
    assert_eq!(space.build().built, 1);
    assert_eq!(space.build().fresh, 1);
    assert_eq!(weights_of(&space), Some(Sha256::of(&weights(1))));
    space.write("experts/a/weights/adapter_model.safetensors", &weights(2));
    assert_eq!(space.build().built, 1);
    assert_eq!(weights_of(&space), Some(Sha256::of(&weights(2))));
    assert_eq!(space.build().fresh, 1);
}

#[test]
fn links_do_not_make_an_expert_stale() {
    let space = Space::new(MEMBERS);
    space.expert("elsewhere/a", "a", 1, &[]);
    space.write("elsewhere/a/docs/LICENSE", b"one");
    space.write("elsewhere/a/docs/OTHER", b"two");
    let link = |target: &str, path: &str| std::os::unix::fs::symlink(Path::new(target), space.path(path)).unwrap();
    link("docs/LICENSE", "elsewhere/a/LICENSE");
    std::fs::create_dir_all(space.path("experts")).unwrap();
    link("../elsewhere/a", "experts/a");
    assert_eq!(space.build().built, 1);
    assert_eq!(space.build().fresh, 1);
    let (report, _) = space.try_build(&Options { frozen: true, ..options() });
    assert_eq!(report.unwrap().stale, []);
    // Both what a link leads to and where it leads are watched.
    space.write("elsewhere/a/docs/LICENSE", b"one and more");
    let stale = || space.try_build(&Options { frozen: true, ..options() }).0.unwrap().stale.len();
    assert_eq!(stale(), 1);
    space.build();
    std::fs::remove_file(space.path("experts/a/LICENSE")).unwrap();
    link("docs/OTHER", "experts/a/LICENSE");
    assert_eq!((stale(), space.build().built), (1, 1));
}

#[test]
fn a_deep_output_folder_below_the_expert_is_no_change_of_it() {
    let space = Space::new("[workspace]\nout-dir = \"made/for/release\"\n[[expert]]\npath = \".\"\n");
    space.expert("x", "a", 1, &[]);
    std::fs::rename(space.path("x/manifest.json"), space.path("manifest.json")).unwrap();
    std::fs::rename(space.path("x/weights"), space.path("weights")).unwrap();
    assert_eq!(space.build().built, 1);
    let (report, _) = space.try_build(&Options { frozen: true, ..options() });
    assert_eq!(report.unwrap().stale, []);
}

#[test]
fn an_adapter_with_a_path_and_one_without_are_both_packaged() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    space.write("experts/a/weights/second.safetensors", &weights(2));
    edit(&space, |manifest| {
        let mut second = manifest["adapters"][0].clone();
        manifest["adapters"][0].as_object_mut().unwrap().remove("path");
        second["path"] = "weights/second.safetensors".into();
        manifest["adapters"].as_array_mut().unwrap().insert(0, second);
    });
    space.build();
    let paths = paths(&space, "experts/a/weights/a.v1.0.0.expert");
    assert!(paths.contains(&"adapter_model.safetensors".to_owned()), "{paths:?}");
    assert!(paths.contains(&"weights/second.safetensors".to_owned()), "{paths:?}");
}

#[test]
fn two_files_never_share_a_place_in_a_package() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    space.write("experts/a/adapter_model.safetensors", &weights(2));
    edit(&space, |manifest| {
        let mut second = manifest["adapters"][0].clone();
        manifest["adapters"][0].as_object_mut().unwrap().remove("path");
        second["path"] = "adapter_model.safetensors".into();
        manifest["adapters"].as_array_mut().unwrap().push(second);
    });
    let (report, _) = space.try_build(&options());
    let found = report.unwrap().failed.remove(0).1;
    assert_eq!(found.diagnostics()[0].code.name, "path-clash", "{:?}", found.diagnostics());
}

#[test]
fn two_packages_of_an_expert_never_share_a_place() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    edit(&space, |manifest| {
        let model = |name: &str| serde_json::json!({ "name": name, "adapters": manifest["adapters"] });
        manifest["base_models"] = serde_json::json!([model("one/Tiny"), model("other/tiny")]);
        manifest["schema_version"] = "2.0".into();
        manifest.as_object_mut().unwrap().remove("base_model");
        manifest.as_object_mut().unwrap().remove("adapters");
    });
    let (report, _) = space.try_build(&options());
    let found = report.unwrap().failed.remove(0).1;
    let clash = found.diagnostics().iter().find(|d| d.code.name == "path-clash");
    assert_eq!(
        clash.unwrap().message,
        "the packages for `one/Tiny` and `other/tiny` would both be `a-tiny.v1.0.0.expert`"
    );
    assert!(!space.path("experts/a/weights/a-tiny.v1.0.0.expert").exists());
}

#[test]
fn two_experts_never_share_a_place() {
    let space =
        Space::new("[workspace]\nmembers = [\"experts/*\"]\nout-dir = \"dist\"\n[defaults]\nname = \"it.expert\"\n");
    space.expert("experts/a", "a", 1, &[]);
    space.expert("experts/b", "b", 2, &[]);
    for _ in 0..2 {
        let (report, _) = space.try_build(&options());
        let report = report.unwrap();
        assert_eq!((report.built + report.fresh, report.failed.len(), report.exit_code()), (1, 1, 4));
        assert_eq!(report.failed[0].0, "experts/b");
        assert_eq!(report.failed[0].1.diagnostics()[0].code.name, "duplicate-expert");
    }
}

#[test]
fn force_reads_what_the_index_thinks_it_knows() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    space.build();
    // As if a file had changed and its stat had not, which no clock but a broken one allows.
    let path = space.open().index;
    let mut record = Index::load(&path).get("experts/a").unwrap().decode().unwrap();
    for input in &mut record.inputs {
        (input.digest, input.sha256) = (Digest::of(b"another"), Sha256::of(b"another"));
    }
    Index::save(&path, &[("experts/a".to_owned(), record)].into(), &|_| true).unwrap();
    let (report, _) = space.try_build(&Options { force: true, ..options() });
    let report = report.unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(report.built, 1);
}

#[test]
fn a_package_never_stands_beside_the_checksum_of_another() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    space.build();
    let (package, checksum) = ("experts/a/weights/a.v1.0.0.expert", "experts/a/weights/a.v1.0.0.expert.sha256");
    let before = space.read(package);
    // A checksum that cannot be taken away.
    std::fs::remove_file(space.path(checksum)).unwrap();
    std::fs::create_dir(space.path(checksum)).unwrap();
    space.write("experts/a/README.md", b"# new\n");
    let (report, _) = space.try_build(&options());
    assert_eq!(report.unwrap().failed.len(), 1);
    assert!(space.read(package) == before, "it was replaced");
}

#[test]
fn a_restored_package_tells_the_same_findings() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    let told = || -> Vec<Diagnostic> {
        let (report, events) = space.try_build(&options());
        assert!(report.unwrap().failed.is_empty());
        let found = |event| if let Event::Diagnostic(found) = event { Some(*found) } else { None };
        events.into_iter().filter_map(found).collect()
    };
    let first = told();
    assert!(first.iter().any(|found| found.source.is_some()), "{first:?}");
    std::fs::remove_file(space.path("experts/a/weights/a.v1.0.0.expert")).unwrap();
    assert_eq!(told(), first);
}
