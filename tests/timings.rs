//! The page of `--timings` in a real browser, and the trace as JSON: what they show, and that nothing foreign runs in them.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr, reason = "tests own their effects")]

use std::path::Path;
use std::process::{Command, Stdio};

use expert_build::base::event::Status;
use expert_build::base::{Event, Sha256};
use expert_build::ops::timings::{Around, Timings, page, trace};

mod trace_rules;

const HOSTILE: &str = "</script><script>document.documentElement.dataset.pwned=1</script><img src=x onerror=\"document.documentElement.dataset.pwned=2\">";

fn start(id: usize, task: &'static str, expert: &str, after: &[usize], thread: usize, at_us: u64) -> Event {
    let why = format!("`{expert}/README.md` changed");
    Event::TaskStart {
        id,
        task,
        expert: expert.into(),
        subject: format!("file{id}"),
        why,
        after: after.into(),
        thread,
        at_us,
    }
}

fn finish(id: usize, status: Status, at_us: u64) -> Event {
    Event::TaskFinish { id, status, segments_made: 1, segments_reused: 2, bytes_read: 4096, at_us }
}

fn artifact(expert: &str, bytes: u64) -> Event {
    Event::Artifact {
        expert: expert.into(),
        path: format!("/repo/dist/{expert}.expert"),
        sha256: Sha256::of(b""),
        bytes,
        bytes_before: (expert == "c").then_some(9 << 20),
        signed: false,
        status: Status::Done,
        files: vec![],
        segments_made: 1,
        segments_reused: 2,
        took_us: 10,
    }
}

fn end(took_ms: u64) -> Event {
    Event::RunFinish {
        checked: 0,
        built: 2,
        restored: 1,
        fresh: 7,
        failed: 0,
        skipped: 0,
        warnings: 0,
        not_repeated: 0,
        cache_hits: 3,
        cache_misses: 1,
        left_there: 0,
        bytes_saved: 0,
        saved_ms: 0,
        remote: None,
        took_ms,
    }
}

/// Two threads: `b` waits for `a`, and one expert has a name that would like to be a program.
fn small() -> Timings {
    let events = [
        Event::RunStart { version: "9.9.9", jobs: 2, experts: 3 },
        start(0, "hash", "a", &[], 0, 1_000),
        start(1, "hash", HOSTILE, &[], 1, 1_000),
        finish(1, Status::Cached, 3_000),
        finish(0, Status::Done, 40_000),
        start(2, "validate", "a", &[0], 0, 41_000),
        finish(2, Status::Done, 50_000),
        start(3, "archive", "a", &[2], 1, 50_500),
        finish(3, Status::Done, 70_000),
        artifact("a", 3 << 20),
        start(4, "archive", "b", &[1, 3], 0, 70_000),
        finish(4, Status::Failed, 90_000),
        end(95),
    ];
    let around = Around {
        root: "/repo".into(),
        requires: vec![("b".into(), "a".into()), (HOSTILE.into(), "b".into())],
        before: [(("a".to_owned(), "file3".to_owned()), 2 << 20)].into(),
    };
    Timings::of(&events, &around)
}

fn large(tasks: usize) -> Timings {
    let mut events = vec![Event::RunStart { version: "9.9.9", jobs: 8, experts: tasks / 10 }];
    for id in 0..tasks {
        let (thread, at) = (id % 8, (id / 8) as u64 * 700);
        let kind = ["hash", "validate", "compose", "archive"][id % 4];
        let after = if id >= 8 { vec![id - 8] } else { vec![] };
        events.push(start(id, kind, &format!("expert-{:04}", id / 10), &after, thread, at));
        events.push(finish(
            id,
            if id % 5 == 0 { Status::Cached } else { Status::Done },
            at + 300 + (id as u64 * 37) % 390,
        ));
    }
    events.push(end(900));
    Timings::of(&events, &Around::default())
}

/// What the browser makes of a page, and what it complained of. `None` where there is no browser.
fn browse(page: &str, dark: bool) -> Option<(String, String)> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let is_there = |name: &&&str| {
        Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    let Some(browser) = names.iter().find(is_there) else {
        eprintln!("SKIPPED: no chromium to open the page with");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("timings.html");
    std::fs::write(&path, page).unwrap();
    let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"]);
    command.args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", &profile]);
    if dark {
        command.arg("--blink-settings=preferredColorScheme=0");
    }
    let output = command.arg(format!("file://{}", path.display())).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told: Vec<String> = text(&output.stderr).lines().filter(|l| l.contains("CONSOLE")).map(str::to_owned).collect();
    Some((text(&output.stdout), told.join("\n")))
}

/// Counts the pixels that were painted on the chart and puts it where the dump of the document shows it.
const COUNT: &str = "<script>{ const c = document.getElementById('gantt'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i] > 60) n++; document.documentElement.dataset.painted = n > 1500; }</script></main>";

#[test]
fn the_page_shows_the_run_and_no_name_becomes_a_program() {
    let html = page(&small());
    for loaded in ["http:", "https:", "<link rel=\"style", " src=\"", "@import", "url("] {
        assert!(
            !html.replace("http://www.w3.org/2000/svg", "").replace("url(#tip)", "").contains(loaded),
            "the page would load something: {loaded}"
        );
    }
    let Some((dom, told)) = browse(&html.replace("</main>", COUNT), false) else { return };
    assert_eq!(told, "", "the console must stay empty");
    assert!(dom.contains("data-ready=\"5 tasks\""), "the script came to its end: {}", &dom[..dom.len().min(300)]);
    assert!(dom.contains("data-painted=\"true\""), "the chart is drawn: {}", &dom[..300]);
    assert!(!dom.contains("data-pwned") && !dom.contains("<img"), "a name was run");
    for text in [
        "2 built, 1 restored, 7 up to date, 0 failed in 95 ms",
        "expert-build 9.9.9",
        "dist/a.expert",
        "3.0 MiB",
        "+1.0 MiB (+50%)",
        "75%",
        "a · validate · file2",
        "&lt;/script&gt;",
        "<title>b</title>",
        "class=\"failed\"",
    ] {
        assert!(dom.contains(text), "`{text}` is not shown");
    }
    let (dark, told) = browse(&html.replace("</main>", COUNT), true).unwrap();
    assert!(told.is_empty() && dark.contains("data-painted=\"true\""));
}

#[test]
fn ten_thousand_tasks_are_shown() {
    let timings = large(10_000);
    assert_eq!(timings.critical.len(), 1250);
    let html = page(&timings);
    assert!(html.len() < 3 << 20, "{} bytes", html.len());
    let Some((dom, told)) = browse(&html.replace("</main>", COUNT), false) else { return };
    assert_eq!(told, "");
    assert!(dom.contains("data-ready=\"10000 tasks\"") && dom.contains("data-painted=\"true\""));
    assert!(dom.matches("<tr>").count() < 1000, "not all of it at once");
}

#[test]
fn a_run_without_work_is_a_page_too() {
    let html = page(&Timings::of(&[Event::RunStart { version: "1", jobs: 4, experts: 1 }, end(1)], &Around::default()));
    assert!(html.contains("no task ran") && html.contains("no package was put in place"));
    let Some((dom, told)) = browse(&html, false) else { return };
    assert!(told.is_empty() && dom.contains("data-ready=\"0 tasks\""), "{told}");
}

#[test]
fn the_critical_path_goes_through_what_was_waited_for() {
    let timings = small();
    let ids: Vec<usize> = timings.critical.iter().map(|at| timings.tasks[*at].id).collect();
    assert_eq!(ids, [0, 2, 3, 4]);
    assert_eq!(timings.experts[timings.work[0].expert], "a");
    assert_eq!((timings.work[0].took, timings.work[0].tasks, timings.work[0].read), (67_500, 3, 3 * 4096));
    assert_eq!((timings.packages[0].model.as_str(), timings.packages[0].before), ("file3", Some(2 << 20)));
}

#[test]
fn the_trace_is_what_perfetto_reads() {
    let value: serde_json::Value = serde_json::from_str(&trace(&small())).unwrap();
    let events = value["traceEvents"].as_array().unwrap();
    let of = |ph: &str| events.iter().filter(|e| e["ph"] == ph).collect::<Vec<_>>();
    assert_eq!((of("X").len(), of("M").len(), of("s").len(), of("f").len()), (5, 3, 3, 3));
    let hash = of("X").into_iter().find(|e| e["args"]["subject"] == "file0").unwrap();
    assert_eq!((hash["ts"].as_u64(), hash["dur"].as_u64(), hash["tid"].as_u64()), (Some(1000), Some(39_000), Some(0)));
    assert_eq!(hash["args"]["why"], "`a/README.md` changed");
    for timings in [small(), large(10_000), Timings::default()] {
        assert_eq!(trace_rules::faults(&trace(&timings)), [""; 0]);
    }
}

#[test]
fn the_rules_find_what_breaks_them() {
    let good = trace(&small());
    for (from, to, told) in [
        ("\"ph\":\"X\"", "\"ph\":\"Y\"", "neither metadata"),
        ("\"dur\":39000,", "\"dur\":44000,", "overlaps the end of another"),
        ("\"ph\":\"s\"", "\"ph\":\"f\"", "0 beginnings"),
        ("\"name\":\"thread_name\"", "\"name\":\"thread\"", "metadata names"),
        ("\"bp\":\"e\"", "\"bp\":\"s\"", "says so"),
        ("\"dur\":39000,", "\"dur\":1,", "where no slice is"),
        ("\"pid\":1", "\"pid\":\"1\"", "a pid and a name"),
    ] {
        assert!(good.contains(from), "{from}");
        let faults = trace_rules::faults(&good.replace(from, to));
        assert!(faults.iter().any(|fault| fault.contains(told)), "{from} → {to}: {faults:?}");
    }
}

#[test]
fn growth_is_against_the_last_build_here_else_against_the_lock_file() {
    let mut events = Vec::new();
    for (id, expert) in ["a", "b", "c", "d"].into_iter().enumerate() {
        events.extend([
            start(id, "archive", expert, &[], 0, id as u64 * 10),
            finish(id, Status::Done, id as u64 * 10 + 9),
        ]);
        events.push(artifact(expert, 2 << 20));
    }
    let key = |expert: &str, model: &str| (expert.to_owned(), model.to_owned());
    let before = [(key("a", "file0"), 1 << 20), (key("a", ""), 3), (key("b", ""), 5 << 20), (key("c", ""), 3)].into();
    let timings = Timings::of(&events, &Around { before, ..Around::default() });
    let before = |expert: &str| timings.packages.iter().find(|p| p.expert == expert).unwrap().before;
    assert_eq!(["a", "b", "c", "d"].map(before), [Some(1 << 20), Some(5 << 20), Some(9 << 20), None]);
    let html = page(&timings);
    assert!(html.contains("+1.0 MiB (+100%)") && html.contains("−7.0 MiB (−78%)"), "{html}");
}

/// Writes the pages to look at: `TIMINGS_PAGES=dir cargo test --test timings -- --ignored`.
#[test]
#[ignore = "writes pages for people to look at"]
fn pages_to_look_at() {
    let dir = std::env::var_os("TIMINGS_PAGES").expect("TIMINGS_PAGES names a folder");
    std::fs::write(Path::new(&dir).join("small.html"), page(&small())).unwrap();
    std::fs::write(Path::new(&dir).join("large.html"), page(&large(10_000))).unwrap();
    std::fs::write(Path::new(&dir).join("trace.json"), trace(&large(10_000))).unwrap();
}
