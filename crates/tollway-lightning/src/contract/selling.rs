//! What an [`Invoicer`](crate::Invoicer) promises.

use l402::Msat;
use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef};

use super::invoices::{SMALL, fresh_hash, now, payment, small, terms};
use super::{CaseOutcome, Fixture, Violation};
use crate::{InvoiceState, WalletError};

pub(super) async fn both_wallets_name_the_same_network(fixture: &Fixture<'_>) -> CaseOutcome {
    let seller = fixture.seller.network().await?;
    let buyer = fixture.buyer.network().await?;

    Violation::unless(seller == buyer, || format!("{seller} and {buyer}"))
}

pub(super) async fn an_invoice_says_what_was_asked(fixture: &Fixture<'_>) -> CaseOutcome {
    let asked = terms(SMALL, 421);

    let invoice = fixture.seller.invoice(asked.clone()).await?;

    let read: Bolt11Invoice = invoice
        .as_str()
        .parse()
        .map_err(|error| Violation(format!("unreadable invoice: {error:?}")))?;
    let memo = match read.description() {
        Bolt11InvoiceDescriptionRef::Direct(memo) => memo.to_string(),
        Bolt11InvoiceDescriptionRef::Hash(_) => "a hash".to_owned(),
    };
    let network = fixture.seller.network().await?;
    let left = invoice.expires_at().secs_since(now());
    Violation::unless(memo == asked.memo, || format!("memo is `{memo}`"))?;
    Violation::unless(invoice.amount() == Some(asked.amount), || {
        format!("amount is {:?}", invoice.amount())
    })?;
    Violation::unless(invoice.network() == network, || {
        format!(
            "an invoice for {} of a wallet on {network}",
            invoice.network()
        )
    })?;
    Violation::unless(read.expiry_time().as_secs() == 421, || {
        format!("payable for {} s", read.expiry_time().as_secs())
    })?;
    Violation::unless(left <= 421, || format!("made {left} s before it expires"))
}

pub(super) async fn no_invoice_is_open_to_any_amount(fixture: &Fixture<'_>) -> CaseOutcome {
    match fixture.seller.invoice(terms(Msat::ZERO, 600)).await {
        Err(WalletError::Refused { .. }) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(invoice) => Err(Violation(format!("issued one over {:?}", invoice.amount()))),
    }
}

pub(super) async fn two_invoices_have_two_hashes(fixture: &Fixture<'_>) -> CaseOutcome {
    let [one, two] = [small(fixture).await?, small(fixture).await?];

    Violation::unless(one.payment_hash() != two.payment_hash(), || {
        "whoever pays one could use the other's token".to_owned()
    })
}

pub(super) async fn an_invoice_is_open_until_paid_and_then_settled_in_full(
    fixture: &Fixture<'_>,
) -> CaseOutcome {
    let invoice = small(fixture).await?;
    let hash = invoice.payment_hash();
    let before = fixture.seller.lookup(hash).await?;

    fixture.buyer.pay(payment(invoice)).await?;

    let after = fixture.seller.lookup(hash).await?;
    Violation::unless(before == Some(InvoiceState::Open), || {
        format!("before paying it was {before:?}")
    })?;
    Violation::unless(
        after == Some(InvoiceState::Settled { received: SMALL }),
        || format!("after paying it was {after:?}"),
    )
}

pub(super) async fn an_invoice_never_issued_is_unknown(fixture: &Fixture<'_>) -> CaseOutcome {
    let found = fixture.seller.lookup(fresh_hash()).await?;

    Violation::unless(found.is_none(), || format!("found {found:?}"))
}
