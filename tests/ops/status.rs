//! Fresh or stale, and what exactly changed, now and in earlier runs.

use expert_build::base::Event;
use expert_build::ops::status::{State, Status, status};
use expert_build::ops::why::{Why, why};

use crate::space::{Space, options, touch, weights};

const FILE: &str = "[workspace]\nmembers = [\"experts/*\"]\n";

fn two() -> Space {
    let space = Space::new(FILE);
    space.expert("experts/a", "alpha", 1, &[]);
    space.expert("experts/b", "beta", 2, &[]);
    space
}

fn look(space: &Space) -> Status {
    let workspace = space.open();
    let all: Vec<usize> = (0..workspace.repo.experts.len()).collect();
    status(&workspace, &all, 2).unwrap()
}

/// What is told of the first expert.
fn first(space: &Space) -> (State, Vec<String>) {
    let standing = look(space).experts.remove(0);
    (standing.state, standing.changes.iter().map(ToString::to_string).collect())
}

fn asked(space: &Space, target: &str) -> Why {
    why(&space.open(), &[target.into()], 2).unwrap().remove(0)
}

fn lines(why: &Why, package: usize, run: usize) -> Vec<String> {
    let changes = why.packages[package].runs[run].changes.as_ref().expect("the cache has both texts");
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn from_new_to_fresh_to_stale_and_touched() {
    let space = two();
    let now = look(&space);
    assert!(now.experts.iter().all(|e| e.state == State::New));
    assert_eq!((now.due, now.exit_code(), now.experts[0].expert.as_str()), (2, 1, "alpha"));
    space.build();
    let now = look(&space);
    assert_eq!((now.fresh, now.due, now.exit_code()), (2, 0, 0), "{now:#?}");

    touch(&space.path("experts/a/README.md"));
    let now = look(&space);
    assert_eq!((now.experts[0].state, now.exit_code()), (State::Touched, 0));
    assert_eq!(now.experts[0].touched, ["experts/a/README.md"]);

    space.write("experts/a/README.md", b"# other\n");
    let (state, changes) = first(&space);
    assert_eq!(state, State::Stale);
    insta::assert_snapshot!(changes.join("\n"), @"`experts/a/README.md` changed: c3122765a05d (8 bytes) → e1b51aeb1c44 (8 bytes)");
    assert_eq!(look(&space).experts[0].cached, Some(false));
    space.build();
    space.write("experts/a/README.md", b"# alpha\n");
    assert_eq!(look(&space).experts[0].cached, Some(true), "it was built before");

    space.write("experts/a/LICENSE", b"MIT\n");
    std::fs::remove_file(space.path("experts/a/README.md")).unwrap();
    insta::assert_snapshot!(first(&space).1.join("\n"), @r"
    `experts/a/LICENSE` is new: 95f03ccbc741 (4 bytes)
    `experts/a/README.md` is gone: it was e1b51aeb1c44 (8 bytes)
    ");

    std::fs::remove_file(space.path("experts/a/weights/adapter_model.safetensors")).unwrap();
    let now = look(&space);
    assert_eq!((now.experts[0].state, now.exit_code()), (State::Broken, 11), "{now:#?}");
    assert!(now.experts[0].changes.is_empty(), "what cannot be built has not changed");
    std::os::unix::fs::symlink("/etc/hostname", space.path("experts/b/link")).unwrap();
    std::fs::rename(space.path("experts/b/link"), space.path("experts/b/manifest.json")).unwrap();
    let now = look(&space);
    assert_eq!((now.experts[1].state, now.exit_code()), (State::Broken, 11));
    assert_eq!(now.experts[1].findings[0].code.name, "path-escape");
}

#[test]
fn what_cannot_be_built_is_broken_built_before_or_not() {
    let space = two();
    space.write("experts/b/manifest.json", b"{");
    let now = look(&space);
    assert_eq!((now.experts[1].state, now.exit_code()), (State::Broken, 11), "{now:#?}");
    space.expert("experts/b", "beta", 2, &[]);
    space.build();
    space.write("experts/a/manifest.json", b"{");
    let now = look(&space);
    assert_eq!((now.experts[0].state, now.exit_code()), (State::Broken, 11), "{now:#?}");
    assert!(!now.experts[0].findings.is_empty() && now.experts[0].error.is_some());
}

#[test]
fn settings_are_named_one_by_one() {
    let space = two();
    space.build();
    space.write(
        "Expertfile.toml",
        format!("{FILE}[defaults]\ncompression = \"zstd\"\ninclude = [\"docs/**\"]\n").as_bytes(),
    );
    // The zstd library is part of the recipe; its version is no business of this test.
    let mut changes = first(&space).1;
    changes.retain(|change| !change.contains("zstd library"));
    insta::assert_snapshot!(changes.join("\n"), @r"
    pattern 1 of `include` is new: docs/**
    setting `compression` changed: gzip → zstd
    setting `level` changed: 6 → 3
    ");
}

#[test]
fn outputs_are_watched_too() {
    let space = two();
    space.build();
    let package = space.path("experts/a/weights/alpha.v1.0.0.expert");
    let bytes = std::fs::read(&package).unwrap();
    std::fs::write(&package, b"not a package").unwrap();
    std::fs::remove_file(package.with_extension("expert.sha256")).unwrap();
    let (state, changes) = first(&space);
    assert_eq!((state, changes.len()), (State::Stale, 2), "{changes:?}");
    assert!(changes[0].contains("altered") && changes[1].contains("missing"), "{changes:?}");
    space.build();
    assert_eq!(std::fs::read(&package).unwrap(), bytes);
    touch(&package);
    touch(&package.with_extension("expert.sha256"));
    assert_eq!(first(&space), (State::Touched, Vec::new()));
}

#[test]
fn earlier_runs_are_explained_from_the_kept_texts() {
    let space = two();
    space.build();
    assert!(asked(&space, "alpha").packages[0].runs.is_empty());
    space.write("experts/a/README.md", b"# second\n");
    space.build();
    space.write("experts/a/weights/adapter_model.safetensors", &weights(9));
    space.build();
    let why = asked(&space, "experts/a/weights/alpha.v1.0.0.expert");
    assert_eq!(why.standing.state, State::Fresh);
    assert_eq!(why.packages[0].runs.len(), 2);
    insta::assert_snapshot!(lines(&why, 0, 0).join("\n"), @"`adapter_model.safetensors` changed: 673494999853 (312 bytes) → a2d943000af2 (312 bytes)");
    insta::assert_snapshot!(lines(&why, 0, 1).join("\n"), @"`README.md` changed: c3122765a05d (8 bytes) → 60d8fbb39f83 (9 bytes)");
    // A new version has another file name and is the same package.
    space.manifest("experts/a", "alpha", "1.1.0", &[]);
    space.build();
    let why = asked(&space, "alpha");
    assert_eq!((why.packages[0].runs.len(), lines(&why, 0, 0).len()), (3, 1));
    assert!(asked(&space, "beta").packages[0].runs.is_empty());
}

#[test]
fn a_signed_package_can_be_explained_and_is_not_restored() {
    let mut space = two();
    let secret = expert_build::format::signature::PrivateKey::from_seed(&[7; 32]);
    space.write("k.pem", secret.to_pem().as_bytes());
    std::fs::set_permissions(space.path("k.pem"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    space.build();
    space.request = std::mem::take(&mut space.request).flag("--key", "key", &space.path("k.pem").display().to_string());
    assert!(first(&space).1[0].starts_with("setting `key` changed"), "{:?}", first(&space));
    space.build();
    space.write("experts/a/README.md", b"# second\n");
    let report = space.build();
    assert_eq!((report.built, report.restored), (1, 0));
    let why = asked(&space, "alpha");
    assert_eq!(lines(&why, 0, 0).len(), 1);
    assert!(lines(&why, 0, 1)[0].starts_with("setting `key` changed"));
    std::fs::remove_file(space.path("experts/a/weights/alpha.v1.0.0.expert")).unwrap();
    let report = space.build();
    assert_eq!((report.built, report.restored), (1, 0), "what is signed is never taken from the cache");
}

#[test]
fn a_cache_that_cannot_be_used_costs_time_only() {
    let space = two();
    // Bigger than what stays inside the record of its package.
    let noise: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    space.write("experts/a/README.md", &noise);
    space.build();
    let package = space.read("experts/a/weights/alpha.v1.0.0.expert");
    std::fs::remove_file(space.path("experts/a/weights/alpha.v1.0.0.expert")).unwrap();
    let cache = space.setup().cache_dir;
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::write(&cache, b"no folder").unwrap();
    let (report, events) = space.try_build(&options());
    let report = report.unwrap();
    assert_eq!((report.exit_code(), report.built + report.fresh), (0, 2), "{:?}", report.failed);
    assert_eq!(space.read("experts/a/weights/alpha.v1.0.0.expert"), package);
    let told =
        |event: &&Event| matches!(event, Event::Notice { message } if message.contains("the cache was not used"));
    assert_eq!(events.iter().filter(told).count(), 1, "{events:?}");
    assert_eq!(look(&space).exit_code(), 1, "nothing is known of it, and nothing is wrong");
}
