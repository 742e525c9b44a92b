//! LND invoicer.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use l402::{Invoice, Msat, Network, PaymentHash};

use super::connection::{Connection, unary};
use super::permission::Permission;
use super::proto::lnrpc;
use super::proto::lnrpc::invoice::InvoiceState as LndState;
use super::status::{CallError, CallOutcome};
use crate::{InvoiceState, InvoiceTerms, Invoicer, WalletError};

/// The half of an LND wallet that can be paid. Made by [`Lnd::invoicer`](super::Lnd::invoicer).
///
/// Give it a macaroon that cannot spend, such as the node's `invoice.macaroon`: this type never
/// spends, and then the process it runs in cannot either.
#[derive(Clone)]
pub struct LndInvoicer {
    connection: Arc<Connection>,
}

impl LndInvoicer {
    pub(super) const fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    async fn add(&self, terms: InvoiceTerms) -> Result<Invoice, WalletError> {
        let request = request(&terms)?;
        let mut lightning = self.connection.lightning();
        let added = unary(lightning.add_invoice(request), Permission::InvoicesWrite).await?;
        read_added(&added, &terms)
    }

    /// Reads the network from the node's description. Where the macaroon does not allow that, the
    /// node makes an invoice, whose prefix names the network. It is shown to no payer and expires
    /// within a minute. Either way the macaroon is known to allow invoices afterwards.
    async fn learn_network(&self) -> Result<Network, WalletError> {
        if let Some(network) = self.connection.network.get() {
            return Ok(*network);
        }
        let network = match self.connection.info().await {
            Ok(identity) => {
                self.check_permission().await?;
                identity.network()
            }
            Err(error) if error.is_denied() => self.add(probe()).await?.network(),
            Err(error) => return Err(error.into()),
        };
        Ok(*self.connection.network.get_or_init(|| network))
    }

    /// Fails when the macaroon does not allow invoices, so that a seller learns it at the start
    /// and not from its first buyer. LND checks the macaroon before the request, and refuses this
    /// request for its negative amount.
    async fn check_permission(&self) -> Result<(), WalletError> {
        let request = lnrpc::Invoice {
            value_msat: -1,
            ..Default::default()
        };
        let mut lightning = self.connection.lightning();
        match unary(lightning.add_invoice(request), Permission::InvoicesWrite).await {
            Err(error) if error.outcome != CallOutcome::Refused => Err(error.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn state(&self, hash: PaymentHash) -> Result<Option<InvoiceState>, WalletError> {
        let mut lightning = self.connection.lightning();
        let request = lnrpc::PaymentHash {
            r_hash: hash.as_bytes().to_vec(),
            ..Default::default()
        };
        let asked = lightning.lookup_invoice(request);
        match unary(asked, Permission::InvoicesRead).await {
            Ok(invoice) => read_state(&invoice).map(Some),
            Err(CallError {
                outcome: CallOutcome::NotFound,
                ..
            }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Invoicer for LndInvoicer {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        Box::pin(self.learn_network())
    }

    fn invoice(&self, terms: InvoiceTerms) -> BoxFuture<'_, Result<Invoice, WalletError>> {
        Box::pin(self.add(terms))
    }

    fn lookup(
        &self,
        hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<InvoiceState>, WalletError>> {
        Box::pin(self.state(hash))
    }
}

impl fmt::Debug for LndInvoicer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LndInvoicer")
            .field(&self.connection.address)
            .finish()
    }
}

/// The smallest invoice there is, for its prefix.
fn probe() -> InvoiceTerms {
    InvoiceTerms {
        amount: Msat::from_msat(1),
        memo: "tollway: which network is this?".to_owned(),
        expiry_secs: 60,
    }
}

/// LND reads zero as "any amount" and as "an hour": neither was asked for, so neither is sent.
fn request(terms: &InvoiceTerms) -> Result<lnrpc::Invoice, WalletError> {
    if terms.amount.is_zero() {
        return Err(refused("an invoice over zero would take any amount"));
    }
    if terms.expiry_secs == 0 {
        return Err(refused("an invoice that expires at once cannot be paid"));
    }
    let value_msat = i64::try_from(terms.amount.as_msat())
        .map_err(|_too_much| refused(format!("no wallet can ask for {}", terms.amount)))?;
    Ok(lnrpc::Invoice {
        memo: terms.memo.clone(),
        value_msat,
        expiry: terms.expiry_secs.into(),
        ..Default::default()
    })
}

/// A token is sold for the hash in this invoice, therefore the invoice itself must carry what
/// was asked.
fn read_added(
    added: &lnrpc::AddInvoiceResponse,
    terms: &InvoiceTerms,
) -> Result<Invoice, WalletError> {
    let invoice = Invoice::parse(&added.payment_request)
        .map_err(|error| refused(format!("the node returned an unreadable invoice: {error}")))?;
    if invoice.amount() != Some(terms.amount) {
        return Err(refused("the node returned an invoice over another amount"));
    }
    Ok(invoice)
}

fn read_state(invoice: &lnrpc::Invoice) -> Result<InvoiceState, WalletError> {
    match LndState::try_from(invoice.state) {
        Ok(LndState::Open | LndState::Accepted) => Ok(InvoiceState::Open),
        Ok(LndState::Canceled) => Ok(InvoiceState::Canceled),
        Ok(LndState::Settled) => match u64::try_from(invoice.amt_paid_msat) {
            Ok(msat) => Ok(InvoiceState::Settled {
                received: Msat::from_msat(msat),
            }),
            Err(_) => Err(refused("the node returned a negative amount paid")),
        },
        Err(_) => Err(refused(format!(
            "the node returned an unknown invoice state, {}",
            invoice.state
        ))),
    }
}

fn refused(reason: impl Into<String>) -> WalletError {
    WalletError::Refused {
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lnd_would_read_otherwise_is_never_sent() {
        for (amount, expiry_secs) in [
            (Msat::ZERO, 60),
            (Msat::from_msat(1), 0),
            (Msat::MAX, 60),
            (Msat::from_msat(1 << 63), 60),
        ] {
            let terms = InvoiceTerms {
                amount,
                memo: String::new(),
                expiry_secs,
            };
            assert!(
                matches!(request(&terms), Err(WalletError::Refused { .. })),
                "{terms:?}"
            );
        }
    }

    #[test]
    fn an_invoice_over_another_amount_is_refused() {
        // BOLT 11, "Examples": 2500 µBTC for a cup of coffee.
        const COFFEE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
        for (msat, text, ok) in [
            (250_000_000, COFFEE, true),
            (250_000_001, COFFEE, false),
            (250_000_000, "", false),
            (250_000_000, "lnbcrt1", false),
        ] {
            let terms = InvoiceTerms {
                amount: Msat::from_msat(msat),
                memo: String::new(),
                expiry_secs: 60,
            };
            let added = lnrpc::AddInvoiceResponse {
                payment_request: text.to_owned(),
                ..Default::default()
            };
            assert_eq!(read_added(&added, &terms).is_ok(), ok, "{msat} {text}");
        }
    }

    #[test]
    fn only_a_settled_invoice_was_paid() {
        for (state, msat, expected) in [
            (LndState::Open as i32, 7, Some(InvoiceState::Open)),
            (LndState::Accepted as i32, 7, Some(InvoiceState::Open)),
            (LndState::Canceled as i32, 7, Some(InvoiceState::Canceled)),
            (
                LndState::Settled as i32,
                7,
                Some(InvoiceState::Settled {
                    received: Msat::from_msat(7),
                }),
            ),
            (LndState::Settled as i32, -1, None),
            (4, 7, None),
            (-1, 7, None),
        ] {
            let invoice = lnrpc::Invoice {
                state,
                amt_paid_msat: msat,
                ..Default::default()
            };
            assert_eq!(read_state(&invoice).ok(), expected, "{state} {msat}");
        }
    }
}
