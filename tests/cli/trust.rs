//! Whom to trust, what a package was made of, model signatures, and keys that were lost halfway.

use std::fs;

use crate::space::Space;

const PACKAGE: &str = "experts/english-basic/weights/english-basic.v1.4.0.expert";
const PROVENANCE: &str = "experts/english-basic/weights/english-basic.v1.4.0.expert.intoto.jsonl";

/// A space with the keys `k` and `other`.
fn keys() -> Space {
    let space = Space::workspace();
    space.x("keygen --output k.pem");
    space.x("keygen --output other.pem");
    space
}

fn append(space: &Space, path: &str, text: &str) {
    let old = fs::read_to_string(space.path(path)).unwrap();
    space.write(path, &format!("{old}\n{text}"));
}

#[test]
fn the_expertfile_says_whose_signature_counts() {
    let space = keys();
    space.x("english-basic --key k.pem");
    assert!(space.x(&format!("verify {PACKAGE}")).contains("no trusted key was named"));
    append(&space, "Expertfile.toml", "[trust]\nkeys = { hivellm = \"k.pub\" }\n");
    insta::assert_snapshot!(space.x(&format!("verify {PACKAGE} --require-signature")), @r#"
    exit 0
    --- stdout
    experts/english-basic/weights/english-basic.v1.4.0.expert: ok
      english-basic 1.4.0 (gzip, 5.8 KiB)
      5 files as the manifest says
      signed with the trusted key `hivellm` (trust at Expertfile.toml:5), publisher `expert-build`
      the .sha256 file beside it fits: [SHA256]
    "#);
    insta::assert_snapshot!(space.x("config --show-origin").lines().skip_while(|l| !l.contains("[trust]")).take(2).collect::<Vec<_>>().join("\n"), @r#"
    [trust]
    keys.hivellm = "k.pub"          # trust at Expertfile.toml:5
    "#);
    // From the folder of a member the same list counts, and its paths mean the same.
    let member = space.x("-C experts/english-basic verify weights/english-basic.v1.4.0.expert");
    assert!(member.contains("the trusted key `hivellm` (trust at Expertfile.toml:"), "{member}");

    let text = fs::read_to_string(space.path("k.pub")).unwrap();
    space.edit("Expertfile.toml", "\"k.pub\"", &format!("\"{}\"", text.trim()));
    assert!(space.x(&format!("verify {PACKAGE}")).starts_with("exit 0"));

    space.edit("Expertfile.toml", &format!("\"{}\"", text.trim()), "\"other.pub\"");
    insta::assert_snapshot!(space.x(&format!("verify {PACKAGE}")), @r#"
    exit 5
    --- stdout
    experts/english-basic/weights/english-basic.v1.4.0.expert: FAILED
      error: it is signed by `ed25519:[KEY]`, which is not trusted
      english-basic 1.4.0 (gzip, 5.8 KiB)
      5 files as the manifest says
      signed with ed25519:[KEY], publisher `expert-build`, which is not trusted
      the .sha256 file beside it fits: [SHA256]
    "#);
    assert!(space.x(&format!("extract {PACKAGE} -o out")).starts_with("exit 5"), "nor is it unpacked");
    let named = space.x(&format!("verify {PACKAGE} --key k.pub"));
    assert!(named.contains("the trusted key `k.pub` (flag `--key`)"), "a key that is named counts instead: {named}");
}

#[test]
fn the_users_configuration_says_so_too() {
    let space = keys();
    space.x("english-basic --key k.pem");
    let text = fs::read_to_string(space.path("k.pub")).unwrap();
    let config = space.path("../config/expert-build/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, format!("[trust]\nkeys = {{ me = \"{}\" }}\n", text.trim())).unwrap();
    let told = space.x(&format!("verify {PACKAGE}"));
    assert!(told.contains("the trusted key `me` (user config at "), "{told}");
    // Anywhere: no repo is needed.
    fs::create_dir(space.path("../elsewhere")).unwrap();
    fs::copy(space.path(PACKAGE), space.path("../elsewhere/p.expert")).unwrap();
    let told = space.x("-C ../elsewhere verify p.expert");
    assert!(told.contains("the trusted key `me`"), "{told}");
    // Under one name the repo's key counts; under another both do.
    append(&space, "Expertfile.toml", "[trust.keys]\nme = \"other.pub\"\n");
    assert!(space.x(&format!("verify {PACKAGE}")).starts_with("exit 5"));
    space.edit("Expertfile.toml", "me = ", "them = ");
    assert!(space.x(&format!("verify {PACKAGE}")).starts_with("exit 0"));
}

#[test]
fn a_list_that_cannot_be_read_is_never_passed_over() {
    let space = keys();
    space.x("english-basic --key k.pem");
    append(&space, "Expertfile.toml", "[trust]\nkeys = { gone = \"nowhere.pub\" }\n");
    insta::assert_snapshot!(space.x(&format!("verify {PACKAGE}")), @r#"
    exit 2
    --- stderr
    error: the trusted key `gone` (trust at Expertfile.toml:5) is not to be had: cannot read `[SPACE]/repo/nowhere.pub`: No such file or directory (os error 2)
      help: correct the entry of `[trust]`, or take it out
    "#);
    space.edit("Expertfile.toml", "nowhere.pub", "ed25519:12");
    insta::assert_snapshot!(space.x(&format!("verify {PACKAGE}")), @r#"
    exit 2
    --- stderr
    error[expertfile-value]: `ed25519:12`: not a public key: `ed25519:` and 64 hex digits, or an SPKI PEM, are expected
     --> Expertfile.toml:5:17
      |
    5 | keys = { gone = "ed25519:12" }
      |                 ^^^^^^^^^^^^
      |
      = help: `expert-build keygen` prints a public key, and writes it beside the private one
    "#);
    assert!(space.x(&format!("verify {PACKAGE} --key k.pub")).starts_with("exit 0"), "the list is not asked");
}

#[test]
fn a_lost_public_half_is_written_again() {
    let space = keys();
    let text = fs::read_to_string(space.path("k.pub")).unwrap();
    fs::remove_file(space.path("k.pub")).unwrap();
    insta::assert_snapshot!(space.x("keygen --output k.pem"), @r#"
    exit 0
    --- stdout
    ed25519:[KEY]

    --- stderr
    wrote k.pub (for those who verify), the missing half of k.pem, which is as it was
    "#);
    assert_eq!(fs::read_to_string(space.path("k.pub")).unwrap(), text);
    fs::remove_file(space.path("k.pub")).unwrap();
    insta::assert_snapshot!(space.x("keygen --public-of k.pem"), @r#"
    exit 0
    --- stdout
    ed25519:[KEY]

    --- stderr
    wrote k.pub (for those who verify)
    "#);
    assert_eq!(fs::read_to_string(space.path("k.pub")).unwrap(), text);
    insta::assert_snapshot!(space.x("keygen --public-of k.pem"), @r#"
    exit 0
    --- stdout
    ed25519:[KEY]

    --- stderr
    k.pub holds it already
    "#);
    fs::copy(space.path("other.pub"), space.path("k.pub")).unwrap();
    assert!(space.x("keygen --public-of k.pem").starts_with("exit 2"), "another key's public half stays");
}

#[test]
fn provenance_lies_beside_and_is_verified() {
    let space = keys();
    insta::assert_snapshot!(space.x("english-basic --provenance"), @r#"
    exit 2
    --- stderr
    error: `--provenance` is signed with the key of the package, and `experts/english-basic` has none
      help: name one with `key` in the Expertfile or `--key`; `expert-build keygen --output publisher.pem` makes one
    "#);
    space.x("english-basic");
    assert!(space.x("english-basic --provenance --key k.pem").starts_with("exit 0"));
    let first = fs::read(space.path(PROVENANCE)).unwrap();
    insta::assert_snapshot!(space.x(&format!("verify {PACKAGE}")), @r#"
    exit 0
    --- stdout
    experts/english-basic/weights/english-basic.v1.4.0.expert: ok
      english-basic 1.4.0 (gzip, 5.8 KiB)
      5 files as the manifest says
      signed with ed25519:[KEY], publisher `expert-build`; no trusted key was named to compare it with
      the .sha256 file beside it fits: [SHA256]
      provenance: built by urn:expert-build:package:v1 from 5 inputs, signed with the same key
    "#);

    let is_fresh = |line: &str| space.x(line).contains("1 package up to date");
    assert!(is_fresh("english-basic --provenance --key k.pem"));
    assert!(is_fresh("english-basic --key k.pem"), "without the flag it is up to date as well");
    fs::remove_file(space.path(PROVENANCE)).unwrap();
    space.x("english-basic --provenance --key k.pem");
    assert_eq!(fs::read(space.path(PROVENANCE)).unwrap(), first, "written again, the same");

    // Of another package, by another key, and none at all.
    fs::copy(space.path(PACKAGE), space.path("p.expert")).unwrap();
    fs::copy(space.path(PROVENANCE), space.path("p.jsonl")).unwrap();
    let given = space.x("verify p.expert --provenance p.jsonl");
    assert!(given.contains("provenance: built by"), "{given}");
    space.write("experts/english-basic/README.md", "Other words.\n");
    space.x("english-basic --key k.pem");
    assert!(!space.path(PROVENANCE).exists(), "the package changed: what was said of the old one is gone");
    insta::assert_snapshot!(space.x(&format!("verify {PACKAGE} --provenance p.jsonl")), @r#"
    exit 5
    --- stdout
    experts/english-basic/weights/english-basic.v1.4.0.expert: FAILED
      error: the provenance `p.jsonl` is not about this package: its hash is another
      english-basic 1.4.0 (gzip, 5.8 KiB)
      5 files as the manifest says
      signed with ed25519:[KEY], publisher `expert-build`; no trusted key was named to compare it with
      the .sha256 file beside it fits: [SHA256]
    "#);
    assert!(space.x("verify p.expert --provenance k.pub").contains("holds no statement"));
    assert!(space.x("verify p.expert --provenance nowhere").starts_with("exit 2"));
    space.x("english-basic --provenance --key other.pem");
    fs::copy(space.path(PACKAGE), space.path("q.expert")).unwrap();
    fs::copy(space.path(PROVENANCE), space.path("q.jsonl")).unwrap();
    let other = space.x("verify q.expert --provenance q.jsonl --key k.pub");
    assert!(other.starts_with("exit 5") && other.contains("is not signed with the key"), "{other}");
    // Signing again makes another package of it.
    let signed = space.x(&format!("sign {PACKAGE} --key k.pem"));
    assert!(signed.contains("took away"), "{signed}");
    assert!(!space.path(PROVENANCE).exists());
}

#[test]
fn a_package_without_an_expertfile_has_provenance_too() {
    let space = keys();
    let line = "package --manifest experts/english-basic/manifest.json --output out.expert --key k.pem --provenance -q";
    assert!(space.x(line).starts_with("exit 0"));
    assert!(space.x("verify out.expert").contains("provenance: built by"));
}

#[test]
fn model_signatures_lie_beside() {
    let space = keys();
    let told = space.x("keygen --algorithm p256 -o model.pem");
    assert!(told.starts_with("exit 0\n--- stdout\n-----BEGIN PUBLIC KEY-----\n"), "{told}");
    assert!(told.contains("wrote model.pem (private: keep it to yourself) and model.pub"), "{told}");
    assert!(space.x("keygen --public-of model.pem").contains("model.pub holds it already"));
    space.x("english-basic");
    fs::copy(space.path(PACKAGE), space.path("p.expert")).unwrap();
    insta::assert_snapshot!(space.x("sign p.expert --model-signing model.pem"), @r#"
    exit 0
    --- stderr
    wrote p.expert.sigstore.json, a model signature of p.expert (5 files)
    "#);
    let first = fs::read(space.path("p.expert.sigstore.json")).unwrap();
    space.x("sign p.expert --model-signing model.pem");
    assert_eq!(fs::read(space.path("p.expert.sigstore.json")).unwrap(), first, "nothing of chance is in it");
    insta::assert_snapshot!(space.x("sign p.expert --model-signing k.pem"), @r#"
    exit 2
    --- stderr
    error: `k.pem`: not a P-256 key: model signatures are made with ECDSA on that curve; `expert-build keygen --algorithm p256` makes one
    "#);
    insta::assert_snapshot!(space.x("sign p.expert --key model.pem"), @r#"
    exit 2
    --- stderr
    error: `model.pem`: the PEM does not hold an Ed25519 key
    "#);
    insta::assert_snapshot!(space.x("sign p.expert"), @r#"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      --key <FILE>

    Usage: expert-build sign --key <FILE> <PKG>...

    For more information, try '--help'.
    "#);
    // Both at once: the model signature is of the package as it is signed.
    let both = space.x("sign p.expert --key k.pem --model-signing model.pem");
    assert!(both.contains("(6 files)"), "{both}");
    assert_ne!(fs::read(space.path("p.expert.sigstore.json")).unwrap(), first);
    // A folder.
    assert!(space.x("sign experts/english-basic --model-signing model.pem").starts_with("exit 0"));
    assert!(space.path("experts/english-basic.sigstore.json").exists());
    std::os::unix::fs::symlink("README.md", space.path("experts/english-basic/link")).unwrap();
    let linked = space.x("sign experts/english-basic --model-signing model.pem");
    assert!(linked.starts_with("exit 2") && linked.contains("a symbolic link"), "{linked}");
}

#[test]
fn model_signatures_are_verified() {
    let space = keys();
    space.x("keygen --algorithm p256 -o model.pem");
    space.x("keygen --algorithm p256 -o stranger.pem");
    space.x("english-basic");
    fs::copy(space.path(PACKAGE), space.path("p.expert")).unwrap();
    space.x("sign p.expert --model-signing model.pem");
    let verify = |more: &str| space.x(&format!("verify p.expert {more}"));
    insta::assert_snapshot!(verify(""), @r#"
    exit 0
    --- stdout
    p.expert: ok
      english-basic 1.4.0 (gzip, 5.5 KiB)
      5 files as the manifest says
      not signed
      model signature of 5 files, with a key; no trusted P-256 key was named to check it with
    "#);
    insta::assert_snapshot!(verify("--key model.pub --require-signature"), @r#"
    exit 0
    --- stdout
    p.expert: ok
      english-basic 1.4.0 (gzip, 5.5 KiB)
      5 files as the manifest says
      not signed
      model signature of 5 files: with the trusted key `model.pub` (flag `--key`)
    "#);
    insta::assert_snapshot!(verify("--key stranger.pub"), @r#"
    exit 5
    --- stdout
    p.expert: FAILED
      error: the model signature `p.expert.sigstore.json` is not signed with a trusted key
      english-basic 1.4.0 (gzip, 5.5 KiB)
      5 files as the manifest says
      not signed
    "#);
    // A key of packages says nothing of it, and it does not take such a key's place.
    assert!(verify("--key k.pub").contains("no trusted P-256 key was named"));
    assert!(verify("--key k.pub --require-signature").starts_with("exit 5"));
    let json = verify("--key model.pub --json");
    assert!(json.contains("\"state\":\"trusted\"") && json.contains("\"vouches_for_all\":true"), "{json}");
    // The list of the Expertfile may name such a key too.
    append(&space, "Expertfile.toml", "[trust]\nkeys = { models = \"model.pub\" }\n");
    assert!(verify("--require-signature").contains("with the trusted key `models` (trust at Expertfile.toml:5)"));
    assert!(space.x("extract p.expert -o whole --require-signature").starts_with("exit 0"));

    // Of another package, taken from where it lies, and what is none.
    fs::copy(space.path("p.expert.sigstore.json"), space.path("old.json")).unwrap();
    space.write("experts/english-basic/README.md", "Other words.\n");
    space.x("english-basic");
    insta::assert_snapshot!(space.x(&format!("verify {PACKAGE} --model-signature old.json")), @r#"
    exit 5
    --- stdout
    experts/english-basic/weights/english-basic.v1.4.0.expert: FAILED
      error: the model signature `old.json` is of other files than these: `README.md` is another, `manifest.json` is another
      english-basic 1.4.0 (gzip, 5.5 KiB)
      5 files as the manifest says
      not signed
      the .sha256 file beside it fits: [SHA256]
    "#);
    assert!(space.x("verify p.expert --model-signature Expertfile.toml").contains("`Expertfile.toml` is not JSON"));
    assert!(space.x("verify p.expert --model-signature nowhere").starts_with("exit 2"));
    assert!(space.x("verify p.expert p.expert --model-signature old.json").starts_with("exit 2"));
    space.edit("p.expert.sigstore.json", "\"payload\":\"eyJ", "\"payload\":\"fyJ");
    assert!(verify("").starts_with("exit 5"));
    assert!(space.x("extract p.expert -o broken").starts_with("exit 5"));
}

/// Signed by nobody but the maker of the bundle, and signed by a stranger as well.
#[test]
fn whoever_names_a_key_of_models_asks_for_that_signature() {
    let space = keys();
    space.x("keygen --algorithm p256 -o model.pem");
    space.x("english-basic --key other.pem");
    fs::copy(space.path(PACKAGE), space.path("p.expert")).unwrap();
    let asked = space.x("verify p.expert --key model.pub --require-signature");
    assert!(asked.starts_with("exit 5") && asked.contains("no signature is by a trusted key"), "{asked}");
    space.x("sign p.expert --model-signing model.pem");
    assert!(space.x("verify p.expert --key model.pub --require-signature").starts_with("exit 0"));
    let both = space.x("verify p.expert --key model.pub --key k.pub --require-signature");
    assert!(both.starts_with("exit 5") && both.contains("is not trusted"), "{both}");
    assert!(space.x("verify p.expert --key model.pub --key other.pub --require-signature").starts_with("exit 0"));
}

#[test]
fn what_was_said_of_an_older_package_goes_with_it() {
    let space = keys();
    space.x("keygen --algorithm p256 -o model.pem");
    space.x("english-basic --provenance --key k.pem");
    space.x(&format!("sign {PACKAGE} --model-signing model.pem"));
    let bundle = format!("{PACKAGE}.sigstore.json");
    // The same package put back in its place is what it was.
    fs::remove_file(space.path(PACKAGE)).unwrap();
    let again = space.x("english-basic --key k.pem");
    assert!(!again.contains("took away"), "{again}");
    assert!(space.path(&bundle).exists() && space.path(PROVENANCE).exists());
    assert!(space.x(&format!("verify {PACKAGE} --key model.pub --key k.pub")).starts_with("exit 0"));

    space.write("experts/english-basic/README.md", "Other words.\n");
    let told = space.x("english-basic --key k.pem");
    assert_eq!(told.matches("took away").count(), 2, "{told}");
    assert!(!space.path(&bundle).exists() && !space.path(PROVENANCE).exists());
    assert!(!space.x("english-basic --key k.pem").contains("took away"), "once");
    // What is made anew is not told as gone.
    space.x("english-basic --provenance --key k.pem");
    space.x(&format!("sign {PACKAGE} --model-signing model.pem"));
    space.write("experts/english-basic/README.md", "Still others.\n");
    let told = space.x("english-basic --provenance --key k.pem");
    assert!(told.matches("took away").count() == 1 && told.contains(".sigstore.json"), "{told}");
    space.x(&format!("sign {PACKAGE} --model-signing model.pem"));
    let told = space.x(&format!("sign {PACKAGE} --key other.pem --model-signing model.pem"));
    assert!(!told.contains("sigstore.json, which spoke"), "{told}");
    let told = space.x(&format!("sign {PACKAGE} --key k.pem"));
    assert!(told.contains("took away") && !space.path(&bundle).exists(), "{told}");
}

#[test]
fn a_key_may_stand_in_the_environment() {
    let space = keys();
    space.x("english-basic");
    let sign = |variable: &str, value: &str| {
        let mut command = space.command();
        command.env("PUBLISHER_KEY", value).args(["sign", PACKAGE, "--key-env", variable]);
        space.shown(&command.output().unwrap())
    };
    let pem = fs::read_to_string(space.path("k.pem")).unwrap();
    let unset = sign("NOBODY", &pem);
    assert!(unset.starts_with("exit 2") && unset.contains("`NOBODY` is not set"), "{unset}");
    let wrong = sign("PUBLISHER_KEY", "no-key");
    assert!(wrong.starts_with("exit 2") && !wrong.contains("no-key"), "{wrong}");
    assert!(sign("PUBLISHER_KEY", &pem).starts_with("exit 0"));
    assert!(space.x(&format!("verify {PACKAGE} --key k.pub --require-signature")).starts_with("exit 0"));
    space.x("keygen --algorithm p256 -o model.pem");
    let named = space.x(&format!("sign {PACKAGE} --model-signing model.pem --publisher me"));
    assert!(named.starts_with("exit 2"), "{named}");
}
