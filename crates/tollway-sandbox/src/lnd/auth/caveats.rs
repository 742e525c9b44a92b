//! Conditions on a macaroon.
//!
//! `time-before` is checked, and `ipaddr` against the loopback address, from which all calls
//! come. Any other condition refuses the macaroon: it may be the one that protects it.

use std::net::{IpAddr, Ipv4Addr};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Checks one condition; the error is the reason why it does not hold.
pub(crate) fn check(condition: &[u8], now: OffsetDateTime) -> Result<(), String> {
    let condition = String::from_utf8_lossy(condition);
    let (name, argument) = condition.split_once(' ').unwrap_or((&condition, ""));
    let held = match name {
        "time-before" => before(argument, now),
        "ipaddr" => from_loopback(argument),
        _ => Err("caveat not recognized"),
    };
    held.map_err(|reason| format!("caveat {condition:?} not satisfied: {reason}"))
}

fn before(deadline: &str, now: OffsetDateTime) -> Result<(), &'static str> {
    match OffsetDateTime::parse(deadline, &Rfc3339) {
        Ok(deadline) if now < deadline => Ok(()),
        Ok(_) => Err("macaroon has expired"),
        Err(_) => Err("not a time of RFC 3339"),
    }
}

fn from_loopback(locked: &str) -> Result<(), &'static str> {
    match locked.parse().map(|ip: IpAddr| ip.to_canonical()) {
        Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)) => Ok(()),
        Ok(_) | Err(_) => Err("macaroon locked to different IP address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(condition: &str) -> Result<(), String> {
        let noon = OffsetDateTime::parse("2026-11-20T12:00:00Z", &Rfc3339).unwrap();
        check(condition.as_bytes(), noon)
    }

    #[test]
    fn conditions_that_hold_are_passed() {
        for condition in [
            "time-before 2026-11-20T12:00:00.000000001Z",
            "time-before 2026-11-20T13:30:00+01:00",
            "ipaddr 127.0.0.1",
            "ipaddr ::ffff:127.0.0.1",
        ] {
            assert_eq!(checked(condition), Ok(()), "{condition}");
        }
    }

    #[test]
    fn conditions_that_fail_or_are_unknown_refuse_the_macaroon() {
        for condition in [
            "time-before 2026-11-20T12:00:00Z",
            "time-before tomorrow",
            "time-before",
            "ipaddr 10.0.0.1",
            "ipaddr",
            "iprange 127.0.0.0/8",
            "services=api:0",
            " time-before 2100-01-01T00:00:00Z",
            "",
        ] {
            let refused = checked(condition).unwrap_err();
            assert!(
                refused.starts_with(&format!("caveat {condition:?} not satisfied: ")),
                "{refused}"
            );
        }
    }
}
