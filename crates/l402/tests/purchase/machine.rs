//! The steps of a purchase, by name.

use super::*;

/// Takes events in order; the last action, or the error of the first that does not fit.
fn run(events: &[PurchaseEvent]) -> Result<(PurchaseState, PurchaseAction), OutOfOrder> {
    let mut at = (PurchaseState::Offered, PurchaseAction::Nothing);
    for event in events {
        at = step(&hash(1), &at.0, event.clone())?;
    }
    Ok(at)
}

const BEGUN: [PurchaseEvent; 2] = [PurchaseEvent::Admitted, PurchaseEvent::Recorded];

fn paying_then(events: &[PurchaseEvent]) -> Result<(PurchaseState, PurchaseAction), OutOfOrder> {
    run(&[&BEGUN[..], events].concat())
}

fn paid() -> PurchaseState {
    PurchaseState::Paid {
        preimage: preimage(1),
        fee: Msat::from_msat(7),
    }
}

#[test]
fn the_road_from_challenge_to_credential() {
    let sent = regtest().header_values(LegacyLsat::Emit);
    let read = read_challenges(sent.iter().map(String::as_bytes)).unwrap();
    let quote = Quote::read(read.first().unwrap(), Network::Regtest, CREATED).unwrap();
    let hash = quote.payment_hash();

    let (state, record) = step(&hash, &PurchaseState::Offered, PurchaseEvent::Admitted).unwrap();
    let (state, pay) = step(&hash, &state, PurchaseEvent::Recorded).unwrap();
    let (state, keep) = step(&hash, &state, settled(1)).unwrap();

    assert_eq!(
        [record, pay, keep],
        [
            PurchaseAction::Record,
            PurchaseAction::Pay,
            PurchaseAction::Keep
        ]
    );
    assert_eq!(state, paid());
    assert_eq!(state.charge(PRICE, FEE_MAX), Msat::from_msat(10_007));
}

#[test]
fn a_lost_payment_is_looked_up_and_never_paid_again() {
    let lost = paying_then(&[PurchaseEvent::Unknown]);

    assert_eq!(lost, Ok((PurchaseState::Unknown, PurchaseAction::LookUp)));
    for again in BEGUN {
        let again = [PurchaseEvent::Unknown, again];
        assert_eq!(paying_then(&again), Err(OutOfOrder));
    }
    let found = paying_then(&[PurchaseEvent::Unknown, settled(1)]);
    assert_eq!(found, Ok((paid(), PurchaseAction::Keep)));
}

#[test]
fn only_an_open_purchase_is_offered_again() {
    let again = paying_then(&[PurchaseEvent::Unknown, PurchaseEvent::Reoffered]);
    assert_eq!(again, Ok((PurchaseState::Paying, PurchaseAction::Pay)));

    for ended in [settled(1), PurchaseEvent::Failed] {
        let again = paying_then(&[ended, PurchaseEvent::Reoffered]);
        assert_eq!(again, Err(OutOfOrder));
    }
    assert_eq!(run(&[PurchaseEvent::Reoffered]), Err(OutOfOrder));
}

#[test]
fn a_settlement_with_a_wrong_preimage_is_not_believed() {
    let lie = paying_then(&[settled(2)]);

    assert_eq!(lie, Ok((PurchaseState::Unknown, PurchaseAction::LookUp)));
}

#[test]
fn a_failed_payment_gives_its_money_back_and_may_be_begun_again() {
    let failed = paying_then(&[PurchaseEvent::Failed]).unwrap();

    assert_eq!(failed, (PurchaseState::Failed, PurchaseAction::Release));
    assert_eq!(failed.0.charge(PRICE, FEE_MAX), Msat::ZERO);
    let again = step(&hash(1), &failed.0, PurchaseEvent::Admitted);
    assert_eq!(again, Ok((PurchaseState::Reserved, PurchaseAction::Record)));
}

#[test]
fn a_settlement_after_a_failure_is_kept_and_a_lie_changes_nothing() {
    let late = paying_then(&[PurchaseEvent::Failed, settled(1)]);
    let lie = paying_then(&[PurchaseEvent::Failed, settled(2)]);

    assert_eq!(late, Ok((paid(), PurchaseAction::Keep)));
    assert_eq!(lie, Ok((PurchaseState::Failed, PurchaseAction::Nothing)));
}

#[test]
fn nothing_is_paid_before_it_is_recorded() {
    for event in [settled(1), PurchaseEvent::Unknown, PurchaseEvent::Reoffered] {
        assert_eq!(run(&[PurchaseEvent::Admitted, event]), Err(OutOfOrder));
    }
}

#[test]
fn what_could_not_be_recorded_gives_its_money_back() {
    let (state, action) = run(&[PurchaseEvent::Admitted, PurchaseEvent::Failed]).unwrap();

    assert_eq!(
        (&state, action),
        (&PurchaseState::Offered, PurchaseAction::Release)
    );
    assert_eq!(state.charge(PRICE, FEE_MAX), Msat::ZERO);
}

#[test]
fn a_paid_purchase_stays_paid_whatever_is_reported() {
    for event in [
        PurchaseEvent::Admitted,
        PurchaseEvent::Failed,
        PurchaseEvent::Recorded,
        PurchaseEvent::Reoffered,
        PurchaseEvent::Unknown,
    ] {
        assert_eq!(paying_then(&[settled(1), event]), Err(OutOfOrder));
    }
    let twice = paying_then(&[settled(1), settled(2)]);
    assert_eq!(twice, Ok((paid(), PurchaseAction::Nothing)));
}

#[test]
fn what_may_be_spent_counts_until_it_is_known() {
    for state in [
        PurchaseState::Reserved,
        PurchaseState::Paying,
        PurchaseState::Unknown,
    ] {
        assert_eq!(state.charge(PRICE, FEE_MAX), Msat::from_msat(10_500));
    }
    assert_eq!(PurchaseState::Paying.charge(Msat::MAX, FEE_MAX), Msat::MAX);
}

#[test]
fn no_debug_text_of_a_purchase_shows_its_preimage() {
    let told = format!("{:?} {:?}", paid(), settled(1));
    assert!(!told.contains(&preimage(1).expose_hex()), "{told}");
    let secret_bytes = format!("{:?}", [1_u8; 32]);
    assert!(!told.contains(&secret_bytes), "{told}");
}
