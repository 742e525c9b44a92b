//! Tokens exchanged both ways between our macaroons and other libraries'.
//!
//! A peer is a script with two verbs. `mint` prints tokens it minted, in every form its
//! library writes; we read, verify and narrow them. `check` receives ours, and its own as we
//! narrowed them; it reads, verifies and narrows them in turn, and we verify the result. Root
//! keys travel along: what is compared is the derivation, the hash chain and the layout.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use l402::{
    Caveat, KeyRing, Macaroon, MasterKey, PaymentHash, RootKey, RootKeys, Services, UnixSeconds,
    caveat, mint,
};
use serde::{Deserialize, Serialize};

use super::report::{Checks, Halt};
use super::{Setup, install, process};

const PATIENCE: Duration = Duration::from_secs(30);
const NARROWER: &[u8] = b"method=GET";

/// With PyPI pymacaroons.
pub(super) fn with_python(setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
    let python = install::python(setup, "macaroons/requirements.txt")?;
    let script = setup.workspace.interop("macaroons/peer.py");
    let ask = |verb: &str| {
        let mut command = Command::new(&python);
        command.arg(&script).arg(verb);
        command
    };
    converse(&ask, checks)
}

/// With npm macaroon.
pub(super) fn with_node(setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
    let modules = install::node_modules(setup, "macaroons")?;
    let script = setup.workspace.interop("macaroons/peer.js");
    let ask = |verb: &str| {
        let mut command = Command::new("node");
        command.arg(&script).arg(verb).env("NODE_PATH", &modules);
        command
    };
    converse(&ask, checks)
}

/// How a peer is asked for one verb.
type Peer<'a> = dyn Fn(&str) -> Command + 'a;

/// A token, and what it must be found to say. Byte strings are hexadecimal.
#[derive(Debug, Deserialize, Serialize)]
struct Sample {
    form: String,
    root: String,
    token: String,
    identifier: String,
    caveats: Vec<String>,
}

fn converse(peer: &Peer<'_>, checks: &mut Checks<'_>) -> Result<(), Halt> {
    let theirs = checks.check("its tokens are read and verified", || {
        let samples = ask(peer, "mint", &[])?;
        ensure!(!samples.is_empty(), "it minted none");
        samples.iter().map(accept).collect::<Result<Vec<_>>>()
    })?;
    let mut given = ours()?;
    for (macaroon, root) in &theirs {
        let narrowed = macaroon.with_caveat(NARROWER).context("cannot narrow")?;
        given.push(Sample::new("theirs, narrowed here", &narrowed, root));
    }
    let returned = checks.check("it reads and verifies ours", || {
        let returned = ask(peer, "check", &given)?;
        ensure!(
            returned.len() == given.len(),
            "{} of {} came back",
            returned.len(),
            given.len()
        );
        Ok(returned)
    })?;
    checks.check("what it narrowed is verified", || {
        for (before, after) in given.iter().zip(&returned) {
            accept(after)?;
            let added = after.caveats.len().checked_sub(before.caveats.len());
            ensure!(
                added == Some(1),
                "{}: {added:?} caveats were added",
                after.form
            );
        }
        Ok(())
    })
}

fn ask(peer: &Peer<'_>, verb: &str, samples: &[Sample]) -> Result<Vec<Sample>> {
    let input = serde_json::to_string(samples)?;
    let answer = process::output_with_input(&mut peer(verb), PATIENCE, &input)?;
    serde_json::from_str(&answer).with_context(|| format!("it printed {answer}"))
}

impl Sample {
    fn new(form: &str, macaroon: &Macaroon, root: &RootKey) -> Self {
        Self {
            form: form.to_owned(),
            root: hex::encode(root.expose()),
            token: macaroon.to_hex(),
            identifier: hex::encode(macaroon.identifier()),
            caveats: conditions(macaroon),
        }
    }
}

/// Tokens as our gateway mints them: bare, and with every kind of caveat it writes.
fn ours() -> Result<Vec<Sample>> {
    let ring = KeyRing::new(MasterKey::new([7; 32]));
    let services = Services::new("weather", 0)?.and("maps", 1)?;
    let narrowed = [
        caveat::valid_until("weather", UnixSeconds::new(4_000_000_000))?,
        caveat::capabilities("weather", &["read", "write"])?,
    ];
    let lists: [(&str, &[Caveat]); 2] = [("ours, bare", &[]), ("ours, with caveats", &narrowed)];
    let mut samples = Vec::new();
    for (form, caveats) in lists {
        let now = UnixSeconds::new(1_700_000_000);
        let token = mint(
            &ring,
            PaymentHash::new([9; 32]),
            &services,
            caveats,
            now,
            [3; 20],
        )?;
        let root = ring
            .root_key(token.identifier())
            .context("the ring does not know its own token")?;
        samples.push(Sample::new(form, &token, &root));
    }
    Ok(samples)
}

/// Reads a peer's token and compares it with the peer's description.
fn accept(sample: &Sample) -> Result<(Macaroon, RootKey)> {
    let form = &sample.form;
    let root: [u8; 32] = hex::decode(&sample.root)?
        .try_into()
        .map_err(|_| anyhow::anyhow!("{form}: a root key of another length"))?;
    let macaroon = Macaroon::parse(&hex::decode(&sample.token)?)
        .with_context(|| format!("{form}: not read"))?;
    ensure!(
        hex::encode(macaroon.identifier()) == sample.identifier,
        "{form}: another identifier"
    );
    ensure!(
        conditions(&macaroon) == sample.caveats,
        "{form}: other caveats"
    );

    let mut other = root;
    other.reverse();
    if macaroon.verify(&RootKey::new(other)).is_ok() {
        bail!("{form}: verifies under another root key");
    }
    let root = RootKey::new(root);
    macaroon
        .verify(&root)
        .with_context(|| format!("{form}: does not verify"))?;
    Ok((macaroon, root))
}

fn conditions(macaroon: &Macaroon) -> Vec<String> {
    macaroon
        .unverified_caveats()
        .map(|caveat| hex::encode(caveat.id()))
        .collect()
}
