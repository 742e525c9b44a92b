//! LND's own command line, pointed at one wallet.
//!
//! The wallet may be LND's or ours: `lncli` reads the certificate and the macaroon from the
//! same places in both.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::process::{self, shown};

/// Longer than the payment timeout `lncli` asks for by itself is never needed here.
const CALL: Duration = Duration::from_secs(60);

/// The arguments that point `lncli` to one wallet.
#[derive(Clone, Debug)]
pub(super) struct Lncli {
    program: PathBuf,
    dir: PathBuf,
    address: String,
}

impl Lncli {
    /// The `lncli` among `programs`, for the wallet at `address` that keeps its files in `dir`.
    pub(super) fn new(programs: &Path, dir: &Path, address: &str) -> Self {
        Self {
            program: programs.join("lncli"),
            dir: dir.to_owned(),
            address: address.to_owned(),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Runs a command and reads the JSON it prints.
    ///
    /// # Errors
    ///
    /// When the wallet refuses, or what is printed is not JSON.
    pub(super) fn json(&self, request: &[&str]) -> Result<Answer> {
        let text = self.text(request)?;
        let value = serde_json::from_str(&text)
            .with_context(|| format!("`lncli {}` printed no JSON: {text}", request.join(" ")))?;
        Ok(Answer(value))
    }

    /// Runs a command; what it printed.
    ///
    /// # Errors
    ///
    /// When the wallet refuses.
    pub(super) fn text(&self, request: &[&str]) -> Result<String> {
        process::output(&mut self.command(request), CALL)
    }

    /// Runs a command that must be refused, and returns its output.
    ///
    /// # Errors
    ///
    /// When the wallet accepts it.
    pub(super) fn refusal(&self, request: &[&str]) -> Result<String> {
        let mut command = self.command(request);
        let finished = process::finish(&mut command, CALL)?;
        ensure!(
            !finished.status.success(),
            "`{}` was accepted",
            shown(&command)
        );
        Ok([finished.stdout, finished.stderr].concat())
    }

    fn command(&self, request: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--network=regtest")
            .arg(format!("--lnddir={}", self.dir.display()))
            .arg(format!("--rpcserver={}", self.address))
            .args(request);
        command
    }
}

/// JSON from another program. Fields are named by JSON pointers without the first slash.
#[derive(Clone, Debug)]
pub(super) struct Answer(Value);

impl Answer {
    /// A field of text.
    ///
    /// # Errors
    ///
    /// When it is missing or something else.
    pub(super) fn text(&self, field: &str) -> Result<String> {
        let text = self.value(field)?.as_str();
        text.map(str::to_owned)
            .with_context(|| format!("`{field}` is not text: {}", self.0))
    }

    /// A field with as many entries as its list has.
    ///
    /// # Errors
    ///
    /// When it is missing or no list.
    pub(super) fn count(&self, field: &str) -> Result<usize> {
        let list = self.value(field)?.as_array();
        list.map(Vec::len)
            .with_context(|| format!("`{field}` is no list: {}", self.0))
    }

    /// A number, which LND writes as text where it has 64 bits.
    ///
    /// # Errors
    ///
    /// When it is missing or no whole number.
    pub(super) fn number(&self, field: &str) -> Result<i64> {
        let value = self.value(field)?;
        value
            .as_i64()
            .or_else(|| value.as_str()?.parse().ok())
            .with_context(|| format!("`{field}` is no number: {}", self.0))
    }

    /// A field.
    ///
    /// # Errors
    ///
    /// When it is missing.
    fn value(&self, field: &str) -> Result<&Value> {
        self.0
            .pointer(&format!("/{field}"))
            .with_context(|| format!("no `{field}` in {}", self.0))
    }

    /// Fails unless a field reads as `wanted`.
    ///
    /// # Errors
    ///
    /// When it reads otherwise, or is missing.
    pub(super) fn expect(&self, field: &str, wanted: impl Into<Value>) -> Result<()> {
        let (found, wanted) = (self.value(field)?, wanted.into());
        ensure!(*found == wanted, "`{field}` is {found}, not {wanted}");
        Ok(())
    }
}
