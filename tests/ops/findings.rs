//! What is found is told as long as it is true: by `check` always, by `build` when something was done.

use expert_build::base::{Event, Severity};
use expert_build::ops::build::Options;
use serde_json::json;

use crate::space::{Space, options, weights};

const CHECK: Options = Options {
    jobs: 2,
    keep_going: true,
    check: true,
    force: false,
    dry_run: false,
    frozen: false,
    locked: false,
    provenance: false,
    unlocked: false,
    whole: false,
};

/// An expert for two base models, whose weights have these seeds.
fn two_models(space: &Space, seeds: [u8; 2]) {
    let model = |name: &str| {
        json!({"name": name, "adapters": [{"type": "lora", "path": format!("weights/{name}.safetensors"), "r": 2,
            "alpha": 4, "target_modules": ["q_proj"]}]})
    };
    let manifest = json!({"schema_version": "2.0", "name": "pair", "version": "1.0.0", "description": "two of them",
        "base_models": [model("big"), model("small")]});
    space.write("pair/manifest.json", manifest.to_string().as_bytes());
    for (name, seed) in ["big", "small"].into_iter().zip(seeds) {
        space.write(&format!("pair/weights/{name}.safetensors"), &weights(seed));
    }
}

fn expertfile(models: &str) -> String {
    format!("expertfile = 1\n[workspace]\nout-dir = \"dist\"\n[[expert]]\npath = \"pair\"\nmodels = {models}\n")
}

/// As on a machine that has the cache and nothing else.
fn forget(space: &Space) {
    std::fs::remove_dir_all(space.path("../cache/v1/repos")).unwrap();
    let _ = std::fs::remove_dir_all(space.path("dist"));
}

/// The codes of what is told, and how many tasks found their results in the cache.
fn told(space: &Space, options: &Options, code: &str) -> (usize, usize) {
    let (report, events) = space.try_build(options);
    assert_eq!(report.unwrap().exit_code(), 0);
    let is = |event: &&Event| matches!(event, Event::Diagnostic(found) if found.code.name == code);
    let restored = events.iter().filter_map(|event| match event {
        Event::RunFinish { restored, .. } => Some(*restored),
        _ => None,
    });
    (events.iter().filter(is).count(), restored.sum())
}

#[test]
fn packages_that_were_cached_apart_are_compared_with_each_other() {
    let space = Space::new(&expertfile("[\"big\"]"));
    two_models(&space, [1, 1]);
    assert_eq!(space.build().built, 1);
    space.write("Expertfile.toml", expertfile("[\"small\"]").as_bytes());
    assert_eq!(space.build().built, 1);
    space.write("Expertfile.toml", expertfile("\"all\"").as_bytes());
    forget(&space);
    assert_eq!(told(&space, &options(), "weights-copy"), (1, 2), "both packages from the cache, and compared");
    forget(&space);
    assert_eq!(told(&space, &options(), "weights-copy"), (1, 2), "now the records know it");
    // One of them is trained anew: what the record of the other one says is no longer true.
    std::thread::sleep(std::time::Duration::from_millis(30));
    two_models(&space, [1, 2]);
    assert_eq!(told(&space, &options(), "weights-copy").0, 0);
    for _ in 0..2 {
        forget(&space);
        assert_eq!(told(&space, &options(), "weights-copy"), (0, 2));
    }
    assert_eq!(told(&space, &CHECK, "weights-copy").0, 0);
}

#[test]
fn what_an_entry_says_of_a_model_that_is_not_there_is_told() {
    let file = |more: &str| {
        format!(
            "[workspace]\nmembers = [\"e\"]\n[defaults.model.other]\nslug = \"o\"\n[[expert]]\npath = \"e\"\n{more}"
        )
    };
    let space = Space::new(&file("[expert.model.tiny-qwn3]\nslug = \"tiny\"\n"));
    space.expert("e", "alpha", 1, &[]);
    let (report, events) = space.try_build(&options());
    assert_eq!(report.unwrap().exit_code(), 0);
    let help = events.iter().find_map(|event| match event {
        Event::Diagnostic(found) if found.code.name == "expertfile-ignored" => found.help.clone(),
        _ => None,
    });
    assert_eq!(help.as_deref(), Some("did you mean `tiny-qwen3`?"));
    space.write("Expertfile.toml", file("[expert.model.tiny-qwen3]\nslug = \"tiny\"\n").as_bytes());
    assert_eq!(told(&space, &options(), "expertfile-ignored").0, 0);
    // A model that is asked for and not there is a fault of the Expertfile, not of the expert's files.
    space.write("Expertfile.toml", file("models = [\"nope\"]\n").as_bytes());
    assert_eq!(space.try_build(&options()).0.unwrap().exit_code(), 2);
}

#[test]
fn what_lies_beside_a_package_is_not_remembered_with_it() {
    let space = Space::new("expertfile = 1\n[workspace]\nmembers = [\"e\"]\nout-dir = \"dist\"\n");
    space.expert("e", "alpha", 1, &[]);
    space.write("e/weights/training_args.bin", b"a pickle");
    space.write("e/training_args.bin", b"a pickle");
    let code = "training-args-left-out";
    assert!(told(&space, &options(), code).0 > 0);
    forget(&space);
    assert!(told(&space, &options(), code).0 > 0, "it is still there");
    forget(&space);
    std::fs::remove_file(space.path("e/training_args.bin")).unwrap();
    std::fs::remove_file(space.path("e/weights/training_args.bin")).unwrap();
    assert_eq!(told(&space, &options(), code), (0, 1));
}

#[test]
fn check_tells_copies_and_everything_else_each_time() {
    let space = Space::new("expertfile = 1\n[workspace]\nmembers = [\"e/*\"]\nout-dir = \"dist\"\n");
    space.expert("e/a", "alpha", 1, &[]);
    space.expert("e/b", "beta", 1, &[]);
    for _ in 0..2 {
        assert_eq!(told(&space, &CHECK, "weights-copy").0, 1, "nothing was ever built");
    }
    space.build();
    let warnings = |space: &Space| {
        let (_, events) = space.try_build(&CHECK);
        let is = |event: &&Event| matches!(event, Event::Diagnostic(found) if found.severity == Severity::Warning);
        events.iter().filter(is).count()
    };
    let all = warnings(&space);
    assert!(all > 1);
    assert_eq!(warnings(&space), all);
    // A build with nothing to do repeats none, and says how many that are.
    let report = space.build();
    assert_eq!((report.built, report.fresh, report.warnings, report.not_repeated), (0, 2, 0, all));
    // Where one is built again, its warnings are told and those of the other are not.
    space.write("e/a/README.md", b"# new\n");
    let report = space.build();
    assert_eq!((report.built, report.warnings > 0, report.warnings + report.not_repeated), (1, true, all));
    assert_eq!(space.build().not_repeated, all);
    // An error among them fails the expert that it is found at, whatever was valid in itself.
    let denied = "expertfile = 1\n[workspace]\nmembers = [\"e/*\"]\n[defaults.lints]\n\"weights-copy\" = \"deny\"\n";
    space.write("Expertfile.toml", denied.as_bytes());
    let (report, _) = space.try_build(&CHECK);
    let report = report.unwrap();
    assert_eq!((report.exit_code(), report.checked, report.failed.len()), (11, 1, 1));
}

#[test]
fn what_python_would_unpickle_is_packaged_only_by_its_own_name() {
    let file = |include: &str| {
        format!(
            "expertfile = 1\n[workspace]\nmembers = [\"e\"]\nout-dir = \"dist\"\n[defaults]\ninclude = [{include}]\n"
        )
    };
    let space = Space::new(&file("\"*.bin\""));
    space.expert("e", "alpha", 1, &[]);
    space.write("e/x.bin", b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.");
    let codes = |space: &Space| -> Vec<&'static str> {
        std::thread::sleep(std::time::Duration::from_millis(30));
        let (report, events) = space.try_build(&options());
        let errors = events.iter().filter_map(|event| match event {
            Event::Diagnostic(found) if found.is_error() => Some(found.code.name),
            _ => None,
        });
        let errors: Vec<&str> = errors.collect();
        assert_eq!(report.unwrap().exit_code(), if errors.is_empty() { 0 } else { 11 });
        errors
    };
    assert_eq!(codes(&space).len(), 1);
    space.write("Expertfile.toml", file("\"x.bin\"").as_bytes());
    assert_eq!(codes(&space), [""; 0], "named in so many words");
    // The cache has the package now; a pattern is still not a name.
    space.write("Expertfile.toml", file("\"x.*\"").as_bytes());
    assert_eq!(codes(&space).len(), 1);
    // A big one is told by its first bytes, one of protocol 0 by its name; other files are nobody's business.
    space.write("Expertfile.toml", file("\"y*\"").as_bytes());
    space.write("e/y.bin", &[&b"\x80\x04"[..], &[b'N'; 3 << 20]].concat());
    assert_eq!(codes(&space).len(), 1);
    std::fs::remove_file(space.path("e/y.bin")).unwrap();
    space.write("e/y.pkl", b"cos\nsystem\n(S'ls'\ntR.");
    assert_eq!(codes(&space).len(), 1);
    std::fs::remove_file(space.path("e/y.pkl")).unwrap();
    space.write("e/y.bin", &[7; 100]);
    space.write("e/y.zip", b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.txt");
    space.write("e/y", b"");
    assert_eq!(codes(&space), [""; 0]);
}

#[test]
fn a_pointer_in_the_place_of_the_manifest_is_called_one() {
    let space = Space::new("expertfile = 1\n[workspace]\nmembers = [\"e\"]\n");
    space.expert("e", "alpha", 1, &[]);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12\n", "ab".repeat(32));
    space.write("e/manifest.json", pointer.as_bytes());
    let (report, _) = space.try_build(&CHECK);
    let failed = report.unwrap().failed;
    assert_eq!(failed[0].1.diagnostics()[0].code.name, "git-lfs-pointer", "{failed:?}");
}
