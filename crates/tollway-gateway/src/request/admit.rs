//! Admission of requests by the gate, and settlement of the uses they take.
//!
//! The gate decides; here its decision becomes an [`Admission`], which the upstream pool
//! requires as an argument. There is no other way to create one, so no request reaches an
//! upstream unchecked.
//!
//! An admission that is dropped settles itself: while no upstream connection has received
//! the request, its use is released; afterwards the client has used it, unless the gateway
//! stops before the upstream has responded.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use tollway_server::respond::{self, StatusStyle};
use tollway_server::{
    Admitted, Outage, Peer, Redeemed, Rejection, RequestInfo, Settlement, is_undelivered,
};

use crate::admin::access_log::Verdict;
use crate::config::Price;
use crate::request::route::Route;
use crate::upstream::connect::{Availability, availability};

/// Proof that a request may be forwarded, with the use it takes.
#[derive(Debug)]
pub(crate) struct Admission {
    /// `None` for a free request, and after it has been settled.
    paid: Option<Paid>,
    /// Whether an upstream may have received the request.
    forwarded: Cell<bool>,
    verdict: Verdict,
}

#[derive(Debug)]
struct Paid {
    settlement: Settlement,
    response_headers: HeaderMap,
    style: StatusStyle,
    cut_off: CutOff,
}

/// Whether the worker has stopped: requests that are still open then end through no fault of
/// their clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct CutOff(Rc<Cell<bool>>);

impl CutOff {
    /// Records that every open request is about to be dropped.
    pub(crate) fn begin(&self) {
        self.0.set(true);
    }

    /// Returns whether they are.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.get()
    }
}

impl Admission {
    fn free() -> Self {
        Self {
            paid: None,
            forwarded: Cell::new(false),
            verdict: Verdict::of("free"),
        }
    }

    fn paid(admitted: Admitted, style: StatusStyle, cut_off: CutOff) -> Self {
        let payment_hash = admitted.grant.identifier().payment_hash;
        Self {
            paid: Some(Paid {
                settlement: admitted.settlement,
                response_headers: admitted.response_headers,
                style,
                cut_off,
            }),
            forwarded: Cell::new(false),
            verdict: Verdict {
                name: "paid",
                payment_hash: Some(payment_hash),
            },
        }
    }

    /// Returns what the access log has of it.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Records that an upstream connection has been given the request.
    pub(crate) fn mark_forwarded(&self) {
        self.forwarded.set(true);
    }

    /// Records that the connection was closed before any of the request was sent.
    pub(crate) fn mark_unsent(&self) {
        self.forwarded.set(false);
    }

    /// Releases the use: there is no response to deliver.
    pub(crate) fn release(mut self) {
        if let Some(paid) = self.paid.take() {
            paid.settlement.release();
        }
    }

    /// Settles the use when the head of the upstream's response has arrived, before any of
    /// it goes to the client. Headers for the client are added to `headers`.
    ///
    /// Returns the settlement to finish with the body; `None` when there is nothing to
    /// finish, because the request is free or its use was released.
    ///
    /// # Errors
    ///
    /// [`Declined`] when the use cannot be committed: the response must not go out.
    pub(crate) async fn settle(
        mut self,
        status: StatusCode,
        headers: &mut HeaderMap,
    ) -> Result<Option<Settlement>, Declined> {
        let Some(paid) = self.paid.take() else {
            return Ok(None);
        };
        let Paid {
            mut settlement,
            response_headers,
            style,
            ..
        } = paid;
        settlement.forwarded();
        if is_undelivered(status, headers) {
            settlement.release();
            return Ok(None);
        }
        headers.extend(response_headers);
        match settlement.commit().await {
            Ok(()) => Ok(Some(settlement)),
            Err(error) => {
                settlement.release();
                tracing::warn!(%error, "a use cannot be committed");
                let rejection = Rejection::Unavailable(Outage::Ledger(error));
                Err(Declined::Refused { rejection, style })
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(paid) = &mut self.paid
            && self.forwarded.get()
            && !paid.cut_off.has_begun()
        {
            paid.settlement.forwarded();
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
    /// It is not paid for, and nothing is sold while the upstream is down.
    UpstreamDown,
    /// It is not paid for, and the upstream cannot be probed: this machine lacks what a connection
    /// needs.
    Shortage,
}

/// Admits a request, or returns what it lacks.
///
/// One that is paid for is admitted whether or not the upstream is known to be up.
///
/// # Errors
///
/// [`Declined`], which the gate has logged already.
pub(crate) async fn admit(
    route: &Route,
    head: &Parts,
    peer: Peer,
    cut_off: &CutOff,
) -> Result<Admission, Declined> {
    let (gate, requirement, pricer) = match &route.price {
        Price::Free => return Ok(Admission::free()),
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
    let style = gate.settings().status;
    let reason = match gate.admit_paid(requirement, &info).await {
        Ok(Redeemed::Admitted(admitted)) => {
            return Ok(Admission::paid(admitted, style, cut_off.clone()));
        }
        Ok(Redeemed::Refused(reason)) => reason,
        Err(rejection) => return Err(Declined::Refused { rejection, style }),
    };
    // Rarer than an admission, and larger.
    let offered = Box::pin(async {
        let service = &route.service;
        match availability(&service.target, &service.health).await {
            Availability::Down => return Declined::UpstreamDown,
            Availability::Unknown => return Declined::Shortage,
            Availability::Up => {}
        }
        let rejection = gate.refuse(requirement, pricer.as_ref(), &info, reason);
        let rejection = rejection.await;
        Declined::Refused { rejection, style }
    });
    Err(offered.await)
}
