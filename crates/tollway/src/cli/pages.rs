//! Test of the pages that `--help` prints, for every command.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory as _, Parser as _};
use tollway_client::Policy;
use tollway_server::ChallengeLimit;

use super::Cli;

#[test]
fn a_page_fits_a_screen() {
    let mut wide = String::new();
    for (name, page) in pages() {
        let lines = page.lines().count();
        assert!(lines <= LINES_MAX, "{name} has {lines} lines:\n{page}");
        for line in page.lines() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                wide.push_str(&format!("\n{name}, {columns} columns: {line}"));
            }
        }
    }
    assert!(wide.is_empty(), "{wide}");
}

#[test]
fn both_flags_print_one_page() {
    for (path, _command) in commands() {
        let print = |flag: &str| {
            let arguments = path.iter().map(String::as_str).chain([flag]);
            Cli::try_parse_from(arguments).unwrap_err().to_string()
        };
        assert_eq!(print("-h"), print("--help"), "{path:?}");
    }
}

/// What stands on the line of its option is read with it.
#[test]
fn an_option_has_a_line_of_its_own() {
    for (path, command) in commands() {
        let page = page(&path);
        for option in options(&command) {
            let help = option.get_help().unwrap_or_default().to_string();
            let name = option.get_long().unwrap_or_default();
            let line = page.lines().find(|line| line.contains(&help));
            assert!(
                !help.is_empty() && line.is_some_and(|line| line.contains(&format!("--{name}"))),
                "{path:?} --{name}:\n{page}"
            );
        }
    }
}

#[test]
fn every_option_names_its_default() {
    for (path, command) in commands() {
        let page = page(&path);
        for option in options(&command).filter(|option| takes_value(option)) {
            let name = option.get_long().unwrap_or_default();
            let line = page
                .lines()
                .find(|line| line.contains(&format!("--{name} <")))
                .unwrap_or_default();
            let default = line.split_once("[default: ");
            let is_named = default.is_some_and(|(_help, default)| default.ends_with(']'));
            assert!(
                is_named || is_required(&path, option),
                "{path:?} --{name} has no [default: …]:\n{page}"
            );
        }
    }
}

#[test]
fn no_option_is_hidden_and_none_has_more_words_elsewhere() {
    for (path, command) in commands() {
        for argument in command.get_arguments() {
            let name = argument.get_id();
            assert!(!argument.is_hide_set(), "{path:?} {name}");
            assert!(argument.get_help().is_some(), "{path:?} {name}");
            assert!(argument.get_long_help().is_none(), "{path:?} {name}");
        }
    }
}

/// Placeholders in capitals take the place of values that only the reader has.
#[test]
fn every_page_has_examples_and_they_parse() {
    for (path, page) in pages() {
        let examples: Vec<Vec<String>> = page
            .split_once("Examples:\n")
            .map(|(_options, examples)| examples.lines())
            .into_iter()
            .flatten()
            .take_while(|line| line.starts_with("  "))
            .flat_map(tollway_commands)
            .collect();
        assert!(!examples.is_empty(), "{path} has no examples:\n{page}");
        let own = |example: &Vec<String>| example.join(" ").starts_with(&path);
        assert!(examples.iter().any(own), "{path}: {examples:?}");
        for example in examples {
            if let Err(error) = Cli::try_parse_from(&example) {
                panic!("{path}: {example:?}: {error}");
            }
        }
    }
}

#[test]
fn defaults_that_come_from_the_libraries_are_the_documented_ones() {
    let limits = Policy::default().limits;
    let limit = ChallengeLimit::default();
    for (command, option, value) in [
        ("get", "max-cost", amount(limits.price_max)),
        ("get", "max-fee", amount(limits.fee_max)),
        ("get", "max-per-day", amount(limits.per_day.unwrap())),
        (
            "serve",
            "challenges-per-minute",
            limit.per_minute.to_string(),
        ),
    ] {
        let page = page(&["tollway".to_owned(), command.to_owned()]);
        let named = page.lines().any(|line| {
            line.contains(&format!("--{option} ")) && line.ends_with(&format!("[default: {value}]"))
        });
        assert!(named, "--{option} {value}:\n{page}");
    }
}

/// Blocks of the form `console` are run by a test, with what they print.
#[test]
fn every_command_in_the_guide_that_is_not_run_parses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = fs::read_dir(root.join("docs/guide/src")).unwrap();
    let mut pages: Vec<PathBuf> = guide.map(|entry| entry.unwrap().path()).collect();
    pages.push(root.join("README.md"));
    pages.retain(|page| page.extension().is_some_and(|kind| kind == "md"));
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        // Blocks are every second part, and begin with their form.
        for block in text.split("```").skip(1).step_by(2) {
            let (form, lines) = block.split_once('\n').unwrap_or_default();
            if form.starts_with("console") {
                continue;
            }
            for command in lines.lines().flat_map(tollway_commands) {
                if let Err(error) = Cli::try_parse_from(&command) {
                    panic!("{}: {command:?}: {error}", page.display());
                }
            }
        }
    }
}

/// Returns every command with the words that run it.
pub(super) fn commands() -> Vec<(Vec<String>, Command)> {
    let mut root = Cli::command();
    root.build();
    let mut found = Vec::new();
    let mut rest = vec![(Vec::new(), root)];
    while let Some((above, command)) = rest.pop() {
        let mut path: Vec<String> = above;
        path.push(command.get_name().to_owned());
        let below = command
            .get_subcommands()
            .filter(|below| below.get_name() != "help");
        rest.extend(below.map(|below| (path.clone(), below.clone())));
        found.push((path, command));
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

fn pages() -> impl Iterator<Item = (String, String)> {
    let pages = commands().into_iter();
    pages.map(|(path, _command)| (path.join(" "), page(&path)))
}

/// Returns what `--help` prints.
fn page(path: &[String]) -> String {
    let arguments = path.iter().map(String::as_str).chain(["--help"]);
    Cli::try_parse_from(arguments).unwrap_err().to_string()
}

/// Returns the options of a command, without those of every command.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    let arguments = command.get_arguments();
    arguments.filter(|argument| argument.get_long().is_some())
}

fn takes_value(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Returns true for an option without which the command, or another option, is an error.
fn is_required(path: &[String], option: &Arg) -> bool {
    let missing = Cli::try_parse_from(path).unwrap_err().to_string();
    let name = format!("--{} ", option.get_long().unwrap_or_default());
    missing.contains("required") && missing.contains(&name)
}

/// Returns the commands of this program in a line of a shell, word by word.
pub(super) fn tollway_commands(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let parts = line.split("$(").flat_map(|part| part.split(['|', ';']));
    for part in parts.flat_map(|part| part.split("&&")) {
        let words = words(part);
        if words.first().is_some_and(|word| word == "tollway") {
            found.push(words);
        }
    }
    found
}

/// Splits a command into words, up to a redirection, the end of a substitution or a comment.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quote = None;
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '<' | '>' | ')' | '&') => break,
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (_, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words.into_iter().map(filled_in).collect()
}

/// Returns the word with a value in place of a placeholder.
fn filled_in(word: String) -> String {
    match word.as_str() {
        "HASH" | "PREIMAGE" => "07".repeat(32),
        "AMOUNT" => "1sat".to_owned(),
        _ => word,
    }
}

fn amount(amount: l402::Msat) -> String {
    amount.to_string().replace(' ', "")
}

const COLUMNS_MAX: usize = 80;
const LINES_MAX: usize = 45;
