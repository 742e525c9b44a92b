//! One request: matched, admitted, forwarded, responded to.

pub(crate) mod admit;
pub(crate) mod drain;
pub(crate) mod exchange;
pub(crate) mod forwarded;
pub(crate) mod headers;
pub(crate) mod in_flight;
pub(crate) mod kind;
pub(crate) mod problem;
pub(crate) mod reply;
pub(crate) mod request_id;
pub(crate) mod route;
pub(crate) mod upgrade;
