//! Whole builds against real servers through a proxy that turns bits: in blobs, in results, in the protocol itself. Never a wrong
//! package, never a failed build unless that was asked for.

use std::time::Duration;

use crate::engine::{BIG, Built, There, build_well, built, checkout, command, copy, expected};
use crate::engine_trouble::went_on;
use crate::proxy::Proxy;
use crate::space::Space;

/// One bit of so many bytes: in a big blob alone, in every stream and most batches, in nearly every message. Primes, so that it
/// is always another place of a frame.
const SELDOM: u64 = 1_048_573;
const OFTEN: u64 = 65_521;
const ALWAYS: u64 = 997;

/// A server behind the proxy. What was sent without it is there.
struct Behind {
    direct: There,
    proxy: Proxy,
}

impl Behind {
    fn both() -> Vec<Self> {
        let behind = |direct: There| Self { proxy: Proxy::before(direct.server.port, Duration::ZERO), direct };
        There::both().into_iter().map(behind).collect()
    }

    /// A build through the proxy. A length that is another makes who reads wait for what never comes: not for long.
    fn build(&self, space: &Space, arguments: &[&str]) -> Built {
        let url = format!("grpc://127.0.0.1:{}", self.proxy.port);
        let mut command = command(space, &url, self.direct.instance, arguments);
        built(&command.env("EXPERT_BUILD_CACHE_REMOTE_TIMEOUT", "3").output().unwrap())
    }
}

/// Right packages and exit 0, or exit 3 where the server is required; and what was wrong was told.
fn required(behind: &Behind, space: &Space) {
    let refused = copy(space);
    let run = behind.build(&refused, &["--remote-required"]);
    assert_eq!(run.code, 3, "{run:#?}");
    let right = expected(space);
    assert!(refused.packages().iter().all(|(path, bytes)| right[path] == *bytes), "what is there is right");
}

#[test]
fn warm_builds_take_nothing_that_was_turned_on_its_way() {
    for behind in Behind::both() {
        let space = checkout();
        build_well(&space, &behind.direct, &[]);
        for every in [SELDOM, OFTEN, ALWAYS] {
            behind.proxy.turn_down(every);
            let other = copy(&space);
            let run = behind.build(&other, &[]);
            went_on(&run, &other);
            assert!(other.packages() == space.packages(), "{every}");
            required(&behind, &space);
        }
        behind.proxy.turn_down(0);
        let third = copy(&space);
        let run = behind.build(&third, &[]);
        assert_eq!((run.counts(), run.segments(), run.remote("errors")), ([0, 4, 0], 0, 0), "{run:#?}");
        assert!(third.packages() == space.packages());
    }
}

#[test]
fn cold_builds_are_right_whatever_the_server_is_told() {
    for behind in Behind::both() {
        for (number, every) in [SELDOM, OFTEN, ALWAYS].into_iter().enumerate() {
            let space = checkout();
            let text = format!("[workspace]\nmembers = [\"experts/*\"]\n[cache.remote]\nnamespace = \"{number}\"\n");
            space.write("Expertfile.toml", text);
            behind.proxy.turn_up(every);
            let run = behind.build(&space, &[]);
            assert_eq!(run.code, 0, "{run:#?}");
            assert!(run.notices().len() <= 1, "{run:#?}");
            let right = expected(&space);
            assert!(space.packages() == right, "{every}");
            // Whoever comes next finds what arrived whole, and nothing else; and what did not is sent then.
            behind.proxy.turn_up(0);
            for _ in 0..2 {
                let other = copy(&space);
                let run = behind.build(&other, &[]);
                assert_eq!(run.code, 0, "{run:#?}");
                assert!(other.packages() == right, "{every}");
            }
        }
    }
}

#[test]
fn cold_builds_are_right_whatever_the_server_answers() {
    for behind in Behind::both() {
        for (number, every) in [OFTEN, ALWAYS / 4].into_iter().enumerate() {
            let space = checkout();
            let text = format!("[workspace]\nmembers = [\"experts/*\"]\n[cache.remote]\nnamespace = \"{number}\"\n");
            space.write("Expertfile.toml", text);
            behind.proxy.turn_down(every);
            let run = behind.build(&space, &[]);
            assert_eq!(run.code, 0, "{run:#?}");
            assert!(space.packages() == expected(&space), "{every}");
        }
        assert!(BIG as u64 > SELDOM, "a big file is met for certain");
    }
}
