//! JSON: what we read is what serde_json reads, and it is written so that both read it again.

use expert_build::check::companions;
use expert_build::format::adapter_config::AdapterConfig;
use expert_build::format::json::{self, FaultKind, Node, Value};
use expert_build::format::json_diff::diff;
use expert_build::format::json_write::{canonical, pretty};
use expert_build::format::model_config::ModelConfig;

use super::sound::sound;

/// Reads `data` as JSON and as each JSON file that stands beside weights.
pub fn json(data: &[u8]) {
    let theirs = serde_json::from_slice::<serde_json::Value>(data);
    match json::parse(data) {
        Ok(value) => {
            match &theirs {
                Ok(theirs) => assert!(same(&value, theirs), "{value:?}\n{theirs:?}"),
                Err(fault) => {
                    let text = fault.to_string();
                    assert!(text.contains("out of range") || text.contains("recursion"), "only we read it: {text}");
                }
            }
            let again = json::parse(pretty(&value).as_bytes()).expect("what is written can be read");
            assert!(diff(&value, &again).is_empty());
            assert_eq!(pretty(&again), pretty(&value));
            let canon = canonical(&value);
            let again = json::parse(canon.as_bytes()).expect("what is written can be read");
            assert_eq!(canonical(&again), canon, "there is one canonical form");
            AdapterConfig::read(value.clone());
            ModelConfig::read(&value);
        }
        Err(fault) => {
            assert!(fault.malformed.at <= data.len() as u64, "{fault:?}");
            sound(&[fault.finding(data, "a.json")]);
            let stricter = fault.kind != FaultKind::Syntax || fault.malformed.what.contains("deeper");
            assert!(stricter || theirs.is_err(), "serde_json reads it: {fault:?}");
        }
    }
    let companion = companions::read(data, "tokenizer.json");
    sound(&companion.found);
    let walked = companions::walk(data, "tokenizer.json");
    // The walk knows no duplicate keys; what it refuses the reading refuses.
    assert!(walked.is_none() || !companion.found.is_empty(), "{walked:?}");
    sound(walked.as_slice());
}

fn same(ours: &Value, theirs: &serde_json::Value) -> bool {
    use serde_json::Value as Theirs;
    match (&ours.node, theirs) {
        (Node::Null, Theirs::Null) => true,
        (Node::Bool(a), Theirs::Bool(b)) => a == b,
        (Node::String(a), Theirs::String(b)) => **a == **b,
        (Node::Number(a), Theirs::Number(b)) => match (ours.as_u64(), b.as_u64()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            // serde_json's quick way to a double may be off by one unit in the last place.
            _ => a.parse::<f64>().ok().zip(b.as_f64()).is_some_and(|(a, b)| (a - b).abs() <= a.abs() * 1e-15),
        },
        (Node::Array(a), Theirs::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Node::Object(a), Theirs::Object(b)) => {
            a.len() == b.len() && a.iter().all(|member| b.get(&*member.key).is_some_and(|b| same(&member.value, b)))
        }
        _ => false,
    }
}
