//! What a [`Payer`](crate::Payer) promises.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use l402::{Invoice, Msat, Network, PaymentHash};

use super::invoices::{SMALL, fresh_hash, now, payment, small, terms, unroutable};
use super::{CaseOutcome, Fixture, Violation};
use crate::{InvoiceState, Paid, PayError, PaymentState, PaymentTerms, Repeat, WalletIdentity};

pub(super) async fn paying_buys_the_preimage_of_the_hash(fixture: &Fixture<'_>) -> CaseOutcome {
    let invoice = small(fixture).await?;
    let hash = invoice.payment_hash();

    let paid = fixture.buyer.pay(payment(invoice)).await?;

    Violation::unless(paid.preimage.matches(&hash), || {
        "the preimage pays another hash".to_owned()
    })
}

pub(super) async fn paying_twice_moves_money_once_and_answers_the_same(
    fixture: &Fixture<'_>,
) -> CaseOutcome {
    if fixture.buyer.promises().await?.repeat != Repeat::PaysOnce {
        return Ok(());
    }
    let invoice = small(fixture).await?;

    let first = fixture.buyer.pay(payment(invoice.clone())).await?;
    let second = fixture.buyer.pay(payment(invoice.clone())).await?;

    Violation::unless(first == second, || {
        format!("first {first:?}, then {second:?}, or another preimage")
    })?;
    received_once(fixture, invoice.payment_hash()).await
}

pub(super) async fn paying_twice_at_once_moves_money_once(fixture: &Fixture<'_>) -> CaseOutcome {
    if fixture.buyer.promises().await?.repeat != Repeat::PaysOnce {
        return Ok(());
    }
    let invoice = small(fixture).await?;
    let hash = invoice.payment_hash();

    let (one, two) = join(
        fixture.buyer.pay(payment(invoice.clone())),
        fixture.buyer.pay(payment(invoice)),
    )
    .await;

    let settled = until_settled(fixture, hash).await?;
    for answer in [one, two] {
        match answer {
            Ok(paid) => Violation::unless(paid == settled, || {
                format!("answered {paid:?}, settled {settled:?}, or another preimage")
            })?,
            Err(PayError::Unknown { .. }) => {}
            Err(error @ (PayError::Failed { .. } | PayError::NotSent { .. })) => {
                return Err(Violation(format!("of a settled payment: {error}")));
            }
        }
    }
    received_once(fixture, hash).await
}

pub(super) async fn a_direct_channel_needs_no_fee(fixture: &Fixture<'_>) -> CaseOutcome {
    let payment = PaymentTerms {
        fee_max: Msat::ZERO,
        ..payment(small(fixture).await?)
    };

    let paid = fixture.buyer.pay(payment).await?;

    Violation::unless(paid.fee.is_zero(), || format!("it cost {}", paid.fee))
}

pub(super) async fn an_expired_invoice_is_not_paid(fixture: &Fixture<'_>) -> CaseOutcome {
    let invoice = fixture.seller.invoice(terms(SMALL, 1)).await?;
    while now() <= invoice.expires_at() {
        // What is waited for is the clock itself.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    is_not_paid(fixture, invoice.clone()).await?;

    let seller = fixture.seller.lookup(invoice.payment_hash()).await?;
    Violation::unless(
        matches!(seller, Some(InvoiceState::Open | InvoiceState::Canceled)),
        || format!("the seller says {seller:?}"),
    )
}

pub(super) async fn an_unaffordable_invoice_is_not_paid(fixture: &Fixture<'_>) -> CaseOutcome {
    let invoice = fixture
        .seller
        .invoice(terms(fixture.unaffordable, 600))
        .await?;

    is_not_paid(fixture, invoice).await
}

pub(super) async fn an_invoice_of_a_node_nobody_knows_is_not_paid(
    fixture: &Fixture<'_>,
) -> CaseOutcome {
    let network = fixture.buyer.network().await?;

    is_not_paid(fixture, unroutable(network, Some(SMALL))?).await
}

pub(super) async fn an_invoice_of_another_network_is_not_paid(
    fixture: &Fixture<'_>,
) -> CaseOutcome {
    let other = match fixture.buyer.network().await? {
        Network::Regtest => Network::Mainnet,
        Network::Mainnet | Network::Signet | Network::Simnet | Network::Testnet => Network::Regtest,
    };

    is_not_paid(fixture, unroutable(other, Some(SMALL))?).await
}

pub(super) async fn an_invoice_without_an_amount_is_not_paid(fixture: &Fixture<'_>) -> CaseOutcome {
    let network = fixture.buyer.network().await?;

    is_not_paid(fixture, unroutable(network, None)?).await
}

pub(super) async fn the_buyer_has_one_identity(fixture: &Fixture<'_>) -> CaseOutcome {
    let [one, two] = [
        fixture.buyer.identity().await?,
        fixture.buyer.identity().await?,
    ];
    let network = fixture.buyer.network().await?;
    Violation::unless(one == two, || format!("first {one}, then {two}"))?;
    Violation::unless(one.network() == network, || {
        format!("{one} of a wallet on {network}")
    })?;
    let read: Option<WalletIdentity> = one.to_string().parse().ok();
    Violation::unless(read == Some(one), || {
        format!("{one} reads back as {read:?}")
    })
}

pub(super) async fn a_payment_never_begun_is_unknown(fixture: &Fixture<'_>) -> CaseOutcome {
    let unpaid = small(fixture).await?;
    for hash in [fresh_hash(), unpaid.payment_hash()] {
        let found = fixture.buyer.lookup(hash).await?;
        Violation::unless(found.is_none(), || format!("found {found:?}"))?;
    }
    Ok(())
}

pub(super) async fn a_settled_payment_is_found_as_it_was_answered(
    fixture: &Fixture<'_>,
) -> CaseOutcome {
    let invoice = small(fixture).await?;
    let hash = invoice.payment_hash();

    let paid = fixture.buyer.pay(payment(invoice)).await?;

    let found = fixture.buyer.lookup(hash).await?;
    Violation::unless(found == Some(PaymentState::Settled(paid)), || {
        format!("found {found:?}, or another preimage")
    })
}

pub(super) async fn a_payment_settles_though_nobody_waits_for_it(
    fixture: &Fixture<'_>,
) -> CaseOutcome {
    let invoice = small(fixture).await?;
    let hash = invoice.payment_hash();
    {
        let paying = pin!(fixture.buyer.pay(payment(invoice)));
        let begun = pin!(until_begun(fixture, hash));
        match select(paying, begun).await {
            // Both futures are dropped here, the payment perhaps on its way.
            Either::Left((answer, _)) => drop(answer?),
            Either::Right((begun, _)) => begun?,
        }
    }

    until_settled(fixture, hash).await?;

    received_once(fixture, hash).await
}

pub(super) async fn paying_again_after_the_caller_left_moves_money_once(
    fixture: &Fixture<'_>,
) -> CaseOutcome {
    if fixture.buyer.promises().await?.repeat != Repeat::PaysOnce {
        return Ok(());
    }
    let invoice = small(fixture).await?;
    let hash = invoice.payment_hash();
    {
        let paying = pin!(fixture.buyer.pay(payment(invoice.clone())));
        let begun = pin!(until_begun(fixture, hash));
        drop(select(paying, begun).await);
    }

    let paid = fixture.buyer.pay(payment(invoice)).await?;

    Violation::unless(paid.preimage.matches(&hash), || {
        "the preimage pays another hash".to_owned()
    })?;
    received_once(fixture, hash).await
}

/// Holds the buyer to `Failed` or `NotSent`, and to having moved nothing.
async fn is_not_paid(fixture: &Fixture<'_>, invoice: Invoice) -> CaseOutcome {
    let hash = invoice.payment_hash();
    match fixture.buyer.pay(payment(invoice)).await {
        Err(PayError::Failed { .. } | PayError::NotSent { .. }) => {}
        Err(PayError::Unknown { reason }) => {
            return Err(Violation(format!("answered `unknown`: {reason}")));
        }
        Ok(paid) => return Err(Violation(format!("paid: {paid:?}"))),
    }
    let found = fixture.buyer.lookup(hash).await?;
    Violation::unless(
        matches!(found, None | Some(PaymentState::Failed { .. })),
        || format!("answered `failed`, but then found {found:?}"),
    )
}

async fn received_once(fixture: &Fixture<'_>, hash: PaymentHash) -> CaseOutcome {
    let state = fixture.seller.lookup(hash).await?;
    Violation::unless(
        state == Some(InvoiceState::Settled { received: SMALL }),
        || format!("the seller says {state:?}"),
    )
}

/// Asks until the wallet has begun a payment. The case's deadline bounds it.
async fn until_begun(fixture: &Fixture<'_>, hash: PaymentHash) -> CaseOutcome {
    while fixture.buyer.lookup(hash).await?.is_none() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Asks until a payment has settled. The case's deadline bounds it.
async fn until_settled(fixture: &Fixture<'_>, hash: PaymentHash) -> Result<Paid, Violation> {
    loop {
        match fixture.buyer.lookup(hash).await? {
            Some(PaymentState::Settled(paid)) => return Ok(paid),
            Some(PaymentState::InFlight) => tokio::task::yield_now().await,
            Some(PaymentState::Failed { reason }) => {
                return Err(Violation(format!("the payment failed: {reason}")));
            }
            None => return Err(Violation("the wallet forgot the payment".to_owned())),
        }
    }
}
