//! What the index may not be fooled by: links, mounts, backups, clocks, names.

use std::ffi::OsStr;
use std::fs::FileTimes;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::archive::content;
use crate::expert::Expert;
use crate::space::{EXPERT_BUILD, Space, succeeds, tool};

const PACKAGE: &str = "experts/a/weights/a.v1.0.0.expert";
const README: &str = "experts/a/README.md";

fn built() -> Space {
    let space = Space::with(&[Expert::lora("a")]);
    space.run("build").ok().did([1, 0, 0, 0]);
    space.run("build").ok().did([0, 0, 1, 0]);
    space
}

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn readme(space: &Space) -> Vec<u8> {
    content(&space.read(PACKAGE), "README.md")
}

#[test]
fn another_file_of_equal_size_and_time_in_its_place_is_seen() {
    let space = built();
    let (path, other) = (space.path(README), space.outer("other"));
    std::fs::write(&other, "# X\n").unwrap();
    set_modified(&other, modified(&path));
    assert_eq!(std::fs::metadata(&other).unwrap().len(), std::fs::metadata(&path).unwrap().len());
    std::fs::rename(&other, &path).unwrap();
    space.run("build").ok().did([1, 0, 0, 0]);
    assert_eq!(readme(&space), b"# X\n");
}

#[test]
fn a_backup_with_old_times_is_seen_and_one_of_the_same_changes_nothing() {
    let space = built();
    let path = space.path(README);
    let old = SystemTime::now() - Duration::from_secs(400 * 86_400);
    // An older state comes back with the times it had, far before the last build.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "# an older text\n").unwrap();
    set_modified(&path, old);
    space.run("build").ok().did([1, 0, 0, 0]);
    assert_eq!(readme(&space), b"# an older text\n");
    // The whole folder comes back from a copy that keeps times: other inodes, the same content.
    let stamps = space.outputs();
    succeeds(std::process::Command::new("cp").arg("-a").arg(space.path("experts/a")).arg(space.outer("backup")));
    std::fs::rename(space.path("experts/a"), space.outer("gone")).unwrap();
    std::fs::rename(space.outer("backup"), space.path("experts/a")).unwrap();
    space.run("build").ok().did([0, 0, 1, 0]);
    assert_eq!(space.outputs().len(), stamps.len());
    space.run("build --frozen").ok();
}

#[test]
fn a_file_written_through_another_of_its_names_is_seen() {
    let space = built();
    let (path, other) = (space.path(README), space.outer("same-file"));
    std::fs::hard_link(&path, &other).unwrap();
    space.run("build").ok().did([0, 0, 1, 0]);
    let time = modified(&path);
    std::fs::write(&other, "# Y\n").unwrap();
    set_modified(&other, time);
    space.run("build").ok().did([1, 0, 0, 0]);
    assert_eq!(readme(&space), b"# Y\n");
}

#[test]
fn a_package_shares_its_bytes_with_no_other_name() {
    let space = built();
    let good = space.read(PACKAGE);
    // Somebody keeps what was built under another name: it is replaced, not written into.
    let kept = space.outer("kept.expert");
    std::fs::hard_link(space.path(PACKAGE), &kept).unwrap();
    space.write(README, "# another text\n");
    space.run("build").ok().did([1, 0, 0, 0]);
    assert_eq!(std::fs::read(&kept).unwrap(), good);
    // And what somebody writes into a package is not written into the cache, whether it was built or restored.
    for _ in 0..2 {
        let whole = space.read(PACKAGE);
        let mut file = std::fs::File::options().write(true).open(space.path(PACKAGE)).unwrap();
        std::io::Write::write_all(&mut file, &vec![0xff; whole.len()]).unwrap();
        drop(file);
        space.run("build").ok().did([0, 1, 0, 0]);
        assert_eq!(space.read(PACKAGE), whole);
    }
}

#[test]
fn times_from_the_future_prove_nothing() {
    let space = built();
    let path = space.path(README);
    // As after a clock that was set back.
    let ahead = SystemTime::now() + Duration::from_secs(86_400);
    set_modified(&path, ahead);
    let stamps = space.outputs();
    space.run("build").ok().did([0, 0, 1, 0]);
    assert_eq!(space.outputs(), stamps, "read again, not written again");
    std::fs::write(&path, "# Z\n").unwrap();
    set_modified(&path, ahead);
    space.run("build").ok().did([1, 0, 0, 0]);
    assert_eq!(readme(&space), b"# Z\n");
    // The index itself may be from the future too.
    for file in crate::space::files_below(&space.outer("cache")) {
        set_modified(&space.outer("cache").join(file), ahead);
    }
    space.write(README, "# now\n");
    space.run("build").ok().did([1, 0, 0, 0]);
    assert_eq!(readme(&space), b"# now\n");
}

#[test]
fn a_name_that_differs_by_case_alone_is_another_name() {
    let space = built();
    std::fs::rename(space.path(README), space.path("experts/a/readme.md")).unwrap();
    space.run("build").ok().did([1, 0, 0, 0]);
    assert!(!crate::archive::paths(&space.read(PACKAGE)).contains(&"README.md".into()));
    std::fs::rename(space.path("experts/a/readme.md"), space.path(README)).unwrap();
    space.run("build").ok().did([0, 1, 0, 0]);
    assert!(crate::archive::paths(&space.read(PACKAGE)).contains(&"README.md".into()));
}

#[test]
fn what_is_mounted_over_a_folder_is_what_counts() {
    let Some(_) = tool("unshare", &["-m", "true"]) else { return };
    let space = built();
    // The same names, sizes and times, from another folder that is mounted over the expert's.
    let other = space.outer("other");
    succeeds(std::process::Command::new("cp").arg("-a").arg(space.path("experts/a")).arg(&other));
    let time = modified(&space.path(README));
    std::fs::write(other.join("README.md"), "# M\n").unwrap();
    set_modified(&other.join("README.md"), time);
    let script = format!(
        "mount --bind '{}' '{}' && exec '{EXPERT_BUILD}' build 2>&1",
        other.display(),
        space.path("experts/a").display()
    );
    let said = succeeds(&mut space.command("unshare", "", &["-m", "sh", "-c", &script]));
    assert!(said.contains("built 1, restored 0"), "{said}");
    let made = std::fs::read(other.join("weights/a.v1.0.0.expert")).unwrap();
    assert_eq!(content(&made, "README.md"), b"# M\n");
    // Without the mount the old folder is there again, with its old package: nothing is due, or nothing is written.
    let stamps = space.outputs();
    space.run("build").ok().did([0, 0, 1, 0]);
    assert_eq!(space.outputs(), stamps);
    assert_eq!(readme(&space), b"# a\n");
}

#[test]
fn a_repo_whose_path_is_not_utf8_is_up_to_date_too() {
    let space = built();
    space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\nout-dir = \"dist\"\n");
    let odd = space.outer("").join(OsStr::from_bytes(b"od\xffd"));
    std::fs::rename(space.path(""), &odd).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = space.command(EXPERT_BUILD, "", arguments);
        succeeds(command.current_dir(&odd))
    };
    std::fs::create_dir(space.path("")).unwrap();
    assert!(run(&["build"]).contains("restored 1"), "the cache does not care where the repo lies");
    assert!(odd.join("dist/a.v1.0.0.expert").is_file());
    assert!(run(&["build", "--frozen"]).contains("1 package up to date"));
    assert!(run(&["status"]).contains("1 of 1 experts up to date"));
}

/// What a run opens, as strace tells; `None` where there is no strace.
fn opened(space: &Space, arguments: &[&str]) -> Option<Vec<String>> {
    tool("strace", &["-V"])?;
    let trace = space.outer("trace");
    let strace = ["-f", "-qq", "-e", "trace=open,openat,openat2", "-o", trace.to_str().unwrap(), EXPERT_BUILD];
    let ran = space.command("strace", "", &[&strace[..], arguments].concat()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = std::fs::read_to_string(trace).unwrap();
    let paths = text.lines().filter(|line| !line.contains(" = -1 ")).filter_map(|line| line.split('"').nth(1));
    Some(paths.map(str::to_owned).collect())
}

#[test]
fn nothing_to_do_opens_nothing_of_the_repo() {
    let mut space = Space::with(&[Expert::lora("a"), Expert::two_models("b").version("2.0.0")]);
    space.set("PATH", "/usr/local/bin:/usr/bin:/bin");
    std::thread::sleep(Duration::from_millis(50));
    space.run("build").ok();
    space.run("build").ok();
    let root = std::fs::canonicalize(space.path("")).unwrap().to_str().unwrap().to_owned();
    for arguments in [&["build"][..], &["build", "-n"], &["build", "--frozen"], &["status"]] {
        let Some(paths) = opened(&space, arguments) else { return };
        // The folder itself is asked for what lies in it; no file in it is opened, not even the Expertfile.
        let root = Path::new(&root);
        let inside = |path: &&String| Path::new(path).starts_with(root) && Path::new(path) != root;
        assert_eq!(paths.iter().filter(inside).collect::<Vec<_>>(), Vec::<&String>::new(), "{arguments:?}");
        assert!(paths.iter().any(|path| path.ends_with("/index")), "{paths:?}");
    }
    space.write("experts/a/README.md", "# other\n");
    let Some(paths) = opened(&space, &["build"]) else { return };
    assert!(paths.iter().any(|path| path.ends_with("/README.md")), "{paths:?}");
}

#[test]
fn what_is_said_does_not_depend_on_the_way() {
    let space = built();
    std::thread::sleep(Duration::from_millis(50));
    for arguments in ["build", "build -n", "build --frozen", "status", "status --exit-code", "ls", "ls --format json"] {
        space.run("build").ok();
        let short = space.run(arguments).ok();
        // Another request is answered the long way, with the same words.
        let mut long = space.command(EXPERT_BUILD, "", &arguments.split_whitespace().collect::<Vec<_>>());
        let long = long.env("EXPERT_BUILD_PUBLISHER", "").env("EXPERT_BUILD_TAGS", "").output().unwrap();
        let text = |bytes: &[u8]| crate::space::redacted(&String::from_utf8_lossy(bytes));
        assert_eq!(crate::space::redacted(&short.stdout), text(&long.stdout), "{arguments}");
        assert_eq!(crate::space::redacted(&short.stderr), text(&long.stderr), "{arguments}");
    }
}
