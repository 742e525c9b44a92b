//! The V2 JSON layout, read only.
//!
//! ```text
//! {"v":2, "l":location, "i"|"i64":identifier, "c":[{"i"|"i64", "v"|"v64", "l"}], "s64":signature}
//! ```
//!
//! Writers differ: some leave out `v`, some write it as a text, some write `null` for what is
//! not there, and base64 comes in every alphabet. All of those are read. A field given in
//! both its forms has two readings and is refused.

use serde::Deserialize;

use super::MacaroonError;
use super::v2::{self, RawCaveat};
use crate::encoding;

/// Reads a V2 JSON macaroon and returns the same macaroon in V2 bytes.
pub(super) fn to_v2(bytes: &[u8]) -> Result<Vec<u8>, MacaroonError> {
    if bytes.len() > MAX_JSON_LEN {
        return Err(MacaroonError::TooLarge { len: bytes.len() });
    }
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| MacaroonError::Json {
            line: error.line(),
            column: error.column(),
        })?;
    if !document.version_is_2() {
        return Err(MacaroonError::JsonField { field: "v" });
    }
    let identifier =
        either(document.i, document.i64, "i")?.ok_or(MacaroonError::JsonField { field: "i" })?;
    let location = document.l.unwrap_or_default();
    let mut out = v2::write_header(location.as_bytes(), &identifier);
    for caveat in document.c.unwrap_or_default() {
        let id = either(caveat.i, caveat.i64, "c.i")?
            .ok_or(MacaroonError::JsonField { field: "c.i" })?;
        let vid = either(caveat.v, caveat.v64, "c.v")?;
        let packet = RawCaveat {
            location: caveat.l.as_deref().unwrap_or_default().as_bytes(),
            id: &id,
            vid: vid.as_deref(),
        };
        v2::write_caveat(&mut out, &packet);
    }
    let signature =
        either(document.s, document.s64, "s")?.ok_or(MacaroonError::JsonField { field: "s" })?;
    let signature = signature.as_slice().try_into().map_err(|_wrong_length| {
        MacaroonError::SignatureLength {
            len: signature.len(),
        }
    })?;
    v2::write_end(&mut out, signature);
    Ok(out)
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    v: serde_json::Value,
    l: Option<String>,
    i: Option<String>,
    i64: Option<String>,
    c: Option<Vec<JsonCaveat>>,
    s: Option<String>,
    s64: Option<String>,
}

impl Document {
    fn version_is_2(&self) -> bool {
        self.v.is_null() || self.v == 2 || self.v == "2"
    }
}

#[derive(Deserialize)]
struct JsonCaveat {
    i: Option<String>,
    i64: Option<String>,
    v: Option<String>,
    v64: Option<String>,
    l: Option<String>,
}

fn either(
    text: Option<String>,
    base64: Option<String>,
    field: &'static str,
) -> Result<Option<Vec<u8>>, MacaroonError> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(MacaroonError::JsonField { field }),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(base64)) => encoding::base64_any(base64.as_bytes())
            .map(Some)
            .ok_or(MacaroonError::JsonField { field }),
        (None, None) => Ok(None),
    }
}

/// Base64 and JSON punctuation around the same content.
const MAX_JSON_LEN: usize = 2 * v2::MAX_MACAROON_LEN;
