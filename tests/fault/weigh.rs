//! `weigh`: runs the program under the clock and says the most memory it ever had.

use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::space::{EXPERT_BUILD, Space};

/// The program whose time and memory count: another one than the tests' own, as one that is optimised, where
/// `EXPERT_BUILD_FAULTS_PROGRAM` names it.
pub fn program() -> &'static str {
    static PROGRAM: LazyLock<String> =
        LazyLock::new(|| std::env::var("EXPERT_BUILD_FAULTS_PROGRAM").unwrap_or_else(|_| EXPERT_BUILD.to_owned()));
    &PROGRAM
}

/// Is it an optimised one?
pub fn is_optimised() -> bool {
    program() != EXPERT_BUILD
}

/// A run that ended by itself.
#[derive(Debug, Clone)]
pub struct Weighed {
    pub code: i32,
    /// The most memory that it had at a time, in KiB.
    pub peak: u64,
    pub took: Duration,
    pub stderr: String,
}

/// Runs it for at most so long. A bug and a signal are errors.
///
/// The kernel keeps the peak itself (`VmHWM`), so nothing is missed between two looks but what grew after the last one, two
/// milliseconds before the end. What `wait4` tells is no use: it counts the memory of the process that started the
/// program as well, which it still was before `exec`.
pub fn weigh(space: &Space, program: &str, arguments: &[&str], longest: Duration) -> Result<Weighed, String> {
    let began = Instant::now();
    let mut command: Command = space.command(program, "", arguments);
    let errors = std::fs::File::create(space.outer("stderr")).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(errors).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().split(' ').next()).and_then(|number| number.parse().ok());
            peak = peak.max(kib.unwrap_or(0));
        }
        if let Some(status) = child.try_wait().unwrap() {
            let stderr = String::from_utf8_lossy(&std::fs::read(space.outer("stderr")).unwrap()).into_owned();
            let code = status.code().ok_or_else(|| format!("{status}: {stderr}"))?;
            if code == 101 || stderr.contains("internal error") || stderr.contains("panicked") {
                return Err(stderr);
            }
            return Ok(Weighed { code, peak, took: began.elapsed(), stderr });
        }
        if began.elapsed() > longest {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("it hangs: not done after {longest:?}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
