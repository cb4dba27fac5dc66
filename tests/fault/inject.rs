//! Every system call that touches a file fails once: no room, no permission, a disk that cannot read, names too long.

use crate::campaign::Campaign;
use crate::ground::{Ground, in_order};
use crate::strace::{self, Fault};

const BUILD: &[&str] = &["build", "-j", "2"];

/// How each call may fail.
fn errors(call: &str) -> &'static [&'static str] {
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
        _ => &["EIO"],
    }
}

#[test]
fn a_build_in_which_one_call_fails() {
    if !strace::is_there() {
        return;
    }
    let mut campaign = Campaign::new("errors, build");
    let mut ground = Ground::new("out-dir = \"dist\"\n", 1_200_000);
    let counts = strace::calls(&ground.space, BUILD);
    let mut faults = Vec::new();
    for (call, count) in &counts {
        for number in 1..=*count {
            faults.extend(errors(call).iter().map(|error| Fault { call, number, what: format!("error={error}") }));
        }
    }
    for fault in campaign.sample(faults, 70) {
        ground.begin(&mut campaign);
        let struck = strace::strike(&ground.space, BUILD, &fault);
        let Some(call) = struck.call else { continue };
        // The loader of shared libraries is not ours, and neither is a terminal that takes no words.
        if struck.ran.code == 127 || call.contains("(1<") || call.contains("(2<") {
            continue;
        }
        let mut outcome = in_order(&struck.ran, &[0, 3]).and_then(|()| ground.is_whole());
        if struck.ran.code == 0 {
            outcome = outcome.and_then(|()| ground.is_built());
        }
        let outcome = outcome.and_then(|()| ground.recovers()).and_then(|()| ground.cache_is_tidy());
        campaign.case(&format!("{}: {call}", fault.shown()), outcome);
    }
    campaign.finish();
}
