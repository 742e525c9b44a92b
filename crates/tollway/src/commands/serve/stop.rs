//! Stop of a gateway: requests in flight may finish, unless a second signal ends it at once.

use std::time::Duration;

use tollway_gateway::{Running, Stopped};

use super::announce::duration;
use crate::exit::Failure;
use crate::output::Output;
use crate::shutdown::Shutdown;

/// Stops a gateway within `drain`, the limit it was started with.
///
/// # Errors
///
/// A failure that counts what was cut off.
pub(crate) async fn stop(
    running: Running,
    drain: Duration,
    shutdown: &mut Shutdown,
    output: Output,
) -> Result<(), Failure> {
    let in_flight = running.in_flight();
    output.note(&note(in_flight.get(), drain));
    let Stopped {
        connections_cut_off,
        ..
    } = tokio::select! {
        stopped = running.stop() => stopped,
        () = shutdown.requested() => {
            let requests = requests(in_flight.get());
            return Err(Failure::general(format!("stopped at once: {requests} cut off")));
        }
    };
    match connections_cut_off {
        0 => Ok(()),
        cut_off => {
            let connections = plural(cut_off, "connection");
            let limit = duration(drain);
            Err(Failure::general(format!(
                "{connections} did not finish within {limit} and were cut off; --drain-timeout gives more time"
            )))
        }
    }
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
