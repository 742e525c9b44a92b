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
use super::typed::{self, Typed};
use crate::cli::AttenuateArgs;
use crate::exit::Failure;
use crate::input::condition;
use crate::moment;
use crate::output::Output;

/// Adds caveats and prints the result in the form the token came in.
pub(super) fn run(args: &AttenuateArgs, output: Output) -> Result<(), Failure> {
    let presented = Presented::read(&args.token)?;
    let now = moment::now()?;
    let before = presented.macaroon();
    let mut added = Vec::new();
    for text in &args.caveats {
        let read = typed::read(text, before, now);
        added.push(match read {
            Err(_) if args.force => Typed::literal(text)?,
            read => read?,
        });
    }
    let caveats: Vec<Caveat> = added.iter().flat_map(Typed::caveats).cloned().collect();
    if !args.force {
        fit::check(before, &caveats, now).map_err(|misfit| refused(&misfit, before, &added))?;
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
    let expires_at = l402::unverified_deadline(&macaroon);
    let uses_max = Facts::of(&macaroon).uses_max;
    let token = macaroon.to_base64();
    let authorization = presented.authorization_with(macaroon)?;
    let added: Vec<&str> = caveats.iter().map(Caveat::as_str).collect();
    let warnings = warnings(caveats, uses_max);
    let text = match &authorization {
        Some(value) => format!("Authorization: {value}"),
        None => token.clone(),
    };
    output.line(
        &text,
        &json!({
            "token": token,
            "authorization": authorization,
            "added": added,
            "expires_at": expires_at.map(UnixSeconds::as_secs),
            "max_uses": uses_max,
            "warnings": warnings,
        }),
    )?;
    if let Some(moment) = expires_at.filter(|_| caveats.iter().any(is_deadline)) {
        output.note(&format!("expires {}", moment::show(moment)));
    }
    for warning in &warnings {
        output.note(&format!("note: {warning}"));
    }
    Ok(())
}

/// Returns what is easily taken for something else.
fn warnings(caveats: &[Caveat], uses_max: Option<u64>) -> Vec<String> {
    let mut warnings = Vec::new();
    for caveat in caveats {
        let value = caveat.value();
        if caveat.condition() == "path_prefix"
            && let Some(without) = value.strip_suffix('/').filter(|path| !path.is_empty())
        {
            warnings.push(format!(
                "path={value} is for what is below {value}, and not for {without} itself: path={without} is for both"
            ));
        }
        if caveat.condition() == "method" {
            let is_odd = |method: &&str| !typed::METHODS.contains(method);
            let odd: Vec<&str> = value.split(',').filter(is_odd).collect();
            if !odd.is_empty() {
                let odd = odd.join(",");
                warnings.push(format!("`{odd}` is no method that HTTP defines"));
            }
        }
    }
    if uses_max.is_some() {
        warnings.push(
            "the copies of a token share one counter of uses, this one and the one it was made from included"
                .to_owned(),
        );
    }
    warnings
}

fn is_deadline(caveat: &Caveat) -> bool {
    caveat.condition().ends_with("valid_until") || caveat.condition() == "expiration"
}

fn refused(misfit: &Misfit, token: &Macaroon, added: &[Typed]) -> Failure {
    let typed_as = |condition: &str| {
        let mut typed = added.iter().filter(|typed| typed.has(condition));
        let last = typed.next_back();
        last.map_or_else(|| condition.to_owned(), Typed::shown)
    };
    let message = match misfit {
        Misfit::Nothing { denial } => format!(
            "the token would buy nothing: {denial} (--force adds the caveats for another verifier)"
        ),
        Misfit::Unenforced { condition } => {
            let typed = typed_as(condition);
            format!(
                "`{typed}` restricts nothing: the token was sold without capabilities, so no part of its service asks for one; path=, method= and services= do restrict (--force adds it for another verifier)"
            )
        }
        Misfit::Unknown { condition } => {
            let name = condition::shown(condition);
            let meant = condition::similar(condition).map_or_else(String::new, |known| {
                format!("; did you mean `{}`?", known.example)
            });
            format!(
                "`{name}` restricts nothing: no tollway gateway knows it{meant} (known: {}; --force adds it for another verifier)",
                condition::list()
            )
        }
        Misfit::Value { condition } => {
            let typed = typed_as(condition);
            let example = condition::written(condition).map_or_else(String::new, |known| {
                format!(": write it like {}", known.example)
            });
            format!("`{typed}`: every gateway would refuse this value{example}")
        }
        Misfit::Widens { condition } => {
            let typed = typed_as(condition);
            let several = added.iter().filter(|typed| typed.has(condition)).count() > 1;
            let held = match condition.as_str() {
                "path_prefix" if several => return Failure::usage(typed::SEVERAL_PATHS),
                "method" if several => {
                    return Failure::usage(
                        "several methods are written in one condition, like method=GET,HEAD",
                    );
                }
                _ => held(token, condition),
            };
            format!("`{typed}` allows more than the token does{held}: a caveat can only restrict")
        }
    };
    Failure::usage(message)
}

/// Returns what the token allows by a condition, in brackets.
fn held(token: &Macaroon, condition: &str) -> String {
    let deadline = l402::unverified_deadline(token);
    if condition.ends_with("valid_until")
        && let Some(deadline) = deadline
    {
        return format!(" (it expires {})", moment::show(deadline));
    }
    let starts = format!("{condition}=");
    let caveats = Facts::of(token).caveats;
    let held = caveats.iter().rfind(|text| text.starts_with(&starts));
    held.map_or_else(String::new, |text| format!(" ({text})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

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
        let token = token
            .with_caveat(b"weather_capabilities=read,write")
            .unwrap();
        for name in condition::NAMES {
            let example = name.example.replace("SHA256_IN_HEX", &"0".repeat(64));
            let typed = typed::read(&example, &token, NOW).unwrap();
            assert!(
                fit::check(&token, typed.caveats(), NOW).is_ok(),
                "{example}"
            );
        }
    }
}
