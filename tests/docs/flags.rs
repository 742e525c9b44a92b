//! Commands and flags: the guide has all that there are, and no others.

use std::collections::BTreeSet;
use std::path::Path;

use pulldown_cmark::{Event, Options, Parser};

use crate::{documents, read, tollway};

#[test]
fn the_guide_has_every_command_and_every_flag() {
    let guide: String = user_documents().map(|text| text + "\n").collect();
    let missing: Vec<String> = commands()
        .into_iter()
        .flat_map(|command| {
            let named = std::iter::once(format!("tollway {}", command.name));
            named.chain(command.flags)
        })
        .filter(|word| !guide.contains(word.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in the guide: {missing:?}");
}

#[test]
fn every_flag_that_is_documented_exists() {
    let known: BTreeSet<String> = commands()
        .into_iter()
        .flat_map(|command| command.flags)
        .collect();
    assert!(known.contains("--max-cost"), "the flags are not found");
    for text in user_documents() {
        let parser = Parser::new_ext(&text, Options::ENABLE_TABLES);
        for event in parser {
            let Event::Code(code) = event else { continue };
            let flag = code.split([' ', '=']).next().unwrap_or_default();
            assert!(
                !flag.starts_with("--") || known.contains(flag),
                "`{code}` is no flag"
            );
        }
    }
}

struct Command {
    name: String,
    flags: BTreeSet<String>,
}

/// Returns the texts that explain the command line.
fn user_documents() -> impl Iterator<Item = String> {
    let documents = documents().into_iter();
    let explains = |path: &Path| path.starts_with("docs/guide") || path == Path::new("README.md");
    documents
        .filter(move |path| explains(path))
        .map(|path| read(&path))
}

/// Returns every command, found from help to help.
fn commands() -> Vec<Command> {
    let mut found = Vec::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(command) = open.pop() {
        let words = command.iter().map(String::as_str);
        let arguments: Vec<&str> = words.chain(["--help"]).collect();
        let help = tollway::text(&arguments);
        for name in subcommands(&help) {
            open.push([&command[..], &[name]].concat());
        }
        if !command.is_empty() {
            found.push(Command {
                name: command.join(" "),
                flags: flags(&help),
            });
        }
    }
    assert!(found.len() > 10, "the commands are not found");
    found
}

fn subcommands(help: &str) -> Vec<String> {
    let list = help.split_once("\nCommands:\n").map(|(_, list)| list);
    let lines = list.unwrap_or_default().lines();
    lines
        .take_while(|line| !line.trim().is_empty())
        // A line that is indented further goes on with the line before it.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Returns the flags that begin a line of the help, but for those that every program has.
fn flags(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start);
    lines
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| {
            line.split([' ', ',', '=', '.', '['])
                .find(|word| word.starts_with("--"))
        })
        .filter(|flag| !["--help", "--version"].contains(flag))
        .map(str::to_owned)
        .collect()
}
