//! Word rules: phrases that must not come back, and one type per public name.
//!
//! The terms are in `CONTRIBUTING.md`. Generated code has the words of its source.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot read the workspace has failed"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, iter};

/// Banned phrases, in lower case, and what to write instead. Some make a person of a file or
/// a function.
const BANNED: &[(&str, &str)] = &[
    ("anew", "again, or new"),
    ("answers", "responds, or returns"),
    ("anybody", "any caller, or name who"),
    ("as good as new", "as usable as any"),
    ("beside the road", "off the request path"),
    ("beside", "next to, or besides"),
    ("broke off", "was reset, or was aborted"),
    ("everybody", "all callers, or name who"),
    ("in vain", "without success"),
    ("is told", "is given, or receives"),
    ("keep_house", "run_maintenance"),
    ("nobody", "no caller, none, or name who"),
    ("road of one paid request", "life of a paid request"),
    ("said", "returned, or reported"),
    ("says", "states, contains, or returns"),
    ("somebody", "a caller, one, or name who"),
    ("tells", "returns, reports, or distinguishes"),
    ("the rooms", "crates"),
    ("told", "given, or reported"),
    ("under way", "in flight, or concurrent"),
    ("what became of", "the outcome, or the state, of"),
    ("what becomes of", "the outcome, or the state, of"),
    ("whoever", "the holder, the caller, or anyone who"),
];

/// The crates whose public types are compared.
const LIBRARIES: &[&str] = &[
    "l402",
    "tollway-client",
    "tollway-gateway",
    "tollway-lightning",
    "tollway-sandbox",
    "tollway-server",
];

/// How the names of folders begin that hold build output, generated code or other projects' code.
const SKIPPED: &[&str] = &[".", "generated", "node_modules", "target"];

/// The list above, and the rules that name what they forbid.
const MAY_NAME_THEM: &[&str] = &["tests/words.rs", "CONTRIBUTING.md"];

#[test]
fn no_banned_phrase_is_in_a_comment_or_a_document() {
    let all = files(&root(), &["rs", "md"]);
    let places = all
        .iter()
        .filter(|path| !MAY_NAME_THEM.iter().any(|name| path.ends_with(name)));
    let found: Vec<String> = places.flat_map(|path| with_phrases(path, BANNED)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_two_public_types_share_a_name() {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for path in LIBRARIES
        .iter()
        .flat_map(|library| files(&root().join("crates").join(library).join("src"), &["rs"]))
    {
        let text = fs::read_to_string(&path).unwrap();
        for name in public_types(&text) {
            let place = path.strip_prefix(root()).unwrap().display().to_string();
            places.entry(name.to_owned()).or_default().push(place);
        }
    }
    assert!(places.contains_key("Msat"), "the types are not found");
    let shared: Vec<String> = places
        .iter()
        .filter(|(_name, places)| places.len() > 1)
        .map(|(name, places)| format!("`{name}` is in {}", places.join(", ")))
        .collect();
    assert!(shared.is_empty(), "\n{}", shared.join("\n"));
}

#[test]
fn a_phrase_is_found_across_a_line_break_and_only_as_whole_words() {
    let text = "one\nkept in The\nRooms and in the roomsy";
    let found: Vec<usize> = lines_with(text, "the rooms").collect();
    assert_eq!(found, [2]);
}

/// Returns the files below `folder` with one of the extensions, but none that is generated.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_skipped = SKIPPED.iter().any(|start| name.starts_with(start));
        let extension = path.extension().unwrap_or_default();
        if path.is_dir() && !is_skipped {
            found.extend(files(&path, extensions));
        } else if extensions.iter().any(|wanted| extension == *wanted) {
            found.push(path);
        }
    }
    found
}

/// Returns a line for each of `phrases` in the prose of a file, with what to write instead.
fn with_phrases(path: &Path, phrases: &[(&str, &str)]) -> Vec<String> {
    let text = prose(path);
    let shown = path.display();
    let lines = |(phrase, instead): &(&str, &str)| -> Vec<String> {
        lines_with(&text, phrase)
            .map(|line| format!("{shown}:{line}: `{phrase}`: write {instead}"))
            .collect()
    };
    phrases.iter().flat_map(lines).collect()
}

/// Returns a document, or the comments of a source file; every line stays on its line.
fn prose(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "md") {
        return text;
    }
    let comment = |line: &str| {
        line.split_once("//")
            .map(|(_code, comment)| comment.to_owned())
    };
    let comments: Vec<String> = text
        .lines()
        .map(|line| comment(line).unwrap_or_default())
        .collect();
    comments.join("\n")
}

/// Returns the number of each line in which `phrase` begins, in any case, as whole words.
fn lines_with(text: &str, phrase: &str) -> impl Iterator<Item = usize> {
    let words = words(text);
    let phrase: Vec<&str> = phrase.split(' ').collect();
    let mut lines = Vec::new();
    for window in words.windows(phrase.len()) {
        if iter::zip(window, &phrase).all(|((_, word), wanted)| word == wanted) {
            lines.extend(window.first().map(|(line, _)| *line));
        }
    }
    lines.into_iter()
}

/// Returns the words of a text in lower case, each with the number of its line.
fn words(text: &str) -> Vec<(usize, String)> {
    let is_part = |letter: char| letter.is_alphanumeric() || "_'’-".contains(letter);
    iter::zip(1.., text.lines())
        .flat_map(|(number, line)| {
            line.split(move |letter| !is_part(letter))
                .filter(|word| !word.is_empty())
                .map(move |word| (number, word.to_lowercase()))
        })
        .collect()
}

/// Returns the names of the types and traits that are `pub` here. The lint `unreachable_pub`
/// sees to it that the rest of the workspace can name them.
fn public_types(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let item = line.strip_prefix("pub ")?;
        let (kind, rest) = item.split_once(' ')?;
        let is_type = matches!(kind, "struct" | "enum" | "trait" | "type" | "union");
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        is_type
            .then(|| rest.get(..end.unwrap_or(rest.len())))
            .flatten()
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
