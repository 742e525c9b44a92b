//! Output of a command: lines for people, JSON for programs.
//!
//! Results go to standard output, everything else goes to standard error, so that a body
//! can be piped. A result that cannot be written is a failure of its command, except where
//! the reader has closed the pipe: it has read what it wanted.
//!
//! Hidden characters in a line for people are escaped: parts of it may come from a server, and
//! would command the terminal or reorder the line.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use serde_json::{Value, json};
use tollway_client::is_hidden;

use crate::exit::{Failure, FailureKind};
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
    pub(crate) fn line(self, text: &str, json: &Value) -> Result<(), Failure> {
        match self {
            Self::Human => print(&visible(text)),
            Self::Json => print(&json.to_string()),
        }
    }

    /// Prints named facts, aligned for people.
    pub(crate) fn report(self, lines: &[(String, String)], json: &Value) -> Result<(), Failure> {
        if self == Self::Json {
            return print(&json.to_string());
        }
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in lines {
            print(&visible(&format!("{name:width$}  {value}")))?;
        }
        Ok(())
    }

    /// Prints progress on standard error.
    pub(crate) fn note(self, text: &str) {
        if self == Self::Human {
            eprint(&visible(text));
        }
    }

    /// Prints on standard error why the command failed and what was paid before.
    pub(crate) fn failure(self, failure: &Failure) {
        if self == Self::Json {
            return eprint(&failure_json(failure).to_string());
        }
        if failure.kind() == FailureKind::OutputClosed {
            // `| head` is an ordinary way to end.
            return;
        }
        eprint(&visible(&format!("tollway: {failure}")));
        for payment in failure.payments() {
            eprint(&visible(&format!("tollway: {}", payment.to_line())));
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

/// Prints a line.
///
/// # Errors
///
/// Fails when the line cannot be written, other than because its reader closed the pipe.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    written_or_left(write_line(line)).map_err(|error| unwritten(&error))
}

/// Prints a line that may have cost money.
///
/// # Errors
///
/// Fails when the line cannot be written, for whatever reason.
pub(crate) fn print_whole(line: &str) -> Result<(), Failure> {
    write_line(line).map_err(|error| unwritten(&error))
}

fn write_line(line: &str) -> io::Result<()> {
    stdout()?.write_all(format!("{line}\n").as_bytes())
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(
        kind_of_unwritten(error),
        format!("cannot write to standard output: {error}"),
    )
}

/// Returns the kind of the failure to write an output.
pub(crate) fn kind_of_unwritten(error: &io::Error) -> FailureKind {
    if error.kind() == io::ErrorKind::BrokenPipe {
        FailureKind::OutputClosed
    } else {
        FailureKind::General
    }
}

/// Returns standard output without a buffer, as a file of its own.
pub(crate) fn stdout() -> io::Result<Blocking> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(Blocking(File::from(stdout)))
}

/// Returns success when the reader closed the pipe: it has read what it wanted.
pub(crate) fn written_or_left(written: io::Result<()>) -> io::Result<()> {
    written.or_else(|error| {
        let is_left = error.kind() == io::ErrorKind::BrokenPipe;
        if is_left { Ok(()) } else { Err(error) }
    })
}

/// A file whose writes wait until it can take more.
///
/// Another process may have set O_NONBLOCK on a pipe that it shares with this one; that it is
/// full is then an error of the system, and none of a body that is longer than the pipe.
#[derive(Debug)]
pub(crate) struct Blocking(pub(crate) File);

impl io::Write for Blocking {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut full = [PollFd::new(&self.0, PollFlags::OUT)];
                    match rustix::event::poll(&mut full, None) {
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns a text whose hidden characters, but for line ends, are escaped.
fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| is_hidden(c) && c != '\n';
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
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
