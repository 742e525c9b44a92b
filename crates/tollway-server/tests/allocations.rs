//! Memory that admitting a request takes from the allocator.
//!
//! A binary of its own, because it counts those of the whole thread.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code; the exemption for tests does not reach helper functions"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use http::Request;
use http::request::Parts;
use l402::{
    Credential, Invoice, KeyRing, MasterKey, Network, PaymentHash, Preimage, SchemeName, Services,
    UnixSeconds, caveat, mint,
};
use tollway_lightning::{InvoiceState, InvoiceTerms, Invoicer, WalletError};
use tollway_server::ledger::{EventLog, LedgerEvent, MemoryLedger, Stores};
use tollway_server::{
    Ending, Gate, GateSettings, Peer, RequestInfo, Requirement, Terms, Usage, strip_credentials,
};

#[test]
fn a_request_with_a_remembered_credential_allocates_nothing_in_the_gate() {
    let shop = Shop::open();

    let first = shop.allocations_of_a_request();
    let second = shop.allocations_of_a_request();

    println!("{first} allocations for the first request, {second} for the second");
    assert!(first > 0, "they are counted");
    assert_eq!(second, 0);
}

struct Shop {
    gate: Gate,
    requirement: Requirement,
    terms: Terms,
    line: String,
}

impl Shop {
    fn open() -> Self {
        let ring = KeyRing::new(MasterKey::new([1; 32]));
        let preimage = Preimage::new([9; 32]);
        let services = Services::new("weather", 0).unwrap();
        let caveats = [caveat::path_prefix("/v1").unwrap()];
        let hash = preimage.payment_hash();
        let token = mint(&ring, hash, &services, &caveats, NOW, [7; 20]).unwrap();
        let ledger = Arc::new(MemoryLedger::new());
        let stores = Stores {
            events: Arc::new(NoEvents),
            ..Stores::from(ledger)
        };
        let settings = GateSettings {
            clock: || NOW,
            ..GateSettings::default()
        };
        let gate = Gate::open(ring, Arc::new(NoWallet), stores, settings);
        Self {
            gate: ready(gate).unwrap(),
            requirement: Requirement::new("weather".parse().unwrap()),
            terms: Terms::new("1 sat".parse().unwrap()).unwrap(),
            line: Credential::new(token, preimage).authorization(SchemeName::L402),
        }
    }

    /// From the head of a request to the end of its response, without what forwards it.
    fn allocations_of_a_request(&self) -> u64 {
        let mut parts = self.request();
        let before = ALLOCATIONS.get();
        let info = RequestInfo::of(&parts, Peer::default());
        let admitted = self.gate.admit(&self.requirement, &self.terms, &info);
        let mut admitted = ready(admitted).unwrap();
        strip_credentials(&mut parts.headers);
        admitted.settlement.forwarded();
        ready(admitted.settlement.commit()).unwrap();
        let usage = Usage::of_body(100);
        admitted.settlement.finish(Ending::Complete, usage);
        let allocations = ALLOCATIONS.get().saturating_sub(before);
        assert!(parts.headers.get("authorization").is_none());
        allocations
    }

    fn request(&self) -> Parts {
        let request = Request::get("/v1/today")
            .header("host", "api.example")
            .header("user-agent", "curl")
            .header("accept", "*/*")
            .header("authorization", &self.line);
        request.body(()).unwrap().into_parts().0
    }
}

const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

/// The result of a future that does not wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing is waited for")
}

/// Nothing is recorded here.
#[derive(Debug)]
struct NoEvents;

impl EventLog for NoEvents {
    fn record(&self, _event: LedgerEvent) {}

    fn dropped(&self) -> u64 {
        0
    }
}

/// Nothing is sold here.
#[derive(Debug)]
struct NoWallet;

impl Invoicer for NoWallet {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        Box::pin(future::pending())
    }

    fn invoice(&self, _terms: InvoiceTerms) -> BoxFuture<'_, Result<Invoice, WalletError>> {
        Box::pin(future::pending())
    }

    fn lookup(&self, _: PaymentHash) -> BoxFuture<'_, Result<Option<InvoiceState>, WalletError>> {
        Box::pin(future::pending())
    }
}

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe; this one passes everything on"
)]
// SAFETY: every call goes to `System` as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get().saturating_add(1));
        // SAFETY: as for the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as for the caller.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get().saturating_add(1));
        // SAFETY: as for the caller.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
