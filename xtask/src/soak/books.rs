//! Books of a soak: what the clients sent, and what the gateway logged of it.
//!
//! Both know a request by its id, so that the books balance request by request: each one that was
//! sent was responded to, aborted, or lost before the gateway read it, and logged at most once.
#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::metrics::{Metrics, STATUS_CLASSES};

/// Both books, compared.
#[derive(Debug, Default)]
pub(super) struct Books {
    clients: BTreeMap<String, Client>,
    /// How many requests ended in which way, for the client and in the log.
    pairs: BTreeMap<(&'static str, String), u64>,
    /// Requests of which client and log differ.
    contradictions: Vec<String>,
    /// Requests without a response on kept connections, with the errors.
    lost: Vec<String>,
    logged: Logged,
}

/// The requests of one kind of client.
#[derive(Debug, Default)]
struct Client {
    sent: u64,
    answered: u64,
    aborted: u64,
    lost: u64,
    statuses: BTreeMap<u16, u64>,
}

/// All lines of the log.
#[derive(Debug, Default)]
struct Logged {
    lines: u64,
    /// Lines with ids that are not in the clients' book.
    of_others: u64,
    /// Responses by the class of their status.
    responded: BTreeMap<String, u64>,
    /// Responses by how they ended.
    ended: BTreeMap<String, u64>,
    /// Requests without a response by how they ended.
    aborted: BTreeMap<String, u64>,
}

/// How a request ended for its client, as `tollway-bench soak` writes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// With a complete response of this status.
    Complete(u16),
    /// In the middle of a response of this status.
    Cut(u16),
    /// The client left it.
    Left,
    /// Without a response.
    Failed,
    /// The same on a kept connection.
    Lost,
}

/// A line of the access log.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    status: Option<u16>,
    ended: String,
    request_id: Option<String>,
}

impl Books {
    /// Reads the clients' book and the gateway's log.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or lines of the log are missing.
    pub(super) fn read(book: &Path, log: &Path) -> Result<Self> {
        let (mut sent, mut lost) = (HashMap::new(), Vec::new());
        for line in lines(book)? {
            let line = line?;
            let (id, outcome) = line.split_once(' ').context("a line without an outcome")?;
            let outcome = Outcome::parse(outcome).with_context(|| line.clone())?;
            if outcome == Outcome::Lost {
                lost.push(line.clone());
            }
            ensure!(sent.insert(id.to_owned(), outcome).is_none(), "{id} twice");
        }
        let mut books = Self {
            lost,
            ..Self::default()
        };
        for line in lines(log)? {
            let line = line?;
            ensure!(!line.contains("lines of the log were dropped"), line);
            if let Some(line) = Line::parse(&line)? {
                books.add_logged(&line, &mut sent)?;
            }
        }
        for (id, outcome) in sent {
            books.add(&id, outcome, None)?;
        }
        Ok(books)
    }

    /// Returns how many requests were logged.
    pub(super) const fn logged(&self) -> u64 {
        self.logged.lines
    }

    fn add_logged(&mut self, line: &Line, sent: &mut HashMap<String, Outcome>) -> Result<()> {
        let logged = &mut self.logged;
        up(&mut logged.lines);
        match line.status {
            Some(status) => {
                let class = usize::from(status.div_euclid(100)).saturating_sub(1);
                let class = STATUS_CLASSES.get(class).context("a status of no class")?;
                up(logged.responded.entry((*class).to_owned()).or_default());
                up(logged.ended.entry(line.ended.clone()).or_default());
            }
            None => up(logged.aborted.entry(line.ended.clone()).or_default()),
        }
        let id = line.request_id.as_deref().unwrap_or_default();
        match sent.remove(id) {
            Some(outcome) => self.add(id, outcome, Some(line)),
            None if id.contains(':') => bail!("{id} is logged twice, or was not sent"),
            None => {
                up(&mut self.logged.of_others);
                Ok(())
            }
        }
    }

    fn add(&mut self, id: &str, outcome: Outcome, line: Option<&Line>) -> Result<()> {
        let (name, _number) = id.split_once(':').context("an id without a client")?;
        let client = self.clients.entry(name.to_owned()).or_default();
        up(&mut client.sent);
        match line.map(|line| line.status) {
            Some(Some(status)) => {
                up(&mut client.answered);
                up(client.statuses.entry(status).or_default());
            }
            Some(None) => up(&mut client.aborted),
            None => up(&mut client.lost),
        }
        let in_log = line.map_or("not read".to_owned(), Line::words);
        if !outcome.agrees_with(name, line) {
            self.contradictions
                .push(format!("{id}: {outcome:?}, but {in_log}"));
        }
        up(self.pairs.entry((outcome.word(), in_log)).or_default());
        Ok(())
    }

    /// Prints the requests of each client, and how they ended.
    pub(super) fn print(&self) {
        println!("\n| client | sent | = answers | + aborts | + lost | statuses |");
        println!("|---|---:|---:|---:|---:|---|");
        for (name, client) in &self.clients {
            let statuses: Vec<_> = client
                .statuses
                .iter()
                .map(|(status, times)| format!("{times} × {status}"))
                .collect();
            println!(
                "| {name} | {} | {} | {} | {} | {} |",
                client.sent,
                client.answered,
                client.aborted,
                client.lost,
                statuses.join(", ")
            );
        }
        println!("\n| for the client | in the access log | requests |\n|---|---|---:|");
        for ((outcome, in_log), times) in &self.pairs {
            println!("| {outcome} | {in_log} | {times} |");
        }
        println!();
        for lost in self.lost.iter().take(SHOWN_MAX) {
            println!("- {lost}");
        }
    }

    /// Compares the books with each other and with the gateway's counters. `before` are those from
    /// before the clients sent anything.
    ///
    /// # Errors
    ///
    /// When they differ in anything.
    pub(super) fn balance(&self, before: &Metrics, metrics: &Metrics) -> Result<String> {
        let few = self.contradictions.iter().take(SHOWN_MAX);
        let few: Vec<_> = few.map(String::as_str).collect();
        ensure!(
            few.is_empty(),
            "{} contradictions: {}",
            self.contradictions.len(),
            few.join("; ")
        );
        let logged = &self.logged;
        let of_others = before.sum(BEGUN);
        ensure!(
            logged.of_others == of_others,
            "{} lines are of no client, {of_others} requests were earlier",
            logged.of_others
        );
        let begun = metrics.sum(BEGUN);
        ensure!(
            logged.lines == begun,
            "{} lines, {begun} begun",
            logged.lines
        );
        for (name, label, lines) in [
            (RESPONDED, "status", &logged.responded),
            (ENDED, "ended", &logged.ended),
            (ABORTED, "ended", &logged.aborted),
        ] {
            let counted = metrics.by_label(name, label);
            ensure!(*lines == counted, "{name}: {lines:?} logged, {counted:?}");
        }
        let sum = |count: fn(&Client) -> u64| self.clients.values().map(count).sum::<u64>();
        let [sent, answered, aborted, lost] = [
            sum(|client| client.sent),
            sum(|client| client.answered),
            sum(|client| client.aborted),
            sum(|client| client.lost),
        ];
        ensure!(
            sent == answered.saturating_add(aborted).saturating_add(lost),
            "{sent} is not {answered} + {aborted} + {lost}"
        );
        Ok(format!(
            "{sent} sent = {answered} answers + {aborted} aborts + {lost} lost; \
             the log and the counters have the same {begun} requests, {of_others} of them earlier"
        ))
    }
}

impl Outcome {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text.split_once(' ') {
            Some(("complete", status)) => Self::Complete(status.parse()?),
            Some(("cut", status)) => Self::Cut(status.parse()?),
            Some(("lost", _error)) => Self::Lost,
            Some(_) => bail!("no such outcome"),
            None => match text {
                "left" => Self::Left,
                "failed" => Self::Failed,
                _ => bail!("no such outcome"),
            },
        })
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Complete(_) => "complete",
            Self::Cut(_) => "cut short",
            Self::Left => "left",
            Self::Failed => "no response",
            Self::Lost => "no response on a kept connection",
        }
    }

    /// Returns whether a line of the log, or none, is what this outcome has.
    fn agrees_with(self, client: &str, line: Option<&Line>) -> bool {
        let Some(line) = line else {
            // A stream may be reset before the gateway has read its head.
            return self == Self::Lost || self == Self::Left && client == "resets";
        };
        match self {
            Self::Complete(status) => line.status == Some(status) && line.ended == "complete",
            // A tunnel is complete when both of its ends have closed.
            Self::Cut(SWITCHED) => line.status == Some(SWITCHED),
            Self::Cut(status) => line.status == Some(status) && line.ended != "complete",
            // When the client leaves, the response may be complete, or the upstream gone.
            Self::Left => true,
            Self::Failed | Self::Lost => line.status.is_none() || line.ended != "complete",
        }
    }
}

impl Line {
    /// Returns the line, unless it is of another log.
    fn parse(text: &str) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Event {
            target: String,
            fields: Line,
        }
        if !text.contains(ACCESS_TARGET) {
            return Ok(None);
        }
        let event: Event = serde_json::from_str(text).with_context(|| text.to_owned())?;
        Ok((event.target == ACCESS_TARGET).then_some(event.fields))
    }

    fn words(&self) -> String {
        let what = if self.status.is_some() {
            "response"
        } else {
            "abort"
        };
        format!("{what}, {}", self.ended)
    }
}

fn lines(path: &Path) -> Result<impl Iterator<Item = std::io::Result<String>>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    Ok(BufReader::new(file).lines())
}

fn up(count: &mut u64) {
    *count = count.saturating_add(1);
}

pub(super) const BEGUN: &str = "tollway_requests_begun_total";
const RESPONDED: &str = "tollway_requests_total";
const ABORTED: &str = "tollway_requests_aborted_total";
const ENDED: &str = "tollway_responses_ended_total";
const ACCESS_TARGET: &str = "tollway::access";
/// The status of a response that begins a tunnel.
const SWITCHED: u16 = 101;
const SHOWN_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn line(id: &str, status: &str, ended: &str) -> String {
        format!(
            r#"{{"level":"DEBUG","fields":{{{status}"ended":"{ended}","request_id":"{id}"}},"target":"tollway::access"}}"#
        )
    }

    fn read(book: &[&str], log: &[String]) -> Result<Books> {
        let dir = TempDir::new()?;
        let [book_file, log_file] = ["book", "log"].map(|name| dir.path().join(name));
        fs::write(&book_file, book.join("\n"))?;
        fs::write(&log_file, log.join("\n"))?;
        Books::read(&book_file, &log_file)
    }

    fn metrics(begun: u64, complete: u64, aborted: u64) -> Metrics {
        Metrics::of(&format!(
            "{BEGUN}{{}} {begun}\n{RESPONDED}{{status=\"2xx\"}} {complete}\n\
             {ENDED}{{ended=\"complete\"}} {complete}\n{ENDED}{{ended=\"stalled\"}} 0\n\
             {ABORTED}{{ended=\"client_left\"}} {aborted}\n"
        ))
    }

    #[test]
    fn every_request_is_an_answer_an_abort_or_lost() {
        let books = read(
            &[
                "http1:0 complete 200",
                "http1:1 lost connection closed",
                "resets:0 left",
            ],
            &[
                line("aa-1", r#""status":200,"#, "complete"),
                "{\"target\":\"tollway\"}".to_owned(),
                line("http1:0", r#""status":200,"#, "complete"),
                line("resets:0", "", "client_left"),
            ],
        )
        .unwrap();

        let balance = books.balance(&metrics(1, 1, 0), &metrics(3, 2, 1));

        assert!(
            balance
                .unwrap()
                .starts_with("3 sent = 1 answers + 1 aborts + 1 lost;")
        );
        assert!(books.balance(&metrics(1, 1, 0), &metrics(3, 3, 0)).is_err());
        assert!(books.balance(&metrics(0, 0, 0), &metrics(3, 2, 1)).is_err());
    }

    #[test]
    fn a_response_that_is_not_logged_as_it_was_is_a_contradiction() {
        for (outcome, status, ended) in [
            ("complete 200", r#""status":502,"#, "complete"),
            ("complete 200", r#""status":200,"#, "client_left"),
            ("cut 200", r#""status":200,"#, "complete"),
            ("failed", r#""status":200,"#, "complete"),
        ] {
            let book = format!("http1:0 {outcome}");
            let books = read(&[&book], &[line("http1:0", status, ended)]).unwrap();

            assert_eq!(books.contradictions.len(), 1, "{outcome} {ended}");
        }
        let unread = read(&["http1:0 complete 200"], &[]).unwrap();
        assert_eq!(unread.contradictions.len(), 1);
    }

    #[test]
    fn a_request_that_is_logged_twice_or_was_not_sent_is_refused() {
        let logged = line("http1:0", r#""status":200,"#, "complete");

        let twice = read(&["http1:0 complete 200"], &[logged.clone(), logged.clone()]);

        assert!(twice.is_err());
        assert!(read(&[], &[logged]).is_err());
    }
}
