//! Admission: who is let through, and what a rejection costs the seller.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use futures_util::future::{self, BoxFuture};
use l402::{Credential, Denial, Msat, SchemeName};
use tollway_server::ledger::{Ledger, MemoryLedger, Period, SqliteLedger};
use tollway_server::{
    ChallengeLimit, Ending, Gate, GateSettings, Loopback, Outage, Peeked, Peer, PriceTable, Pricer,
    PricerError, Reason, ReasonCode, Rejection, RequestInfo, Requirement, Terms, Usage,
};

use crate::support::{
    BrokenLedger, Mood, NOON, Shop, TEN_SAT, advance_secs, get, get_with, name, narrowed, paid_get,
    ring, settings, ten_sat, token_id, uses, weather,
};

const ONE_SAT: Msat = Msat::from_msat(1_000);

#[tokio::test]
async fn a_paid_token_opens_the_gate_as_often_as_wanted() {
    let shop = Shop::open().await;
    let credential = shop.buy().await;

    for _ in 0..3 {
        let grant = shop.admit(&paid_get(&credential)).await.unwrap();
        assert_eq!(grant.identifier().token_id, token_id(&credential));
    }
    assert_eq!(shop.wallet.invoices(), 1);
}

#[tokio::test]
async fn each_way_of_not_having_paid_has_its_reason() {
    let shop = Shop::open().await;
    let credential = shop.buy().await;
    let other_preimage =
        Credential::new(credential.macaroon().clone(), l402::Preimage::new([9; 32]));
    let forger = Shop::with(Arc::new(MemoryLedger::new()), settings()).await;
    let forged = Gate::open(
        ring(2),
        forger.wallet.clone(),
        forger.ledger.clone(),
        settings(),
    );
    let forger = Shop {
        gate: Arc::new(forged.await.unwrap()),
        ..forger
    };

    for (parts, code) in [
        (get("/"), ReasonCode::NoCredential),
        (get_with(&["Bearer abc"]), ReasonCode::NoCredential),
        (get_with(&["L402 abc"]), ReasonCode::Malformed),
        (get_with(&["LSAT ::::"]), ReasonCode::Malformed),
        (paid_get(&other_preimage), ReasonCode::Denied("unpaid")),
        (paid_get(&forger.buy().await), ReasonCode::Denied("forged")),
        (
            paid_get(&narrowed(&credential, "weather_valid_until=1")),
            ReasonCode::Denied("expired"),
        ),
        (
            paid_get(&narrowed(&credential, "weather_valid_until=soon")),
            ReasonCode::Denied("unreadable_caveat"),
        ),
        (
            paid_get(&narrowed(&credential, "services=weather:0,maps:0")),
            ReasonCode::Denied("widened_caveat"),
        ),
        (
            paid_get(&narrowed(&credential, "method=POST")),
            ReasonCode::Denied("wrong_method"),
        ),
        (
            paid_get(&narrowed(&credential, "path_prefix=/v1")),
            ReasonCode::Denied("wrong_path"),
        ),
        (
            paid_get(&narrowed(&credential, "ip=192.0.2.1")),
            ReasonCode::Denied("wrong_client"),
        ),
    ] {
        let rejection = shop.admit(&parts).await.unwrap_err();
        assert_eq!(rejection.code(), code, "{rejection}");
        assert!(
            matches!(rejection, Rejection::PaymentRequired(_)),
            "{rejection}"
        );
    }
}

#[tokio::test]
async fn a_token_of_another_service_is_no_good() {
    let shop = Shop::open().await;
    let maps = Requirement::new(name("maps"));
    let credential = shop.buy_for(&maps, &ten_sat()).await;

    let reason = shop.reason(&paid_get(&credential)).await;

    assert_eq!(reason.code(), ReasonCode::Denied("wrong_service"));
}

#[tokio::test]
async fn a_cheap_tier_does_not_buy_a_dear_one() {
    let shop = Shop::open().await;
    let cheap = shop.buy().await;
    let dear = Shop {
        requirement: weather().with_tier(2),
        ..shop
    };

    let reason = dear.reason(&paid_get(&cheap)).await;

    assert_eq!(reason.code(), ReasonCode::Denied("tier_too_low"));
    assert!(dear.admit(&paid_get(&dear.buy().await)).await.is_ok());
}

#[tokio::test]
async fn a_cheap_capability_does_not_buy_a_dear_one() {
    let shop = Shop::open().await;
    let read = weather().with_capability("read".parse().unwrap());
    let dear = Shop {
        requirement: weather().with_capability("write".parse().unwrap()),
        ..shop
    };
    let credential = dear.buy_for(&read, &ten_sat()).await;

    let reason = dear.reason(&paid_get(&credential)).await;

    assert_eq!(reason.code(), ReasonCode::Denied("missing_capability"));
    assert!(dear.admit(&paid_get(&dear.buy().await)).await.is_ok());
}

#[tokio::test]
async fn a_token_of_a_path_buys_that_path_and_no_other() {
    let shop = Shop::open().await;
    let by_path = weather().bound_to_path();
    let table = PriceTable::new(ten_sat()).with_path("/cheap", Terms::new(ONE_SAT).unwrap());
    let credential = shop.buy_at(&by_path, &table, "/cheap").await;
    let peek = async |path| {
        let mut parts = paid_get(&credential);
        parts.uri = path;
        let info = RequestInfo::of(&parts, Peer::default());
        shop.gate.peek(&by_path, &info).await.unwrap()
    };

    let Peeked::Granted { paid, .. } = peek("/cheap?q=1".parse().unwrap()).await else {
        panic!("not granted");
    };
    assert_eq!(paid, Some(ONE_SAT));
    for path in ["/dear", "/", "/cheap/", "/cheap:0", "//cheap"] {
        let peeked = peek(path.parse().unwrap()).await;
        let Peeked::Refused(reason) = peeked else {
            panic!("{path}: {peeked:?}");
        };
        assert_eq!(reason.code(), ReasonCode::Denied("wrong_service"), "{path}");
    }
}

#[tokio::test]
async fn a_token_of_the_whole_service_does_not_buy_what_is_sold_by_path() {
    let mut shop = Shop::open().await;
    let credential = shop.buy().await;
    shop.requirement = weather().bound_to_path();

    let reason = shop.reason(&paid_get(&credential)).await;

    assert_eq!(reason.code(), ReasonCode::Denied("wrong_service"));
}

#[tokio::test]
async fn a_unsellable_path_to_be_sold_costs_no_invoice() {
    let mut shop = Shop::open().await;
    shop.requirement = weather().bound_to_path();
    let path = format!("/{}", "a".repeat(512));

    let rejection = shop.admit(&get(&path)).await.unwrap_err();

    assert!(
        matches!(rejection, Rejection::UnsellablePath(_)),
        "{rejection:?}"
    );
    assert_eq!(shop.wallet.invoices(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pricer_that_fails_or_hangs_is_our_failure() {
    let shop = Shop::open().await;
    let parts = get("/");
    let info = RequestInfo::of(&parts, Peer::default());

    for hangs in [false, true] {
        let pricer = BrokenPricer { hangs };
        let admitted = shop.gate.admit(&shop.requirement, &pricer, &info);
        let rejection = admitted.await.unwrap_err();
        assert_eq!(rejection.code(), ReasonCode::Unavailable, "{rejection:?}");
    }
    assert_eq!(shop.wallet.invoices(), 0);
}

#[derive(Debug)]
struct BrokenPricer {
    hangs: bool,
}

impl Pricer for BrokenPricer {
    fn terms<'a>(&'a self, _: &'a RequestInfo<'a>) -> BoxFuture<'a, Result<Terms, PricerError>> {
        if self.hangs {
            return Box::pin(future::pending());
        }
        Box::pin(future::ready(Err(PricerError::new("no such table"))))
    }
}

#[tokio::test]
async fn a_token_ends_when_the_terms_said() {
    let mut shop = Shop::open().await;
    shop.terms = shop.terms.with_validity_secs(uses(60));
    let credential = shop.buy().await;
    advance_secs(59);
    assert!(shop.admit(&paid_get(&credential)).await.is_ok());
    advance_secs(1);

    let reason = shop.reason(&paid_get(&credential)).await;

    assert_eq!(reason.code(), ReasonCode::Denied("expired"));
}

#[tokio::test]
async fn an_old_token_beside_a_new_one_does_no_harm() {
    let shop = Shop::open().await;
    let good = shop.buy().await.authorization(SchemeName::L402);
    let old = narrowed(&shop.buy().await, "weather_valid_until=1").authorization(SchemeName::L402);
    let older =
        narrowed(&shop.buy().await, "weather_valid_until=2").authorization(SchemeName::L402);

    for lines in [[&good, &old], [&old, &good]] {
        assert!(shop.admit(&get_with(&lines)).await.is_ok());
    }
    assert!(
        shop.admit(&get_with(&[&old, &older, &good])).await.is_err(),
        "two are tried and no more"
    );
}

#[tokio::test]
async fn the_reason_is_that_of_the_first_credential() {
    let shop = Shop::open().await;
    let expired = narrowed(&shop.buy().await, "weather_valid_until=1");
    let elsewhere = narrowed(&shop.buy().await, "path_prefix=/v1");
    let lines = [&expired, &elsewhere].map(|credential| credential.authorization(SchemeName::Lsat));

    let reason = shop.reason(&get_with(&lines)).await;

    assert_eq!(reason.code(), ReasonCode::Denied("expired"));
}

#[tokio::test]
async fn looking_at_a_counted_token_takes_no_use() {
    let mut shop = Shop::open().await;
    shop.terms = shop.terms.with_uses_max(uses(1));
    let parts = paid_get(&shop.buy().await);
    let info = RequestInfo::of(&parts, Peer::default());

    for _ in 0..3 {
        let peeked = shop.gate.peek(&shop.requirement, &info).await.unwrap();
        assert!(matches!(peeked, Peeked::Granted { .. }), "{peeked:?}");
    }
    assert!(shop.admit(&parts).await.is_ok());
    assert_eq!(shop.reason(&parts).await, Reason::Exhausted);
}

#[tokio::test]
async fn a_use_is_settled_as_its_holder_reports() {
    let mut shop = Shop::open().await;
    shop.terms = shop.terms.with_uses_max(uses(1));

    for (case, is_used) in [
        ("dropped before it was forwarded", false),
        ("released after it was forwarded", false),
        ("dropped after it was forwarded", true),
        ("finished", true),
        ("committed and released", true),
        ("commit dropped", true),
    ] {
        let parts = paid_get(&shop.buy().await);
        let mut settlement = shop.reserve(&parts).await.unwrap().settlement;
        assert!(settlement.is_counted());
        match case {
            "dropped before it was forwarded" => drop(settlement),
            "released after it was forwarded" => {
                settlement.forwarded();
                settlement.release();
            }
            "dropped after it was forwarded" => {
                settlement.forwarded();
                drop(settlement);
            }
            "finished" => settlement.finish(Ending::ClientLeft, Usage::of_body(3)),
            "committed and released" => {
                settlement.commit().await.unwrap();
                settlement.release();
            }
            "commit dropped" => drop(settlement.commit()),
            _ => unreachable!(),
        }

        assert_eq!(shop.admit(&parts).await.is_err(), is_used, "{case}");
    }
}

#[tokio::test]
async fn a_token_whose_uses_are_all_being_served_is_not_called_unpaid() {
    let mut shop = Shop::open().await;
    shop.terms = shop.terms.with_uses_max(uses(1));
    let parts = paid_get(&shop.buy().await);
    let first = shop.reserve(&parts).await.unwrap();
    let invoices = shop.wallet.invoices();

    let rejection = shop.admit(&parts).await.unwrap_err();

    assert_eq!(rejection.code(), ReasonCode::TokenInUse);
    assert_eq!(shop.wallet.invoices(), invoices, "nothing is sold again");
    drop(first);
    assert!(shop.admit(&parts).await.is_ok());
}

#[tokio::test]
async fn an_exhausted_token_beside_a_new_one_does_no_harm() {
    let mut shop = Shop::open().await;
    shop.terms = shop.terms.with_uses_max(uses(1));
    let old = shop.buy().await;
    shop.admit(&paid_get(&old)).await.unwrap();
    let new = shop.buy().await;
    let lines = [&old, &new].map(|credential| credential.authorization(SchemeName::L402));

    let grant = shop.admit(&get_with(&lines)).await.unwrap();

    assert_eq!(grant.identifier().token_id, token_id(&new));
}

#[tokio::test]
async fn a_token_that_is_not_counted_has_nothing_to_settle() {
    let shop = Shop::with(Arc::new(BrokenLedger::default()), settings()).await;
    let parts = paid_get(&shop.buy().await);

    let mut settlement = shop.reserve(&parts).await.unwrap().settlement;

    assert!(!settlement.is_counted());
    settlement.forwarded();
    settlement.commit().await.unwrap();
    settlement.finish(Ending::Complete, Usage::default());
}

#[tokio::test]
async fn narrowing_a_counted_token_does_not_multiply_its_uses() {
    let mut shop = Shop::open().await;
    shop.terms = shop.terms.with_uses_max(uses(2));
    let credential = shop.buy().await;
    let mut admitted = 0;

    for at in 0..10 {
        let delegated = narrowed(&credential, &format!("note={at}"));
        admitted += u32::from(shop.admit(&paid_get(&delegated)).await.is_ok());
    }

    assert_eq!(admitted, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_counted_token_is_never_used_more_often_than_its_caveat_allows() {
    let folder = tempfile::tempdir().unwrap();
    let on_disk = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let ledgers: [Arc<dyn Ledger>; 2] = [Arc::new(MemoryLedger::new()), Arc::new(on_disk)];

    for ledger in ledgers {
        let mut shop = Shop::with(ledger, settings()).await;
        shop.terms = shop.terms.with_uses_max(uses(10));
        let parts = paid_get(&shop.buy().await);
        let shop = Arc::new(shop);
        let requests: Vec<_> = (0..64)
            .map(|_| {
                let (shop, parts) = (Arc::clone(&shop), parts.clone());
                tokio::spawn(async move { shop.admit(&parts).await.is_ok() })
            })
            .collect();

        let mut admitted = 0;
        for request in requests {
            admitted += u32::from(request.await.unwrap());
        }
        assert_eq!(admitted, 10, "{:?}", shop.ledger);
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_from_the_next_request_on() {
    let shop = Shop::open().await;
    let revoked = shop.buy().await;
    let other = shop.buy().await;
    assert!(shop.admit(&paid_get(&revoked)).await.is_ok());

    let revocations = shop.gate.revocations();
    revocations.revoke(token_id(&revoked)).await.unwrap();

    let reason = shop.reason(&paid_get(&revoked)).await;
    assert_eq!(reason, Reason::Denied(Denial::Revoked));
    assert!(shop.admit(&paid_get(&other)).await.is_ok());
}

#[tokio::test]
async fn a_revocation_survives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let open = || async {
        let ledger = SqliteLedger::open(&path).unwrap();
        Shop::with(Arc::new(ledger), settings()).await
    };
    let shop = open().await;
    let (single, old) = (shop.buy().await, shop.buy().await);
    let revocations = shop.gate.revocations();
    revocations.revoke(token_id(&single)).await.unwrap();
    advance_secs(1);
    let later = NOON.plus_secs(1);
    drop(shop);

    let shop = open().await;
    let reason = shop.reason(&paid_get(&single)).await;
    assert_eq!(reason, Reason::Denied(Denial::Revoked));
    assert!(shop.admit(&paid_get(&old)).await.is_ok());
    let revocations = shop.gate.revocations();
    revocations.revoke_minted_before(later).await.unwrap();
    drop(shop);

    let shop = open().await;
    let reason = shop.reason(&paid_get(&old)).await;
    assert_eq!(reason, Reason::Denied(Denial::Revoked));
}

#[tokio::test]
async fn a_revocation_that_is_not_kept_is_not_reported_as_done() {
    let shop = Shop::with(Arc::new(BrokenLedger::default()), settings()).await;
    let credential = shop.buy().await;

    let revocations = shop.gate.revocations();
    assert!(revocations.revoke(token_id(&credential)).await.is_err());

    assert!(shop.admit(&paid_get(&credential)).await.is_ok());
}

#[tokio::test]
async fn a_wallet_that_is_down_is_our_failure() {
    let shop = Shop::open().await;
    let credential = shop.buy().await;
    shop.wallet.set_mood(Mood::Down);

    let rejection = shop.admit(&get("/")).await.unwrap_err();

    assert!(
        matches!(rejection, Rejection::Unavailable(Outage::Invoicer(_))),
        "{rejection:?}"
    );
    assert!(
        shop.admit(&paid_get(&credential)).await.is_ok(),
        "who has paid does not need the wallet"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wallet_that_does_not_respond_is_given_up_on() {
    let shop = Shop::open().await;
    shop.wallet.set_mood(Mood::Silent);

    let rejection = shop.admit(&get("/")).await.unwrap_err();

    assert!(
        matches!(
            rejection,
            Rejection::Unavailable(Outage::WalletSlow { timeout_ms: 10_000 })
        ),
        "{rejection:?}"
    );
}

#[tokio::test]
async fn a_slow_wallet_does_not_collect_waiting_requests() {
    let settings = GateSettings {
        invoices_in_flight_max: 2,
        ..settings()
    };
    let shop = Shop::with(Arc::new(MemoryLedger::new()), settings).await;
    shop.wallet.set_mood(Mood::Silent);
    let parts = get("/");
    let mut first = Box::pin(shop.admit(&parts));
    let mut second = Box::pin(shop.admit(&parts));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());

    let third = shop.admit(&parts).await.unwrap_err();

    let busy = |rejection: &Rejection| {
        matches!(
            rejection,
            Rejection::Unavailable(Outage::WalletBusy { in_flight_max: 2 })
        )
    };
    assert!(busy(&third), "{third:?}");
    drop(first);
    assert!(
        futures_util::poll!(Box::pin(shop.admit(&parts))).is_pending(),
        "a client that hangs up makes room"
    );
}

#[tokio::test]
async fn an_invoice_over_another_amount_is_never_passed_on() {
    let shop = Shop::open().await;
    shop.wallet.set_mood(Mood::Greedy);

    let rejection = shop.admit(&get("/")).await.unwrap_err();

    assert!(
        matches!(
            rejection,
            Rejection::Unavailable(Outage::WrongInvoice { .. })
        ),
        "{rejection:?}"
    );
}

#[tokio::test]
async fn without_a_ledger_plain_tokens_go_on_and_counted_ones_wait() {
    let shop = Shop::with(Arc::new(BrokenLedger::default()), settings()).await;
    let plain = paid_get(&shop.buy().await);
    let counted = paid_get(
        &shop
            .buy_for(&weather(), &ten_sat().with_uses_max(uses(5)))
            .await,
    );

    assert!(shop.admit(&plain).await.is_ok());
    let rejection = shop.admit(&counted).await.unwrap_err();
    assert!(
        matches!(rejection, Rejection::Unavailable(Outage::Ledger(_))),
        "{rejection:?}"
    );
}

#[tokio::test]
async fn a_network_that_asks_too_often_waits_and_no_invoice_is_made_for_it() {
    let settings = GateSettings {
        challenge_limit: ChallengeLimit {
            per_minute: NonZeroU32::new(60).unwrap(),
            burst: NonZeroU32::new(3).unwrap(),
            loopback: Loopback::Limited,
        },
        ..settings()
    };
    let shop = Shop::with(Arc::new(MemoryLedger::new()), settings).await;
    let credential = shop.buy().await;
    let (unpaid, paid) = (get("/"), paid_get(&credential));
    let ask = async |parts, address: &str| {
        let info = RequestInfo::of(parts, Peer::at(address.parse().unwrap()));
        let admitted = shop.gate.admit(&shop.requirement, &shop.terms, &info);
        admitted.await
    };
    for _ in 0..3 {
        ask(&unpaid, "192.0.2.1").await.unwrap_err();
    }
    let made = shop.wallet.invoices();

    let rejection = ask(&unpaid, "192.0.2.77").await.unwrap_err();

    let Rejection::TooManyChallenges(over) = rejection else {
        panic!("{rejection:?}");
    };
    assert_eq!(over.retry_after_secs, 1);
    assert_eq!(shop.wallet.invoices(), made);
    assert!(ask(&paid, "192.0.2.1").await.is_ok());
    let neighbour = ask(&unpaid, "192.0.3.1").await.unwrap_err();
    assert!(matches!(neighbour, Rejection::PaymentRequired(_)));
    advance_secs(1);
    let later = ask(&unpaid, "192.0.2.1").await.unwrap_err();
    assert!(matches!(later, Rejection::PaymentRequired(_)));
}

#[tokio::test]
async fn the_books_say_what_was_paid_and_not_what_it_would_cost_today() {
    let mut shop = Shop::open().await;
    let credential = shop.buy().await;
    shop.terms = Terms::new(Msat::from_msat(99_000)).unwrap();

    for _ in 0..3 {
        shop.admit(&paid_get(&credential)).await.unwrap();
    }

    let sales = shop.ledger.sales(Period::AllTime).await.unwrap();
    assert_eq!(sales.len(), 1);
    assert_eq!((sales[0].payments, sales[0].requests), (1, 3));
    assert_eq!(sales[0].revenue, TEN_SAT);
}

#[tokio::test]
async fn a_buyer_cannot_rewrite_the_books() {
    let shop = Shop::open().await;
    let credential = narrowed(&shop.buy().await, "price_msat=1000000000");

    shop.admit(&paid_get(&credential)).await.unwrap();

    assert_eq!(
        shop.ledger.sales(Period::AllTime).await.unwrap()[0].revenue,
        TEN_SAT
    );
}

#[tokio::test]
async fn refusals_are_counted_and_unpaid_challenges_are_not_kept() {
    let shop = Shop::open().await;
    for _ in 0..5 {
        shop.admit(&get("/")).await.unwrap_err();
    }
    shop.wallet.set_mood(Mood::Down);
    shop.admit(&get("/")).await.unwrap_err();

    let refusals = shop.ledger.refusals(Period::AllTime).await.unwrap();

    let counted: Vec<_> = refusals
        .iter()
        .map(|refused| (refused.reason.as_str(), refused.count))
        .collect();
    assert_eq!(counted, [("no_credential", 5), ("unavailable", 1)]);
    assert_eq!(shop.ledger.sales(Period::AllTime).await.unwrap(), []);
}

#[tokio::test]
async fn absurd_numbers_in_a_token_hurt_only_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let shop = Shop::with(Arc::new(ledger), settings()).await;
    let credential = shop
        .buy_for(&weather(), &ten_sat().with_uses_max(NonZeroU64::MAX))
        .await;

    shop.admit(&paid_get(&credential)).await.unwrap();
    shop.admit(&paid_get(&shop.buy().await)).await.unwrap();

    assert_eq!(
        shop.ledger.sales(Period::AllTime).await.unwrap()[0].payments,
        2
    );
}
