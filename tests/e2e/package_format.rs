//! The package as others see it: GNU tar, Python, zstd, sha256sum, and every header by the `tar` crate.

use serde_json::json;

use crate::archive::{entries, manifest, sha256};
use crate::expert::Expert;
use crate::space::{Space, files_below, succeeds, tool};

const LONG: &str = "docs/a-folder-with-quite-a-long-name/and-another-one-that-is-not-shorter/and-a-third-that-fills-the-hundred-bytes/of-a-ustar-name-field/page.md";

fn expert() -> Expert {
    Expert::lora("a")
        .soft_prompt("intro")
        .file("docs/Ünïcode – 文.md", "text")
        .file(LONG, "a long path")
        .file("docs/empty", "")
        .file("vocab.model", vec![7_u8; 3 << 20])
}

fn built(compression: &str) -> Space {
    let space = Space::with(&[expert()]);
    space.write(
        "Expertfile.toml",
        format!(
            "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ninclude = [\"docs/**\"]\ncompression = \"{compression}\"\n"
        ),
    );
    space.run("build").ok();
    space
}

const PACKAGE: &str = "experts/a/weights/a.v1.0.0.expert";

#[test]
fn entries_are_plain_files_in_order_with_nothing_of_this_machine() {
    for compression in ["gzip", "zstd", "none"] {
        let space = built(compression);
        let package = space.read(PACKAGE);
        let entries = entries(&package);
        assert_eq!(entries[0].path, "manifest.json");
        let paths: Vec<&str> = entries[1..].iter().map(|entry| &*entry.path).collect();
        assert!(paths.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()), "{paths:?}");
        assert!(paths.contains(&LONG) && paths.contains(&"docs/Ünïcode – 文.md"), "{paths:?}");
        for entry in &entries {
            assert_eq!(entry.kind, tar::EntryType::Regular, "{}", entry.path);
            assert_eq!((entry.mode, entry.mtime), (0o644, 315_532_800), "{}", entry.path);
            assert_eq!(entry.owner, (0, 0, String::new(), String::new()), "{}", entry.path);
        }
        // Every file is the source's, and the manifest says so.
        let manifest = manifest(&package);
        let files = manifest["integrity"]["files"].as_object().unwrap();
        assert_eq!(files.len(), entries.len());
        for entry in &entries[1..] {
            assert_eq!(entry.content, space.read(&format!("experts/a/{}", entry.path)), "{}", entry.path);
            assert_eq!(files[&entry.path], json!(sha256(&entry.content)), "{}", entry.path);
        }
        assert_eq!(manifest["package"]["compression"], json!(compression));
    }
}

#[test]
fn the_manifest_keeps_unknown_keys_their_order_and_its_numbers() {
    let space = Space::new();
    space.add("", &Expert::lora("a"));
    let text = Expert::lora("a").manifest();
    let odd = r#""x-zeta": {"z": 1.50, "a": [null, true, "\u00fc"], "n": 12345678901234567890123, "e": 1E5}, "_comment": "é","#;
    space.write("manifest.json", text.replacen('{', &format!("{{{odd}"), 1));
    space.run("build").ok();
    let packed = crate::archive::content(&space.read("weights/a.v1.0.0.expert"), "manifest.json");
    let packed = String::from_utf8(packed).unwrap();
    for kept in ["1.50", "12345678901234567890123", "1E5"] {
        assert!(packed.contains(kept), "`{kept}` is not in\n{packed}");
    }
    let keys = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let mut expected = keys(&String::from_utf8(space.read("manifest.json")).unwrap());
    expected.extend(["package".into(), "integrity".into()]);
    assert_eq!(keys(&packed), expected);
}

#[test]
fn gzip_is_one_member_without_time_or_name() {
    let space = built("gzip");
    let package = space.read(PACKAGE);
    assert_eq!(package[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0], "no flags, no time");
    let mut one = flate2::bufread::GzDecoder::new(&*package);
    std::io::copy(&mut one, &mut std::io::sink()).unwrap();
    assert!(one.into_inner().is_empty(), "nothing follows the first member");
}

#[test]
fn gnu_tar_opens_packages() {
    let Some(_) = tool("tar", &["--version"]) else { return };
    if !succeeds(std::process::Command::new("tar").arg("--version")).contains("GNU tar") {
        eprintln!("SKIPPED: tar is not GNU tar");
        return;
    }
    for (compression, flag) in [("gzip", "-z"), ("zstd", "--zstd"), ("none", "--no-same-owner")] {
        if compression == "zstd" && tool("zstd", &["--version"]).is_none() {
            continue;
        }
        let space = built(compression);
        let out = space.outer("unpacked");
        std::fs::create_dir(&out).unwrap();
        let mut tar = std::process::Command::new("tar");
        let said = succeeds(tar.arg("-x").arg(flag).arg("-f").arg(space.path(PACKAGE)).arg("-C").arg(&out));
        assert_eq!(said, "", "tar has nothing to warn of");
        for entry in entries(&space.read(PACKAGE)) {
            assert_eq!(std::fs::read(out.join(&entry.path)).unwrap(), entry.content, "{}", entry.path);
        }
        assert_eq!(files_below(&out).len(), entries(&space.read(PACKAGE)).len());
    }
}

#[test]
fn python_opens_packages() {
    let Some(mut python) = tool("python3", &["-c", "import tarfile, gzip, zlib"]) else { return };
    let program = "import gzip, hashlib, json, sys, tarfile
for path in sys.argv[1:]:
    with tarfile.open(path) as tar:
        names = tar.getnames()
        assert names[0] == 'manifest.json' and names[1:] == sorted(names[1:], key=str.encode), names
        files = json.load(tar.extractfile('manifest.json'))['integrity']['files']
        assert sorted(files) == sorted(names)
        for name in names[1:]:
            assert hashlib.sha256(tar.extractfile(name).read()).hexdigest() == files[name], name
    if open(path, 'rb').read(2) == b'\\x1f\\x8b':
        assert gzip.open(path).read().startswith(b'manifest.json')
print('fine')";
    let (gzip, none) = (built("gzip"), built("none"));
    python.args(["-c", program]).arg(gzip.path(PACKAGE)).arg(none.path(PACKAGE));
    assert_eq!(succeeds(&mut python), "fine\n");
}

#[test]
fn gzip_and_zstd_test_packages() {
    if let Some(mut gzip) = tool("gzip", &["--version"]) {
        let space = built("gzip");
        let copy = space.outer("package.gz");
        std::fs::copy(space.path(PACKAGE), &copy).unwrap();
        assert_eq!(succeeds(gzip.arg("-t").arg(&copy)), "");
    }
    if let Some(mut zstd) = tool("zstd", &["--version"]) {
        let space = built("zstd");
        let copy = space.outer("package.zst");
        std::fs::copy(space.path(PACKAGE), &copy).unwrap();
        assert_eq!(succeeds(zstd.args(["-q", "-t"]).arg(&copy)), "");
    }
}

#[test]
fn sha256sum_checks_packages() {
    let Some(mut sha256sum) = tool("sha256sum", &["--version"]) else { return };
    let space = built("gzip");
    sha256sum.current_dir(space.path("experts/a/weights")).args(["-c", "--strict", "a.v1.0.0.expert.sha256"]);
    assert_eq!(succeeds(sha256sum.env("LC_ALL", "C")), "a.v1.0.0.expert: OK\n");
}
