//! Steps of the demo, as they are printed: each with the time it took.

use std::env;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tollway_client::{Event, Presented};

use crate::output::Output;
use crate::paths;

/// Prints steps with the time since the one before.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    output: Output,
    last: Arc<Mutex<Instant>>,
}

impl Steps {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            last: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// A step is done.
    pub(super) fn done(&self, step: &str, what: &str) {
        let took = self.lap();
        let millis = took.as_secs_f64() * 1_000.0;
        let text = format!("{millis:>8.1} ms  {step:<10}  {what}");
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // The demonstration goes on without its reader.
        let _unread = self.output.line(
            &text,
            &json!({ "step": step, "what": what, "micros": micros }),
        );
    }

    /// One step of the paying client.
    pub(super) fn show(&self, event: &Event) {
        match event {
            Event::Sending {
                origin,
                path,
                presented: Presented::Nothing,
                ..
            } => {
                self.done("request", &format!("GET {origin}{path}"));
            }
            Event::Sending {
                presented: Presented::Bought(_) | Presented::Stored(_),
                ..
            } => {
                self.done("request", "the same once more, with the credential");
            }
            Event::Responded { status } => self.done("answer", &status.to_string()),
            Event::Quoted {
                price,
                network,
                payment_hash,
                ..
            } => {
                self.done(
                    "invoice",
                    &format!("{price} on {network}, payment hash {payment_hash}"),
                );
            }
            Event::Reserved { price, fee_max, .. } => {
                self.done(
                    "reserved",
                    &format!("{price} and at most {fee_max} of fees, written down before paying"),
                );
            }
            Event::Paying { .. } => self.done("payment", "sent through the buyer's node"),
            Event::Paid {
                price,
                fee,
                payment_hash,
                ..
            } => {
                self.done(
                    "preimage",
                    &format!("received for {price}, fee {fee}; it hashes to {payment_hash}"),
                );
            }
            Event::Kept { .. } => self.done("credential", "token and preimage, kept for next time"),
            Event::BookBusy { .. }
            | Event::Challenged { .. }
            | Event::InUse { .. }
            | Event::NotKept { .. }
            | Event::Redirected { .. }
            | Event::Refused { .. }
            | Event::Replacing { .. }
            | Event::Reoffered { .. }
            | Event::SecondAuthorization { .. }
            | Event::Resumed { .. }
            | Event::Retrying { .. }
            | Event::Waiting { .. } => {}
        }
    }

    /// Prints how to try it by hand, with the program as it was started.
    pub(super) fn invite(&self, url: &str) {
        let command = format!("{} get {url}", program());
        let _unread = self.output.line(
            &format!("\nStill serving. Try it from a second terminal:\n\n    {command}\n\nCtrl-C stops it."),
            &json!({ "step": "serving", "url": url, "command": command }),
        );
    }

    fn lap(&self) -> Duration {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let took = now.duration_since(*last);
        *last = now;
        took
    }
}

/// Returns the beginning of a command line that starts this program again: its name as it was
/// typed, and the directory of its state if that is not the usual one.
fn program() -> String {
    let name = env::args_os().next().unwrap_or_else(|| "tollway".into());
    let name = quoted(&name.to_string_lossy());
    match paths::home() {
        Some(home) => format!("TOLLWAY_HOME={} {name}", quoted(&home.to_string_lossy())),
        None => name,
    }
}

/// Returns a word as a shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%=,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(quoted("/usr/bin/tollway"), "/usr/bin/tollway");
        assert_eq!(quoted("/my files/it's"), r"'/my files/it'\''s'");
    }
}
