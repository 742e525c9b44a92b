//! Event handling.
//!
//! Events about channels are handled here. Events about payments go to the wallet, which has
//! the invoices and payment records.

use bitcoin::Amount;
use l402::{Msat, PaymentHash, Preimage};
use lightning::events::{Event, EventsProvider, PaymentFailureReason, ReplayEvent};
use lightning::types::payment::{PaymentHash as LdkHash, PaymentPreimage};

use super::Node;

/// A change of a payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PaymentEvent {
    /// All parts of a payment to us have arrived: [`Node::claim`] or [`Node::refuse`] it.
    Claimable { hash: PaymentHash, amount: Msat },
    /// A payment of ours will not succeed, and nothing of it is in flight.
    Failed {
        hash: PaymentHash,
        because: FailureCause,
    },
    /// A claimed payment is ours.
    Received { hash: PaymentHash, amount: Msat },
    /// A payment of ours was taken.
    Sent {
        hash: PaymentHash,
        preimage: Preimage,
        fee: Msat,
    },
}

/// Why a payment of ours failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailureCause {
    /// Something on the way; another attempt may succeed.
    OnTheWay,
    /// The payee did not want it.
    Payee,
    /// It was too late to start.
    Expired,
    /// The node could not.
    Node,
}

impl Node {
    /// Resolves when there is something for [`process_events`](Self::process_events) to do.
    pub(crate) async fn event_ready(&self) {
        tokio::select! {
            () = self.channels.get_event_or_persistence_needed_future() => {}
            () = self.monitor.get_update_future() => {}
        }
    }

    /// Pings peers and drops what has timed out. To be called every ten seconds.
    ///
    /// LDK keeps each fulfilled payment for seven ticks of its channel manager and walks all
    /// of them at each event, so under sustained load the rate of payments falls until that
    /// many seconds have passed, and recovers when idle. LDK recommends a tick per minute,
    /// which would keep six times as many; a much shorter one disconnects slow peers.
    pub(crate) fn tick(&self) {
        self.channels.timer_tick_occurred();
        self.peers.timer_tick_occurred();
    }

    /// Handles all pending events, passing those about payments to `wallet`.
    ///
    /// Payments that arrived are processed without the usual batching delay, which hides their
    /// timing from others: there are no others on this network.
    pub(crate) fn process_events(&self, wallet: &dyn Fn(PaymentEvent)) {
        let handler = |event: Event| -> Result<(), ReplayEvent> {
            self.handle(event, wallet);
            Ok(())
        };
        self.peers.process_events();
        loop {
            self.channels.process_pending_htlc_forwards();
            self.channels.process_pending_events(&handler);
            self.monitor.process_pending_events(&handler);
            self.peers.process_events();
            if !self.channels.needs_pending_htlc_processing() {
                break;
            }
        }
        // Nothing is persisted, but the flag must be lowered for `attention` to wait again.
        let _nothing_to_write = self.channels.get_and_clear_needs_persistence();
    }

    /// Takes a payment: its payer learns the preimage.
    pub(crate) fn claim(&self, preimage: &Preimage) {
        self.channels
            .claim_funds(PaymentPreimage(*preimage.expose()));
    }

    /// Sends a payment back.
    pub(crate) fn refuse(&self, hash: &PaymentHash) {
        self.channels
            .fail_htlc_backwards(&LdkHash(*hash.as_bytes()));
    }

    fn handle(&self, event: Event, wallet: &dyn Fn(PaymentEvent)) {
        match money(event) {
            Ok(money) => wallet(money),
            Err(event) => self.handle_channel_event(*event),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest reports what needs no answer"
    )]
    fn handle_channel_event(&self, event: Event) {
        let done = match event {
            Event::OpenChannelRequest {
                temporary_channel_id,
                counterparty_node_id,
                ..
            } => self.channels.accept_inbound_channel(
                &temporary_channel_id,
                &counterparty_node_id,
                0,
                None,
            ),
            Event::FundingGenerationReady {
                temporary_channel_id,
                counterparty_node_id,
                channel_value_satoshis,
                output_script,
                ..
            } => {
                let capacity = Amount::from_sat(channel_value_satoshis);
                match self.chain.faucet(output_script, capacity) {
                    Ok(funding) => self.channels.funding_transaction_generated(
                        temporary_channel_id,
                        counterparty_node_id,
                        funding,
                    ),
                    Err(error) => return self.channel_failed(&error),
                }
            }
            Event::ChannelReady { .. } => {
                self.channel_status
                    .send_modify(|status| status.ready = status.ready.saturating_add(1));
                Ok(())
            }
            Event::ChannelClosed { reason, .. } => {
                return self.channel_failed(&reason);
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.channel_failed(&format!("{error:?}"));
        }
    }

    /// Records why a channel was not opened, or closed.
    fn channel_failed(&self, reason: &dyn std::fmt::Display) {
        tracing::error!(%reason, "a channel failed; restart the sandbox");
        let reason = reason.to_string();
        self.channel_status
            .send_modify(|status| status.failure = Some(reason));
    }
}

/// The part of an event that is about money, or the event back.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the rest is not about money"
)]
fn money(event: Event) -> Result<PaymentEvent, Box<Event>> {
    match event {
        Event::PaymentClaimable {
            payment_hash,
            amount_msat,
            ..
        } => Ok(PaymentEvent::Claimable {
            hash: PaymentHash::new(payment_hash.0),
            amount: Msat::from_msat(amount_msat),
        }),
        Event::PaymentClaimed {
            payment_hash,
            amount_msat,
            ..
        } => Ok(PaymentEvent::Received {
            hash: PaymentHash::new(payment_hash.0),
            amount: Msat::from_msat(amount_msat),
        }),
        Event::PaymentSent {
            payment_hash,
            payment_preimage,
            fee_paid_msat,
            ..
        } => Ok(PaymentEvent::Sent {
            hash: PaymentHash::new(payment_hash.0),
            preimage: Preimage::new(payment_preimage.0),
            // Absent only for payments begun by versions long gone.
            fee: Msat::from_msat(fee_paid_msat.unwrap_or(0)),
        }),
        Event::PaymentFailed {
            payment_id, reason, ..
        } => Ok(PaymentEvent::Failed {
            // Payments are sent under their hash as id.
            hash: PaymentHash::new(payment_id.0),
            because: because(reason),
        }),
        other => Err(Box::new(other)),
    }
}

fn because(reason: Option<PaymentFailureReason>) -> FailureCause {
    match reason {
        Some(PaymentFailureReason::RecipientRejected) => FailureCause::Payee,
        Some(PaymentFailureReason::PaymentExpired) => FailureCause::Expired,
        Some(
            PaymentFailureReason::RetriesExhausted
            | PaymentFailureReason::RouteNotFound
            | PaymentFailureReason::UserAbandoned,
        ) => FailureCause::OnTheWay,
        Some(
            PaymentFailureReason::UnexpectedError
            | PaymentFailureReason::UnknownRequiredFeatures
            | PaymentFailureReason::InvoiceRequestExpired
            | PaymentFailureReason::InvoiceRequestRejected
            | PaymentFailureReason::BlindedPathCreationFailed,
        )
        | None => FailureCause::Node,
    }
}
