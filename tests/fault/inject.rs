//! Every system call that touches a file fails once: no room, no permission, a disk that cannot read, names too long.

use std::collections::BTreeMap;

use crate::campaign::Campaign;
use crate::ground::{errors, in_order};
use crate::strace::{self, Fault, Struck};
use crate::subject::{Build, Cache, Lock, Subject};
use crate::subject_files::{Act, Keygen, OneFile, Package, ReadOnly};

/// How each call may fail.
fn ways(call: &str) -> &'static [&'static str] {
    match call {
        "openat" => &["ENOSPC", "EACCES", "EROFS", "EMFILE", "EIO", "ENAMETOOLONG"],
        "write" | "pwrite64" => &["ENOSPC", "EIO", "EDQUOT"],
        "read" | "pread64" | "getdents64" => &["EIO"],
        "rename" | "renameat" | "renameat2" | "linkat" => &["EACCES", "ENOSPC", "EROFS", "EIO"],
        "fsync" | "fdatasync" => &["EIO", "ENOSPC"],
        "fallocate" => &["ENOSPC", "EOPNOTSUPP", "EDQUOT"],
        "mkdir" | "mkdirat" => &["ENOSPC", "EACCES", "EROFS", "ENAMETOOLONG"],
        "flock" => &["ENOLCK", "EOPNOTSUPP"],
        "unlink" | "unlinkat" | "utimensat" | "fchmod" => &["EACCES", "EROFS"],
        "statx" => &["EACCES", "EIO"],
        "connect" => &["ECONNREFUSED", "ENETUNREACH", "ETIMEDOUT"],
        "sendto" | "sendmsg" | "writev" => &["EPIPE", "ECONNRESET"],
        "recvfrom" => &["ECONNRESET", "ETIMEDOUT"],
        _ => &["EIO"],
    }
}

/// Each way in which each call of a run may fail.
pub fn faults(counts: &BTreeMap<&'static str, usize>) -> Vec<Fault> {
    let numbered = counts.iter().flat_map(|(call, count)| (1..=*count).map(move |number| (*call, number)));
    let each = |(call, number): (&'static str, usize)| {
        ways(call).iter().map(move |error| Fault { call, number, what: format!("error={error}") })
    };
    numbered.flat_map(each).collect()
}

pub fn inject(subject: &mut dyn Subject, short: usize, long: usize) {
    let mut campaign = Campaign::new(subject.name());
    subject.prepare(&mut campaign);
    let faults = faults(&strace::calls(subject.space(), subject.arguments()));
    let mut failures = 0;
    for fault in campaign.some(faults, short, long) {
        subject.prepare(&mut campaign);
        let struck = strace::strike(subject.space(), subject.arguments(), &fault);
        let Some(call) = struck.call.clone() else { continue };
        if struck.is_beside() {
            continue;
        }
        failures += usize::from(struck.ran.code != 0);
        campaign.case(&format!("{}: {call}", fault.shown()), outcome(subject, &struck));
    }
    eprintln!("errors, {}: {failures} runs failed", subject.name());
    campaign.finish();
}

fn outcome(subject: &mut dyn Subject, struck: &Struck) -> Result<(), String> {
    in_order(&struck.ran, subject.codes())?;
    // strace counts the calls of each thread, so each may have met with its own.
    if errors(&struck.ran) > struck.times {
        return Err(format!("{} failing calls and more errors: {}", struck.times, struck.ran.shown()));
    }
    subject.is_whole()?;
    if struck.ran.code == 0 {
        subject.is_done()?;
    }
    subject.recovers()
}

#[test]
fn a_build_in_which_one_call_fails() {
    if strace::is_there() {
        inject(&mut Build::new("build", "out-dir = \"dist\"\n", 1_200_000), 24, usize::MAX);
    }
}

/// What is packed gets its name only when the package is written.
#[test]
fn a_build_with_a_big_file_in_which_one_call_fails() {
    if strace::is_there() {
        inject(&mut Build::with_spare_cores("build of 9 MiB", 9 << 20), 6, 600);
    }
}

#[test]
fn packages_and_keys_when_one_call_fails() {
    if strace::is_there() {
        for act in [Act::Sign, Act::Extract, Act::ExtractInto] {
            inject(&mut Package::new(act), 10, 400);
        }
        inject(&mut Keygen::new(), 12, 400);
        for mut verb in ReadOnly::all() {
            inject(&mut verb, 4, 200);
        }
    }
}

#[test]
fn the_cache_and_single_files_when_one_call_fails() {
    if strace::is_there() {
        for mut verb in Cache::all() {
            inject(&mut verb, 5, 250);
        }
        inject(&mut Lock::new(), 10, 250);
        inject(&mut OneFile::package(), 6, 300);
        inject(&mut OneFile::fix(), 8, 300);
        inject(&mut OneFile::init(), 6, 200);
    }
}
