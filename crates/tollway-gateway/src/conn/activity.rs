//! Progress of one request: when something of it moved last, and the limit on making no progress.
//!
//! Code that begins to wait for something sets the limit; code that moves something restarts its
//! time. There is no timer: one clock per worker looks at all requests once a second, so a
//! request costs a few writes to memory, and its record is used again by the next one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The seconds that a worker has run for.
#[derive(Debug, Default)]
pub(crate) struct Clock(Cell<u64>);

impl Clock {
    pub(crate) fn now(&self) -> u64 {
        self.0.get()
    }

    /// Advances by one second, and returns the new time.
    pub(crate) fn tick(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(1));
        self.0.get()
    }
}

/// A limit on the time without progress, in whole seconds; `None` for no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StallLimit(Option<u64>);

impl StallLimit {
    pub(crate) const NONE: Self = Self(None);

    /// Rounds up to whole seconds.
    pub(crate) fn of(limit: Duration) -> Self {
        let rounding = u64::from(limit.subsec_nanos() > 0);
        Self(Some(limit.as_secs().saturating_add(rounding).max(1)))
    }

    /// Returns whether `secs` without progress are too long. The clock may tick at once after the
    /// start.
    pub(crate) fn is_over(self, secs: u64) -> bool {
        self.0.is_some_and(|most| secs > most)
    }
}

impl From<Option<Duration>> for StallLimit {
    fn from(limit: Option<Duration>) -> Self {
        limit.map_or(Self::NONE, Self::of)
    }
}

/// The limits of each part of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StallLimits {
    /// A request head, first or later, from its first moment to its last byte.
    pub(crate) head: StallLimit,
    /// A response of the gateway itself, which is short and not taken.
    pub(crate) local_response: StallLimit,
    /// A part of a request body that the client does not send.
    pub(crate) read: StallLimit,
    /// A part of a response that the client does not take.
    pub(crate) write: StallLimit,
    /// A tunnel.
    pub(crate) tunnel: StallLimit,
    /// A tunnel of which one end has closed.
    pub(crate) closing_tunnel: StallLimit,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitsFor {
    Client,
    Upstream,
}

/// The limits on what happens before a response begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ExchangeLimits {
    /// The next part of the request body, from the client.
    pub(crate) client: StallLimit,
    /// Anything that the upstream takes of the request, and the head of its response.
    pub(crate) upstream: StallLimit,
}

/// The record of one request.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Rc<Clock>,
    /// Where [`Activities`] holds it.
    place: Cell<usize>,
    moved: Cell<u64>,
    limit: Cell<StallLimit>,
    /// The limit on the time between two parts of the upstream's response.
    body_limit: Cell<StallLimit>,
    /// Set before the response begins.
    exchange: Cell<Option<(WaitsFor, ExchangeLimits)>>,
    is_stalled: Cell<bool>,
    /// Whether the response is one of the gateway itself.
    is_local: Cell<bool>,
    /// Whether a task of its own looks at it, which is woken when it has stalled. Otherwise that
    /// is left to the task of the connection.
    is_watched: Cell<bool>,
    /// Kept longer than needed: it is often the same again.
    task: RefCell<Option<Waker>>,
}

impl Activity {
    /// Something moved.
    pub(crate) fn touch(&self) {
        self.moved.set(self.clock.now());
    }

    /// From here on, no progress for longer than this is a stall.
    pub(crate) fn allow(&self, limit: StallLimit) {
        self.touch();
        self.limit.set(limit);
    }

    /// The same for a response of the gateway itself.
    pub(crate) fn respond_locally(&self, limit: StallLimit) {
        self.is_local.set(true);
        self.allow(limit);
    }

    /// Limits the time between two parts of the upstream's response.
    pub(crate) fn limit_body(&self, limit: StallLimit) {
        self.body_limit.set(limit);
    }

    pub(crate) fn body_limit(&self) -> StallLimit {
        self.body_limit.get()
    }

    /// Returns whether it made no progress for too long. The request must end.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled.get()
    }

    /// Returns whether it stalled; if not, the task is woken when it does.
    pub(crate) fn poll_stalled(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_stalled() {
            return Poll::Ready(());
        }
        self.is_watched.set(true);
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until it makes no progress for too long.
    pub(crate) async fn stalled(&self) {
        poll_fn(|cx| self.poll_stalled(cx)).await;
    }

    /// Waits for the head of a response, or for why there is none, while the request body or the
    /// response moves.
    ///
    /// # Errors
    ///
    /// What did not move for too long. The request has not stalled by that: it is responded to.
    pub(crate) async fn watch<T>(
        &self,
        limits: ExchangeLimits,
        response: impl Future<Output = T>,
    ) -> Result<T, WaitsFor> {
        self.exchange.set(Some((WaitsFor::Upstream, limits)));
        self.allow(limits.upstream);
        let mut response = pin!(response);
        let ended = poll_fn(|cx| match response.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => self.poll_stalled(cx).map(|()| None),
        })
        .await;
        let waited_for = self.exchange.take();
        self.is_stalled.set(false);
        self.is_watched.set(false);
        self.allow(StallLimit::NONE);
        ended.ok_or_else(|| waited_for.map_or(WaitsFor::Upstream, |(waits_for, _)| waits_for))
    }

    /// A part of the request body has arrived from the client.
    pub(crate) fn received(&self) {
        self.touch();
        self.wait_for(WaitsFor::Upstream);
    }

    /// The upstream would take more of the request body than has arrived.
    pub(crate) fn wait_for_client(&self) {
        self.wait_for(WaitsFor::Client);
    }

    fn wait_for(&self, next: WaitsFor) {
        let Some((before, limits)) = self.exchange.get() else {
            return;
        };
        if before == next {
            return;
        }
        self.exchange.set(Some((next, limits)));
        self.allow(match next {
            WaitsFor::Client => limits.client,
            WaitsFor::Upstream => limits.upstream,
        });
    }

    fn begin(&self, place: usize) {
        self.place.set(place);
        self.allow(StallLimit::NONE);
        self.body_limit.set(StallLimit::NONE);
        self.exchange.set(None);
        self.is_stalled.set(false);
        self.is_local.set(false);
        self.is_watched.set(false);
    }

    fn is_overdue(&self, now: u64) -> bool {
        self.limit.get().is_over(now.wrapping_sub(self.moved.get()))
    }
}

/// The records of one connection's requests.
#[derive(Debug, Default)]
pub(crate) struct Activities {
    current: RefCell<Vec<Rc<Activity>>>,
    spare: RefCell<Vec<Rc<Activity>>>,
}

impl Activities {
    pub(crate) fn begin(&self, clock: &Rc<Clock>) -> Rc<Activity> {
        // What else refers to a record may outlive its request.
        let spare = self.spare.borrow_mut().pop();
        let activity = spare.filter(|spare| Rc::strong_count(spare) == 1);
        let activity = activity.unwrap_or_else(|| {
            Rc::new(Activity {
                clock: Rc::clone(clock),
                place: Cell::new(0),
                moved: Cell::new(0),
                limit: Cell::new(StallLimit::NONE),
                body_limit: Cell::new(StallLimit::NONE),
                exchange: Cell::new(None),
                is_stalled: Cell::new(false),
                is_local: Cell::new(false),
                is_watched: Cell::new(false),
                task: RefCell::default(),
            })
        });
        let mut current = self.current.borrow_mut();
        activity.begin(current.len());
        current.push(Rc::clone(&activity));
        activity
    }

    pub(crate) fn end(&self, activity: &Activity) {
        // A waker keeps the memory of its task. That of the connection is often needed again.
        if activity.is_watched.replace(false) {
            activity.task.take();
        }
        let mut current = self.current.borrow_mut();
        let place = activity.place.get();
        if place >= current.len() {
            return;
        }
        self.spare.borrow_mut().push(current.swap_remove(place));
        if let Some(moved) = current.get(place) {
            moved.place.set(place);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.current.borrow().is_empty()
    }

    /// Returns when the body of a request moved last that has been responded to, if there is one
    /// that is still read.
    pub(crate) fn moved_after_response(&self) -> Option<u64> {
        let spare = self.spare.borrow();
        let read = spare.iter().filter(|one| Rc::strong_count(one) > 1);
        read.map(|one| one.moved.get()).max()
    }

    /// Returns when the first of them moved last, if all are responses of the gateway itself: a client
    /// that takes none of them may go on to ask for more.
    pub(crate) fn untaken_since(&self) -> Option<u64> {
        let current = self.current.borrow();
        let all_local = current.iter().all(|one| one.is_local.get());
        let moved = current.iter().map(|one| one.moved.get());
        moved.min().filter(|_| all_local)
    }

    /// Something moved that cannot be assigned to one of them.
    pub(crate) fn touch_all(&self) {
        self.current.borrow().iter().for_each(|one| one.touch());
    }

    /// Marks those that made no progress for too long and wakes their tasks. Returns whether one of
    /// them is left to the task of the connection.
    pub(crate) fn mark_stalled(&self, now: u64) -> bool {
        let mut is_left = false;
        for activity in self.current.borrow().iter() {
            if !activity.is_overdue(now) || activity.is_stalled.replace(true) {
                continue;
            }
            match activity.task.borrow().as_ref() {
                Some(task) if activity.is_watched.get() => task.wake_by_ref(),
                Some(_) | None => is_left = true,
            }
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[tokio::test]
    async fn what_was_waited_for_last_is_what_stalled() {
        let (clock, activities) = (Rc::default(), Activities::default());
        let activity = activities.begin(&clock);
        let limits = ExchangeLimits {
            client: StallLimit::of(Duration::from_secs(5)),
            upstream: StallLimit::of(Duration::from_secs(1)),
        };
        let mut waiting = pin!(activity.watch(limits, pending::<()>()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut tick = || {
            activities.mark_stalled(clock.tick());
            waiting.as_mut().poll(&mut cx)
        };

        assert_eq!(tick(), Poll::Pending);
        activity.wait_for_client();
        for _ in 0..5 {
            assert_eq!(tick(), Poll::Pending, "the client may take longer");
        }
        activity.received();
        assert_eq!(
            tick(),
            Poll::Pending,
            "the upstream has its time from then on"
        );

        assert_eq!(tick(), Poll::Ready(Err(WaitsFor::Upstream)));
        assert!(!activity.is_stalled(), "it is responded to");
    }

    #[test]
    fn a_request_that_has_ended_keeps_no_task() {
        let (clock, activities) = (Rc::default(), Activities::default());
        let activity = activities.begin(&clock);
        let task = Arc::new(Task);
        let waker = Waker::from(Arc::clone(&task));
        assert!(
            activity
                .poll_stalled(&Context::from_waker(&waker))
                .is_pending()
        );
        drop(waker);
        assert_eq!(Arc::strong_count(&task), 2);

        activities.end(&activity);

        assert_eq!(Arc::strong_count(&task), 1);
    }

    #[tokio::test]
    async fn a_request_that_is_not_watched_is_left_to_its_connection() {
        let (clock, activities) = (Rc::default(), Activities::default());
        let activity = activities.begin(&clock);
        let limit = StallLimit::of(Duration::from_secs(1));
        let limits = ExchangeLimits {
            client: limit,
            upstream: limit,
        };
        let mut waits = true;
        let head = poll_fn(|_| match std::mem::take(&mut waits) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        });
        let mut waiting = pin!(activity.watch(limits, head));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(Ok(())));

        activity.allow(limit);
        clock.tick();

        assert!(activities.mark_stalled(clock.tick()));
    }

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
}
