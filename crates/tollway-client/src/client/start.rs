//! The start of a payment against the deadline of its request.
//!
//! The payment runs in a task of its own and is not stopped once the wallet is asked. A request
//! that is out of time before that prevents it. Exactly one of the two happens.

use std::sync::{Arc, OnceLock};

use crate::error::Payment;

/// Whether a payment was started or prevented; the first of the two is final. Clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct PaymentStart(Arc<OnceLock<Start>>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    Prevented,
    Started,
}

/// A payment that a request waits for.
#[derive(Clone, Debug)]
pub(super) struct AwaitedPayment {
    pub(super) payment: Payment,
    pub(super) start: PaymentStart,
}

impl PaymentStart {
    /// Returns true when the wallet may be asked: the payment was not prevented.
    pub(super) fn start(&self) -> bool {
        *self.0.get_or_init(|| Start::Started) == Start::Started
    }

    /// Returns true when the wallet will not be asked: the payment was not started.
    pub(super) fn prevent(&self) -> bool {
        *self.0.get_or_init(|| Start::Prevented) == Start::Prevented
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_starting_and_preventing_is_final() {
        let started = PaymentStart::default();
        assert!(started.start() && !started.clone().prevent() && started.start());

        let prevented = PaymentStart::default();
        assert!(prevented.prevent() && !prevented.clone().start() && prevented.prevent());
    }
}
