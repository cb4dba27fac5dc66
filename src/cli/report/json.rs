//! The report `json`: the run as one object.

use serde_json::json;

use crate::base::Severity;
use crate::cli::render::diagnostic::Look;
use crate::cli::render::json::Finding;
use crate::cli::report::Collector;

/// The report.
pub(super) fn report(collector: &Collector, code: u8, look: &Look) -> String {
    let findings: Vec<Finding<'_>> = collector.findings.iter().map(|found| Finding::new(found, look)).collect();
    let packages: Vec<_> = collector
        .packages
        .iter()
        .map(|package| {
            let mut package = package.clone();
            package.path = look.shown(&package.path);
            package
        })
        .collect();
    let stale: Vec<_> = collector
        .stale
        .iter()
        .map(|due| json!({ "expert": due.expert, "why": due.why, "cached": due.cached }))
        .collect();
    let mut totals = collector.finish.as_ref().map_or(json!({}), |finish| json!(finish));
    if let Some(totals) = totals.as_object_mut() {
        totals.shift_remove("reason");
    }
    let report = json!({
        "v": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "ok": code == 0,
        "exit_code": code,
        "errors": collector.count(Severity::Error),
        "warnings": collector.count(Severity::Warning),
        "totals": totals,
        "packages": packages,
        "stale": stale,
        "findings": findings,
        "failures": collector.failures,
    });
    format!("{report:#}\n")
}
