//! What is done again when something changed, and what is not.

use std::fs::FileTimes;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use crate::archive::{content, paths};
use crate::expert::Expert;
use crate::space::Space;

const PACKAGE: &str = "experts/a/weights/a.v1.0.0.expert";
const CHECKSUM: &str = "experts/a/weights/a.v1.0.0.expert.sha256";

fn built() -> Space {
    let space = Space::with(&[Expert::lora("a").soft_prompt("intro"), Expert::lora("b")]);
    space.run("build").ok().did([2, 0, 0, 0]);
    space
}

fn touch(space: &Space, path: &str, ago: u64) {
    let file = std::fs::File::options().write(true).open(space.path(path)).unwrap();
    file.set_times(FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(ago))).unwrap();
}

#[test]
fn a_second_build_does_nothing() {
    let space = built();
    let before = space.outputs();
    space.run("build").ok().did([0, 0, 2, 0]);
    assert_eq!(space.outputs(), before, "no output was written again");
}

#[test]
fn a_touched_file_changes_nothing_and_is_forgotten() {
    let space = built();
    let before = space.outputs();
    for path in ["manifest.json", "adapter_model.safetensors", "README.md", "soft_prompts/intro.pt"] {
        touch(&space, &format!("experts/a/{path}"), 3600);
        space.run("build").ok().did([0, 0, 2, 0]);
        assert_eq!(space.outputs(), before, "{path}");
        space.run("build").ok().did([0, 0, 2, 0]);
        space.run("build --frozen").ok();
    }
}

#[test]
fn an_edited_readme_makes_that_package_alone_new() {
    let space = built();
    let before = space.packages();
    space.write("experts/a/README.md", "# Better words\n");
    space.run("build").ok().did([1, 0, 1, 0]);
    let after = space.packages();
    assert_eq!(content(&after[PACKAGE], "README.md"), b"# Better words\n");
    assert_ne!(after[PACKAGE], before[PACKAGE]);
    assert_ne!(after[CHECKSUM], before[CHECKSUM]);
    assert_eq!(after["experts/b/weights/b.v1.0.0.expert"], before["experts/b/weights/b.v1.0.0.expert"]);

    // And back: the cache still has it.
    space.write("experts/a/README.md", "# a\n");
    space.run("build").ok().did([0, 1, 1, 0]);
    assert_eq!(space.packages(), before);
}

#[test]
fn a_change_of_equal_size_and_time_is_seen() {
    let space = built();
    let path = space.path("experts/a/README.md");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "# A\n").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    drop(file);
    space.run("build").ok().did([1, 0, 1, 0]);
    assert_eq!(content(&space.read(PACKAGE), "README.md"), b"# A\n");
}

#[test]
fn a_file_that_is_added_or_removed_is_seen() {
    let space = built();
    space.write("experts/a/tokenizer.json", "{}");
    space.write("experts/a/soft_prompts/second.pt", crate::expert::soft_prompt("second"));
    space.run("build").ok().did([1, 0, 1, 0]);
    let with = paths(&space.read(PACKAGE));
    assert!(with.contains(&"tokenizer.json".into()) && with.contains(&"soft_prompts/second.pt".into()), "{with:?}");
    space.remove("experts/a/tokenizer.json");
    space.remove("experts/a/soft_prompts/second.pt");
    space.run("build").ok().did([0, 1, 1, 0]);
    assert!(!paths(&space.read(PACKAGE)).contains(&"tokenizer.json".into()));
}

#[test]
fn a_file_that_no_package_takes_changes_nothing() {
    let space = built();
    let before = space.outputs();
    space.write("experts/a/notes.txt", "not packaged");
    space.write("experts/a/checkpoint-250/optimizer.pt", "debris");
    space.run("build").ok().did([0, 0, 2, 0]);
    assert_eq!(space.outputs(), before);
}

#[test]
fn a_changed_setting_makes_new_packages() {
    let space = built();
    let before = space.packages();
    let with = |defaults: &str| format!("[workspace]\nmembers = [\"experts/*\"]\n[defaults]\n{defaults}\n");
    space.write("Expertfile.toml", with("level = 9"));
    space.run("build").ok().did([2, 0, 0, 0]);
    space.write("Expertfile.toml", with("publisher = \"someone\""));
    space.run("build").ok().did([2, 0, 0, 0]);
    space.write("Expertfile.toml", with("# a comment changes nothing"));
    space.run("build").ok().did([0, 2, 0, 0]);
    assert_eq!(space.packages(), before);
    let stamps = space.outputs();
    space.write("Expertfile.toml", with("tags = [\"words to choose by change no package\"]"));
    space.run("build").ok().did([0, 0, 2, 0]);
    assert_eq!(space.outputs(), stamps);
}

#[test]
fn a_lost_or_damaged_package_is_restored() {
    let space = built();
    let before = space.packages();
    let good = &before[PACKAGE];
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let mut longer = good.clone();
    longer.push(0);
    for damage in [Vec::new(), good[..good.len() / 2].to_vec(), flipped(good.len() / 2), flipped(0), longer] {
        space.write(PACKAGE, damage);
        space.run("build").ok().did([0, 1, 1, 0]);
        assert_eq!(space.packages(), before);
    }
    space.remove(PACKAGE);
    space.run("build").ok().did([0, 1, 1, 0]);
    assert_eq!(space.packages(), before);
    space.run("build").ok().did([0, 0, 2, 0]);
}

#[test]
fn a_lost_or_damaged_checksum_is_restored() {
    let space = built();
    let before = space.packages();
    let package = space.stamp(PACKAGE);
    space.write(CHECKSUM, "0000  something else\n");
    space.run("build").ok();
    assert_eq!(space.packages(), before);
    space.remove(CHECKSUM);
    space.run("build").ok();
    assert_eq!(space.packages(), before);
    assert_eq!(space.stamp(PACKAGE), package, "the package itself was not written again");
}

#[test]
fn a_package_of_equal_size_and_time_but_other_bytes_is_restored() {
    let space = built();
    let before = space.packages();
    let modified = std::fs::metadata(space.path(PACKAGE)).unwrap().modified().unwrap();
    let mut bytes = before[PACKAGE].clone();
    *bytes.last_mut().unwrap() ^= 1;
    space.write(PACKAGE, bytes);
    let file = std::fs::File::options().write(true).open(space.path(PACKAGE)).unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    drop(file);
    space.run("build").ok();
    assert_eq!(space.packages(), before);
}

#[test]
fn without_the_cache_all_is_made_again_with_the_same_bytes() {
    let space = built();
    let before = space.packages();
    std::fs::remove_dir_all(space.outer("cache")).unwrap();
    space.run("build").ok();
    assert_eq!(space.packages(), before);
    std::fs::remove_dir_all(space.outer("cache")).unwrap();
    space.remove(PACKAGE);
    space.run("build").ok();
    assert_eq!(space.packages(), before);
}

#[test]
fn every_file_of_the_cache_may_be_damaged() {
    let space = built();
    let before = space.packages();
    let cache = space.outer("cache");
    for path in crate::space::files_below(&cache) {
        let path = cache.join(path);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 0xff;
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    for (path, _) in space.outputs() {
        space.remove(&path);
    }
    space.run("build").ok();
    assert_eq!(space.packages(), before);
    space.run("build").ok().did([0, 0, 2, 0]);
}

#[test]
fn a_new_version_leaves_the_old_package_where_it_is() {
    let space = built();
    let old = space.read(PACKAGE);
    space.add("experts/a", &Expert::lora("a").soft_prompt("intro").version("1.1.0"));
    space.run("build").ok().did([1, 0, 1, 0]);
    assert!(space.exists("experts/a/weights/a.v1.1.0.expert"));
    assert_eq!(space.read(PACKAGE), old);
    assert!(!paths(&space.read("experts/a/weights/a.v1.1.0.expert")).iter().any(|path| path.contains(".expert")));
}

/// Experts of one base model share its tokenizer: it is parsed once, and what it says counts for each of them.
#[test]
fn a_shared_tokenizer_is_read_into_once_and_judged_for_every_expert() {
    let words: Vec<String> = (0..90_000).map(|i| format!("\"word{i}\":{i}")).collect();
    let tokenizer = format!("{{\"model\":{{\"vocab\":{{{}}}}}}}", words.join(","));
    assert!(tokenizer.len() > 1 << 20, "large enough to be packed by itself");
    let names = ["a", "b", "c", "d"];
    // The same content under a name that says nothing of tokens comes first, and must not answer for the other.
    let expert = |name| Expert::lora(name).file("tokenizer.json", &tokenizer).file("a.json", &tokenizer);
    let space = Space::with(&names.map(expert));
    let tables = names.map(|name| {
        format!("[[expert]]\npath = \"experts/{name}\"\ninclude = [\"a.json\"]\n[expert.model.\"tiny\"]\nconfig = \"config.json\"\n")
    });
    space.write("Expertfile.toml", tables.concat());
    space.write("config.json", "{\"model_type\":\"qwen3\",\"hidden_size\":8,\"vocab_size\":1000}");
    for jobs in ["-j 1", "-j 4", "-j 1 --force"] {
        let ran = space.run(&format!("build {jobs} --message-format json"));
        let told = ran.stdout.lines().filter(|line| line.contains("the tokenizer has 90000 tokens")).count();
        assert_eq!(told, names.len(), "{}", ran.shown());
        for path in space.packages().into_keys().collect::<Vec<_>>() {
            space.remove(&path);
        }
        std::fs::remove_dir_all(space.outer("cache")).expect("the cache can be removed");
    }
}
