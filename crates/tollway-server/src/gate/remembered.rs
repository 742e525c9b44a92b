//! Verified credentials that are remembered, so that the next request with one costs a comparison.
//!
//! What is kept is a [`Proof`]: signature, payment and caveats are not looked at again, while
//! time, keys, revocations and the request are at every use. A hit needs all bytes of the
//! `Authorization` line to be those that were verified.
//!
//! Only what is paid for gets in, and a payment has its place: all credentials of one preimage,
//! however narrowed or spelt, share the set of [`WAYS`] entries that a keyed hash of the
//! preimage selects, and take [`OWN_MAX`] of them at most: a new one then evicts one
//! of the same payment. Lines over [`LINE_BYTES_MAX`] are not kept: an entry has about three times
//! the bytes of its line and a few hundred more, so 2,048 entries are 3 MiB when they are usual and
//! 9 MiB at most.
//!
//! Read without a lock, by any number of threads; a set is replaced as a whole.

use std::array;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use l402::{Msat, Preimage, Proof};
use zeroize::Zeroizing;

use crate::in_flight::TokenRequests;
use crate::ledger::Tally;

/// The credentials remembered.
pub(super) struct Remembered {
    sets: Box<[ArcSwap<Set>]>,
    /// Odd, and secret: without it, tokens that share a set cannot be bought on purpose.
    key: u128,
    /// Counted up, so that another entry is evicted each time.
    evicted: AtomicUsize,
}

type Set = [Option<Arc<Entry>>; WAYS];

/// One credential, as it was presented, and what is known of it.
pub(super) struct Entry {
    line: Zeroizing<Vec<u8>>,
    /// Stands for the payment.
    place: u64,
    pub(super) proof: Proof,
    pub(super) account: Account,
}

/// What is counted of a credential.
#[derive(Debug)]
pub(super) struct Account {
    /// What the token cost.
    pub(super) paid: Option<Msat>,
    /// All requests of the token that are being served.
    pub(super) requests: Arc<TokenRequests>,
    /// Its requests that were granted.
    pub(super) granted: Tally,
}

impl Account {
    /// Returns the same account once more.
    pub(super) fn share(&self) -> Self {
        Self {
            paid: self.paid,
            requests: Arc::clone(&self.requests),
            granted: self.granted.share(),
        }
    }
}

impl Remembered {
    /// Creates an empty memory of `entries_max` credentials, rounded up to whole sets.
    pub(super) fn new(entries_max: usize) -> Self {
        let sets = 0..entries_max.div_ceil(WAYS);
        Self {
            sets: sets.map(|_| ArcSwap::default()).collect(),
            key: random() | 1,
            evicted: AtomicUsize::new(0),
        }
    }

    /// Calls `read` with what is known of an `Authorization` line; `None` for an unknown one.
    pub(super) fn find<T>(&self, line: &[u8], read: impl FnOnce(&Entry) -> Option<T>) -> Option<T> {
        let place = self.place(preimage_end(line)?);
        let set = self.set(place)?.load();
        let mut entries = set.iter().flatten();
        entries
            .find(|entry| entry.place == place && is_same(&entry.line, line))
            .and_then(|entry| read(entry))
    }

    /// Remembers an `Authorization` line that presented one credential, which was verified and has
    /// this preimage.
    pub(super) fn keep(&self, line: &[u8], preimage: &Preimage, proof: Proof, account: Account) {
        // Other spellings end with something else, and could be kept at any place.
        let hex = Zeroizing::new(preimage.expose_hex());
        let end = preimage_end(line).filter(|end| preimage_end(hex.as_bytes()) == Some(*end));
        let Some(place) = end.map(|end| self.place(end)) else {
            return;
        };
        let Some(set) = self.set(place).filter(|_| line.len() <= LINE_BYTES_MAX) else {
            return;
        };
        let entry = Arc::new(Entry {
            line: Zeroizing::new(line.to_vec()),
            place,
            proof,
            account,
        });
        let first = self.evicted.fetch_add(1, Ordering::Relaxed);
        set.rcu(|before| with_entry(before, &entry, first));
    }

    /// Multiply-shift hashing: universal, as long as the key is secret.
    fn place(&self, preimage_end: u128) -> u64 {
        upper_half(preimage_end.wrapping_mul(self.key))
    }

    /// `None` when nothing is to be remembered.
    fn set(&self, place: u64) -> Option<&ArcSwap<Set>> {
        let sets = u128::try_from(self.sets.len()).ok()?;
        let at = upper_half(u128::from(place).wrapping_mul(sets));
        self.sets.get(usize::try_from(at).ok()?)
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remembered({} sets, redacted)", self.sets.len())
    }
}

/// Returns the set with one more entry: in the place of the same line, of another one of the same
/// payment when that has its share, in an empty place, or in that of any other.
fn with_entry(before: &Set, entry: &Arc<Entry>, first: usize) -> Set {
    let ways = || array::from_fn::<_, WAYS, _>(|at| first.wrapping_add(at) % WAYS).into_iter();
    let at = |way: usize| before.get(way).and_then(Option::as_ref);
    let is_own = |way: &usize| at(*way).is_some_and(|held| held.place == entry.place);
    let is_same = |way: &usize| at(*way).is_some_and(|held| is_same(&held.line, &entry.line));
    let is_over = ways().filter(is_own).count() >= OWN_MAX;
    let way = ways()
        .find(is_same)
        .or_else(|| ways().find(is_own).filter(|_| is_over))
        .or_else(|| ways().find(|way| at(*way).is_none()))
        .unwrap_or(first % WAYS);
    let mut after = before.clone();
    if let Some(slot) = after.get_mut(way) {
        *slot = Some(Arc::clone(entry));
    }
    after
}

/// Reads the last 64 bits of the preimage at the end of a line: 16 digits, in lower case.
fn preimage_end(line: &[u8]) -> Option<u128> {
    let digits = line.last_chunk::<16>()?;
    Some(u128::from_be_bytes(*digits) | u128::from_be_bytes([0x20; 16]))
}

fn random() -> u128 {
    let [upper, lower] = [
        RandomState::new().hash_one(0),
        RandomState::new().hash_one(1),
    ];
    u128::from(upper) << 64 | u128::from(lower)
}

fn upper_half(number: u128) -> u64 {
    u64::try_from(number >> 64).unwrap_or(u64::MAX)
}

/// Compares all bytes, whether or not one of the first differs: they are secrets.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    let words = a_words.iter().zip(b_words);
    let words = words.fold(0, |differing, (a, b)| {
        differing | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b))
    });
    let rest = a_rest.iter().zip(b_rest);
    let rest = rest.fold(0, |differing, (a, b)| differing | (a ^ b));
    a.len() == b.len() && words == 0 && rest == 0
}

const WAYS: usize = 4;
/// Entries of one payment.
const OWN_MAX: usize = 2;
/// Five caveats make a line of about 450 bytes.
const LINE_BYTES_MAX: usize = 1_536;

#[cfg(test)]
mod tests {
    use l402::{
        Credential, KeyRing, MasterKey, RequestContext, RevocationSet, SchemeName, Services,
        UnixSeconds, mint,
    };

    use super::*;
    use crate::in_flight::InFlight;

    #[test]
    fn a_line_is_known_when_all_of_its_bytes_are() {
        let memory = Remembered::new(64);
        let (line, other) = (keep(&memory, 1, "a=1"), line(&bought(1, "a=2")));
        assert!(is_known(&memory, &line));
        assert!(!is_known(&memory, &other));

        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            assert!(!is_known(&memory, &changed), "byte {at}");
        }
        for cut in [&line[1..], &line[..line.len() - 1], &line[..16], b""] {
            assert!(!is_known(&memory, cut));
        }
    }

    #[test]
    fn lines_of_one_payment_evict_those_of_the_same_payment_only() {
        let memory = Remembered::new(4);
        let others = [keep(&memory, 1, "a=1"), keep(&memory, 2, "a=1")];

        let lines: Vec<_> = (0..100)
            .map(|number| keep(&memory, 3, &format!("a={number}")))
            .collect();

        assert!(others.iter().all(|line| is_known(&memory, line)));
        let known = lines.iter().filter(|line| is_known(&memory, line));
        assert_eq!(known.count(), OWN_MAX);
        assert!(is_known(&memory, &lines[99]));
    }

    #[test]
    fn no_spelling_of_a_preimage_gives_a_payment_more_room() {
        let memory = Remembered::new(4_096);
        let credential = bought(1, "a=1");
        let token = credential.macaroon().to_base64();
        let hex = credential.preimage().expose_hex();
        for number in 0..64_u32 {
            let spelt = hex.char_indices().map(|(at, digit)| {
                let is_upper = at < 32 && number >> (at % 6) & 1 == 1;
                if is_upper {
                    digit.to_ascii_uppercase()
                } else {
                    digit
                }
            });
            let spelt = format!("L402 {token}:{}", spelt.collect::<String>());
            keep_line(&memory, &credential, spelt.as_bytes());
            let folded = format!("L402 {token}:{hex}, Basic x:{number:064x}");
            keep_line(&memory, &credential, folded.as_bytes());
        }

        assert_eq!(entries(&memory), OWN_MAX);
    }

    #[test]
    fn entries_and_their_bytes_are_bounded() {
        let memory = Remembered::new(8);
        for number in 0..100 {
            keep(&memory, number, "a=1");
        }
        assert!(entries(&memory) <= 8);

        let long = keep(&memory, 101, &format!("a={}", "x".repeat(LINE_BYTES_MAX)));
        assert!(!is_known(&memory, &long));
        let off = Remembered::new(0);
        assert!(!is_known(&off, &keep(&off, 1, "a=1")));
    }

    #[test]
    fn debug_shows_nothing_of_a_credential() {
        let memory = Remembered::new(8);
        keep(&memory, 1, "a=1");
        assert_eq!(format!("{memory:?}"), "Remembered(2 sets, redacted)");
    }

    const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

    fn ring() -> KeyRing {
        KeyRing::new(MasterKey::new([1; 32]))
    }

    fn bought(payment: u8, caveat: &str) -> Credential {
        let mut preimage = [0xab; 32];
        preimage[31] = payment;
        let preimage = Preimage::new(preimage);
        let services = Services::new("weather", 0).unwrap();
        let hash = preimage.payment_hash();
        let token = mint(&ring(), hash, &services, &[], NOW, [7; 20]).unwrap();
        Credential::new(token.with_caveat(caveat).unwrap(), preimage)
    }

    fn line(credential: &Credential) -> Vec<u8> {
        credential.authorization(SchemeName::L402).into_bytes()
    }

    fn keep(memory: &Remembered, payment: u8, caveat: &str) -> Vec<u8> {
        let credential = bought(payment, caveat);
        let line = line(&credential);
        keep_line(memory, &credential, &line);
        line
    }

    fn keep_line(memory: &Remembered, credential: &Credential, line: &[u8]) {
        let request = RequestContext::new("weather", "GET", "/", NOW);
        let revoked = RevocationSet::default();
        let (verified, proof) = Proof::establish(&ring(), &revoked, credential, &request).unwrap();
        let requests = InFlight::default().of(verified.scope().identifier().token_id);
        let account = Account {
            paid: None,
            requests,
            granted: Tally::default(),
        };
        memory.keep(line, credential.preimage(), proof, account);
    }

    fn is_known(memory: &Remembered, line: &[u8]) -> bool {
        memory.find(line, |_entry| Some(())).is_some()
    }

    fn entries(memory: &Remembered) -> usize {
        memory
            .sets
            .iter()
            .map(|set| set.load().iter().flatten().count())
            .sum()
    }
}
