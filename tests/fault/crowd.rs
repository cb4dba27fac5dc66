//! Eight builds of one repo at once, with collections and clearings of the cache beside them.

use std::process::Stdio;

use crate::campaign::{Campaign, scale};
use crate::ground::{Ground, in_order};
use crate::space::EXPERT_BUILD;
use crate::strace::{self, EVERY, Fault, Struck};

const BESIDE: [&[&str]; 4] =
    [&["cache", "clear"], &["cache", "gc", "--max-size", "1B"], &["cache", "verify"], &["cache", "stats"]];

#[test]
fn all_succeed_with_equal_bytes() {
    let mut campaign = Campaign::new("crowd");
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    for round in 0..scale(4, 50) {
        ground.begin(&mut campaign);
        let start = |arguments: &[&str]| {
            let mut command = ground.space.command(EXPERT_BUILD, "", arguments);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let builds: Vec<_> = (0..8).map(|_| start(&["build", "-j", "2"])).collect();
        let beside: Vec<_> = BESIDE.iter().map(|verb| start(verb)).collect();
        let mut outcome = Ok(());
        for (number, child) in builds.into_iter().chain(beside).enumerate() {
            let output = child.wait_with_output().unwrap();
            if !output.status.success() && outcome.is_ok() {
                outcome = Err(format!("process {number}: {}", String::from_utf8_lossy(&output.stderr)));
            }
        }
        let outcome = outcome.and_then(|()| ground.is_built()).and_then(|()| ground.is_whole());
        let outcome = outcome.and_then(|()| ground.recovers()).and_then(|()| ground.cache_is_tidy());
        campaign.case(&format!("round {round}"), outcome);
    }
    campaign.finish();
}

/// On a folder that knows no locks (some network folders), builds go on as well, and say what that costs.
#[test]
fn where_nothing_can_be_locked() {
    if !strace::is_there() {
        return;
    }
    let mut campaign = Campaign::new("no locks");
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    for round in 0..scale(2, 20) {
        ground.begin(&mut campaign);
        ground.drop_outputs();
        ground.drop_cache();
        ground.forget();
        // One that a build may still be writing, and one that none can.
        let [young, old] = ["young", "old"].map(|name| format!("dist/.expert-build-tmp-{name}"));
        ground.space.write(&young, "");
        ground.space.write(&old, "");
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
        std::fs::File::options().write(true).open(ground.space.path(&old)).unwrap().set_modified(then).unwrap();
        let what = ["error=ENOLCK", "error=EOPNOTSUPP"][round % 2].to_owned();
        let fault = Fault { call: "flock", number: EVERY, what };
        let strikes: Vec<Struck> = std::thread::scope(|scope| {
            let strike = |log: &'static str| {
                let (space, fault) = (&ground.space, &fault);
                scope.spawn(move || strace::strike_logged(space, &["build", "-j", "2"], fault, log))
            };
            let both = ["one.log", "two.log"].map(strike);
            both.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut outcome = ground.is_built();
        for struck in strikes {
            outcome = outcome.and_then(|()| in_order(&struck.ran, &[0]));
            let told = struck.ran.stderr.matches("files cannot be locked where packages go").count();
            // Whoever finds that the other one has written all of it writes nothing, and has nothing to tell.
            let [built, restored, ..] = struck.ran.counts();
            if told > 1 || (told == 0 && built + restored > 0) {
                outcome = outcome.and(Err(format!("told {told} times: {}", struck.ran.shown())));
            }
        }
        if !ground.space.exists(&young) || ground.space.exists(&old) {
            outcome = outcome.and(Err("what is young stays, and what is old goes".into()));
        }
        ground.space.remove(&young);
        campaign.case(&fault.shown(), outcome.and_then(|()| ground.recovers()));
    }
    campaign.finish();
}
