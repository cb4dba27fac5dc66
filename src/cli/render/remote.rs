//! What was asked of a remote cache, in a line for people.

use crate::base::event::RemoteUse;
use crate::cli::render::{bytes, count, duration};

/// How it was used and what it did: `remote read-only (pull request): 3 hits, 1 miss, …`.
pub fn used(used: &RemoteUse) -> String {
    let mut parts = vec![count(used.hits, "hit"), misses(used.misses), count(used.errors, "error")];
    if used.executed + used.fell_back > 0 {
        parts.push(format!("{} packed by workers", count(used.executed, "expert")));
    }
    if used.fell_back > 0 {
        parts.push(format!("{} packed here after all", used.fell_back));
    }
    if used.sent > 0 {
        parts.push(format!("{} sent", count(used.sent, "result")));
    }
    parts.push(format!("{} down, {} up", bytes(used.bytes_down), bytes(used.bytes_up)));
    parts.push(count(used.calls, "round trip"));
    parts.push(format!("{} saved", duration(used.saved_ms)));
    let all = if used.calls + used.errors > 0 { format!(": {}", parts.join(", ")) } else { String::new() };
    format!("remote {}{all}", used.mode)
}

/// `1 miss`, `2 misses`.
pub fn misses(number: u64) -> String {
    if number == 1 { "1 miss".to_owned() } else { format!("{number} misses") }
}

#[cfg(test)]
mod tests {
    use super::used;
    use crate::base::event::RemoteUse;

    #[test]
    fn a_line_says_how_it_was_used_and_what_it_did() {
        let off = RemoteUse { mode: "off: --offline".into(), ..RemoteUse::default() };
        assert_eq!(used(&off), "remote off: --offline");
        let mode = "read-only (pull request)".to_owned();
        let all = RemoteUse { mode, hits: 2, misses: 1, calls: 7, bytes_down: 2048, saved_ms: 1500, ..off };
        insta::assert_snapshot!(used(&all), @"remote read-only (pull request): 2 hits, 1 miss, 0 errors, 2.0 KiB down, 0 B up, 7 round trips, 1.50 s saved");
        let worked = RemoteUse { executed: 3, fell_back: 1, sent: 4, errors: 1, ..all };
        insta::assert_snapshot!(used(&worked), @"remote read-only (pull request): 2 hits, 1 miss, 1 error, 3 experts packed by workers, 1 packed here after all, 4 results sent, 2.0 KiB down, 0 B up, 7 round trips, 1.50 s saved");
    }
}
