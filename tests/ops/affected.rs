//! What a change touches, as git tells it: branches, untracked files, submodules, missing bases.

use std::path::Path;
use std::process::Command;

use expert_build::base::Error;
use expert_build::ops::affected::affected;
use expert_build::ops::workspace::{Setup, Workspace};

use crate::space::Space;

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "protocol.file.allow=always",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Four experts (c requires b), committed on `main`, and a branch on top. `None` without git.
fn repo() -> Option<Space> {
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("SKIPPED: git is not installed");
        return None;
    }
    let space = Space::new(
        "[workspace]\nmembers = [\"experts/*\"]\n[[expert]]\npath = \"experts/d\"\n[expert.model.tiny-qwen3]\nconfig = \"models/config.json\"\n",
    );
    for (folder, name, requires) in
        [("a", "alpha", &[][..]), ("b", "beta", &[]), ("c", "gamma", &["beta"]), ("d", "delta", &[])]
    {
        space.expert(&format!("experts/{folder}"), name, 1, requires);
    }
    space.write("models/config.json", b"{\"hidden_size\": 4}");
    space.write(".gitignore", b"*.expert\n");
    git(&space.root(), &["init", "-q"]);
    commit(&space.root());
    git(&space.root(), &["checkout", "-q", "-b", "work"]);
    Some(space)
}

fn commit(folder: &Path) {
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "-m", "x"]);
}

fn names(space: &Space, base: &str) -> Vec<String> {
    affected(&space.open(), base, 2).unwrap().experts.into_iter().map(|e| e.expert).collect()
}

fn refused(space: &Space, base: &str) -> String {
    match affected(&space.open(), base, 2) {
        Err(Error::Usage { message, help }) => format!("{message}; {}", help.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_settings_and_requirements() {
    let Some(space) = repo() else { return };
    assert!(names(&space, "main").is_empty());
    space.write("README.md", b"of the repo\n");
    let answer = affected(&space.open(), "main", 2).unwrap();
    assert_eq!((answer.experts.len(), answer.others), (0, 1));
    space.write("experts/b/docs/\u{e9} new\n.md", b"untracked\n");
    let answer = affected(&space.open(), "main", 2).unwrap();
    assert_eq!(answer.experts.iter().map(|e| e.expert.as_str()).collect::<Vec<_>>(), ["beta", "gamma"]);
    assert_eq!(answer.experts[0].files, ["experts/b/docs/\u{e9} new\n.md"]);
    assert_eq!((answer.experts[1].files.len(), &answer.experts[1].through[..]), (0, &["beta".to_owned()][..]));
    commit(&space.root());
    assert_eq!(names(&space, "main"), ["beta", "gamma"]);
    // What happens on the base after the branch left it is none of the branch's doing.
    git(&space.root(), &["checkout", "-q", "main"]);
    std::fs::remove_file(space.path("experts/a/README.md")).unwrap();
    commit(&space.root());
    git(&space.root(), &["checkout", "-q", "work"]);
    assert_eq!(names(&space, "main"), ["beta", "gamma"]);
    assert_eq!(names(&space, "work~1"), ["beta", "gamma"]);
    space.write("models/config.json", b"{\"hidden_size\": 8}");
    assert_eq!(names(&space, "HEAD"), ["delta"]);
    std::fs::write(space.path("Expertfile.toml"), "[workspace]\nmembers = [\"experts/*\"]\n").unwrap();
    assert_eq!(names(&space, "HEAD"), ["alpha", "beta", "gamma", "delta"]);
    assert_eq!(affected(&space.open_at("experts/a"), "HEAD", 2).unwrap().experts.len(), 4);
}

#[test]
fn a_removed_expert_affects_those_that_require_it() {
    let Some(space) = repo() else { return };
    std::fs::remove_dir_all(space.path("experts/b")).unwrap();
    assert_eq!(names(&space, "main"), ["gamma"]);
}

/// No version fits any more, or nobody has the name: the next full build fails for those that require it.
#[test]
fn what_a_change_breaks_is_affected() {
    let Some(space) = repo() else { return };
    space.expert("experts/c", "gamma", 1, &["beta@<2.0.0"]);
    commit(&space.root());
    let manifest = String::from_utf8(space.read("experts/b/manifest.json")).unwrap();
    let change = |from: &str, to: &str| {
        assert!(manifest.contains(from), "{manifest}");
        space.write("experts/b/manifest.json", manifest.replace(from, to).as_bytes());
    };
    change("\"1.0.0\"", "\"2.0.0\"");
    assert_eq!(names(&space, "HEAD"), ["beta", "gamma"]);
    change("\"beta\"", "\"better\"");
    assert_eq!(names(&space, "HEAD"), ["better", "gamma"]);
    space.write("experts/b/manifest.json", b"{");
    assert_eq!(names(&space, "HEAD"), ["experts/b", "gamma"]);
    commit(&space.root());
    assert_eq!(names(&space, "HEAD~1"), ["experts/b", "gamma"]);
    // A clone that has no old files, and cannot get them: what they were is not known, and not nothing.
    git(&space.root(), &["config", "uploadpack.allowFilter", "true"]);
    let clones = tempfile::tempdir().unwrap();
    let clone = clones.path().join("clone");
    let origin = format!("file://{}", space.root().display());
    git(clones.path(), &["clone", "-q", "--filter=blob:none", "--branch=work", &origin, "clone"]);
    std::fs::rename(space.path(".git"), space.path("gone")).unwrap();
    let workspace = Workspace::open(Setup { directory: clone, ..space.setup() }).unwrap();
    let told = format!("{:?}", affected(&workspace, "HEAD~1", 2).unwrap_err());
    assert!(told.contains("`git cat-file` failed"), "{told}");
}

#[test]
fn submodules_are_looked_into() {
    let Some(space) = repo() else { return };
    let other = tempfile::tempdir().unwrap();
    let origin = other.path().join("pack");
    std::fs::create_dir_all(origin.join("one")).unwrap();
    for folder in ["one", "two"] {
        for file in ["manifest.json", "README.md", "weights/adapter_model.safetensors"] {
            let to = origin.join(folder).join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(space.path("experts/a").join(file), to).unwrap();
        }
    }
    std::fs::write(origin.join("two/manifest.json"), space.read("experts/a/manifest.json")).unwrap();
    git(&origin, &["init", "-q"]);
    commit(&origin);
    git(&space.root(), &["submodule", "--quiet", "add", origin.to_str().unwrap(), "packs"]);
    std::fs::write(space.path("Expertfile.toml"), "[workspace]\nmembers = [\"experts/*\", \"packs/*\"]\n").unwrap();
    commit(&space.root());
    let folders = |base: &str| -> Vec<String> {
        affected(&space.open(), base, 2).unwrap().experts.into_iter().map(|e| e.folder).collect()
    };
    assert!(folders("HEAD").is_empty());
    space.write("packs/two/README.md", b"dirty\n");
    assert_eq!(folders("HEAD"), ["packs/two"]);
    commit(&space.path("packs"));
    commit(&space.root());
    assert_eq!(folders("HEAD~1"), ["packs/two"], "the submodule moved, and only one of its experts differs");
    assert_eq!(folders("main").len(), 6, "the Expertfile differs from main's");
    git(&space.root(), &["submodule", "--quiet", "deinit", "-f", "packs"]);
    let error = Workspace::open(space.setup()).err().unwrap();
    let help = error.diagnostics()[0].help.clone().unwrap();
    assert_eq!(help, "`packs` is empty: if it is a git submodule, `git submodule update --init` fills it");
}

#[test]
fn a_missing_base_is_told_with_the_command_that_fetches_it() {
    let Some(space) = repo() else { return };
    insta::assert_snapshot!(refused(&space, "origin/release"), @"there is no commit `origin/release` in this clone; fetch it: `git fetch --depth=1000 origin release:refs/remotes/origin/release`");
    insta::assert_snapshot!(refused(&space, "release"), @"there is no commit `release` in this clone; fetch it: `git fetch --depth=1000 origin release:refs/remotes/origin/release` and `--base origin/release`");
    insta::assert_snapshot!(refused(&space, "0123456789abcdef0123456789abcdef01234567"), @"there is no commit `0123456789abcdef0123456789abcdef01234567` in this clone; fetch it: `git fetch --depth=1000 origin 0123456789abcdef0123456789abcdef01234567`");
    insta::assert_snapshot!(refused(&space, "--output=x"), @"`--output=x` is no commit; `--base` is a branch, a tag or a commit: `--base origin/main`");
    let clone = tempfile::tempdir().unwrap();
    let source = format!("file://{}", std::fs::canonicalize(space.root()).unwrap().display());
    space.write("experts/a/README.md", b"later\n");
    commit(&space.root());
    git(clone.path(), &["clone", "-q", "--depth=1", "--no-single-branch", &source, "repo"]);
    let root = clone.path().join("repo");
    git(&root, &["checkout", "-q", "-B", "work", "origin/work"]);
    let shallow = expert_build::store::git::changed(&root, "origin/main").unwrap_err();
    insta::assert_snapshot!(shallow.to_string(), @"this clone is shallow: the commit where the branch left `origin/main` is not in it");
    git(&root, &["fetch", "-q", "--deepen=1000", "origin"]);
    let files = expert_build::store::git::changed(&root, "origin/main").unwrap().files;
    assert_eq!(files.into_iter().collect::<Vec<_>>(), ["experts/a/README.md"]);
    let nowhere = tempfile::tempdir().unwrap();
    let error = expert_build::store::git::changed(nowhere.path(), "main").unwrap_err();
    assert!(error.to_string().ends_with("does not lie in a git repository"), "{error}");
    git(nowhere.path(), &["init", "-q"]);
    let error = expert_build::store::git::changed(nowhere.path(), "main").unwrap_err();
    assert_eq!(error.to_string(), "the repository has no commit yet, so nothing can be compared");
}
