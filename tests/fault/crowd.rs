//! Eight builds of one repo at once, with collections and clearings of the cache beside them.

use std::process::Stdio;

use crate::campaign::{Campaign, scale};
use crate::ground::Ground;
use crate::space::EXPERT_BUILD;

const BESIDE: [&[&str]; 4] =
    [&["cache", "clear"], &["cache", "gc", "--max-size", "1B"], &["cache", "verify"], &["cache", "stats"]];

#[test]
fn all_succeed_with_equal_bytes() {
    let mut campaign = Campaign::new("crowd");
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_100_000);
    for round in 0..scale(5, 50) {
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
