//! One request on its way: what is sent each time, and what it has cost so far.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use l402::{Msat, PaymentHash};

use crate::body::{Body, Outgoing};
use crate::error::{Error, TransportError};
use crate::origin::{Origin, Protocol};
use crate::redirect::{self, Onward};

pub(super) struct Call {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
    origin: Origin,
    /// Where the caller addressed it, before any redirect.
    addressed: Origin,
    bought: Option<Bought>,
    redirects: usize,
}

/// The one payment made for a call.
#[derive(Clone, Copy)]
pub(super) struct Bought {
    pub(super) payment_hash: PaymentHash,
    pub(super) paid: Msat,
}

impl Call {
    pub(super) fn new(request: Request<Body>) -> Result<Self, TransportError> {
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
            bought: None,
            redirects: 0,
        })
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(super) const fn is_replayable(&self) -> bool {
        self.body.is_replayable()
    }

    /// True while the request is where its caller addressed it.
    pub(super) fn is_where_addressed(&self) -> bool {
        self.origin == self.addressed
    }

    pub(super) const fn bought(&self) -> Option<Bought> {
        self.bought
    }

    pub(super) const fn has_bought(&mut self, bought: Bought) {
        self.bought = Some(bought);
    }

    /// True when the caller brought a credential of its own.
    pub(super) fn brings_credential(&self) -> bool {
        let lines = self.headers.get_all(AUTHORIZATION);
        lines
            .iter()
            .any(|line| l402::is_credential_line(line.as_bytes()))
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
        match self.bought {
            Some(bought) => Error::PaidButUndelivered {
                payment_hash: bought.payment_hash,
                paid: bought.paid,
                source: Box::new(source.into()),
            },
            None => source.into(),
        }
    }

    /// Turns to where a response points; false when it points nowhere.
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
        let origin = Origin::of(&target)?;
        if self.origin.protocol() == Protocol::Https && origin.protocol() == Protocol::Http {
            return Err(refuse(&self.origin, "it leads from https to plain http"));
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
