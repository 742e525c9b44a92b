//! Whatever is read as a challenge can be written in the one emitted form and is read back.

use l402::{Challenge, Invoice, LegacyLsat, SchemeName, read_challenges};

/// Reads the bytes, one header line each, as challenges.
pub fn run(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n');
    let Ok(challenges) = read_challenges(lines) else {
        return;
    };
    let l402_first = |pair: &[Challenge]| {
        pair[0].name() == SchemeName::L402 || pair[1].name() == SchemeName::Lsat
    };
    assert!(challenges.windows(2).all(l402_first));
    for challenge in &challenges {
        if let Ok(macaroon) = challenge.token().macaroon() {
            super::macaroon::run(macaroon.as_bytes());
        }
        let _ = Invoice::parse(challenge.invoice());
        // A quoted value keeps its escapes, and some of those cannot stand at its end.
        if !challenge.invoice().contains(['"', '\\']) {
            check_written(challenge);
        }
    }
}

fn check_written(challenge: &Challenge) {
    let written = challenge.header_values(LegacyLsat::Emit);
    let read = read_challenges(written.iter().map(String::as_bytes));
    let read = read.expect("as written");
    let names: Vec<SchemeName> = read.iter().map(Challenge::name).collect();
    assert_eq!(names, [SchemeName::L402, SchemeName::Lsat]);
    for read in &read {
        assert_eq!(read.token(), challenge.token());
        assert_eq!(read.invoice(), challenge.invoice());
    }
}
