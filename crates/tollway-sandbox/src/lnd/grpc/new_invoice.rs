//! `AddInvoice` requests.
//!
//! A field that cannot be honoured is refused, never dropped: the invoice would differ from
//! what was asked for. Limits of invoices are the wallet's to check.

use l402::Preimage;
use tollway_lightning::lnd::proto::lnrpc;
use tonic::Status;

use super::{amount, refuse_set, refused};
use crate::wallet::{AddInvoiceError, InvoiceDescription, NewInvoice};

/// Reads the terms of an invoice.
pub(super) fn parse_request(request: &lnrpc::Invoice) -> Result<NewInvoice, Status> {
    refuse_set(&[
        ("fallback_addr", !request.fallback_addr.is_empty()),
        ("cltv_expiry", request.cltv_expiry != 0),
        ("route_hints", !request.route_hints.is_empty()),
        ("is_amp", request.is_amp),
        ("is_blinded", request.is_blinded),
        ("blinded_path_config", request.blinded_path_config.is_some()),
    ])?;
    let amount = amount::either(request.value, request.value_msat).map_err(refused)?;
    let preimage = read_preimage(&request.r_preimage)?;
    let description = read_description(request)?;
    let expiry_secs = read_expiry(request.expiry)?;
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
    let hash = &request.description_hash;
    match (<[u8; 32]>::try_from(hash.as_slice()), hash.len()) {
        (Ok(hash), _) => Ok(InvoiceDescription::Hash { hash, memo }),
        (Err(_), 0) => Ok(InvoiceDescription::Memo(memo)),
        (Err(_), len) => Err(refused(format!(
            "description hash is {len} bytes, must be 32"
        ))),
    }
}

fn read_expiry(secs: i64) -> Result<Option<u32>, Status> {
    match u32::try_from(secs) {
        Ok(0) => Ok(None),
        Ok(secs) if secs <= EXPIRY_MAX_SECS => Ok(Some(secs)),
        Err(_) if secs < 0 => Ok(None),
        Ok(_) | Err(_) => Err(refused(format!(
            "expiry of {secs} seconds greater than max expiry of {EXPIRY_MAX_SECS} seconds"
        ))),
    }
}

/// Why the wallet did not add an invoice, under LND's code.
pub(super) fn not_added(error: AddInvoiceError) -> Status {
    match error {
        AddInvoiceError::AmountTooLarge { .. }
        | AddInvoiceError::Duplicate { .. }
        | AddInvoiceError::Unwritable(_) => refused(error),
        AddInvoiceError::Unsigned => Status::internal(error.to_string()),
    }
}

/// LND's limit: a year.
const EXPIRY_MAX_SECS: u32 = 31_536_000;

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
                "expiry of 31536001 seconds greater than max expiry of 31536000 seconds",
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
}
