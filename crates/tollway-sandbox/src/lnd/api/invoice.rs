//! How are invoices made, found and watched through LND's API?

use futures_util::stream;
use l402::{Msat, PaymentHash, Preimage};
use tollway_lightning::lnd::proto::lnrpc;
use tonic::Status;

use super::super::hex;
use super::amount::{self, btc, whole_sat};
use super::page::{self, Direction, Page};
use super::{Answers, Node, feature, int64, payreq, refused};
use crate::wallet::{
    AddInvoiceError, InvoiceCursor, InvoiceDescription, InvoiceRecord, InvoiceStatus,
    InvoiceUpdate, NewInvoice,
};

impl Node {
    pub(super) fn make_invoice(
        &self,
        request: &lnrpc::Invoice,
    ) -> Result<lnrpc::AddInvoiceResponse, Status> {
        let new = read_new(request)?;
        let record = self.wallet.add_invoice(new).map_err(not_added)?;
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
        let hash = read_hash(request)?;
        let found = hash.and_then(|hash| self.wallet.invoice(&hash));
        found
            .map(describe)
            .ok_or_else(|| Status::not_found("unable to locate invoice"))
    }

    pub(super) fn page_of_invoices(
        &self,
        request: &lnrpc::ListInvoiceRequest,
    ) -> Result<lnrpc::ListInvoiceResponse, Status> {
        let (start, end) = (request.creation_date_start, request.creation_date_end);
        page::check_dates(start, end).map_err(refused)?;
        let page = Page {
            offset: request.index_offset,
            limit: request.num_max_invoices,
            direction: if request.reversed {
                Direction::Reversed
            } else {
                Direction::Forward
            },
        };
        let shown = |record: &InvoiceRecord| {
            page::in_dates(record.created_at.as_secs(), start, end)
                && (!request.pending_only || record.status == InvoiceStatus::Open)
        };
        let all = self.wallet.invoices(0, usize::MAX);
        let records = page::select(page, all, |record| record.add_index, shown);
        let index = |record: Option<&InvoiceRecord>| record.map_or(0, |found| found.add_index);
        Ok(lnrpc::ListInvoiceResponse {
            first_index_offset: index(records.first()),
            last_index_offset: index(records.last()),
            invoices: records.into_iter().map(describe).collect(),
        })
    }

    /// Every invoice added and settled after the given indexes; zero is "from now on".
    ///
    /// Invoices added before the call are sent as they stand, and expired ones not at all.
    pub(super) fn watch_invoices(
        &self,
        request: &lnrpc::InvoiceSubscription,
    ) -> Answers<lnrpc::Invoice> {
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

/// Reads what an invoice shall say, refusing what LND refuses and what is not offered here.
fn read_new(request: &lnrpc::Invoice) -> Result<NewInvoice, Status> {
    let amount = amount::either(request.value, request.value_msat).map_err(refused)?;
    let preimage = read_preimage(&request.r_preimage)?;
    let description = read_description(request)?;
    if whole_sat(amount) > SAT_MAX {
        return Err(too_large(amount));
    }
    let expiry_secs = read_expiry(request.expiry)?;
    refuse_unserved(request)?;
    Ok(NewInvoice {
        description,
        amount: Some(amount).filter(|amount| !amount.is_zero()),
        expiry_secs,
        preimage,
    })
}

fn read_preimage(bytes: &[u8]) -> Result<Option<Preimage>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    match <[u8; 32]>::try_from(bytes) {
        Ok(preimage) => Ok(Some(Preimage::new(preimage))),
        Err(_wrong_length) => {
            let len = bytes.len();
            Err(refused(format!(
                "invalid preimage length of {len}, want 32"
            )))
        }
    }
}

fn read_description(request: &lnrpc::Invoice) -> Result<InvoiceDescription, Status> {
    let memo = request.memo.clone();
    if memo.len() > NOTE_MAX {
        let len = memo.len();
        return Err(refused(format!(
            "memo too large: {len} bytes (maxsize={NOTE_MAX})"
        )));
    }
    let hash = &request.description_hash;
    match (<[u8; 32]>::try_from(hash.as_slice()), hash.len()) {
        (Ok(hash), _) => Ok(InvoiceDescription::Hash { hash, memo }),
        (Err(_), 0) => fitting_memo(memo),
        (Err(_), len) => Err(refused(format!(
            "description hash is {len} bytes, must be 32"
        ))),
    }
}

/// A description longer than BOLT 11 can say fails in LND while it is written, five bits at a time.
fn fitting_memo(memo: String) -> Result<InvoiceDescription, Status> {
    if memo.len() <= MEMO_MAX {
        return Ok(InvoiceDescription::Memo(memo));
    }
    let groups = memo.len().saturating_mul(8).div_ceil(5);
    Err(refused(format!(
        "data length too big to fit within 10 bits: {groups}"
    )))
}

fn read_expiry(secs: i64) -> Result<Option<u32>, Status> {
    match u32::try_from(secs) {
        Ok(0) => Ok(None),
        Ok(secs) if secs <= EXPIRY_MAX_SECS => Ok(Some(secs)),
        Err(_) if secs < 0 => Ok(None),
        Ok(_) | Err(_) => Err(refused(format!(
            "expiry of {} seconds greater than max expiry of {} seconds",
            as_go_prints(secs),
            as_go_prints(i64::from(EXPIRY_MAX_SECS)),
        ))),
    }
}

/// Go prints a large floating-point number with a two-digit exponent: `3.1536e+07`.
fn as_go_prints(number: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "LND prints it as a double too")]
    let text = format!("{:e}", number as f64);
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{digits}e+{exponent:0>2}"),
        None => text,
    }
}

/// Fields that would change what an invoice says, and that the sandbox cannot honour.
fn refuse_unserved(request: &lnrpc::Invoice) -> Result<(), Status> {
    let field = if !request.fallback_addr.is_empty() {
        "fallback_addr"
    } else if request.cltv_expiry != 0 {
        "cltv_expiry"
    } else if !request.route_hints.is_empty() {
        "route_hints"
    } else if request.is_amp {
        "is_amp"
    } else if request.is_blinded || request.blinded_path_config.is_some() {
        "is_blinded"
    } else {
        return Ok(());
    };
    Err(Status::unimplemented(format!(
        "the sandbox writes plain invoices: leave {field} out"
    )))
}

fn not_added(error: AddInvoiceError) -> Status {
    match error {
        AddInvoiceError::AmountTooLarge { amount, .. } => too_large(amount),
        AddInvoiceError::Duplicate { .. } | AddInvoiceError::MemoTooLong { .. } => refused(error),
        AddInvoiceError::Unsigned { .. } => Status::internal(error.to_string()),
    }
}

fn too_large(amount: Msat) -> Status {
    refused(format!(
        "invoice amount {} is too large, max is {}",
        btc(whole_sat(amount)),
        btc(SAT_MAX)
    ))
}

/// The hash looked for; `None` when the request names none, which finds nothing.
fn read_hash(request: &lnrpc::PaymentHash) -> Result<Option<PaymentHash>, Status> {
    // The older of the two fields that can name it, still the one REST uses.
    let hash = match request.r_hash_str.as_str() {
        "" => request.r_hash.clone(),
        text => hex::decode(text.as_bytes()).map_err(refused)?,
    };
    match (<[u8; 32]>::try_from(hash.as_slice()), hash.len()) {
        (Ok(hash), _) => Ok(Some(PaymentHash::new(hash))),
        (Err(_), 0) => Ok(None),
        (Err(_), len) => Err(refused(format!(
            "payment hash must be exactly 32 bytes, is instead {len}"
        ))),
    }
}

/// An invoice as every call answers it.
fn describe(record: InvoiceRecord) -> lnrpc::Invoice {
    let amount = record.amount.unwrap_or(Msat::ZERO);
    let (memo, description_hash) = match record.description {
        InvoiceDescription::Memo(memo) => (memo, vec![]),
        InvoiceDescription::Hash { hash, memo } => (memo, hash.to_vec()),
    };
    let written = payreq::read_own(&record.bolt11);
    let features = written
        .as_ref()
        .and_then(|invoice| invoice.raw_invoice().features())
        .map_or(&[][..], |set| set.le_flags());
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
        features: feature::named(features),
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
            invoice.settled = true;
            invoice.settle_index = *settle_index;
            invoice.settle_date = int64(settled_at.as_secs());
            invoice.amt_paid_sat = int64(whole_sat(*received));
            invoice.amt_paid_msat = int64(received.as_msat());
            invoice.amt_paid = int64(received.as_msat());
        }
    }
    invoice
}

/// LND's limit: a year.
const EXPIRY_MAX_SECS: u32 = 31_536_000;
/// What a description in an invoice can hold.
const MEMO_MAX: usize = 639;
/// What LND keeps of a note that is not in the invoice.
const NOTE_MAX: usize = 1_024;
/// LND's limit: a hundred thousand bitcoin.
const SAT_MAX: u64 = 10_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(request: &lnrpc::Invoice) -> (tonic::Code, String) {
        let status = read_new(request).unwrap_err();
        (status.code(), status.message().to_owned())
    }

    fn with(change: impl FnOnce(&mut lnrpc::Invoice)) -> lnrpc::Invoice {
        let mut request = lnrpc::Invoice::default();
        change(&mut request);
        request
    }

    #[test]
    fn requests_lnd_refuses_are_refused_in_its_words() {
        for (request, reason) in [
            (with(|new| new.value = -1), "amount cannot be negative"),
            (
                with(|new| (new.value, new.value_msat) = (10, 10_000)),
                "sat and msat arguments are mutually exclusive",
            ),
            (
                with(|new| new.expiry = 31_536_001),
                "expiry of 3.1536001e+07 seconds greater than max expiry of 3.1536e+07 seconds",
            ),
            (
                with(|new| new.expiry = 1 << 62),
                "expiry of 4.611686018427388e+18 seconds greater than max expiry of 3.1536e+07 seconds",
            ),
            (
                with(|new| new.value = 2_100_000_000_000_001),
                "invoice amount 21000000.00000001 BTC is too large, max is 100000 BTC",
            ),
            (
                with(|new| new.memo = "m".repeat(640)),
                "data length too big to fit within 10 bits: 1024",
            ),
            (
                with(|new| new.memo = "m".repeat(1_025)),
                "memo too large: 1025 bytes (maxsize=1024)",
            ),
            (
                with(|new| new.description_hash = vec![0; 31]),
                "description hash is 31 bytes, must be 32",
            ),
            (
                with(|new| new.r_preimage = vec![0; 33]),
                "invalid preimage length of 33, want 32",
            ),
        ] {
            assert_eq!(refusal(&request), (tonic::Code::Unknown, reason.to_owned()));
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_and_not_ignored() {
        for request in [
            with(|new| new.fallback_addr = "bcrt1".to_owned()),
            with(|new| new.cltv_expiry = 144),
            with(|new| new.is_amp = true),
            with(|new| new.is_blinded = true),
        ] {
            assert_eq!(refusal(&request).0, tonic::Code::Unimplemented);
        }
    }

    #[test]
    fn no_amount_and_no_expiry_stay_open() {
        let new = read_new(&with(|new| new.expiry = -1)).unwrap();

        assert_eq!(new.amount, None);
        assert_eq!(new.expiry_secs, None);
        assert_eq!(new.description, InvoiceDescription::Memo(String::new()));
    }

    #[test]
    fn a_note_beside_a_description_hash_may_be_longer() {
        let request = lnrpc::Invoice {
            memo: "m".repeat(1_024),
            description_hash: vec![7; 32],
            ..lnrpc::Invoice::default()
        };

        let new = read_new(&request).unwrap();

        let (hash, memo) = ([7; 32], "m".repeat(1_024));
        assert_eq!(new.description, InvoiceDescription::Hash { hash, memo });
    }

    #[test]
    fn a_hash_is_32_bytes_or_none() {
        let text = |text: &str| lnrpc::PaymentHash {
            r_hash_str: text.to_owned(),
            ..lnrpc::PaymentHash::default()
        };
        assert_eq!(read_hash(&lnrpc::PaymentHash::default()).unwrap(), None);
        for (request, reason) in [
            (text("zz"), "encoding/hex: invalid byte: U+007A 'z'"),
            (
                text("00"),
                "payment hash must be exactly 32 bytes, is instead 1",
            ),
        ] {
            assert_eq!(read_hash(&request).unwrap_err().message(), reason);
        }
    }
}
