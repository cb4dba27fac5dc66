//! The verbs that read packages: what they answer, and how they fail.

use std::fs;

use crate::space::Space;

const PACKAGE: &str = "experts/english-basic/weights/english-basic.v1.4.0.expert";

/// A package `p.expert`.
fn packaged() -> Space {
    let space = Space::workspace();
    space.x("english-basic --compression none");
    fs::copy(space.path(PACKAGE), space.path("p.expert")).unwrap();
    space
}

/// The package with one byte changed, where this text stands.
fn damaged(space: &Space, text: &str) {
    let mut bytes = fs::read(space.path("p.expert")).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    fs::write(space.path("bad.expert"), bytes).unwrap();
}

#[test]
fn verify_names_what_is_wrong() {
    let space = packaged();
    insta::assert_snapshot!(space.x("verify p.expert"), @r#"
    exit 0
    --- stdout
    p.expert: ok
      english-basic 1.4.0 (none, 13.5 KiB)
      5 files as the manifest says
      not signed
    "#);
    assert_eq!(space.x("verify p.expert -q"), "exit 0");
    damaged(&space, "MIT License");
    insta::assert_snapshot!(space.x("verify bad.expert p.expert"), @r#"
    exit 5
    --- stdout
    bad.expert: FAILED
      error: `LICENSE`: its content is not what the manifest says
      english-basic 1.4.0 (none, 13.5 KiB)
      4 files as the manifest says, 1 changed
      not signed
    p.expert: ok
      english-basic 1.4.0 (none, 13.5 KiB)
      5 files as the manifest says
      not signed
    "#);
    insta::assert_snapshot!(space.x("verify p.expert --require-signature"), @r#"
    exit 5
    --- stdout
    p.expert: FAILED
      error: the package is not signed, and a signature is required
      english-basic 1.4.0 (none, 13.5 KiB)
      5 files as the manifest says
      not signed
    "#);
    fs::write(space.path("noise.expert"), [7; 100]).unwrap();
    insta::assert_snapshot!(space.x("verify noise.expert"), @r#"
    exit 5
    --- stderr
    error: `noise.expert`: this is no package: neither gzip, nor zstd, nor tar (at byte 0)
    "#);
    insta::assert_snapshot!(space.x("verify nowhere.expert"), @r#"
    exit 3
    --- stderr
    error: cannot open `nowhere.expert`: No such file or directory (os error 2)
    "#);
    let json = space.command().args(["verify", "bad.expert", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["v"], &json["ok"]), (&1.into(), &false.into()));
    assert_eq!(json["problems"][0]["path"], "LICENSE");
}

#[test]
fn keys_sign_and_are_trusted() {
    let space = packaged();
    insta::assert_snapshot!(space.x("keygen --output k.pem"), @r#"
    exit 0
    --- stdout
    ed25519:[KEY]

    --- stderr
    wrote k.pem (private: keep it to yourself) and k.pub (for those who verify)
    "#);
    insta::assert_snapshot!(space.x("keygen --output k.pem"), @r#"
    exit 2
    --- stderr
    error: `k.pem` exists, and a key is never overwritten
      help: give another `--output`, or move the old key away first
    "#);
    space.x("keygen -o other.pem");
    insta::assert_snapshot!(space.x("sign p.expert --key k.pem --publisher hivellm"), @r#"
    exit 0
    --- stderr
    signed p.expert as `hivellm` (14.5 KiB, 5 files) with ed25519:[KEY]
    "#);
    insta::assert_snapshot!(space.x("verify p.expert --key k.pub --require-signature"), @r#"
    exit 0
    --- stdout
    p.expert: ok
      english-basic 1.4.0 (none, 14.5 KiB)
      5 files as the manifest says
      signed with the trusted key `k.pub` (flag `--key`), publisher `hivellm`
      the .sha256 file beside it fits: [SHA256]
    "#);
    insta::assert_snapshot!(space.x("verify p.expert --key other.pub"), @r#"
    exit 5
    --- stdout
    p.expert: FAILED
      error: it is signed by `ed25519:[KEY]`, which is not trusted
      english-basic 1.4.0 (none, 14.5 KiB)
      5 files as the manifest says
      signed with ed25519:[KEY], publisher `hivellm`, which is not trusted
      the .sha256 file beside it fits: [SHA256]
    "#);
    insta::assert_snapshot!(space.x("sign p.expert p.expert --key k.pem -o x"), @r#"
    exit 2
    --- stderr
    error: several packages cannot be written to one file
      help: without `--output` each is signed in its place
    "#);
}

#[test]
fn inspect_and_cat_show_what_is_in_it() {
    let space = packaged();
    insta::assert_snapshot!(space.x("inspect p.expert"), @r#"
    exit 0
    --- stdout
    english-basic 1.4.0
      package       p.expert
      size          13.5 KiB, 8.5 KiB unpacked (none)
      description   Plain English: the expert that others build on
      author        expert-build
      license       MIT
      schema        2.0
      capabilities  language:en
      base model    tiny-qwen3
        adapter     lora, r 4, alpha 8, q_proj v_proj
      signature     not signed

          size      packed  sha256                                                            path
       2.5 KiB     2.5 KiB  [SHA256]  manifest.json
       1.1 KiB     1.1 KiB  [SHA256]  LICENSE
         102 B       102 B  [SHA256]  README.md
         346 B       346 B  [SHA256]  adapter_config.json
       4.5 KiB     4.5 KiB  [SHA256]  adapter_model.safetensors
    "#);
    let tensors = space.stdout("inspect p.expert --tensors");
    assert!(tensors.contains("lora_A.weight") && tensors.contains("BF16"), "{tensors}");
    let license = space.stdout("cat p.expert LICENSE");
    assert_eq!(license, space.read("experts/english-basic/LICENSE"));
    insta::assert_snapshot!(space.x("cat p.expert LICENCE"), @r#"
    exit 2
    --- stderr
    error: `p.expert` holds no file `LICENCE`
      help: is `LICENSE` meant? `inspect` lists every file
    "#);
    insta::assert_snapshot!(space.x("inspect p.expert --max-size 1KiB"), @r#"
    exit 5
    --- stderr
    error: `p.expert`: an entry of 2585 bytes: the package would unpack to more than 1024 bytes; `--max-size` sets the limit (at byte 0)
    "#);
    insta::assert_snapshot!(space.x("inspect p.expert --max-size much"), @r#"
    exit 2
    --- stderr
    error: invalid value 'much' for '--max-size <SIZE>': `much` is not a size; a size is a number and `KiB`, `MiB`, `GiB`, `TiB` (or `kB`, `MB`, `GB`, `TB`): `80MiB`

    For more information, try '--help'.
    "#);
}

#[test]
fn extract_leaves_nothing_of_a_bad_package() {
    let space = packaged();
    insta::assert_snapshot!(space.x("extract p.expert"), @r#"
    exit 0
    --- stderr
    extracted 5 files (8.5 KiB) into p; not signed
    "#);
    assert_eq!(space.read("p/LICENSE"), space.read("experts/english-basic/LICENSE"));
    insta::assert_snapshot!(space.x("extract p.expert"), @r#"
    exit 2
    --- stderr
    error: `p/manifest.json` is there already
      help: choose another folder, or replace what is there with `--force`
    "#);
    insta::assert_snapshot!(space.run(["extract", "p.expert", "*.json", "-o", "some", "-v"]), @r#"
    exit 0
    --- stdout
    some/adapter_config.json
    some/manifest.json

    --- stderr
    extracted 2 files (2.9 KiB) into some; not signed
    "#);
    assert!(!space.path("some/LICENSE").exists());
    damaged(&space, "MIT License");
    insta::assert_snapshot!(space.x("extract bad.expert"), @r#"
    exit 5
    --- stderr
    error: `bad.expert`: not extracted: `LICENSE`: its content is not what the manifest says
    "#);
    assert!(!space.path("bad").exists());
    fs::rename(space.path("bad.expert"), space.path("bad.tar")).unwrap();
    insta::assert_snapshot!(space.x("extract bad.tar"), @r#"
    exit 2
    --- stderr
    error: `bad.tar` does not end in `.expert`, so where to unpack it cannot be told
      help: name the folder with `--output DIR`
    "#);
}

#[test]
fn diff_tells_keys_files_and_tensors() {
    let space = packaged();
    assert!(space.x("diff p.expert p.expert --exit-code").starts_with("exit 0"));
    space.edit("experts/english-basic/manifest.json", r#""version": "1.4.0""#, r#""version": "1.5.0""#);
    space.write("experts/english-basic/README.md", "Another text.\n");
    let path = "experts/english-basic/adapter_model.safetensors";
    let mut weights = fs::read(space.path(path)).unwrap();
    let last = weights.len() - 3;
    weights[last] ^= 1;
    fs::write(space.path(path), weights).unwrap();
    space.x("english-basic");
    let line = "diff p.expert experts/english-basic/weights/english-basic.v1.5.0.expert --exit-code";
    insta::assert_snapshot!(space.x(line), @r#"
    exit 1
    --- stdout
    --- p.expert
    +++ experts/english-basic/weights/english-basic.v1.5.0.expert
    manifest.json
      ~ /version: "1.4.0" → "1.5.0"
      ~ /base_models/0/adapters/0/sha256: "[SHA256]" → "[SHA256]"
      ~ /package/compression: "none" → "gzip"
      ~ /package/level: 0 → 6
    files
      ~ README.md (102 B → 14 B)
      ~ adapter_model.safetensors (4.5 KiB, other content)
    adapter_model.safetensors: 1 of 8 tensors changed
      ~ base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight: at most 4.980e-2 apart, relative L2 3.939e-1, cosine 0.937470
    "#);
}

#[test]
fn what_is_asked_for_and_not_there_is_named() {
    let space = packaged();
    let told = space.x("extract p.expert LICENSE nomatch !other -o out");
    insta::assert_snapshot!(told, @r#"
    exit 2
    --- stderr
    error: `p.expert` holds no file that matches `nomatch`
      help: nothing was extracted; `expert-build inspect` lists every file
    "#);
    assert!(!space.path("out").exists(), "nothing is left");
    assert!(space.x("extract p.expert LICENSE -o out").starts_with("exit 0"));
}

#[test]
fn a_wrong_name_of_a_key_is_told_as_what_it_is() {
    let space = packaged();
    space.x("keygen -o k.pem");
    insta::assert_snapshot!(space.x("sign p.expert --key k.pub"), @r#"
    exit 2
    --- stderr
    error: `k.pub` is a public key, and a private one is needed
      help: name the private one, which may be `k.pem`
    "#);
    let told = space.x("keygen -o nodir/k.pem");
    assert!(told.starts_with("exit 3") && told.contains("nodir/k.pem") && !told.contains("tmp-"), "{told}");
}
