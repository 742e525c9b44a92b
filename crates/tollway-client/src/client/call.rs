//! One request: what is sent each time, and what it has cost so far.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;

use super::start::{AwaitedPayment, PaymentStart};
use crate::body::{Body, Outgoing};
use crate::book::{QueryHash, TargetResource};
use crate::delivery::Delivery;
use crate::error::{Error, Payment, Receipt, TransportError};
use crate::origin::{Origin, Protocol};
use crate::redirect::{self, Onward};
use crate::response::{Deadline, ResponseBody};

pub(super) struct Call {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
    origin: Origin,
    /// Where the caller addressed it, before any redirect.
    addressed: Origin,
    /// The one payment made for this call.
    receipt: Option<Receipt>,
    /// What was paid for, once it has redirected.
    bought_redirect: Option<TargetResource>,
    /// What is written once its response is delivered.
    pub(super) delivery: Delivery,
    /// The payment that is waited for.
    pub(super) awaited: Option<AwaitedPayment>,
    deadline: Option<Deadline>,
    redirects: usize,
}

impl Call {
    pub(super) fn new(
        request: Request<Body>,
        deadline: Option<Deadline>,
        delivery: Delivery,
    ) -> Result<Self, TransportError> {
        let (parts, body) = request.into_parts();
        let origin = Origin::of(&parts.uri)?;
        Ok(Self {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            body,
            addressed: origin.clone(),
            origin,
            receipt: None,
            bought_redirect: None,
            delivery,
            awaited: None,
            deadline,
            redirects: 0,
        })
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the origin that the caller addressed, before any redirect.
    pub(super) const fn addressed(&self) -> &Origin {
        &self.addressed
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(super) const fn is_replayable(&self) -> bool {
        self.body.is_replayable()
    }

    /// Returns true while the request is where its caller addressed it, or at the same host
    /// by TLS.
    pub(super) fn is_where_addressed(&self) -> bool {
        let is_upgraded = self.addressed.protocol() == Protocol::Http
            && self.origin.protocol() == Protocol::Https
            && self.origin.host() == self.addressed.host();
        self.origin == self.addressed || is_upgraded
    }

    /// Returns what the request is for.
    pub(super) fn resource(&self) -> TargetResource {
        TargetResource {
            origin: self.origin.clone(),
            method: self.method.as_str().to_owned(),
            path: self.path().to_owned(),
            query: QueryHash::new(self.uri.query()),
        }
    }

    pub(super) const fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    pub(super) fn set_receipt(&mut self, receipt: Receipt) {
        self.receipt = Some(receipt);
    }

    /// Returns what was paid for, if it has redirected.
    pub(super) const fn bought_redirect(&self) -> Option<&TargetResource> {
        self.bought_redirect.as_ref()
    }

    /// Notes that a payment is waited for, and returns what starts it.
    pub(super) fn await_payment(&mut self, payment: Payment) -> PaymentStart {
        let start = PaymentStart::default();
        self.awaited = Some(AwaitedPayment {
            payment,
            start: start.clone(),
        });
        start
    }

    /// Returns true when the caller brought a credential of its own.
    pub(super) fn brings_credential(&self) -> bool {
        let lines = self.headers.get_all(AUTHORIZATION);
        lines
            .iter()
            .any(|line| l402::is_credential_line(line.as_bytes()))
    }

    /// Returns true when the caller set an `Authorization` of its own.
    pub(super) fn brings_authorization(&self) -> bool {
        self.headers.contains_key(AUTHORIZATION)
    }

    /// The request to send this time. A credential is added to whatever other
    /// `Authorization` the caller set, never put in its place.
    pub(super) async fn outgoing(
        &mut self,
        credential: Option<HeaderValue>,
    ) -> Result<Request<Outgoing>, TransportError> {
        let (body, len) = self.body.open().await.map_err(TransportError::Body)?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        if let Some(len) = len {
            request.headers_mut().insert(CONTENT_LENGTH, len.into());
        }
        if let Some(credential) = credential {
            request.headers_mut().append(AUTHORIZATION, credential);
        }
        Ok(request)
    }

    /// The error for a call that did not get through, by whether it has been paid for.
    pub(super) fn failed(&self, source: impl Into<Error>) -> Error {
        Error::of_request(source, self.receipt.as_ref())
    }

    /// Ends a call whose time is up. A payment that was not started will not be.
    pub(super) fn out_of_time(&self, deadline: &Deadline) -> Error {
        let awaited = self.awaited.as_ref().filter(|_| self.receipt.is_none());
        match awaited {
            Some(awaited) if !awaited.start.prevent() => Error::PaymentUnknown {
                payment: Box::new(awaited.payment.clone()),
                reason: "the time for the request was up while the wallet was paying".to_owned(),
                wallet_error: None,
                blocks_until: None,
            },
            Some(_) | None => self.failed(deadline.error(&self.origin)),
        }
    }

    /// Returns the response to this call, with its body within the time limits.
    pub(super) fn response(
        &self,
        response: Response<Incoming>,
        idle_timeout: Duration,
        delivery: Option<Delivery>,
    ) -> Response<ResponseBody> {
        let (origin, receipt) = (self.origin.clone(), self.receipt.clone());
        let version = response.version();
        response.map(|incoming| {
            ResponseBody::new(
                incoming,
                version,
                origin,
                receipt,
                idle_timeout,
                self.deadline,
                delivery,
            )
        })
    }

    /// Follows a redirect; returns false when the response is none.
    pub(super) fn follow(
        &mut self,
        response: &Response<Incoming>,
        redirects_max: usize,
    ) -> Result<bool, TransportError> {
        let Some(onward) = redirect::onward(response.status(), &self.method) else {
            return Ok(false);
        };
        let Some(location) = response.headers().get(LOCATION) else {
            return Ok(false);
        };
        let refuse = |origin: &Origin, reason| TransportError::Redirect {
            origin: origin.clone(),
            reason,
        };
        if redirects_max == 0 {
            return Ok(false);
        }
        if self.redirects >= redirects_max {
            return Err(refuse(&self.origin, "there were too many"));
        }
        let target = location
            .to_str()
            .ok()
            .and_then(|location| redirect::resolve(&self.uri, location))
            .ok_or_else(|| refuse(&self.origin, "its address cannot be read"))?;
        let origin = Origin::of(&target)
            .map_err(|_unusable| refuse(&self.origin, "its address cannot be read"))?;
        if self.origin.protocol() == Protocol::Https && origin.protocol() == Protocol::Http {
            return Err(refuse(&self.origin, "it leads from https to plain http"));
        }
        if self.receipt.is_some() && self.bought_redirect.is_none() {
            self.bought_redirect = Some(self.resource());
        }
        if origin != self.origin {
            redirect::leave_origin(&mut self.headers);
        }
        if onward == Onward::Get {
            redirect::leave_body(&mut self.headers);
            self.method = Method::GET;
            self.body = Body::empty();
        }
        self.uri = target;
        self.origin = origin;
        self.redirects = self.redirects.saturating_add(1);
        Ok(true)
    }
}
