use std::fs;
use std::sync::Barrier;
use std::thread;

use l402::{Msat, Preimage, SchemeName, Token};

use super::*;

#[test]
fn what_was_begun_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let ticket = journal.begin(&order(1), anything).unwrap();
    // A killed process runs no destructor and writes nothing more; its lock goes with it.
    drop((ticket, journal));

    let open = Journal::open(dir.path()).unwrap().open_entries().unwrap();

    let [entry] = open.as_slice() else {
        panic!("{open:?}")
    };
    assert_eq!(entry.order.payment_hash, hash(1));
    assert_eq!(entry.order.token, Token::from_bytes(vec![2, 1]));
    assert_eq!(entry.order.invoice, "lnbcrt1");
    assert_eq!(entry.state, EntryState::Begun);
    assert_eq!(entry.owner, Owner::Gone);
}

#[test]
fn a_living_owner_is_seen_by_other_processes() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, theirs) = two(dir.path());

    let (ticket, ()) = mine.begin(&order(1), anything).unwrap();

    let owner = |journal: &Journal| journal.open_entries().unwrap()[0].owner;
    assert_eq!(owner(&theirs), Owner::Working);
    assert_eq!(owner(&mine), Owner::Working);
    drop(ticket);
    assert_eq!(
        owner(&mine),
        Owner::Gone,
        "nobody in this process waits for it"
    );
    drop(mine);
    assert_eq!(owner(&theirs), Owner::Gone);
}

#[test]
fn a_session_file_left_by_a_killed_process_means_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    drop(journal.begin(&order(1), anything).unwrap());
    let name = journal.shared.session.id().as_str().to_owned();
    drop(journal);
    fs::write(dir.path().join(SESSION_DIR).join(&name), "").unwrap();

    let journal = Journal::open(dir.path()).unwrap();

    assert_eq!(journal.open_entries().unwrap()[0].owner, Owner::Gone);
    assert!(
        !dir.path().join(SESSION_DIR).join(&name).exists(),
        "cleared"
    );
}

#[test]
fn the_same_payment_hash_is_never_begun_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, theirs) = two(dir.path());
    let _ticket = mine.begin(&order(1), anything).unwrap();
    let elsewhere = Order {
        path: "/other".to_owned(),
        ..order(1)
    };

    for outcome in [
        None,
        Some(Outcome::InDoubt {
            reason: "timeout".to_owned(),
        }),
        Some(paid(1, 0)),
    ] {
        if let Some(outcome) = outcome {
            mine.settle(&hash(1), outcome).unwrap();
        }
        let refused = theirs.begin(&elsewhere, anything);
        assert!(
            matches!(refused, Err(BeginError::AlreadyBegun(_))),
            "{refused:?}"
        );
    }
    mine.mark_kept(&hash(1)).unwrap();
    assert!(matches!(
        theirs.begin(&elsewhere, anything),
        Err(BeginError::AlreadyBegun(_))
    ));
}

#[test]
fn an_open_purchase_blocks_its_own_origin_and_path_only() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, theirs) = two(dir.path());
    let _ticket = mine.begin(&order(1), anything).unwrap();
    mine.settle(
        &hash(1),
        Outcome::InDoubt {
            reason: "timeout".to_owned(),
        },
    )
    .unwrap();

    let refused = theirs.begin(&order(2), anything);

    let Err(BeginError::AlreadyBegun(entry)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(entry.order.payment_hash, hash(1));
    let elsewhere = Order {
        path: "/other".to_owned(),
        ..order(2)
    };
    assert!(theirs.begin(&elsewhere, anything).is_ok());
}

#[test]
fn a_paid_purchase_blocks_its_path_until_its_credential_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, theirs) = two(dir.path());
    let _ticket = mine.begin(&order(1), anything).unwrap();
    mine.settle(&hash(1), paid(1, 0)).unwrap();

    let refused = theirs.begin(&order(2), anything);

    assert!(
        matches!(refused, Err(BeginError::AlreadyBegun(_))),
        "{refused:?}"
    );
    mine.mark_kept(&hash(1)).unwrap();
    assert!(theirs.begin(&order(2), anything).is_ok());
}

#[test]
fn a_credential_stored_before_its_payment_is_recorded_leaves_the_journal_sound() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _ticket = journal.begin(&order(1), anything).unwrap();

    journal.mark_kept(&hash(1)).unwrap();

    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.open_entries().unwrap().len(), 1);
}

#[test]
fn a_failed_purchase_costs_nothing_and_may_be_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _ticket = journal.begin(&order(1), anything).unwrap();

    journal
        .settle(
            &hash(1),
            Outcome::Failed {
                reason: "no route".to_owned(),
            },
        )
        .unwrap();

    assert_eq!(journal.charges().unwrap(), []);
    assert!(journal.begin(&order(1), anything).is_ok());
}

#[test]
fn proof_of_payment_outweighs_a_reported_failure_but_never_the_other_way() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _ticket = journal.begin(&order(1), anything).unwrap();
    let failed = Outcome::Failed {
        reason: "no route".to_owned(),
    };
    journal.settle(&hash(1), failed.clone()).unwrap();

    journal.settle(&hash(1), paid(1, 3)).unwrap();
    journal.settle(&hash(1), failed).unwrap();

    assert_eq!(journal.unkept_entries().unwrap().len(), 1);
    assert_eq!(spent(&journal), msat(10_003));
}

#[test]
fn a_preimage_of_another_payment_settles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _ticket = journal.begin(&order(1), anything).unwrap();

    let refused = journal.settle(&hash(1), paid(2, 0));

    assert!(
        matches!(refused, Err(JournalError::NotItsPreimage { .. })),
        "{refused:?}"
    );
    assert_eq!(journal.open_entries().unwrap().len(), 1);
}

#[test]
fn the_fee_ceiling_is_charged_until_the_fee_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _ticket = journal.begin(&order(1), anything).unwrap();
    let charge = |amount, kind| Charge {
        host: "127.0.0.1".to_owned(),
        utc_day: 20_000,
        amount: msat(amount),
        kind,
    };

    assert_eq!(
        journal.charges().unwrap(),
        [charge(11_000, ChargeKind::Reserved)]
    );
    journal
        .settle(
            &hash(1),
            Outcome::InDoubt {
                reason: "timeout".to_owned(),
            },
        )
        .unwrap();
    assert_eq!(
        journal.charges().unwrap(),
        [charge(11_000, ChargeKind::Reserved)]
    );
    journal.settle(&hash(1), paid(1, 7)).unwrap();
    assert_eq!(
        journal.charges().unwrap(),
        [charge(10_007, ChargeKind::Spent)]
    );
}

#[test]
fn two_buyers_cannot_both_spend_the_last_satoshi() {
    let dir = tempfile::tempdir().unwrap();
    let buyers = 8;
    let start = Barrier::new(buyers);
    let room_for_three = |charges: &[Charge]| {
        let total: u64 = charges.iter().map(|charge| charge.amount.as_msat()).sum();
        if total + 11_000 <= 33_000 {
            Ok(())
        } else {
            Err("over")
        }
    };

    let bought: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..buyers)
            .map(|buyer| {
                let (start, path) = (&start, dir.path());
                scope.spawn(move || {
                    let journal = Journal::open(path).unwrap();
                    start.wait();
                    let tag = u8::try_from(buyer).unwrap();
                    let order = Order {
                        path: format!("/{buyer}"),
                        ..order(tag)
                    };
                    usize::from(journal.begin(&order, room_for_three).is_ok())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });

    assert_eq!(bought, 3);
}

#[test]
fn a_refused_purchase_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();

    let refused = journal.begin(&order(1), |_charges| Err::<(), _>("over the limit"));

    assert!(
        matches!(refused, Err(BeginError::Refused("over the limit"))),
        "{refused:?}"
    );
    assert_eq!(journal.entries().unwrap().len(), 0);
}

#[test]
fn a_torn_last_line_is_cut_off_at_every_length() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _one = journal.begin(&order(1), anything).unwrap();
    let log = dir.path().join(LOG_FILE);
    let whole = fs::read(&log).unwrap();
    let other = Order {
        path: "/other".to_owned(),
        ..order(2)
    };
    let _two = journal.begin(&other, anything).unwrap();
    let longer = fs::read(&log).unwrap();

    for length in whole.len()..longer.len() {
        fs::write(&log, &longer[..length]).unwrap();
        let reader = Journal::open(dir.path()).unwrap();
        assert_eq!(reader.open_entries().unwrap().len(), 1, "cut at {length}");
        assert_eq!(fs::read(&log).unwrap(), whole, "repaired at {length}");
        drop(reader.begin(&other, anything).unwrap());
        assert_eq!(
            Journal::open(dir.path())
                .unwrap()
                .open_entries()
                .unwrap()
                .len(),
            2
        );
    }
}

#[test]
fn a_last_line_with_a_hole_was_never_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _ticket = journal.begin(&order(1), anything).unwrap();
    let log = dir.path().join(LOG_FILE);
    let whole = fs::read(&log).unwrap();
    let mut holed = whole.clone();
    holed.extend_from_slice(b"0123456789abcdef {\"rec\0\0\0\0\"}\n");
    fs::write(&log, holed).unwrap();

    let journal = Journal::open(dir.path()).unwrap();

    assert_eq!(journal.open_entries().unwrap().len(), 1);
    assert_eq!(fs::read(&log).unwrap(), whole);
}

#[test]
fn damage_before_the_tail_is_an_error_with_file_and_line_and_nothing_is_bought() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _one = journal.begin(&order(1), anything).unwrap();
    journal.settle(&hash(1), paid(1, 0)).unwrap();
    let elsewhere = Order {
        path: "/other".to_owned(),
        ..order(2)
    };
    let _two = journal.begin(&elsewhere, anything).unwrap();
    let log = dir.path().join(LOG_FILE);
    let whole = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let [header, begun, settled, last] = lines.as_slice() else {
        panic!("{whole}")
    };

    for (line, damaged) in [
        (1, format!("tollway-journal 2 0000000000000000\n{begun}\n")),
        (
            2,
            format!(
                "{header}\n{}\n{settled}\n{last}\n",
                begun.replace("10000", "10")
            ),
        ),
        (2, format!("{header}\n{settled}\n{last}\n")),
        (3, format!("{header}\n{begun}\n{last}\n")),
        (
            3,
            format!("{header}\n{begun}\n{begun}\n{settled}\n{last}\n"),
        ),
        (
            4,
            format!(
                "{header}\n{begun}\n{settled}\n{}\n",
                last.replace("lnbcrt1", "lnbcrt2")
            ),
        ),
        (2, format!("{header}\n\n{begun}\n{settled}\n{last}\n")),
    ] {
        fs::write(&log, &damaged).unwrap();
        let journal = Journal::open(dir.path()).unwrap();

        for _again in 0..2 {
            let refused = journal.begin(&order(9), anything).unwrap_err().to_string();
            assert!(
                refused.contains(&format!("line {line}:")),
                "{refused}\n{damaged}"
            );
            assert!(refused.contains("journal.log"), "{refused}");
        }
        assert_eq!(
            fs::read_to_string(&log).unwrap(),
            damaged,
            "left for a person to look at"
        );
    }
}

#[test]
fn no_damaged_byte_is_read_over() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _ticket = journal.begin(&order(1), anything).unwrap();
    journal.settle(&hash(1), paid(1, 0)).unwrap();
    let log = dir.path().join(LOG_FILE);
    let whole = fs::read(&log).unwrap();

    // Without its end the last line would be torn, which is another test's affair.
    for at in 0..whole.len() - 1 {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&log, &damaged).unwrap();
        let read = Journal::open(dir.path()).unwrap().entries();
        assert!(
            matches!(read, Err(JournalError::Corrupt { .. })),
            "byte {at}: {read:?}"
        );
    }
}

#[test]
fn a_journal_that_vanishes_or_shrinks_is_an_error_not_a_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let _ticket = journal.begin(&order(1), anything).unwrap();
    let log = dir.path().join(LOG_FILE);
    let whole = fs::read(&log).unwrap();

    fs::write(&log, &whole[..HEADER_LEN]).unwrap();
    assert!(matches!(
        journal.open_entries(),
        Err(JournalError::Io { .. })
    ));
    fs::remove_file(&log).unwrap();
    for _again in 0..2 {
        assert!(matches!(
            journal.open_entries(),
            Err(JournalError::Io { .. })
        ));
    }
}

#[test]
fn compaction_keeps_every_satoshi_and_every_open_purchase() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, theirs) = two(dir.path());
    for (tag, day) in [(1, 0), (2, 5), (3, 10), (4, 10), (5, 10), (6, 10)] {
        let order = Order {
            path: format!("/{tag}"),
            begun_at: NOON.plus_secs(day * 86_400),
            ..order(tag)
        };
        drop(mine.begin(&order, anything).unwrap());
    }
    for tag in [1, 2, 3] {
        mine.settle(&hash(tag), paid(tag, 5)).unwrap();
        mine.mark_kept(&hash(tag)).unwrap();
    }
    mine.settle(&hash(4), paid(4, 6)).unwrap();
    mine.settle(
        &hash(5),
        Outcome::Failed {
            reason: "no route".to_owned(),
        },
    )
    .unwrap();
    let day = |journal: &Journal, day: u64| -> u64 {
        let charges = journal.charges().unwrap();
        let on_day = charges
            .iter()
            .filter(|charge| charge.utc_day == 20_000 + day);
        on_day.map(|charge| charge.amount.as_msat()).sum()
    };
    let before = (spent(&theirs), day(&theirs, 10));

    mine.compact(NOON.plus_secs(10 * 86_400)).unwrap();

    for journal in [&mine, &theirs, &Journal::open(dir.path()).unwrap()] {
        assert_eq!((spent(journal), day(journal, 10)), before);
        assert_eq!(
            journal.open_entries().unwrap()[0].order.payment_hash,
            hash(6)
        );
        assert_eq!(
            journal.unkept_entries().unwrap()[0].order.payment_hash,
            hash(4)
        );
        assert_eq!(journal.entries().unwrap().len(), 2, "the rest are sums");
    }
    mine.settle(&hash(6), paid(6, 0)).unwrap();
    assert_eq!(
        theirs.open_entries().unwrap().len(),
        0,
        "both go on appending"
    );
}

#[test]
fn a_long_journal_compacts_itself() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let long = Order {
        invoice: "l".repeat(7_000),
        ..order(1)
    };
    for _purchase in 0..60 {
        drop(journal.begin(&long, anything).unwrap());
        let failed = Outcome::Failed {
            reason: "no route".to_owned(),
        };
        journal.settle(&hash(1), failed).unwrap();
    }

    let length = fs::metadata(dir.path().join(LOG_FILE)).unwrap().len();

    assert!(length < COMPACT_AT_BYTES, "{length} bytes");
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_journal() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let journal = Journal::open(&dir).unwrap();
    let _ticket = journal.begin(&order(1), anything).unwrap();

    for compacted in [false, true] {
        if compacted {
            journal.compact(NOON).unwrap();
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.join(LOG_FILE)), 0o600);
        assert_eq!(mode(&dir), 0o700);
    }
}

#[test]
fn debug_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let ticket = journal.begin(&order(1), anything).unwrap();
    journal.settle(&hash(1), paid(1, 0)).unwrap();

    let shown = format!("{journal:?} {ticket:?} {:?}", journal.entries().unwrap());

    assert!(!shown.contains(&preimage(1).expose_hex()), "{shown}");
    assert!(shown.contains("redacted"), "{shown}");
}

const NOON: UnixSeconds = UnixSeconds::new(20_000 * 86_400 + 43_200);
const HEADER_LEN: usize = "tollway-journal 1 0000000000000000\n".len();

fn anything(_charges: &[Charge]) -> Result<(), &'static str> {
    Ok(())
}

/// Two journals on one directory: to the lock, the same as two processes.
fn two(dir: &Path) -> (Journal, Journal) {
    (Journal::open(dir).unwrap(), Journal::open(dir).unwrap())
}

fn preimage(tag: u8) -> Preimage {
    Preimage::new([tag; 32])
}

fn hash(tag: u8) -> PaymentHash {
    preimage(tag).payment_hash()
}

fn msat(msat: u64) -> Msat {
    Msat::from_msat(msat)
}

fn paid(tag: u8, fee: u64) -> Outcome {
    Outcome::Paid(Receipt {
        preimage: preimage(tag),
        fee: msat(fee),
    })
}

fn spent(journal: &Journal) -> Msat {
    let charges = journal.charges().unwrap();
    msat(charges.iter().map(|charge| charge.amount.as_msat()).sum())
}

fn order(tag: u8) -> Order {
    Order {
        payment_hash: hash(tag),
        origin: "http://127.0.0.1:8402".parse().unwrap(),
        path: "/weather".to_owned(),
        wallet: WalletName::new("sandbox:buyer"),
        price: msat(10_000),
        fee_max: msat(1_000),
        invoice: "lnbcrt1".to_owned(),
        invoice_expires_at: NOON.plus_secs(600),
        scheme: SchemeName::L402,
        token: Token::from_bytes(vec![2, tag]),
        begun_at: NOON,
        pay_until: NOON.plus_secs(90),
    }
}
