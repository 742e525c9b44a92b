//! Executor for the tasks of HTTP/2 connections, on the worker's own thread.

use tokio::task::spawn_local;

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
