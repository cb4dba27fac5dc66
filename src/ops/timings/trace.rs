//! The Chrome trace: `{"traceEvents": […]}` in microseconds, as Perfetto and chrome://tracing open it.

use serde_json::{Value, json};

use crate::ops::timings::Timings;

/// The trace of a run: a slice for each task on its thread, arrows along the critical path.
pub fn trace(timings: &Timings) -> String {
    let name = format!("expert-build {}", timings.version);
    let mut events = vec![json!({ "ph": "M", "pid": 1, "name": "process_name", "args": { "name": name } })];
    events.extend((0..timings.jobs).map(|thread| {
        let name = format!("worker {thread}");
        json!({ "ph": "M", "pid": 1, "tid": thread, "name": "thread_name", "args": { "name": name } })
    }));
    events.extend(timings.tasks.iter().map(|ran| {
        json!({
            "ph": "X", "pid": 1, "tid": ran.thread, "ts": ran.start, "dur": ran.end - ran.start,
            "name": format!("{} {}", ran.task, timings.experts[ran.expert]), "cat": ran.task,
            "args": {
                "expert": timings.experts[ran.expert], "subject": ran.subject, "why": timings.reasons[ran.why],
                "status": ran.status, "bytes_read": ran.read, "segments_made": ran.made,
                "segments_reused": ran.reused,
            },
        })
    }));
    for (number, pair) in timings.critical.windows(2).enumerate() {
        let arrow = |ph: &str, at: usize, ts: u64| {
            json!({
                "ph": ph, "pid": 1, "tid": timings.tasks[at].thread, "ts": ts, "id": number, "bp": "e",
                "name": "critical path", "cat": "critical",
            })
        };
        let (from, to) = (pair[0], pair[1]);
        // An arrow begins inside its slice, or nobody knows whose it is.
        let end = timings.tasks[from].end.saturating_sub(1).max(timings.tasks[from].start);
        events.extend([arrow("s", from, end), arrow("f", to, timings.tasks[to].start)]);
    }
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    format!("{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{}\n]}}\n", lines.join(",\n"))
}
