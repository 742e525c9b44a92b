//! The tasks of a first hour, for `cargo xtask newcomer`, which has their list.

use std::fs;

use serde::{Deserialize, Serialize};

use super::page::Page;
use super::root;
use super::run::{OnDifference, Run, Sections};

/// A page, or some sections of it.
#[derive(Debug, Deserialize)]
struct Part {
    page: String,
    /// All when empty.
    sections: Vec<String>,
}

/// The outcome of a part.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    commands: usize,
    millis: u128,
    last_code: i32,
    /// The first difference.
    failure: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_pages_run_by_themselves() {
    let parts = std::env::var("TOLLWAY_NEWCOMER_PARTS");
    let parts: Vec<Part> = serde_json::from_str(parts.as_deref().unwrap_or(SAMPLE)).unwrap();
    let mut outcomes = Vec::new();
    for part in &parts {
        outcomes.push(part.run().await);
    }
    match std::env::var_os("TOLLWAY_NEWCOMER_REPORT") {
        Some(report) => fs::write(report, serde_json::to_vec(&outcomes).unwrap()).unwrap(),
        None => assert!(outcomes.iter().all(Outcome::is_ok), "{outcomes:?}"),
    }
}

impl Part {
    async fn run(&self) -> Outcome {
        let Ok(text) = fs::read_to_string(root().join(&self.page)) else {
            return Outcome::failed("there is no such page".to_owned());
        };
        let page = match Page::parse(&text) {
            Ok(page) => page,
            Err(error) => return Outcome::failed(error),
        };
        let sections = if self.sections.is_empty() {
            Sections::All
        } else {
            Sections::Named(&self.sections)
        };
        let run = page.run(sections, OnDifference::Stop).await;
        let nothing = (run.commands == 0).then(|| "no command was run".to_owned());
        Outcome::of(run, nothing)
    }
}

impl Outcome {
    fn is_ok(&self) -> bool {
        self.failure.is_none() && self.commands > 0
    }

    fn of(run: Run, nothing: Option<String>) -> Self {
        Self {
            commands: run.commands,
            millis: run.took.as_millis(),
            last_code: run.last_code,
            failure: run.failure.or(nothing),
        }
    }

    fn failed(failure: String) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }
}

/// What is run without a list.
const SAMPLE: &str = r#"[{"page": "docs/guide/src/tokens.md", "sections": []}]"#;
