//! `push` and `pull` are killed, and calls of them fail: a tag and a folder hold the old package or the new one, whole.

use crate::campaign::scale;
use crate::subject_registry::{Registry, Way};
use crate::{inject, kill, kill_calls, strace};

/// At any moment, at each call, and each call fails: all with one registry, as it takes longer to set up than a case.
fn strike(ways: [Way; 2]) {
    for mut registry in ways.into_iter().map_while(Registry::new) {
        kill::kill(&mut registry, scale(3, 100));
        if strace::is_there() {
            kill_calls::kill(&mut registry, 3, 150);
            inject::inject(&mut registry, 4, 250);
        }
    }
}

#[test]
fn pushes() {
    strike([Way::Push, Way::PushModelPack]);
}

#[test]
fn pulls() {
    strike([Way::Pull, Way::PullModelPack]);
}
