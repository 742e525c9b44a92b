//! What every database must do, run against each.

use std::collections::HashSet;

use l402::{Limits, Msat, Preimage, SchemeName, Token};
use tollway_lightning::{FeeCap, LookupByHash, PayerPromises, Repeat, WalletIdentity, WalletKey};

use super::*;
use crate::client::WalletFacts;
use crate::error::NotPaid;
use crate::policy::{AfterRefusal, KillSwitch};
use crate::refusal_reason::RefusalReason;
use crate::verdict::Verdict;

const NOON: UnixSeconds = UnixSeconds::new(1_700_000_000 + 43_200);

const WALLET: WalletFacts = WalletFacts {
    identity: WalletIdentity::new(WalletKey::Node([2; 33]), l402::Network::Regtest),
    promises: PayerPromises {
        fee_cap: FeeCap::Enforced,
        lookup: LookupByHash::Supported,
        repeat: Repeat::PaysOnce,
    },
};

/// Invoices for 10 sat on regtest, and what settles them.
struct Sale {
    payable: l402::Payable,
    preimage: Preimage,
}

struct Buyer {
    book: Book,
    dir: tempfile::TempDir,
    limits: Limits,
    after_refusal: AfterRefusal,
    now: UnixSeconds,
}

/// Runs a test on every database.
fn on_each(test: impl Fn(Buyer)) {
    test(Buyer::new(Book::open));
    test(Buyer::new(|_dir| Book::in_memory()));
}

impl Buyer {
    fn new(open: impl Fn(&Path) -> Book) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            book: open(dir.path()),
            dir,
            limits: Limits {
                price_max: sat(100),
                fee_max: sat(2),
                per_host: None,
                per_day: None,
                total: None,
            },
            after_refusal: AfterRefusal::Wait,
            now: NOON,
        }
    }

    fn begin(&self, sale: &Sale, path: &str) -> Result<(Purchase, Ticket), BeginError> {
        self.begin_knowing(sale, path, &[])
    }

    fn begin_knowing(
        &self,
        sale: &Sale,
        path: &str,
        presented: &[PaymentHash],
    ) -> Result<(Purchase, Ticket), BeginError> {
        self.book.begin(&Admission {
            resource: &resource(path),
            addressed: &resource(path).origin,
            payable: &sale.payable,
            token: &token(),
            wallet: &WALLET,
            wallet_name: &WalletName::new("fake:buyer"),
            rules: Rules {
                limits: &self.limits,
                after_refusal: self.after_refusal,
                kill_switch: &self.kill_switch(),
                clock: &|| self.now,
            },
            presented: &presented.iter().copied().collect::<HashSet<_>>(),
        })
    }

    fn take_over(&self, sale: &Sale) -> Result<Option<(Purchase, Ticket)>, BeginError> {
        let rules = Rules {
            limits: &self.limits,
            after_refusal: self.after_refusal,
            kill_switch: &self.kill_switch(),
            clock: &|| self.now,
        };
        self.book.take_over(&sale.hash(), &rules)
    }

    fn kill_switch(&self) -> KillSwitch {
        KillSwitch::new(self.dir.path().join("stop"), None)
    }

    fn buy(&self, sale: &Sale, path: &str, presented: &[PaymentHash]) {
        let (_purchase, _ticket) = self.begin_knowing(sale, path, presented).unwrap();
        self.settle(sale, Publication::AtOnce);
    }

    fn settle(&self, sale: &Sale, publication: Publication) -> Purchase {
        let event = PurchaseEvent::Settled {
            preimage: sale.preimage.clone(),
            fee: sat(1),
        };
        self.book
            .settle(&sale.hash(), event, "", publication)
            .unwrap()
    }

    fn refuse(
        &self,
        hash: &PaymentHash,
        resource: &TargetResource,
        reason: &RefusalReason,
        now: UnixSeconds,
    ) -> Result<(), BookError> {
        let refused = Refused {
            payment_hash: *hash,
            resource: resource.clone(),
            reason: reason.clone(),
            presentation: None,
            verdict: Verdict::Plausible,
            brakes: Vec::new(),
        };
        self.book.refuse(&refused, now)
    }

    fn shown_at(&self, path: &str) -> Vec<PaymentHash> {
        let view = self.book.view(&resource(path), self.now).unwrap();
        let credentials = view.credentials.iter();
        credentials.map(StoredCredential::payment_hash).collect()
    }

    fn total(&self) -> Msat {
        self.book.charged("example.com", self.now).unwrap().total
    }
}

impl Sale {
    fn new(number: u8) -> Self {
        let preimage = Preimage::new([number; 32]);
        let invoice = invoice(preimage.payment_hash());
        Self {
            payable: l402::Payable::new(invoice, "example.com").unwrap(),
            preimage,
        }
    }

    fn hash(&self) -> PaymentHash {
        self.payable.payment_hash()
    }
}

fn invoice(hash: PaymentHash) -> l402::Invoice {
    use bitcoin::hashes::{Hash as _, sha256};
    use bitcoin::secp256k1::{Secp256k1, SecretKey};
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    let signed = lightning_invoice::InvoiceBuilder::new(lightning_invoice::Currency::Regtest)
        .description("a test".to_owned())
        .payment_hash(sha256::Hash::from_byte_array(*hash.as_bytes()))
        .payment_secret(lightning_invoice::PaymentSecret([3; 32]))
        .duration_since_epoch(std::time::Duration::from_secs(NOON.as_secs()))
        .expiry_time(std::time::Duration::from_secs(600))
        .min_final_cltv_expiry_delta(80)
        .amount_milli_satoshis(10_000)
        .build_signed(|message| Secp256k1::new().sign_ecdsa_recoverable(message, &key));
    l402::Invoice::parse(&signed.unwrap().to_string()).unwrap()
}

fn token() -> SoldToken {
    SoldToken::L402 {
        name: SchemeName::Lsat,
        token: Token::from_bytes(vec![2]),
    }
}

fn resource(path: &str) -> TargetResource {
    let (path, query) = path
        .split_once('?')
        .map_or((path, None), |(p, q)| (p, Some(q)));
    TargetResource {
        origin: "https://example.com".parse().unwrap(),
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: QueryHash::new(query),
    }
}

fn sat(amount: u64) -> Msat {
    Msat::from_sat(amount).unwrap()
}

#[test]
fn a_purchase_reads_back_as_it_was_written() {
    on_each(|buyer| {
        let (begun, _ticket) = buyer.begin(&Sale::new(1), "/a?key=hunter2").unwrap();

        let stored = buyer.book.purchases().unwrap();

        assert_eq!(stored, [begun]);
        assert!(!format!("{stored:?}").contains("hunter2"));
    });
}

#[test]
fn a_credential_is_presented_as_it_was_sold() {
    on_each(|buyer| {
        let sale = Sale::new(1);
        buyer.buy(&sale, "/a", &[]);

        let stored = buyer.book.credentials().unwrap();

        let expected = format!("LSAT Ag==:{}", sale.preimage.expose_hex());
        assert_eq!(stored[0].authorization(), expected);
        assert!(!format!("{stored:?}").contains(&sale.preimage.expose_hex()));
    });
}

#[test]
fn what_may_be_spent_is_reserved_until_it_is_known() {
    on_each(|mut buyer| {
        buyer.limits.total = Some(sat(20));
        let first = Sale::new(1);
        let (_purchase, ticket) = buyer.begin(&first, "/a").unwrap();
        assert_eq!(buyer.total(), sat(12));

        let refused = buyer.begin(&Sale::new(2), "/b").unwrap_err();
        assert!(matches!(
            refused,
            BeginError::NotPaid(NotPaid::OverLimit(_))
        ));

        drop(ticket);
        let failed = buyer.book.settle(
            &first.hash(),
            PurchaseEvent::Failed,
            "no route",
            Publication::AtOnce,
        );
        assert_eq!(failed.unwrap().reason, "no route");
        assert_eq!(buyer.total(), sat(0));
        buyer.buy(&Sale::new(2), "/b", &[]);
        assert_eq!(buyer.total(), sat(11));
    });
}

#[test]
fn spending_is_added_up_by_day_and_origin_and_leaves_out_what_failed() {
    on_each(|mut buyer| {
        assert!(buyer.book.spending().unwrap().is_empty());
        let sales: Vec<Sale> = (1..=4).map(Sale::new).collect();
        buyer.now = UnixSeconds::new(NOON.as_secs() - 86_400);
        for (sale, path) in sales.iter().zip(["/a", "/b", "/c", "/d"]) {
            let (_purchase, _ticket) = buyer.begin(sale, path).unwrap();
            if path == "/b" {
                // The others are begun the day after.
                buyer.now = NOON;
            }
        }
        for paid in [&sales[0], &sales[1], &sales[2]] {
            buyer.settle(paid, Publication::AtOnce);
        }
        let (today, origin) = (NOON.utc_day(), resource("/").origin);
        let first_day = Spending {
            origin,
            utc_day: today - 1,
            purchases: 2,
            price: sat(20),
            fee: sat(2),
            open: 0,
            reserved: Msat::ZERO,
        };
        let second_day = Spending {
            utc_day: today,
            purchases: 1,
            price: sat(10),
            fee: sat(1),
            open: 1,
            reserved: sat(12),
            ..first_day.clone()
        };
        assert_eq!(
            buyer.book.spending().unwrap(),
            [first_day.clone(), second_day.clone()]
        );

        let failed = PurchaseEvent::Failed;
        let settled = buyer
            .book
            .settle(&sales[3].hash(), failed, "", Publication::AtOnce);
        settled.unwrap();

        let second_day = Spending {
            open: 0,
            reserved: Msat::ZERO,
            ..second_day
        };
        assert_eq!(buyer.book.spending().unwrap(), [first_day, second_day]);
    });
}

#[test]
fn a_day_ends_and_a_clock_that_was_ahead_frees_no_money() {
    on_each(|mut buyer| {
        buyer.limits.per_day = Some(sat(12));
        buyer.now = NOON.plus_secs(300);
        let tomorrow = NOON.plus_secs(86_400);
        buyer.buy(&Sale::new(1), "/a", &[]);

        let today = buyer.book.charged("example.com", NOON).unwrap().today;
        let later = buyer.book.charged("example.com", tomorrow).unwrap().today;
        let before = UnixSeconds::new(NOON.as_secs() - 86_400);
        let earlier = buyer.book.charged("example.com", before).unwrap().today;

        assert_eq!((today, later), (sat(11), sat(0)));
        assert_eq!(earlier, sat(11), "a purchase in the future counts today");
    });
}

#[test]
fn one_purchase_at_a_time_is_made_for_a_path() {
    on_each(|buyer| {
        let (_purchase, ticket) = buyer.begin(&Sale::new(1), "/a").unwrap();

        assert!(matches!(
            buyer.begin(&Sale::new(2), "/a?q"),
            Err(BeginError::Blocked)
        ));
        assert!(buyer.begin(&Sale::new(3), "/b").is_ok());
        drop(ticket);
        assert!(
            matches!(buyer.begin(&Sale::new(2), "/a"), Err(BeginError::Blocked)),
            "its outcome is still unknown"
        );
    });
}

#[test]
fn a_payment_that_was_made_is_not_made_again() {
    on_each(|buyer| {
        let sale = Sale::new(1);
        buyer.buy(&sale, "/a", &[]);

        let again = buyer.begin_knowing(&sale, "/a", &[sale.hash()]);

        let refused = again.unwrap_err();
        assert!(
            matches!(refused, BeginError::NotPaid(NotPaid::AlreadyPaid { .. })),
            "{refused:?}"
        );
        let elsewhere = buyer.begin(&Sale::new(2), "/a/below");
        assert!(
            matches!(elsewhere, Err(BeginError::Bought)),
            "the one there is has to be tried"
        );
    });
}

#[test]
fn a_credential_is_its_buyers_until_it_was_presented() {
    on_each(|buyer| {
        let sale = Sale::new(1);
        let (_purchase, _ticket) = buyer.begin(&sale, "/a").unwrap();
        buyer.settle(&sale, Publication::AfterPresenting);

        let view = buyer.book.view(&resource("/a"), NOON).unwrap();
        assert!(!view.held.is_empty() && view.credentials.is_empty());

        let untaken = FirstUse::Untaken;
        buyer.book.publish(&sale.hash(), untaken).unwrap();
        assert_eq!(buyer.shown_at("/a"), [sale.hash()]);
        assert_eq!(buyer.book.credentials().unwrap()[0].holder, None);
    });
}

#[test]
fn another_process_does_not_use_what_its_buyer_has_not_presented() {
    let buyer = Buyer::new(Book::open);
    let sale = Sale::new(1);
    let (_purchase, ticket) = buyer.begin(&sale, "/a").unwrap();
    buyer.settle(&sale, Publication::AfterPresenting);
    let other = Book::open(buyer.dir.path());

    let view = other.view(&resource("/a"), NOON).unwrap();
    assert!(!view.held.is_empty() && view.credentials.is_empty());

    drop((ticket, buyer.book));
    let view = other.view(&resource("/a"), NOON).unwrap();
    assert_eq!(view.credentials.len(), 1, "its process is dead");
}

#[test]
fn a_refusal_is_for_one_method_path_and_query_and_ends() {
    on_each(|mut buyer| {
        let sale = Sale::new(1);
        buyer.buy(&sale, "/q", &[]);
        let refuse = |path| {
            buyer
                .refuse(
                    &sale.hash(),
                    &resource(path),
                    &RefusalReason::Unstated,
                    NOON,
                )
                .unwrap()
        };
        refuse("/q?id=1");

        assert!(buyer.shown_at("/q?id=1").is_empty());
        for other in ["/q?id=2", "/q", "/q/below"] {
            assert_eq!(buyer.shown_at(other), [sale.hash()], "{other}");
        }
        let post = TargetResource {
            method: "POST".to_owned(),
            ..resource("/q?id=1")
        };
        assert_eq!(buyer.book.view(&post, NOON).unwrap().credentials.len(), 1);

        refuse("/q?id=1");
        buyer.now = NOON.plus_secs(600);
        assert!(
            buyer.shown_at("/q?id=1").is_empty(),
            "longer the second time"
        );
        buyer.now = NOON.plus_secs(6 * 3_600);
        assert_eq!(buyer.shown_at("/q?id=1"), [sale.hash()]);
    });
}

#[test]
fn a_refusal_by_a_clock_far_ahead_ends_when_the_clock_is_right() {
    on_each(|mut buyer| {
        let sale = Sale::new(1);
        buyer.buy(&sale, "/a", &[]);
        let ahead = NOON.plus_secs(300 * 86_400);
        buyer
            .refuse(
                &sale.hash(),
                &resource("/a"),
                &RefusalReason::Unstated,
                ahead,
            )
            .unwrap();

        assert_eq!(buyer.shown_at("/a"), [sale.hash()]);

        buyer.now = ahead;
        assert!(buyer.shown_at("/a").is_empty());
    });
}

#[test]
fn a_fee_ceiling_without_bound_is_counted_and_named() {
    on_each(|mut buyer| {
        buyer.limits.fee_max = Msat::MAX;
        let (_purchase, _ticket) = buyer.begin(&Sale::new(1), "/a").unwrap();
        let (_purchase, _ticket) = buyer.begin(&Sale::new(2), "/b").unwrap();
        assert!(buyer.total() >= sat(1_000_000));

        buyer.limits.per_day = Some(sat(1_000));
        let refused = buyer.begin(&Sale::new(3), "/c").unwrap_err();
        assert!(
            matches!(
                refused,
                BeginError::NotPaid(NotPaid::OverLimit(l402::OverLimit::Daily { .. }))
            ),
            "{refused:?}"
        );
    });
}

#[test]
fn a_credential_refused_all_over_is_tried_only_where_it_was_bought() {
    on_each(|buyer| {
        let sale = Sale::new(1);
        buyer.buy(&sale, "/a", &[]);
        for number in 0..REFUSALS_MAX {
            let elsewhere = resource(&format!("/b/{number}"));
            buyer
                .refuse(&sale.hash(), &elsewhere, &RefusalReason::Unstated, NOON)
                .unwrap();
        }

        assert!(buyer.shown_at("/c").is_empty());
        assert_eq!(buyer.shown_at("/a/below"), [sale.hash()]);
        buyer.book.forgive(&sale.hash()).unwrap();
        assert_eq!(buyer.shown_at("/c"), [sale.hash()]);
    });
}

#[test]
fn a_credential_that_is_used_up_is_tried_nowhere() {
    on_each(|mut buyer| {
        let [used_up, other] = [1, 2].map(Sale::new);
        buyer.buy(&used_up, "/a", &[]);
        buyer.buy(&other, "/b", &[]);
        let (hash, at) = (used_up.hash(), resource("/a/b"));
        let exhausted = RefusalReason::Exhausted;

        buyer.refuse(&hash, &at, &exhausted, NOON).unwrap();

        buyer.now = NOON.plus_secs(30 * 86_400);
        for path in ["/a", "/a/b", "/c"] {
            assert_eq!(buyer.shown_at(path), [other.hash()], "{path}");
            let stale = buyer.book.stale(&resource(path), buyer.now).unwrap();
            assert_eq!(stale[0].credential.payment_hash(), hash);
            assert_eq!(stale[0].reason, exhausted);
        }
        let bought = buyer.book.credentials().unwrap();
        let bought = bought.iter().find(|bought| bought.payment_hash() == hash);
        let refusal = buyer.book.refusal(bought.unwrap()).unwrap().unwrap();
        assert_eq!(refusal.reason, exhausted);
        buyer.book.forgive(&hash).unwrap();
        assert_eq!(buyer.shown_at("/a")[0], hash);
    });
}

#[test]
fn a_credential_that_was_revoked_is_tried_again_later_and_as_usual_once_it_is_accepted() {
    on_each(|mut buyer| {
        let revoked = Sale::new(1);
        buyer.buy(&revoked, "/a", &[]);
        let (hash, at) = (revoked.hash(), resource("/a"));
        for hours in [6, 6, 7 * 24] {
            buyer
                .refuse(&hash, &at, &RefusalReason::Revoked, buyer.now)
                .unwrap();
            buyer.now = buyer.now.plus_secs(hours * 3_600 - 1);
            for path in ["/a", "/b"] {
                assert!(buyer.shown_at(path).is_empty(), "{path}");
            }
            buyer.now = buyer.now.plus_secs(1);
            assert_eq!(buyer.shown_at("/b"), [hash]);
        }

        buyer.book.accept(&hash, &at).unwrap();

        let stored = buyer.book.credentials().unwrap().remove(0);
        assert_eq!(buyer.book.refusal(&stored).unwrap(), None);
    });
}

#[test]
fn where_a_credential_was_accepted_is_remembered_until_it_is_refused_there() {
    on_each(|buyer| {
        let [older, newer] = [1, 2].map(Sale::new);
        buyer.buy(&older, "/a", &[]);
        buyer.buy(&newer, "/b", &[]);
        let accepted = |path| buyer.book.view(&resource(path), NOON).unwrap().accepted;
        let hash = older.hash();

        buyer.book.remember(&hash, &resource("/c/")).unwrap();
        buyer.book.remember(&hash, &resource("/c/")).unwrap();

        assert!(accepted("/c").contains(&hash) && accepted("/c/below").contains(&hash));
        assert!(accepted("/cd").is_empty());
        assert_eq!(buyer.shown_at("/c/below")[0], hash, "before the newest");
        for number in 0..ACCEPTANCES_MAX {
            let other = resource(&format!("/d/{number}"));
            buyer.book.remember(&hash, &other).unwrap();
        }
        assert!(accepted("/c").is_empty(), "the oldest is forgotten first");
        buyer
            .refuse(&hash, &resource("/d/7"), &RefusalReason::WrongService, NOON)
            .unwrap();
        assert!(accepted("/d/7").is_empty() && !accepted("/d/8").is_empty());
        assert!(buyer.book.forget(&hash).unwrap());
        assert!(accepted("/d/8").is_empty());
    });
}

#[test]
fn a_credential_that_is_good_for_three_paths_of_a_folder_is_tried_in_all_of_it() {
    on_each(|buyer| {
        let sale = Sale::new(1);
        buyer.buy(&sale, "/a/1", &[]);
        let hash = sale.hash();
        let accepted = |buyer: &Buyer, path| {
            let view = buyer.book.view(&resource(path), NOON).unwrap();
            view.accepted.contains(&hash)
        };
        let remember = |buyer: &Buyer, path| buyer.book.remember(&hash, &resource(path)).unwrap();

        remember(&buyer, "/a/2");
        assert!(!accepted(&buyer, "/a/4"), "two are not enough");
        remember(&buyer, "/a/3");

        assert!(accepted(&buyer, "/a/4") && accepted(&buyer, "/a/b/c"));
        assert!(!accepted(&buyer, "/b/1") && !accepted(&buyer, "/"));
        let wrong = RefusalReason::WrongService;
        let elsewhere = resource("/a/other/1");
        buyer.refuse(&hash, &elsewhere, &wrong, NOON).unwrap();
        assert!(!accepted(&buyer, "/a/4"), "a refusal disproves it");
        remember(&buyer, "/a/5");
        assert!(!accepted(&buyer, "/a/4"), "and it is not assumed again");
        assert!(accepted(&buyer, "/a/3") && accepted(&buyer, "/a/5"));
    });
}

#[test]
fn the_closest_and_newest_credential_comes_first() {
    on_each(|mut buyer| {
        let sales: Vec<Sale> = (1..=5).map(Sale::new).collect();
        let paths = ["/a", "/", "/a/b/", "/a", "/ab"];
        let mut known: Vec<PaymentHash> = Vec::new();
        for (sale, path) in sales.iter().zip(paths) {
            buyer.now = buyer.now.plus_secs(1);
            buyer.buy(sale, path, &known);
            known.push(sale.hash());
        }

        let hashes: Vec<PaymentHash> = [2, 3, 0, 1, 4].map(|at: usize| sales[at].hash()).into();
        assert_eq!(buyer.shown_at("/a/b/c"), hashes);
    });
}

fn brake(number: u8, scope: BrakeScope) -> Brake {
    Brake {
        origin: resource("/a").origin,
        scope,
        path: "/a".to_owned(),
        payment_hash: Sale::new(number).hash(),
        paid: sat(11),
        until: NOON.plus_secs(300),
        cause: BrakeCause::Forbidden,
    }
}

fn stops(buyer: &Buyer, sale: u8, path: &str) -> Option<Brake> {
    match buyer.begin(&Sale::new(sale), path) {
        Ok(_begun) => None,
        Err(BeginError::NotPaid(NotPaid::PaidBefore(found))) => Some(*found),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_brake_stops_buying_in_its_folder_for_a_while() {
    on_each(|mut buyer| {
        let folder = brake(90, BrakeScope::Folder("/a/".to_owned()));
        buyer
            .book
            .brake(std::slice::from_ref(&folder), NOON)
            .unwrap();

        assert_eq!(stops(&buyer, 1, "/a/x").as_ref(), Some(&folder));
        assert_eq!(stops(&buyer, 2, "/b"), None);

        buyer.after_refusal = AfterRefusal::BuyAgain;
        assert_eq!(stops(&buyer, 3, "/a/x"), None);
        buyer.after_refusal = AfterRefusal::Wait;
        buyer.now = NOON.plus_secs(300);
        assert_eq!(stops(&buyer, 4, "/a/y"), None);
    });
}

#[test]
fn a_second_payment_that_brought_nothing_stops_the_origin_whatever_it_was_for() {
    on_each(|buyer| {
        let services = |name: &str| BrakeScope::Services(vec![name.to_owned()]);
        let (one, other) = (brake(90, services("x")), brake(91, services("y")));
        buyer.book.brake(&[one], NOON).unwrap();
        assert_eq!(stops(&buyer, 1, "/a"), None);

        buyer
            .book
            .brake(std::slice::from_ref(&other), NOON)
            .unwrap();

        let stopped = stops(&buyer, 2, "/b").unwrap();
        assert_eq!(stopped.scope, BrakeScope::Origin);
        assert_eq!(passed(&[stopped], &token(), "/c").len(), 1);

        let released = [other.payment_hash];
        buyer.book.end(&[], Ending::Delivered, &released).unwrap();
        assert_eq!(stops(&buyer, 3, "/c"), None, "one is left, for service x");
    });
}

#[test]
fn brakes_are_read_as_they_were_written() {
    on_each(|buyer| {
        let exhausted = RefusalReason::Exhausted;
        let mut written = vec![
            brake(90, BrakeScope::Origin),
            brake(91, BrakeScope::Folder("/a=b/".to_owned())),
            brake(92, BrakeScope::Services(vec!["a".into(), "b".into()])),
            brake(93, BrakeScope::Folder("/".to_owned())),
        ];
        written[1].cause = BrakeCause::Contradicted(exhausted);
        written[2].cause = BrakeCause::Refused(RefusalReason::Unstated);
        written[3].cause = BrakeCause::Undelivered;
        written[0].cause = BrakeCause::ExhaustedEarly;
        written.push(Brake {
            cause: BrakeCause::Redirected("http://127.0.0.1:1/b".to_owned()),
            ..brake(96, BrakeScope::Path("/a=b".to_owned()))
        });
        written.push(Brake {
            cause: BrakeCause::BroughtNothing(RefusalReason::Revoked),
            ..brake(94, BrakeScope::Folder("/b/".to_owned()))
        });
        written.push(Brake {
            cause: BrakeCause::RefusedAgain(RefusalReason::Forged),
            ..brake(95, BrakeScope::Folder("/c/".to_owned()))
        });
        buyer.book.brake(&written, NOON).unwrap();

        let mut read = buyer.book.view(&resource("/a"), NOON).unwrap().brakes;
        read.sort_by_key(|brake| written.iter().position(|other| other == brake));
        assert_eq!(read, written);
    });
}

#[test]
fn a_mark_without_a_process_that_waits_is_a_lost_use() {
    on_each(|buyer| {
        let sale = Sale::new(1);
        let ring = l402::KeyRing::new(l402::MasterKey::new([5; 32]));
        let services = l402::Services::new("a", 0).unwrap();
        let once = l402::caveat::max_uses(std::num::NonZeroU64::MIN);
        let token = l402::mint(&ring, sale.hash(), &services, &[once], NOON, [0; 20]).unwrap();
        let counted = StoredCredential {
            resource: resource("/a"),
            token: SoldToken::L402 {
                name: SchemeName::L402,
                token: Token::from_bytes(token.as_bytes().to_vec()),
            },
            preimage: sale.preimage.clone(),
            price: sat(10),
            fee: sat(1),
            bought_at: NOON,
            holder: None,
            uses: UseCounts::default(),
        };
        buyer.book.import(&counted).unwrap();
        let hash = sale.hash();

        let mark = buyer.book.present(&hash).unwrap().unwrap();
        assert_eq!(buyer.book.lost(&hash).unwrap(), 0, "it is waited for");
        drop(mark);
        assert_eq!(buyer.book.lost(&hash).unwrap(), 1);

        let again = buyer.book.present(&hash).unwrap().unwrap();
        buyer.book.end(&[again], Ending::Delivered, &[]).unwrap();
        assert_eq!(
            buyer.book.lost(&hash).unwrap(),
            0,
            "all that it was good for is delivered"
        );
    });
}

/// Files of a version whose brakes stopped whole origins.
#[test]
fn a_book_of_an_earlier_version_keeps_its_brakes_and_what_was_not_delivered() {
    let buyer = Buyer::new(Book::open);
    let (whole, lost) = (Sale::new(1), Sale::new(2));
    buyer.buy(&whole, "/a", &[]);
    buyer.buy(&lost, "/b", &[whole.hash()]);
    let dir = buyer.dir.path().to_owned();
    drop(buyer.book);
    let file = rusqlite::Connection::open(dir.join("client.sqlite")).unwrap();
    file.execute_batch(
        "DROP TABLE presentations; DROP TABLE brakes; \
         ALTER TABLE credentials DROP COLUMN delivered; \
         ALTER TABLE credentials DROP COLUMN failed; \
         ALTER TABLE credentials RENAME COLUMN lost TO is_undelivered; \
         UPDATE credentials SET is_undelivered = (path = '/b'); \
         CREATE TABLE brakes (origin TEXT NOT NULL, path TEXT NOT NULL, \
          payment_hash BLOB NOT NULL, paid_msat INTEGER NOT NULL, until INTEGER NOT NULL, \
          PRIMARY KEY (origin, path)) STRICT, WITHOUT ROWID; \
         PRAGMA user_version = 5",
    )
    .unwrap();
    for (path, until) in [("/a", NOON.plus_secs(60)), ("/b", NOON.plus_secs(300))] {
        file.execute(
            "INSERT INTO brakes VALUES (?1, ?2, ?3, 11000, ?4)",
            rusqlite::params![
                resource(path).origin.to_string(),
                path,
                lost.hash().as_bytes(),
                until.as_secs()
            ],
        )
        .unwrap();
    }
    drop(file);

    let book = Book::open(&dir);

    let brakes = book.view(&resource("/c"), NOON).unwrap().brakes;
    assert_eq!(brakes.len(), 1);
    assert_eq!(brakes[0].scope, BrakeScope::Origin);
    assert_eq!(brakes[0].until, NOON.plus_secs(300));
    let uses = |sale: &Sale| {
        let credentials = book.credentials().unwrap().into_iter();
        let mut found = credentials.filter(|found| found.payment_hash() == sale.hash());
        let uses = found.next().unwrap().uses;
        (uses.delivered, uses.lost)
    };
    assert_eq!((uses(&whole), uses(&lost)), ((1, 0), (0, 1)));
}

#[test]
fn an_abandoned_purchase_is_taken_over_once() {
    on_each(|buyer| {
        let sale = Sale::new(1);
        let (_purchase, ticket) = buyer.begin(&sale, "/a").unwrap();
        assert!(buyer.take_over(&sale).unwrap().is_none(), "its owner lives");
        drop(ticket);

        let first = buyer.take_over(&sale).unwrap();
        let second = buyer.take_over(&sale).unwrap();

        assert!(second.is_none());
        assert_eq!(first.unwrap().0.requests, 2);
        assert_eq!(buyer.total(), sat(12), "reserved once");
    });
}

#[test]
fn an_invoice_is_offered_again_within_the_limits_of_that_moment() {
    on_each(|mut buyer| {
        let sale = Sale::new(1);
        drop(buyer.begin(&sale, "/a").unwrap());
        let usual = buyer.limits;
        let tight = [
            Limits {
                price_max: sat(9),
                ..usual
            },
            Limits {
                per_day: Some(sat(11)),
                ..usual
            },
            Limits {
                per_host: Some(sat(11)),
                ..usual
            },
            Limits {
                total: Some(sat(11)),
                ..usual
            },
            // Room for the price and a higher ceiling, not for the one it was begun with.
            Limits {
                fee_max: sat(0),
                total: Some(sat(11)),
                ..usual
            },
        ];
        for limits in tight {
            buyer.limits = limits;
            let refused = buyer.take_over(&sale).unwrap_err();
            assert!(
                matches!(refused, BeginError::NotPaid(NotPaid::OverLimit(_))),
                "{refused:?}"
            );
        }
        buyer.limits = Limits {
            total: Some(sat(15)),
            fee_max: sat(5),
            ..usual
        };
        buyer.now = NOON.plus_secs(600);
        let expired = buyer.take_over(&sale).unwrap_err();
        assert!(matches!(expired, BeginError::NotPaid(NotPaid::Quote(_))));
        buyer.now = NOON;
        std::fs::write(buyer.kill_switch().file(), "").unwrap();
        let stopped = buyer.take_over(&sale).unwrap_err();
        assert!(matches!(
            stopped,
            BeginError::NotPaid(NotPaid::Stopped { .. })
        ));
        std::fs::remove_file(buyer.kill_switch().file()).unwrap();
        assert_eq!(buyer.total(), sat(12), "refusing changes nothing");

        assert!(buyer.take_over(&sale).unwrap().is_some());

        assert_eq!(buyer.total(), sat(15), "the higher ceiling is reserved");
    });
}

#[test]
fn the_first_outcome_stands() {
    on_each(|buyer| {
        let sale = Sale::new(1);
        buyer.buy(&sale, "/a", &[]);

        let late = buyer.book.settle(
            &sale.hash(),
            PurchaseEvent::Failed,
            "late",
            Publication::AtOnce,
        );

        assert!(late.unwrap().credential().is_some());
        let stranger = buyer.book.settle(
            &Sale::new(2).hash(),
            PurchaseEvent::Failed,
            "",
            Publication::AtOnce,
        );
        assert!(matches!(stranger, Err(BookError::Unknown { .. })));
    });
}

#[test]
fn an_invoice_that_expires_while_the_lock_is_waited_for_is_not_paid() {
    on_each(|mut buyer| {
        buyer.now = NOON.plus_secs(600);

        let refused = buyer.begin(&Sale::new(1), "/a").unwrap_err();

        assert!(
            matches!(refused, BeginError::NotPaid(NotPaid::Quote(_))),
            "{refused:?}"
        );
        assert_eq!(buyer.total(), sat(0));
    });
}

#[test]
fn a_token_whose_own_deadline_is_past_is_not_presented() {
    let key = l402::RootKey::new([5; 32]);
    let token = l402::Macaroon::mint(&key, "lsat", b"id").unwrap();
    let deadline = format!("api_valid_until={}", NOON.as_secs());
    let token = token.with_caveat(deadline.as_bytes()).unwrap();
    let sold = SoldToken::L402 {
        name: SchemeName::L402,
        token: Token::from_bytes(token.as_bytes().to_vec()),
    };

    assert_eq!(sold.deadline(), Some(NOON));
    assert_eq!(self::token().deadline(), None);
}

#[test]
fn reading_creates_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let book = Book::open(&dir.path().join("client"));

    assert!(book.credentials().unwrap().is_empty());
    assert!(!dir.path().join("client").exists());
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_book_and_what_lies_beside_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let buyer = Buyer::new(|dir| Book::open(&dir.join("client")));
    let (_purchase, _ticket) = buyer.begin(&Sale::new(1), "/a").unwrap();

    let dir = buyer.dir.path().join("client");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for name in ["client.sqlite", "client.sqlite-wal"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }

    let open = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(dir.join("client.sqlite"), open).unwrap();
    let refused = Book::open(&dir).credentials().unwrap_err();
    assert!(matches!(refused, BookError::Exposed { mode: 0o640, .. }));
}

#[test]
fn another_programs_database_and_a_later_version_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("client.sqlite");
    drop(crate::disk::private_file().open(&file).unwrap());
    let theirs = rusqlite::Connection::open(&file).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (a)").unwrap();
    let foreign = Book::open(dir.path()).credentials().unwrap_err();
    assert!(matches!(foreign, BookError::Foreign { .. }), "{foreign}");

    let buyer = Buyer::new(Book::open);
    buyer.buy(&Sale::new(1), "/a", &[]);
    let file = buyer.book.file().unwrap().to_owned();
    let later = rusqlite::Connection::open(&file).unwrap();
    later.pragma_update(None, "user_version", 99).unwrap();
    let newer = Book::open(buyer.dir.path()).credentials().unwrap_err();
    assert!(matches!(newer, BookError::Newer { .. }), "{newer}");
}

#[test]
fn a_row_that_was_changed_stops_the_book_and_its_error_names_the_column() {
    for (change, column) in [
        ("UPDATE purchases SET price_msat = 1", "invoice"),
        ("UPDATE purchases SET preimage = zeroblob(32)", "preimage"),
        ("UPDATE purchases SET origin = 'x'", "origin"),
    ] {
        let buyer = Buyer::new(Book::open);
        buyer.buy(&Sale::new(1), "/a", &[]);
        let file = rusqlite::Connection::open(buyer.book.file().unwrap()).unwrap();
        file.execute_batch(change).unwrap();

        let damaged = buyer.book.purchases().unwrap_err();

        let BookError::Damaged { reason, .. } = damaged else {
            panic!("{damaged}")
        };
        assert!(reason.contains(column), "{reason}");
    }
}
