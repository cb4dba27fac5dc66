//! `kill -9` at every system call that touches a file, of every verb that writes.

use std::collections::BTreeMap;

use crate::campaign::{Campaign, scale};
use crate::strace::{self, Fault};
use crate::subject::{Build, Cache, Lock, Subject};
use crate::subject_files::{Act, Keygen, OneFile, Package, ReadOnly};

/// A kill at every call of the run.
fn every(counts: &BTreeMap<&'static str, usize>) -> Vec<Fault> {
    let all = counts.iter().flat_map(|(call, count)| (1..=*count).map(move |number| (*call, number)));
    all.map(|(call, number)| Fault { call, number, what: "signal=SIGKILL".into() }).collect()
}

/// Kills it at calls drawn by chance until so many kills have landed. A run may make fewer calls than the one that was
/// counted, as more of its work was done or another thread took it: such a run is judged as well, and is no kill.
pub fn kill(subject: &mut dyn Subject, short: usize, long: usize) {
    let mut campaign = Campaign::new(subject.name());
    subject.prepare(&mut campaign);
    let counts = strace::calls(subject.space(), subject.arguments());
    let faults = campaign.some(every(&counts), usize::MAX, usize::MAX);
    let (wanted, mut landings, mut tries) = (scale(short, long).min(faults.len()), 0, 0);
    for fault in faults {
        if landings == wanted {
            break;
        }
        tries += 1;
        subject.prepare(&mut campaign);
        let struck = strace::strike(subject.space(), subject.arguments(), &fault);
        landings += usize::from(struck.call.is_some());
        let outcome = subject.is_whole().and_then(|()| subject.recovers());
        campaign.case(&format!("{} ({})", fault.shown(), struck.call.unwrap_or_default()), outcome);
    }
    eprintln!("kill at a call, {}: {landings} landed of {tries}", subject.name());
    let all = tries == counts.values().sum::<usize>();
    assert!(landings == wanted || (all && landings * 3 > tries), "only {landings} of {tries} were killed");
    campaign.finish();
}

#[test]
fn of_a_build() {
    if strace::is_there() {
        kill(&mut Build::new("build", "out-dir = \"dist\"\n", 1_200_000), 20, usize::MAX);
        kill(&mut Build::with_spare_cores("build of 9 MiB", 9 << 20), 4, 300);
    }
}

#[test]
fn of_signing_extracting_and_keys() {
    if strace::is_there() {
        for act in [Act::Sign, Act::Extract, Act::ExtractInto] {
            kill(&mut Package::new(act), 10, usize::MAX);
        }
        kill(&mut Keygen::new(), 12, usize::MAX);
    }
}

#[test]
fn of_the_cache_and_of_single_files() {
    if strace::is_there() {
        for mut verb in Cache::all() {
            kill(&mut verb, 3, 150);
        }
        kill(&mut Lock::new(), 5, 150);
        kill(&mut OneFile::package(), 5, 200);
        kill(&mut OneFile::fix(), 8, 200);
        kill(&mut OneFile::init(), 5, 200);
        let [_, _, _, mut repro] = ReadOnly::all();
        kill(&mut repro, 4, 150);
    }
}
