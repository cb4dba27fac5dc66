//! `package`: one expert without an Expertfile, by `expert-build` and by `expert-cli`.

use serde_json::json;

use crate::archive::{content, manifest, paths, sha256};
use crate::expert::{Expert, lora};
use crate::space::{EXPERT_BUILD, EXPERT_CLI, Ran, Space};

const PROGRAMS: [&str; 2] = [EXPERT_BUILD, EXPERT_CLI];
const PACKAGE: &str = "expert/weights/expert-sql.v1.0.0.expert";

/// An expert whose weights lie in a folder of their own.
fn expert() -> Expert {
    let weights = lora("expert-sql", 2, 4, &["q_proj", "v_proj"], 8, false);
    Expert::lora("expert-sql")
        .without("adapter_model.safetensors")
        .file("weights/adapter/adapter_model.safetensors", weights)
        .soft_prompt("intro")
        .soft_prompt("closing")
}

fn space(expert: &Expert) -> Space {
    let space = Space::new();
    space.add("expert", expert);
    space
}

fn package(space: &Space, program: &str, more: &[&str]) -> Ran {
    let arguments = ["package", "--manifest", "expert/manifest.json", "--weights", "expert/weights/adapter"];
    space.run_as(program, "", &[&arguments, more].concat())
}

#[test]
fn it_collects_packs_and_reports_size_and_contents() {
    for program in PROGRAMS {
        let space = space(&expert());
        let ran = package(&space, program, &[]).ok();
        let bytes = space.read(PACKAGE);
        assert!(bytes.starts_with(&[0x1f, 0x8b]), "tar.gz by default");
        let line = format!("{}  expert-sql.v1.0.0.expert\n", sha256(&bytes));
        assert_eq!(String::from_utf8(space.read(&format!("{PACKAGE}.sha256"))).unwrap(), line);
        let paths = paths(&bytes);
        assert_eq!(
            paths,
            [
                "manifest.json",
                "LICENSE",
                "README.md",
                "adapter_config.json",
                "adapter_model.safetensors",
                "soft_prompts/closing.pt",
                "soft_prompts/intro.pt"
            ]
        );
        assert!(ran.stdout.contains(&sha256(&bytes)), "{}", ran.shown());
        for path in &paths {
            assert!(ran.stdout.contains(path.as_str()), "`{path}` is not reported\n{}", ran.shown());
        }
        let weights = space.read("expert/weights/adapter/adapter_model.safetensors");
        assert!(ran.stdout.contains(&sha256(&weights)), "{}", ran.shown());
    }
}

#[test]
fn an_output_that_ends_with_a_slash_is_a_folder_to_make() {
    let space = space(&expert());
    package(&space, EXPERT_BUILD, &["--output", "new/er/"]).ok();
    assert!(space.read("new/er/expert-sql.v1.0.0.expert").starts_with(&[0x1f, 0x8b]));
}

#[test]
fn hashes_of_manifest_weights_and_soft_prompts_are_in_the_manifest() {
    for program in PROGRAMS {
        let space = space(&expert());
        package(&space, program, &[]).ok();
        let bytes = space.read(PACKAGE);
        let manifest = manifest(&bytes);
        let files = &manifest["integrity"]["files"];
        for path in ["adapter_model.safetensors", "soft_prompts/intro.pt", "soft_prompts/closing.pt", "LICENSE"] {
            assert_eq!(files[path], json!(sha256(&content(&bytes, path))), "{path}");
        }
        assert_eq!(files["manifest.json"].as_str().map(str::len), Some(64));
        space.run(&format!("verify {PACKAGE}")).ok();
    }
}

#[test]
fn zstd_is_smaller_and_noted() {
    // What comes again after more than 32 KiB is new to gzip. (Weights alone are as small with one as with the other.)
    let words: Vec<String> = (0..10_000_u32).map(|i| format!("word{}", i.wrapping_mul(2_654_435_761) >> 12)).collect();
    let vocabulary = format!("[{:?}, {:?}]", words.join(" "), words.join(" "));
    for program in PROGRAMS {
        let space = space(&expert().file("vocab.json", &vocabulary));
        package(&space, program, &[]).ok();
        let gzip = space.read(PACKAGE).len();
        package(&space, program, &["--compression", "zstd"]).ok();
        let bytes = space.read(PACKAGE);
        assert!(bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        assert!(bytes.len() < gzip, "{} and {gzip}", bytes.len());
        assert_eq!(manifest(&bytes)["package"]["compression"], json!("zstd"));
    }
}

#[test]
fn soft_prompts_are_checked_for_their_shape() {
    for program in PROGRAMS {
        let wrong = expert().set("/soft_prompts/0/tokens", json!(32));
        let space = space(&wrong);
        package(&space, program, &[]).exits(11).says("soft-prompt").says("32");
        assert!(space.outputs().is_empty());
    }
}

#[test]
fn what_is_wrong_is_said_and_nothing_written() {
    type Change = fn(&Space);
    let cases: [(&str, Change, i32, &str); 6] = [
        ("a soft prompt is missing", |s| s.remove("expert/soft_prompts/intro.pt"), 11, "soft_prompts/intro.pt"),
        (
            "the weights are missing",
            |s| s.remove("expert/weights/adapter/adapter_model.safetensors"),
            11,
            "adapter_model.safetensors",
        ),
        (
            "the weights are not safetensors",
            |s| s.write("expert/weights/adapter/adapter_model.safetensors", "noise that is long enough"),
            11,
            "adapter_model.safetensors",
        ),
        ("the manifest is not JSON", |s| s.write("expert/manifest.json", "{\"name\": }"), 11, "json-syntax"),
        (
            "a required field is missing",
            |s| s.add("expert", &expert().set("/description", json!(null))),
            11,
            "description",
        ),
        ("there is no manifest", |s| s.remove("expert/manifest.json"), 2, "expert/manifest.json"),
    ];
    for program in PROGRAMS {
        for (what, change, code, says) in &cases {
            let space = space(&expert());
            change(&space);
            let ran = package(&space, program, &[]);
            assert_eq!(ran.code, *code, "{what}\n{}", ran.shown());
            let ran = ran.says(says);
            assert!(ran.stdout.is_empty(), "{what}: nothing was made, nothing is reported\n{}", ran.shown());
            assert!(space.outputs().is_empty(), "{what}");
        }
    }
}

#[test]
fn no_license_and_no_soft_prompts_are_fine() {
    for program in PROGRAMS {
        let space = space(&Expert::lora("expert-sql").without("LICENSE"));
        let arguments = ["package", "--manifest", "expert/manifest.json", "--weights", "expert"];
        space.run_as(program, "", &arguments).ok();
        assert!(!paths(&space.read(PACKAGE)).contains(&"LICENSE".to_owned()));
    }
}

#[test]
fn output_names_a_file_or_a_folder() {
    for program in PROGRAMS {
        let space = space(&expert());
        package(&space, program, &["--output", "out.expert"]).ok();
        assert!(space.exists("out.expert") && space.exists("out.expert.sha256"));
        std::fs::create_dir(space.path("dist")).unwrap();
        package(&space, program, &["--output", "dist"]).ok();
        assert_eq!(space.read("dist/expert-sql.v1.0.0.expert"), space.read("out.expert"));
        assert!(!space.exists(PACKAGE));
    }
}

#[test]
fn of_several_base_models_all_or_one() {
    for program in PROGRAMS {
        let space = space(&Expert::two_models("two"));
        let arguments = ["package", "--manifest", "expert/manifest.json", "--weights", "expert/weights"];
        space.run_as(program, "", &[&arguments[..], &["--model", "tiny-b"]].concat()).ok();
        assert!(space.exists("expert/weights/two-tiny-b.v1.0.0.expert"));
        assert!(!space.exists("expert/weights/two-tiny-1-5b.v1.0.0.expert"));
        // What is asked for and not to be had is a fault of the command line.
        let asked = |more: &[&str]| space.run_as(program, "", &[&arguments[..], more].concat()).exits(2);
        asked(&["--output", "one.expert"]).says("choose one with `--model`");
        asked(&["--model", "tiny-z"]).says("the manifest has no base model `tiny-z`");
        assert!(!space.exists("one.expert"));
        space.run_as(program, "", &arguments).ok();
        assert!(space.exists("expert/weights/two-tiny-1-5b.v1.0.0.expert"));
    }
}

#[test]
fn both_programs_and_the_build_give_the_same_bytes() {
    let by = |program: &str| {
        let space = space(&expert());
        package(&space, program, &[]).ok();
        space.read(PACKAGE)
    };
    let bytes = by(EXPERT_BUILD);
    assert!(by(EXPERT_CLI) == bytes);
    let space = space(&expert());
    space.write("Expertfile.toml", "[[expert]]\npath = \"expert\"\nweights = \"weights/adapter\"\n");
    space.run("build").ok();
    assert!(space.read(PACKAGE) == bytes);

    // Through the same cache: what one has made, the other does not make again.
    let before = space.stamp(PACKAGE);
    package(&space, EXPERT_CLI, &[]).ok().says("expert-sql.v1.0.0.expert");
    assert_eq!(space.stamp(PACKAGE), before, "it stood there already");
    space.remove(PACKAGE);
    package(&space, EXPERT_CLI, &[]).ok().says("restored");
    assert!(space.read(PACKAGE) == bytes);
}
