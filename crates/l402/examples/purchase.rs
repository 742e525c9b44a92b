//! A whole purchase in one program: issue, quote, pay, present, attenuate and verify.
//!
//! `cargo run -p l402 --example purchase`
#![expect(clippy::print_stdout, reason = "prints each step")]

use std::error::Error;

use l402::{
    Challenge, Credential, Denial, Invoice, KeyRing, LegacyLsat, MasterKey, Network, Preimage,
    Quote, RequestContext, RevocationSet, Services, UnixSeconds, caveat, read_challenges,
    read_credentials, verify,
};

/// 10 sat on regtest. A seller has its wallet create one for each challenge.
const INVOICE: &str = include_str!("invoice.txt");
const NOW: UnixSeconds = UnixSeconds::new(1_700_000_000);

fn main() -> Result<(), Box<dyn Error>> {
    // A real seller draws both from a random generator.
    let ring = KeyRing::new(MasterKey::new([1; 32]));
    let entropy = [2; 20];

    let invoice: Invoice = INVOICE.trim().parse()?;
    let services = Services::new("weather", 0)?;
    let challenge = Challenge::issue(&ring, &invoice, &services, &[], NOW, entropy)?;
    let lines = challenge.header_values(LegacyLsat::Emit);
    println!("402, {} challenge lines", lines.len());

    let challenges = read_challenges(lines.iter().map(String::as_bytes))?;
    let challenge = challenges.first().ok_or("no challenge")?;
    let quote = Quote::read(challenge, Network::Regtest, NOW)?;
    println!("quoted {}", quote.price());

    let preimage = pay(&quote);
    let authorization = challenge.authorization(&preimage);
    let credentials = read_credentials([authorization.as_bytes()], [])?;
    let credential = credentials.into_iter().next().ok_or("no credential")?;
    println!("bought: {:?}", verdict(&ring, &credential, "/v2/today"));

    let condition = caveat::path_prefix("/v1")?;
    let macaroon = credential.macaroon().with_caveat(condition)?;
    let narrowed = Credential::new(macaroon, credential.preimage().clone());
    println!("narrowed: {:?}", verdict(&ring, &narrowed, "/v2/today"));
    Ok(())
}

/// Stands for a wallet: returns the preimage of the one invoice above.
fn pay(_quote: &Quote) -> Preimage {
    Preimage::new([9; 32])
}

fn verdict(ring: &KeyRing, credential: &Credential, path: &str) -> Result<(), Denial> {
    let request = RequestContext::new("weather", "GET", path, NOW);
    verify(ring, &RevocationSet::default(), credential, &request).map(drop)
}
