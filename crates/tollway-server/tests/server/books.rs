//! The ledgers: both keep the same, and the one on disk keeps it through crashes.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write as _};
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, future};

use l402::{Msat, PaymentHash, RevocationSet, TokenId, UnixSeconds};
use proptest::prelude::*;
use rusqlite::Connection;
use tokio::sync::mpsc;
use tollway_server::ReasonCode;
use tollway_server::keys::file::KeyFile;
use tollway_server::keys::{KeySource as _, LiveKeyRing};
use tollway_server::ledger::{
    EventLog, GrantedEvent, Ledger, LedgerError, LedgerEvent, LedgerReader, MemoryLedger, Period,
    RefusedEvent, Reports, Reservation, Reserved, Revocation, Revocations, Sales, SqliteLedger,
    Tally, Uses,
};

use crate::support::{NOON, Shop, TEN_SAT, name, paid_get, settings, uses};

#[tokio::test]
async fn the_first_use_is_the_payment_and_later_ones_are_requests() {
    let (_folder, on_disk) = on_disk();
    for ledger in [&MemoryLedger::new() as &dyn Ledger, &on_disk] {
        for secs in [5, 0, 9] {
            ledger.record(granted(1, "weather", NOON.plus_secs(secs)));
        }

        let record = ledger.token(token(1)).await.unwrap().unwrap();
        assert_eq!(record.requests, 3);
        assert_eq!(record.paid, Some(TEN_SAT));
        assert_eq!(record.first_used_at, NOON.plus_secs(5));
        assert_eq!(record.last_used_at, NOON.plus_secs(9));
        assert_eq!(ledger.token(token(2)).await.unwrap(), None);
        assert_eq!(
            ledger.sales(Period::AllTime).await.unwrap(),
            [weather_sales(1, 3)]
        );
    }
}

#[tokio::test]
async fn a_payment_is_counted_once_however_often_the_ledger_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    for opened in 1..=3 {
        let ledger = open(folder.path());
        ledger.record(granted(1, "weather", NOON));

        assert_eq!(
            ledger.sales(Period::AllTime).await.unwrap(),
            [weather_sales(1, opened)]
        );
    }
}

#[tokio::test]
async fn the_last_events_are_written_before_the_ledger_closes() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    ledger.record(granted(1, "weather", NOON));
    drop(ledger);

    let sales = open(folder.path()).sales(Period::AllTime).await.unwrap();

    assert_eq!(sales, [weather_sales(1, 1)]);
}

#[tokio::test]
async fn an_unknown_price_is_counted_and_not_guessed() {
    let (_folder, on_disk) = on_disk();
    for ledger in [&MemoryLedger::new() as &dyn Ledger, &on_disk] {
        ledger.record(granted(1, "weather", NOON));
        ledger.record(LedgerEvent::Granted(GrantedEvent {
            requests: Tally::one(),
            token: token(2),
            payment_hash: hash(2),
            service: name("weather"),
            paid: None,
            uses_max: None,
            at: NOON,
        }));

        let sales = ledger.sales(Period::AllTime).await.unwrap();
        assert_eq!((sales[0].payments, sales[0].unpriced), (2, 1));
        assert_eq!(sales[0].revenue, TEN_SAT);
    }
}

#[tokio::test]
async fn a_report_counts_from_the_first_second_of_a_day() {
    let (_folder, on_disk) = on_disk();
    for ledger in [&MemoryLedger::new() as &dyn Ledger, &on_disk] {
        let tomorrow = NOON.plus_secs(DAY_SECS);
        let midnight = UnixSeconds::new(tomorrow.utc_day() * DAY_SECS);
        let before = UnixSeconds::new(midnight.as_secs() - 1);
        for (number, at) in [(1, before), (2, midnight), (1, midnight)] {
            ledger.record(granted(number, "weather", at));
            ledger.record(LedgerEvent::Refused(RefusedEvent {
                service: name("weather"),
                reason: ReasonCode::Exhausted,
                at,
            }));
        }

        for (period, payments, requests, count) in [
            (Period::AllTime, 2, 3, 3),
            (Period::SinceDayOf(before), 2, 3, 3),
            (Period::SinceDayOf(tomorrow), 1, 2, 2),
        ] {
            let sales = ledger.sales(period).await.unwrap();
            assert_eq!((sales[0].payments, sales[0].requests), (payments, requests));
            assert_eq!(sales[0].revenue.as_msat(), payments * TEN_SAT.as_msat());
            assert_eq!(ledger.refusals(period).await.unwrap()[0].count, count);
            let tokens = ledger.tokens(period, 9).await.unwrap();
            assert_eq!(tokens.len() as u64, payments, "{tokens:?}");
        }
        let never = Period::SinceDayOf(tomorrow.plus_secs(DAY_SECS));
        assert_eq!(ledger.sales(never).await.unwrap(), []);
        assert_eq!(ledger.refusals(never).await.unwrap(), []);
        assert_eq!(ledger.tokens(never, 9).await.unwrap(), []);
    }
}

#[tokio::test]
async fn tokens_are_listed_newest_first_with_what_is_left_of_them() {
    let (_folder, on_disk) = on_disk();
    for ledger in [&MemoryLedger::new() as &dyn Ledger, &on_disk] {
        for (number, secs) in [(1, 0), (2, 5), (3, 1), (2, 6)] {
            ledger.record(LedgerEvent::Granted(GrantedEvent {
                requests: Tally::one(),
                token: token(number),
                payment_hash: hash(number),
                service: name("weather"),
                paid: Some(TEN_SAT),
                uses_max: NonZeroU64::new(u64::from(number)),
                at: NOON.plus_secs(secs),
            }));
        }
        for _ in 0..2 {
            consume(ledger, token(2), uses(2)).await;
        }

        let tokens = ledger.tokens(Period::AllTime, 2).await.unwrap();

        let listed: Vec<_> = tokens.iter().map(|record| record.token).collect();
        assert_eq!(listed, [token(2), token(3)]);
        assert_eq!(
            (tokens[0].uses, tokens[0].uses_max),
            (2, NonZeroU64::new(2))
        );
        assert_eq!(
            (tokens[1].uses, tokens[1].uses_max),
            (0, NonZeroU64::new(3))
        );
        let one = ledger.token(token(2)).await.unwrap();
        assert_eq!(one.as_ref(), tokens.first());
    }
}

#[tokio::test]
async fn reports_are_read_while_the_ledger_is_in_use_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    assert!(LedgerReader::open(&path).unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let ledger = open(folder.path());
    ledger.record(granted(1, "weather", NOON));
    let revoked = Revocation::Token(token(7));
    ledger.revoke(revoked).await.unwrap();
    // Returns once the event is written.
    ledger.sales(Period::AllTime).await.unwrap();
    let obstacle = locked(folder.path());

    let reader = LedgerReader::open(&path).unwrap().unwrap();

    assert_eq!(reader.id(), ledger.id());
    let sales = reader.sales(Period::AllTime).await.unwrap();
    assert_eq!(sales, [weather_sales(1, 1)]);
    assert_eq!(reader.revocations().unwrap(), [revoked]);
    let minted_by = |id: &str| reader.tokens_minted_by(id.parse().unwrap()).unwrap();
    assert_eq!((minted_by("00000000"), minted_by("00000001")), (1, 0));
    drop((obstacle, ledger));
    let sales = reader.sales(Period::AllTime).await.unwrap();
    assert_eq!(sales, [weather_sales(1, 1)]);
    drop(reader);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    let reader = LedgerReader::open(&path).unwrap().unwrap();
    assert_eq!(reader.tokens(Period::AllTime, 9).await.unwrap().len(), 1);
    drop(reader);
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, left.len(), "a reader leaves no file");
}

#[tokio::test]
async fn a_use_that_was_committed_survives_a_crash() {
    let (folder, ledger) = on_disk();
    for left in [2, 1] {
        assert_eq!(consume(&ledger, token(1), uses(3)).await, Taken::Left(left));
    }
    ledger.revoke(Revocation::Token(token(7))).await.unwrap();

    let crashed = disk_image(folder.path());
    let ledger = open(crashed.path());

    assert_eq!(consume(&ledger, token(1), uses(3)).await, Taken::Left(0));
    assert_eq!(consume(&ledger, token(1), uses(3)).await, Taken::Exhausted);
    let kept = ledger.all().await.unwrap();
    assert_eq!(kept, [Revocation::Token(token(7))]);
}

#[tokio::test]
async fn many_who_wait_share_a_commit() {
    let (folder, ledger) = on_disk();
    let obstacle = locked(folder.path());
    let before = ledger.commits();
    let waiting: Vec<_> = (0..200)
        .map(|number| ledger.reserve(token(number), uses(1)))
        .collect();
    obstacle.execute_batch("ROLLBACK").unwrap();
    let mut reservations = Vec::new();
    for reserved in waiting {
        reservations.push(held(reserved.await.unwrap()));
    }

    // The first that came may have been taken alone; all after it go together.
    let commits = ledger.commits() - before;
    assert!(commits <= 2, "{commits} commits for 200 reservations");

    let obstacle = locked(folder.path());
    let before = ledger.commits();
    let waiting: Vec<_> = reservations
        .iter()
        .map(|reservation| ledger.commit(*reservation))
        .collect();
    obstacle.execute_batch("ROLLBACK").unwrap();
    for committed in waiting {
        committed.await.unwrap();
    }
    let commits = ledger.commits() - before;
    assert!(commits <= 2, "{commits} commits for 200 uses");
}

#[tokio::test]
async fn a_use_that_is_no_longer_waited_for_is_not_set_aside() {
    let (folder, ledger) = on_disk();
    let obstacle = locked(folder.path());
    let first = ledger.reserve(token(1), uses(1));
    drop(ledger.reserve(token(2), uses(1)));
    obstacle.execute_batch("ROLLBACK").unwrap();
    first.await.unwrap();

    assert_eq!(consume(&ledger, token(2), uses(1)).await, Taken::Left(0));
}

#[tokio::test]
async fn a_use_set_aside_for_a_request_that_has_gone_is_released() {
    let (_folder, ledger) = on_disk();
    let unread = ledger.reserve(token(1), uses(1));
    // Executed in order, so the reservation has been made by the time this returns.
    ledger.all().await.unwrap();
    drop(unread);

    assert_eq!(consume(&ledger, token(1), uses(1)).await, Taken::Left(0));
}

#[tokio::test]
async fn a_use_is_reserved_until_it_is_committed_or_released() {
    let (_folder, on_disk) = on_disk();
    for ledger in [&MemoryLedger::new() as &dyn Ledger, &on_disk] {
        let first = held(ledger.reserve(token(1), uses(2)).await.unwrap());
        let second = held(ledger.reserve(token(1), uses(2)).await.unwrap());
        let third = ledger.reserve(token(1), uses(2)).await.unwrap();
        assert_eq!(third, Reserved::InUse);

        ledger.release(first);
        let third = held(ledger.reserve(token(1), uses(2)).await.unwrap());
        ledger.commit(second).await.unwrap();
        ledger.commit(third).await.unwrap();

        let fourth = ledger.reserve(token(1), uses(2)).await.unwrap();
        assert_eq!(fourth, Reserved::Exhausted);
        ledger.release(second);
        assert!(matches!(
            ledger.commit(third).await,
            Err(LedgerError::ReservationLost)
        ));
        let fifth = ledger.reserve(token(1), uses(2)).await.unwrap();
        assert_eq!(fifth, Reserved::Exhausted, "a use is settled once");
    }
}

#[tokio::test]
async fn a_commit_takes_effect_though_its_future_is_dropped() {
    let (_folder, on_disk) = on_disk();
    for ledger in [&MemoryLedger::new() as &dyn Ledger, &on_disk] {
        let reservation = held(ledger.reserve(token(1), uses(1)).await.unwrap());
        drop(ledger.commit(reservation));

        let next = ledger.reserve(token(1), uses(1)).await.unwrap();

        assert_eq!(next, Reserved::Exhausted);
    }
}

#[tokio::test]
async fn two_ledgers_on_one_file_share_uses_and_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    let reservation = held(one.reserve(token(1), uses(1)).await.unwrap());

    let busy = other.reserve(token(1), uses(1)).await.unwrap();
    assert_eq!(busy, Reserved::InUse, "its owner is alive");

    one.commit(reservation).await.unwrap();
    let used = other.reserve(token(1), uses(1)).await.unwrap();
    assert_eq!(used, Reserved::Exhausted);
}

#[tokio::test]
async fn a_reservation_ends_with_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    let _abandoned = held(one.reserve(token(1), uses(1)).await.unwrap());
    drop(one);

    let next = held(other.reserve(token(1), uses(1)).await.unwrap());

    other.commit(next).await.unwrap();
    drop(other);
    let next = open(folder.path())
        .reserve(token(1), uses(1))
        .await
        .unwrap();
    assert_eq!(next, Reserved::Exhausted);
}

#[tokio::test]
async fn a_reservation_of_a_killed_process_is_released() {
    let folder = tempfile::tempdir().unwrap();
    for survivor in [true, false] {
        let token = token(u32::from(survivor));
        let open_before = survivor.then(|| open(folder.path()));
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "books::a_process_that_reserves_and_waits",
                "--nocapture",
            ])
            .env(RESERVE_IN, folder.path())
            .env(RESERVE_TOKEN, u32::from(survivor).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(RESERVED)));
        let ledger = open_before.unwrap_or_else(|| open(folder.path()));
        let busy = ledger.reserve(token, uses(1)).await.unwrap();
        assert_eq!(busy, Reserved::InUse);

        child.kill().unwrap();
        child.wait().unwrap();

        assert_eq!(consume(&ledger, token, uses(1)).await, Taken::Left(0));
        assert_eq!(consume(&ledger, token, uses(1)).await, Taken::Exhausted);
    }
}

/// The child of the test above; without its environment it has nothing to do.
#[tokio::test]
async fn a_process_that_reserves_and_waits() {
    let Some(folder) = env::var_os(RESERVE_IN) else {
        return;
    };
    let number = env::var(RESERVE_TOKEN).unwrap().parse().unwrap();
    let ledger = open(Path::new(&folder));
    let _reserved = held(ledger.reserve(token(number), uses(1)).await.unwrap());
    println!("{RESERVED}");
    future::pending::<()>().await;
}

const DAY_SECS: u64 = 86_400;
const RESERVE_IN: &str = "TOLLWAY_TEST_RESERVE_IN";
const RESERVE_TOKEN: &str = "TOLLWAY_TEST_RESERVE_TOKEN";
const RESERVED: &str = "the use is reserved";

#[test]
fn processes_that_start_at_once_in_a_fresh_folder_agree_on_one_key() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut processes: Vec<Child> = (0..4)
            .map(|_| {
                Command::new(env::current_exe().unwrap())
                    .args([
                        "--exact",
                        "books::a_process_that_opens_keys_and_ledger",
                        "--nocapture",
                    ])
                    .env(OPEN_IN, folder.path())
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for process in &mut processes {
            process.stdin.take().unwrap().write_all(b"\n").unwrap();
        }

        let keys: HashSet<String> = processes
            .into_iter()
            .map(|process| {
                let output = process.wait_with_output().unwrap();
                assert!(output.status.success(), "{output:?}");
                let output = String::from_utf8(output.stdout).unwrap();
                let (_, key) = output.split_once(MINTS_WITH).unwrap();
                key.lines().next().unwrap().to_owned()
            })
            .collect();

        assert_eq!(keys.len(), 1, "{keys:?}");
    }
}

/// The child of the test above; without its environment it has nothing to do.
#[test]
fn a_process_that_opens_keys_and_ledger() {
    let Some(folder) = env::var_os(OPEN_IN) else {
        return;
    };
    let folder = Path::new(&folder);
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let key_file = folder.join("master.key");
    let keys = LiveKeyRing::open(&key_file).unwrap();
    let _ledger = open(folder);

    let newest = KeyFile::read(&key_file).unwrap().summaries()[0].id;
    let minted = keys.ring().token_id(NOON, [0; 20]).to_string();
    assert!(minted.starts_with(&newest.to_string()), "{minted} {newest}");
    println!("{MINTS_WITH}{newest}");
}

const OPEN_IN: &str = "TOLLWAY_TEST_OPEN_IN";
const MINTS_WITH: &str = "the key that mints is ";

#[tokio::test]
async fn a_reservation_taken_away_never_becomes_that_of_another_request() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    let lost = held(one.reserve(token(1), uses(1)).await.unwrap());
    // The only way to lose a reservation while its owner lives.
    fs::remove_file(folder.path().join("ledger.db.owner-0")).unwrap();
    let next = held(other.reserve(token(1), uses(1)).await.unwrap());

    assert_ne!(lost.id, next.id);
    assert!(matches!(
        one.commit(lost).await,
        Err(LedgerError::ReservationLost)
    ));
    one.release(lost);
    // Executed in order: the release is done when this returns.
    one.all().await.unwrap();

    other.commit(next).await.unwrap();
    let third = one.reserve(token(1), uses(1)).await.unwrap();
    assert_eq!(third, Reserved::Exhausted);
}

#[tokio::test]
async fn a_revocation_by_another_process_is_heard_of_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    let (heard, mut revocations) = mpsc::unbounded_channel();
    one.watch(Box::new(move |revocation| {
        heard.send(revocation).unwrap();
    }));

    for revocation in [Revocation::Token(token(7)), Revocation::MintedBefore(NOON)] {
        other.revoke(revocation).await.unwrap();

        let next = tokio::time::timeout(Duration::from_secs(1), revocations.recv());
        assert_eq!(next.await.unwrap(), Some(revocation));
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_keep_up_drops_events_and_counts_them() {
    const FLOOD: u64 = 40_000;
    let (folder, ledger) = on_disk();
    let obstacle = locked(folder.path());
    // The disk is blocked until all are handed over, so handing over did not wait for it.
    for _ in 0..FLOOD {
        ledger.record(granted(1, "weather", NOON));
    }
    obstacle.execute_batch("ROLLBACK").unwrap();

    // Each look fetches what is queued; the second one finds what the first made room for.
    ledger.sales(Period::AllTime).await.unwrap();
    let written = ledger.sales(Period::AllTime).await.unwrap()[0].requests;

    assert!(ledger.dropped() > 0);
    assert_eq!(written + ledger.dropped(), FLOOD);
}

#[tokio::test]
async fn no_request_of_a_busy_token_is_lost_while_the_disk_is_blocked() {
    const REQUESTS: u64 = 20_000;
    let (folder, ledger) = on_disk();
    let ledger = Arc::new(ledger);
    let shop = Shop::with(Arc::clone(&ledger) as Arc<dyn Ledger>, settings()).await;
    let paid = paid_get(&shop.buy().await);
    let obstacle = locked(folder.path());
    for _ in 0..REQUESTS {
        shop.admit(&paid).await.unwrap();
    }
    obstacle.execute_batch("ROLLBACK").unwrap();

    let sales = ledger.sales(Period::AllTime).await.unwrap();

    assert_eq!(ledger.dropped(), 0);
    assert_eq!(sales[0].requests, REQUESTS);
    assert_eq!(sales[0].payments, 1);
}

#[tokio::test]
async fn strangers_cannot_push_a_payment_out_of_the_books() {
    let (folder, ledger) = on_disk();
    let obstacle = locked(folder.path());
    for _ in 0..40_000 {
        ledger.record(LedgerEvent::Refused(RefusedEvent {
            service: name("weather"),
            reason: ReasonCode::NoCredential,
            at: NOON,
        }));
    }
    ledger.record(granted(1, "weather", NOON));
    obstacle.execute_batch("ROLLBACK").unwrap();

    assert_eq!(
        ledger.sales(Period::AllTime).await.unwrap(),
        [weather_sales(1, 1)]
    );
    assert_eq!(
        ledger.refusals(Period::AllTime).await.unwrap()[0].count,
        40_000
    );
    assert_eq!(ledger.dropped(), 0);
}

#[tokio::test]
async fn too_many_who_wait_are_sent_away() {
    let (folder, ledger) = on_disk();
    let obstacle = locked(folder.path());
    let waiting: Vec<_> = (0..4_000)
        .map(|_| ledger.reserve(token(1), uses(10_000)))
        .collect();
    obstacle.execute_batch("ROLLBACK").unwrap();

    let mut taken = 0;
    let mut sent_away = 0;
    for answer in waiting {
        match answer.await {
            Ok(Reserved::Held { .. }) => taken += 1,
            Err(LedgerError::Busy) => sent_away += 1,
            other => panic!("{other:?}"),
        }
    }

    assert_eq!(taken + sent_away, 4_000);
    assert!(sent_away > 0);
    let next = consume(&ledger, token(1), uses(10_000)).await;
    assert_eq!(next, Taken::Left(9_999 - taken));
}

#[tokio::test]
async fn a_revenue_beyond_all_money_stops_there_instead_of_stopping_the_books() {
    let (_folder, ledger) = on_disk();
    for number in 0..3 {
        ledger.record(LedgerEvent::Granted(GrantedEvent {
            requests: Tally::one(),
            token: token(number),
            payment_hash: hash(number),
            service: name("weather"),
            paid: Some(Msat::from_msat(i64::MAX.unsigned_abs())),
            uses_max: None,
            at: UnixSeconds::new(u64::MAX),
        }));
        ledger.sales(Period::AllTime).await.unwrap();
    }
    ledger.record(LedgerEvent::Granted(GrantedEvent {
        requests: Tally::one(),
        token: token(9),
        payment_hash: hash(9),
        service: name("weather"),
        paid: Some(Msat::MAX),
        uses_max: None,
        at: NOON,
    }));

    let sales = ledger.sales(Period::AllTime).await.unwrap();

    assert_eq!(sales[0].payments, 4);
    assert_eq!(sales[0].unpriced, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn both_ledgers_keep_the_same_books(history in prop::collection::vec(step(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let in_memory = MemoryLedger::new();
            let (_folder, on_disk) = on_disk();
            let mut used: HashMap<TokenId, u64> = HashMap::new();
            for step in &history {
                let answers = [take(&in_memory, step).await, take(&on_disk, step).await];
                assert_eq!(answers[0], answers[1], "{step:?}");
                if let (Step::Consume(token, max), Some(Taken::Left(_))) = (step, answers[0]) {
                    let used = used.entry(*token).or_default();
                    *used += 1;
                    assert!(*used <= max.get(), "{step:?}");
                }
            }
            assert_eq!(books(&in_memory).await, books(&on_disk).await);
        });
    }
}

#[derive(Clone, Debug)]
enum Step {
    Consume(TokenId, NonZeroU64),
    Grant(u32, &'static str, UnixSeconds),
    Refuse(RefusedEvent),
    Revoke(Revocation),
}

fn step() -> impl Strategy<Value = Step> {
    let services = prop::sample::select(vec!["weather", "maps", "b"]);
    let reasons = prop::sample::select(vec![
        ReasonCode::NoCredential,
        ReasonCode::Denied("expired"),
        ReasonCode::Unavailable,
    ]);
    let at = (0_u64..200_000).prop_map(|secs| NOON.plus_secs(secs));
    prop_oneof![
        (0_u32..5, services.clone(), at.clone())
            .prop_map(|(token, service, at)| Step::Grant(token, service, at)),
        (services, reasons, at.clone()).prop_map(|(service, reason, at)| Step::Refuse(
            RefusedEvent {
                service: name(service),
                reason,
                at,
            }
        )),
        (0_u32..5, 1_u64..4).prop_map(|(number, max)| Step::Consume(token(number), uses(max))),
        (0_u32..5).prop_map(|number| Step::Revoke(Revocation::Token(token(number)))),
        at.prop_map(|at| Step::Revoke(Revocation::MintedBefore(at))),
    ]
}

async fn take(ledger: &dyn Ledger, step: &Step) -> Option<Taken> {
    match step {
        Step::Consume(token, uses_max) => Some(consume(ledger, *token, *uses_max).await),
        Step::Grant(token, service, at) => {
            ledger.record(granted(*token, service, *at));
            None
        }
        Step::Refuse(event) => {
            ledger.record(LedgerEvent::Refused(event.clone()));
            None
        }
        Step::Revoke(revocation) => {
            ledger.revoke(*revocation).await.unwrap();
            None
        }
    }
}

/// What reserving and committing a use came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Taken {
    Exhausted,
    Left(u64),
}

async fn consume<L: Uses + ?Sized>(ledger: &L, token: TokenId, uses_max: NonZeroU64) -> Taken {
    match ledger.reserve(token, uses_max).await.unwrap() {
        Reserved::Exhausted => Taken::Exhausted,
        Reserved::Held { reservation, left } => {
            ledger.commit(reservation).await.unwrap();
            Taken::Left(left)
        }
        Reserved::InUse => panic!("a use is reserved"),
    }
}

fn held(reserved: Reserved) -> Reservation {
    match reserved {
        Reserved::Held { reservation, .. } => reservation,
        Reserved::Exhausted | Reserved::InUse => panic!("{reserved:?}"),
    }
}

/// Everything a ledger can be asked, as text. Revocations by what they mean.
async fn books(ledger: &dyn Ledger) -> (String, RevocationSet) {
    let mut tokens = Vec::new();
    for number in 0..5 {
        tokens.push(ledger.token(token(number)).await.unwrap());
    }
    let mut reports = Vec::new();
    for period in [
        Period::AllTime,
        Period::SinceDayOf(NOON.plus_secs(DAY_SECS)),
    ] {
        reports.push((
            ledger.sales(period).await.unwrap(),
            ledger.refusals(period).await.unwrap(),
            ledger.tokens(period, 3).await.unwrap(),
        ));
    }
    let mut revoked = RevocationSet::default();
    for revocation in ledger.all().await.unwrap() {
        match revocation {
            Revocation::MintedBefore(moment) => revoked.revoke_minted_before(moment),
            Revocation::Token(token) => revoked.revoke(token),
        }
    }
    (format!("{tokens:?} {reports:?}"), revoked)
}

fn on_disk() -> (tempfile::TempDir, SqliteLedger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    (folder, ledger)
}

fn open(folder: &Path) -> SqliteLedger {
    SqliteLedger::open(&folder.join("ledger.db")).unwrap()
}

/// What would be on the disk had the process been killed now.
fn disk_image(folder: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    for file in ["ledger.db", "ledger.db-wal"] {
        fs::copy(folder.join(file), image.path().join(file)).unwrap();
    }
    image
}

/// A second process that keeps the ledger from writing until it rolls back.
fn locked(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("ledger.db")).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

fn granted(number: u32, service: &str, at: UnixSeconds) -> LedgerEvent {
    LedgerEvent::Granted(GrantedEvent {
        requests: Tally::one(),
        token: token(number),
        payment_hash: hash(number),
        service: name(service),
        paid: Some(TEN_SAT),
        uses_max: None,
        at,
    })
}

fn weather_sales(payments: u64, requests: u64) -> Sales {
    Sales {
        service: name("weather"),
        payments,
        revenue: TEN_SAT,
        unpriced: 0,
        requests,
    }
}

fn token(number: u32) -> TokenId {
    let mut bytes = [0; 32];
    bytes[28..].copy_from_slice(&number.to_be_bytes());
    TokenId::new(bytes)
}

fn hash(number: u32) -> PaymentHash {
    PaymentHash::new(*token(number).as_bytes())
}
