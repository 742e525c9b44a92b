//! Conditions as people type them, and the caveats that they are written as.
//!
//! What can only be meant in one way is read in that way. What a caveat cannot express is refused
//! with the reason.

use l402::{Caveat, Macaroon, UnixSeconds};

use super::facts::Facts;
use crate::exit::Failure;
use crate::input;
use crate::input::condition::{self, Name};
use crate::moment;

/// A condition that was typed.
pub(super) struct Typed {
    text: String,
    caveats: Vec<Caveat>,
}

impl Typed {
    /// Reads a caveat as another verifier has it.
    pub(super) fn literal(text: &str) -> Result<Self, Failure> {
        let caveats = vec![Caveat::parse(text).map_err(Failure::usage)?];
        let text = text.to_owned();
        Ok(Self { text, caveats })
    }

    pub(super) fn caveats(&self) -> &[Caveat] {
        &self.caveats
    }

    /// Returns it for an error.
    pub(super) fn shown(&self) -> String {
        condition::shown(&self.text)
    }

    /// Returns true when it was written as this condition.
    pub(super) fn has(&self, condition: &str) -> bool {
        let mut caveats = self.caveats.iter();
        caveats.any(|caveat| caveat.condition() == condition)
    }
}

/// Reads `name=value` into the caveats that restrict the token in this way.
pub(super) fn read(text: &str, token: &Macaroon, now: UnixSeconds) -> Result<Typed, Failure> {
    let Some((name, value)) = text.split_once('=') else {
        let shown = condition::shown(text);
        return Err(Failure::usage(format!(
            "`{shown}` is not a condition: write name=value, like path=/v1 or expires=1h"
        )));
    };
    let (name, value) = (name.trim(), value.trim());
    let caveats = match condition::named(name) {
        // The macaroon's own name with a value of its own form.
        Some(_) if is_written(name, value) => vec![caveat(name, value)?],
        Some(known) => known_caveats(known, (name, value), token, now)?,
        None => match name.strip_suffix("_valid_until") {
            Some(_) if !is_number(value) => {
                vec![caveat(name, &deadline(name, value, now)?.to_string())?]
            }
            Some(_) | None => vec![caveat(name, value)?],
        },
    };
    let text = text.to_owned();
    Ok(Typed { text, caveats })
}

/// Returns the caveats of a condition under the name that was typed for it.
fn known_caveats(
    known: &Name,
    (name, value): (&str, &str),
    token: &Macaroon,
    now: UnixSeconds,
) -> Result<Vec<Caveat>, Failure> {
    match known.name {
        "path" => Ok(vec![caveat("path_prefix", &path(value)?)?]),
        "uses" => Ok(vec![caveat("max_uses", &uses(name, value)?)?]),
        "method" => Ok(vec![caveat("method", &methods(value))?]),
        "services" => Ok(vec![caveat("services", &services(value, token)?)?]),
        "ip" if value.contains('/') => Err(Failure::usage(format!(
            "`{}`: a network cannot be named, only one address, like ip=203.0.113.7",
            condition::shown(&format!("ip={value}"))
        ))),
        "expires" => {
            let deadline = deadline(name, value, now)?.to_string();
            of_services(token, "valid_until", &deadline)
        }
        "capabilities" if Facts::of(token).service_names().is_empty() => Err(Failure::usage(
            "the token names no service: write SERVICE_capabilities=a,b",
        )),
        "capabilities" => of_services(token, "capabilities", &list(value)),
        _ => Ok(vec![caveat(known.condition, value)?]),
    }
}

/// Returns a caveat for each service of the token, or one for all where it names none: other
/// issuers enforce the deadline of a service only.
fn of_services(token: &Macaroon, condition: &str, value: &str) -> Result<Vec<Caveat>, Failure> {
    let services = Facts::of(token).service_names();
    if services.is_empty() {
        return Ok(vec![caveat(condition, value)?]);
    }
    let of = |service: &String| caveat(&format!("{service}_{condition}"), value);
    services.iter().map(of).collect()
}

fn caveat(condition: &str, value: &str) -> Result<Caveat, Failure> {
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_visible(condition) || !is_visible(value) {
        let shown = condition::shown(&format!("{condition}={value}"));
        return Err(Failure::usage(format!(
            "`{shown}`: a caveat can hold neither spaces nor letters outside ASCII"
        )));
    }
    Caveat::new(condition, value).map_err(Failure::usage)
}

/// Returns true for Unix seconds, or milliseconds, under the name that a macaroon has for them.
fn is_written(name: &str, value: &str) -> bool {
    let min = match name {
        "valid_until" => UNIX_SECONDS_LEN,
        "expiration" => UNIX_MILLISECONDS_LEN,
        _ => return false,
    };
    is_number(value) && value.len() >= min
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a duration from now, a date, or Unix seconds of ten digits or more.
fn deadline(name: &str, value: &str, now: UnixSeconds) -> Result<UnixSeconds, Failure> {
    if is_number(value) && value.len() >= UNIX_SECONDS_LEN {
        return moment::parse(value).map_err(Failure::usage);
    }
    if is_number(value) && (1_900..2_200).contains(&value.parse().unwrap_or(0)) {
        return Err(Failure::usage(format!(
            "`{name}={value}` is a year, or {value} seconds from now: write {name}={value}-12-31 or {name}={value}s"
        )));
    }
    if is_number(value) {
        return Err(Failure::usage(format!(
            "`{name}={value}` has no unit: write {name}={value}s for seconds from now, or {value}m, {value}h or {value}d"
        )));
    }
    match (input::duration(value), moment::parse(value)) {
        (Ok(duration), _) => Ok(now.plus_secs(duration.as_secs())),
        (_, Ok(moment)) => Ok(moment),
        (_, Err(_)) => {
            let shown = condition::shown(&format!("{name}={value}"));
            Err(Failure::usage(format!(
                "`{shown}`: write a duration from now or a date, like {name}=1h, {name}=2027-01-31 or {name}='2027-01-31 12:00'"
            )))
        }
    }
}

/// Returns a path as requests have it: what is not visible ASCII is percent-encoded.
fn path(value: &str) -> Result<String, Failure> {
    let mut paths = value.split([',', ' ']).filter(|path| !path.is_empty());
    if paths.clone().count() > 1 && paths.all(|path| path.starts_with('/')) {
        return Err(Failure::usage(SEVERAL_PATHS));
    }
    let mut path = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(path)
}

fn uses(name: &str, value: &str) -> Result<String, Failure> {
    let is_counted = is_number(value) && value.bytes().any(|digit| digit != b'0');
    if is_counted {
        return Ok(value.trim_start_matches('0').to_owned());
    }
    let shown = condition::shown(&format!("{name}={value}"));
    Err(Failure::usage(format!(
        "`{shown}`: write a whole number from 1, like {name}=5"
    )))
}

/// Methods are upper case; written in lower case they would match no request.
fn methods(value: &str) -> String {
    let method = |method: &str| {
        let upper = method.to_ascii_uppercase();
        if METHODS.contains(&upper.as_str()) || method.bytes().all(|b| b.is_ascii_lowercase()) {
            upper
        } else {
            method.to_owned()
        }
    };
    let methods: Vec<String> = list(value).split(',').map(method).collect();
    methods.join(",")
}

/// Returns services with the tier that the token has of each of them, where none was typed.
fn services(value: &str, token: &Macaroon) -> Result<String, Failure> {
    let facts = Facts::of(token);
    let mut services = Vec::new();
    for item in list(value).split(',') {
        let (name, tier) = item.rsplit_once(':').unwrap_or((item, ""));
        if !facts.services.is_empty() && !facts.services.iter().any(|held| held == name) {
            return Err(Failure::usage(format!(
                "`{}`: the token is for {}, and a caveat can only restrict",
                condition::shown(&format!("services={value}")),
                facts.services.join(", ").escape_debug()
            )));
        }
        services.push(match tier {
            "" => format!("{name}:{}", facts.tier_of(name).unwrap_or(0)),
            tier => format!("{name}:{tier}"),
        });
    }
    Ok(services.join(","))
}

/// Returns a list without the spaces around its commas.
fn list(value: &str) -> String {
    let items: Vec<&str> = value.split(',').map(str::trim).collect();
    items.join(",")
}

/// The methods that HTTP defines.
pub(super) const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];
pub(super) const SEVERAL_PATHS: &str = "a token can be narrowed to one path and what is below it, not to several: make a token for each of them";
const UNIX_SECONDS_LEN: usize = 10;
const UNIX_MILLISECONDS_LEN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

    fn written(text: &str) -> Vec<String> {
        let token = Macaroon::mint(&l402::RootKey::new([7; 32]), "", &[1; 66]).unwrap();
        let token = token.with_caveat(b"services=a:0,b:2").unwrap();
        let typed = read(text, &token, NOW);
        let typed = typed.unwrap_or_else(|failure| panic!("{text}: {failure}"));
        let caveats = typed.caveats().iter();
        caveats.map(|caveat| caveat.as_str().to_owned()).collect()
    }

    fn refusal(text: &str) -> String {
        let token = Macaroon::mint(&l402::RootKey::new([7; 32]), "", &[1; 66]).unwrap();
        let token = token.with_caveat(b"services=a:0").unwrap();
        let refused = read(text, &token, NOW).err();
        refused.unwrap_or_else(|| panic!("{text}")).to_string()
    }

    #[test]
    fn a_deadline_is_a_duration_a_date_or_a_moment() {
        for (text, seconds) in [
            ("expires=1h", 1_800_003_600_u64),
            ("expires=2027-01-31", 1_801_353_600),
            ("expires=2027-01-31 12:00", 1_801_396_800),
            ("valid_until=2027-01-31T12:00Z", 1_801_396_800),
            ("expires=1900000000", 1_900_000_000),
            ("valid_for=1h", 1_800_003_600),
            ("VALID-UNTIL=1h", 1_800_003_600),
            ("ttl=2d", 1_800_172_800),
        ] {
            let both = ["a", "b"].map(|service| format!("{service}_valid_until={seconds}"));
            assert_eq!(written(text), both, "{text}");
        }
        assert_eq!(
            written("valid_until=1900000000"),
            ["valid_until=1900000000"]
        );
        assert_eq!(written("a_valid_until=1h"), ["a_valid_until=1800003600"]);
        assert_eq!(
            written("expiration=1900000000000"),
            ["expiration=1900000000000"]
        );
    }

    #[test]
    fn what_is_meant_is_written() {
        for (text, caveat) in [
            ("PATH=/v1", "path_prefix=/v1"),
            ("path_prefix=/ü b", "path_prefix=/%C3%BC%20b"),
            ("path=/a,b", "path_prefix=/a,b"),
            ("max-uses=3", "max_uses=3"),
            ("uses= 03", "max_uses=3"),
            ("method=GET, post", "method=GET,POST"),
            ("Method=Get", "method=GET"),
            ("services=a", "services=a:0"),
            ("service=b", "services=b:2"),
            ("services=b:1, a", "services=b:1,a:0"),
            ("Foo=Bar", "Foo=Bar"),
        ] {
            assert_eq!(written(text), [caveat], "{text}");
        }
    }

    #[test]
    fn what_a_caveat_cannot_express_is_refused_with_the_reason() {
        for (text, reason) in [
            ("path=/v1,/v2", "one path"),
            ("path=/v1 /v2", "one path"),
            ("ip=203.0.113.0/24", "only one address"),
            ("uses=many", "whole number"),
            ("uses=0", "whole number"),
            ("services=other", "the token is for a"),
            ("expires=tomorrow", "`expires=tomorrow`: write a duration"),
            ("expires=2026", "2026 seconds from now"),
            ("ttl=90", "write ttl=90s"),
            ("origin=https://ü.example", "outside ASCII"),
            ("no-equals-sign", "`no-equals-sign` is not a condition"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }
}
