//! Signing, verifying, looking into and opening packages.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

mod packages;

use std::collections::BTreeMap;
use std::path::Path;

use expert_build::base::{Error, Sha256};
use expert_build::format::archive::Limits;
use expert_build::format::json::{self, Value};
use expert_build::format::segment::Compression;
use expert_build::format::signature::{PrivateKey, message};
use expert_build::ops::trusted::Trusted;
use expert_build::ops::verify::{FileState, Options, ProblemKind, Report, SignatureState, verify};
use expert_build::ops::{cat, extract, inspect, keygen, sign};
use packages::{Native, gnu_tar, gzip, key, pack, path, put};

type Entries = Vec<(String, Vec<u8>)>;

fn trusting(keys: &[u8], require_signature: bool) -> Options {
    let trusted = keys
        .iter()
        .map(|n| Trusted { key: key(*n).public().into(), name: format!("key {n}"), origin: "the test".into() })
        .collect();
    Options { trusted, require_signature, ..Options::default() }
}

fn kinds(report: &Report) -> Vec<(ProblemKind, Option<&str>)> {
    report.problems.iter().map(|problem| (problem.kind, problem.path.as_deref())).collect()
}

#[test]
fn a_signed_package_verifies_and_every_change_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for compression in Compression::ALL {
        let native = Native::new(compression);
        let entries = native.entries(Some(&key(1)));
        let check = |change: &dyn Fn(&mut Entries)| {
            let mut entries = entries.clone();
            change(&mut entries);
            verify(&put(dir.path(), "x.expert", &pack(&entries, compression)), &trusting(&[1], true)).unwrap()
        };
        let at = |entries: &[(String, Vec<u8>)], name: &str| entries.iter().position(|(n, _)| n == name).unwrap();
        let good = check(&|_| {});
        assert!(good.ok && good.native && good.not_covered.is_empty(), "{good:#?}");
        assert_eq!((good.signature.state, good.signature.covers_manifest), (SignatureState::Trusted, true));
        assert_eq!(good.signature.trusted_as.as_deref(), Some("key 1"));
        assert_eq!(good.compression, compression);
        assert_eq!(good.files.len(), 8);

        let changed = check(&|e| e[1].1[0] ^= 1);
        assert_eq!(kinds(&changed), [(ProblemKind::Changed, Some("LICENSE"))]);
        assert_eq!(changed.signature.state, SignatureState::Trusted, "the list of hashes is as it was signed");
        let missing = check(&|e| drop(e.remove(at(e, "README.md"))));
        assert_eq!(kinds(&missing), [(ProblemKind::Missing, Some("README.md"))]);
        let extra = check(&|e| e.push(("zzz".into(), b"new".to_vec())));
        assert_eq!(kinds(&extra), [(ProblemKind::Extra, Some("zzz"))]);
        assert_eq!(extra.files.last().unwrap().state, FileState::Extra);

        // Every key of the manifest is covered, the publisher and the package block too.
        for (from, to) in [("1.2.3", "1.2.4"), ("\"publisher\": \"hivellm\"", "\"publisher\": \"other\""), ("ü", "u")]
        {
            let edited = check(&|e| {
                let text = String::from_utf8(e[0].1.clone()).unwrap();
                assert!(text.contains(from));
                e[0].1 = text.replace(from, to).into_bytes();
            });
            assert_eq!(kinds(&edited), [(ProblemKind::Changed, Some("manifest.json"))], "{from}");
        }
        // Spaces and the order of keys are not.
        let same = check(&|e| e[0].1.extend_from_slice(b"\n\n"));
        assert!(same.ok);

        // A list of hashes that was made anew does not fit the signature.
        let resealed = check(&|e| {
            let mut forged = Native::new(compression);
            forged.files.insert("README.md".into(), b"evil".to_vec());
            let unsigned = forged.entries(Some(&key(2)));
            let old: Value = json::parse(&e[0].1).unwrap();
            let text = String::from_utf8(unsigned[0].1.clone()).unwrap();
            let old_key = old.pointer("/integrity/pubkey").unwrap().as_str().unwrap();
            *e = unsigned;
            e[0].1 = text.replace(&key(2).public().to_string(), old_key).into_bytes();
        });
        assert!(!resealed.ok);
        assert_eq!(resealed.signature.state, SignatureState::Invalid);
    }
}

#[test]
fn a_signature_can_be_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let native = Native::new(Compression::Gzip);
    let unsigned = put(dir.path(), "u.expert", &native.bytes(None));
    let signed = put(dir.path(), "s.expert", &native.bytes(Some(&key(1))));

    let report = verify(&unsigned, &Options::default()).unwrap();
    assert_eq!((report.ok, report.signature.state), (true, SignatureState::Unsigned));
    assert_eq!(kinds(&verify(&unsigned, &trusting(&[], true)).unwrap()), [(ProblemKind::Unsigned, None)]);

    let report = verify(&signed, &Options::default()).unwrap();
    assert_eq!((report.ok, report.signature.state), (true, SignatureState::Valid));
    let report = verify(&signed, &trusting(&[2, 3], false)).unwrap();
    assert_eq!(report.signature.state, SignatureState::Untrusted);
    assert_eq!(kinds(&report), [(ProblemKind::Trust, None)]);
    assert!(verify(&signed, &trusting(&[2, 1], true)).unwrap().ok);

    // Stripped: from the manifest, from the entry, from both.
    let entries = native.entries(Some(&key(1)));
    let strip = |manifest: bool, entry: bool| {
        let mut entries = entries.clone();
        if manifest {
            let mut value = json::parse(&entries[0].1).unwrap();
            value.get_mut("integrity").unwrap().remove("signature").unwrap();
            entries[0].1 = json_text(&value);
        }
        entries.retain(|(name, _)| !entry || name != "signature.sig");
        let package = put(dir.path(), "x.expert", &pack(&entries, Compression::Gzip));
        verify(&package, &trusting(&[1], true)).unwrap()
    };
    assert_eq!(strip(true, false).signature.state, SignatureState::Invalid);
    assert_eq!(strip(false, true).signature.state, SignatureState::Invalid);
    assert_eq!(kinds(&strip(true, true)), [(ProblemKind::Unsigned, None)]);
}

fn json_text(value: &Value) -> Vec<u8> {
    expert_build::format::json_write::pretty(value).into_bytes()
}

#[test]
fn the_checksum_beside_the_package_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = Native::new(Compression::Zstd).bytes(None);
    let package = put(dir.path(), "x.expert", &bytes);
    put(dir.path(), "x.expert.sha256", format!("{}  x.expert\n", Sha256::of(&bytes)).as_bytes());
    let report = verify(&package, &Options::default()).unwrap();
    assert!(report.ok);
    assert_eq!(report.checksum.unwrap().actual, Sha256::of(&bytes));
    for text in [format!("{}  x.expert\n", Sha256::of(b"")), "what?".into()] {
        put(dir.path(), "x.expert.sha256", text.as_bytes());
        assert_eq!(kinds(&verify(&package, &Options::default()).unwrap()), [(ProblemKind::Checksum, None)]);
    }
}

/// As the older `expert-cli` signs: it hashes the manifest, then writes the hashes and the signature into it.
fn foreign(key: &PrivateKey, change: impl FnOnce(&mut Vec<(&'static str, Vec<u8>)>)) -> Vec<u8> {
    let mut files = vec![
        ("manifest.json", br#"{"name":"old","version":"0.1.0"}"#.to_vec()),
        ("weights/adapter/adapter_model.safetensors", vec![1, 2, 3]),
        ("LICENSE", b"MIT".to_vec()),
    ];
    let hashes: BTreeMap<_, _> = files.iter().map(|(name, bytes)| (path(name), Sha256::of(bytes))).collect();
    let signature = key.sign(message(&hashes).as_bytes());
    let public = key.public();
    let lines: Vec<String> = hashes.iter().map(|(name, hash)| format!("\"{name}\":\"{hash}\"")).collect();
    files[0].1 = format!(
        r#"{{"name":"old","version":"0.1.0","integrity":{{"created_at":"2025-01-01T00:00:00Z","publisher":"expert-cli","pubkey":"{public}","signature_algorithm":"ed25519","signature":"{signature}","files":{{{}}}}}}}"#,
        lines.join(",")
    )
    .into_bytes();
    files.push(("signature.sig", signature.to_string().into_bytes()));
    change(&mut files);
    files.rotate_left(1);
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
    gzip(&gnu_tar(&files))
}

#[test]
fn packages_of_other_tools_verify_as_far_as_they_can() {
    let dir = tempfile::tempdir().unwrap();
    let check = |bytes: &[u8], options: &Options| verify(&put(dir.path(), "f.expert", bytes), options).unwrap();

    let bytes = foreign(&key(5), |_| {});
    let report = check(&bytes, &Options::default());
    assert!(report.ok && !report.native, "{report:#?}");
    assert_eq!((report.signature.state, report.signature.covers_manifest), (SignatureState::Valid, false));
    assert_eq!(report.not_covered.len(), 1);
    assert!(report.not_covered[0].contains("`manifest.json`"));
    // Asked for a signature, that is not enough.
    assert_eq!(kinds(&check(&bytes, &trusting(&[5], true))), [(ProblemKind::Unsigned, None)]);
    let report = check(&foreign(&key(5), |files| files[1].1[0] = 9), &Options::default());
    assert_eq!(kinds(&report), [(ProblemKind::Changed, Some("weights/adapter/adapter_model.safetensors"))]);
    let report = check(&foreign(&key(5), |files| files.push(("new", vec![]))), &Options::default());
    assert_eq!(kinds(&report), [(ProblemKind::Extra, Some("new"))]);

    // A signed package of ours does not pass as a stranger's for those who ask for a signature.
    let mut entries = Native::new(Compression::Gzip).entries(Some(&key(1)));
    let mut manifest = json::parse(&entries[0].1).unwrap();
    manifest.remove("package").unwrap();
    manifest.set("name", Value::string("evil"));
    entries[0].1 = json_text(&manifest);
    assert!(!check(&pack(&entries, Compression::Gzip), &trusting(&[1], true)).ok);

    // No integrity at all, and hashes with a prefix in the adapters.
    let hash = Sha256::of(b"weights");
    let manifest = format!(r#"{{"name":"n","adapters":[{{"path":"a.safetensors","sha256":"sha256:{hash}"}}]}}"#);
    let bare = |weights: &[u8]| {
        let files: [(&str, &[u8]); 3] =
            [("a.safetensors", weights), ("./manifest.json", manifest.as_bytes()), ("README.md", b"")];
        gzip(&gnu_tar(&files))
    };
    let report = check(&bare(b"weights"), &Options::default());
    assert!(report.ok);
    assert_eq!(report.not_covered.len(), 2, "{:?}", report.not_covered);
    assert_eq!(kinds(&check(&bare(b"other"), &Options::default())), [(ProblemKind::Changed, Some("a.safetensors"))]);
    assert_eq!(kinds(&check(&bare(b"weights"), &trusting(&[], true))), [(ProblemKind::Unsigned, None)]);

    // Two gzip members: read to the end, and told.
    let tar = gnu_tar(&[("manifest.json", manifest.as_bytes()), ("a.safetensors", b"weights")]);
    let two = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
    let report = check(&two, &Options::default());
    assert!(report.ok && report.not_covered.iter().any(|line| line.contains("2 members")), "{report:#?}");
}

#[test]
fn files_are_extracted_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    for compression in Compression::ALL {
        let native = Native::new(compression);
        let package = put(dir.path(), "x.expert", &native.bytes(Some(&key(1))));
        let target = dir.path().join(compression.as_str());
        let done = extract::extract(&package, &target, &|_| true, false, &trusting(&[1], true)).unwrap();
        assert_eq!(done.files.len(), 8);
        for (name, bytes) in &native.files {
            assert!(std::fs::read(target.join(name)).unwrap() == *bytes, "{name}");
        }
        let again = extract::extract(&package, &target, &|_| true, false, &Options::default()).unwrap_err();
        assert_eq!(again.exit_code(), 2, "{again}");
        extract::extract(&package, &target, &|p| p.as_str() == "README.md", true, &Options::default()).unwrap();
        let none = extract::extract(&package, &target, &|_| false, true, &Options::default()).unwrap_err();
        assert!(none.to_string().contains("no file"), "{none}");

        let mut broken = native.entries(Some(&key(1)));
        broken[2].1[0] ^= 1;
        let broken = put(dir.path(), "b.expert", &pack(&broken, compression));
        let target = dir.path().join("broken");
        let error = extract::extract(&broken, &target, &|_| true, false, &Options::default()).unwrap_err();
        assert!(matches!(&error, Error::Integrity { message } if message.contains("README.md")), "{error}");
        assert!(!target.exists());
        assert!(extract::extract(&package, &target, &|_| true, false, &trusting(&[2], true)).is_err());
        assert!(!target.exists());
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn one_file_is_shown_and_compared() {
    let dir = tempfile::tempdir().unwrap();
    for compression in Compression::ALL {
        let native = Native::new(compression);
        let package = put(dir.path(), "x.expert", &native.bytes(Some(&key(1))));
        let show = |package: &Path, name: &str| {
            let mut out = Vec::new();
            cat::cat(package, name, Limits::default(), &mut out).map(|size| {
                assert_eq!(size, out.len() as u64);
                out
            })
        };
        for (name, bytes) in native.entries(Some(&key(1))) {
            assert!(show(&package, &name).unwrap() == bytes, "{name}");
        }
        let Error::Usage { help, .. } = show(&package, "readme").unwrap_err() else { panic!() };
        assert!(help.unwrap().contains("`README.md`"));
        let mut entries = native.entries(None);
        entries[2].1.push(b'!');
        let broken = put(dir.path(), "b.expert", &pack(&entries, compression));
        assert_eq!(show(&broken, "README.md").unwrap_err().exit_code(), 5);
        assert!(show(&broken, "LICENSE").is_ok());
    }
}

/// In a zstd package only the frames of the file that is asked for are read: damage elsewhere does not matter.
#[test]
fn one_file_of_a_zstd_package_touches_only_its_frames() {
    let dir = tempfile::tempdir().unwrap();
    let native = Native::big(Compression::Zstd);
    let mut bytes = native.bytes(None);
    let whole = put(dir.path(), "w.expert", &bytes);
    let info = inspect::inspect(&whole, false, Limits::default()).unwrap();
    let big = info.files.iter().find(|file| file.path.as_str() == "soft_prompts/intro.pt").unwrap();
    assert!(big.packed.unwrap() > 100_000, "{big:?}");
    // The big file takes up most of the package: its middle is in it.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    let package = put(dir.path(), "x.expert", &bytes);
    let mut out = Vec::new();
    cat::cat(&package, "tokenizer.json", Limits::default(), &mut out).unwrap();
    assert_eq!(out, b"{}");
    assert_eq!(inspect::inspect(&package, false, Limits::default()).unwrap().files, info.files);
    let error = cat::cat(&package, "soft_prompts/intro.pt", Limits::default(), &mut out).unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    assert_eq!(verify(&package, &Options::default()).unwrap_err().exit_code(), 5);
}

#[test]
fn inspect_tells_what_is_inside() {
    let dir = tempfile::tempdir().unwrap();
    for compression in Compression::ALL {
        let native = Native::new(compression);
        let bytes = native.bytes(Some(&key(1)));
        let package = put(dir.path(), "x.expert", &bytes);
        let info = inspect::inspect(&package, true, Limits::default()).unwrap();
        assert_eq!((info.name.as_str(), info.version.as_str(), info.schema), ("sql", "1.2.3", "2.0"));
        assert_eq!((info.license.as_deref(), info.author.as_deref()), (Some("MIT"), Some("hivellm")));
        assert_eq!(info.requires, ["english@>=1.0.0"]);
        assert_eq!((info.compression, info.native), (compression, true));
        assert_eq!(info.models[0].name, "Qwen3-0.6B");
        assert_eq!((info.models[0].adapters[0].r, info.models[0].adapters[0].alpha), (Some(4), Some(8.0)));
        assert_eq!((info.signature.state, info.signature.covers_manifest), (SignatureState::Valid, true));
        let names: Vec<_> = info.files.iter().map(|file| file.path.as_str()).collect();
        let expected: Vec<_> = native.entries(Some(&key(1))).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected);
        for file in &info.files {
            assert_eq!(file.packed.is_some(), compression != Compression::Gzip, "{}", file.path);
            if let Some(bytes) = native.files.get(file.path.as_str()) {
                assert_eq!((file.bytes, file.sha256), (bytes.len() as u64, Some(Sha256::of(bytes))));
            }
        }
        assert!(compression != Compression::Zstd || info.files[1].packed.unwrap() < info.files[1].bytes);
        let weights = &info.weights.as_ref().unwrap()[0];
        assert_eq!(weights.fault, None);
        let [a, b] = &weights.tensors[..] else { panic!("{weights:?}") };
        assert_eq!((a.name.as_str(), a.dtype.as_str(), &a.shape[..]), ("lora_A", "F32", &[4, 8][..]));
        let stats = a.stats.unwrap();
        assert_eq!((stats.min, stats.max, stats.mean, stats.absmax), (-2.0, 1.875, -0.0625, 2.0));
        assert_eq!(b.stats.unwrap().nan, 1);
        // What torch wrote is looked into as well, and nothing of it is run.
        let prompt = &info.weights.as_ref().unwrap()[1];
        assert_eq!(prompt.path.as_str(), "soft_prompts/intro.pt");
        assert!(prompt.fault.as_deref().is_some_and(|fault| fault.contains("not a torch file")), "{prompt:?}");
        let json = serde_json::to_value(&info).unwrap();
        assert_eq!(json["compression"], compression.as_str());
        assert_eq!(json["signature"]["state"], "valid");
    }
}

#[test]
fn signing_a_package_gives_what_building_it_with_the_key_gives() {
    let dir = tempfile::tempdir().unwrap();
    for compression in Compression::ALL {
        let native = Native::big(compression);
        let package = put(dir.path(), "x.expert", &native.bytes(None));
        let (first, second) = (key(1), key(2));
        let options =
            sign::Options { key: &first, publisher: None, created_at: None, output: None, limits: Limits::default() };
        let signed = sign::sign(&package, &options).unwrap();
        let bytes = std::fs::read(&package).unwrap();
        assert!(bytes == native.bytes(Some(&first)), "{compression}");
        assert_eq!((signed.sha256, signed.bytes), (Sha256::of(&bytes), bytes.len() as u64));
        assert_eq!((signed.files, signed.publisher.as_str()), (7, "hivellm"));
        assert!(signed.copied > 2_000_000, "{compression}: {}", signed.copied);
        let line = std::fs::read_to_string(dir.path().join("x.expert.sha256")).unwrap();
        assert_eq!(line, format!("{}  x.expert\n", signed.sha256));
        assert!(verify(&package, &trusting(&[1], true)).unwrap().ok);

        // Again, with another key and publisher, to another place.
        let output = dir.path().join("y.expert");
        let options = sign::Options { key: &second, publisher: Some("me"), output: Some(&output), ..options };
        assert_eq!(sign::sign(&package, &options).unwrap().publisher, "me");
        let report = verify(&output, &trusting(&[2], true)).unwrap();
        assert!(report.ok, "{report:#?}");
        assert_eq!(report.signature.publisher.as_deref(), Some("me"));
        assert!(std::fs::read(&package).unwrap() == bytes);

        // What is not whole is not signed.
        let mut entries = native.entries(None);
        entries[1].1.push(0);
        let broken = put(dir.path(), "b.expert", &pack(&entries, compression));
        let before = std::fs::read(&broken).unwrap();
        let error = sign::sign(&broken, &sign::Options { output: None, ..options }).unwrap_err();
        assert!(error.exit_code() == 5 && error.to_string().contains("LICENSE"), "{error}");
        assert!(std::fs::read(&broken).unwrap() == before);
    }
}

#[test]
fn a_package_of_another_tool_becomes_ours_when_signed() {
    let dir = tempfile::tempdir().unwrap();
    let package = put(dir.path(), "f.expert", &foreign(&key(5), |_| {}));
    let key = key(1);
    let limits = Limits::default();
    let options = sign::Options { key: &key, publisher: None, created_at: None, output: None, limits };
    sign::sign(&package, &options).unwrap();
    let report = verify(&package, &trusting(&[1], true)).unwrap();
    assert!(report.ok && report.native, "{report:#?}");
    assert_eq!(report.signature.publisher.as_deref(), Some("expert-cli"));
    let names: Vec<_> = inspect::inspect(&package, false, limits).unwrap().files.into_iter().map(|f| f.path).collect();
    assert_eq!(names[0].as_str(), "manifest.json");
    assert!(names[1..].is_sorted(), "{names:?}");
}

#[test]
fn keys_are_made_read_and_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let private = dir.path().join("k.pem");
    let pair = keygen::keygen(&private).unwrap();
    assert_eq!(pair.public, dir.path().join("k.pub"));
    assert_eq!(keygen::private_key(&private).unwrap().public(), pair.key);
    assert_eq!(keygen::public_key(pair.public.to_str().unwrap()).unwrap(), pair.key);
    assert_eq!(keygen::public_key(&pair.key.to_string()).unwrap(), pair.key);
    assert!(keygen::keygen(&private).unwrap_err().to_string().contains("never overwritten"));
    assert!(keygen::keygen(&dir.path().join("z.pub")).is_err());
    // A killed run may leave the private half alone: it is kept, and gets the other.
    std::fs::remove_file(&pair.public).unwrap();
    let completed = keygen::keygen(&private).unwrap();
    assert_eq!((pair.fresh, completed.fresh, completed.key), (true, false, pair.key));
    assert_eq!(keygen::public_key(pair.public.to_str().unwrap()).unwrap(), pair.key);
    std::fs::write(dir.path().join("n.pem"), "no key").unwrap();
    assert!(keygen::keygen(&dir.path().join("n.pem")).unwrap_err().to_string().contains("never overwritten"));
    let text = std::fs::read_to_string(&private).unwrap();
    assert_eq!(keygen::private_key_of("KEY", &text).unwrap().public(), pair.key);
    let error = keygen::private_key_of("KEY", "nonsense").unwrap_err();
    assert!(error.to_string().contains("`KEY`") && !error.to_string().contains("nonsense"), "{error}");
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(keygen::private_key(&private).unwrap_err().to_string().contains("others may read"));

    // OpenSSL reads the key and agrees on the public half.
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).unwrap();
    let openssl = std::process::Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&private).output();
    match openssl {
        Ok(out) if out.status.success() => {
            assert_eq!(String::from_utf8(out.stdout).unwrap().parse(), Ok(pair.key));
        }
        other => eprintln!("SKIPPED: openssl does not read the key here: {other:?}"),
    }
}

/// The format is open: thirty lines of Python, written from its description, come to the same answer.
#[test]
fn a_program_in_another_language_verifies_packages() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/verify_package.py");
    assert!(std::fs::read_to_string(script).unwrap().lines().count() <= 30);
    let python = |args: &[&str]| std::process::Command::new("python3").args(args).output();
    match python(&["-c", "import cryptography"]) {
        Ok(out) if out.status.success() => {}
        _ => return eprintln!("SKIPPED: python3 with `cryptography` is not here"),
    }
    let zstd = python(&["-c", "import compression.zstd"]).is_ok_and(|out| out.status.success());
    let dir = tempfile::tempdir().unwrap();
    let public = key(1).public().to_string();
    for compression in Compression::ALL {
        if compression == Compression::Zstd && !zstd {
            eprintln!("SKIPPED: this python3 does not read zstd");
            continue;
        }
        let mut native = Native::new(compression);
        let numbers =
            br#"[5e-05, 1e-6, 1e-7, 1.5e-9, 1e20, 1e21, 123456789012345678901, 0, -0, -1.50, 4.35, 1e16, -2E+3]"#;
        native.manifest.set("numbers", json::parse(numbers).unwrap());
        native.manifest.set(
            "\u{fb33}\u{1f600}",
            json::parse(br#"{"\ud83d\ude00":"\u0000\u001f\u007f\"\\","\ufb33":[]}"#).unwrap(),
        );
        let entries = native.entries(Some(&key(1)));
        let verdict = |entries: &Entries, key: &str| {
            let package = put(dir.path(), "x.expert", &pack(entries, compression));
            let ours = verify(&package, &Options { require_signature: true, ..Options::default() }).unwrap().ok;
            let out = python(&[script, package.to_str().unwrap(), key]).unwrap();
            (ours, out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
        };
        let (ours, theirs, error) = verdict(&entries, &public);
        assert!(ours && theirs, "{error}");
        assert!(!verdict(&entries, &key(2).public().to_string()).1, "another key");
        for at in 0..entries.len() {
            let mut changed = entries.clone();
            if at == 0 {
                let text = String::from_utf8(changed[0].1.clone()).unwrap();
                changed[0].1 = text.replace("\"hivellm\"", "\"hivellm2\"").into_bytes();
            } else if changed[at].0 == "signature.sig" {
                continue;
            } else {
                changed[at].1.push(b' ');
            }
            let (ours, theirs, error) = verdict(&changed, &public);
            assert!(!ours && !theirs && error.contains(&changed[at].0), "{}: {error}", changed[at].0);
        }
        let mut extra = entries.clone();
        extra.push(("zzz".into(), Vec::new()));
        assert!(!verdict(&extra, &public).1);
        let mut missing = entries.clone();
        missing.pop();
        assert!(!verdict(&missing, &public).1);
    }
}

/// What GNU tar and Python make of a folder, in each of their formats, is opened.
#[test]
fn packages_packed_by_hand_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let deep = format!("{}/{}/weights-ü.bin", "d".repeat(90), "e".repeat(90));
    for (name, bytes) in [("manifest.json", &br#"{"name":"x"}"#[..]), ("LICENSE", b"MIT"), (&deep, &[7; 3000])] {
        let path = source.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let python = "import tarfile, sys\nwith tarfile.open(sys.argv[1], 'w:gz', format=int(sys.argv[2])) as t: t.add(sys.argv[3], '.')";
    let mut made = 0;
    for (program, args) in [
        ("tar", vec!["--format=gnu", "-czf"]),
        ("tar", vec!["--format=posix", "-czf"]),
        ("tar", vec!["--format=posix", "-cf"]),
        ("tar", vec!["--format=gnu", "--zstd", "-cf"]),
        ("python3", vec!["-c", python, "1"]),
        ("python3", vec!["-c", python, "2"]),
    ] {
        let package = dir.path().join(format!("{made}.expert"));
        let mut command = std::process::Command::new(program);
        let out = if program == "tar" {
            command.args(&args).arg(&package).arg("-C").arg(&source).arg(".").output()
        } else {
            command.args(&args[..2]).arg(&package).arg(args[2]).arg(&source).output()
        };
        if !out.as_ref().is_ok_and(|out| out.status.success()) {
            eprintln!("SKIPPED: {program} {args:?}: {out:?}");
            continue;
        }
        made += 1;
        let report = verify(&package, &Options::default()).unwrap_or_else(|e| panic!("{program} {args:?}: {e}"));
        assert!(report.ok && !report.native, "{program} {args:?}: {report:#?}");
        assert_eq!(
            report.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
            ["LICENSE", &deep, "manifest.json"]
        );
        let target = dir.path().join(format!("out{made}"));
        extract::extract(&package, &target, &|_| true, false, &Options::default()).unwrap();
        assert_eq!(std::fs::read(target.join(&deep)).unwrap(), [7; 3000]);
    }
}
