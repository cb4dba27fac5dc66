//! Which experts there are and what holds for them: members, defaults, profiles, requirements.

use serde_json::json;

use crate::archive::{manifest, paths};
use crate::expert::Expert;
use crate::space::Space;

fn expertfile(space: &Space, text: &str) {
    space.write("Expertfile.toml", text);
}

#[test]
fn a_folder_with_a_manifest_needs_no_expertfile() {
    let space = Space::new();
    space.add("", &Expert::lora("a"));
    space.run("build").ok().did([1, 0, 0, 0]);
    assert!(space.exists("weights/a.v1.0.0.expert"));
    assert!(!space.exists("Expertfile.toml"));
}

#[test]
fn a_folder_with_nothing_says_what_to_do() {
    let space = Space::new();
    space.run("build").exits(2).says("there is no expert here");
    space.add("deep/below", &Expert::lora("a"));
    space.run("build").exits(2).says("`deep/below`").says("expert-build init");
}

#[test]
fn members_are_globs_less_exclude() {
    let space = Space::new();
    for folder in ["experts/a", "experts/b", "experts/_template", "more/deep/c", "elsewhere/d"] {
        space.add(folder, &Expert::lora(folder.rsplit('/').next().unwrap().trim_start_matches('_')));
    }
    space.write("experts/README.md", "not an expert");
    expertfile(&space, "[workspace]\nmembers = [\"experts/*\", \"more/**\"]\nexclude = [\"experts/_*\"]\n");
    space.run("build").ok().did([3, 0, 0, 0]);
    for (folder, name, there) in [
        ("experts/a", "a", true),
        ("experts/b", "b", true),
        ("more/deep/c", "c", true),
        ("experts/_template", "template", false),
        ("elsewhere/d", "d", false),
    ] {
        assert_eq!(space.exists(&format!("{folder}/weights/{name}.v1.0.0.expert")), there, "{folder}");
    }
}

#[test]
fn default_members_are_what_is_built_when_nothing_is_named() {
    let space = Space::with(&[Expert::lora("a"), Expert::lora("b")]);
    expertfile(&space, "[workspace]\nmembers = [\"experts/*\"]\ndefault-members = [\"experts/b\"]\n");
    space.run("build").ok().did([1, 0, 0, 0]);
    assert!(space.exists("experts/b/weights") && !space.exists("experts/a/weights"));
}

#[test]
fn out_dir_and_name_decide_where_packages_go() {
    let space = Space::with(&[Expert::lora("a"), Expert::two_models("b")]);
    let text = "[workspace]\nmembers = [\"experts/*\"]\nout-dir = \"dist\"\n";
    expertfile(&space, text);
    space.run("build").ok().did([3, 0, 0, 0]);
    let names = ["a.v1.0.0", "b-tiny-1-5b.v1.0.0", "b-tiny-b.v1.0.0"];
    for name in names {
        assert!(space.exists(&format!("dist/{name}.expert")), "{name}");
        assert!(space.exists(&format!("dist/{name}.expert.sha256")), "{name}");
    }
    assert!(!space.exists("experts/a/weights/a.v1.0.0.expert"));

    expertfile(&space, &format!("{text}[defaults]\nname = \"{{model}}_{{version}}_{{name}}.expert\"\n"));
    space.run("build").ok();
    assert!(space.exists("dist/tiny-b_1.0.0_b.expert"));
    expertfile(&space, &format!("{text}[defaults]\nname = \"{{name}}.expert\"\n"));
    space.run("build").exits(2).says("{model}");
}

#[test]
fn each_base_model_gets_its_own_weights_and_its_own_manifest() {
    let space = Space::with(&[Expert::two_models("b")]);
    space.run("build").ok().did([2, 0, 0, 0]);
    for (slug, model) in [("tiny-1-5b", "Tiny-1.5B"), ("tiny-b", "tiny-b")] {
        let package = space.read(&format!("experts/b/weights/b-{slug}.v1.0.0.expert"));
        let manifest = manifest(&package);
        let models = manifest["base_models"].as_array().unwrap();
        assert_eq!(models.len(), 1);
        assert_eq!(models[0]["name"], json!(model));
        let weights = space.read(&format!("experts/b/weights/{model}/adapter_model.safetensors"));
        assert_eq!(crate::archive::content(&package, "adapter_model.safetensors"), weights);
        assert_eq!(models[0]["adapters"][0]["sha256"], json!(crate::archive::sha256(&weights)));
    }
}

#[test]
fn models_chooses_among_them() {
    let space = Space::with(&[Expert::two_models("b")]);
    expertfile(&space, "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\nmodels = [\"tiny-b\"]\n");
    space.run("build").ok().did([1, 0, 0, 0]);
    assert!(space.exists("experts/b/weights/b-tiny-b.v1.0.0.expert"));
    expertfile(&space, "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\nmodels = [\"tiny-c\"]\n");
    space.run("build").says("`tiny-c`").says("tiny-b");
}

#[test]
fn defaults_lie_under_every_expert_and_extend_appends() {
    let space = Space::with(&[
        Expert::lora("a").file("docs/a.md", "").file("extra.txt", ""),
        Expert::lora("b").file("docs/b.md", "").file("extra.txt", ""),
        Expert::lora("c").file("docs/c.md", "").file("extra.txt", ""),
    ]);
    expertfile(
        &space,
        r#"
[workspace]
members = ["experts/*"]
out-dir = "dist"
[defaults]
include = ["docs/**"]
[[expert]]
path = "experts/a"
extend-include = ["extra.txt"]
[[expert]]
path = "experts/b"
include = ["extra.txt"]
"#,
    );
    space.run("build").ok().did([3, 0, 0, 0]);
    let has = |name: &str| {
        let paths = paths(&space.read(&format!("dist/{name}.v1.0.0.expert")));
        (paths.contains(&format!("docs/{name}.md")), paths.contains(&"extra.txt".to_owned()))
    };
    assert_eq!([has("a"), has("b"), has("c")], [(true, true), (false, true), (true, false)]);
}

#[test]
fn a_member_may_have_an_expertfile_of_its_own() {
    let space = Space::with(&[Expert::lora("a").file("own.txt", ""), Expert::lora("b")]);
    space.write("experts/a/Expertfile.toml", "[[expert]]\ninclude = [\"own.txt\"]\ncompression = \"none\"\n");
    space.run("build").ok().did([2, 0, 0, 0]);
    let package = space.read("experts/a/weights/a.v1.0.0.expert");
    assert!(package.starts_with(b"manifest.json\0"));
    let paths = paths(&package);
    assert!(paths.contains(&"own.txt".to_owned()) && !paths.contains(&"Expertfile.toml".to_owned()), "{paths:?}");
}

#[test]
fn a_profile_is_over_the_file_and_under_flags() {
    let space = Space::with(&[Expert::lora("a")]);
    expertfile(
        &space,
        "[workspace]\nmembers = [\"experts/*\"]\n[profile.small]\ncompression = \"zstd\"\nlevel = 19\n\
         [profile.smaller]\ninherits = \"small\"\nlevel = 22\n",
    );
    let package = |arguments: &str| {
        space.run(arguments).ok();
        manifest(&space.read("experts/a/weights/a.v1.0.0.expert"))["package"].clone()
    };
    let like = |compression: &str, level: u32| json!({"format_version": 1, "archive": "tar", "compression": compression, "level": level});
    assert_eq!(package("build"), like("gzip", 6));
    assert_eq!(package("--profile small build"), like("zstd", 19));
    assert_eq!(package("--profile smaller build"), like("zstd", 22));
    assert_eq!(package("--profile small build --level 1"), like("zstd", 1));
    space.run("--profile tiny build").exits(2).says("`tiny`");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_likely_one() {
    let space = Space::with(&[Expert::lora("a")]);
    expertfile(&space, "[workspace]\nmembers = [\"experts/*\"]\n\n[defaults]\ncompresion = \"zstd\"\n");
    insta::assert_snapshot!(space.run("build").shown(), @r#"
    exit 2
    --- stderr
    error[expertfile-unknown-key]: unknown key `compresion`
     --> Expertfile.toml:5:1
      |
    5 | compresion = "zstd"
      | ^^^^^^^^^^
      |
      = help: did you mean `compression`?
    "#);
    assert!(space.outputs().is_empty());
}

#[test]
fn lints_and_the_strict_preset_decide_what_fails() {
    let space = Space::with(&[Expert::lora("a").set("/license", json!(null))]);
    space.run("build").ok().says("manifest-key-expected");
    let with = |lints: &str| expertfile(&space, &format!("[workspace]\nmembers = [\"experts/*\"]\n{lints}\n"));
    with("[defaults.lints]\npreset = \"strict\"");
    space.run("build").exits(11).says("manifest-key-expected");
    with("[defaults.lints]\n\"manifest-key-expected\" = \"deny\"");
    space.run("build").exits(11).says("manifest-key-expected");
    with("[defaults.lints]\npreset = \"strict\"\n\"manifest-key-expected\" = \"allow\"");
    let ran = space.run("build").ok();
    assert!(!ran.shown().contains("manifest-key-expected"), "{}", ran.shown());
}

#[test]
fn what_is_required_must_be_there_in_a_version_that_fits() {
    let space = Space::with(&[Expert::lora("a").requires(&["english-basic@>=1.0.0"])]);
    space.run("build").exits(4).says("requirement-unmet").says("`english-basic`").says("externals");
    assert!(space.outputs().is_empty());

    let members = "[workspace]\nmembers = [\"experts/*\"]\n";
    expertfile(&space, &format!("{members}externals = {{ \"english-basic\" = \"1.4.0\" }}\n"));
    space.run("build").ok().did([1, 0, 0, 0]);
    expertfile(&space, &format!("{members}externals = {{ \"english-basic\" = \"0.9.0\" }}\n"));
    space.run("build").exits(4).says("requirement-version").says("0.9.0");

    expertfile(&space, members);
    space.add("experts/english-basic", &Expert::lora("english-basic").version("0.9.0"));
    space.run("build").exits(4).says("requirement-version");
    space.add("experts/english-basic", &Expert::lora("english-basic").version("1.2.0"));
    space.run("build").ok();
}

#[test]
fn what_is_required_is_built_first() {
    let space = Space::with(&[
        Expert::lora("a").requires(&["b"]),
        Expert::lora("b").requires(&["c@^1"]),
        Expert::lora("c").set("/constraints/load_order", json!(1)),
    ]);
    for jobs in ["-j 1", "-j 8"] {
        space.run(&format!("build --force {jobs}")).ok();
        for (path, _) in space.outputs() {
            space.remove(&path);
        }
        space.run(&format!("build --force {jobs}")).ok();
        let time = |name: &str| {
            let (_, seconds, nanos) = space.stamp(&format!("experts/{name}/weights/{name}.v1.0.0.expert"));
            (seconds, nanos)
        };
        assert!(time("c") <= time("b") && time("b") <= time("a"), "{jobs}");
    }
}

#[test]
fn a_circle_of_requirements_is_shown_as_a_chain() {
    let space = Space::with(&[
        Expert::lora("a").requires(&["b"]),
        Expert::lora("b").requires(&["c"]),
        Expert::lora("c").requires(&["a"]),
        Expert::lora("free"),
    ]);
    insta::assert_snapshot!(space.run("build").shown(), @r#"
    exit 4
    --- stderr
    error[requirement-cycle]: experts require each other in a circle: a → b → c → a
      --> experts/a/manifest.json:30:7
       |
    30 |       "b"
       |       ^^^
       |
       = help: take one requirement out of the chain
    "#);
    assert!(space.outputs().is_empty());
}

#[test]
fn incompatible_experts_must_not_require_each_other() {
    let space = Space::with(&[
        Expert::lora("a").requires(&["b"]),
        Expert::lora("b").requires(&["c"]),
        Expert::lora("c").set("/constraints/incompatible_with", json!(["a"])),
    ]);
    space.run("build").exits(4).says("requirement-conflict").says("`a`").says("`c`");
}

#[test]
fn two_experts_of_one_name_and_version_are_refused() {
    let space = Space::with(&[Expert::lora("a")]);
    space.add("experts/copy", &Expert::lora("a"));
    space.run("build").exits(4).says("duplicate-expert").says("experts/copy");
}

#[test]
fn nothing_outside_of_the_experts_folder_is_packaged() {
    let space = Space::with(&[Expert::lora("a")]);
    space.write("secret.txt", "not yours");
    std::os::unix::fs::symlink(space.path("secret.txt"), space.path("experts/a/LICENSE.txt")).unwrap();
    space.run("build").exits(11).says("path-escape").says("LICENSE.txt");
    space.remove("experts/a/LICENSE.txt");
    space.add("experts/a", &Expert::lora("a").set("/soft_prompts", json!([{"name": "x", "path": "../../secret.txt"}])));
    space.run("build").exits(11).says("path-escape").says("../../secret.txt");
    assert!(space.outputs().is_empty());
}
