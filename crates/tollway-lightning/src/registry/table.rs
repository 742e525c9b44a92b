//! Wallet table: the fields that describe a wallet in a configuration file.

use std::collections::BTreeMap;
use std::fmt;

use super::plain_name;

/// Fields and their values. A value may be a credential by mistake, therefore `Debug` shows
/// the names only.
#[derive(Clone, Default)]
pub struct WalletTable {
    fields: BTreeMap<String, String>,
}

impl WalletTable {
    /// Returns the value of a field.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    /// Returns the value of a field that must be there.
    ///
    /// # Errors
    ///
    /// [`TableError::Missing`].
    pub fn required(&self, field: &'static str) -> Result<&str, TableError> {
        self.get(field).ok_or(TableError::Missing { field })
    }

    /// Refuses fields that are not in `known`: a field that is not read would be ignored.
    pub(super) fn check(&self, known: &[&'static str]) -> Result<(), TableError> {
        let unknown = self
            .fields
            .keys()
            .find(|name| !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| Err(unknown_field(name, known)))
    }

    /// The error for a table that no scheme recognises; `known` are the marking fields.
    pub(super) fn no_scheme(&self, known: &[&'static str]) -> TableError {
        let likeness = |name: &String| {
            let alike = known.iter().map(|known| strsim::jaro_winkler(known, name));
            alike.fold(0.0, f64::max)
        };
        let mut names: Vec<&String> = self.fields.keys().collect();
        names.sort_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        unknown_field(names.last().map_or("", |name| name.as_str()), known)
    }
}

impl FromIterator<(String, String)> for WalletTable {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(fields: I) -> Self {
        let fields = fields.into_iter().collect();
        Self { fields }
    }
}

impl fmt::Debug for WalletTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

fn unknown_field(name: &str, known: &[&'static str]) -> TableError {
    let likeness = |known: &&str| strsim::jaro_winkler(known, name);
    let nearest = known
        .iter()
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    TableError::Unknown {
        field: plain_name(name).unwrap_or("(not shown)").to_owned(),
        nearest: nearest.map_or_else(String::new, |nearest| (*nearest).to_owned()),
        known: known.join(", "),
    }
}

/// Why a table describes no wallet.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A field that must be there is not.
    #[error("field `{field}` is missing")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field that is not read.
    #[error("unknown field `{field}`: did you mean `{nearest}`? (known: {known})")]
    Unknown {
        /// Its name.
        field: String,
        /// The known field with the most similar name.
        nearest: String,
        /// All known fields.
        known: String,
    },
}
