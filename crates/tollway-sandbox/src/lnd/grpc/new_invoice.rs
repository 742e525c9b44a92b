//! What does a request ask a new invoice to say?
//!
//! Checks come in LND's order and words. A field that cannot be honoured is refused, never
//! dropped: the invoice would say something else than was asked for.

use l402::{Msat, Preimage};
use tollway_lightning::lnd::proto::lnrpc;
use tonic::Status;

use super::amount::{self, btc, whole_sat};
use super::refused;
use crate::wallet::{AddInvoiceError, InvoiceDescription, NewInvoice};

/// Reads what an invoice shall say, refusing what LND refuses and what is not offered here.
pub(super) fn parse_request(request: &lnrpc::Invoice) -> Result<NewInvoice, Status> {
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

/// Why the wallet did not add it, under LND's code and in its words.
pub(super) fn not_added(error: AddInvoiceError) -> Status {
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
        let status = parse_request(request).unwrap_err();
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
        let new = parse_request(&with(|new| new.expiry = -1)).unwrap();

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

        let new = parse_request(&request).unwrap();

        let (hash, memo) = ([7; 32], "m".repeat(1_024));
        assert_eq!(new.description, InvoiceDescription::Hash { hash, memo });
    }
}
