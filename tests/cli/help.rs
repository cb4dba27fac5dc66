//! What the programs say of themselves.

use crate::space::Space;

#[cfg(feature = "oci")]
#[test]
fn the_program() {
    insta::assert_snapshot!(Space::empty().x("--help"), @r#"
    exit 0
    --- stdout
    Builds, validates, signs and verifies packages of LLM adapters

    An expert is a folder with a manifest.json, adapter weights and what belongs to them. `expert-build`
    makes a `.expert` package of each, validates it before anything is written, and rebuilds only where
    an input changed.

    Usage: expert-build [OPTIONS] [VERB] ...
           expert-build [BUILD OPTIONS] [SEL]...

    Verbs:
      build        Build the packages whose inputs changed (this is done without a verb)
      check        Validate experts and write no package
      status       Show which experts are up to date, and what changed in the others
      why          Say why an expert is stale, and why its packages were made anew
      lock         Build, then write Expertfile.lock: which bytes each version has
      ls           List experts with version, state, models and tags
      graph        Show who requires whom, or the tasks of a build
      affected     List experts that differ from a commit, and those that require them
      matrix       Show the packages of all experts and base models as a table
      package      Package one expert without an Expertfile
      inspect      Show what is in packages: identity, models, adapters, files, signature, tensors
      cat          Write one file of a package to stdout
      extract      Unpack a package into a folder, verified on the way
      diff         Show what differs between two packages, or an expert's folder and a package
      repro        Rebuild a package from its expert's folder: the same bytes?
      verify       Verify packages: every hash, no file missing or extra, the signature
      keygen       Make a key pair for signing
      sign         Sign packages that exist; nothing but their manifest and signature changes
      push         Push packages to an OCI registry, with their signatures
      pull         Pull a package from an OCI registry, verified before it is at its place
      cache        Look after the cache: what it holds, what can go
      init         Write an Expertfile.toml for the experts found here
      config       Show every setting in force, and who set it
      explain      Explain a finding: why it matters, an example, the way out
      schema       Print the JSON schema of a file format
      completions  Print the completion script of a shell
      man          Print the manual page, or write those of all verbs

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Global options:
      -C, --directory <DIR>
              Work as if started in this folder

          --profile <NAME>
              Use this profile of the Expertfile

          --cache-dir <DIR>
              Keep results in this folder [default: the user's cache folder]

          --offline
              Speak to no other machine: the remote cache is off

          --color <WHEN>
              Use colour: auto (on a terminal, unless NO_COLOR is set), always or never
              
              [default: auto]

      -q, --quiet
              Print answers and errors only

      -v, --verbose
              Tell more: notices, every file

          --message-format <FORM>
              Print for people (human), or one JSON object a line on stdout (json)
              
              [default: human]

          --report <KIND[=PATH]>
              With build, check and lock: write a report, json, junit or sarif, to PATH or to stdout,
              timings to PATH or to expert-build-timings.html, github to PATH or to stderr

    Without a verb, `build` is meant: `expert-build`, `expert-build -n`, `expert-build tag:db`.

    Examples:
      expert-build init                        write an Expertfile.toml for the experts found here
      expert-build                             build the packages whose inputs changed
      expert-build check --strict              validate everything, warnings are errors
      expert-build verify dist/*.expert        is each package whole, and who signed it?

    Exit codes:
        0  fine
        1  the answer is no: something is stale, something differs
        2  the command line or the Expertfile is wrong
        3  disk, lock, cache or network
        4  requirements between experts are unmet, cyclic or contradictory
        5  a signature or a hash does not fit
       11  an expert is not valid
      101  a bug in expert-build
      130  interrupted
    Of several failures the gravest counts: 5, 4, 11, 3.

    Environment:
      EXPERT_BUILD_CACHE_DIR, EXPERT_BUILD_PROFILE, EXPERT_BUILD_OFFLINE, EXPERT_BUILD_<KEY> for the
      keys of the Expertfile (EXPERT_BUILD_CACHE_REMOTE_URL for `url` of `[cache.remote]`),
      SOURCE_DATE_EPOCH, NO_COLOR, CLICOLOR_FORCE, CI, GITHUB_ACTIONS
    "#);
}

#[test]
fn build() {
    insta::assert_snapshot!(Space::empty().x("build --help"), @r#"
    exit 0
    --- stdout
    Build the packages whose inputs changed (this is done without a verb)

    Usage: expert-build build [OPTIONS] [SEL]...

    Arguments:
      [SEL]...  Experts: a name or glob, a path, tag:NAME, model:GLOB, +NAME, NAME+

    Options:
      -j, --jobs <N>           Work with N threads [default: the number of cores]
      -k, --keep-going         Go on with other experts after a failure, as `check` always does
          --strict             Warnings are errors (`lints.preset = "strict"`)
      -n, --dry-run            Show what would be built and why, and ask no remote cache; the exit code
                               is 1 if anything would
          --force              Build all of them anew, without the cache
          --frozen             Build nothing; fail with exit code 1 if anything is stale
          --locked             Fail with exit code 1 where a version in Expertfile.lock would get other
                               content
          --watch              Stay, and build again whenever something was saved, until ctrl-C
          --timings[=<PATH>]   Draw where the time went, as one HTML page, or for Perfetto if PATH ends
                               in .json [default: expert-build-timings.html]
          --out-dir <DIR>      Put packages into this folder [default: each expert's weights/]
          --compression <HOW>  Compress with gzip, zstd or none of them (none) [default: gzip]
          --level <N>          How hard: gzip 1-9, zstd 1-22 [default: gzip 6, zstd 3]
          --sign[=<WHEN>]      Sign: off, auto (where there is a key) or required (what `--sign` alone
                               means) [default: auto]
          --key <FILE>         Sign with this private key
          --provenance         Write beside each package what it was made of, as SLSA provenance signed
                               with the same key: `<package>.intoto.jsonl`
      -h, --help               Print help
      -V, --version            Print version

    Remote cache:
          --remote-cache <URL>         Use the remote cache at this address (grpc://, grpcs://), or none
                                       (off) [default: `[cache.remote] url`]
          --remote-required            Fail with exit code 3 where the remote cache does not do its part
                                       (`on-error = "fail"`)
          --remote-download <WHICH>    Write all packages that the remote cache has, or only tell of
                                       them (minimal) [default: all]
          --remote-exec                Have the workers of the remote cache check and pack experts
          --remote-jobs <N>            Have so many experts packed by workers at once [default: 16]
          --remote-exec-binary <FILE>  Have workers run this program, linked statically [default: this
                                       one]

    Global options:
      -C, --directory <DIR>        Work as if started in this folder
          --profile <NAME>         Use this profile of the Expertfile
          --cache-dir <DIR>        Keep results in this folder [default: the user's cache folder]
          --offline                Speak to no other machine: the remote cache is off
          --color <WHEN>           Use colour: auto (on a terminal, unless NO_COLOR is set), always or
                                   never [default: auto]
      -q, --quiet                  Print answers and errors only
      -v, --verbose                Tell more: notices, every file
          --message-format <FORM>  Print for people (human), or one JSON object a line on stdout (json)
                                   [default: human]
          --report <KIND[=PATH]>   With build, check and lock: write a report, json, junit or sarif, to
                                   PATH or to stdout, timings to PATH or to expert-build-timings.html,
                                   github to PATH or to stderr

    Selectors (SEL), any of which may match:
      expert-sql   expert-*        by name, or name and version: expert-sql@>=1.0
      experts/sql  experts/a*      by folder
      tag:prod                     by a tag of the Expertfile
      model:qwen3-*                by base model
      +expert-sql   expert-sql+    with what it requires, with what requires it
    Without a selector: the experts below this folder, else those of `default-members`.

    Examples:
      expert-build                           build what is stale
      expert-build build -n                  show what is stale and why
      expert-build tag:prod --sign -k        build and sign all that have the tag, go on after failures
      expert-build --watch                   build again at every save
      expert-build --timings                 build, and write expert-build-timings.html
    "#);
}

#[test]
fn every_verb_teaches_by_examples() {
    let space = Space::empty();
    let help = space.stdout("--help");
    let verbs = help.split("Verbs:").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs: Vec<&str> = verbs.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.len() >= 15, "{verbs:?}");
    for verb in verbs {
        let help = space.stdout(&format!("{verb} --help"));
        let examples = help.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{verb} has no examples"));
        let first = examples.lines().next().unwrap().trim();
        assert!(first.starts_with("expert-build"), "{verb}: {first}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{verb} has a line too long");
    }
}

#[test]
fn expert_cli() {
    let space = Space::empty();
    let output = space.program(env!("CARGO_BIN_EXE_expert-cli")).arg("--help").output().unwrap();
    insta::assert_snapshot!(space.shown(&output), @r#"
    exit 0
    --- stdout
    Makes, validates and signs packages of LLM adapters, with the flags of the older tool

    Usage: expert-cli <COMMAND>

    Commands:
      package   Package an expert
      validate  Validate an expert's folder, or verify a package
      sign      Sign a package
      keygen    Make a key pair

    Options:
      -h, --help     Print help
      -V, --version  Print version

    This is `expert-build` under the name and with the flags of the older tool; `expert-build --help`
    shows all it can do.
    The exit codes are the same: 0 fine, 2 command line, 3 disk, 4 requirements, 5 signature or
    integrity, 11 validation.
    "#);
}

#[test]
fn slips_are_understood() {
    let space = Space::workspace();
    insta::assert_snapshot!(space.x("chekc"), @r#"
    exit 2
    --- stderr
    error: no expert matches `chekc`, and there is no such verb
      help: did you mean `expert-build check`?
    "#);
    insta::assert_snapshot!(space.x("expert-sqk"), @r#"
    exit 2
    --- stderr
    error: no expert matches `expert-sqk`
      help: did you mean `expert-sql`?
    "#);
    insta::assert_snapshot!(space.x("check --stirct"), @r#"
    exit 2
    --- stderr
    error: unexpected argument '--stirct' found

      tip: a similar argument exists: '--strict'

    Usage: expert-build check --strict [SEL]...

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(space.x("explain file-mising"), @r#"
    exit 2
    --- stderr
    error: there is no finding `file-mising`
      help: did you mean `file-missing`?
    "#);
    insta::assert_snapshot!(space.x("check --report jnit"), @r#"
    exit 2
    --- stderr
    error: there is no report `jnit`
      help: did you mean `junit`?
    "#);
    insta::assert_snapshot!(space.x("keygen --output k.pem --report json"), @r#"
    exit 2
    --- stderr
    error: `--report` goes with `build`, `check` and `lock`
      help: `--message-format json` gives the answer of every verb as JSON
    "#);
    insta::assert_snapshot!(space.x("build --jobs 0"), @r#"
    exit 2
    --- stderr
    error: invalid value '0' for '--jobs <N>': a whole number from 1 to 65535 is wanted

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(space.x("-C nowhere"), @r#"
    exit 3
    --- stderr
    error: cannot enter the folder `nowhere`: No such file or directory (os error 2)
    "#);
}

#[test]
fn codes_are_explained() {
    let space = Space::empty();
    insta::assert_snapshot!(space.x("explain error[file-missing]"), @r#"
    exit 0
    --- stdout
    error[file-missing]: a file that something refers to does not exist

    The manifest (or the layout of an expert) names a file that is not in the expert's folder. A package without it would fail when it is loaded.

    Example: `"path": "soft_prompts/style.pt"` where the folder `soft_prompts` is empty.

    Add the file, or take the reference out of manifest.json. Adapter weights are looked for in `weights` of the Expertfile, then weights/<name>.v<version>, weights/<model>, the manifest's packaging checkpoint, weights, and the expert's own folder; never in a training checkpoint that nothing names.

    Level: an error that no setting lowers.
    "#);
    let all = space.stdout("explain");
    assert_eq!(all.lines().count(), expert_build::base::codes::all().count());
    assert!(all.contains("training-args-left-out"));
}

#[test]
fn schemas_are_those_of_the_repo() {
    let space = Space::empty();
    assert_eq!(space.stdout("schema expertfile"), expert_build::spec::schema());
    for name in ["manifest", "events"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schema/{name}.schema.json"));
        assert_eq!(space.stdout(&format!("schema {name}")), std::fs::read_to_string(path).unwrap(), "{name}");
    }
}
