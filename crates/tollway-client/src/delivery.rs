//! Delivery of a response: what is written once it has arrived whole, or is known not to.
//!
//! The marks of credentials that a request has presented are removed when its response
//! is delivered, and not before; so are the brakes that it disproves. Dropped before that, the
//! uses count as lost.

use std::fmt;

use http::StatusCode;
use l402::PaymentHash;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::book::{Book, BookError, Ending, Presentation};
use crate::error::StorageError;

/// A response that is not delivered yet, and whose delivery is to be recorded.
///
/// [`Client::send`](crate::Client::send) records it by itself when the body has been read to its
/// end, unless [`ClientBuilder::confirm_deliveries`](crate::ClientBuilder::confirm_deliveries)
/// leaves that to the caller. Dropped, the response counts as not delivered: the use of the token
/// that it may have taken is lost. Nothing is bought in place of a counted token then without the
/// buyer's word, and nothing at all from a seller of which two tokens have delivered nothing.
#[must_use = "dropped, the response counts as not delivered"]
pub struct Delivery {
    book: Book,
    tasks: TaskTracker,
    confirmation: Confirmation,
    presentations: Vec<Presentation>,
    /// The payments whose brakes the response disproves.
    released: Vec<PaymentHash>,
    status: StatusCode,
}

/// Who decides that a response was delivered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Confirmation {
    /// The end of its body.
    #[default]
    AtEnd,
    /// The caller.
    ByCaller,
}

impl Delivery {
    pub(crate) const fn new(book: Book, tasks: TaskTracker, confirmation: Confirmation) -> Self {
        Self {
            book,
            tasks,
            confirmation,
            presentations: Vec::new(),
            released: Vec::new(),
            status: StatusCode::OK,
        }
    }

    /// Records that the response was delivered whole, durably.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when that cannot be written: the use then counts as lost.
    pub async fn confirm(mut self) -> Result<(), StorageError> {
        let Some(written) = self.end_whole() else {
            return Ok(());
        };
        let written = written.await;
        Ok(written.map_err(|_shutting_down| StorageError::Interrupted)??)
    }

    pub(crate) const fn confirmation(&self) -> Confirmation {
        self.confirmation
    }

    /// Adds the mark of a credential that is presented.
    pub(crate) fn add(&mut self, presentation: Option<Presentation>) {
        self.presentations.extend(presentation);
    }

    /// Takes the mark of the credential that was presented last out: its presentation has ended by
    /// itself.
    pub(crate) fn take(&mut self, hash: &PaymentHash) -> Option<Presentation> {
        let is_last = |last: &mut Presentation| last.payment_hash() == *hash;
        self.presentations.pop_if(is_last)
    }

    /// Sets what the head of the response to deliver means.
    pub(crate) fn of_response(&mut self, status: StatusCode, released: Vec<PaymentHash>) {
        self.status = status;
        self.released = released;
    }

    /// Returns true when its end is to be written.
    pub(crate) fn is_pending(&self) -> bool {
        !self.presentations.is_empty() || !self.released.is_empty()
    }

    /// Starts to write that the response was delivered whole.
    pub(crate) fn end_whole(&mut self) -> Option<Written> {
        // An application that forbids what was paid for delivers no more than one that fails.
        let forbids = [
            StatusCode::UNAUTHORIZED,
            StatusCode::PAYMENT_REQUIRED,
            StatusCode::FORBIDDEN,
        ];
        let ending = if self.status.is_server_error() || forbids.contains(&self.status) {
            Ending::Failed
        } else if self.status.is_client_error() {
            Ending::Declined
        } else {
            Ending::Delivered
        };
        let released = std::mem::take(&mut self.released);
        self.start(ending, released)
    }

    /// Starts to write that the response was not delivered whole.
    pub(crate) fn end_lost(&mut self) -> Option<Written> {
        self.released.clear();
        self.start(Ending::Lost, Vec::new())
    }

    fn start(&mut self, ending: Ending, released: Vec<PaymentHash>) -> Option<Written> {
        let presentations = std::mem::take(&mut self.presentations);
        if presentations.is_empty() && released.is_empty() {
            return None;
        }
        let book = self.book.clone();
        let write = move || book.end(&presentations, ending, &released);
        Some(self.tasks.spawn_blocking(write))
    }
}

/// What was started to be written about a delivery.
pub(crate) type Written = JoinHandle<Result<(), BookError>>;

impl Drop for Delivery {
    fn drop(&mut self) {
        // Without a runtime the marks stay, which means the same.
        if tokio::runtime::Handle::try_current().is_ok() {
            drop(self.end_lost());
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("presentations", &self.presentations)
            .finish_non_exhaustive()
    }
}
