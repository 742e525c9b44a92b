//! What may be shown of a text that a server wrote.

/// Returns true for a character that commands a terminal, changes the order of what is shown
/// around it, or cannot be seen: controls, line and paragraph separators, marks and overrides of
/// direction, and what has no width.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Returns as much of a text as may be shown: at most `max` characters, without hidden ones.
pub(crate) fn visible(text: &str, max: usize) -> String {
    text.chars().filter(|c| !is_hidden(*c)).take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reorders_a_line_or_cannot_be_seen_is_not_shown() {
        let text = "us\u{202e}ed\u{2066} u\u{200b}p\u{2028}\u{feff}\u{1b}[2J \u{fc}ber €5";

        assert_eq!(visible(text, 99), "used up[2J über €5");
        assert_eq!(visible("ab\u{200f}cd", 3), "abc");
    }
}
