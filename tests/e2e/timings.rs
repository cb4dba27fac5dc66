//! `--timings` and `--watch` on the command line.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::expert::Expert;
use crate::space::{EXPERT_BUILD, Space, files_below};
use crate::trace_rules;

#[test]
fn the_page_and_the_trace_are_written_where_they_are_asked_for() {
    let space = Space::with(&[Expert::lora("alpha").requires(&["beta"]), Expert::lora("beta")]);
    space.run("build --timings --timings=out/trace.json").ok().says("wrote expert-build-timings.html");
    let page = String::from_utf8(space.read("expert-build-timings.html")).unwrap();
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["requires"], serde_json::json!([["alpha", "beta"]]));
    assert_eq!((data["packages"].as_array().unwrap().len(), &data["packages_by_end"][0]), (2, &serde_json::json!(2)));
    // What `alpha` requires is packaged before it, so both are on the critical path.
    let tasks = data["tasks"].as_array().unwrap();
    let of = |at: &serde_json::Value| {
        data["experts"][tasks[at.as_u64().unwrap() as usize]["expert"].as_u64().unwrap() as usize].clone()
    };
    let path: Vec<serde_json::Value> = data["critical"].as_array().unwrap().iter().map(of).collect();
    assert!(path.contains(&"beta".into()) && path.last() == Some(&"alpha".into()), "{path:?}");
    assert!(
        page.contains("experts/alpha/weights/alpha.v1.0.0.expert") && !page.contains(space.path("").to_str().unwrap())
    );
    let trace: serde_json::Value = serde_json::from_slice(&space.read("out/trace.json")).unwrap();
    let slices = trace["traceEvents"].as_array().unwrap().iter().filter(|e| e["ph"] == "X").count();
    assert_eq!(slices, tasks.len());
    let trace = String::from_utf8(space.read("out/trace.json")).unwrap();
    assert_eq!(trace_rules::faults(&trace), [""; 0]);
    // The next build knows how large the packages were.
    space.write("experts/alpha/README.md", "a longer text\n".repeat(40).as_bytes());
    space.run("build --timings").ok();
    let page = String::from_utf8(space.read("expert-build-timings.html")).unwrap();
    assert!(page.contains("<td class=\"n up\">+"), "{page}");
    // The page beside the Expertfile is nobody's input.
    space.run("build").ok().did([0, 0, 2, 0]);
    space.run("build --watch --force").exits(2);
}

#[test]
fn watching_builds_at_a_save_and_ends_with_130() {
    let space = Space::with(&[Expert::lora("alpha")]);
    let mut command = space.command(EXPERT_BUILD, "", &["--watch", "-j2"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut until = |text: &str| {
        let mut all = String::new();
        while !all.contains(text) {
            all += &lines.next().unwrap_or_else(|| panic!("it ended before `{text}`:\n{all}")).unwrap();
            all.push('\n');
        }
        all
    };
    until("waiting for changes");
    let before = space.packages();
    space.write("experts/alpha/README.md", "saved");
    let said = until("waiting for changes");
    assert!(said.starts_with("experts/alpha/README.md changed\n"), "{said}");
    assert_ne!(space.packages(), before);
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(files_below(&space.path("")).iter().all(|path| !path.contains("tmp")));
}
