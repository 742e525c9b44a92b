//! One node's wallet: invoices, payments and balances.
//!
//! A [`Wallet`] is a cheap handle; clones are the same wallet. Its terms are LND's, because
//! it is served over an LND-compatible API, but its values are parsed: amounts are [`Msat`],
//! hashes are [`PaymentHash`], and a status carries what belongs to it.
//!
//! Two books, `invoice_book` and `payment_book`, hold the invoices issued and payments made;
//! `task` alone acts on them.

mod create_invoice;
mod invoice;
mod invoice_book;
mod page;
mod pay;
mod payment;
mod payment_book;
mod report;
mod task;

use std::sync::{Arc, Mutex};

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, ScriptBuf};
use l402::{Msat, PaymentHash};
use tokio::sync::Notify;

pub use crate::clock::Clock;
use crate::node::{Destination, Node, RouteError, SeedError};
use crate::sync::lock;
pub use invoice::{
    AddInvoiceError, InvoiceCursor, InvoiceDescription, InvoiceRecord, InvoiceStatus,
    InvoiceUpdate, NewInvoice,
};
pub use invoice_book::InvoiceUpdates;
use invoice_book::Invoices;
pub use page::{Direction, Page};
use pay::{Order, Outbox};
pub use payment::{
    Attempt, AttemptStatus, EstimateError, FailureReason, FeeEstimate, Hop, NewPayment,
    ParseInvoiceError, PaymentRecord, PaymentStatus, SelfPayment, SendError, parse_invoice,
};
use payment_book::PaymentBook;
pub use payment_book::PaymentWatch;
pub use report::{Channel, ChannelBalance, Initiator, NodeInfo};

/// One node's wallet. Cloning is cheap, and every clone is the same wallet.
#[derive(Clone, Debug)]
pub struct Wallet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    clock: Clock,
    node: Arc<Node>,
    /// What locks its on-chain coins.
    script: ScriptBuf,
    invoices: Arc<Invoices>,
    payments: Mutex<PaymentBook>,
    outbox: Mutex<Outbox>,
    /// Rung for each order put into the outbox.
    ordered: Notify,
}

impl Wallet {
    /// A wallet with empty books over a node. Its task must be started with [`run`](Self::run).
    pub(crate) fn new(name: &str, node: Arc<Node>) -> Result<Self, SeedError> {
        let inner = Inner {
            name: name.to_owned(),
            clock: Clock::default(),
            script: node.script()?,
            node,
            invoices: Arc::new(Invoices::new()),
            payments: Mutex::default(),
            outbox: Mutex::default(),
            ordered: Notify::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.inner.node
    }

    pub(crate) fn script(&self) -> &ScriptBuf {
        &self.inner.script
    }

    /// The name of this wallet in its network, and its node's alias.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The clock of this wallet.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// What the node is and where its chain stands.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        let node = &self.inner.node;
        let channels = self.channels();
        let count = |wanted: fn(&Channel) -> bool| {
            let found = channels.iter().filter(|channel| wanted(channel)).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        NodeInfo {
            pubkey: node.id(),
            alias: self.inner.name.clone(),
            tip: node.chain().tip(),
            active_channels: count(|channel| channel.active),
            inactive_channels: count(|channel| !channel.active && channel.short_id.is_some()),
            pending_channels: count(|channel| channel.short_id.is_none()),
            peers: u32::try_from(node.peer_count()).unwrap_or(u32::MAX),
        }
    }

    /// The node's channels, oldest first.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        let details = self.inner.node.channel_list();
        let mut channels: Vec<Channel> = details.iter().map(Channel::from_details).collect();
        channels.sort_by_key(|channel| channel.short_id);
        channels
    }

    /// The sums of every channel's two sides.
    #[must_use]
    pub fn channel_balance(&self) -> ChannelBalance {
        ChannelBalance::sum(&self.channels())
    }

    /// Confirmed coins on the chain, in channels not counted.
    #[must_use]
    pub fn onchain_balance(&self) -> Amount {
        self.inner.node.chain().balance(&self.inner.script)
    }

    /// Derives a 32-byte secret of this wallet, for `purpose` only, the same on each start.
    #[must_use]
    pub fn derive_secret(&self, purpose: &str) -> [u8; 32] {
        self.inner.node.derive_secret(purpose)
    }

    /// Creates an invoice.
    ///
    /// # Errors
    ///
    /// [`AddInvoiceError`]; the book of invoices is then unchanged.
    pub fn add_invoice(&self, new: NewInvoice) -> Result<InvoiceRecord, AddInvoiceError> {
        let inner = &self.inner;
        if let Some(preimage) = &new.preimage {
            let hash = preimage.payment_hash();
            if inner.invoices.read(|book| book.contains(&hash)) {
                return Err(AddInvoiceError::Duplicate { hash });
            }
        }
        let record = create_invoice::invoice(&inner.node, new, inner.clock.now())?;
        let hash = record.hash;
        // The book decides: another call may have been quicker since the look above.
        let added = inner.invoices.change(|book| book.add(record));
        added.ok_or(AddInvoiceError::Duplicate { hash })
    }

    /// The invoice with this hash, if this wallet issued it.
    #[must_use]
    pub fn invoice(&self, hash: &PaymentHash) -> Option<InvoiceRecord> {
        let now = self.inner.clock.now();
        self.inner.invoices.read(|book| book.get(hash, now))
    }

    /// Every invoice whose add index is greater than `after`, oldest first, at most `limit`.
    #[must_use]
    pub fn invoices(&self, after: u64, limit: usize) -> Vec<InvoiceRecord> {
        let now = self.inner.clock.now();
        self.inner
            .invoices
            .read(|book| book.list(after, limit, now))
    }

    /// Returns one page of the invoices that are `wanted`, oldest first. `wanted` is given each
    /// invoice and its current status.
    #[must_use]
    pub fn page_of_invoices(
        &self,
        page: Page,
        wanted: &dyn Fn(&InvoiceRecord, &InvoiceStatus) -> bool,
    ) -> Vec<InvoiceRecord> {
        let now = self.inner.clock.now();
        self.inner
            .invoices
            .read(|book| book.page(page, now, wanted))
    }

    /// Where the book of invoices stands: a subscription from here sees only what comes.
    #[must_use]
    pub fn invoice_cursor(&self) -> InvoiceCursor {
        self.inner.invoices.read(|book| book.cursor())
    }

    /// Every invoice added and settled after `from`, those already there first.
    ///
    /// Nothing is lost between a listing and a subscription, and a slow reader loses
    /// nothing either: the subscription is a place in the book, not a queue.
    #[must_use]
    pub fn subscribe_invoices(&self, from: InvoiceCursor) -> InvoiceUpdates {
        self.inner.invoices.follow(from)
    }

    /// Begins a payment, and returns a watch on it at once.
    ///
    /// The payment goes on by itself: dropping the watch does not stop it. While payments
    /// in flight hold all of the channels, it waits for its turn until its timeout.
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was begun and no money moves for this call.
    pub fn pay(&self, new: &NewPayment) -> Result<PaymentWatch, SendError> {
        let inner = &self.inner;
        let order = Order::check(new, &inner.node.id(), inner.clock.now())?;
        let record = order.record(&new.invoice, inner.now_nanos());
        let watch = lock(&inner.payments).begin(record)?;
        lock(&inner.outbox).waiting.push_back(order);
        inner.ordered.notify_one();
        Ok(watch)
    }

    /// The payment with this hash, if this wallet ever began it.
    #[must_use]
    pub fn payment(&self, hash: &PaymentHash) -> Option<PaymentRecord> {
        lock(&self.inner.payments).get(hash)
    }

    /// Every payment whose payment index is greater than `after`, oldest first, at most `limit`.
    #[must_use]
    pub fn payments(&self, after: u64, limit: usize) -> Vec<PaymentRecord> {
        lock(&self.inner.payments).list(after, limit)
    }

    /// Returns one page of the payments that are `wanted`, oldest first.
    #[must_use]
    pub fn page_of_payments(
        &self,
        page: Page,
        wanted: &dyn Fn(&PaymentRecord) -> bool,
    ) -> Vec<PaymentRecord> {
        lock(&self.inner.payments).page(page, wanted)
    }

    /// Returns how many payments were begun, a hash begun again counted once.
    #[must_use]
    pub fn payment_count(&self) -> usize {
        lock(&self.inner.payments).len()
    }

    /// A watch on the payment with this hash, if this wallet ever began it.
    #[must_use]
    pub fn watch_payment(&self, hash: &PaymentHash) -> Option<PaymentWatch> {
        lock(&self.inner.payments).watch(hash)
    }

    /// What routing `amount` to `destination` would cost and how long it could be locked.
    ///
    /// # Errors
    ///
    /// [`EstimateError`] when no route can carry it.
    pub fn estimate_fee(
        &self,
        destination: PublicKey,
        amount: Msat,
    ) -> Result<FeeEstimate, EstimateError> {
        let to = Destination::of_node(destination);
        let way = self
            .inner
            .node
            .route(&to, amount, Msat::MAX)
            .map_err(|error| match error {
                RouteError::Busy | RouteError::Insufficient => EstimateError::InsufficientBalance,
                RouteError::NoRoute => EstimateError::NoRoute,
            })?;
        let attempts = pay::attempts(&way, 0);
        let locked_until = attempts.iter().map(|attempt| attempt.total_time_lock).max();
        Ok(FeeEstimate {
            fee: Msat::from_msat(way.route.get_total_fees()),
            time_lock_blocks: locked_until
                .unwrap_or(way.height)
                .saturating_sub(way.height),
        })
    }
}

impl Inner {
    fn now_nanos(&self) -> u64 {
        u64::try_from(self.clock.since_epoch().as_nanos()).unwrap_or(u64::MAX)
    }
}
