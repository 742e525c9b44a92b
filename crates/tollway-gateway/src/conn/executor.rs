//! Executors for the tasks of HTTP/2 connections, on the worker's own thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::task::spawn_local;

use crate::conn::activity::Activity;

/// Spawns tasks on the current thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, task: F) {
        spawn_local(async move {
            task.await;
        });
    }
}

/// Spawns the tasks of one client connection's streams, each of which ends when its request
/// stalls.
///
/// The body of a response does not notice a client that grants no window: it is not polled for
/// another frame. Dropping the task resets the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamExecutor(Rc<RefCell<Option<Rc<Activity>>>>);

impl StreamExecutor {
    /// Names the request whose task is spawned next.
    ///
    /// hyper calls the service, which calls this, and spawns what it returned before it calls
    /// the service again.
    pub(crate) fn next_is(&self, activity: &Rc<Activity>) {
        *self.0.borrow_mut() = Some(Rc::clone(activity));
    }
}

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future + 'static,
{
    fn execute(&self, task: F) {
        let Some(activity) = self.0.take() else {
            return LocalExecutor.execute(task);
        };
        spawn_local(async move {
            let mut task = pin!(task);
            poll_fn(|cx| match task.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => activity.poll_stalled(cx),
            })
            .await;
        });
    }
}
