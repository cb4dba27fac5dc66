//! `expert-cli`: the flags it always had.

use crate::space::Space;

fn run(space: &Space, line: &str) -> String {
    let mut program = space.program(env!("CARGO_BIN_EXE_expert-cli"));
    space.shown(&program.args(line.split_whitespace()).output().unwrap())
}

#[test]
fn the_four_verbs() {
    let space = Space::workspace();
    let line =
        "package --manifest experts/english-basic/manifest.json --weights experts/english-basic --output p.expert";
    let told = run(&space, &format!("{line} --compression zstd"));
    assert!(told.starts_with("exit 0\n--- stdout\np.expert "), "{told}");
    insta::assert_snapshot!(run(&space, "keygen --output k.pem"), @r#"
    exit 0
    --- stdout
    ed25519:[KEY]

    --- stderr
    wrote k.pem (private: keep it to yourself) and k.pub (for those who verify)
    "#);
    insta::assert_snapshot!(run(&space, "sign --expert p.expert --key k.pem"), @r#"
    exit 0
    --- stderr
    signed p.expert as `expert-build` (6.2 KiB, 5 files) with ed25519:[KEY]
    "#);
    insta::assert_snapshot!(run(&space, "validate --expert p.expert"), @r#"
    exit 0
    --- stdout
    p.expert: ok
      english-basic 1.4.0 (zstd, 6.2 KiB)
      5 files as the manifest says
      signed with ed25519:[KEY], publisher `expert-build`; no trusted key was named to compare it with
      the .sha256 file beside it fits: [SHA256]
    "#);
    insta::assert_snapshot!(run(&space, "validate --expert experts/english-basic"), @r#"
    exit 0
    --- stderr
    note: 2 notices (-v shows them)
    1 expert: all valid in [TIME]
    "#);
    std::fs::remove_file(space.path("experts/english-basic/adapter_model.safetensors")).unwrap();
    assert!(run(&space, "validate --expert experts/english-basic").starts_with("exit 11"));
    std::fs::write(space.path("p.expert"), "noise").unwrap();
    assert!(run(&space, "validate --expert p.expert").starts_with("exit 5"));
    assert!(run(&space, "validate --expert nowhere").starts_with("exit 3"));
    assert!(run(&space, "sign --expert p.expert").starts_with("exit 2"));
}
