//! Signing as a task of the graph; and model signatures, judged by the program that they are made for.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::expert::Expert;
use crate::space::{Space, succeeds};

const PACKAGE: &str = "experts/a/weights/a.v1.0.0.expert";

/// One expert with 3 MiB beside its weights, and a key.
fn signed() -> Space {
    let big: Vec<u8> = (0..3_u32 << 18).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect();
    let space = Space::with(&[Expert::lora("a").file("vocab.model", big)]);
    space.run("keygen --output key.pem").ok();
    space
}

fn events(space: &Space, arguments: &str) -> Vec<Value> {
    let output = space.command(crate::space::EXPERT_BUILD, "", &arguments.split(' ').collect::<Vec<_>>()).output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn sum(events: &[Value], key: &str) -> u64 {
    events.iter().filter(|e| e["reason"] == "task-finish").filter_map(|e| e[key].as_u64()).sum()
}

#[test]
fn signing_is_a_task_between_manifest_and_package_and_reads_no_weights() {
    let space = signed();
    let line = "build --key key.pem --message-format json";
    let first = events(&space, line);
    let task = |kind: &str| {
        let found = first.iter().filter(|e| e["reason"] == "task-start" && e["task"] == kind).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{kind}");
        found[0].clone()
    };
    let (compose, sign, archive) = (task("compose"), task("sign"), task("archive"));
    assert_eq!(sign["after"], serde_json::json!([compose["id"]]));
    assert_eq!(archive["after"], serde_json::json!([sign["id"]]));
    assert_eq!((&sign["expert"], &sign["subject"]), (&"a".into(), &"tiny".into()));
    assert!(sum(&first, "bytes_read") >= 3 << 20);

    // A README costs itself, the manifest and a new signature.
    space.write("experts/a/README.md", "# Better words\n");
    let again = events(&space, line);
    assert!(again.iter().any(|e| e["reason"] == "task-start" && e["task"] == "sign"), "it is never cached");
    assert!(sum(&again, "bytes_read") < 1 << 20, "the big file is not read: {}", sum(&again, "bytes_read"));
    assert!(sum(&again, "segments_reused") >= 3, "its segments come from the cache");
    space.run(&format!("verify {PACKAGE} --key key.pub --require-signature")).ok();

    // Back to the old words: the cache knows the pieces, and the package is signed once more, to the same bytes.
    let changed = space.read(PACKAGE);
    space.write("experts/a/README.md", "# a\n");
    let back = events(&space, line);
    assert!(back.iter().any(|e| e["reason"] == "task-finish" && e["status"] == "done"));
    assert_ne!(space.read(PACKAGE), changed);

    let graph = space.run("graph --tasks --format json");
    assert!(!graph.shown().contains("sign tiny"), "without a key nothing is signed");
    space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\nkey = \"key.pem\"\n");
    space.run("graph --tasks --format json").ok().says("\"sign tiny\"");
    space.run("build --force --timings=trace.json").ok();
    assert!(String::from_utf8(space.read("trace.json")).unwrap().contains("\"cat\":\"sign\""));
}

/// Who signs may call himself what he likes: it stays within its line, and one line alone says what a signature is worth.
#[test]
fn a_publisher_cannot_speak_for_the_program() {
    let space = signed();
    space.run("build").ok();
    let name = "hivellm`\n  signed with the trusted key `k.pub` (flag `--key`), publisher `hivellm\u{202e}";
    space.run_as(crate::space::EXPERT_BUILD, "", &["sign", PACKAGE, "--key", "key.pem", "--publisher", name]).ok();
    for arguments in [["verify", PACKAGE], ["inspect", PACKAGE]] {
        let ran = space.run_as(crate::space::EXPERT_BUILD, "", &arguments).ok();
        assert_eq!(ran.stdout.lines().filter(|line| line.contains("signed with")).count(), 1, "{}", ran.stdout);
        assert!(ran.stdout.contains("`hivellm`\\n  signed") && !ran.stdout.contains('\u{202e}'), "{}", ran.stdout);
    }
}

#[test]
fn a_key_that_is_named_must_be_there() {
    let space = Space::with(&[Expert::lora("a")]);
    space.run("build --key nope.pem").exits(3).says("nope.pem");
    space.run("build --key experts").exits(2).says("experts");
    // Those who share an Expertfile need not all have the key that it names, unless it must sign.
    let expertfile = "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\nkey = \"nope.pem\"\n";
    space.write("Expertfile.toml", expertfile);
    space.run("build").ok();
    space.write("Expertfile.toml", format!("{expertfile}sign = \"required\"\n"));
    space.run("build").exits(2).says("nope.pem");
}

/// PyPI's model-signing, in an environment of its own that later runs use again.
fn model_signing() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("model-signing-1");
    let program = folder.join("bin/model_signing");
    if program.exists() {
        return Some(program);
    }
    // Two tests at once would disturb each other: the environment is made aside, and moved to its place.
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).output();
    let installed = made.is_ok_and(|made| made.status.success()).then(|| {
        let pip = folder.join("bin/pip");
        let packages = ["--disable-pip-version-check", "--quiet", "model-signing==1.1.1", "pyOpenSSL"];
        Command::new(pip).arg("install").args(packages).output()
    });
    match installed {
        Some(Ok(output)) if output.status.success() && program.exists() => Some(program),
        other => {
            let _ = std::fs::remove_dir_all(&folder);
            eprintln!("SKIPPED: model-signing cannot be installed: {other:?}");
            None
        }
    }
}

#[test]
fn model_signatures_are_taken_by_the_program_they_are_made_for() {
    let Some(program) = model_signing() else { return };
    let space = signed();
    space.run("build").ok();
    space.run("keygen --algorithm p256 --output model.pem").ok();
    space.run("keygen --algorithm p256 --output other.pem").ok();
    space.run(&format!("sign {PACKAGE} --key key.pem --model-signing model.pem")).ok();
    space.run(&format!("extract {PACKAGE} --output unpacked")).ok();
    let verify = |folder: &str, signature: &str, key: &str| {
        let mut command = Command::new(&program);
        command.args(["verify", "key"]).arg(space.path(folder));
        command.arg("--signature").arg(space.path(signature)).arg("--public_key").arg(space.path(key));
        command
    };
    let bundle = format!("{PACKAGE}.sigstore.json");
    succeeds(&mut verify("unpacked", &bundle, "model.pub"));
    let refuses = |command: &mut Command, says: &str| {
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && told.contains(says), "{told}");
    };
    space.run(&format!("verify {PACKAGE} --key model.pub")).ok().says("with the trusted key `model.pub`");
    refuses(&mut verify("unpacked", &bundle, "other.pub"), "Key mismatch");
    // What that program signs is taken here, and what it says of other files is not.
    let mut sign = Command::new(&program);
    sign.args(["sign", "key"]).arg(space.path("unpacked")).arg("--private_key").arg(space.path("model.pem"));
    succeeds(sign.arg("--signature").arg(space.path("theirs.json")));
    let theirs = |key: &str| space.run(&format!("verify {PACKAGE} --model-signature theirs.json --key {key}"));
    theirs("model.pub").ok().says("with the trusted key `model.pub`");
    theirs("other.pub").exits(5).says("is not signed with a trusted key");
    space.write("unpacked/README.md", "# Other words\n");
    refuses(&mut verify("unpacked", &bundle, "model.pub"), "Hash mismatch for 'README.md'");
    space.write("unpacked/extra", "");
    refuses(&mut verify("unpacked", &bundle, "model.pub"), "Extra files found");

    // Of a folder, with what git keeps there, and with the signature inside of it.
    space.write("experts/a/.gitattributes", "*.safetensors filter=lfs\n");
    space.run("sign experts/a --model-signing model.pem --output experts/a/model.sig").ok();
    succeeds(&mut verify("experts/a", "experts/a/model.sig", "model.pub"));
    space.write("experts/a/weights/new", "");
    refuses(&mut verify("experts/a", "experts/a/model.sig", "model.pub"), "Extra files found");

    // And the other way round: a key that OpenSSL made signs here as well.
    let key = space.path("openssl.pem");
    let made = Command::new("openssl").args(["ecparam", "-name", "prime256v1", "-genkey", "-out"]).arg(&key).output();
    if !made.is_ok_and(|made| made.status.success()) {
        return eprintln!("SKIPPED: openssl is not here");
    }
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    space.run("keygen --public-of openssl.pem").ok();
    space.run("sign experts/b --model-signing openssl.pem").exits(3);
    space.run("sign experts/a --model-signing openssl.pem --output openssl.sig").ok();
    succeeds(&mut verify("experts/a", "openssl.sig", "openssl.pub"));
}
