//! Stop of a gateway: requests in flight may finish, unless a second signal ends it at once.

use std::time::Duration;

use tollway_gateway::{Running, Stopped};

use super::announce::duration;
use crate::exit::Failure;
use crate::output::Output;
use crate::shutdown::Shutdown;

/// How long a stop may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopTimes {
    /// From the moment that `/readyz` is 503 until no connection is accepted any more.
    pub(crate) delay: Duration,
    /// From then on, for what is in flight: the limit the gateway was started with.
    pub(crate) drain: Duration,
}

/// Stops a gateway. What does not finish in time is cut off, which is reported and no failure.
///
/// # Errors
///
/// A failure when a second signal ended it at once.
pub(crate) async fn stop(
    running: Running,
    times: StopTimes,
    shutdown: &mut Shutdown,
    output: Output,
) -> Result<(), Failure> {
    let in_flight = running.in_flight();
    let stopping = async {
        running.announce_stop();
        if !times.delay.is_zero() {
            output.note(&delay_note(times.delay));
            tokio::time::sleep(times.delay).await;
        }
        output.note(&note(in_flight.get(), times.drain));
        running.stop().await
    };
    let Stopped {
        connections_cut_off,
        ..
    } = tokio::select! {
        stopped = stopping => stopped,
        () = shutdown.requested() => {
            let requests = requests(in_flight.get());
            return Err(Failure::general(format!("stopped at once: {requests} cut off")));
        }
    };
    if connections_cut_off > 0 {
        let connections = plural(connections_cut_off, "connection");
        let limit = duration(times.drain);
        tracing::warn!(
            "{connections} did not finish within {limit}, cut off; --drain-timeout gives more time"
        );
    }
    Ok(())
}

fn delay_note(delay: Duration) -> String {
    let delay = duration(delay);
    format!("stopping in {delay}: /readyz is 503 until then; Ctrl-C again ends at once")
}

fn note(in_flight: usize, drain: Duration) -> String {
    match in_flight {
        0 => "stopping".to_owned(),
        some => format!(
            "stopping: {} in flight may take {} to finish; Ctrl-C again ends at once",
            requests(some),
            duration(drain)
        ),
    }
}

fn requests(count: usize) -> String {
    plural(count, "request")
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}
