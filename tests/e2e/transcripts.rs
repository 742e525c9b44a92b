//! Documents and golden transcripts, run through the real binary.
//!
//! `README.md`, the guide and the pages in `tests/e2e/transcripts` are executed: their commands
//! run in a shell, and what they print is compared with what the pages show. Each page has a home
//! folder, ports and an upstream of its own. `SNAPSHOTS=overwrite` rewrites the pages with what
//! was printed, and keeps the patterns that still match. The format is in [`page`].

mod api;
mod checks;
mod machine;
mod matcher;
mod newcomer;
mod page;
mod run;
mod session;

use std::path::{Path, PathBuf};

use snapbox::assert::{Action, DEFAULT_ACTION_ENV};

use self::page::{Item, Page};
use self::run::{OnDifference, Sections};

/// One test per page.
macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                execute($path).await;
            }
        )*

        /// The pages that have a test.
        const PAGES: &[&str] = &[$($path),*];
    };
}

pages! {
    guide_buying: "docs/guide/src/buying.md",
    guide_configuration: "docs/guide/src/configuration.md",
    guide_errors: "docs/guide/src/errors.md",
    guide_grpc: "docs/guide/src/grpc.md",
    guide_introduction: "docs/guide/src/introduction.md",
    guide_metrics: "docs/guide/src/metrics.md",
    guide_operations: "docs/guide/src/operations.md",
    guide_scripts: "docs/guide/src/scripts.md",
    guide_selling: "docs/guide/src/selling.md",
    guide_tokens: "docs/guide/src/tokens.md",
    readme: "README.md",
    transcript_demo: "tests/e2e/transcripts/demo.md",
    transcript_grpc: "tests/e2e/transcripts/grpc.md",
    transcript_keys: "tests/e2e/transcripts/keys.md",
    transcript_limits: "tests/e2e/transcripts/limits.md",
    transcript_lnd: "tests/e2e/transcripts/lnd.md",
    transcript_metrics: "tests/e2e/transcripts/metrics.md",
    transcript_narrow: "tests/e2e/transcripts/narrow.md",
    transcript_scripts: "tests/e2e/transcripts/scripts.md",
    transcript_sales: "tests/e2e/transcripts/sales.md",
    transcript_sell: "tests/e2e/transcripts/sell.md",
    transcript_services: "tests/e2e/transcripts/services.md",
    transcript_stop: "tests/e2e/transcripts/stop.md",
    transcript_tls: "tests/e2e/transcripts/tls.md",
}

/// Where pages are.
const FOLDERS: &[&str] = &["docs/guide/src", "tests/e2e/transcripts"];

#[test]
fn every_page_has_a_test() {
    let root = root();
    for folder in FOLDERS {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(&root).unwrap().display().to_string();
            if path.extension().is_some_and(|extension| extension == "md") {
                let page = read(&path);
                assert!(
                    page.steps().next().is_none() || PAGES.contains(&relative.as_str()),
                    "{relative} is run by no test: add it to `pages!` in tests/e2e/transcripts.rs"
                );
            }
        }
    }
}

/// Runs a page, and rewrites it if that was asked for.
#[expect(clippy::print_stderr, reason = "a page that is not run is named")]
async fn execute(path: &str) {
    let file = root().join(path);
    let page = read(&file);
    if let Some(tool) = page.missing_tool() {
        eprintln!("{path} is not run: there is no `{tool}` on this machine");
        return;
    }
    let on_difference = match Action::with_env_var(DEFAULT_ACTION_ENV) {
        Some(Action::Overwrite) => OnDifference::Rewrite,
        _ => OnDifference::Stop,
    };
    let run = page.run(Sections::All, on_difference).await;
    if on_difference == OnDifference::Rewrite && !run.changes.is_empty() {
        std::fs::write(&file, page.rewritten(&run.changes)).unwrap();
    }
    if let Some(failure) = run.failure {
        panic!("{path}, {failure}");
    }
}

fn read(path: &Path) -> Page {
    let text = std::fs::read_to_string(path).unwrap();
    Page::parse(&text).unwrap_or_else(|error| panic!("{}, {error}", path.display()))
}

impl Page {
    fn steps(&self) -> impl Iterator<Item = &page::Step> {
        let items = self.sections.iter().flat_map(|section| &section.items);
        items.filter_map(|item| match item {
            Item::Step(step) => Some(step),
            Item::File(_) => None,
        })
    }

    /// Returns a program that the page uses and this machine does not have.
    fn missing_tool(&self) -> Option<&'static str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_installed =
            |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
        let is_used = |tool: &str| {
            self.steps().any(|step| {
                let mut words = step.command.split(|c: char| !c.is_alphanumeric());
                words.any(|word| word == tool)
            })
        };
        let mut tools = TOOLS.iter().copied();
        tools.find(|tool| is_used(tool) && !is_installed(tool))
    }
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// Programs that a page may use and a machine may not have.
const TOOLS: &[&str] = &["curl", "jq", "openssl"];
