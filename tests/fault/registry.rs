//! `push` and `pull` are killed, and calls of them fail: a tag and a folder hold the old package or the new one, whole.

use crate::campaign::scale;
use crate::subject_registry::{Registry, Way};
use crate::{inject, kill, kill_calls, strace};

const WAYS: [Way; 4] = [Way::Push, Way::PushModelPack, Way::Pull, Way::PullModelPack];

#[test]
fn killed_at_any_moment() {
    for mut registry in WAYS.into_iter().map_while(Registry::new) {
        kill::kill(&mut registry, scale(3, 100));
    }
}

#[test]
fn killed_at_a_call() {
    if strace::is_there() {
        for mut registry in WAYS.into_iter().map_while(Registry::new) {
            kill_calls::kill(&mut registry, 3, 150);
        }
    }
}

#[test]
fn one_call_fails() {
    if strace::is_there() {
        for mut registry in WAYS.into_iter().map_while(Registry::new) {
            inject::inject(&mut registry, 4, 250);
        }
    }
}
