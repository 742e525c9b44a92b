//! gRPC load and its upstream: h2load and nghttpd, on the core that the proxy does not have.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::bench::cores::{Cores, LOAD_CORE};
use crate::bench::load::Outcome;
use crate::interop::ports::Ports;
use crate::interop::process::{self, Service, flag};

/// Starts the gRPC upstream: nghttpd, which ends every response with trailers.
///
/// # Errors
///
/// When nghttpd does not start.
pub(super) fn upstream(dir: &Path) -> Result<(Service, SocketAddr)> {
    let [ports] = Ports::free::<1>()?;
    let address = SocketAddr::from(([127, 0, 0, 1], ports.rpc));
    let files = dir.join("htdocs");
    fs::create_dir_all(&files)?;
    fs::write(files.join(METHOD.trim_start_matches('/')), MESSAGE)?;
    let mut nghttpd = Cores::Only(LOAD_CORE).command(Path::new("nghttpd"));
    nghttpd
        .args([
            "--no-tls",
            "--address=127.0.0.1",
            "--trailer=grpc-status: 0",
        ])
        .arg(flag("--htdocs", &files))
        .arg(ports.rpc.to_string());
    let mut service = Service::start("nghttpd", &mut nghttpd, dir)?;
    service.ready(START, |_| Ok(TcpStream::connect(address)?))?;
    Ok((service, address))
}

/// Makes gRPC calls with h2load: 16 connections, 10 streams on each.
///
/// # Errors
///
/// When a reply was not 200, or h2load does not work.
pub(super) fn load(
    target: SocketAddr,
    seconds: f64,
    authorization: &str,
    dir: &Path,
) -> Result<Outcome> {
    let log = dir.join("h2load.log");
    // h2load would append to the last run's file.
    fs::write(&log, "")?;
    let mut h2load = Cores::Only(LOAD_CORE).command(Path::new("h2load"));
    h2load
        .args(["--clients=16", "--max-concurrent-streams=10"])
        .arg(format!("--duration={:.0}ms", seconds * 1e3))
        .arg(flag("--log-file", &log))
        .args(request(authorization, dir)?)
        .arg(format!("http://{target}{METHOD}"));
    process::output(
        &mut h2load,
        GRACE.saturating_add(Duration::from_secs_f64(seconds)),
    )?;
    read_log(&fs::read_to_string(&log)?, seconds)
}

/// Makes one call and checks that its trailers arrive.
///
/// # Errors
///
/// When they do not arrive.
pub(super) fn check_trailers(target: SocketAddr, authorization: &str, dir: &Path) -> Result<()> {
    let mut nghttp = Command::new("nghttp");
    nghttp
        .arg("--verbose")
        .args(request(authorization, dir)?)
        .arg(format!("http://{target}{METHOD}"));
    let said = process::output(&mut nghttp, GRACE)?;
    ensure!(
        said.contains("grpc-status: 0"),
        "no trailers arrived from {target}: {said}"
    );
    Ok(())
}

/// Returns the arguments for the request, which both programs take.
fn request(authorization: &str, dir: &Path) -> Result<Vec<String>> {
    let body = dir.join("message");
    fs::write(&body, MESSAGE)?;
    Ok(vec![
        flag("--data", &body),
        "--header=content-type: application/grpc".to_owned(),
        "--header=te: trailers".to_owned(),
        format!("--header=authorization: {authorization}"),
    ])
}

/// Reads one line per call: its start, its status, and the microseconds that it took.
fn read_log(log: &str, seconds: f64) -> Result<Outcome> {
    let mut micros = Vec::new();
    for line in log.lines() {
        let mut fields = line.split('\t').skip(1);
        let (Some(status), Some(taken)) = (fields.next(), fields.next()) else {
            bail!("h2load wrote: {line}");
        };
        ensure!(status == "200", "a call was answered {status}");
        micros.push(taken.parse::<u32>()?);
    }
    micros.sort_unstable();
    let at = |percent: usize| {
        let index = micros.len().saturating_mul(percent).div_euclid(100);
        f64::from(micros.get(index).copied().unwrap_or(0))
    };
    Ok(Outcome {
        requests: u32::try_from(micros.len())?,
        seconds,
        p50_us: at(50),
        p99_us: at(99),
    })
}

/// The path of the calls, and of the file that nghttpd returns for them.
const METHOD: &str = "/item";
/// A gRPC frame of 64 bytes.
const MESSAGE: &[u8; 69] =
    b"\0\0\0\0\x40tollwaytollwaytollwaytollwaytollwaytollwaytollwaytollwaytollwayt";
const START: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(20);

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small integers are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_log_with_another_status_is_refused() {
        assert!(read_log("1\t200\t50\n2\t503\t60\n", 1.0).is_err());
    }

    #[test]
    fn a_log_is_counted_and_sorted() {
        let outcome = read_log("1\t200\t70\n2\t200\t50\n3\t200\t60\n", 1.5).unwrap();

        assert_eq!((outcome.requests, outcome.p50_us), (3, 60.0));
        assert_eq!(outcome.per_second(), 2.0);
    }
}
