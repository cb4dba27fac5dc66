//! The report `junit`: a test case an expert. Findings that are errors fail it, others stand in its output.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::base::shown::escaped;
use crate::base::{At, Diagnostic};
use crate::cli::report::Collector;

/// The case of what concerns no single expert.
const REPO: &str = "(repository)";

/// The report.
pub(super) fn report(collector: &Collector) -> String {
    let mut cases: BTreeMap<&str, Case<'_>> = BTreeMap::new();
    for (expert, micros) in &collector.experts {
        cases.entry(expert).or_default().micros = *micros;
    }
    for found in &collector.findings {
        cases.entry(found.expert.as_deref().unwrap_or(REPO)).or_default().findings.push(found);
    }
    for failure in &collector.failures {
        cases.entry(failure.expert.as_deref().unwrap_or(REPO)).or_default().errors.push(&failure.message);
    }
    let failures = cases.values().filter(|case| case.findings.iter().any(|found| found.is_error())).count();
    let errors = cases.values().filter(|case| !case.errors.is_empty()).count();
    let time = seconds(cases.values().map(|case| case.micros).sum());
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{time}\"", cases.len());
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites name=\"expert-build\" {counts}>");
    let _ = writeln!(xml, "  <testsuite name=\"experts\" {counts} skipped=\"0\">");
    for (name, case) in &cases {
        case.write(name, &mut xml);
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

#[derive(Default)]
struct Case<'a> {
    micros: u64,
    findings: Vec<&'a Diagnostic>,
    errors: Vec<&'a str>,
}

impl Case<'_> {
    fn write(&self, name: &str, xml: &mut String) {
        let _ = write!(
            xml,
            "    <testcase classname=\"expert-build\" name=\"{}\" time=\"{}\"",
            escaped(name),
            seconds(self.micros)
        );
        if self.findings.is_empty() && self.errors.is_empty() {
            xml.push_str("/>\n");
            return;
        }
        xml.push_str(">\n");
        let (errors, rest): (Vec<&Diagnostic>, Vec<&Diagnostic>) =
            self.findings.iter().partition(|found| found.is_error());
        if let Some(first) = errors.first() {
            // Most readers show one failure a case.
            let all: Vec<String> = errors.iter().map(|found| text(found)).collect();
            let _ = writeln!(
                xml,
                "      <failure type=\"{}\" message=\"{}\">{}</failure>",
                first.code.name,
                escaped(&first.message),
                escaped(&all.join("\n"))
            );
        }
        if let Some(first) = self.errors.first() {
            let all = escaped(&self.errors.join("\n"));
            let _ = writeln!(xml, "      <error type=\"failure\" message=\"{}\">{all}</error>", escaped(first));
        }
        if !rest.is_empty() {
            let all: Vec<String> = rest.iter().map(|found| text(found)).collect();
            let _ = writeln!(xml, "      <system-out>{}</system-out>", escaped(&all.join("\n")));
        }
        xml.push_str("    </testcase>\n");
    }
}

/// A finding on one line, its help on the next.
fn text(found: &Diagnostic) -> String {
    let severity = format!("{:?}", found.severity).to_lowercase();
    let place = match (&found.file, &found.at) {
        (None, _) => String::new(),
        (Some(file), At::Text { line, column, .. }) => format!("{file}:{line}:{column}: "),
        (Some(file), At::Byte(at)) => format!("{file} (byte {at}): "),
        (Some(file), At::Tensor(name)) => format!("{file} ({name}): "),
        (Some(file), At::File) => format!("{file}: "),
    };
    let help = found.help.as_ref().map_or(String::new(), |help| format!("\n  help: {help}"));
    format!("{severity}[{}]: {place}{}{help}", found.code.name, found.message)
}

fn seconds(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros / 1000 % 1000)
}

#[cfg(test)]
mod tests {
    use super::report;
    use crate::base::codes::files::{FILE_MISSING, TRAINING_ARGS};
    use crate::base::{Diagnostic, Error};
    use crate::cli::report::Collector;

    #[test]
    fn one_case_an_expert() {
        let mut collector = Collector::default();
        collector.experts.insert("good".into(), 1_500_000);
        collector.experts.insert("bad".into(), 2000);
        let mut missing = Diagnostic::new(&FILE_MISSING, "`a<b>\u{1b}` is missing").in_file("manifest.json");
        missing.expert = Some("bad".into());
        let mut note = Diagnostic::new(&TRAINING_ARGS, "left out").help("do \"this\"");
        note.expert = Some("bad".into());
        collector.findings = vec![missing, note];
        collector.failed(None, &Error::Interrupted);
        insta::assert_snapshot!(report(&collector), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="expert-build" tests="3" failures="1" errors="1" time="1.502">
          <testsuite name="experts" tests="3" failures="1" errors="1" time="1.502" skipped="0">
            <testcase classname="expert-build" name="(repository)" time="0.000">
              <error type="failure" message="interrupted">interrupted</error>
            </testcase>
            <testcase classname="expert-build" name="bad" time="0.002">
              <failure type="file-missing" message="`a&lt;b&gt;\u{1b}` is missing">error[file-missing]: manifest.json: `a&lt;b&gt;\u{1b}` is missing</failure>
              <system-out>note[training-args-left-out]: left out&#10;  help: do &quot;this&quot;</system-out>
            </testcase>
            <testcase classname="expert-build" name="good" time="1.500"/>
          </testsuite>
        </testsuites>
        "#);
    }
}
