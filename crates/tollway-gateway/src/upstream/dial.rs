//! Dialling of an upstream by name: the first of its addresses that accepts is used.
//!
//! Another address is tried whenever the one before has failed, or has not accepted for a
//! while; families alternate. So one address that does not respond delays a connection, and
//! does not prevent it.
//!
//! Specification: RFC 8305 sections 4 and 5.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::io::Errno;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

/// Opens a connection to a host. The caller limits how long that may take.
pub(crate) async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let found: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    match found.as_slice() {
        [only] => TcpStream::connect(only).await,
        _ => race(interleaved(&found), TcpStream::connect).await,
    }
}

/// Returns whether this machine lacks what any connection needs: a file descriptor, memory, or a
/// port of its own.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let shortages = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ];
    Errno::from_io_error(error).is_some_and(|code| shortages.contains(&code))
}

/// Returns the first connection to any of the addresses; the error of the last when there is none.
///
/// A shortage is returned only when all have it: an address of a family that this machine does not
/// have fails as if no port were left.
async fn race<F, T>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut error = None;
    loop {
        let is_last = match addresses.next() {
            Some(address) => {
                attempts.push(connect(address));
                false
            }
            None => true,
        };
        let ended = tokio::select! {
            ended = attempts.next() => ended,
            () = sleep(STAGGER), if !is_last => continue,
        };
        match ended {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(failed)) if error.is_some() && is_shortage(&failed) => {}
            Some(Err(failed)) => error = Some(failed),
            None => return Err(error.unwrap_or_else(no_address)),
        }
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "its name has no address")
}

/// Returns the addresses with the two families interleaved, each in its order (RFC 8305,
/// section 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let starts_with_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let family = |is_v6: bool| addresses.iter().filter(move |one| one.is_ipv6() == is_v6);
    let (mut one, mut other) = (family(starts_with_v6), family(!starts_with_v6));
    let mut order = Vec::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(one.next());
        order.extend(other.next());
    }
    order
}

/// How long one address has before the next is tried as well.
const STAGGER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_first_stays_first() {
        let found = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(
            interleaved(&found),
            addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"])
        );
        assert_eq!(interleaved(&[]), []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_respond_delays_and_does_not_prevent() {
        let began = Instant::now();
        let all = addresses(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]);
        let good = all[2];

        let connected = race(all, |address| async move {
            match address == good {
                true => Ok(address),
                false => pending().await,
            }
        });

        assert_eq!(connected.await.unwrap(), good);
        assert_eq!(began.elapsed(), STAGGER * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_does_not_even_delay() {
        let began = Instant::now();
        let tried = RefCell::new(Vec::new());
        let all = addresses(&["1.1.1.1:1", "2.2.2.2:1"]);

        let connected = race(all.clone(), |address| {
            tried.borrow_mut().push(address);
            async { Err::<(), _>(io::ErrorKind::ConnectionRefused.into()) }
        });

        let error = connected.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(*tried.borrow(), all);
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_is_missing_hides_no_refusal() {
        let all = addresses(&["[::1]:1", "127.0.0.1:1"]);
        for order in [all.clone(), all.into_iter().rev().collect()] {
            let connected = race(order, |address| async move {
                let code = match address.is_ipv6() {
                    true => Errno::ADDRNOTAVAIL,
                    false => Errno::CONNREFUSED,
                };
                Err::<(), _>(code.into())
            });

            let error = connected.await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_may_still_be_the_first() {
        let all = addresses(&["1.1.1.1:1", "2.2.2.2:1"]);
        let slow = all[0];

        let connected = race(all, |address| async move {
            if address != slow {
                pending::<()>().await;
            }
            sleep(STAGGER * 3).await;
            Ok(address)
        });

        assert_eq!(connected.await.unwrap(), slow);
    }

    #[tokio::test]
    async fn a_name_is_dialled() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();

        assert!(dial("localhost", port).await.is_ok());
    }
}
