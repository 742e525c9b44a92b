//! A seller, a buyer, and a wallet that pays for nothing.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use futures_util::future::{self, BoxFuture};
use http::request::Parts;
use http::{HeaderValue, Method, Request, header};
use l402::{
    Credential, Grant, Invoice, KeyRing, MasterKey, Msat, Network, PaymentHash, Preimage,
    SchemeName, TokenId, UnixSeconds,
};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use tollway_lightning::{InvoiceState, InvoiceTerms, Invoicer, WalletError};
use tollway_server::keys::KeySource;
use tollway_server::ledger::{
    EventLog, Ledger, LedgerError, LedgerEvent, MemoryLedger, Period, Refusals, Reports,
    Reservation, Reserved, Revocation, RevocationObserver, Revocations, Sales, TokenRecord, Uses,
};
use tollway_server::paywall::PaywallLayer;
use tollway_server::{
    Admitted, ChallengeLimit, Gate, GateSettings, Loopback, Peer, Pricer, Reason, Rejection,
    RequestInfo, Requirement, ServiceName, Terms,
};

pub(crate) const NOON: UnixSeconds = UnixSeconds::new(1_800_000_000);

thread_local! {
    static NOW: Cell<UnixSeconds> = const { Cell::new(NOON) };
}

/// The clock of this thread's gates.
pub(crate) fn clock() -> UnixSeconds {
    NOW.get()
}

/// Lets this thread's gates grow older.
pub(crate) fn advance_secs(secs: u64) {
    NOW.set(NOW.get().plus_secs(secs));
}

/// A gate, what it is made of, and what most tests buy.
pub(crate) struct Shop {
    pub(crate) gate: Arc<Gate>,
    pub(crate) wallet: Arc<FakeWallet>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) requirement: Requirement,
    pub(crate) terms: Terms,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(Arc::new(MemoryLedger::new()), settings()).await
    }

    pub(crate) async fn with(ledger: Arc<dyn Ledger>, settings: GateSettings) -> Self {
        Self::of(ring(1), ledger, settings).await
    }

    pub(crate) async fn with_keys(keys: impl KeySource + 'static) -> Self {
        Self::of(keys, Arc::new(MemoryLedger::new()), settings()).await
    }

    async fn of(
        keys: impl KeySource + 'static,
        ledger: Arc<dyn Ledger>,
        settings: GateSettings,
    ) -> Self {
        let wallet = Arc::new(FakeWallet::default());
        let invoicer: Arc<dyn Invoicer> = Arc::clone(&wallet) as _;
        let gate = Gate::open(keys, invoicer, Arc::clone(&ledger), settings)
            .await
            .unwrap();
        Self {
            gate: Arc::new(gate),
            wallet,
            ledger,
            requirement: weather(),
            terms: ten_sat(),
        }
    }

    /// A layer that sells what this shop sells.
    pub(crate) fn paywall(&self) -> PaywallLayer {
        let gate = Arc::clone(&self.gate);
        PaywallLayer::new(gate, self.requirement.clone(), self.terms.clone())
    }

    /// Sends a request for what this shop sells, and takes its use if it is admitted.
    pub(crate) async fn admit(&self, parts: &Parts) -> Result<Grant, Rejection> {
        let mut admitted = self.reserve(parts).await?;
        admitted.settlement.commit().await.unwrap();
        Ok(admitted.grant)
    }

    /// Sends a request for what this shop sells, and leaves its use reserved.
    pub(crate) async fn reserve(&self, parts: &Parts) -> Result<Admitted, Rejection> {
        let info = RequestInfo::of(parts, Peer::default());
        self.gate.admit(&self.requirement, &self.terms, &info).await
    }

    /// Why the gate wants to be paid for a request.
    pub(crate) async fn reason(&self, parts: &Parts) -> Reason {
        match self.admit(parts).await {
            Err(Rejection::PaymentRequired(demand)) => demand.reason,
            other => panic!("not a demand: {other:?}"),
        }
    }

    /// Asks, pays, and comes away with a credential.
    pub(crate) async fn buy(&self) -> Credential {
        self.buy_for(&self.requirement, &self.terms).await
    }

    pub(crate) async fn buy_for(&self, requirement: &Requirement, terms: &Terms) -> Credential {
        self.buy_at(requirement, terms, "/").await
    }

    pub(crate) async fn buy_at(
        &self,
        requirement: &Requirement,
        pricer: &dyn Pricer,
        path: &str,
    ) -> Credential {
        let parts = get(path);
        let info = RequestInfo::of(&parts, Peer::default());
        let admitted = self.gate.admit(requirement, pricer, &info).await;
        let rejection = admitted.unwrap_err();
        let Rejection::PaymentRequired(demand) = rejection else {
            panic!("not a demand: {rejection:?}");
        };
        let lines = demand.challenge.iter().map(HeaderValue::as_bytes);
        let challenge = l402::read_challenges(lines).unwrap().remove(0);
        let invoice = Invoice::parse(challenge.invoice()).unwrap();
        Credential::new(
            challenge.token().macaroon().unwrap(),
            self.wallet.pay(&invoice),
        )
    }
}

/// Settings that leave time to the test and never limit it.
pub(crate) fn settings() -> GateSettings {
    GateSettings {
        clock,
        challenge_limit: ChallengeLimit {
            per_minute: NonZeroU32::MAX,
            burst: NonZeroU32::MAX,
            loopback: Loopback::Limited,
        },
        ..GateSettings::default()
    }
}

pub(crate) fn weather() -> Requirement {
    Requirement::new(name("weather"))
}

pub(crate) fn ten_sat() -> Terms {
    Terms::new(TEN_SAT).unwrap()
}

pub(crate) const TEN_SAT: Msat = Msat::from_msat(10_000);

pub(crate) fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

pub(crate) fn uses(count: u64) -> NonZeroU64 {
    NonZeroU64::new(count).unwrap()
}

pub(crate) fn ring(byte: u8) -> KeyRing {
    KeyRing::new(MasterKey::new([byte; 32]))
}

pub(crate) fn get(path: &str) -> Parts {
    Request::get(path).body(()).unwrap().into_parts().0
}

/// A GET of `/` with these `Authorization` lines.
pub(crate) fn get_with<T: AsRef<str>>(lines: &[T]) -> Parts {
    let mut parts = get("/");
    for line in lines {
        let value = HeaderValue::from_str(line.as_ref()).unwrap();
        parts.headers.append(header::AUTHORIZATION, value);
    }
    parts
}

pub(crate) fn paid_get(credential: &Credential) -> Parts {
    get_with(&[credential.authorization(SchemeName::L402)])
}

pub(crate) fn with_method(method: Method) -> Parts {
    let mut parts = get("/");
    parts.method = method;
    parts
}

pub(crate) fn token_id(credential: &Credential) -> TokenId {
    l402::Identifier::parse(credential.macaroon().identifier())
        .unwrap()
        .token_id
}

/// The same token, narrowed by one caveat, with the same preimage.
pub(crate) fn narrowed(credential: &Credential, condition: &str) -> Credential {
    let token = credential.macaroon().with_caveat(condition.as_bytes());
    Credential::new(token.unwrap(), credential.preimage().clone())
}

/// An [`Invoicer`] without a network: it signs real invoices and knows all their preimages.
#[derive(Debug, Default)]
pub(crate) struct FakeWallet {
    preimages: Mutex<HashMap<PaymentHash, Preimage>>,
    mood: Mutex<Mood>,
}

/// What the wallet does when it is asked for an invoice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Mood {
    #[default]
    Works,
    /// Creates an invoice over a millisatoshi more than the price.
    Greedy,
    /// Refuses, with a text that no client may see.
    Down,
    /// Never returns.
    Silent,
}

impl FakeWallet {
    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Invoices made so far.
    pub(crate) fn invoices(&self) -> usize {
        self.preimages.lock().unwrap().len()
    }

    pub(crate) fn pay(&self, invoice: &Invoice) -> Preimage {
        self.preimages.lock().unwrap()[&invoice.payment_hash()].clone()
    }

    fn sign(&self, terms: &InvoiceTerms) -> Invoice {
        let mut preimages = self.preimages.lock().unwrap();
        let number = u64::try_from(preimages.len()).unwrap();
        let preimage = sha256::Hash::hash(&number.to_be_bytes()).to_byte_array();
        let preimage = Preimage::new(preimage);
        let hash = preimage.payment_hash();
        preimages.insert(hash, preimage);
        sign(terms, hash)
    }
}

impl Invoicer for FakeWallet {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        Box::pin(future::ready(Ok(Network::Regtest)))
    }

    fn invoice(&self, mut terms: InvoiceTerms) -> BoxFuture<'_, Result<Invoice, WalletError>> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Works => Box::pin(future::ready(Ok(self.sign(&terms)))),
            Mood::Greedy => {
                terms.amount = Msat::from_msat(terms.amount.as_msat() + 1);
                Box::pin(future::ready(Ok(self.sign(&terms))))
            }
            Mood::Down => Box::pin(future::ready(Err(WalletError::Unreachable {
                reason: BACKEND_SECRET.to_owned(),
            }))),
            Mood::Silent => Box::pin(future::pending()),
        }
    }

    fn lookup(
        &self,
        _hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<InvoiceState>, WalletError>> {
        Box::pin(future::ready(Ok(None)))
    }
}

pub(crate) const BACKEND_SECRET: &str = "dial tcp 10.0.0.7:10009: macaroon 0201036c6e64";

fn sign(terms: &InvoiceTerms, hash: PaymentHash) -> Invoice {
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    let signed = InvoiceBuilder::new(Currency::Regtest)
        .description(terms.memo.clone())
        .payment_hash(sha256::Hash::from_byte_array(*hash.as_bytes()))
        .payment_secret(PaymentSecret([1; 32]))
        .duration_since_epoch(Duration::from_secs(NOON.as_secs()))
        .expiry_time(Duration::from_secs(terms.expiry_secs.into()))
        .min_final_cltv_expiry_delta(80)
        .amount_milli_satoshis(terms.amount.as_msat())
        .build_signed(|message| Secp256k1::new().sign_ecdsa_recoverable(message, &key))
        .unwrap();
    Invoice::parse(&signed.to_string()).unwrap()
}

/// A ledger whose disk is gone.
#[derive(Debug, Default)]
pub(crate) struct BrokenLedger {
    /// Its disk was still there when the gate was opened.
    revocations: MemoryLedger,
}

fn broken<T: Send + 'static>() -> BoxFuture<'static, Result<T, LedgerError>> {
    let error = std::io::Error::other(BACKEND_SECRET);
    Box::pin(future::ready(Err(LedgerError::Store(Arc::new(error)))))
}

impl Uses for BrokenLedger {
    fn reserve(&self, _: TokenId, _: NonZeroU64) -> BoxFuture<'_, Result<Reserved, LedgerError>> {
        broken()
    }

    fn commit(&self, _: Reservation) -> BoxFuture<'_, Result<(), LedgerError>> {
        broken()
    }

    fn release(&self, _: Reservation) {}
}

impl Revocations for BrokenLedger {
    fn revoke(&self, _: Revocation) -> BoxFuture<'_, Result<(), LedgerError>> {
        broken()
    }

    fn all(&self) -> BoxFuture<'_, Result<Vec<Revocation>, LedgerError>> {
        self.revocations.all()
    }

    fn watch(&self, observer: RevocationObserver) {
        self.revocations.watch(observer);
    }
}

impl EventLog for BrokenLedger {
    fn record(&self, _: LedgerEvent) {}

    fn dropped(&self) -> u64 {
        0
    }
}

impl Reports for BrokenLedger {
    fn sales(&self, _period: Period) -> BoxFuture<'_, Result<Vec<Sales>, LedgerError>> {
        broken()
    }

    fn refusals(&self, _period: Period) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>> {
        broken()
    }

    fn token(&self, _: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, LedgerError>> {
        broken()
    }

    fn tokens(
        &self,
        _period: Period,
        _count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, LedgerError>> {
        broken()
    }
}

/// A ledger whose disk fills up between reserving and committing.
#[derive(Debug, Default)]
pub(crate) struct FailingCommits(MemoryLedger);

impl Uses for FailingCommits {
    fn reserve(
        &self,
        token: TokenId,
        max: NonZeroU64,
    ) -> BoxFuture<'_, Result<Reserved, LedgerError>> {
        self.0.reserve(token, max)
    }

    fn commit(&self, _: Reservation) -> BoxFuture<'_, Result<(), LedgerError>> {
        broken()
    }

    fn release(&self, reservation: Reservation) {
        self.0.release(reservation);
    }
}

impl Revocations for FailingCommits {
    fn revoke(&self, revocation: Revocation) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.0.revoke(revocation)
    }

    fn all(&self) -> BoxFuture<'_, Result<Vec<Revocation>, LedgerError>> {
        self.0.all()
    }

    fn watch(&self, observer: RevocationObserver) {
        self.0.watch(observer);
    }
}

impl EventLog for FailingCommits {
    fn record(&self, event: LedgerEvent) {
        self.0.record(event);
    }

    fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}

impl Reports for FailingCommits {
    fn sales(&self, period: Period) -> BoxFuture<'_, Result<Vec<Sales>, LedgerError>> {
        self.0.sales(period)
    }

    fn refusals(&self, period: Period) -> BoxFuture<'_, Result<Vec<Refusals>, LedgerError>> {
        self.0.refusals(period)
    }

    fn token(&self, token: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, LedgerError>> {
        self.0.token(token)
    }

    fn tokens(
        &self,
        period: Period,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, LedgerError>> {
        self.0.tokens(period, count_max)
    }
}
