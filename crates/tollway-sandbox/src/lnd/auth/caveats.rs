//! Conditions on a macaroon.
//!
//! `time-before` and `ipaddr` are checked. Any other condition refuses the macaroon: it may be
//! the one that protects it.

use std::net::IpAddr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a condition is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Where the call comes from.
    pub(crate) ip: IpAddr,
    /// When it was made.
    pub(crate) now: OffsetDateTime,
}

/// Checks one condition, and says in LND's words why it does not hold.
pub(crate) fn check(condition: &[u8], caller: Caller) -> Result<(), String> {
    let condition = String::from_utf8_lossy(condition);
    let (name, argument) = condition.split_once(' ').unwrap_or((&condition, ""));
    if name.is_empty() {
        return Err(format!(
            "cannot parse caveat {condition:?}: caveat starts with space character"
        ));
    }
    let held = match name {
        "time-before" => before(argument, caller.now),
        "ipaddr" => from_address(argument, caller.ip),
        _ => Err("caveat not recognized".to_owned()),
    };
    held.map_err(|reason| format!("caveat {condition:?} not satisfied: {reason}"))
}

fn before(deadline: &str, now: OffsetDateTime) -> Result<(), String> {
    let deadline = OffsetDateTime::parse(deadline, &Rfc3339)
        .map_err(|error| format!("parsing time {deadline:?}: {error}"))?;
    if now < deadline {
        Ok(())
    } else {
        Err("macaroon has expired".to_owned())
    }
}

fn from_address(locked: &str, ip: IpAddr) -> Result<(), String> {
    match locked.parse::<IpAddr>() {
        Ok(locked) if locked.to_canonical() == ip.to_canonical() => Ok(()),
        Ok(_) | Err(_) => Err("macaroon locked to different IP address".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(condition: &str) -> Result<(), String> {
        let caller = Caller {
            ip: "127.0.0.1".parse().unwrap(),
            now: OffsetDateTime::parse("2026-11-20T12:00:00Z", &Rfc3339).unwrap(),
        };
        check(condition.as_bytes(), caller)
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
    fn conditions_that_fail_are_refused_in_lnds_words() {
        for (condition, reason) in [
            ("time-before 2026-11-20T12:00:00Z", "macaroon has expired"),
            ("time-before tomorrow", "parsing time \"tomorrow\""),
            ("time-before", "parsing time \"\""),
            ("ipaddr 10.0.0.1", "macaroon locked to different IP address"),
            ("ipaddr", "macaroon locked to different IP address"),
            ("iprange 127.0.0.0/8", "caveat not recognized"),
            ("lnd-custom lit-mac-fw session", "caveat not recognized"),
            ("services=api:0", "caveat not recognized"),
        ] {
            let refused = checked(condition).unwrap_err();
            assert!(
                refused.starts_with(&format!("caveat {condition:?} not satisfied: ")),
                "{refused}"
            );
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn a_condition_without_a_name_is_refused() {
        assert!(checked(" time-before 2100-01-01T00:00:00Z").is_err());
        assert!(checked("").is_err());
    }
}
