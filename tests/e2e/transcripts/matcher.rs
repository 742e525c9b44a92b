//! Comparison of output with the patterns of a page.

use snapbox::Data;
use snapbox::filter::NormalizeToExpected;
use snapbox::report::{Palette, write_diff};

/// Returns `actual`, with the pattern in the place of what it matches: equal to `expected` when
/// all of it matches.
pub fn with_patterns(actual: &str, expected: &str) -> String {
    let actual = Data::text(trimmed(actual));
    let normal = NormalizeToExpected::new()
        .redact()
        .normalize(actual, &Data::text(expected));
    normal.to_string()
}

pub fn matches(actual: &str, expected: &str) -> bool {
    with_patterns(actual, expected) == expected
}

/// Returns whether the first lines of `actual` match all of `expected`. If anything is expected,
/// that is a line at least.
pub fn begins_with(actual: &str, expected: &str) -> bool {
    let mut ends = actual.match_indices('\n').map(|(at, _)| at + 1);
    expected.is_empty() || ends.any(|end| matches(&actual[..end], expected))
}

/// Returns the lines that differ, marked with `-` where expected and with `+` where printed.
pub fn difference(stream: &str, actual: &str, expected: &str) -> String {
    let mut text = String::new();
    write_diff(
        &mut text,
        &Data::text(expected),
        &Data::text(with_patterns(actual, expected)),
        Some(&format!("expected {stream}")),
        Some(&format!("actual {stream}")),
        Palette::plain(),
    )
    .unwrap();
    text
}

/// Returns the text without what a page cannot show: blanks at the end of a line, and the
/// absence of the last line's end.
fn trimmed(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}
