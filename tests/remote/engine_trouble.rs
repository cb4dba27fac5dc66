//! Builds against real servers that fail: no wrong package, no failed build unless that was asked for, one notice, a count.

use std::time::{Duration, Instant};

use crate::certificates::Certificates;
use crate::engine::{BIG, Built, There, build, build_well, built, checkout, command, copy, expected};
use crate::proxy::Proxy;
use crate::servers::BuildGrid;
use crate::space::Space;

/// The build must have gone well without the server, and have said so once.
#[track_caller]
pub fn went_on(built: &Built, space: &Space) {
    assert_eq!(built.code, 0, "{built:#?}");
    assert!(built.remote("errors") > 0 && built.notices().len() == 1, "{built:#?}");
    assert!(space.packages() == expected(space));
}

/// The same build, where the server is required.
#[track_caller]
fn is_refused(space: &Space, there: &There) {
    let refused = build(&copy(space), there, &["--remote-required"]);
    assert_eq!(refused.code, 3, "{refused:#?}");
}

#[test]
fn a_server_that_is_not_there_costs_one_notice() {
    let Some(mut there) = There::casd(&[]) else { return };
    there.server.kill();
    let space = checkout();
    let began = Instant::now();
    let run = build_well(&space, &there, &[]);
    assert_eq!((run.counts(), run.mode().as_str()), ([4, 0, 0], "off: no connection"));
    went_on(&run, &space);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    is_refused(&space, &there);
}

#[test]
fn a_server_that_takes_nothing_is_read() {
    let Some(there) = There::build_grid(&BuildGrid { read_only: true, ..BuildGrid::default() }) else { return };
    let space = checkout();
    let run = build_well(&space, &there, &[]);
    assert_eq!(run.mode(), "read-only: it takes no results");
    went_on(&run, &space);
    is_refused(&space, &there);
}

#[test]
fn a_wrong_token_is_told_and_not_shown() {
    let secret = "a secret that is long enough for a signature";
    let Some(there) = There::build_grid(&BuildGrid { secret: Some(secret), ..BuildGrid::default() }) else { return };
    let space = checkout();
    let text = format!(
        "[workspace]\nmembers = [\"experts/*\"]\n[cache.remote]\nurl = \"{}\"\n\
         headers = {{ authorization = {{ env = \"CACHE_TOKEN\", prefix = \"Bearer \" }} }}\n",
        there.url
    );
    space.write("Expertfile.toml", text);
    let run = |arguments: &[&str]| {
        let mut command = command(&space, &there.url, there.instance, arguments);
        built(&command.env("CACHE_TOKEN", "hunter2.hunter2.hunter2").output().unwrap())
    };
    let denied = run(&[]);
    went_on(&denied, &space);
    assert!(!format!("{denied:?}").contains("hunter2"), "{denied:#?}");
    assert!(denied.mode().starts_with("off: "), "{}", denied.mode());
    let refused = run(&["--remote-required", "--force"]);
    assert_eq!(refused.code, 3, "{refused:#?}");
    // A secret that is not there is no empty secret.
    let absent = built(&command(&space, &there.url, there.instance, &["--force"]).output().unwrap());
    assert!(absent.notices().concat().contains("`CACHE_TOKEN` is not set"), "{absent:#?}");
}

#[test]
fn a_server_whom_nobody_vouches_for_is_not_spoken_to_and_one_that_asks_who_we_are_is_told() {
    let Some(certificates) = Certificates::make() else { return };
    let wants = BuildGrid { certificates: Some(certificates.0.path().to_path_buf()), ..BuildGrid::default() };
    let Some(there) = There::build_grid(&wants) else { return };
    let space = checkout();
    let file = |name: &str| certificates.0.path().join(name).display().to_string();
    let run = |space: &Space, keys: &[(&str, &str)], arguments: &[&str]| {
        let mut command = command(space, &there.url, there.instance, arguments);
        for (key, name) in keys {
            command.env(format!("EXPERT_BUILD_CACHE_REMOTE_{key}"), file(name));
        }
        built(&command.output().unwrap())
    };
    // The system's authorities do not know it.
    let unknown = run(&space, &[], &[]);
    assert_eq!(unknown.mode(), "off: no connection");
    went_on(&unknown, &space);
    let mine = [("CA", "ca.pem"), ("CLIENT_CERT", "client.pem"), ("CLIENT_KEY", "client.key")];
    let anonymous = run(&copy(&space), &mine[..1], &["--remote-required"]);
    assert_eq!(anonymous.code, 3, "{anonymous:#?}");
    let first = copy(&space);
    let known = run(&first, &mine, &["--remote-required"]);
    assert_eq!((known.code, known.remote("errors"), known.remote("sent")), (0, 0, 4), "{known:#?}");
    let second = copy(&space);
    let warm = run(&second, &mine, &["--remote-required"]);
    assert_eq!((warm.counts(), warm.segments()), ([0, 4, 0], 0));
    assert!(second.packages() == space.packages());
}

#[test]
fn a_server_that_goes_away_while_results_are_sent() {
    let Some(mut there) = There::casd(&[]) else { return };
    let proxy = Proxy::before(there.server.port, Duration::ZERO);
    proxy.cut_up(BIG as i64 / 2);
    there.url = format!("grpc://127.0.0.1:{}", proxy.port);
    let space = checkout();
    let run = build(&space, &there, &[]);
    went_on(&run, &space);
    // Half of a blob is none: whoever comes next builds, and nothing speaks of what is not there.
    there.url = format!("grpc://127.0.0.1:{}", there.server.port);
    there.server.kill();
    there.server.restart();
    let other = copy(&space);
    let next = build_well(&other, &there, &[]);
    assert_eq!(next.remote("errors"), 0, "{next:#?}");
    assert!(other.packages() == space.packages());
}

#[test]
fn a_server_that_goes_away_while_results_are_fetched() {
    let Some(mut there) = There::casd(&[]) else { return };
    let space = checkout();
    build_well(&space, &there, &[]);
    let proxy = Proxy::before(there.server.port, Duration::ZERO);
    proxy.cut_down(BIG as i64 / 2);
    there.url = format!("grpc://127.0.0.1:{}", proxy.port);
    let other = copy(&space);
    let run = build(&other, &there, &[]);
    went_on(&run, &other);
    assert!(other.packages() == space.packages());
    let third = copy(&space);
    proxy.cut_down(BIG as i64 / 2);
    let refused = build(&third, &there, &["--remote-required"]);
    assert_eq!(refused.code, 3, "{refused:#?}");
}

#[test]
fn a_server_without_room_is_not_filled_further() {
    let Some(there) = There::casd(&["--quota-high=2M", "--quota-low=1M"]) else { return };
    let space = checkout();
    let run = build_well(&space, &there, &[]);
    assert!(space.packages() == expected(&space));
    assert!(run.remote("errors") > 0 && run.notices().len() == 1, "{run:#?}");
    let other = copy(&space);
    let run = build_well(&other, &there, &[]);
    assert_eq!(run.code, 0);
    assert!(other.packages() == space.packages());
}

#[test]
fn a_result_whose_blobs_are_gone_is_a_miss_and_is_sent_again() {
    for there in There::both() {
        let space = checkout();
        build_well(&space, &there, &[]);
        evict_the_largest(&there);
        let other = copy(&space);
        let run = build_well(&other, &there, &[]);
        assert_eq!((run.remote("errors"), run.notices().len()), (0, 0), "{run:#?}");
        assert!(run.remote("misses") > 0 && run.segments() > 0);
        assert!(other.packages() == space.packages());
        let third = copy(&space);
        let run = build_well(&third, &there, &[]);
        assert_eq!((run.counts(), run.segments()), ([0, 4, 0], 0), "what was missing was sent again: {run:#?}");
    }
}

/// Takes away the largest blob.
fn evict_the_largest(there: &There) {
    let mut files = Vec::new();
    let mut folders = vec![there.server.folder.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let stat = entry.metadata().unwrap();
            if stat.is_dir() { folders.push(entry.path()) } else { files.push((stat.len(), entry.path())) }
        }
    }
    let (size, path) = files.into_iter().max().unwrap();
    assert!(size > BIG as u64 / 2, "{}", path.display());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_slow_server_is_waited_for_beside_the_work() {
    let Some(mut there) = There::casd(&[]) else { return };
    let proxy = Proxy::before(there.server.port, Duration::from_millis(20));
    there.url = format!("grpc://127.0.0.1:{}", proxy.port);
    let space = checkout();
    let cold = build_well(&space, &there, &[]);
    assert_eq!((cold.remote("errors"), cold.remote("sent")), (0, 4), "all is sent before the end: {cold:#?}");
    assert!(cold.events.iter().any(|event| event["reason"] == "uploading"), "and that is told");
    let other = copy(&space);
    let warm = build_well(&other, &there, &[]);
    assert_eq!((warm.counts(), warm.remote("errors")), ([0, 4, 0], 0));
    assert!(other.packages() == space.packages());
}

#[test]
fn an_interrupted_build_does_not_wait_for_what_is_being_sent() {
    let Some(mut there) = There::casd(&[]) else { return };
    // So slow that the big file takes a minute.
    let proxy = Proxy::before(there.server.port, Duration::from_millis(600));
    there.url = format!("grpc://127.0.0.1:{}", proxy.port);
    let space = checkout();
    let mut child = command(&space, &there.url, there.instance, &[]).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let uploading = lines.by_ref().flatten().find(|line| line.contains("\"uploading\""));
    assert!(uploading.is_some(), "it sends");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let began = Instant::now();
    drop(lines);
    let code = child.wait().unwrap().code();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
    assert!(space.packages() == expected(&space), "the packages were there already");
}
