//! What a token is bound to: the client, the methods and the paths of its requests.

use std::net::IpAddr;

use super::{Terms, unreadable, widened};
use crate::caveat;
use crate::encoding;
use crate::path;
use crate::verify::Denial;
use crate::verify::value::is_subset;

impl<'a> Terms<'a> {
    pub(super) fn ip(&mut self, value: &str) -> Result<(), Denial> {
        let bound: IpAddr = value
            .parse()
            .map_err(|_not_an_address| unreadable(caveat::IP))?;
        if self.ip.is_some_and(|before| before != bound) {
            return Err(widened(caveat::IP));
        }
        self.ip = Some(bound);
        if self.request.is_from(bound) {
            return Ok(());
        }
        Err(Denial::WrongClient {
            condition: caveat::IP,
        })
    }

    pub(super) fn origin(&mut self, value: &'a str) -> Result<(), Denial> {
        if self.origin.is_some_and(|before| before != value) {
            return Err(widened(caveat::ORIGIN));
        }
        self.origin = Some(value);
        if self.request.origin == Some(value) {
            return Ok(());
        }
        Err(Denial::WrongClient {
            condition: caveat::ORIGIN,
        })
    }

    pub(super) fn tls_fingerprint(&mut self, value: &str) -> Result<(), Denial> {
        let bound = encoding::hex_32(value.as_bytes())
            .map_err(|_not_hex| unreadable(caveat::TLS_FINGERPRINT))?;
        if self.tls_fingerprint.is_some_and(|before| before != bound) {
            return Err(widened(caveat::TLS_FINGERPRINT));
        }
        self.tls_fingerprint = Some(bound);
        if self.request.has_certificate(&bound) {
            return Ok(());
        }
        Err(Denial::WrongClient {
            condition: caveat::TLS_FINGERPRINT,
        })
    }

    pub(super) fn methods(&mut self, value: &'a str) -> Result<(), Denial> {
        self.count_list(caveat::METHOD, value)?;
        if self.methods.is_some_and(|before| !is_subset(value, before)) {
            return Err(widened(caveat::METHOD));
        }
        self.methods = Some(value);
        if self.request.has_method_of(value) {
            return Ok(());
        }
        Err(Denial::WrongMethod {
            requested: self.request.method.to_owned(),
        })
    }

    pub(super) fn path_prefix(&mut self, value: &'a str) -> Result<(), Denial> {
        if !value.starts_with('/') {
            return Err(unreadable(caveat::PATH_PREFIX));
        }
        if self
            .path_prefix
            .is_some_and(|before| !path::is_below(value, before))
        {
            return Err(widened(caveat::PATH_PREFIX));
        }
        self.path_prefix = Some(value);
        if self.request.has_path_below(value) {
            return Ok(());
        }
        Err(Denial::WrongPath {
            granted: value.to_owned(),
        })
    }
}
