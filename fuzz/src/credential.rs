//! Whatever is read as a credential is written back to the same credential and is recognised
//! wherever it has to be removed.

use l402::{Credential, SchemeName, is_credential_line, is_credential_metadata, read_credentials};

/// Reads the bytes: lines up to an empty one are `Authorization`, those after it metadata.
pub fn run(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let middle = lines.iter().position(|line| line.is_empty());
    let (authorization, metadata) = lines.split_at(middle.unwrap_or(lines.len()));

    let credentials = read_credentials(authorization.iter().copied(), metadata.iter().copied())
        .unwrap_or_default();
    assert!(credentials.len() <= 4);
    for credential in &credentials {
        check(credential);
    }
    for line in authorization {
        let alone = read_credentials([*line], []);
        let presents_ours = !matches!(alone.as_deref(), Ok([]));
        assert!(
            !presents_ours || is_credential_line(line),
            "what is read as ours is removed as ours"
        );
    }
    for value in metadata {
        let alone = read_credentials([], [*value]).unwrap_or_default();
        assert_eq!(!alone.is_empty(), is_credential_metadata(value));
    }
}

fn check(credential: &Credential) {
    for scheme in [SchemeName::L402, SchemeName::Lsat] {
        let line = credential.authorization(scheme);
        assert_eq!(Credential::parse(&line).as_ref(), Ok(credential));
        assert!(is_credential_line(line.as_bytes()));
    }
    assert_eq!(format!("{credential:?}"), "Credential(redacted)");
}
