//! h2spec, the conformance suite of HTTP/2 and HPACK, against the gateway.
//!
//! All cases run, those of `--strict` included: over TLS, where ALPN chooses HTTP/2, and without
//! TLS, with prior knowledge. A case that fails is an entry of [`DEVIATIONS`] with its reason, or
//! fails the suite.
#![expect(clippy::print_stdout, reason = "names the cases that deviate")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::certificate::Certificate;
use super::gateway::Gateway;
use super::process::{self, flag};
use super::report::{Checks, Halt};
use super::{Setup, install, upstream};

pub(super) fn run(setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
    let programs = install::http2(setup)?;
    let dir = TempDir::new().context("no folder")?;
    let certificate =
        Certificate::create(dir.path()).map_err(|error| Halt::CouldNotRun(format!("{error:#}")))?;
    let upstream = format!("--upstream=http://{}", upstream::serve()?);
    let gateway = Gateway::serve(
        &setup.workspace.tollway()?,
        dir.path(),
        &[
            "--free",
            &upstream,
            "--tls-listen=127.0.0.1:0",
            &flag("--tls-cert", &certificate.chain),
            &flag("--tls-key", &certificate.key),
        ],
    )?;
    let http = gateway.addresses.http.port();
    let https = gateway.addresses.https.context("no TLS port")?.port();
    let h2spec = programs.join("h2spec");
    checks.check("h2c with prior knowledge", || {
        conform(&h2spec, http, &[], dir.path())
    })?;
    checks.check("TLS", || {
        conform(&h2spec, https, &["--tls", "--insecure"], dir.path())
    })
}

fn conform(h2spec: &Path, port: u16, flags: &[&str], dir: &Path) -> Result<()> {
    let file = dir.join(format!("h2spec-{port}.xml"));
    let mut command = Command::new(h2spec);
    command
        .args(["--strict", "--host=127.0.0.1", "--timeout=2"])
        .args(flags)
        .arg(format!("--port={port}"))
        .arg(flag("--junit-report", &file));
    // Its status is the same for every case that did not pass.
    let finished = process::finish(&mut command, PATIENCE)?;
    let xml = fs::read_to_string(&file)
        .with_context(|| format!("h2spec wrote no report: {}", finished.stdout))?;
    let cases = read(&xml);
    ensure!(cases.len() >= CASES_MIN, "only {} cases ran", cases.len());
    let mut unexpected = Vec::new();
    for case in cases.iter().filter(|case| case.verdict != Verdict::Passed) {
        match reason(case) {
            Some(reason) => println!("      {} {}: {reason}", case.section, case.title),
            None => unexpected.push(format!(
                "{} {}: {:?}",
                case.section, case.title, case.verdict
            )),
        }
    }
    println!("      {} cases", cases.len());
    ensure!(unexpected.is_empty(), "{}", unexpected.join("; "));
    Ok(())
}

/// Returns why a case is known not to pass.
fn reason(case: &Case) -> Option<&'static str> {
    DEVIATIONS
        .iter()
        .find(|deviation| case.section == deviation.section && case.title == deviation.title)
        .map(|deviation| deviation.reason)
}

/// One case of the report.
#[derive(Debug, Eq, PartialEq)]
struct Case {
    section: String,
    title: String,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// Reads a JUnit report, as far as h2spec writes it: one element on a line.
fn read(xml: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in xml.lines().map(str::trim) {
        if line.starts_with("<testcase ") {
            cases.push(Case {
                section: attribute(line, "package"),
                title: attribute(line, "classname"),
                verdict: Verdict::Passed,
            });
        }
        let Some(case) = cases.last_mut() else {
            continue;
        };
        if line.contains("<failure>") || line.contains("<error>") {
            case.verdict = Verdict::Failed;
        } else if line.contains("<skipped>") {
            case.verdict = Verdict::Skipped;
        }
    }
    cases
}

fn attribute(line: &str, name: &str) -> String {
    let begin = format!("{name}=\"");
    line.split_once(&begin)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or_else(String::new, |(value, _)| {
            value.replace("&#39;", "'").replace("&#34;", "\"")
        })
}

/// A case that does not pass, by design.
struct Deviation {
    section: &'static str,
    title: &'static str,
    reason: &'static str,
}

const DEVIATIONS: &[Deviation] = &[Deviation {
    section: "http2/3.5",
    title: "Sends invalid connection preface",
    reason: "without TLS both versions share the port: what is not the preface is read as \
             HTTP/1.1, answered with 400 and closed",
}];

/// The suite has 146; fewer in the report were not run.
const CASES_MIN: usize = 140;
/// Each case waits up to two seconds for the gateway.
const PATIENCE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<testsuites>
  <testsuite name="6.9.1. The Flow-Control Window" package="http2/6.9.1" id="6.9.1" tests="2">
    <testcase package="http2/6.9.1" classname="Sends a frame" time="0.0010"></testcase>
    <testcase package="http2/6.9.1" classname="Sends &#39;another&#39;" time="2.0010">
      <error>GOAWAY
Timeout</error>
    </testcase>
  </testsuite>
</testsuites>"#;

    #[test]
    fn a_case_with_an_error_has_failed() {
        let cases = read(REPORT);

        let verdicts: Vec<_> = cases.iter().map(|case| case.verdict).collect();
        assert_eq!(verdicts, [Verdict::Passed, Verdict::Failed]);
        assert_eq!(cases[1].section, "http2/6.9.1");
        assert_eq!(cases[1].title, "Sends 'another'");
    }
}
