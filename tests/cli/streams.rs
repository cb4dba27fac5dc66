//! Streams and signals: colour, closed pipes, full disks, ctrl-C.

use std::io::{BufRead, BufReader, Read as _};
use std::process::Stdio;

use crate::space::Space;

#[test]
fn colour_is_only_where_it_is_wanted() {
    let space = Space::workspace();
    let colour = |arguments: &[&str], name: &str, value: &str| {
        let output = space.command().args(arguments).env(name, value).output().unwrap();
        output.stderr.contains(&0x1b) || output.stdout.contains(&0x1b)
    };
    assert!(!colour(&["explain"], "X", ""), "no terminal, no colour");
    assert!(colour(&["explain", "--color", "always"], "X", ""));
    assert!(colour(&["explain"], "CLICOLOR_FORCE", "1"));
    assert!(!colour(&["explain", "--color=never"], "CLICOLOR_FORCE", "1"));
    assert!(colour(&["explain", "--color=always"], "NO_COLOR", "1"));
    assert!(colour(&["--colour", "--color=always"], "X", ""), "wrong arguments are told in colour too");
    assert!(!colour(&["--colour"], "X", ""));
}

#[test]
fn a_closed_pipe_is_silent() {
    let space = Space::workspace();
    for line in ["explain", "schema manifest", "config", "build -n", "--message-format json", "completions bash"] {
        let mut command = space.command();
        command.args(line.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        let expected = if line == "build -n" { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{line}: {told}");
        assert!(!told.contains("error") && !told.contains("panick"), "{line}: {told}");
    }
}

#[test]
fn cat_stops_when_nobody_reads() {
    let space = Space::workspace();
    space.write("experts/english-basic/docs/long.txt", &"line\n".repeat(1_000_000));
    space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ninclude = [\"docs/**\"]\n");
    space.x("english-basic");
    let mut command = space.command();
    command.args(["cat", "experts/english-basic/weights/english-basic.v1.4.0.expert", "docs/long.txt"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(first, "line\n");
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""));
}

#[test]
#[cfg(target_os = "linux")]
fn an_output_that_cannot_be_written_is_code_3() {
    let space = Space::workspace();
    for line in ["explain", "schema manifest", "--message-format json"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = space.command().args(line.split_whitespace()).stdout(full).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{line}: {told}");
        assert!(told.contains("error: cannot write `the output`: No space left on device"), "{line}: {told}");
    }
}

/// Starts a build that takes long and waits until it is under way.
#[cfg(unix)]
fn long_build(space: &Space) -> (std::process::Child, impl BufRead + use<>) {
    // Text that gzip's highest level chews on for seconds.
    let mut state = 1_u32;
    let mut text = String::new();
    for _ in 0..12_000_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push(char::from(b'a' + ((state >> 24) % 13) as u8));
    }
    space.write("experts/english-basic/docs/long.txt", &text);
    let file = "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ninclude = [\"docs/**\"]\nlevel = 9\n";
    space.write("Expertfile.toml", file);
    let mut command = space.command();
    command.args(["english-basic", "--message-format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("docs/long.txt") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the build ended before it was stopped");
    }
    (child, lines)
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let id = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_a_build_in_good_order() {
    let space = Space::workspace();
    let (mut child, mut lines) = long_build(&space);
    interrupt(&child);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{told}");
    assert!(told.contains("error: interrupted"), "{told}");
    assert!(rest.contains(r#""exit_code":130"#), "{rest}");
    let left: Vec<_> = std::fs::read_dir(space.path("experts/english-basic/weights"))
        .map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "nothing is left: {left:?}");
}
