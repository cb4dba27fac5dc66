//! Builds that share a real server: cold, warm, one file changed, at the same time, and what that costs.

use crate::engine::{BIG, There, build_well, built, checkout, command, copy, expected};
use crate::expert::Expert;
use crate::ground::noise;
use crate::space::Space;

#[test]
fn a_second_checkout_restores_all_byte_for_byte_and_compresses_nothing() {
    for there in There::both() {
        let (first, second) = (checkout(), checkout());
        let cold = build_well(&first, &there, &[]);
        assert_eq!((cold.counts(), cold.remote("hits"), cold.remote("errors")), ([4, 0, 0], 0, 0), "{cold:#?}");
        assert_eq!((cold.remote("sent"), cold.mode().as_str()), (4, "read and write"));
        assert!(
            cold.remote("bytes_up") > BIG as u64 && cold.remote("bytes_up") < 2 * BIG as u64,
            "the shared file once"
        );
        // One greeting; each expert: a question, one for its big file where it has one, and what is sent.
        assert!(cold.remote("calls") <= 1 + 3 + 2 + 3 * 4 + 2 * 3, "{} calls", cold.remote("calls"));

        let warm = build_well(&second, &there, &[]);
        assert_eq!((warm.counts(), warm.segments()), ([0, 4, 0], 0), "{warm:#?}");
        assert!(first.packages() == second.packages());
        assert_eq!((warm.remote("hits"), warm.remote("misses"), warm.remote("sent")), (3, 0, 0));
        // A greeting, a question for each expert, one stream for the file that two share; then a batch for the one expert
        // that has files too large to travel with the record, or for each where the server does not send records along.
        let calls = warm.remote("calls");
        assert!(calls == 1 + 3 + 1 + 1 || calls == 1 + 3 + 1 + 3, "{calls} {warm:#?}");
        assert!(calls < 3 * 3, "below 3 round trips for an expert, and all the more for a task");

        let again = build_well(&second, &there, &[]);
        assert_eq!((again.counts(), again.mode().as_str()), ([0, 0, 4], "none"), "nothing to do, nobody to ask");
        let told = second.run("cache stats --message-format json").ok().stdout;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["remote"]["hits"], &told["remote"]["misses"]), (&3.into(), &0.into()), "{told:#}");
        assert_eq!(told["remote"]["calls"], warm.remote("calls"));
        second.run("cache stats").ok().says("3 hits, 0 misses, 0 errors");
        copy(&second).run("build --offline").ok();
    }
}

#[test]
fn one_changed_readme_sends_little_however_large_the_weights() {
    for there in There::both() {
        let (first, second) = (checkout(), checkout());
        build_well(&first, &there, &[]);
        for (space, title) in [(&second, "another"), (&first, "a third")] {
            space.write("experts/one/README.md", format!("# {title}\n"));
            let changed = build_well(space, &there, &[]);
            assert!(changed.remote("bytes_up") < 64 << 10, "{changed:#?}");
            assert!(changed.segments() < 8, "small files alone: {}", changed.segments());
            assert!(space.packages() == expected(space));
        }
    }
}

#[test]
fn two_clients_at_once_build_the_same() {
    for there in There::both() {
        let spaces = [checkout(), checkout(), checkout()];
        let runs: Vec<_> =
            spaces.iter().map(|space| command(space, &there.url, there.instance, &[]).spawn().unwrap()).collect();
        for run in runs {
            let run = built(&run.wait_with_output().unwrap());
            assert_eq!((run.code, run.remote("errors")), (0, 0), "{run:#?}");
        }
        let right = expected(&spaces[0]);
        assert!(spaces.iter().all(|space| space.packages() == right));
        let late = copy(&spaces[0]);
        let warm = build_well(&late, &there, &[]);
        assert_eq!((warm.counts(), warm.segments()), ([0, 4, 0], 0));
    }
}

#[test]
fn many_files_and_much_in_one_answer_stay_within_the_limits_of_messages() {
    for there in There::both() {
        let mut expert = Expert::lora("many");
        for number in 0..400 {
            // Some of them are equal, and some lie in folders that begin with a dot.
            let content = noise(9_000 + 40 * number, number as u64 / 2);
            expert = expert.file(&format!("docs/.d{}/f{number}", number % 7), &**content);
        }
        let space = Space::with(&[expert]);
        space.write("Expertfile.toml", "[workspace]\nmembers = [\"experts/*\"]\n[defaults]\ninclude = [\"docs/**\"]\n");
        let other = copy(&space);
        let cold = build_well(&space, &there, &[]);
        assert_eq!(cold.remote("errors"), 0, "{cold:#?}");
        let warm = build_well(&other, &there, &[]);
        assert_eq!((warm.counts(), warm.segments(), warm.remote("errors")), ([0, 1, 0], 0, 0));
        assert!(space.packages() == other.packages() && space.packages() == expected(&space));
    }
}

#[test]
fn what_is_told_and_not_written_costs_next_to_nothing() {
    for there in There::both() {
        let (first, second) = (checkout(), checkout());
        build_well(&first, &there, &[]);
        let minimal = build_well(&second, &there, &["--remote-download", "minimal"]);
        let calls = minimal.remote("calls");
        assert_eq!(minimal.counts(), [0, 0, 0]);
        assert!(
            calls == 1 + 3 || calls == 1 + 2 * 3,
            "one for each expert, two where records do not come along: {calls}"
        );
        assert!(second.packages().is_empty());
        let told = minimal.events.iter().filter(|event| event["reason"] == "artifact" && event["status"] == "remote");
        let told: std::collections::BTreeSet<&str> = told.filter_map(|event| event["sha256"].as_str()).collect();
        let sums = first.packages().into_iter().filter(|(path, _)| path.ends_with(".sha256"));
        let sums: Vec<String> = sums.map(|(_, sum)| String::from_utf8(sum).unwrap()[..64].to_owned()).collect();
        assert_eq!(told, sums.iter().map(String::as_str).collect());
        let all = build_well(&second, &there, &[]);
        assert_eq!((all.counts(), all.segments()), ([0, 4, 0], 0));
        assert!(first.packages() == second.packages());
    }
}

#[test]
fn offline_asks_nobody() {
    let Some(there) = There::casd(&[]) else { return };
    let space = checkout();
    let off = build_well(&space, &there, &["--offline"]);
    assert_eq!((off.counts(), off.mode().as_str(), off.remote("calls")), ([4, 0, 0], "off: --offline", 0));
    let refused = crate::engine::build(&copy(&space), &there, &["--offline", "--remote-required"]);
    assert_eq!(refused.code, 2, "{refused:#?}");
}
