//! Where one expert changed, the others and all settings are taken from what a glance saw; what then is done and said is, word
//! for word, what the long way does and says.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use expert_build::base::Event;
use expert_build::ops::build::{Options, build};
use expert_build::ops::glance::Glance;
use expert_build::ops::list::list;
use expert_build::ops::status::status;
use expert_build::ops::workspace::Workspace;
use expert_build::store::Index;
use serde_json::Value;

use crate::space::{Space, options, weights};

const MEMBERS: &str = "[workspace]\nmembers = [\"experts/*\"]\n";
const ENTRIES: &str = "[[expert]]\npath = \"experts/c\"\n[[expert]]\npath = \"experts/a\"\ntags = [\"first\"]\n[[expert]]\npath = \"experts/b\"\n[[expert]]\npath = \"experts/d\"\n";

/// Something that happens to a space.
type Change = (&'static str, fn(&mut Space));

fn nothing(_: &mut Space) {}

fn tick() {
    std::thread::sleep(std::time::Duration::from_millis(30));
}

/// Four experts, built; the grounds are in the index.
fn built(expertfile: &str) -> Space {
    let space = Space::new(expertfile);
    for (seed, name, requires) in [(1, "a", &[][..]), (2, "b", &["a@>=1.0.0"]), (3, "c", &[]), (4, "d", &[])] {
        space.expert(&format!("experts/{name}"), name, seed, requires);
    }
    space.build();
    assert!(Glance::at(&space.setup(), 2).is_some_and(|glance| glance.up_to_date.is_some()));
    space
}

/// The repo by the short way, and whether that could be gone.
fn short(space: &Space) -> Option<(Workspace, bool)> {
    let glance = Glance::at(&space.setup(), 2);
    assert!(glance.as_ref().is_none_or(|glance| glance.up_to_date.is_none()), "a change was not noticed");
    let workspace = Workspace::open_after(space.setup(), glance).ok()?;
    let is_recalled = workspace.is_recalled();
    Some((workspace, is_recalled))
}

/// What a build does and says, without what differs from run to run and from folder to folder.
fn run(workspace: &Workspace, options: &Options) -> Vec<Value> {
    let all: Vec<usize> = (0..workspace.repo.experts.len()).collect();
    let mut events: Vec<Event> = Vec::new();
    let outcome = build(workspace, &all, options, &AtomicBool::new(false), &mut events);
    let root = workspace.root.display().to_string();
    let mut told: Vec<Value> = events.iter().map(|event| plain(event, &root)).collect();
    // Two threads take tasks in any order.
    told.sort_by_key(Value::to_string);
    let outcome = match outcome {
        Ok(report) => {
            format!("{} {:?} {:?} {:?}", report.exit_code(), report.stale, report.failed, report.skipped)
        }
        Err(error) => format!("{error} {:?}", error.diagnostics()),
    };
    told.push(Value::from(outcome.replace(&root, "")));
    told
}

fn plain(event: &Event, root: &str) -> Value {
    let mut value: Value = serde_json::from_str(&serde_json::to_string(event).unwrap().replace(root, "")).unwrap();
    let fields = value.as_object_mut().unwrap();
    for field in ["took_ms", "took_us", "at_us", "saved_ms", "thread", "id", "after"] {
        fields.remove(field);
    }
    value
}

/// What the verbs that build nothing say.
fn asked(workspace: &Workspace) -> [String; 2] {
    let all: Vec<usize> = (0..workspace.repo.experts.len()).collect();
    let status = serde_json::to_string(&status(workspace, &all, 2).unwrap()).unwrap();
    [status, serde_json::to_string(&list(workspace, &all, 2).unwrap()).unwrap()]
}

/// After each of these changes, and one of a README beside it, both ways lead to the same, and leave the same behind.
fn same_both_ways(expertfile: &str, is_recalled: bool, changes: &[Change]) {
    for (name, change) in changes {
        let pair = [built(expertfile), built(expertfile)].map(|mut space| {
            space.write("experts/d/README.md", b"# edited\n");
            change(&mut space);
            tick();
            space
        });
        let [by_glance, by_disk] = &pair;
        let was_recalled = short(by_glance).is_some_and(|(_, was)| was);
        assert_eq!(was_recalled, is_recalled, "{name}: which way");
        let Some((workspace, _)) = short(by_glance) else {
            assert!(Workspace::open(by_disk.setup()).is_err(), "{name}");
            continue;
        };
        let long = by_disk.open();
        let shown = |workspace: &Workspace| {
            let above = workspace.root.parent().unwrap().display().to_string();
            format!("{:#?}", workspace.repo).replace(&above, "")
        };
        assert!(shown(&workspace) == shown(&long), "{name}: {}", shown(&workspace));
        assert_eq!(asked(&workspace), asked(&long), "{name}");
        for more in [Options { dry_run: true, ..options() }, options()] {
            assert_eq!(run(&workspace, &more), run(&long, &more), "{name}");
        }
        tick();
        let grounds = |space: &Space| Glance::at(&space.setup(), 2).map(|glance| glance.up_to_date);
        assert_eq!(grounds(by_glance), grounds(by_disk), "{name}: what the next run knows");
        // The next run by the long way finds nothing that was left undone.
        let both = pair.each_ref().map(|space| run(&space.open(), &options()));
        assert_eq!(both[0], both[1], "{name}: the next run");
        let keys =
            pair.each_ref().map(|space| Index::load(&space.open().index).keys().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(keys[0], keys[1], "{name}");
    }
}

#[test]
fn files_of_experts_that_were_known() {
    let changes: &[Change] = &[
        ("nothing more", nothing),
        ("two", |s| s.write("experts/a/README.md", b"# other\n")),
        ("one that requires and one that is required", |s| {
            s.write("experts/a/README.md", b"# other\n");
            s.write("experts/b/README.md", b"# other\n");
        }),
        ("new file", |s| s.write("experts/a/LICENSE", b"text\n")),
        ("file gone", |s| std::fs::remove_file(s.path("experts/b/README.md")).unwrap()),
        ("output gone", |s| std::fs::remove_file(s.path("experts/a/weights/a.v1.0.0.expert")).unwrap()),
        ("touched", |s| s.write("experts/a/README.md", b"# a\n")),
        ("a copy of another's weights", |s| {
            s.write("experts/c/weights/adapter_model.safetensors", &weights(1));
        }),
        ("damaged", |s| s.write("experts/c/weights/adapter_model.safetensors", b"damaged")),
        ("required anew", |s| s.manifest("experts/c", "c", "1.0.0", &["nobody@>=1.0.0"])),
        ("too old for whom it is required by", |s| s.manifest("experts/a", "a", "0.9.0", &[])),
        ("newer", |s| s.manifest("experts/a", "a", "1.1.0", &[])),
        ("another's name", |s| s.manifest("experts/c", "d", "1.0.0", &[])),
        ("a circle", |s| s.manifest("experts/a", "a", "1.0.0", &["b"])),
        ("no manifest at all", |s| s.write("experts/a/manifest.json", b"{")),
    ];
    same_both_ways(MEMBERS, true, changes);
    same_both_ways(ENTRIES, true, changes);
}

#[test]
fn what_makes_other_experts_or_settings() {
    let changes: &[Change] = &[
        ("new expert", |s| s.expert("experts/e", "e", 5, &[])),
        ("expert gone", |s| std::fs::remove_dir_all(s.path("experts/c")).unwrap()),
        ("moved", |s| std::fs::rename(s.path("experts/c"), s.path("experts/x")).unwrap()),
        ("manifest gone", |s| std::fs::remove_file(s.path("experts/a/manifest.json")).unwrap()),
        ("its own Expertfile", |s| s.write("experts/a/Expertfile.toml", b"[defaults]\nlevel = 1\n")),
        ("an Expertfile of the one that was edited", |s| {
            s.write("experts/d/Expertfile.toml", b"[defaults]\nlevel = 1\n");
        }),
        ("Expertfile", |s| s.write("Expertfile.toml", format!("{MEMBERS}[defaults]\nlevel = 1\n").as_bytes())),
        ("Expertfile, nothing new", |s| s.write("Expertfile.toml", format!("{MEMBERS}# a word\n").as_bytes())),
        ("flag", |s| s.request = s.request.clone().flag("--compression", "compression", "zstd")),
        ("variable", |s| drop(s.request.env.insert("EXPERT_BUILD_LEVEL".into(), "2".into()))),
        ("user's configuration", |s| s.write("../config/config.toml", b"[defaults]\nlevel = 3\n")),
    ];
    same_both_ways(MEMBERS, false, changes);
}

#[test]
fn experts_with_keys_configs_and_expertfiles_of_their_own() {
    let expertfile = format!(
        "{MEMBERS}[defaults]\nkey = \"../key.pem\"\n[defaults.model.\"tiny-qwen3\"]\nconfig = \"models/config.json\"\n"
    );
    let made = || {
        let space = Space::new(&expertfile);
        for (seed, name) in [(1, "a"), (2, "b"), (3, "linked")] {
            space.expert(&format!("experts/{name}"), name, seed, &[]);
        }
        space.write("models/config.json", br#"{"hidden_size": 4, "num_hidden_layers": 1}"#);
        space.write("experts/b/Expertfile.toml", b"[defaults]\nlevel = 1\n");
        expert_build::ops::keygen::keygen(&space.path("../key.pem")).unwrap_or_else(|e| panic!("{e}"));
        std::fs::rename(space.path("experts/linked/manifest.json"), space.path("experts/linked/real.json")).unwrap();
        std::os::unix::fs::symlink("real.json", space.path("experts/linked/manifest.json")).unwrap();
        space.build();
        space
    };
    let space = made();
    let stale = |space: &Space| {
        tick();
        let (workspace, is_recalled) = short(space).unwrap();
        assert_eq!(workspace.repo, space.open().repo);
        let report = run(&workspace, &options());
        assert!(report.last().unwrap().as_str().unwrap().starts_with('0'), "{report:#?}");
        tick();
        (is_recalled, report.iter().filter(|event| event["reason"] == "artifact").count())
    };
    let is_up_to_date = |space: &Space| Glance::at(&space.setup(), 2).is_some_and(|glance| glance.up_to_date.is_some());
    for name in ["a", "b", "linked"] {
        space.write(&format!("experts/{name}/README.md"), b"# other\n");
        assert_eq!(stale(&space), (true, 1), "{name}");
        assert!(is_up_to_date(&space), "{name}");
    }
    // The grounds of a run that had a target for one expert alone still speak of what all others rest on.
    let change: [fn(&Space); 3] = [
        |s| s.write("models/config.json", br#"{"hidden_size": 4, "num_hidden_layers": 1} "#),
        |s| s.write("experts/b/Expertfile.toml", b"[defaults]\nlevel = 2\n"),
        |s| {
            std::fs::remove_file(s.path("../key.pem")).unwrap();
            std::fs::remove_file(s.path("../key.pub")).unwrap();
            expert_build::ops::keygen::keygen(&s.path("../key.pem")).unwrap_or_else(|e| panic!("{e}"));
        },
    ];
    for (change, built) in change.iter().zip([3, 1, 3]) {
        space.write("experts/a/README.md", format!("# {built}\n").as_bytes());
        assert_eq!(stale(&space), (true, 1));
        change(&space);
        assert!(!is_up_to_date(&space));
        assert_eq!(stale(&space), (false, built));
        space.build();
        assert!(is_up_to_date(&space));
    }
}

/// Between the glance and the resolving the world may change: then nothing is recalled.
#[test]
fn what_changes_after_the_glance() {
    let changes: &[Change] = &[
        ("Expertfile", |s| s.write("Expertfile.toml", format!("{MEMBERS}[defaults]\nlevel = 1\n").as_bytes())),
        ("new expert", |s| s.expert("experts/e", "e", 5, &[])),
        ("an Expertfile of the one that was edited", |s| {
            s.write("experts/d/Expertfile.toml", b"[defaults]\nlevel = 1\n");
        }),
        ("another build", |s| drop(s.build())),
        ("another request", |s| drop(s.request.env.insert("EXPERT_BUILD_LEVEL".into(), "2".into()))),
    ];
    for (name, change) in changes {
        let mut space = built(MEMBERS);
        space.write("experts/d/README.md", b"# edited\n");
        tick();
        let glance = Glance::at(&space.setup(), 2);
        assert!(glance.is_some(), "{name}");
        change(&mut space);
        tick();
        let workspace = Workspace::open_after(space.setup(), glance).unwrap();
        assert!(!workspace.is_recalled(), "{name}");
        assert_eq!(workspace.repo, space.open().repo, "{name}");
        run(&workspace, &options());
        tick();
        let left = run(&space.open(), &Options { frozen: true, ..options() });
        assert!(left.last().unwrap().as_str().unwrap().starts_with("0 []"), "{name}: {left:#?}");
    }
    // An expert that was as it was when it was glanced at, and then changed, is built by the next run.
    let space = built(MEMBERS);
    space.write("experts/d/README.md", b"# edited\n");
    tick();
    let glance = Glance::at(&space.setup(), 2);
    space.write("experts/a/README.md", b"# edited\n");
    space.write("experts/b/Expertfile.toml", b"[defaults]\nlevel = 1\n");
    tick();
    let workspace = Workspace::open_after(space.setup(), glance).unwrap();
    assert!(workspace.is_recalled());
    run(&workspace, &options());
    // A second run in the same workspace looks again.
    tick();
    run(&workspace, &options());
    assert!(Path::new(&space.path("experts/d/weights/d.v1.0.0.expert")).exists());
    assert_eq!(space.build().built, 1, "b by its own Expertfile");
}
