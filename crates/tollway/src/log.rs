//! The log: standard error, as much as `-v` or `TOLLWAY_LOG` ask for.
//!
//! Lines are queued and written by a thread of their own, so that neither a reader that has
//! stopped reading nor a standard error that cannot be written holds up or fails a request.
//! Lines that do not fit in the queue are dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::output::{Output, stderr_is_terminal};

/// The running log. Dropping it waits until what was logged is written.
#[derive(Debug)]
#[must_use = "lines are written while this exists"]
pub(crate) struct Log(Option<Queue>);

/// What a command logs with no `-v` and with one. Two add every decision, three everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    pub(crate) usual: &'static str,
    pub(crate) verbose: &'static str,
}

/// Starts logging.
pub(crate) fn start(verbose: u8, levels: Levels, output: Output) -> Log {
    let asked = match verbose {
        0 => levels.usual,
        1 => levels.verbose,
        2 => {
            "info,tollway=debug,tollway_client=debug,tollway_gateway=debug,tollway_lightning=debug,tollway_sandbox=debug,tollway_server=debug"
        }
        // The worker of a tower buffer logs each time that it looks for work.
        3.. => "trace,h2=info,hyper=info,rustls=info,tower=info",
    };
    let filter =
        EnvFilter::try_from_env("TOLLWAY_LOG").unwrap_or_else(|_unset| EnvFilter::new(asked));
    // Without a thread to write it there is no log, which is no reason not to start.
    let Ok(queue) = Queue::start(io::stderr()) else {
        return Log(None);
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(queue.clone())
        .log_internal_errors(false)
        .with_ansi(stderr_is_terminal());
    // A second start, as in a test, changes nothing.
    let _already_started = match output {
        Output::Human => builder.compact().try_init(),
        Output::Json => builder.json().try_init(),
    };
    Log(Some(queue))
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.flush();
        }
    }
}

/// Lines on their way to a thread that writes them.
#[derive(Clone, Debug)]
struct Queue {
    messages: Sender<Message>,
    state: Arc<State>,
}

#[derive(Debug)]
enum Message {
    /// Dropped once everything before it is written.
    Flush(Sender<()>),
    Line(Vec<u8>),
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that wait to be written.
    waiting: AtomicUsize,
    /// Lines dropped so far.
    dropped: AtomicU64,
}

impl Queue {
    fn start(target: impl Write + Send + 'static) -> io::Result<Self> {
        let (messages, queued) = mpsc::channel();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(target, &queued, &shared))?;
        Ok(Self { messages, state })
    }

    /// Waits until everything queued is written, but not for a reader that has stopped reading.
    fn flush(&self) {
        let (written, done) = mpsc::channel();
        if self.messages.send(Message::Flush(written)).is_ok() {
            let _written_or_late = done.recv_timeout(FLUSH_TIMEOUT);
        }
    }

    fn push(&self, line: &[u8]) {
        let state = &self.state;
        let waiting = state.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let fits = waiting.saturating_add(line.len()) <= WAITING_MAX;
        if !fits || self.messages.send(Message::Line(line.to_vec())).is_err() {
            state.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// Takes one line whole. Never blocks, never fails.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until the queue is closed, and reports those dropped when it has caught up.
fn write_all(mut target: impl Write, queued: &Receiver<Message>, state: &State) {
    let mut reported = 0;
    loop {
        let message = match queued.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                let dropped = state.dropped.load(Ordering::Relaxed);
                if dropped > reported {
                    reported = dropped;
                    tracing::warn!(dropped, "lines of the log were dropped: not read in time");
                }
                match queued.recv() {
                    Ok(message) => message,
                    Err(_closed) => return,
                }
            }
        };
        match message {
            Message::Flush(written) => drop(written),
            Message::Line(line) => {
                // There is no other place to report it.
                let _unwritable = target.write_all(&line);
                state.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }
        }
    }
}

/// The most memory that lines take which are not read.
const WAITING_MAX: usize = 4 * 1024 * 1024;
/// A reader that takes longer than this for the last lines has stopped reading.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_flush_waits_for_every_line() {
        let written = Shared::default();
        let queue = Queue::start(written.clone()).unwrap();
        for number in 0..1_000 {
            (&queue)
                .write_all(format!("{number}\n").as_bytes())
                .unwrap();
        }

        queue.flush();

        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(text.lines().eq((0..1_000).map(|number| number.to_string())));
    }

    #[test]
    fn a_reader_that_has_stopped_reading_costs_lines_and_no_memory() {
        let (read_again, stopped) = mpsc::channel();
        let queue = Queue::start(Stopped(stopped)).unwrap();
        let line = [b'x'; 1_024];

        for _ in 0..2 * WAITING_MAX / line.len() {
            (&queue).write_all(&line).unwrap();
        }

        assert!(queue.state.waiting.load(Ordering::Relaxed) <= WAITING_MAX);
        assert!(queue.state.dropped.load(Ordering::Relaxed) > 0);
        drop(read_again);
    }

    #[test]
    fn a_target_that_cannot_be_written_fails_no_line() {
        let queue = Queue::start(Full).unwrap();

        for _ in 0..3 {
            (&queue).write_all(b"line\n").unwrap();
            queue.flush();
        }

        assert_eq!(queue.state.waiting.load(Ordering::Relaxed), 0);
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Blocks until its sender is dropped.
    struct Stopped(Receiver<()>);

    impl Write for Stopped {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _closed = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
