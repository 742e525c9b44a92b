//! The challenge list of RFC 9110, section 11.6.1, read the way it is found.
//!
//! ```text
//! challenge = auth-scheme [ 1*SP ( token68 / [ auth-param *( OWS "," OWS auth-param ) ] ) ]
//! list      = challenge *( OWS "," OWS challenge )
//! ```
//!
//! A comma separates parameters as well as challenges, so what follows one is determined by
//! looking ahead: a name followed by `=` is a parameter, any other name is a scheme.
//! Missing commas and unquoted values are read too; that costs nothing in certainty, since
//! a scheme is never followed by `=`.

use super::ChallengeError;

/// One challenge: a scheme and its parameters.
pub(super) struct Item<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Item<'a> {
    pub(super) const fn scheme(&self) -> &'a str {
        self.scheme
    }

    /// The value of a parameter, its name in any case.
    pub(super) fn parameter(&self, name: &'static str) -> Result<Option<&'a str>, ChallengeError> {
        let mut values = self
            .parameters
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let first = values.next().map(|(_, value)| *value);
        if values.any(|(_, value)| Some(*value) != first) {
            return Err(ChallengeError::Ambiguous { parameter: name });
        }
        Ok(first)
    }
}

/// Reads the challenges of one line. Bytes that fit nowhere are skipped.
pub(super) fn items(line: &str) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (name, after) = split_where(rest, |c| !is_token_char(c));
        if name.is_empty() {
            match rest.chars().next() {
                None => return items,
                // Part of a token68 or plain damage: on to the next separator.
                Some(_) => rest = split_where(rest, |c| matches!(c, ' ' | '\t' | ',')).1,
            }
            continue;
        }
        match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            None => {
                items.push(Item {
                    scheme: name,
                    parameters: Vec::new(),
                });
                rest = after;
            }
            Some(value) => {
                let (value, after) = parameter_value(value.trim_start_matches([' ', '\t']));
                if let Some(item) = items.last_mut() {
                    item.parameters.push((name, value));
                }
                rest = after;
            }
        }
    }
}

/// Reads a value, quoted or not. Escapes stay as they are: no value of ours contains any.
fn parameter_value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        return split_where(text, |c| matches!(c, ' ' | '\t' | ','));
    };
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    match end.and_then(|end| quoted.split_at_checked(end)) {
        Some((value, after)) => (value, after.strip_prefix('"').unwrap_or(after)),
        None => (quoted, ""),
    }
}

fn split_where(text: &str, stops: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(stops).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}
