//! Output of a command: lines for people, JSON for programs.
//!
//! Results go to standard output, everything else goes to standard error, so that a body
//! can be piped.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::exit::Failure;
use crate::payment;

/// The form of the output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Output {
    Human,
    Json,
}

impl Output {
    /// Returns JSON when asked for, lines otherwise.
    pub(crate) const fn json_if(json: bool) -> Self {
        if json { Self::Json } else { Self::Human }
    }

    /// Prints one result.
    pub(crate) fn line(self, text: &str, json: &Value) {
        match self {
            Self::Human => print(text),
            Self::Json => print(&json.to_string()),
        }
    }

    /// Prints named facts, aligned for people.
    pub(crate) fn report(self, lines: &[(String, String)], json: &Value) {
        if self == Self::Json {
            return print(&json.to_string());
        }
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in lines {
            print(&format!("{name:width$}  {value}"));
        }
    }

    /// Prints items: one line each for people, an object with an array for programs.
    pub(crate) fn list(
        self,
        items: &[Value],
        none: &str,
        to_line: impl Fn(&Value) -> String,
        name: &str,
    ) {
        if self == Self::Json {
            return print(&json!({ name: items }).to_string());
        }
        if items.is_empty() {
            print(none);
        }
        for item in items {
            print(&to_line(item));
        }
    }

    /// Prints progress on standard error.
    pub(crate) fn note(self, text: &str) {
        if self == Self::Human {
            eprint(text);
        }
    }

    /// Prints on standard error why the command failed and what was paid before.
    pub(crate) fn failure(self, failure: &Failure) {
        if self == Self::Json {
            return eprint(&failure_json(failure).to_string());
        }
        eprint(&format!("tollway: {failure}"));
        for payment in failure.payments() {
            eprint(&format!("tollway: {}", payment.to_line()));
        }
    }
}

/// Warnings are printed as they arise for people, and are part of the result for programs.
fn failure_json(failure: &Failure) -> Value {
    let mut result = json!({
        "error": true,
        "code": failure.kind().name(),
        "exit_code": failure.kind().code(),
        "message": failure.to_string(),
        "warnings": failure.warnings(),
    });
    if let Some(object) = result.as_object_mut() {
        let details = failure.details().iter().cloned();
        object.extend(details.map(|(name, value)| (name.to_owned(), value)));
    }
    payment::insert_into(&mut result, failure.payments());
    result
}

/// Returns true when standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Prints a line; a reader that went away is not an error of ours.
pub(crate) fn print(line: &str) {
    let mut stdout = io::stdout().lock();
    let _closed_pipe = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Prints a line on standard error, without waiting for a reader that has stopped reading.
fn eprint(line: &str) {
    let line = format!("{line}\n");
    let (written, done) = mpsc::channel::<()>();
    let thread = thread::Builder::new().spawn(move || {
        let _closed_pipe = io::stderr().lock().write_all(line.as_bytes());
        drop(written);
    });
    if thread.is_ok() {
        let _written_or_late = done.recv_timeout(STDERR_TIMEOUT);
    }
}

const STDERR_TIMEOUT: Duration = Duration::from_secs(1);
