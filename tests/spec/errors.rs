//! What is said about Expertfiles that mean nothing. In brackets: the text that the place covers.

use expert_build::spec::{Request, resolve};
use proptest::prelude::*;

use crate::fuzz;
use crate::resolve::REFERENCE;
use crate::tree::{Tree, told};

/// What is said about a root expert with this Expertfile.
fn of(text: &str) -> String {
    Tree::with(text, &["."]).told()
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(of("\
expertfil = 1
[workspce]
[defaults]
wieghts = 'x'
out_dir = 'x'
[[expert]]
compresion = 'zstd'
banana = 1
members = []
[expert.model.x]
slugg = 'x'
[cache.remote]
max-size = '1B'
[profile.ci]
inherit = 'x'
"), @"
    Expertfile.toml:1:1: expertfile-unknown-key: unknown key `expertfil` [expertfil]
      help: did you mean `expertfile`?
    Expertfile.toml:2:2: expertfile-unknown-key: unknown key `workspce` [workspce]
      help: did you mean `workspace`?
    Expertfile.toml:4:1: expertfile-unknown-key: unknown key `wieghts` [wieghts]
      help: did you mean `weights`?
    Expertfile.toml:5:1: expertfile-unknown-key: unknown key `out_dir` [out_dir]
      help: did you mean `out-dir`?
    Expertfile.toml:7:1: expertfile-unknown-key: unknown key `compresion` [compresion]
      help: did you mean `compression`?
    Expertfile.toml:8:1: expertfile-unknown-key: unknown key `banana` [banana]
      help: `expert-build schema expertfile` lists every key
    Expertfile.toml:9:1: expertfile-unknown-key: unknown key `members` [members]
      help: `members` belongs into `[workspace]`
    Expertfile.toml:11:1: expertfile-unknown-key: unknown key `slugg` [slugg]
      help: did you mean `slug`?
    Expertfile.toml:13:1: expertfile-unknown-key: unknown key `max-size` [max-size]
      help: `max-size` belongs into `[cache]`
    Expertfile.toml:15:1: expertfile-unknown-key: unknown key `inherit` [inherit]
      help: did you mean `inherits`?
    ");
    insta::assert_snapshot!(of("compression = 'zstd'\ncommand = 'rm'\n[defaults]\npath = 'x'\n"), @"
    Expertfile.toml:1:1: expertfile-unknown-key: unknown key `compression` [compression]
      help: `compression` belongs into `[[expert]]` or `[defaults]`
    Expertfile.toml:2:1: expertfile-unknown-key: unknown key `command` [command]
      help: `expert-build schema expertfile` lists every key
    Expertfile.toml:4:1: expertfile-unknown-key: unknown key `path` [path]
      help: `path` belongs into `[[expert]]`
    ");
}

#[test]
fn wrong_types() {
    insta::assert_snapshot!(of("\
defaults = 1
[expert]
path = '.'
[workspace]
members = 'experts/*'
exclude = ['a', 1]
[cache]
max-size = 1.5
remote = []
[profile.x]
tests = 'yes'
level = true
models = 3
key = 7
profile = {}
lints = 1
"), @r#"
    Expertfile.toml:1:12: expertfile-type: expected a table, found an integer [1]
    Expertfile.toml:2:1: expertfile-type: expected an array of tables, found a table [[expert]]
      help: write the name in double brackets: `[[expert]]`
    Expertfile.toml:5:11: expertfile-type: expected a list, found a string ['experts/*']
      help: write it in brackets: `["experts/*"]`
    Expertfile.toml:6:17: expertfile-type: expected a pattern (a string), found an integer [1]
    Expertfile.toml:8:12: expertfile-type: expected a size such as `"80MiB"`, found a float [1.5]
    Expertfile.toml:9:10: expertfile-type: expected a table, found an array [[]]
    Expertfile.toml:11:9: expertfile-type: expected `true` or `false`, found a string ['yes']
    Expertfile.toml:12:9: expertfile-type: expected a whole number, found a boolean [true]
    Expertfile.toml:13:10: expertfile-type: expected `"all"` or a list of model names, found an integer [3]
    Expertfile.toml:14:7: expertfile-type: expected a path, or `{ env = "NAME" }`, found an integer [7]
    Expertfile.toml:15:1: expertfile-unknown-key: unknown key `profile` [profile]
      help: `expert-build schema expertfile` lists every key
    Expertfile.toml:16:9: expertfile-type: expected a table, found an integer [1]
    "#);
}

#[test]
fn wrong_values() {
    insta::assert_snapshot!(of("\
[[expert]]
compression = 'zst'
level = -1
manifest = '../manifest.json'
weights = '/abs/{model}'
name = '{nmae}.v{version}.expert'
models = []
include = ['[a', '../x', '']
budget = '80 mib'
growth = '25'
sign = 'Required'
key = { env = '1X' }
publisher = ''
out-dir = ''
path = '../elsewhere'
[expert.model.'Qwen3']
slug = 'a/b'
[expert.lints]
preset = 'stric'
path-escape = 'allow'
load-ordr = 'deny'
load-order = 'error'
"), @r#"
    Expertfile.toml:2:15: expertfile-value: unknown word `zst` ['zst']
      help: did you mean `zstd`?
    Expertfile.toml:3:9: expertfile-value: `-1` is out of range [-1]
    Expertfile.toml:4:12: expertfile-value: `../manifest.json` cannot be used: the path leaves its folder (`..`) ['../manifest.json']
    Expertfile.toml:5:11: expertfile-value: `/abs/{model}` is not a relative path inside the expert's folder ['/abs/{model}']
    Expertfile.toml:6:9: expertfile-value: unknown placeholder `{nmae}` [{nmae}]
      help: did you mean `{name}`?
    Expertfile.toml:7:10: expertfile-value: no model is named [[]]
      help: name a base model of the manifest, or write `"all"`
    Expertfile.toml:8:12: expertfile-value: the pattern `[a` cannot be read: unclosed character class; missing ']' ['[a']
    Expertfile.toml:8:18: expertfile-value: the pattern `../x` leaves its folder ['../x']
    Expertfile.toml:8:26: expertfile-value: the pattern `` matches nothing ['']
    Expertfile.toml:9:10: expertfile-value: `80 mib` is not a size ['80 mib']
      help: a size is a number and `KiB`, `MiB`, `GiB`, `TiB` (or `kB`, `MB`, `GB`, `TB`): `80MiB`
    Expertfile.toml:10:10: expertfile-value: `25` is not a percentage ['25']
      help: a growth is a number and `%`: `25%`
    Expertfile.toml:11:8: expertfile-value: unknown word `Required` ['Required']
      help: did you mean `required`?
    Expertfile.toml:12:7: expertfile-value: `env` is missing [{ env = '1X' }]
    Expertfile.toml:12:15: expertfile-value: `1X` cannot be the name of an environment variable ['1X']
    Expertfile.toml:13:13: expertfile-value: the text is empty ['']
    Expertfile.toml:14:11: expertfile-value: the path is empty ['']
    Expertfile.toml:15:8: expertfile-value: `../elsewhere` cannot be used: the path leaves its folder (`..`) ['../elsewhere']
    Expertfile.toml:17:8: expertfile-value: `a/b` cannot be a part of a file's name ['a/b']
      help: use letters, digits, `-`, `_` and `.`: `b`
    Expertfile.toml:19:10: expertfile-value: unknown word `stric` ['stric']
      help: did you mean `strict`?
    Expertfile.toml:20:15: expertfile-value: `path-escape` cannot be lowered ['allow']
      help: it keeps packages safe or correct: `expert-build explain path-escape`
    Expertfile.toml:21:1: expertfile-unknown-key: no finding has the code `load-ordr` [load-ordr]
      help: did you mean `load-order`?
    Expertfile.toml:22:14: expertfile-value: unknown word `error` ['error']
      help: the words are `allow`, `warn`, `deny`
    "#);
    insta::assert_snapshot!(of("\
[cache.remote]
url = 'ftp://x'
headers = { authorization = { prefix = 'Bearer ' }, x = 1 }
[workspace]
externals = { a = '1.0' }
"), @r#"
    Expertfile.toml:2:7: expertfile-value: `ftp://x` is not the address of a cache ['ftp://x']
      help: an address begins with `grpc://`, `grpcs://`, `http://` or `https://`; `off` uses none
    Expertfile.toml:3:29: expertfile-value: `env` is missing [{ prefix = 'Bearer ' }]
    Expertfile.toml:3:57: expertfile-type: expected a string, or `{ env = "NAME", prefix = "Bearer " }`, found an integer [1]
    Expertfile.toml:5:19: expertfile-value: `1.0` is not a version: unexpected end of input while parsing minor version number ['1.0']
      help: a version has three numbers: `1.4.0`
    "#);
    insta::assert_snapshot!(of("[cache.remote]\nurl = 'https://host'\nclient-cert = 'x'\njobs = 0\ntimeout = '2h'"), @"
    Expertfile.toml:4:8: expertfile-value: expected a number from 1 to 1024, found `0` [0]
    Expertfile.toml:5:11: expertfile-value: `2h` is not a time from 1 second to an hour ['2h']
      help: `30s`, `2min`, or a number of seconds
    ");
    insta::assert_snapshot!(of("[cache.remote]\nurl = 'https://host'\nclient-cert = 'x'\n"), @"
    Expertfile.toml:3:15: expertfile-value: there is no `client-key` ['x']
      help: `client-cert` and `client-key` go together
    ");
    insta::assert_snapshot!(of("[cache.remote]\nurl = 'https://u:p@host'\nheaders = { 'a b' = 'x' }"), @"
    Expertfile.toml:2:7: expertfile-value: an address holds no password ['https://u:p@host']
      help: put it into `headers`, from a variable
    ");
    insta::assert_snapshot!(of("[cache.remote]\nurl = 'https://host'\nheaders = { 'a b' = 'x' }"), @"
    Expertfile.toml:3:21: expertfile-value: `a b` cannot be the name of a header ['x']
      help: a name such as `authorization`
    ");
}

#[test]
fn text_that_is_not_toml() {
    insta::assert_snapshot!(of("[workspace\nmembers = [\nx = = 1\n"), @"
    Expertfile.toml:1:11: expertfile-syntax: unclosed table, expected `]` []
    Expertfile.toml:3:3: expertfile-syntax: unexpected `=` in array, expected value, `]` [=]
    Expertfile.toml:3:5: expertfile-syntax: unexpected `=` in array, expected value, `]` [=]
    Expertfile.toml:3:7: expertfile-syntax: missing comma between array elements, expected `,` []
    Expertfile.toml:3:8: expertfile-syntax: unclosed array, expected `]` []
    ");
    insta::assert_snapshot!(of("tests = 1\n[defaults]\nlevel = 1\nlevel = 2\n"), @"Expertfile.toml:4:1: expertfile-syntax: duplicate key [level]");
}

#[test]
fn another_version_is_told_before_all_else() {
    insta::assert_snapshot!(of("expertfile = 2\nnew-key = 1\n"), @"
    Expertfile.toml:1:14: expertfile-version: edition 2 of this file is not known here [2]
      help: this program reads edition 1; a newer one may read more
    ");
    insta::assert_snapshot!(of("required-version = '>=99'\nnew-key = 1\n"), @"
    Expertfile.toml:1:20: expertfile-version: this repo needs expert-build >=99, and this is 0.1.0 ['>=99']
      help: `cargo install expert-build` brings the newest
    ");
    insta::assert_snapshot!(of("required-version = 'new'\n"), @"
    Expertfile.toml:1:20: expertfile-value: `new` is not a version range: unexpected character 'n' while parsing major version number ['new']
      help: a version range is written `>=0.1` or `0.1`
    ");
}

#[test]
fn levels_fit_their_compression() {
    insta::assert_snapshot!(of("[defaults]\nlevel = 19\n"), @"
    Expertfile.toml:2:9: expertfile-value: level `19` is outside of 1 to 9, the levels of `gzip` [19]
      help: `gzip` is built in; its usual level is 6
    ");
    assert_eq!(of("[defaults]\nlevel = 19\ncompression = 'zstd'\n"), "1 experts\n");
    assert_eq!(of("[defaults]\nlevel = 19\ncompression = 'none'\n"), "1 experts\n");
    let tree = Tree::with("[defaults]\nlevel = 19\ncompression = 'zstd'\n", &["."]);
    let request = Request::default().flag("--compression", "compression", "gzip");
    insta::assert_snapshot!(told(&resolve(&tree, &request).unwrap_err()), @"
    Expertfile.toml:2:9: expertfile-value: level `19` is outside of 1 to 9, the levels of `gzip` [19]
      help: `gzip` is set by flag `--compression`; its usual level is 6
    ");
    let request = Request::default().flag("--level", "level", "0");
    insta::assert_snapshot!(told(&resolve(&tree, &request).unwrap_err()), @"
    -: expertfile-value: level `0` is outside of 1 to 22, the levels of `zstd` (set by flag `--level`)
      help: `zstd` is set by defaults at Expertfile.toml:3; its usual level is 3
    ");
}

#[test]
fn flags_and_variables() {
    let tree = Tree::new(&[], &["."]);
    let flag = |key, value| told(&resolve(&tree, &Request::default().flag("--flag", key, value)).unwrap_err());
    insta::assert_snapshot!(flag("compression", "zst"), @"
    unknown word `zst` (for `--flag`, which sets `compression`)
      help: did you mean `zstd`?
    ");
    insta::assert_snapshot!(flag("compresion", "zstd"), @"
    unknown key `compresion` (for `--flag`, which sets `compresion`)
      help: did you mean `compression`?
    ");
    insta::assert_snapshot!(flag("name", "{x}"), @"
    unknown placeholder `{x}` (for `--flag`, which sets `name`)
      help: the placeholders are `{name}`, `{version}` and `{model}`
    ");
    let env = [("EXPERT_BUILD_CACHE_MAX_SIZE".to_owned(), "much".to_owned())].into();
    insta::assert_snapshot!(told(&resolve(&tree, &Request { env, ..Request::default() }).unwrap_err()), @"
    `much` is not a size (in `EXPERT_BUILD_CACHE_MAX_SIZE`, which sets `cache.max-size`)
      help: a size is a number and `KiB`, `MiB`, `GiB`, `TiB` (or `kB`, `MB`, `GB`, `TB`): `80MiB`
    ");
    insta::assert_snapshot!(flag("cache.max-age", "2 fortnights"), @"
    `2 fortnights` is not an age (for `--flag`, which sets `cache.max-age`)
      help: an age is a whole number and `minutes`, `hours`, `days` or `weeks`: `90 days`, `12h`
    ");
    let user_config =
        Some(("~/.config/expert-build/config.toml".to_owned(), "[workspace]\n[defaults]\nlevl = 1".into()));
    insta::assert_snapshot!(told(&resolve(&tree, &Request { user_config, ..Request::default() }).unwrap_err()), @"
    ~/.config/expert-build/config.toml:1:2: expertfile-unknown-key: unknown key `workspace` [workspace]
      help: the user's own configuration has `[defaults]`, `[cache]` and `[trust]`
    ~/.config/expert-build/config.toml:3:1: expertfile-unknown-key: unknown key `levl` [levl]
      help: did you mean `level`?
    ");
}

#[test]
fn members() {
    let tree =
        |text: &str| Tree::new(&[("Expertfile.toml", text), ("docs/x.md", "")], &["experts/sql", "experts/css"]).told();
    insta::assert_snapshot!(tree("[workspace]\nmembers = ['expert/*', 'experts/sqll', 'docs', 'experts/*/manifest.json']"), @"
    Expertfile.toml:2:12: expertfile-member: `expert/*` matches no folder with a manifest.json or an Expertfile.toml ['expert/*']
      help: a pattern is relative to this file; `*` matches one folder's name, `**` any depth
    Expertfile.toml:2:24: expertfile-member: there is no folder `experts/sqll` ['experts/sqll']
      help: did you mean `experts/sql`?
    Expertfile.toml:2:40: expertfile-member: there is no manifest.json in `docs` ['docs']
      help: an expert's folder holds its manifest; the key `manifest` sets another name
    Expertfile.toml:2:48: expertfile-member: `experts/*/manifest.json` matches no folder with a manifest.json or an Expertfile.toml ['experts/*/manifest.json']
      help: a pattern is relative to this file; `*` matches one folder's name, `**` any depth
    ");
    insta::assert_snapshot!(tree("[workspace]\nmembers = ['experts/*']\ndefault-members = ['experts/sqq']"), @"
    Expertfile.toml:3:20: expertfile-member: `experts/sqq` names no expert of this repo ['experts/sqq']
      help: `default-members` are paths of members, or patterns
    ");
    insta::assert_snapshot!(tree("[[expert]]\npath = 'experts/sqll'\n[[expert]]\npath = 'docs'\n[[expert]]\npath = 'experts/sql'\nmanifest = 'm.json'"), @"
    Expertfile.toml:2:8: expertfile-member: there is no folder `experts/sqll` ['experts/sqll']
      help: did you mean `experts/sql`?
    Expertfile.toml:4:8: expertfile-member: there is no manifest.json in `docs` ['docs']
      help: an expert's folder holds its manifest; the key `manifest` sets another name
    Expertfile.toml:7:12: expertfile-member: there is no m.json in `experts/sql` ['m.json']
      help: an expert's folder holds its manifest; the key `manifest` sets another name
    ");
    insta::assert_snapshot!(tree("[[expert]]\npath = 'experts/sql'\n[[expert]]\npath = './experts/sql/'"), @"
    Expertfile.toml:4:8: expertfile-duplicate: the expert `experts/sql` is described twice ['./experts/sql/']
      help: its other description is the expert at Expertfile.toml:2
    ");
    insta::assert_snapshot!(tree("[defaults]\nlevel = 1"), @r#"
    Expertfile.toml names no expert
      help: list them: `[workspace]` with `members = ["experts/*"]`
    "#);
    let odd = |more: &str| {
        let text = format!("[workspace]\nmembers = ['experts/*']\n{more}");
        Tree::with(&text, &["experts/sql", "experts/a\nb", "experts/\u{1b}[0m"]).told()
    };
    insta::assert_snapshot!(odd(""), @"
    Expertfile.toml:2:12: expertfile-member: the folder `experts/\\u{1b}[0m` has a name that no path of a member can hold ['experts/*']
      help: rename it: names are at most 255 bytes, without control characters and backslashes; or `exclude` it
    Expertfile.toml:2:12: expertfile-member: the folder `experts/a\\nb` has a name that no path of a member can hold ['experts/*']
      help: rename it: names are at most 255 bytes, without control characters and backslashes; or `exclude` it
    ");
    assert_eq!(odd("exclude = ['experts/a*', 'experts/*0m']"), "1 experts\n");
    let mixed = [
        ("Expertfile.toml", "[workspace]\nmembers = ['m/*']\n[[expert]]\npath = 'm/b'\n"),
        ("m/a/Expertfile.toml", "[workspace]\nmembers = ['x']\n"),
        ("m/b/Expertfile.toml", ""),
        ("m/c/Expertfile.toml", "[[expert]]\nlevl = 1\n"),
        ("m/d/Expertfile.toml", "[[expert]]\n[[expert]]\npath = 'gone'\n"),
    ];
    insta::assert_snapshot!(Tree::new(&mixed, &["m/a", "m/b", "m/c"]).told(), @"
    Expertfile.toml:4:8: expertfile-duplicate: `m/b` has an Expertfile.toml of its own ['m/b']
      help: make it a member of the workspace, and say there what is said here
    m/a/Expertfile.toml:1:1: expertfile-member: the member `m/a` has a `[workspace]` of its own [[workspace]]
      help: a workspace has no workspaces inside: exclude the member here, or drop its `[workspace]`
    m/c/Expertfile.toml:2:1: expertfile-unknown-key: unknown key `levl` [levl]
      help: did you mean `level`?
    m/d/Expertfile.toml:1:1: expertfile-member: there is no manifest.json in `m/d` [[[expert]]]
      help: an expert's folder holds its manifest; the key `manifest` sets another name
    m/d/Expertfile.toml:3:8: expertfile-member: there is no folder `m/d/gone` ['gone']
      help: paths are relative to the folder of this file
    ");
}

#[test]
fn profiles() {
    insta::assert_snapshot!(of("[profile.a]\ninherits = 'b'\n[profile.b]\ninherits = 'c'\n[profile.c]\ninherits = 'a'\n[profile.d]\ninherits = 'a'\n[profile.e]\ninherits = 'e'\n[profile.f]\ninherits = 'ff'\n"), @"
    Expertfile.toml:2:12: expertfile-profile: profiles inherit in a circle: a → b → c → a ['b']
      help: take one `inherits` out of the chain
    Expertfile.toml:10:12: expertfile-profile: profiles inherit in a circle: e → e ['e']
      help: take one `inherits` out of the chain
    Expertfile.toml:12:12: expertfile-profile: profile `f` inherits from `ff`, which does not exist ['ff']
      help: did you mean `f`?
    ");
    let asked = |text: &str| {
        let request = Request { profile: Some("cii".into()), ..Request::default() };
        told(&resolve(&Tree::with(text, &["."]), &request).unwrap_err())
    };
    insta::assert_snapshot!(asked("[profile.ci]"), @"
    there is no profile `cii` (flag `--profile`)
      help: did you mean `ci`?
    ");
    insta::assert_snapshot!(asked(""), @"
    there is no profile `cii` (flag `--profile`)
      help: a profile is a table of Expertfile.toml: `[profile.ci]`
    ");
}

#[test]
fn nothing_to_build() {
    insta::assert_snapshot!(Tree::default().told(), @"
    there is no expert here
      help: an expert is a folder with a manifest.json; `-C DIR` says where to look
    ");
    insta::assert_snapshot!(Tree::with("[workspace]\nmembers = []", &["experts/sql"]).told(), @r#"
    Expertfile.toml names no expert
      help: list them: `[workspace]` with `members = ["experts/sql"]`
    "#);
    insta::assert_snapshot!(Tree::new(&[], &["experts/sql"]).told(), @"
    there is no expert here
      help: there is one in `experts/sql`: `expert-build init` writes an Expertfile.toml
    ");
    insta::assert_snapshot!(Tree::new(&[], &["a", "b", "c/d", "e"]).told(), @"
    there is no expert here
      help: there are 4 below (`a`, `b`, `c/d`, …): `expert-build init` writes an Expertfile.toml for them
    ");
    assert_eq!(Tree::default().resolve().unwrap_err().exit_code(), 2);
}

proptest! {
    /// Whatever stands in an Expertfile: a repo or an error with a place, never a panic.
    #[test]
    fn damaged_expertfiles(
        cuts in proptest::collection::vec((0usize..REFERENCE.len(), 0usize..40, "[\\[\\]{}=\"'a-z0-9.,\n #é\\\\-]{0,6}"), 0..6),
    ) {
        let mut text = REFERENCE.to_owned();
        for (at, length, put) in cuts {
            let mut at = at.min(text.len());
            while !text.is_char_boundary(at) { at -= 1; }
            let mut end = (at + length).min(text.len());
            while !text.is_char_boundary(end) { end += 1; }
            text.replace_range(at..end, &put);
        }
        fuzz::expertfile(text.as_bytes());
    }

    #[test]
    fn any_text(text in "(\\[\\[?[a-z.\"]{0,9}\\]?\\]?|[a-z-]{1,9} ?= ?[\\[{\"'0-9a-z}\\]]{0,9}|\n|.){0,12}") {
        fuzz::expertfile(text.as_bytes());
    }
}
