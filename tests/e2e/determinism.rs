//! The same inputs and settings give the same bytes, whatever the machine, folder, user, time and threads.

use std::collections::BTreeMap;
use std::fs::FileTimes;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use crate::archive::{entries, manifest};
use crate::expert::Expert;
use crate::space::{Space, files_below};

fn experts() -> [Expert; 3] {
    let sql = Expert::lora("expert-sql").soft_prompt("b").soft_prompt("a").requires(&["base"]);
    // Longer than one segment, so that threads share it.
    let big = (0..3_000_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect::<Vec<u8>>();
    [sql.file("tokenizer.json", "{\"a\": 1}").file("vocab.model", big), Expert::two_models("base"), Expert::lora("c")]
}

fn space(compression: &str) -> Space {
    let space = Space::with(&experts());
    space.write(
        "Expertfile.toml",
        format!("[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ncompression = \"{compression}\"\n"),
    );
    space
}

fn built(space: &Space, arguments: &str) -> BTreeMap<String, Vec<u8>> {
    space.run(arguments).ok();
    let packages = space.packages();
    assert_eq!(packages.len(), 8, "{:?}", packages.keys());
    packages
}

/// As `assert_eq`, without printing megabytes.
#[track_caller]
fn same(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert!(a.keys().eq(b.keys()), "{what}: {:?} and {:?}", a.keys(), b.keys());
    let differ: Vec<&String> = a.keys().filter(|path| a[*path] != b[*path]).collect();
    assert!(differ.is_empty(), "{what}: {differ:?}");
}

#[test]
fn neither_folder_nor_user_nor_time_nor_threads_nor_cache_show() {
    for compression in ["gzip", "zstd", "none"] {
        let first = space(compression);
        let expected = built(&first, "build -j 1");

        let mut other = space(compression);
        other.umask("077");
        for (name, value) in
            [("TZ", "Pacific/Auckland"), ("LC_ALL", "tr_TR.UTF-8"), ("LANG", "ja_JP"), ("USER", "someone"), ("CI", "1")]
        {
            other.set(name, value);
        }
        for path in files_below(&other.path("")) {
            let file = std::fs::File::open(other.path(&path)).unwrap();
            file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(7))).unwrap();
            file.set_permissions(std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        same(&built(&other, "build -j 8"), &expected, "other folder, umask, zone, language, times and threads");

        let mut warm = space(compression);
        warm.share_cache(&first);
        same(&built(&warm, "build -j 2"), &expected, "from a warm cache");
        same(&built(&warm, "build --force -j 3"), &expected, "by force");
    }
}

#[test]
fn umask_decides_who_may_read_a_package_and_nothing_else_does() {
    for (mask, mode) in [("022", 0o644), ("077", 0o600)] {
        let mut space = Space::with(&[Expert::lora("a")]);
        space.umask(mask);
        space.run("build").ok();
        for path in ["experts/a/weights/a.v1.0.0.expert", "experts/a/weights/a.v1.0.0.expert.sha256"] {
            let got = std::fs::metadata(space.path(path)).unwrap().permissions().mode() & 0o777;
            assert_eq!(got, mode, "umask {mask}: {path} has mode {got:o}");
        }
    }
}

#[test]
fn the_order_of_building_and_earlier_builds_do_not_show() {
    let at_once = space("gzip");
    let expected = built(&at_once, "build");
    let one_by_one = space("gzip");
    one_by_one.write("experts/c/README.md", "an earlier version");
    for folder in ["experts/c", "experts/base", "experts/expert-sql"] {
        one_by_one.run(&format!("-C {folder} build")).ok();
    }
    one_by_one.write("experts/c/README.md", "# c\n");
    same(&built(&one_by_one, "build"), &expected, "one by one");
}

#[test]
fn source_date_epoch_gives_the_times_and_is_all_that_does() {
    let mut space = Space::with(&[Expert::lora("a")]);
    let package = "experts/a/weights/a.v1.0.0.expert";
    space.run("build").ok();
    let plain = space.read(package);
    assert!(entries(&plain).iter().all(|entry| entry.mtime == 315_532_800));
    assert!(manifest(&plain)["integrity"].get("created_at").is_none());

    space.set("SOURCE_DATE_EPOCH", "1700000000");
    space.run("build").ok().did([1, 0, 0, 0]);
    let dated = space.read(package);
    assert!(entries(&dated).iter().all(|entry| entry.mtime == 1_700_000_000));
    assert_eq!(manifest(&dated)["integrity"]["created_at"], "2023-11-14T22:13:20Z");

    space.set("SOURCE_DATE_EPOCH", "");
    space.run("build").ok().did([0, 1, 0, 0]);
    assert_eq!(space.read(package), plain);
    space.set("SOURCE_DATE_EPOCH", "yesterday");
    space.run("build").exits(2).says("SOURCE_DATE_EPOCH");
}
