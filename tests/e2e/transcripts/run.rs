//! Execution of a page: every step in order, up to the first that differs.

use std::time::{Duration, Instant};

use super::machine::Machine;
use super::matcher;
use super::page::{Expected, Item, Page, Place, Section, Step};
use super::session::{Printed, Session, Streams};

/// What happens to the steps after one that differs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnDifference {
    /// They run, and the page is rewritten.
    Rewrite,
    Stop,
}

/// A page that was run.
#[derive(Debug)]
pub struct Run {
    pub commands: usize,
    pub took: Duration,
    pub last_code: i32,
    /// What has to be written instead of the expectations.
    pub changes: Vec<(Step, Expected)>,
    /// Why it failed: the first difference.
    pub failure: Option<String>,
}

/// Which sections of a page run.
#[derive(Clone, Copy, Debug)]
pub enum Sections<'a> {
    All,
    /// What stands above the second heading, and these.
    Named(&'a [String]),
}

impl Page {
    /// Runs it on a machine of its own.
    pub async fn run(&self, sections: Sections<'_>, on_difference: OnDifference) -> Run {
        let began = Instant::now();
        let mut run = Run {
            commands: 0,
            took: Duration::ZERO,
            last_code: 0,
            changes: Vec::new(),
            failure: None,
        };
        match self.selected(sections) {
            Ok(items) => run.items(&items, on_difference).await,
            Err(unknown) => run.failure = Some(unknown),
        }
        run.took = began.elapsed();
        run
    }

    fn selected(&self, sections: Sections<'_>) -> Result<Vec<&Item>, String> {
        let Sections::Named(names) = sections else {
            return Ok(self
                .sections
                .iter()
                .flat_map(|section| &section.items)
                .collect());
        };
        let find = |name: &String| {
            let found = self.sections.iter().find(|section| section.name == *name);
            found.ok_or_else(|| format!("there is no section `{name}`"))
        };
        let (setup, rest) = self.sections.split_at(self.sections.len().min(2));
        for name in names {
            find(name)?;
        }
        let named = |section: &&Section| names.contains(&section.name);
        let chosen = setup.iter().chain(rest.iter().filter(named));
        Ok(chosen.flat_map(|section| &section.items).collect())
    }
}

impl Run {
    async fn items(&mut self, items: &[&Item], on_difference: OnDifference) {
        let machine = Machine::new().await;
        let mut session = machine.session().await;
        for item in items {
            let step = match item {
                Item::File(file) => {
                    machine.write(file);
                    continue;
                }
                Item::Step(step) => step,
            };
            self.commands += 1;
            let printed = match execute(&machine, &mut session, step).await {
                Ok(printed) => printed,
                Err(why) => {
                    return self.fail(step, &machine.to_documented(&why));
                }
            };
            self.last_code = printed.code;
            if let Some((why, actual)) = difference(step, &printed) {
                match on_difference {
                    OnDifference::Rewrite => self.changes.push((step.clone(), actual)),
                    OnDifference::Stop => return self.fail(step, &why),
                }
            }
        }
        if let Err(why) = session.stop().await {
            self.failure.get_or_insert(machine.to_documented(&why));
        }
    }

    fn fail(&mut self, step: &Step, why: &str) {
        let Step { line, command, .. } = step;
        self.failure
            .get_or_insert(format!("line {line}: $ {command}\n{why}"));
    }
}

/// Returns what differs, and what would be true instead.
fn difference(step: &Step, printed: &Printed) -> Option<(String, Expected)> {
    let Expected {
        stdout,
        stderr,
        code,
    } = &step.expected;
    let matches = |actual: &str, expected: &str| match step.place {
        Place::Background => matcher::begins_with(actual, expected),
        Place::Foreground => matcher::matches(actual, expected),
    };
    let mut why = String::new();
    if printed.code != *code {
        why.push_str(&format!("exit code {}, expected {code}\n", printed.code));
    }
    let name = match step.streams {
        Streams::Apart => "stdout",
        Streams::Merged => "output",
    };
    for (name, actual, expected) in [
        (name, &printed.stdout, stdout),
        ("stderr", &printed.stderr, stderr),
    ] {
        if !matches(actual, expected) {
            why.push_str(&matcher::difference(name, actual, expected));
        }
    }
    let actual = Expected {
        stdout: matcher::with_patterns(&printed.stdout, stdout),
        stderr: matcher::with_patterns(&printed.stderr, stderr),
        code: printed.code,
    };
    (!why.is_empty()).then_some((why, actual))
}

async fn execute(machine: &Machine, session: &mut Session, step: &Step) -> Result<Printed, String> {
    let command = machine.to_real(&step.command);
    let printed = match step.place {
        Place::Foreground => session.run(&command, step.streams).await,
        Place::Background => {
            let translate = |text: &str| machine.to_documented(text);
            session
                .start_in_background(&command, step.streams, &step.expected, &translate)
                .await
        }
    };
    let printed = printed?;
    Ok(Printed {
        stdout: machine.to_documented(&printed.stdout),
        stderr: machine.to_documented(&printed.stderr),
        code: printed.code,
    })
}
