//! Admission of requests by the gate.
//!
//! The gate decides; here its decision becomes an [`Admission`], which the upstream pool
//! requires as an argument. There is no other way to create one, so no request reaches an
//! upstream unchecked.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use l402::Grant;
use tollway_server::respond::{self, StatusStyle};
use tollway_server::{Peer, Rejection, RequestInfo, Settlement};

use crate::config::Price;

/// Proof that a request may be forwarded.
#[derive(Debug)]
pub(crate) struct Admission(Basis);

#[derive(Debug)]
enum Basis {
    Free,
    Paid(#[expect(dead_code, reason = "kept as the proof it is")] Grant),
}

impl Admission {
    /// Returns its name in the access log.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.0 {
            Basis::Free => "free",
            Basis::Paid(_) => "paid",
        }
    }
}

/// Why a request is not forwarded.
#[derive(Debug)]
pub(crate) enum Declined {
    /// A CORS preflight. Always free and never forwarded.
    Preflight(Response<Full<Bytes>>),
    /// It is not paid for, or the gate cannot decide.
    Refused {
        rejection: Rejection,
        style: StatusStyle,
    },
}

/// Admits a request, with the use it takes, or returns what it lacks.
///
/// # Errors
///
/// [`Declined`], which the gate has logged already.
pub(crate) async fn admit(
    price: &Price,
    head: &Parts,
    peer: Peer,
) -> Result<(Admission, Option<Settlement>), Declined> {
    let (gate, requirement, pricer) = match price {
        Price::Free => return Ok((Admission(Basis::Free), None)),
        Price::Paid {
            gate,
            requirement,
            pricer,
        } => (gate, requirement, pricer),
    };
    if let Some(response) = respond::preflight(&head.method) {
        return Err(Declined::Preflight(response));
    }
    let info = RequestInfo::of(head, peer);
    match gate.admit(requirement, pricer.as_ref(), &info).await {
        Ok(admitted) => Ok((
            Admission(Basis::Paid(admitted.grant)),
            Some(admitted.settlement),
        )),
        Err(rejection) => {
            let style = gate.settings().status;
            Err(Declined::Refused { rejection, style })
        }
    }
}
