//! What is printed, and for whom: lines for people, JSON for programs.
//!
//! Results go to standard output, everything about how they came to be goes to standard
//! error, so that a body can be piped.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::{Value, json};

use crate::exit::Failure;

/// Whom the output is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Output {
    Human,
    Json,
}

impl Output {
    /// JSON when asked for, lines otherwise.
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

    /// Says on standard error what happens meanwhile.
    pub(crate) fn note(self, text: &str) {
        if self == Self::Human {
            eprint(text);
        }
    }

    /// Says on standard error why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        match self {
            Self::Human => eprint(&format!("tollway: {failure}")),
            Self::Json => eprint(
                &json!({
                    "error": true,
                    "code": failure.kind().word(),
                    "exit_code": failure.kind().code(),
                    "message": failure.to_string(),
                })
                .to_string(),
            ),
        }
    }
}

/// True when somebody sits in front of standard error.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Prints a line; a reader that went away is not an error of ours.
pub(crate) fn print(line: &str) {
    let mut stdout = io::stdout().lock();
    let _closed_pipe = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn eprint(line: &str) {
    let _closed_pipe = writeln!(io::stderr().lock(), "{line}");
}
