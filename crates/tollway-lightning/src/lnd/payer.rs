//! LND payer.
//!
//! LND pays a payment hash once, however many callers ask. A caller whose connection broke does
//! not learn the outcome from that call, therefore every payment whose end was not received is
//! looked up once, and where that leaves a doubt the result is [`PayError::Unknown`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use l402::{Invoice, Msat, Network, PaymentHash, Preimage};
use tokio::time::{Instant, timeout};
use tonic::{Response, Status, Streaming};

use super::connection::{CALL_DEADLINE, Connection};
use super::network;
use super::permission::Permission;
use super::proto::lnrpc;
use super::proto::lnrpc::PaymentFailureReason;
use super::proto::lnrpc::payment::PaymentStatus;
use super::proto::routerrpc::{SendPaymentRequest, TrackPaymentRequest};
use super::status::{CallError, CallOutcome};
use crate::{
    FeeCap, LookupByHash, Paid, PayError, Payer, PayerPromises, PaymentState, PaymentTerms, Repeat,
    WalletError, WalletIdentity,
};

/// The half of an LND wallet that can pay. Made by [`Lnd::payer`](super::Lnd::payer).
///
/// The first payment reads the node's network, and none for another network is sent.
#[derive(Clone)]
pub struct LndPayer {
    connection: Arc<Connection>,
}

impl LndPayer {
    pub(super) const fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    async fn settle(&self, payment: PaymentTerms) -> Result<Paid, PayError> {
        self.refuse_foreign(&payment.invoice).await?;
        let request = request(&payment)?;
        let hash = payment.invoice.payment_hash();
        let time_limit = payment.timeout.saturating_add(SETTLING_GRACE);
        let begun = Instant::now();

        match self.send(request, hash, time_limit).await {
            Ok(end) => outcome(end),
            Err(error) if error.outcome == CallOutcome::Unsent => Err(not_sent(error.reason)),
            Err(error) => {
                let left = time_limit.saturating_sub(begun.elapsed());
                outcome_in_doubt(error, self.track_for(hash, left).await)
            }
        }
    }

    /// Refuses an invoice of another network, because a node's own refusal of it cannot be
    /// distinguished from a payment in doubt.
    async fn refuse_foreign(&self, invoice: &Invoice) -> Result<(), PayError> {
        let identity = self.learn_identity().await;
        let network = identity.map_err(|error| not_sent(error.reason))?.network();
        if invoice.network() == network {
            return Ok(());
        }
        Err(not_sent(format!(
            "the invoice is for {}, the wallet is on {network}",
            invoice.network()
        )))
    }

    /// Reads the node's key and network. Where the macaroon does not allow that, the macaroon's
    /// own identity stands for the key.
    async fn learn_identity(&self) -> Result<WalletIdentity, CallError> {
        if let Some(identity) = self.connection.identity.get() {
            return Ok(*identity);
        }
        let identity = match self.connection.info().await {
            Ok(identity) => identity,
            Err(error) if error.is_denied() => {
                let network = network::of_samples(&self.connection).await?;
                WalletIdentity::new(self.connection.account(), network)
            }
            Err(error) => return Err(error),
        };
        Ok(*self.connection.identity.get_or_init(|| identity))
    }

    async fn send(
        &self,
        request: SendPaymentRequest,
        hash: PaymentHash,
        time_limit: Duration,
    ) -> Result<PaymentState, CallError> {
        let mut router = self.connection.router();
        let sent = router.send_payment_v2(request);
        let wait = Wait::UntilFinal;
        within(
            time_limit,
            last_state(sent, hash, wait, Permission::OffchainWrite),
        )
        .await
    }

    /// Waits for a payment in doubt to end, or reads its present state when no time is left.
    async fn track_for(
        &self,
        hash: PaymentHash,
        left: Duration,
    ) -> Result<Option<PaymentState>, CallError> {
        if left.is_zero() {
            return self.track(hash, Wait::FirstUpdate, CALL_DEADLINE).await;
        }
        self.track(hash, Wait::UntilFinal, left).await
    }

    /// Returns the state of a payment, `None` when the node never began it.
    async fn track(
        &self,
        hash: PaymentHash,
        wait: Wait,
        time_limit: Duration,
    ) -> Result<Option<PaymentState>, CallError> {
        let mut router = self.connection.router();
        let tracked = router.track_payment_v2(TrackPaymentRequest {
            payment_hash: hash.as_bytes().to_vec(),
            no_inflight_updates: wait == Wait::UntilFinal,
        });
        match within(
            time_limit,
            last_state(tracked, hash, wait, Permission::OffchainRead),
        )
        .await
        {
            Ok(state) => Ok(Some(state)),
            Err(error) if error.outcome == CallOutcome::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Payer for LndPayer {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        Box::pin(async { Ok(self.learn_identity().await?.network()) })
    }

    fn identity(&self) -> BoxFuture<'_, Result<WalletIdentity, WalletError>> {
        Box::pin(async { Ok(self.learn_identity().await?) })
    }

    fn promises(&self) -> BoxFuture<'_, Result<PayerPromises, WalletError>> {
        Box::pin(std::future::ready(Ok(PROMISES)))
    }

    fn pay(&self, payment: PaymentTerms) -> BoxFuture<'_, Result<Paid, PayError>> {
        Box::pin(self.settle(payment))
    }

    fn lookup(
        &self,
        hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<PaymentState>, WalletError>> {
        Box::pin(async move {
            let asked = self.track(hash, Wait::FirstUpdate, CALL_DEADLINE);
            Ok(asked.await?)
        })
    }
}

impl fmt::Debug for LndPayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LndPayer")
            .field(&self.connection.address)
            .finish()
    }
}

/// How long to read a stream of payment states.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Wait {
    FirstUpdate,
    UntilFinal,
}

fn request(payment: &PaymentTerms) -> Result<SendPaymentRequest, PayError> {
    if payment.invoice.amount().is_none_or(Msat::is_zero) {
        return Err(not_sent("the invoice names no amount"));
    }
    let tries_until = payment.timeout.as_secs().max(1);
    Ok(SendPaymentRequest {
        payment_request: payment.invoice.as_str().to_owned(),
        timeout_seconds: i32::try_from(tries_until).unwrap_or(i32::MAX),
        // A limit beyond what the field holds is no limit; the largest it holds is none either.
        fee_limit_msat: i64::try_from(payment.fee_max.as_msat()).unwrap_or(i64::MAX),
        max_parts: PARTS_MAX,
        cltv_limit: CLTV_LIMIT_BLOCKS,
        no_inflight_updates: true,
        ..Default::default()
    })
}

async fn within<T>(
    time_limit: Duration,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    match timeout(time_limit, call).await {
        Ok(ended) => ended,
        Err(_elapsed) => Err(CallError::lost(
            "the payment had not ended when time was up",
        )),
    }
}

/// Reads until the payment has ended, or one message.
async fn last_state(
    opened: impl Future<Output = Result<Response<Streaming<lnrpc::Payment>>, Status>>,
    hash: PaymentHash,
    wait: Wait,
    permission: Permission,
) -> Result<PaymentState, CallError> {
    let lost = |status: Status| CallError::new(&status, permission);
    let mut payments = opened.await.map_err(lost)?.into_inner();
    while let Some(payment) = payments.message().await.map_err(lost)? {
        let state = read_state(&payment, hash)?;
        let ended = state != PaymentState::InFlight;
        if ended || wait == Wait::FirstUpdate {
            return Ok(state);
        }
    }
    Err(CallError::lost(
        "the node ended the stream before the payment",
    ))
}

/// Reads one message. What cannot be read is no evidence of anything.
fn read_state(payment: &lnrpc::Payment, hash: PaymentHash) -> Result<PaymentState, CallError> {
    match PaymentStatus::try_from(payment.status) {
        Ok(PaymentStatus::Succeeded) => read_paid(payment, hash).map(PaymentState::Settled),
        Ok(PaymentStatus::Failed) => Ok(PaymentState::Failed {
            reason: describe(payment.failure_reason()).to_owned(),
        }),
        Ok(PaymentStatus::InFlight | PaymentStatus::Initiated | PaymentStatus::Unknown) => {
            Ok(PaymentState::InFlight)
        }
        Err(_) => Err(CallError::lost(format!(
            "the node returned an unknown payment status, {}",
            payment.status
        ))),
    }
}

fn read_paid(payment: &lnrpc::Payment, hash: PaymentHash) -> Result<Paid, CallError> {
    let preimage = Preimage::from_hex(&payment.payment_preimage)
        .map_err(|error| CallError::lost(format!("the node returned no preimage: {error}")))?;
    if !preimage.matches(&hash) {
        return Err(CallError::lost(
            "the node returned a preimage of another payment",
        ));
    }
    let fee = u64::try_from(payment.fee_msat)
        .map_err(|_negative| CallError::lost("the node returned a fee below zero"))?;
    Ok(Paid {
        preimage,
        fee: Msat::from_msat(fee),
    })
}

fn outcome(state: PaymentState) -> Result<Paid, PayError> {
    match state {
        PaymentState::Settled(paid) => Ok(paid),
        PaymentState::Failed { reason } => Err(failed(reason)),
        PaymentState::InFlight => Err(unknown("the payment is still on its way")),
    }
}

/// Decides the result of a payment whose request failed with `error`, from the look-up that
/// followed.
///
/// A refusal and no trace of a payment, or of a failed one, is a payment that never began. A
/// lost request may still arrive: then only a settled payment is proof, since "failed" or
/// "not found" may be true of the past and not of the next moment.
fn outcome_in_doubt(
    error: CallError,
    tracked: Result<Option<PaymentState>, CallError>,
) -> Result<Paid, PayError> {
    let responded = match error.outcome {
        CallOutcome::AlreadyExists
        | CallOutcome::Denied(_)
        | CallOutcome::NotFound
        | CallOutcome::Refused => true,
        CallOutcome::Lost | CallOutcome::Unsent => false,
    };
    match tracked {
        Ok(Some(PaymentState::Settled(paid))) => Ok(paid),
        Ok(Some(PaymentState::Failed { .. })) if responded => Err(failed(error.reason)),
        Ok(None) if responded && error.outcome != CallOutcome::AlreadyExists => {
            Err(failed(error.reason))
        }
        Ok(Some(PaymentState::Failed { .. } | PaymentState::InFlight) | None) => {
            Err(unknown(error.reason))
        }
        Err(lookup) => Err(unknown(format!("{}; {}", error.reason, lookup.reason))),
    }
}

fn failed(reason: impl Into<String>) -> PayError {
    PayError::Failed {
        reason: reason.into(),
    }
}

fn not_sent(reason: impl Into<String>) -> PayError {
    PayError::NotSent {
        reason: reason.into(),
    }
}

fn unknown(reason: impl Into<String>) -> PayError {
    PayError::Unknown {
        reason: reason.into(),
    }
}

const fn describe(reason: PaymentFailureReason) -> &'static str {
    match reason {
        PaymentFailureReason::FailureReasonNone => "the node gave no reason",
        PaymentFailureReason::FailureReasonTimeout => "no route worked within the time allowed",
        PaymentFailureReason::FailureReasonNoRoute => "no route to the payee within the fee limit",
        PaymentFailureReason::FailureReasonError => "the node ran into an error",
        PaymentFailureReason::FailureReasonIncorrectPaymentDetails => {
            "the payee refused: invoice unknown, paid already or expired"
        }
        PaymentFailureReason::FailureReasonInsufficientBalance => "the wallet has too little",
        PaymentFailureReason::FailureReasonCanceled => "canceled at the node",
    }
}

/// LND reserves fee ceilings, keeps its payments, and pays one payment hash once.
const PROMISES: PayerPromises = PayerPromises {
    fee_cap: FeeCap::Enforced,
    lookup: LookupByHash::Supported,
    repeat: Repeat::PaysOnce,
};
/// The longest that a payee who neither takes nor refuses a payment can hold its coins: a week,
/// LDK's default. Unset, LND allows twice that. An invoice and a route of usual delays need 40
/// to 80 blocks each hop.
const CLTV_LIMIT_BLOCKS: i32 = 1_008;
/// LND's own command line splits into as many; left unset, LND would not split at all.
const PARTS_MAX: u32 = 16;
/// An attempt made in the last allowed second still needs time to settle.
const SETTLING_GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_without_a_trace_or_a_failed_one_is_a_failure() {
        use CallOutcome::{AlreadyExists, Lost, NotFound, Refused};
        for (call, tracked, expected) in [
            (Refused, Tracked::Never, Outcome::Failed),
            (Refused, Tracked::Failed, Outcome::Failed),
            (Refused, Tracked::InFlight, Outcome::Unknown),
            (Refused, Tracked::Lost, Outcome::Unknown),
            (NotFound, Tracked::Never, Outcome::Failed),
            (AlreadyExists, Tracked::Never, Outcome::Unknown),
            (AlreadyExists, Tracked::Failed, Outcome::Failed),
            (AlreadyExists, Tracked::InFlight, Outcome::Unknown),
            (AlreadyExists, Tracked::Lost, Outcome::Unknown),
            (Lost, Tracked::Never, Outcome::Unknown),
            (Lost, Tracked::Failed, Outcome::Unknown),
            (Lost, Tracked::InFlight, Outcome::Unknown),
            (Lost, Tracked::Lost, Outcome::Unknown),
        ] {
            let result = outcome_in_doubt(error(call), tracked.result());
            assert_eq!(Outcome::of(&result), expected, "{call:?}, {tracked:?}");
        }
    }

    #[test]
    fn a_settled_payment_is_paid_however_the_request_ended() {
        for call in [
            CallOutcome::AlreadyExists,
            CallOutcome::Lost,
            CallOutcome::NotFound,
            CallOutcome::Refused,
        ] {
            let settled = Ok(Some(PaymentState::Settled(paid())));
            assert_eq!(outcome_in_doubt(error(call), settled).unwrap(), paid());
        }
    }

    #[test]
    fn a_preimage_that_does_not_pay_the_hash_is_no_proof() {
        let hash = paid().preimage.payment_hash();
        for (preimage, fee_msat) in [
            (Preimage::new([8; 32]).expose_hex(), 0),
            ("0".repeat(64), 0),
            (String::new(), 0),
            ("zz".repeat(32), 0),
            (paid().preimage.expose_hex(), -1),
        ] {
            let payment = lnrpc::Payment {
                payment_preimage: preimage,
                fee_msat,
                ..succeeded()
            };
            assert_eq!(
                read_state(&payment, hash).unwrap_err().outcome,
                CallOutcome::Lost
            );
        }
    }

    #[test]
    fn every_status_is_read_as_what_it_means() {
        let hash = paid().preimage.payment_hash();
        let read = |status: i32| {
            let payment = lnrpc::Payment {
                status,
                ..succeeded()
            };
            read_state(&payment, hash)
        };

        assert_eq!(
            read(PaymentStatus::Succeeded.into()).unwrap(),
            PaymentState::Settled(paid())
        );
        assert!(matches!(
            read(PaymentStatus::Failed.into()).unwrap(),
            PaymentState::Failed { .. }
        ));
        for status in [
            PaymentStatus::InFlight,
            PaymentStatus::Initiated,
            PaymentStatus::Unknown,
        ] {
            assert_eq!(read(status.into()).unwrap(), PaymentState::InFlight);
        }
        assert_eq!(read(5).unwrap_err().outcome, CallOutcome::Lost);
    }

    #[test]
    fn the_limits_of_fee_time_and_lock_are_always_set() {
        for (fee_max, timeout_ms, fee_limit_msat, timeout_seconds) in [
            (Msat::ZERO, 0, 0, 1),
            (Msat::from_msat(1), 999, 1, 1),
            (Msat::from_msat(1_500), 60_000, 1_500, 60),
            (Msat::MAX, u64::MAX, i64::MAX, i32::MAX),
        ] {
            let sent = request(&terms(COFFEE, fee_max, timeout_ms)).unwrap();
            assert_eq!(sent.fee_limit_msat, fee_limit_msat);
            assert_eq!(sent.timeout_seconds, timeout_seconds);
            assert_eq!(sent.cltv_limit, 1_008);
            assert!(!sent.cancelable, "a dropped stream must not stop a payment");
        }
    }

    #[test]
    fn an_invoice_without_an_amount_is_not_sent() {
        let refused = request(&terms(DONATION, Msat::ZERO, 1)).unwrap_err();
        assert!(matches!(refused, PayError::NotSent { .. }), "{refused}");
    }

    // BOLT 11, "Examples": 2500 µBTC for a cup of coffee; a donation of any amount.
    const COFFEE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
    const DONATION: &str = "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";

    fn terms(invoice: &str, fee_max: Msat, timeout_ms: u64) -> PaymentTerms {
        PaymentTerms {
            invoice: Invoice::parse(invoice).unwrap(),
            fee_max,
            timeout: Duration::from_millis(timeout_ms),
        }
    }

    fn paid() -> Paid {
        Paid {
            preimage: Preimage::new([7; 32]),
            fee: Msat::from_msat(3),
        }
    }

    fn succeeded() -> lnrpc::Payment {
        lnrpc::Payment {
            status: PaymentStatus::Succeeded.into(),
            payment_preimage: paid().preimage.expose_hex(),
            fee_msat: 3,
            ..Default::default()
        }
    }

    fn error(call: CallOutcome) -> CallError {
        CallError {
            outcome: call,
            reason: "why".to_owned(),
        }
    }

    /// What a look-up of a payment in doubt returns.
    #[derive(Debug)]
    enum Tracked {
        Failed,
        InFlight,
        Never,
        Lost,
    }

    impl Tracked {
        fn result(&self) -> Result<Option<PaymentState>, CallError> {
            match self {
                Self::Failed => Ok(Some(PaymentState::Failed {
                    reason: "no route".to_owned(),
                })),
                Self::InFlight => Ok(Some(PaymentState::InFlight)),
                Self::Never => Ok(None),
                Self::Lost => Err(error(CallOutcome::Lost)),
            }
        }
    }

    #[derive(Debug, Eq, PartialEq)]
    enum Outcome {
        Failed,
        NotSent,
        Paid,
        Unknown,
    }

    impl Outcome {
        fn of(result: &Result<Paid, PayError>) -> Self {
            match result {
                Ok(_) => Self::Paid,
                Err(PayError::Failed { .. }) => Self::Failed,
                Err(PayError::NotSent { .. }) => Self::NotSent,
                Err(PayError::Unknown { .. }) => Self::Unknown,
            }
        }
    }
}
