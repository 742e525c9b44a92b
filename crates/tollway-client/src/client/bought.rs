//! A credential that was paid for, until its buyer has presented it.

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::book::{Book, BookError, Ending, FirstUse, Presentation, StoredCredential};
use crate::error::{Payment, Receipt};

/// A credential that was paid for and not presented yet. Until dropped, or shared, no other request
/// may use it.
pub(super) struct Bought {
    pub(super) credential: StoredCredential,
    payment: Payment,
    book: Book,
    tasks: TaskTracker,
    /// What happened to its first use; `None` once that is written, or being written.
    first: Option<FirstUse>,
    /// The mark of its first use, if others may use it already.
    mark: Option<Presentation>,
}

impl Bought {
    pub(super) const fn new(
        credential: StoredCredential,
        payment: Payment,
        book: Book,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            credential,
            payment,
            book,
            tasks,
            first: Some(FirstUse::Untaken),
            mark: None,
        }
    }

    pub(super) fn receipt(&self) -> Receipt {
        Receipt {
            payment: self.payment.clone(),
            fee: self.credential.fee,
        }
    }

    /// Notes what is known of its first use: from here on, dropped, it is published with that.
    pub(super) const fn used(&mut self, first: FirstUse) {
        self.first = Some(first);
    }

    /// Lets other requests use the credential from here on, and returns the mark of its first
    /// use, if there is one. Failing leaves it to this process, until that ends.
    pub(super) async fn publish(mut self, first: FirstUse) -> Option<Presentation> {
        self.first = None;
        let published = self.start_publishing(first).await;
        published.ok().and_then(Result::ok).flatten()
    }

    /// Lets other requests use the credential while its first use waits for a response.
    pub(super) async fn share(&mut self) {
        if self.mark.is_none() {
            let published = self.start_publishing(FirstUse::Arrived).await;
            self.mark = published.ok().and_then(Result::ok).flatten();
        }
    }

    fn start_publishing(
        &mut self,
        first: FirstUse,
    ) -> JoinHandle<Result<Option<Presentation>, BookError>> {
        let (book, hash) = (self.book.clone(), self.credential.payment_hash());
        let mark = self.mark.take();
        self.tasks.spawn_blocking(move || match (mark, first) {
            (None, first) => book.publish(&hash, first),
            (Some(mark), FirstUse::Arrived) => Ok(Some(mark)),
            // Dropped, it counts as lost.
            (Some(_mark), FirstUse::Lost) => Ok(None),
            (Some(mark), FirstUse::Untaken) => {
                book.end(&[mark], Ending::Untaken, &[])?;
                Ok(None)
            }
        })
    }
}

impl Drop for Bought {
    fn drop(&mut self) {
        let Some(first) = self.first else {
            return;
        };
        if tokio::runtime::Handle::try_current().is_ok() {
            drop(self.start_publishing(first));
        } else {
            self.book.release(&self.credential.payment_hash());
        }
    }
}
