//! Parser of executed pages: which blocks of a Markdown page are run, and what they must print.
//!
//! | block | meaning |
//! |---|---|
//! | `console` | commands and what a terminal shows, both streams merged |
//! | `console apart` | the same; lines of standard error begin with `2> ` |
//! | any with `file=PATH` | a file that is written before the next command |
//! | any other | not run |
//!
//! In a `console` block a line `$ COMMAND` is given to bash, with the lines after it that begin
//! with `> `. The lines up to the next command are what it must print: `...` matches any lines,
//! `[..]` any part of a line. It must exit with 0, or with N when the last line is `? N`. A command
//! that ends in `&` runs on until the page ends, and the next one waits for the lines below it;
//! SIGTERM must end it with 0.
//!
//! A block inside an HTML comment is run as well, and no reader sees it.

use std::ops::Range;

use super::session::Streams;

/// A page, and where its expectations stand in it.
#[derive(Clone, Debug)]
pub struct Page {
    lines: Vec<String>,
    pub sections: Vec<Section>,
}

/// What stands below a `## ` heading, or above the first one.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Empty above the first heading.
    pub name: String,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug)]
pub enum Item {
    File(WrittenFile),
    Step(Step),
}

/// A file that the page writes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrittenFile {
    pub path: String,
    pub content: String,
}

/// A command with its expectation.
#[derive(Clone, Debug)]
pub struct Step {
    /// The line of the command in the page, from 1.
    pub line: usize,
    pub command: String,
    pub place: Place,
    pub streams: Streams,
    pub expected: Expected,
    /// Where the expectation stands: indices of lines.
    range: Range<usize>,
    indent: usize,
}

/// Whether the next command waits for the end of this one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    Background,
    Foreground,
}

/// What a command must print, and its exit code.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expected {
    /// With standard error when the streams are merged.
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

impl Page {
    /// # Errors
    ///
    /// Names the line that is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut sections = vec![Section::default()];
        let mut at = 0;
        while at < lines.len() {
            let line = &lines[at];
            at += 1;
            if let Some(name) = line.strip_prefix("## ") {
                sections.push(Section {
                    name: name.trim().to_owned(),
                    items: Vec::new(),
                });
            }
            let Some(fence) = Fence::opened_by(line) else {
                continue;
            };
            let end = (at..lines.len())
                .find(|end| fence.is_closed_by(&lines[*end]))
                .ok_or_else(|| format!("line {at}: the block is not closed"))?;
            let section = sections.last_mut().unwrap();
            section.items.extend(fence.items(&lines, at..end)?);
            at = end + 1;
        }
        Ok(Self { lines, sections })
    }

    /// Returns the page with other expectations for some of its steps.
    pub fn rewritten(&self, changes: &[(Step, Expected)]) -> String {
        let mut lines = self.lines.clone();
        let mut changes: Vec<_> = changes.iter().collect();
        changes.sort_by_key(|(step, _)| step.range.start);
        for (step, expected) in changes.into_iter().rev() {
            lines.splice(step.range.clone(), step.shown(expected));
        }
        lines.join("\n") + "\n"
    }
}

impl Step {
    /// Returns an expectation as lines of the page.
    fn shown(&self, expected: &Expected) -> Vec<String> {
        let stdout = expected.stdout.lines().map(str::to_owned);
        let stderr = expected.stderr.lines();
        let stderr = stderr.map(|line| format!("{STDERR}{line}").trim_end().to_owned());
        let code = (expected.code != 0).then(|| format!("? {}", expected.code));
        let margin = " ".repeat(self.indent);
        stdout
            .chain(stderr)
            .chain(code)
            .map(|line| format!("{margin}{line}").trim_end().to_owned())
            .collect()
    }
}

/// The line that opens a block.
struct Fence<'a> {
    indent: usize,
    mark: &'a str,
    info: Vec<&'a str>,
}

impl<'a> Fence<'a> {
    fn opened_by(line: &'a str) -> Option<Self> {
        let text = line.trim_start();
        let len = text.len() - text.trim_start_matches('`').len();
        (len >= 3).then(|| Self {
            indent: line.len() - text.len(),
            mark: &text[..len],
            info: text[len..].split_whitespace().collect(),
        })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let text = line.trim();
        text.starts_with(self.mark) && text.bytes().all(|byte| byte == b'`')
    }

    /// Returns a line of the block without the indentation of the block.
    fn inner(&self, line: &'a str) -> &'a str {
        let margin = line.len() - line.trim_start().len();
        &line[margin.min(self.indent)..]
    }

    fn items(&self, lines: &'a [String], range: Range<usize>) -> Result<Vec<Item>, String> {
        if let Some(path) = self.info.iter().find_map(|word| word.strip_prefix("file=")) {
            let content = range.map(|at| format!("{}\n", self.inner(&lines[at])));
            return Ok(vec![Item::File(WrittenFile {
                path: path.to_owned(),
                content: content.collect(),
            })]);
        }
        let streams = match self.info.as_slice() {
            ["console"] => Streams::Merged,
            ["console", "apart"] => Streams::Apart,
            ["console", ..] => {
                return Err(format!("line {}: `console apart` is meant?", range.start));
            }
            _ => return Ok(Vec::new()),
        };
        let mut steps = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = (at + 1..range.end)
                .find(|next| self.inner(&lines[*next]).starts_with(COMMAND))
                .unwrap_or(range.end);
            steps.push(Item::Step(self.step(lines, at..end, streams)?));
            at = end;
        }
        Ok(steps)
    }

    /// Reads one command and the lines up to the next.
    fn step(
        &self,
        lines: &'a [String],
        range: Range<usize>,
        streams: Streams,
    ) -> Result<Step, String> {
        let line = range.start + 1;
        let mut command = self
            .inner(&lines[range.start])
            .strip_prefix(COMMAND)
            .ok_or_else(|| format!("line {line}: a block begins with a command, `$ …`"))?
            .to_owned();
        let mut first = range.start + 1;
        while first < range.end
            && let Some(more) = self.inner(&lines[first]).strip_prefix(CONTINUATION)
        {
            command.push('\n');
            command.push_str(more);
            first += 1;
        }
        let range = first..range.end;
        let shown: Vec<&str> = range.clone().map(|at| self.inner(&lines[at])).collect();
        Ok(Step {
            line,
            place: Place::of(&command),
            command,
            streams,
            expected: Expected::parse(&shown, streams)
                .map_err(|why| format!("line {line}: {why}"))?,
            range,
            indent: self.indent,
        })
    }
}

impl Place {
    fn of(command: &str) -> Self {
        let code = command
            .rsplit_once(" #")
            .map_or(command, |(code, _comment)| code)
            .trim_end();
        if code.ends_with('&') && !code.ends_with("&&") {
            Self::Background
        } else {
            Self::Foreground
        }
    }
}

impl Expected {
    fn parse(shown: &[&str], streams: Streams) -> Result<Self, String> {
        let mut expected = Self::default();
        let mut shown = shown;
        if let Some((last, rest)) = shown.split_last()
            && let Some(code) = last.strip_prefix(CODE)
        {
            expected.code = code
                .trim()
                .parse()
                .map_err(|_not| format!("`{last}` is no exit code"))?;
            shown = rest;
        }
        for line in shown {
            let on_stderr = match streams {
                Streams::Apart if *line == STDERR.trim_end() => Some(""),
                Streams::Apart => line.strip_prefix(STDERR),
                Streams::Merged => None,
            };
            let (stream, line) = match on_stderr {
                Some(line) => (&mut expected.stderr, line),
                None => (&mut expected.stdout, *line),
            };
            stream.push_str(line);
            stream.push('\n');
        }
        Ok(expected)
    }
}

const COMMAND: &str = "$ ";
const CONTINUATION: &str = "> ";
const CODE: &str = "? ";
const STDERR: &str = "2> ";
