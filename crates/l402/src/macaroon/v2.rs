//! The V2 binary layout: what go-macaroon writes, and nothing looser.
//!
//! ```text
//! macaroon := 02  [01 len location]  02 len identifier  00  caveat*  00  06 20 signature
//! caveat   := [01 len location]  02 len id  [04 len vid]  00
//! ```
//!
//! Lengths are LEB128 and must be minimal, so that a token has one spelling. A location
//! or a verification id belongs to third-party caveats only; a first-party caveat carrying
//! either is refused. Nothing may follow the signature.

use std::ops::Range;

use super::MacaroonError;

/// Where the parts of a valid V2 macaroon lie in its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    pub(super) location: Range<usize>,
    pub(super) identifier: Range<usize>,
    /// All caveats, each with its end mark, without the mark that ends the list.
    pub(super) caveats: Range<usize>,
    pub(super) signature: [u8; 32],
}

/// One caveat as it lies in the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RawCaveat<'a> {
    pub(super) location: &'a [u8],
    pub(super) id: &'a [u8],
    pub(super) vid: Option<&'a [u8]>,
}

impl<'a> RawCaveat<'a> {
    /// Returns the signed bytes: `condition=value` for a first-party caveat, an opaque id otherwise.
    #[must_use]
    pub const fn id(&self) -> &'a [u8] {
        self.id
    }

    /// Returns where a third-party caveat is discharged; empty for first-party ones. Not signed.
    #[must_use]
    pub const fn location(&self) -> &'a [u8] {
        self.location
    }

    /// Returns true when it needs a discharge macaroon of a third party.
    #[must_use]
    pub const fn is_third_party(&self) -> bool {
        self.vid.is_some()
    }
}

/// Checks a whole macaroon and returns where its parts are.
pub(super) fn read(bytes: &[u8]) -> Result<Layout, MacaroonError> {
    if bytes.len() > MAX_MACAROON_LEN {
        return Err(MacaroonError::TooLarge { len: bytes.len() });
    }
    let mut cursor = Cursor { bytes, at: 0 };
    let version = cursor.byte()?;
    if version != VERSION {
        return Err(MacaroonError::UnknownFormat {
            first_byte: version,
        });
    }
    let location = cursor.optional(LOCATION)?.unwrap_or(0..0);
    let identifier = cursor.required(IDENTIFIER)?;
    cursor.end_mark()?;

    let start = cursor.at;
    let mut count = 0_usize;
    while cursor.peek() != Some(END) {
        cursor.caveat()?;
        count = count.saturating_add(1);
        if count > MAX_CAVEATS {
            return Err(MacaroonError::TooManyCaveats);
        }
    }
    let caveats = start..cursor.at;
    cursor.end_mark()?;

    let signature_at = cursor.required(SIGNATURE)?;
    let signature = bytes
        .get(signature_at.clone())
        .and_then(|slice| slice.try_into().ok());
    let Some(signature) = signature else {
        return Err(MacaroonError::SignatureLength {
            len: signature_at.len(),
        });
    };
    match bytes.len().saturating_sub(cursor.at) {
        0 => Ok(Layout {
            location,
            identifier,
            caveats,
            signature,
        }),
        extra => Err(MacaroonError::Trailing { extra }),
    }
}

/// Walks the caveats of a macaroon that [`read`] has accepted.
pub(super) fn caveats(bytes: &[u8], range: Range<usize>) -> impl Iterator<Item = RawCaveat<'_>> {
    let list = bytes.get(range).unwrap_or_default();
    let mut cursor = Cursor { bytes: list, at: 0 };
    std::iter::from_fn(move || {
        cursor.peek()?;
        let (location, id, vid) = cursor.caveat().ok()?;
        Some(RawCaveat {
            location: list.get(location).unwrap_or_default(),
            id: list.get(id).unwrap_or_default(),
            vid: vid.map(|vid| list.get(vid).unwrap_or_default()),
        })
    })
}

/// Writes version, location and identifier.
pub(super) fn write_header(location: &[u8], identifier: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(TYPICAL_LEN);
    bytes.push(VERSION);
    if !location.is_empty() {
        write_field(&mut bytes, LOCATION, location);
    }
    write_field(&mut bytes, IDENTIFIER, identifier);
    bytes.push(END);
    bytes
}

/// Writes one caveat.
pub(super) fn write_caveat(bytes: &mut Vec<u8>, caveat: &RawCaveat<'_>) {
    if !caveat.location.is_empty() {
        write_field(bytes, LOCATION, caveat.location);
    }
    write_field(bytes, IDENTIFIER, caveat.id);
    if let Some(vid) = caveat.vid {
        write_field(bytes, VID, vid);
    }
    bytes.push(END);
}

/// Ends the list of caveats and writes the signature.
pub(super) fn write_end(bytes: &mut Vec<u8>, signature: &[u8; 32]) {
    bytes.push(END);
    write_field(bytes, SIGNATURE, signature);
}

fn write_field(bytes: &mut Vec<u8>, tag: u8, data: &[u8]) {
    bytes.push(tag);
    let mut len = data.len();
    while len > 0x7f {
        bytes.push(0x80 | low_seven_bits(len));
        len >>= 7;
    }
    bytes.push(low_seven_bits(len));
    bytes.extend_from_slice(data);
}

fn low_seven_bits(len: usize) -> u8 {
    u8::try_from(len & 0x7f).unwrap_or(0)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

type CaveatRanges = (Range<usize>, Range<usize>, Option<Range<usize>>);

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn byte(&mut self) -> Result<u8, MacaroonError> {
        let byte = self
            .peek()
            .ok_or(MacaroonError::Truncated { at: self.at })?;
        self.at = self.at.saturating_add(1);
        Ok(byte)
    }

    fn end_mark(&mut self) -> Result<(), MacaroonError> {
        self.tag(END)
    }

    fn tag(&mut self, expected: u8) -> Result<(), MacaroonError> {
        let at = self.at;
        match self.byte()? {
            found if found == expected => Ok(()),
            found => Err(MacaroonError::UnexpectedField {
                at,
                expected,
                found,
            }),
        }
    }

    fn optional(&mut self, tag: u8) -> Result<Option<Range<usize>>, MacaroonError> {
        if self.peek() != Some(tag) {
            return Ok(None);
        }
        self.at = self.at.saturating_add(1);
        self.data().map(Some)
    }

    fn required(&mut self, tag: u8) -> Result<Range<usize>, MacaroonError> {
        let at = self.at;
        self.tag(tag)?;
        let data = self.data()?;
        if data.is_empty() {
            return Err(MacaroonError::Empty { at });
        }
        Ok(data)
    }

    fn data(&mut self) -> Result<Range<usize>, MacaroonError> {
        let len = self.length()?;
        let start = self.at;
        let end = start.saturating_add(len);
        if end > self.bytes.len() {
            return Err(MacaroonError::Truncated {
                at: self.bytes.len(),
            });
        }
        self.at = end;
        Ok(start..end)
    }

    /// Reads a minimal LEB128 number of at most three bytes: more than any macaroon is long.
    fn length(&mut self) -> Result<usize, MacaroonError> {
        let at = self.at;
        let mut len = 0;
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let minimal = byte != 0 || shift == 0;
                return if minimal {
                    Ok(len)
                } else {
                    Err(MacaroonError::Length { at })
                };
            }
        }
        Err(MacaroonError::Length { at })
    }

    fn caveat(&mut self) -> Result<CaveatRanges, MacaroonError> {
        let at = self.at;
        let location = self.optional(LOCATION)?;
        let id = self.required(IDENTIFIER)?;
        let vid = self.optional(VID)?;
        self.end_mark()?;
        match (&location, &vid) {
            (_, Some(vid)) if vid.is_empty() => Err(MacaroonError::Empty { at }),
            (Some(_), None) => Err(MacaroonError::LocationOnFirstParty { at }),
            _ => Ok((location.unwrap_or(0..0), id, vid)),
        }
    }
}

/// Longer macaroons are refused before anything in them is looked at.
pub(super) const MAX_MACAROON_LEN: usize = 8 * 1_024;
/// More caveats than this are refused: each costs an HMAC.
pub(super) const MAX_CAVEATS: usize = 64;

const TYPICAL_LEN: usize = 256;
const VERSION: u8 = 2;
const END: u8 = 0;
const LOCATION: u8 = 1;
const IDENTIFIER: u8 = 2;
const VID: u8 = 4;
const SIGNATURE: u8 = 6;
