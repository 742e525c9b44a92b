//! The V1 binary layout, read only: lines of four hexadecimal digits, a name and data.
//!
//! ```text
//! packet := length(4 lower-case hex digits, of the whole packet)  name  SP  data  LF
//! order  := location  identifier  (cid [vid cl])*  signature
//! ```
//!
//! The signature chain is the same as V2's, so what is read here is kept as V2.

use super::MacaroonError;
use super::v2::{self, RawCaveat};

/// Reads a V1 macaroon and returns the same macaroon in V2 bytes.
pub(super) fn to_v2(bytes: &[u8]) -> Result<Vec<u8>, MacaroonError> {
    if bytes.len() > v2::MAX_MACAROON_LEN {
        return Err(MacaroonError::TooLarge { len: bytes.len() });
    }
    let mut packets = Packets { bytes, at: 0 };
    let location = packets.named("location")?;
    let identifier = packets.named("identifier")?;
    let mut out = v2::write_header(location, identifier);
    loop {
        let packet = packets.next()?;
        match packet.name {
            b"cid" => {
                let (vid, location) = packets.third_party()?;
                v2::write_caveat(
                    &mut out,
                    &RawCaveat {
                        location,
                        id: packet.data,
                        vid,
                    },
                );
            }
            b"signature" => {
                let signature = packet.data.try_into().map_err(|_wrong_length| {
                    MacaroonError::SignatureLength {
                        len: packet.data.len(),
                    }
                })?;
                v2::write_end(&mut out, signature);
                return packets.end().map(|()| out);
            }
            _ => {
                return Err(MacaroonError::V1Packet {
                    at: packet.at,
                    expected: "cid or signature",
                });
            }
        }
    }
}

struct Packet<'a> {
    at: usize,
    name: &'a [u8],
    data: &'a [u8],
}

struct Packets<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Packets<'a> {
    fn named(&mut self, name: &'static str) -> Result<&'a [u8], MacaroonError> {
        let packet = self.next()?;
        if packet.name != name.as_bytes() {
            return Err(MacaroonError::V1Packet {
                at: packet.at,
                expected: name,
            });
        }
        Ok(packet.data)
    }

    /// The `vid` and `cl` packets that make the caveat before them a third party's.
    fn third_party(&mut self) -> Result<(Option<&'a [u8]>, &'a [u8]), MacaroonError> {
        let start = self.at;
        if self.next()?.name != b"vid" {
            self.at = start;
            return Ok((None, &[]));
        }
        self.at = start;
        let vid = self.named("vid")?;
        Ok((Some(vid), self.named("cl")?))
    }

    fn next(&mut self) -> Result<Packet<'a>, MacaroonError> {
        let at = self.at;
        let truncated = MacaroonError::Truncated { at };
        let rest = self.bytes.get(at..).unwrap_or_default();
        let (digits, _) = rest.split_first_chunk::<4>().ok_or(truncated.clone())?;
        let len = packet_len(digits).ok_or(MacaroonError::Length { at })?;
        let body = rest.get(4..len).ok_or(truncated)?;
        let malformed = MacaroonError::V1Packet {
            at,
            expected: "a name, a space, data and a line feed",
        };
        let (line_feed, content) = body.split_last().ok_or(malformed.clone())?;
        let space = content
            .iter()
            .position(|byte| *byte == b' ')
            .ok_or(malformed.clone())?;
        if *line_feed != b'\n' {
            return Err(malformed);
        }
        self.at = at.saturating_add(len);
        let (name, data) = content.split_at(space);
        Ok(Packet {
            at,
            name,
            data: data.get(1..).unwrap_or_default(),
        })
    }

    fn end(&self) -> Result<(), MacaroonError> {
        match self.bytes.len().saturating_sub(self.at) {
            0 => Ok(()),
            extra => Err(MacaroonError::Trailing { extra }),
        }
    }
}

fn packet_len(digits: &[u8; 4]) -> Option<usize> {
    digits.iter().try_fold(0, |len: usize, digit| {
        let value = match digit {
            b'0'..=b'9' => digit.wrapping_sub(b'0'),
            b'a'..=b'f' => digit.wrapping_sub(b'a').wrapping_add(10),
            _ => return None,
        };
        Some((len << 4) | usize::from(value))
    })
}
