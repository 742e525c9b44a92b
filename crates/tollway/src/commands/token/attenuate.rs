//! `tollway token attenuate`: a token that buys less.
//!
//! A caveat that no gateway enforces restricts nothing, so a condition that is unknown or a
//! value that would be refused is an error. What is known, and what its value may be, is
//! decided by the verifier itself: see [`fit`].

use l402::{Caveat, Macaroon, UnixSeconds};
use serde_json::json;

use super::facts::Facts;
use super::fit::{self, Misfit};
use super::presented::Presented;
use crate::cli::AttenuateArgs;
use crate::exit::Failure;
use crate::input;
use crate::input::condition::{NAMES, named};
use crate::moment;
use crate::output::Output;

/// Adds caveats and prints the result in the form the token came in.
pub(super) fn run(args: &AttenuateArgs, output: Output) -> Result<(), Failure> {
    let presented = Presented::read(&args.token)?;
    let now = moment::now()?;
    let before = presented.macaroon();
    let mut caveats = Vec::new();
    for text in &args.caveats {
        caveats.extend(read(text, before, now)?);
    }
    if !args.force {
        fit::check(before, &caveats, now).map_err(|misfit| refused(&misfit, &args.caveats))?;
    }
    let mut after = before.clone();
    for caveat in &caveats {
        let added = after.with_caveat(caveat.as_str().as_bytes());
        after = added.map_err(Failure::usage)?;
    }
    print(&presented, after, &caveats, output)
}

fn print(
    presented: &Presented,
    macaroon: Macaroon,
    caveats: &[Caveat],
    output: Output,
) -> Result<(), Failure> {
    let token = macaroon.to_base64();
    let authorization = presented.authorization_with(macaroon)?;
    let added: Vec<&str> = caveats.iter().map(Caveat::as_str).collect();
    let text = match &authorization {
        Some(value) => format!("Authorization: {value}"),
        None => token.clone(),
    };
    output.line(
        &text,
        &json!({ "token": token, "authorization": authorization, "added": added }),
    )?;
    output.note(
        "note: the copies of a token share one counter of uses, this one and the one it was made from included",
    );
    Ok(())
}

/// Reads `name=value` into the caveats that restrict the token in this way.
fn read(text: &str, token: &Macaroon, now: UnixSeconds) -> Result<Vec<Caveat>, Failure> {
    let typed = Caveat::parse(text).map_err(Failure::usage)?;
    let (name, value) = (typed.condition(), typed.value());
    let services = Facts::of(token).service_names();
    let caveat =
        |condition: &str, value: &str| Caveat::new(condition, value).map_err(Failure::usage);
    match name {
        "path" => Ok(vec![caveat("path_prefix", value)?]),
        "uses" => Ok(vec![caveat("max_uses", value)?]),
        "method" => Ok(vec![caveat("method", &methods(value))?]),
        "expires" => {
            let deadline = deadline(value, now)?.to_string();
            if services.is_empty() {
                return Ok(vec![caveat("valid_until", &deadline)?]);
            }
            // Other issuers enforce the deadline of a service only.
            let of = |service: &String| caveat(&format!("{service}_valid_until"), &deadline);
            services.iter().map(of).collect()
        }
        "capabilities" if services.is_empty() => Err(Failure::usage(
            "the token names no service: write SERVICE_capabilities=a,b",
        )),
        "capabilities" => {
            let of = |service: &String| caveat(&format!("{service}_capabilities"), value);
            services.iter().map(of).collect()
        }
        _ => Ok(vec![typed]),
    }
}

/// Reads a duration from now, a date, or Unix seconds of ten digits or more.
fn deadline(value: &str, now: UnixSeconds) -> Result<UnixSeconds, Failure> {
    let is_seconds = value.len() >= UNIX_SECONDS_LEN && value.bytes().all(|b| b.is_ascii_digit());
    match (input::duration(value), moment::parse(value)) {
        (Ok(duration), _) if !is_seconds => Ok(now.plus_secs(duration.as_secs())),
        (_, Ok(moment)) => Ok(moment),
        (_, Err(_)) => Err(Failure::usage(format!(
            "`expires={value}`: write a duration from now or a date, like expires=1h, expires=2027-01-31 or expires=2027-01-31T12:00:00Z"
        ))),
    }
}

/// Methods are upper case; written in lower case they would match no request.
fn methods(value: &str) -> String {
    let method = |method: &str| {
        let is_lower = method.bytes().all(|byte| byte.is_ascii_lowercase());
        if is_lower {
            method.to_ascii_uppercase()
        } else {
            method.to_owned()
        }
    };
    let methods: Vec<String> = value.split(',').map(method).collect();
    methods.join(",")
}

fn refused(misfit: &Misfit, typed: &[String]) -> Failure {
    let typed_as = |condition: &str| {
        let name = NAMES.iter().find(|name| name.condition == condition);
        let name = name.map_or(condition, |name| name.name);
        let starts = |text: &&String| {
            let start = text.split('=').next().unwrap_or_default();
            start == name || start == condition
        };
        typed.iter().find(starts).cloned()
    };
    let message = match misfit {
        Misfit::Unknown { condition } => {
            let known: Vec<&str> = NAMES.iter().map(|name| name.name).collect();
            let nearest = input::nearest(condition, &known).and_then(named);
            let example = nearest.map_or(String::new(), |name| {
                format!("; did you mean `{}`?", name.example)
            });
            format!(
                "`{condition}` restricts nothing: no tollway gateway knows it{example} (known: {}; --force adds it for another verifier)",
                known.join(", ")
            )
        }
        Misfit::Value { condition } => {
            let typed = typed_as(condition).unwrap_or_else(|| condition.clone());
            let example = NAMES.iter().find(|name| {
                name.condition == condition || condition.ends_with(&format!("_{}", name.condition))
            });
            let example = example.map_or(String::new(), |name| {
                format!(": write it like {}", name.example)
            });
            format!("`{typed}`: every gateway would refuse this value{example}")
        }
        Misfit::Widens { condition } => {
            let typed = typed_as(condition).unwrap_or_else(|| condition.clone());
            format!("`{typed}` allows more than the token does: a caveat can only restrict")
        }
        Misfit::Nothing { denial } => format!(
            "the token would buy nothing: {denial} (--force adds the caveats for another verifier)"
        ),
    };
    Failure::usage(message)
}

const UNIX_SECONDS_LEN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

    #[test]
    fn a_deadline_is_a_duration_a_date_or_a_moment() {
        let read = |value| deadline(value, NOW).map(UnixSeconds::as_secs).ok();

        assert_eq!(read("1h"), Some(1_800_003_600));
        assert_eq!(read("90"), Some(1_800_000_090));
        assert_eq!(read("2027-01-31"), Some(1_801_353_600));
        assert_eq!(read("1900000000"), Some(1_900_000_000));
        assert_eq!(read("tomorrow"), None);
    }

    #[test]
    fn every_example_in_the_help_is_accepted() {
        let root = l402::RootKey::new([1; 32]);
        let preimage = l402::Preimage::new([2; 32]);
        let identifier = l402::Identifier {
            payment_hash: preimage.payment_hash(),
            token_id: l402::TokenId::new([3; 32]),
        };
        let token = Macaroon::mint(&root, "", &identifier.to_bytes()).unwrap();
        let token = token.with_caveat(b"services=weather:0").unwrap();
        for name in NAMES {
            let example = name.example.replace("SHA256_IN_HEX", &"0".repeat(64));
            let caveats = read(&example, &token, NOW).unwrap();
            assert!(fit::check(&token, &caveats, NOW).is_ok(), "{example}");
        }
    }
}
