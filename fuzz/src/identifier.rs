//! Whatever is read as an identifier is 66 bytes or their hexadecimal form, and nothing else.

use l402::Identifier;

/// Reads the bytes as an identifier.
pub fn run(data: &[u8]) {
    let Ok(identifier) = Identifier::parse(data) else {
        return;
    };
    let bytes = identifier.to_bytes();
    assert_eq!(Identifier::parse(&bytes), Ok(identifier));
    assert!(bytes == data || hex(&bytes) == data.to_ascii_lowercase());

    let (hash, token) = (identifier.payment_hash, identifier.token_id);
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert_eq!(token.to_string().parse(), Ok(token));
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.into_bytes()
}
