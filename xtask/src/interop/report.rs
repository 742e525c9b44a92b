//! Report of the suite: passed, failed, and could not run.
//!
//! A part is a list of checks. The first that fails ends its part, since the next ones build
//! on it; the other parts still run.
#![expect(clippy::print_stdout, reason = "the report is what the command is for")]

use std::time::Instant;

use anyhow::Result;

/// Why a part ended before its last check.
#[derive(Debug)]
pub(super) enum Halt {
    /// A check failed, and has been reported.
    CheckFailed,
    /// This machine lacks something that is not ours to bring. Not a failure.
    CouldNotRun(String),
    /// Something between the checks failed: ours to mend.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Halt {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// The tally of a whole run.
#[derive(Debug, Default)]
pub(super) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    /// Runs one part and prints its result.
    pub(super) fn part(
        &mut self,
        name: &str,
        body: impl FnOnce(&mut Checks<'_>) -> Result<(), Halt>,
    ) {
        println!("== {name}");
        let started = Instant::now();
        let mut checks = Checks { report: self };
        let ended = body(&mut checks);
        match ended {
            Ok(()) | Err(Halt::CheckFailed) => {}
            Err(Halt::CouldNotRun(reason)) => {
                self.skipped = self.skipped.saturating_add(1);
                println!("   skipped: could not run: {reason}");
            }
            Err(Halt::Failed(error)) => self.fail(name, &error),
        }
        println!("   in all {:.1} s", started.elapsed().as_secs_f32());
    }

    /// Prints the last line.
    pub(super) fn finish(&self) {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        println!("{passed} passed, {failed} failed, {skipped} skipped");
    }

    /// How many checks failed.
    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    fn fail(&mut self, what: &str, error: &anyhow::Error) {
        self.failed = self.failed.saturating_add(1);
        println!("   FAILED {what}: {error:#}");
    }
}

/// Where a part reports its checks.
#[derive(Debug)]
pub(super) struct Checks<'a> {
    report: &'a mut Report,
}

impl Checks<'_> {
    /// Runs one check. What it found out is the caller's to build on.
    ///
    /// # Errors
    ///
    /// [`Halt::CheckFailed`], already reported.
    pub(super) fn check<T>(
        &mut self,
        what: &str,
        body: impl FnOnce() -> Result<T>,
    ) -> Result<T, Halt> {
        let started = Instant::now();
        match body() {
            Ok(found) => {
                self.report.passed = self.report.passed.saturating_add(1);
                println!("   ok {what} ({:.1} s)", started.elapsed().as_secs_f32());
                Ok(found)
            }
            Err(error) => {
                self.report.fail(what, &error);
                Err(Halt::CheckFailed)
            }
        }
    }
}
