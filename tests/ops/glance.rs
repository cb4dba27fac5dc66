//! A glance says that nothing is to do exactly where the long way would say so, and never where anything differs.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use expert_build::base::Event;
use expert_build::ops::build::{Options, build, nothing_to_do};
use expert_build::ops::glance::Glance;
use expert_build::store::Index;

use crate::space::{Space, options, weights};

const MEMBERS: &str = "[workspace]\nmembers = [\"experts/*\"]\n";

/// Three experts, built; the grounds are in the index.
fn built(expertfile: &str) -> Space {
    let space = Space::new(expertfile);
    for (seed, name) in [(1, "a"), (2, "b"), (3, "c")] {
        space.expert(&format!("experts/{name}"), name, seed, &[]);
    }
    space.build();
    assert!(is_up_to_date(&space), "a build leaves the grounds for the next run");
    space
}

fn glance(space: &Space) -> Option<Glance> {
    Glance::at(&space.setup(), 2)
}

fn is_up_to_date(space: &Space) -> bool {
    glance(space).is_some_and(|glance| glance.up_to_date.is_some())
}

fn tick() {
    std::thread::sleep(std::time::Duration::from_millis(30));
}

/// Something that happens to a space.
type Change = (&'static str, &'static str, fn(&mut Space));

/// Each of these is noticed, and the next build does what it has to; `what` the build then did: built, fresh, failed.
fn noticed(expertfile: &str, changes: &[Change]) {
    for (name, expected, change) in changes {
        let mut space = built(expertfile);
        change(&mut space);
        tick();
        assert!(!is_up_to_date(&space), "{name}: it was not noticed");
        let (report, _) = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| space.try_build(&options()))) {
            Ok(ran) => ran,
            Err(_) => {
                assert_eq!(*expected, "refused", "{name}");
                continue;
            }
        };
        let did = match report {
            Ok(r) => format!("{} built, {} fresh, {} failed", r.built + r.restored, r.fresh, r.failed.len()),
            Err(error) => error.to_string(),
        };
        assert_eq!(did, *expected, "{name}");
        if did.ends_with("0 failed") {
            // What the build left is good for the next glance, or the one after a run that had nothing to do.
            space.build();
            assert!(is_up_to_date(&space), "{name}: no new grounds");
        }
    }
}

#[test]
fn files_that_change_come_and_go() {
    noticed(
        MEMBERS,
        &[
            ("edited", "1 built, 2 fresh, 0 failed", |s| s.write("experts/a/README.md", b"# A\n")),
            ("new file", "1 built, 2 fresh, 0 failed", |s| s.write("experts/a/LICENSE", b"text\n")),
            ("file gone", "1 built, 2 fresh, 0 failed", |s| {
                std::fs::remove_file(s.path("experts/b/README.md")).unwrap();
            }),
            ("weights", "1 built, 2 fresh, 0 failed", |s| {
                s.write("experts/c/weights/adapter_model.safetensors", &weights(9));
            }),
            ("output gone", "1 built, 2 fresh, 0 failed", |s| {
                std::fs::remove_file(s.path("experts/a/weights/a.v1.0.0.expert")).unwrap();
            }),
            ("output edited", "1 built, 2 fresh, 0 failed", |s| s.write("experts/a/weights/a.v1.0.0.expert", b"x")),
            ("checksum gone", "0 built, 3 fresh, 0 failed", |s| {
                std::fs::remove_file(s.path("experts/a/weights/a.v1.0.0.expert.sha256")).unwrap();
            }),
            ("required anew", "0 built, 2 fresh, 1 failed", |s| {
                s.manifest("experts/a", "a", "1.0.0", &["nobody@>=1.0.0"]);
            }),
            ("another expert's name", "1 built, 2 fresh, 0 failed", |s| s.manifest("experts/a", "d", "1.0.0", &[])),
        ],
    );
}

#[test]
fn experts_that_come_and_go() {
    noticed(
        MEMBERS,
        &[
            ("new member", "1 built, 3 fresh, 0 failed", |s| s.expert("experts/d", "d", 4, &[])),
            ("member gone", "0 built, 2 fresh, 0 failed", |s| {
                std::fs::remove_dir_all(s.path("experts/c")).unwrap();
            }),
            ("member in another folder", "0 built, 3 fresh, 0 failed", |s| {
                std::fs::rename(s.path("experts/c"), s.path("experts/x")).unwrap();
            }),
            ("its own Expertfile", "1 built, 2 fresh, 0 failed", |s| {
                s.write("experts/a/Expertfile.toml", b"[defaults]\nlevel = 1\n");
            }),
            ("a link to a folder", "1 built, 3 fresh, 0 failed", |s| {
                s.expert("elsewhere", "d", 4, &[]);
                std::os::unix::fs::symlink(s.path("elsewhere"), s.path("experts/d")).unwrap();
            }),
        ],
    );
}

/// What was no expert and becomes one without a change of the folder that its own folder lies in.
#[test]
fn a_folder_that_becomes_an_expert() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    space.write("experts/docs/text.md", b"no expert\n");
    std::os::unix::fs::symlink("../far", space.path("experts/linked")).unwrap();
    space.build();
    assert!(is_up_to_date(&space));
    space.write("experts/docs/other.md", b"still none\n");
    assert!(is_up_to_date(&space), "what lies in a folder without a manifest matters to nobody");
    space.expert("experts/docs", "docs", 2, &[]);
    assert!(!is_up_to_date(&space));
    space.build();
    assert!(is_up_to_date(&space));
    space.expert("far", "far", 3, &[]);
    assert!(!is_up_to_date(&space), "a link that led nowhere leads to an expert");
    assert_eq!(space.build().built, 1);
}

#[test]
fn settings_that_change() {
    noticed(
        MEMBERS,
        &[
            ("Expertfile", "3 built, 0 fresh, 0 failed", |s| {
                s.write("Expertfile.toml", format!("{MEMBERS}[defaults]\nlevel = 1\n").as_bytes());
            }),
            ("Expertfile, nothing new", "0 built, 3 fresh, 0 failed", |s| {
                s.write("Expertfile.toml", format!("{MEMBERS}# a word\n").as_bytes());
            }),
            ("profile", "refused", |s| s.request.profile = Some("nobody".into())),
            ("flag", "3 built, 0 fresh, 0 failed", |s| {
                s.request = s.request.clone().flag("--compression", "compression", "zstd");
            }),
            ("variable", "3 built, 0 fresh, 0 failed", |s| {
                s.request.env.insert("EXPERT_BUILD_LEVEL".into(), "2".into());
            }),
            ("time", "3 built, 0 fresh, 0 failed", |s| {
                s.request.env.insert("SOURCE_DATE_EPOCH".into(), "400000000".into());
            }),
            ("user's configuration", "3 built, 0 fresh, 0 failed", |s| {
                s.write("../config/config.toml", b"[defaults]\nlevel = 3\n");
            }),
        ],
    );
}

#[test]
fn keys_and_configs_that_change() {
    const KEY: &str = "[defaults]\nkey = \"../key.pem\"\n";
    let with_key = format!("{MEMBERS}{KEY}");
    noticed(
        &with_key,
        &[("a key appears", "3 built, 0 fresh, 0 failed", |s| {
            let made = expert_build::ops::keygen::keygen(&s.path("../key.pem"));
            made.unwrap_or_else(|e| panic!("{e}"));
        })],
    );
    let by_variable = format!("{MEMBERS}[defaults]\nkey = {{ env = \"SOME_KEY\" }}\n");
    let mut space = built(&by_variable);
    space.request.env.insert("OTHER".into(), "x".into());
    assert!(is_up_to_date(&space), "a variable that nobody names matters to nobody");
    space.request.env.insert("SOME_KEY".into(), "no key".into());
    assert!(!is_up_to_date(&space));
    let config = r#"[defaults.model."tiny-qwen3"]
config = "models/config.json"
"#;
    let space = Space::new(&format!("{MEMBERS}{config}"));
    space.expert("experts/a", "a", 1, &[]);
    space.write("models/config.json", br#"{"hidden_size": 4, "num_hidden_layers": 1}"#);
    space.build();
    assert!(is_up_to_date(&space));
    space.write("models/config.json", br#"{"hidden_size": 4, "num_hidden_layers": 2}"#);
    assert!(!is_up_to_date(&space));
}

/// Of two Expertfiles one above the other, the upper may have the last word.
#[test]
fn an_expertfile_above() {
    let space = built(MEMBERS);
    space.write("../Expertfile.toml", b"[workspace]\nmembers = [\"elsewhere\"]\n");
    assert!(glance(&space).is_none());
}

/// What a run would warn of, or refuse, it warns of again and again.
#[test]
fn who_has_something_to_say_goes_the_long_way() {
    for expertfile in
        [format!("{MEMBERS}[defaults]\nbudget = \"1MiB\"\n"), format!("{MEMBERS}[cache]\ndir = \"elsewhere\"\n")]
    {
        let space = Space::new(&expertfile);
        space.expert("experts/a", "a", 1, &[]);
        space.build();
        space.build();
        assert!(glance(&space).is_none(), "{expertfile}");
    }
    // A remote cache is not asked by those who have nothing to do.
    let space = Space::new(&format!("{MEMBERS}[cache.remote]\nurl = \"grpc://localhost:1\"\n"));
    space.expert("experts/a", "a", 1, &[]);
    space.build();
    space.build();
    assert!(is_up_to_date(&space));
    // One that failed is tried again.
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    space.expert("experts/b", "b", 2, &[]);
    space.write("experts/b/weights/adapter_model.safetensors", b"damaged");
    let (report, _) = space.try_build(&options());
    assert_eq!(report.unwrap().failed.len(), 1);
    assert!(glance(&space).is_none());
}

/// A part of the repo, another build in between, a damaged index: no grounds.
#[test]
fn grounds_are_of_the_whole_repo_and_of_one_index() {
    let space = Space::new(MEMBERS);
    space.expert("experts/a", "a", 1, &[]);
    space.expert("experts/b", "b", 2, &[]);
    let some = |chosen: &[usize], options: &Options| {
        let mut events = Vec::new();
        build(&space.open(), chosen, options, &AtomicBool::new(false), &mut events).unwrap();
    };
    some(&[0], &options());
    assert!(glance(&space).is_none());
    some(&[0, 1], &Options { dry_run: true, ..options() });
    assert!(glance(&space).is_none(), "a dry run writes nothing");
    some(&[0, 1], &options());
    assert!(is_up_to_date(&space));
    let path = space.open().index;
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        // The digests are read by nobody who has nothing to do; all else is.
        if let Some(found) = glance(&space) {
            assert!(found.up_to_date.is_some(), "byte {at}");
            assert!(Index::load(&path).is_empty(), "byte {at}");
        }
    }
    std::fs::write(&path, &whole).unwrap();
    assert!(is_up_to_date(&space));
    // Another run writes a record that this one knows nothing of.
    let before = Index::load(&path);
    let record = before.get("experts/a").unwrap().decode().unwrap();
    Index::save(&path, &[("experts/a".to_owned(), record)].into(), &|_| true).unwrap();
    before.save_over(&path, &Default::default(), &|_| true, b"grounds").unwrap();
    assert!(Index::load(&path).grounds().is_empty());
}

/// Word for word what the long way says.
#[test]
fn it_says_the_same() {
    let space = built(MEMBERS);
    let found = glance(&space).unwrap();
    let mut short = Vec::new();
    let answer = nothing_to_do(&found, found.up_to_date.unwrap(), &options(), &mut short);
    let (long_answer, long) = space.try_build(&options());
    let long_answer = long_answer.unwrap();
    assert_eq!((answer.fresh, answer.not_repeated), (long_answer.fresh, long_answer.not_repeated));
    let told = |events: &[Event]| -> Vec<serde_json::Value> {
        let plain = |event: &Event| {
            let mut value = serde_json::to_value(event).unwrap();
            value.as_object_mut().unwrap().remove("took_ms");
            value
        };
        events.iter().map(plain).collect()
    };
    assert_eq!(told(&short), told(&long));
}

/// An Expertfile that comes into an expert's folder while the expert is being built is in no question and in the
/// folder's stat: no grounds.
#[test]
fn what_comes_while_an_expert_is_built_is_not_lost() {
    let space = built(MEMBERS);
    space.write("experts/a/README.md", b"# other\n");
    tick();
    let workspace = space.open();
    space.write("experts/a/Expertfile.toml", b"[defaults]\nlevel = 1\n");
    tick();
    let mut events = Vec::new();
    build(&workspace, &[0, 1, 2], &options(), &AtomicBool::new(false), &mut events).unwrap();
    assert!(glance(&space).is_none());
    assert_eq!(space.build().built, 1, "now by its own Expertfile");
    assert!(Path::new(&space.path("experts/a/Expertfile.toml")).exists() && is_up_to_date(&space));
}
