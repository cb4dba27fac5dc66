//! Ctrl-C: exit code 130, and no output that is not whole.

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::archive::paths;
use crate::expert::Expert;
use crate::space::{EXPERT_BUILD, Space};

/// Experts with some megabytes each, so that a debug build takes seconds.
fn space() -> Space {
    let names: Vec<String> = (0..24).map(|i| format!("e{i:02}")).collect();
    let big = |seed: usize| -> Vec<u8> {
        let mut state = seed as u32 + 1;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 & 0x3f
        };
        (0..2 << 20).map(next).collect()
    };
    let experts: Vec<Expert> =
        names.iter().enumerate().map(|(i, name)| Expert::lora(name).file("vocab.model", big(i))).collect();
    Space::with(&experts)
}

#[test]
fn a_stopped_build_exits_with_130_and_leaves_only_whole_packages() {
    let space = space();
    let mut child = space.command(EXPERT_BUILD, "", &["build", "-j", "2"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The shell that sets the umask has become the program: its id is the program's.
    let began = Instant::now();
    while space.packages().is_empty() && began.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(said.matches("interrupted").count(), 1, "said once, not once an expert:\n{said}");

    let stopped = space.packages();
    assert!(stopped.len() < 48, "it was not stopped in time");
    for (path, package) in &stopped {
        if path.ends_with(".expert") {
            assert_eq!(paths(package)[0], "manifest.json", "{path}");
        }
    }
    let litter: Vec<String> = crate::space::files_below(&space.path(""))
        .into_iter()
        .filter(|path| path.contains("/weights/") && !path.ends_with(".expert") && !path.ends_with(".sha256"))
        .collect();
    assert!(litter.is_empty(), "{litter:?}");

    // The next one goes on, with what was there.
    space.run("build").ok();
    let whole = space.packages();
    assert_eq!(whole.len(), 48);
    for (path, package) in stopped {
        assert!(whole[&path] == package, "{path}");
    }
}
