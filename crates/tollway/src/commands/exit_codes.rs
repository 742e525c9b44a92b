//! `tollway exit-codes`: what the failures of all commands are called.

use serde_json::json;

use crate::exit::{self, Failure};
use crate::output::Output;

/// Prints the table, a row per code.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    for (exit_code, code, meaning) in exit::rows() {
        output.line(
            &format!("{exit_code:>3}  {code:<18}  {meaning}"),
            &json!({ "exit_code": exit_code, "code": code, "meaning": meaning }),
        )?;
    }
    Ok(())
}
