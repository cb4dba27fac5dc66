//! A remote cache, through the library and a fake of it: what is shared, what it costs, and that nothing wrong comes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use expert_build::base::event::{Observer, RemoteUse, Status};
use expert_build::base::{Error, Event};
use expert_build::ops::build::{Options, Report, build};
use expert_build::ops::remote::Ci;
use expert_build::ops::workspace::{Setup, Workspace};
use expert_build::spec::Request;

use crate::expert::Expert;
use crate::remote_fake::{Fake, Fault, poison};
use crate::space::Space;

/// What a run did.
#[derive(Default)]
pub struct Seen {
    pub artifacts: Vec<(String, Status)>,
    pub segments_made: u64,
    pub bytes_read: u64,
    pub notices: Vec<String>,
    pub found: Vec<String>,
    pub remote: Option<RemoteUse>,
    pub uploading: usize,
}

impl Observer for Seen {
    fn on(&mut self, event: &Event) {
        match event {
            Event::TaskFinish { segments_made, bytes_read, .. } => {
                self.segments_made += segments_made;
                self.bytes_read += bytes_read;
            }
            Event::Diagnostic(found) => self.found.push(format!("{}: {}", found.code.name, found.message)),
            Event::Artifact { path, status, .. } => self.artifacts.push((path.clone(), *status)),
            Event::Notice { message } => self.notices.push(message.clone()),
            Event::Uploading { .. } => self.uploading += 1,
            Event::RunFinish { remote, .. } => self.remote.clone_from(remote),
            _ => {}
        }
    }
}

/// How a client uses the remote cache.
pub struct Client<'a> {
    fake: &'a Arc<Fake>,
    flags: Vec<(&'static str, &'static str)>,
    ci: Ci,
    options: Options,
}

impl<'a> Client<'a> {
    pub fn new(fake: &'a Arc<Fake>) -> Self {
        let options = Options { jobs: 2, ..Options::default() };
        Self { fake, flags: vec![("url", "grpc://cache"), ("write", "always")], ci: Ci::None, options }
    }

    pub fn with(mut self, key: &'static str, value: &'static str) -> Self {
        self.flags.push((key, value));
        self
    }

    pub fn try_run(&self, space: &Space) -> (Result<Report, Error>, Seen) {
        let mut request = Request::default();
        for (key, value) in &self.flags {
            request = request.flag("test", &format!("cache.remote.{key}"), value);
        }
        let (directory, cache_dir) = (space.path(""), space.outer("cache"));
        let program = Some(crate::space::EXPERT_BUILD.into());
        let setup = Setup { directory, cache_dir, request, ci: self.ci, program, ..Setup::default() };
        let mut workspace = Workspace::open(setup).unwrap();
        workspace.connected = Some(Arc::clone(self.fake) as Arc<_>);
        let mut seen = Seen::default();
        let report = build(&workspace, &workspace.defaults(), &self.options, &AtomicBool::new(false), &mut seen);
        (report, seen)
    }

    #[track_caller]
    pub fn run(&self, space: &Space) -> (Report, Seen) {
        let (report, seen) = self.try_run(space);
        let report = report.unwrap();
        assert_eq!(report.exit_code(), 0, "{:?} {:?}", report.failed, seen.notices);
        (report, seen)
    }
}

/// So large that it is a blob of its own, and not all of one kind.
fn big(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..(2 << 20) + 77).map(|i| if i < 3 << 19 { noise() } else { noise() % 16 }).collect()
}

pub fn checkout() -> Space {
    let text = "Words that come again and again. ".repeat(3000);
    let a = Expert::lora("a").soft_prompt("x").file("vocab.model", big(1)).file("README.md", text);
    Space::with(&[a, Expert::two_models("b"), Expert::lora("c").file("vocab.model", big(1))])
}

/// What a build without any remote makes of it.
pub fn expected(space: &Space) -> BTreeMap<String, Vec<u8>> {
    let fake = Arc::new(Fake::default());
    let local = Space::new();
    local.copy(&space.path(""), "");
    for (path, _) in local.outputs() {
        local.remove(&path);
    }
    Client::new(&fake).with("url", "off").run(&local);
    local.packages()
}

#[test]
fn a_second_checkout_restores_all_byte_for_byte_and_compresses_nothing() {
    for compression in ["gzip", "zstd", "none"] {
        let fake = Arc::new(Fake::default());
        let (first, second) = (checkout(), checkout());
        let set = |space: &Space| {
            let text = format!("[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ncompression = \"{compression}\"\n");
            space.write("Expertfile.toml", text);
        };
        set(&first);
        set(&second);
        let (report, seen) = Client::new(&fake).run(&first);
        assert_eq!((report.built, report.restored), (4, 0));
        let used = seen.remote.unwrap();
        assert_eq!((used.hits, used.errors, used.mode.as_str()), (0, 0, "read and write"));
        // Three experts, and one big file that two of them share.
        assert_eq!(used.sent, 4);
        assert!(first.packages() == expected(&first));

        let (report, seen) = Client::new(&fake).run(&second);
        assert_eq!((report.built, report.restored), (0, 4), "{compression}");
        assert_eq!(seen.segments_made, 0, "nothing is compressed");
        assert!(seen.artifacts.iter().all(|(_, status)| *status == Status::Cached));
        assert!(first.packages() == second.packages());
        let used = seen.remote.unwrap();
        assert_eq!((used.hits, used.misses, used.errors, used.sent), (3, 0, 0, 0));

        let (report, seen) = Client::new(&fake).run(&second);
        assert_eq!((report.built, report.restored, report.fresh), (0, 0, 4));
        assert_eq!(seen.remote, None, "nobody asks where nothing is to be done");
        // What was taken serves the local cache as if it had been made here.
        second.outputs().iter().for_each(|(path, _)| second.remove(path));
        fake.take();
        let (report, _) = Client::new(&fake).run(&second);
        assert_eq!(report.restored, 4);
        let asked = BTreeMap::from([("GetActionResult", 3)]);
        assert_eq!(fake.take().0, asked, "the local cache has it all, and so has the other machine");
        assert!(first.packages() == second.packages());
    }
}

#[test]
fn what_only_the_local_cache_has_is_sent_when_it_is_restored() {
    let fake = Arc::new(Fake::default());
    let (first, second) = (checkout(), checkout());
    Client::new(&fake).with("url", "off").run(&first);
    let packages = first.packages();
    let again = |client: &Client<'_>| {
        first.outputs().iter().for_each(|(path, _)| first.remove(path));
        let (report, seen) = client.run(&first);
        assert_eq!((report.built, report.restored, seen.segments_made), (0, 4, 0));
        assert!(first.packages() == packages);
        seen.remote.unwrap().sent
    };
    assert_eq!(again(&Client::new(&fake).with("write", "never")), 0);
    assert!(fake.take().0.is_empty(), "whoever may not send asks nothing");
    assert_eq!(again(&Client::new(&fake)), 4);
    assert_eq!(again(&Client::new(&fake)), 0, "it is there");
    fake.break_by(Fault::Down);
    assert_eq!(again(&Client::new(&fake)), 0);
    fake.mend();
    let (report, seen) = Client::new(&fake).run(&second);
    assert_eq!((report.restored, seen.segments_made, seen.remote.unwrap().hits), (4, 0, 3));
    assert!(second.packages() == packages);
}

#[test]
fn a_changed_readme_sends_little_and_fetches_the_weights() {
    let fake = Arc::new(Fake::default());
    let (first, second) = (checkout(), checkout());
    Client::new(&fake).run(&first);
    second.write("experts/a/README.md", "# Another title\n");
    fake.take();
    let (report, seen) = Client::new(&fake).run(&second);
    assert_eq!((report.built, report.restored), (1, 3));
    assert!(seen.segments_made <= 8, "{} segments of small files", seen.segments_made);
    let sent = fake.take().1.sent;
    assert!(sent < 16 << 10, "{sent} bytes sent");
    assert!(second.packages() == expected(&second));
    // Whoever built it from the start on a machine of its own, and then changes the README there, sends as little.
    first.write("experts/a/README.md", "# A third title\n");
    Client::new(&fake).run(&first);
    let sent = fake.take().1.sent;
    assert!(sent < 16 << 10, "{sent} bytes sent");
}

#[test]
fn signed_packages_are_signed_here_from_parts_that_are_shared() {
    let fake = Arc::new(Fake::default());
    let (first, second) = (checkout(), checkout());
    Client::new(&fake).run(&first);
    for space in [&first, &second] {
        space.run("keygen --output key.pem").ok();
    }
    let (report, _) = Client::new(&fake).run(&first);
    assert_eq!(report.fresh, 4);
    let sign = |space: &Space| {
        let text = "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\nsign = \"required\"\nkey = \"key.pem\"\n";
        space.write("Expertfile.toml", text);
    };
    sign(&first);
    sign(&second);
    let (report, _) = Client::new(&fake).run(&first);
    assert_eq!(report.built, 4);
    let (report, seen) = Client::new(&fake).run(&second);
    assert_eq!((report.built, report.restored), (4, 0), "what is signed is made where the key is");
    assert_eq!(seen.segments_made, 0, "and its parts are not");
    assert!(first.packages() != second.packages(), "the keys differ");
    second.run("verify experts/a/weights/a.v1.0.0.expert --key key.pub --require-signature").ok();
}

#[test]
fn whatever_is_wrong_there_the_packages_are_right() {
    use Fault::{Denied, Down, Evicted, Full, ReadOnly, Torn, WrongBytes};
    for fault in [Down, Denied, ReadOnly, Full, WrongBytes, Evicted, Torn] {
        let fake = Arc::new(Fake::default());
        let (first, second) = (checkout(), checkout());
        Client::new(&fake).run(&first);
        second.write("experts/b/README.md", "# Not what it was\n");
        fake.break_by(fault);
        fake.take();
        let (_, seen) = Client::new(&fake).run(&second);
        assert!(second.packages() == expected(&second), "{fault:?}");
        let used = seen.remote.unwrap();
        match fault {
            Evicted => assert_eq!((used.errors, seen.notices.len()), (0, 0), "a miss is no failure"),
            _ => assert!(used.errors > 0 && seen.notices.len() == 1, "{fault:?}: {used:?} {:?}", seen.notices),
        }
        let mode = match fault {
            Down => "off: after 3 failures",
            Denied => "off: access denied",
            ReadOnly => "read-only: it takes no results",
            _ => "read and write",
        };
        assert_eq!(used.mode, mode, "{fault:?}");
        if fault == Down {
            assert!(used.calls <= 6, "{} calls to one that does not answer", used.calls);
        }
        // The same, where the remote cache is required.
        if fault != Evicted {
            let third = checkout();
            third.write("experts/b/README.md", "# Not what it was either\n");
            let (report, _) = Client::new(&fake).with("on-error", "fail").try_run(&third);
            let code = report.map_or_else(|error| error.exit_code(), |report| report.exit_code());
            assert_eq!(code, 3, "{fault:?}");
        }
        // And once it works again, what was missing there is sent.
        fake.mend();
        let fourth = Space::new();
        fourth.copy(&second.path(""), "");
        fourth.outputs().iter().for_each(|(path, _)| fourth.remove(path));
        Client::new(&fake).run(&fourth);
        assert!(fourth.packages() == second.packages(), "{fault:?}");
    }
}

#[test]
fn whoever_poisons_it_makes_nobody_build_a_wrong_package() {
    let other = |bytes: &[u8]| -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        text.replacen("\"took_us\":", "\"took_us\":1", 1).into_bytes()
    };
    type Change<'a> = Box<dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + 'a>;
    let changes: [(&str, Change<'_>); 7] = [
        ("records are empty", Box::new(|path, _| (path == "out/record").then(Vec::new))),
        ("records are of nothing", Box::new(|path, _| (path == "out/record").then(|| b"{\"files\":[]}\n".to_vec()))),
        ("packed files are others", Box::new(|path, bytes| path.contains("files").then(|| vec![7; bytes.len()]))),
        ("packed files are cut", Box::new(|path, bytes| path.contains("files").then(|| bytes[1..].to_vec()))),
        (
            "a bit is turned",
            Box::new(|_, bytes| {
                let mut bytes = bytes.to_vec();
                let at = bytes.len() - 9;
                bytes[at] ^= 2;
                Some(bytes)
            }),
        ),
        (
            "packages are others",
            Box::new(|path, bytes| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let at = text.find("\"packages\":[{\"sha256\":\"").filter(|_| path == "out/record")? + 23;
                let digit = if text[at..].starts_with('0') { "1" } else { "0" };
                let mut bytes = bytes.to_vec();
                bytes[at] = digit.as_bytes()[0];
                Some(bytes)
            }),
        ),
        (
            "nothing but times",
            Box::new(move |path, bytes| {
                (path == "out/record").then(|| {
                    let line = bytes.iter().position(|b| *b == b'\n').unwrap();
                    [other(&bytes[..line]), bytes[line..].to_vec()].concat()
                })
            }),
        ),
    ];
    for (what, change) in changes {
        let fake = Arc::new(Fake::default());
        let (first, second) = (checkout(), checkout());
        Client::new(&fake).run(&first);
        poison(&fake, change);
        let (_, seen) = Client::new(&fake).run(&second);
        assert!(second.packages() == first.packages(), "{what}");
        let used = seen.remote.unwrap();
        match what {
            "nothing but times" => assert_eq!((used.errors, used.hits), (0, 3)),
            _ => assert!(used.errors > 0 && seen.notices.len() == 1, "{what}: {used:?} {:?}", seen.notices),
        }
    }
}

#[test]
fn modes_follow_settings_and_ci() {
    let space = checkout();
    let mode = |client: Client<'_>| {
        space.outputs().iter().for_each(|(path, _)| space.remove(path));
        client.run(&space).1.remote.map(|used| used.mode)
    };
    let fake = Arc::new(Fake::default());
    let ci = |ci: Ci| Client { ci, ..Client::new(&fake).with("write", "ci") };
    assert_eq!(mode(ci(Ci::Branch)).unwrap(), "read and write");
    assert_eq!(mode(ci(Ci::PullRequest)).unwrap(), "read-only (pull request)");
    assert_eq!(mode(ci(Ci::None)).unwrap(), "read-only (written in CI alone)");
    assert_eq!(mode(Client::new(&fake).with("read", "false")).unwrap(), "write-only");
    let nothing = Client::new(&fake).with("read", "false").with("write", "never");
    assert_eq!(mode(nothing).unwrap(), "off: neither read nor written");
    assert_eq!(mode(Client::new(&fake).with("url", "off")), None);
}

#[test]
fn what_pull_requests_read_they_do_not_write() {
    let fake = Arc::new(Fake::default());
    let (first, second) = (checkout(), checkout());
    Client { ci: Ci::PullRequest, ..Client::new(&fake).with("write", "ci") }.run(&first);
    assert_eq!(fake.state.lock().unwrap().blobs.len(), 0);
    Client { ci: Ci::Branch, ..Client::new(&fake).with("write", "ci") }.run(&second);
    // The second had to build, as nobody had sent anything.
    assert!(fake.state.lock().unwrap().results.len() == 4);
}

#[test]
fn with_minimal_downloads_packages_are_told_and_not_written() {
    let fake = Arc::new(Fake::default());
    let (first, second) = (checkout(), checkout());
    Client::new(&fake).run(&first);
    fake.take();
    let minimal = Client::new(&fake).with("download", "minimal");
    let (report, seen) = minimal.run(&second);
    assert_eq!((report.built, report.restored, report.left_there), (0, 0, 4));
    assert!(seen.artifacts.iter().all(|(_, status)| *status == Status::Remote));
    assert!(second.packages().is_empty());
    let (calls, _) = fake.take();
    assert_eq!(calls, BTreeMap::from([("GetActionResult", 3)]));
    // What is not there is built, and what is wanted after all is fetched.
    second.write("experts/b/README.md", "# Another\n");
    let (report, _) = minimal.run(&second);
    assert_eq!((report.built, report.left_there), (2, 2));
    let (report, seen) = Client::new(&fake).run(&second);
    assert_eq!((report.restored, report.fresh, seen.segments_made), (2, 2, 0));
    assert!(second.packages() == expected(&second));
}

#[test]
fn waiting_for_answers_costs_no_thread() {
    let experts: Vec<Expert> = (0..24).map(|n| Expert::lora(&format!("e{n}"))).collect();
    let fake = Arc::new(Fake { latency: Duration::from_millis(300), ..Fake::default() });
    let (first, second) = (Space::with(&experts), Space::with(&experts));
    let (_, seen) = Client::new(&fake).run(&first);
    assert!(seen.uploading > 0, "what is still on its way at the end is told");
    fake.take();
    let began = std::time::Instant::now();
    let (report, seen) = Client::new(&fake).run(&second);
    assert_eq!((report.restored, seen.segments_made), (24, 0));
    // One after the other on two threads they would wait for 24 × 300 ms / 2.
    let calls = seen.remote.unwrap().calls;
    assert_eq!(calls, 24, "one round trip for each expert without big files");
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
}

/// The table in the head of `engine::remote`, for ten experts with a big file each.
#[test]
fn the_page_on_costs_is_true() {
    let expert = |number: u32| {
        let noise = (0..(1 << 20) + 99_u32).map(|i| ((i + 7_000_003 * number).wrapping_mul(2_654_435_761) >> 24) as u8);
        Expert::lora(&format!("e{number}")).file("vocab.model", noise.collect::<Vec<u8>>())
    };
    let experts: Vec<Expert> = (1..=10).map(expert).collect();
    let fake = Arc::new(Fake::default());
    let (first, second) = (Space::with(&experts), Space::with(&experts));
    for space in [&first, &second] {
        let text = "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ncompression = \"none\"\n";
        space.write("Expertfile.toml", text);
    }
    let cost = |space: &Space| {
        fake.take();
        Client::new(&fake).run(space);
        let (calls, traffic) = fake.take();
        assert_eq!(calls.values().sum::<u64>(), traffic.calls);
        (traffic.calls, traffic.sent, traffic.received)
    };
    let big = 10 * ((1 << 20) + 99);
    let (calls, sent, _) = cost(&first);
    assert_eq!(calls, 90, "nothing is there");
    assert!(sent > big && sent - big < 10 * (8 << 10), "records and names are small: {}", sent - big);
    let (calls, sent, received) = cost(&second);
    assert_eq!((calls, sent), (20, 0), "all is there: below 3 for an expert, and for a task of it all the more");
    assert!(received >= big);
    for number in 1..=10 {
        first.write(&format!("experts/e{number}/README.md"), "# Changed\n");
    }
    // Its own local cache has the big files: they are neither asked for nor fetched, and told once more.
    assert_eq!(cost(&first).0, 10 * (1 + 4 + 2), "the README changed");
    let third = Space::with(&experts);
    third.copy(first.path("Expertfile.toml").parent().unwrap(), "");
    third.outputs().iter().for_each(|(path, _)| third.remove(path));
    for number in 1..=10 {
        third.write(&format!("experts/e{number}/README.md"), "# Changed again\n");
    }
    assert_eq!(cost(&third).0, 10 * (1 + 1 + 1 + 4), "the README changed, on a fresh machine");
    assert_eq!(cost(&third), (0, 0, 0), "nothing changed");
}
