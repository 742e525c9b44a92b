//! A seller and a buyer.
//!
//! The wallet is made up: it signs real invoices and knows all their preimages, so that a
//! test can pay without a network. Real wallets are exercised by the contract tests of
//! `tollway-lightning` and the end-to-end tests of the binary.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use futures_util::future::{self, BoxFuture};
use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use l402::{
    Credential, Invoice, KeyRing, MasterKey, Msat, Network, PaymentHash, Preimage, SchemeName,
    UnixSeconds,
};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use tollway_gateway::Price;
use tollway_lightning::{InvoiceState, InvoiceTerms, Invoicer, WalletError};
use tollway_server::ledger::{MemoryLedger, Stores};
use tollway_server::{ChallengeLimit, Gate, GateSettings, Loopback, Requirement, Terms};

/// A gate and the wallet behind it.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) gate: Arc<Gate>,
    pub(crate) wallet: Arc<FakeWallet>,
    pub(crate) requirement: Requirement,
    pub(crate) terms: Terms,
}

impl Shop {
    /// Sells `weather` for ten satoshis, at noon.
    pub(crate) async fn open() -> Self {
        Self::with(weather(), ten_sat(), 1, || NOON).await
    }

    pub(crate) async fn with(
        requirement: Requirement,
        terms: Terms,
        key: u8,
        clock: fn() -> UnixSeconds,
    ) -> Self {
        let stores = Arc::new(MemoryLedger::new());
        Self::on(stores, requirement, terms, key, clock).await
    }

    /// Sells one use of `weather`, counted in `stores`.
    pub(crate) async fn single_use(stores: impl Into<Stores>) -> Self {
        let once = ten_sat().with_uses_max(NonZeroU64::MIN);
        Self::on(stores, weather(), once, 1, || NOON).await
    }

    async fn on(
        stores: impl Into<Stores>,
        requirement: Requirement,
        terms: Terms,
        key: u8,
        clock: fn() -> UnixSeconds,
    ) -> Self {
        let wallet = Arc::new(FakeWallet::default());
        let ring = KeyRing::new(MasterKey::new([key; 32]));
        let settings = GateSettings {
            clock,
            challenge_limit: ChallengeLimit {
                per_minute: NonZeroU32::MAX,
                burst: NonZeroU32::MAX,
                loopback: Loopback::Exempt,
            },
            ..GateSettings::default()
        };
        let invoicer: Arc<dyn Invoicer> = Arc::clone(&wallet) as _;
        let gate = Gate::open(ring, invoicer, stores, settings);
        Self {
            gate: Arc::new(gate.await.unwrap()),
            wallet,
            requirement,
            terms,
        }
    }

    pub(crate) fn price(&self) -> Price {
        Price::Paid {
            gate: Arc::clone(&self.gate),
            requirement: Box::new(self.requirement.clone()),
            pricer: Arc::new(self.terms.clone()),
        }
    }

    /// A credential that buys any number of requests here.
    pub(crate) async fn buy(&self) -> Credential {
        let (head, ()) = http::Request::new(()).into_parts();
        let info = tollway_server::RequestInfo::of(&head, tollway_server::Peer::default());
        let admitted = self.gate.admit(&self.requirement, &self.terms, &info).await;
        let rejection = admitted.unwrap_err();
        let tollway_server::Rejection::PaymentRequired(demand) = rejection else {
            panic!("not a demand: {rejection:?}");
        };
        let lines = demand.challenge.iter().map(http::HeaderValue::as_bytes);
        self.pay(l402::read_challenges(lines).unwrap().remove(0))
    }

    /// The credential a 402's headers ask for.
    pub(crate) fn pay_for(&self, refused: &HeaderMap) -> Credential {
        let lines = refused
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .map(http::HeaderValue::as_bytes);
        self.pay(l402::read_challenges(lines).unwrap().remove(0))
    }

    pub(crate) async fn authorization(&self) -> String {
        self.buy().await.authorization(SchemeName::L402)
    }

    fn pay(&self, challenge: l402::Challenge) -> Credential {
        let invoice = Invoice::parse(challenge.invoice()).unwrap();
        let preimage = self.wallet.preimages.lock().unwrap()[&invoice.payment_hash()].clone();
        Credential::new(challenge.token().macaroon().unwrap(), preimage)
    }
}

pub(crate) fn weather() -> Requirement {
    Requirement::new("weather".parse().unwrap())
}

pub(crate) fn ten_sat() -> Terms {
    Terms::new(Msat::from_msat(10_000)).unwrap()
}

pub(crate) const NOON: UnixSeconds = UnixSeconds::new(1_800_000_000);

#[derive(Debug, Default)]
pub(crate) struct FakeWallet {
    preimages: Mutex<HashMap<PaymentHash, Preimage>>,
    down: AtomicBool,
}

impl FakeWallet {
    pub(crate) fn go_down(&self) {
        self.down.store(true, Ordering::Relaxed);
    }

    /// Returns the number of invoices made so far.
    pub(crate) fn invoices(&self) -> usize {
        self.preimages.lock().unwrap().len()
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

    fn invoice(&self, terms: InvoiceTerms) -> BoxFuture<'_, Result<Invoice, WalletError>> {
        let answer = if self.down.load(Ordering::Relaxed) {
            Err(WalletError::Unreachable {
                reason: BACKEND_SECRET.to_owned(),
            })
        } else {
            Ok(self.sign(&terms))
        };
        Box::pin(future::ready(answer))
    }

    fn lookup(
        &self,
        _hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<InvoiceState>, WalletError>> {
        Box::pin(future::ready(Ok(None)))
    }
}

pub(crate) const BACKEND_SECRET: &str = "dial tcp 10.0.0.7:10009";

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
