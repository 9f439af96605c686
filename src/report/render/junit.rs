//! A summary as the XML of `JUnit`, which CI systems show: a test case for each gate, and one for whether anything was sent.

use std::fmt::Write as _;

use super::html::escaped;
use crate::report::schema::gates::GateState;
use crate::report::schema::summary::Summary;

/// What every file begins with.
pub const BEGINS: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"shadowtap";

/// Returns the gates of a run as test cases. A gate that was measured on too few samples has failed.
#[must_use]
pub fn report(summary: &Summary) -> String {
    let mut cases = String::new();
    let nothing = summary.nothing_sent();
    let mut failures = usize::from(nothing.is_some());
    case(&mut cases, "requests were sent", nothing.as_deref());
    for gate in &summary.gates {
        let why = (gate.state != GateState::Held).then_some(gate.reason.as_str());
        failures += usize::from(why.is_some());
        case(&mut cases, &gate.gate, why);
    }
    let (tests, time) = (summary.gates.len() + 1, summary.duration_s);
    let sentences = summary.verdict.iter().flat_map(|verdict| &verdict.sentences);
    let said = sentences.map(|sentence| text(&sentence.text)).collect::<Vec<_>>().join("\n");
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" time=\"{time:.3}\"");
    format!(
        "{BEGINS} {command}\" {counts}>\n  <testsuite name=\"shadowtap {command}\" {counts} timestamp=\"{started}\">\n{cases}    \
         <system-out>{said}</system-out>\n  </testsuite>\n</testsuites>\n",
        command = text(&summary.command),
        started = text(summary.started.split('.').next().unwrap_or_default()),
    )
}

fn case(out: &mut String, name: &str, failed: Option<&str>) {
    let name = text(name);
    match failed {
        None => writeln!(out, "    <testcase classname=\"shadowtap\" name=\"{name}\"/>"),
        Some(why) => writeln!(
            out,
            "    <testcase classname=\"shadowtap\" name=\"{name}\">\n      <failure message=\"{}\"/>\n    </testcase>",
            text(why)
        ),
    }
    .ok();
}

/// A text that XML can hold: without the control characters that it forbids.
fn text(text: &str) -> String {
    let allowed: String = text.chars().filter(|letter| !letter.is_control()).collect();
    escaped(&allowed).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::gates::GateResult;

    #[test]
    fn each_gate_is_a_case_and_too_few_samples_have_failed() {
        let mut summary = Summary { command: "replay".to_owned(), ..Summary::default() };
        let gate = |state, gate: &str| GateResult {
            state,
            gate: gate.into(),
            reason: "\"a\" < b\u{1}".into(),
            ..GateResult::default()
        };
        summary.gates = vec![gate(GateState::Held, "p99>1s"), gate(GateState::TooFew, "errors>0")];
        let xml = report(&summary);
        assert!(xml.starts_with(BEGINS) && xml.contains("tests=\"3\" failures=\"1\""), "{xml}");
        assert!(
            xml.contains("name=\"p99&gt;1s\"/>") && xml.contains("<failure message=\"&quot;a&quot; &lt; b\"/>"),
            "{xml}"
        );
    }
}
