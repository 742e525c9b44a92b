//! What is logged, and where to: standard error, as much as `-v` or `TOLLWAY_LOG` ask for.

use tracing_subscriber::EnvFilter;

use crate::output::{Output, stderr_is_terminal};

/// Starts logging. `usual` is what is logged without any `-v`.
pub(crate) fn start(verbose: u8, usual: &str, output: Output) {
    let asked = match verbose {
        0 => usual,
        1 => "info",
        2 => {
            "info,tollway=debug,tollway_client=debug,tollway_gateway=debug,tollway_lightning=debug,tollway_sandbox=debug,tollway_server=debug"
        }
        3.. => "trace,h2=info,hyper=info,rustls=info",
    };
    let filter =
        EnvFilter::try_from_env("TOLLWAY_LOG").unwrap_or_else(|_unset| EnvFilter::new(asked));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(stderr_is_terminal());
    // A second start, as in a test, changes nothing.
    let _already_started = match output {
        Output::Human => builder.compact().try_init(),
        Output::Json => builder.json().try_init(),
    };
}
