//! The rules of the trace-event format that Perfetto and chrome://tracing hold a trace to.
//!
//! From "Trace Event Format" (the document that both name as their source): slices of one thread nest, arrows have a
//! beginning before their end and each end lies in a slice, metadata says what it names.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a trace does wrong, in words.
pub fn faults(text: &str) -> Vec<String> {
    let Ok(trace) = serde_json::from_str::<Value>(text) else { return vec!["it is not JSON".into()] };
    let unit = trace.get("displayTimeUnit");
    let mut faults: Vec<String> = Vec::new();
    if !unit.is_none_or(|unit| unit == "ms" || unit == "ns") {
        faults.push(format!("displayTimeUnit {unit:?}"));
    }
    let Some(events) = trace["traceEvents"].as_array() else { return vec!["no array `traceEvents`".into()] };
    let mut slices: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    let mut arrows: BTreeMap<String, [Vec<(u64, u64)>; 2]> = BTreeMap::new();
    for event in events {
        let mut fault = |what: &str| faults.push(format!("{what}: {event}"));
        let number = |key: &str| event[key].as_u64();
        if number("pid").is_none() || !event["name"].is_string() {
            fault("each event has a pid and a name");
        }
        if event.get("args").is_some_and(|args| !args.is_object()) {
            fault("args are an object");
        }
        match (event["ph"].as_str(), number("ts"), number("tid")) {
            (Some("M"), _, tid) => {
                let kind = event["name"].as_str().unwrap_or_default();
                if !["process_name", "thread_name"].contains(&kind) || !event["args"]["name"].is_string() {
                    fault("metadata names a process or a thread");
                }
                if kind == "thread_name" && tid.is_none() {
                    fault("the name of a thread has a tid");
                }
            }
            (Some("X"), Some(ts), Some(tid)) => match number("dur") {
                Some(dur) => slices.entry(tid).or_default().push((ts, ts + dur)),
                None => fault("a slice has a duration"),
            },
            (Some(ph @ ("s" | "f")), Some(ts), Some(tid)) => {
                if event["id"].is_null() || !event["cat"].is_string() {
                    fault("an arrow has an id and a category");
                }
                if ph == "f" && event["bp"] != "e" {
                    fault("an arrow that ends at the slice around it says so");
                }
                arrows.entry(event["id"].to_string()).or_default()[usize::from(ph == "f")].push((ts, tid));
            }
            _ => fault("neither metadata, slice nor arrow, or without ts and tid"),
        }
    }
    for (tid, slices) in &mut slices {
        // The longest of those that begin together is around the others.
        slices.sort_by_key(|(start, end)| (*start, std::cmp::Reverse(*end)));
        let mut open: Vec<u64> = Vec::new();
        for (start, end) in slices {
            open.retain(|around| around > start);
            if open.iter().any(|around| around < end) {
                faults.push(format!("on thread {tid} the slice {start}..{end} overlaps the end of another"));
            }
            open.push(*end);
        }
    }
    for (id, [begins, ends]) in &arrows {
        let ([begin], [end]) = (&begins[..], &ends[..]) else {
            faults.push(format!("arrow {id} has {} beginnings and {} ends", begins.len(), ends.len()));
            continue;
        };
        if begin.0 > end.0 {
            faults.push(format!("arrow {id} ends before it begins"));
        }
        for (ts, tid) in [begin, end] {
            let holds = |(start, end): &(u64, u64)| start <= ts && ts <= end;
            if !slices.get(tid).is_some_and(|slices| slices.iter().any(holds)) {
                faults.push(format!("arrow {id} is at {ts} on thread {tid}, where no slice is"));
            }
        }
    }
    faults
}
