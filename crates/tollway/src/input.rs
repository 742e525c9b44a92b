//! Arguments as people type them: durations, addresses, URLs, and misspelt names.
//!
//! Every error repeats what was typed and shows a valid text made of it. Neither a query nor a
//! password is repeated: they may be secrets.

mod address;
pub(crate) mod condition;
mod duration;
mod url;

pub(crate) use address::listen;
pub(crate) use duration::duration;
pub(crate) use url::{upstream, url};

/// Returns the known name that is most similar to `name`, if there is any.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let best = known.iter().copied();
    best.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
}
