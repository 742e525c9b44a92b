//! Invoices through LND's API: creating, finding, listing and subscribing.

use futures_util::stream;
use l402::{Msat, PaymentHash};
use tollway_lightning::lnd::proto::lnrpc;
use tonic::Status;

use super::amount::whole_sat;
use super::{LndService, ResponseStream, int64, listing, new_invoice, payreq};
use crate::wallet::{
    InvoiceCursor, InvoiceDescription, InvoiceRecord, InvoiceStatus, InvoiceUpdate,
};

impl LndService {
    pub(super) fn make_invoice(
        &self,
        request: &lnrpc::Invoice,
    ) -> Result<lnrpc::AddInvoiceResponse, Status> {
        let new = new_invoice::parse_request(request)?;
        let record = self
            .wallet
            .add_invoice(new)
            .map_err(new_invoice::not_added)?;
        Ok(lnrpc::AddInvoiceResponse {
            r_hash: record.hash.as_bytes().to_vec(),
            payment_request: record.bolt11.into(),
            add_index: record.add_index,
            payment_addr: record.payment_secret.to_vec(),
        })
    }

    pub(super) fn find_invoice(
        &self,
        request: &lnrpc::PaymentHash,
    ) -> Result<lnrpc::Invoice, Status> {
        read_hash(request)
            .and_then(|hash| self.wallet.invoice(&hash))
            .map(describe)
            .ok_or_else(|| Status::not_found("unable to locate invoice"))
    }

    pub(super) fn page_of_invoices(
        &self,
        request: &lnrpc::ListInvoiceRequest,
    ) -> lnrpc::ListInvoiceResponse {
        let page = listing::page(
            request.index_offset,
            request.num_max_invoices,
            request.reversed,
        );
        let records = self.wallet.page_of_invoices(page, &|record, status| {
            let created_at = record.created_at.as_secs();
            let (start, end) = (request.creation_date_start, request.creation_date_end);
            listing::is_between(created_at, start, end)
                && (!request.pending_only || *status == InvoiceStatus::Open)
        });
        let index = |record: Option<&InvoiceRecord>| record.map_or(0, |found| found.add_index);
        lnrpc::ListInvoiceResponse {
            first_index_offset: index(records.first()),
            last_index_offset: index(records.last()),
            invoices: records.into_iter().map(describe).collect(),
        }
    }

    /// Every invoice added and settled after the given indexes; zero is "from now on".
    ///
    /// Invoices added before the call are sent as they stand, and expired ones not at all.
    pub(super) fn watch_invoices(
        &self,
        request: &lnrpc::InvoiceSubscription,
    ) -> ResponseStream<lnrpc::Invoice> {
        let now = self.wallet.invoice_cursor();
        let from = InvoiceCursor {
            add_index: asked_or(request.add_index, now.add_index),
            settle_index: asked_or(request.settle_index, now.settle_index),
        };
        let updates = self.wallet.subscribe_invoices(from);
        let node = self.clone();
        let answers = stream::unfold((node, updates), move |(node, mut updates)| async move {
            loop {
                let update = updates.next().await?;
                if let Some(record) = node.as_sent(update, now.add_index) {
                    return Some((Ok(describe(record)), (node, updates)));
                }
            }
        });
        self.until_stopped(answers)
    }

    fn as_sent(&self, update: InvoiceUpdate, backlog_end: u64) -> Option<InvoiceRecord> {
        match update {
            InvoiceUpdate::Added(record) if record.add_index <= backlog_end => self
                .wallet
                .invoice(&record.hash)
                .filter(|present| present.status != InvoiceStatus::Canceled),
            InvoiceUpdate::Added(record) | InvoiceUpdate::Settled(record) => Some(record),
        }
    }
}

const fn asked_or(asked: u64, now: u64) -> u64 {
    match asked {
        0 => now,
        asked => asked,
    }
}

/// The hash looked for. One that is no hash finds nothing.
fn read_hash(request: &lnrpc::PaymentHash) -> Option<PaymentHash> {
    // The older of the two fields that can name it, still the one REST uses.
    let hash = match request.r_hash_str.as_str() {
        "" => request.r_hash.clone(),
        text => hex::decode(text).ok()?,
    };
    <[u8; 32]>::try_from(hash).ok().map(PaymentHash::new)
}

/// Describes an invoice for every call.
fn describe(record: InvoiceRecord) -> lnrpc::Invoice {
    let amount = record.amount.unwrap_or(Msat::ZERO);
    let (memo, description_hash) = match record.description {
        InvoiceDescription::Memo(memo) => (memo, vec![]),
        InvoiceDescription::Hash { hash, memo } => (memo, hash.to_vec()),
    };
    let invoice = lnrpc::Invoice {
        memo,
        r_preimage: record.preimage.expose().to_vec(),
        r_hash: record.hash.as_bytes().to_vec(),
        value: int64(whole_sat(amount)),
        value_msat: int64(amount.as_msat()),
        creation_date: int64(record.created_at.as_secs()),
        payment_request: record.bolt11.into(),
        description_hash,
        expiry: i64::from(record.expiry_secs),
        cltv_expiry: u64::from(record.cltv_delta),
        add_index: record.add_index,
        payment_addr: record.payment_secret.to_vec(),
        features: payreq::features(&OWN_FEATURES),
        ..lnrpc::Invoice::default()
    };
    with_status(invoice, &record.status)
}

fn with_status(mut invoice: lnrpc::Invoice, status: &InvoiceStatus) -> lnrpc::Invoice {
    use lnrpc::invoice::InvoiceState;
    match status {
        InvoiceStatus::Canceled => invoice.set_state(InvoiceState::Canceled),
        InvoiceStatus::Open => invoice.set_state(InvoiceState::Open),
        InvoiceStatus::Settled {
            settle_index,
            settled_at,
            received,
        } => {
            invoice.set_state(InvoiceState::Settled);
            // Deprecated, and what wallets still read.
            invoice.settled = true;
            invoice.settle_index = *settle_index;
            invoice.settle_date = int64(settled_at.as_secs());
            invoice.amt_paid_sat = int64(whole_sat(*received));
            invoice.amt_paid_msat = int64(received.as_msat());
        }
    }
    invoice
}

/// Feature bits 8, 14 and 17, which every invoice of the sandbox has.
const OWN_FEATURES: [u8; 3] = [0, 0b0100_0001, 0b0000_0010];
