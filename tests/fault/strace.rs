//! `Strace`: kills the program, or makes a call of it fail, at the n-th system call of a kind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::space::{EXPERT_BUILD, Ran, Space, tool};

/// The system calls that touch files, and those that speak to another machine.
pub const CALLS: [&str; 27] = [
    "openat",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "unlink",
    "unlinkat",
    "fsync",
    "fdatasync",
    "fallocate",
    "ftruncate",
    "mkdir",
    "mkdirat",
    "flock",
    "utimensat",
    "fchmod",
    "statx",
    "getdents64",
    "connect",
    "sendto",
    "sendmsg",
    "writev",
    "recvfrom",
];

/// One fault: the call, which of them, and what happens to it (`signal=SIGKILL`, `error=ENOSPC`).
#[derive(Clone)]
pub struct Fault {
    pub call: &'static str,
    pub number: usize,
    pub what: String,
}

impl Fault {
    pub fn shown(&self) -> String {
        format!("{} at {} {}", self.what, self.call, self.number)
    }
}

/// In the place of a number: every call of the kind.
pub const EVERY: usize = 0;

/// What became of a run with a fault.
pub struct Struck {
    pub ran: Ran,
    /// The call that was struck, as strace shows it; `None` where the run made fewer calls.
    pub call: Option<String>,
    /// How many calls were struck: one in each thread that made so many.
    pub times: usize,
    /// Was one of them a word to the user?
    pub silenced: bool,
}

/// Is strace there, and may it trace?
pub fn is_there() -> bool {
    if tool("strace", &["-V"]).is_none() {
        return false;
    }
    let traces = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).status();
    let traces = traces.is_ok_and(|status| status.success());
    if !traces {
        eprintln!("SKIPPED: strace may not trace here");
    }
    traces
}

/// How often a thread of this run makes each call, at most.
pub fn calls(space: &Space, arguments: &[&str]) -> BTreeMap<&'static str, usize> {
    let log = space.outer("strace.log");
    let all = watching(&log);
    let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
    all.extend(arguments);
    space.run_as("strace", "", &all);
    counted(&log)
}

/// The arguments of strace, up to the program's own, that write down all calls.
pub fn watching(log: &Path) -> Vec<String> {
    let trace = format!("trace={}", CALLS.join(","));
    let log = log.display().to_string();
    ["-f", "-qq", "-o", &log, "-e", &trace, EXPERT_BUILD].map(str::to_owned).to_vec()
}

/// How often a thread made each call, at most, as was written down.
pub fn counted(log: &Path) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let name = call.trim_start().split('(').next().unwrap_or("");
        if let Some(name) = CALLS.iter().find(|known| **known == name) {
            *counts.entry((thread.to_owned(), name)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, name), count) in counts {
        let entry: &mut usize = most.entry(name).or_default();
        *entry = count.max(*entry);
    }
    assert!(most.contains_key("openat") && most.contains_key("write"), "strace saw nothing: {most:?}");
    most
}

/// The exit code of a run that was killed.
const KILLED: i32 = -1;

/// Runs the program with this fault.
pub fn strike(space: &Space, arguments: &[&str], fault: &Fault) -> Struck {
    strike_logged(space, arguments, fault, "strace.log")
}

/// The same with a log of this name, for runs at the same time.
pub fn strike_logged(space: &Space, arguments: &[&str], fault: &Fault, log: &str) -> Struck {
    let log = space.outer(log);
    let _ = std::fs::remove_file(&log);
    let all = striking(fault, &log);
    let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
    all.extend(arguments);
    struck(space.run_as("strace", "", &all), &log)
}

/// The arguments of strace, up to the program's own, that bring this fault about.
pub fn striking(fault: &Fault, log: &Path) -> Vec<String> {
    let log = log.display().to_string();
    let trace = format!("trace={}", fault.call);
    let when = if fault.number == EVERY { "1+".to_owned() } else { fault.number.to_string() };
    let inject = format!("inject={}:{}:when={when}", fault.call, fault.what);
    let mut all = vec!["-f", "-qq", "-y", "-o", &log, "-e", &trace, "-e", &inject];
    // With the filter, only this call stops the program, which is faster; but then no signal is delivered.
    all.extend(fault.what.starts_with("error").then_some("--seccomp-bpf"));
    all.push(EXPERT_BUILD);
    all.into_iter().map(str::to_owned).collect()
}

impl Struck {
    /// Is it nothing to learn from? The loader of shared libraries is not ours, and neither is a terminal that takes no words;
    /// and what wakes a thread is no file: it has no room to lack, and no disk that breaks.
    pub fn is_beside(&self) -> bool {
        let is_file = |call: &String| !call.contains("<anon_inode:");
        self.ran.code == 127 || self.silenced || !self.call.as_ref().is_none_or(is_file)
    }
}

/// What became of a run, by its end and what was written down.
pub fn struck(ran: Ran, log: &Path) -> Struck {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let call = match ran.code {
        KILLED => text.lines().rfind(|line| !line.contains("killed by SIGKILL")),
        _ => text.lines().find(|line| line.contains("(INJECTED)")),
    };
    let injected = || text.lines().filter(|line| line.contains("(INJECTED)"));
    let silenced = injected().any(|line| line.contains("(1<") || line.contains("(2<"));
    Struck { ran, call: call.map(str::to_owned), times: injected().count(), silenced }
}
