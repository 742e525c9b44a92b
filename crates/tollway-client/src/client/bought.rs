//! A credential that was paid for, until its buyer has presented it.

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::book::{Book, BookError, StoredCredential};
use crate::error::{Payment, Receipt};

/// A credential that was paid for and not presented yet. Until dropped, no other request may
/// use it.
pub(super) struct Bought {
    pub(super) credential: StoredCredential,
    payment: Payment,
    book: Book,
    tasks: TaskTracker,
    is_published: bool,
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
            is_published: false,
        }
    }

    pub(super) fn receipt(&self) -> Receipt {
        Receipt {
            payment: self.payment.clone(),
            fee: self.credential.fee,
        }
    }

    /// Lets other requests use the credential from here on. Failing leaves it to this process,
    /// until that ends.
    pub(super) async fn publish(mut self) {
        self.is_published = true;
        let _ = self.start_publishing().await;
    }

    fn start_publishing(&self) -> JoinHandle<Result<(), BookError>> {
        let (book, hash) = (self.book.clone(), self.credential.payment_hash());
        self.tasks.spawn_blocking(move || book.publish(&hash))
    }
}

impl Drop for Bought {
    fn drop(&mut self) {
        if self.is_published {
            return;
        }
        self.book.release(&self.credential.payment_hash());
        if tokio::runtime::Handle::try_current().is_ok() {
            drop(self.start_publishing());
        }
    }
}
