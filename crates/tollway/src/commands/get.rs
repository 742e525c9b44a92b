//! `tollway get`: fetches a URL, paying for it when asked and allowed.
//!
//! The destination of the body is opened before the request is sent: a payment is never
//! made for a response that has nowhere to go.

mod destination;
pub(super) mod failure;
mod payments;
mod request;
mod steps;

use std::path::Path;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::response::Parts;
use http::{Method, Response, StatusCode, Uri};
use l402::Limits;
use serde_json::{Value, json};
use tollway_client::{
    AfterRefusal, ClearText, Client, Connections, Event, Origin, Paying, Policy, Protocol,
    ResponseBody, WalletName,
};

use self::destination::{Destination, Saved, Target};
use self::payments::{Payments, Undelivered};
use crate::cli::GetArgs;
use crate::config::Config;
use crate::exit::{Failure, FailureKind};
use crate::input;
use crate::output::{self, Output};
use crate::paths::{self, Dirs};
use crate::payment;
use crate::shutdown::Shutdown;
use crate::wallet::Wallets;

/// Sends the request and prints or saves the body.
pub(crate) async fn run(
    args: &GetArgs,
    config: &Config,
    dirs: &Dirs,
    output: Output,
) -> Result<(), Failure> {
    let mut shutdown = Shutdown::catch();
    let payments = Payments::new(output, args.quiet);
    let client = client(args, config, dirs, &payments)?;
    let outcome = tokio::select! {
        outcome = fetch(args, &client, dirs, &payments, output) => outcome,
        () = shutdown.requested() => Err(Failure::new(FailureKind::Interrupted, "interrupted")),
    };
    outcome.map_err(|failure| {
        payments.explain("");
        let failure = match payments.origin() {
            Some(origin) if !failure.details().iter().any(|(name, _)| *name == "origin") => {
                failure.with("origin", origin)
            }
            Some(_) | None => failure,
        };
        advised(failure.after(payments.made()), &payments)
            .with("replaced", payments.replaced())
            .with("recovered", payments.recovered())
            .with_warnings(payments.warnings())
    })
}

/// Adds what is true of a token whose response was not delivered, and what to do.
fn advised(failure: Failure, payments: &Payments) -> Failure {
    let undelivered = payments.undelivered();
    let is_counted = undelivered.is_some_and(Undelivered::is_counted);
    match (failure.kind(), undelivered) {
        // Whose message is not shown.
        (FailureKind::OutputClosed, Some(undelivered)) if is_counted => {
            payments.warn(undelivered.advice());
            failure
        }
        (_, Some(undelivered)) if is_counted => failure.advise(&undelivered.advice()),
        (FailureKind::PaidUndelivered, _) => failure.advise(payments::KEPT),
        _ => failure,
    }
}

async fn fetch(
    args: &GetArgs,
    client: &Client,
    dirs: &Dirs,
    payments: &Payments,
    output: Output,
) -> Result<(), Failure> {
    let url = input::url(&args.url).map_err(Failure::usage)?;
    let request = request::read(args, &url).await?;
    let method = request.method().clone();
    let brings_authorization = request.headers().contains_key(AUTHORIZATION);
    if output == Output::Json {
        destination::check_stdout()?;
    }
    if let Some(variable) = proxy_for(&url) {
        payments.warn(format!(
            "{variable} is set, and this request does not use it: tollway connects directly"
        ));
    }
    let destination = Destination::open(target(args, output), &dirs.client()).await?;
    let mut response = client.send(request).await.map_err(failure::of)?;
    let delivery = response.body_mut().take_delivery();
    let status = response.status();
    let content = Content::of(&method, status);
    let (parts, saved) = save(args, response, content, destination, output).await?;
    if output == Output::Json {
        output::print_whole(&result(args, &url, &parts, saved, payments).to_string())?;
    }
    if let Some(delivery) = delivery
        && let Err(error) = delivery.confirm().await
    {
        payments.warn(format!("the delivery could not be recorded: {error}"));
    }
    payments.delivered();
    if is_error(status) {
        Err(server_failure(&parts, brings_authorization))
    } else {
        Ok(())
    }
}

/// Returns the variable of the environment that names a proxy for a URL of another machine.
fn proxy_for(url: &Uri) -> Option<&'static str> {
    let is_local = Origin::of(url)
        .is_ok_and(|origin| origin.protocol() == Protocol::Http && origin.is_confidential());
    if is_local {
        return None;
    }
    paths::proxy_variable(url.scheme_str().unwrap_or_default())
}

/// Moves the body where it belongs. Only what was asked for is written to a file: anything else
/// would replace a good one.
async fn save(
    args: &GetArgs,
    response: Response<ResponseBody>,
    content: Content,
    destination: Destination,
    output: Output,
) -> Result<(Parts, Saved), Failure> {
    let (parts, incoming) = response.into_parts();
    let destination = match (content, destination.is_named(), output) {
        (Content::Requested, _, _) | (_, false, _) => destination,
        (Content::Other, true, Output::Human) => return Ok((parts, Saved::default())),
        (Content::Other, true, Output::Json) => Destination::memory(),
    };
    let head = if args.include {
        head(&parts)
    } else {
        String::new()
    };
    let saved = destination.save(head.as_bytes(), incoming).await?;
    Ok((parts, saved))
}

/// Returns the head of a response as HTTP/1.1 writes it.
fn head(parts: &Parts) -> String {
    let mut head = format!("{:?} {}\r\n", parts.version, parts.status);
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head
}

fn headers(parts: &Parts) -> impl Iterator<Item = Value> {
    parts
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
}

/// Returns the result as JSON, one document on standard output. It is there for an error status
/// too, besides the failure on standard error.
///
/// | field | value |
/// |---|---|
/// | `url` | the URL as it was requested, in full |
/// | `status` | the status of the response |
/// | `content_type` | its `Content-Type`, or null |
/// | `headers` | with `--include`: an array of `[name, value]` |
/// | `body` | the body, when it is text and goes to no file |
/// | `body_hex` | the body in hexadecimal, when it is no text and goes to no file |
/// | `size` | the length of the body in bytes |
/// | `output` | the file that the body is in, or null |
/// | `token` | the ID of the token that was presented last, or null |
/// | `replaced` | stored tokens that no longer bought this: `token` and `reason` |
/// | `paid` | the payment that was made, or null: `state`, `price_msat`, `fee_msat`, `payment_hash`, `origin` |
/// | `paid_before` | payments before it, if there are any |
/// | `warnings` | what else went wrong |
fn result(args: &GetArgs, url: &Uri, parts: &Parts, saved: Saved, payments: &Payments) -> Value {
    let content_type = parts.headers.get(CONTENT_TYPE);
    let mut result = json!({
        "url": url.to_string(),
        "status": parts.status.as_u16(),
        "content_type": content_type.and_then(|value| value.to_str().ok()),
        "size": saved.len,
        "output": saved.path,
        "offered": payments.terms(),
        "recovered": payments.recovered(),
        "token": payments.token(),
        "replaced": payments.replaced(),
        "warnings": payments.warnings(),
    });
    payment::insert_into(&mut result, &payments.made());
    if let (Some(object), true) = (result.as_object_mut(), args.include) {
        object.insert("headers".to_owned(), headers(parts).collect());
    }
    if let (Some(object), Some((name, value))) = (result.as_object_mut(), saved.content) {
        object.insert(name.to_owned(), value);
    }
    result
}

fn client(
    args: &GetArgs,
    config: &Config,
    dirs: &Dirs,
    payments: &Payments,
) -> Result<Client, Failure> {
    let sandbox = dirs.sandbox();
    let wallets = Wallets {
        config,
        sandbox: &sandbox,
    };
    let wallet = args
        .wallet
        .as_deref()
        .or(config.get.wallet.as_deref())
        .unwrap_or(BUYER);
    let (payer, name) = wallets.payer(wallet)?;
    let payments = payments.clone();
    let client = Client::builder(dirs.client(), policy(args, config))
        .wallet(payer, WalletName::new(&name))
        .connections(Connections {
            extra_certificates: args.ca_cert.clone().or_else(|| config.get.ca_cert.clone()),
            request_timeout: args.max_time,
            ..Connections::default()
        })
        .stop_file(dirs.stop_file())
        .confirm_deliveries()
        .observe(move |event: &Event| payments.observe(event))
        .build();
    Ok(client)
}

fn policy(args: &GetArgs, config: &Config) -> Policy {
    let configured = config.get.limits();
    let limits = Limits {
        price_max: args.max_cost.unwrap_or(configured.price_max),
        fee_max: args.max_fee.unwrap_or(configured.fee_max),
        per_day: args.max_per_day.or(configured.per_day),
        ..configured
    };
    Policy {
        paying: paying(args),
        clear_text: if args.allow_insecure {
            ClearText::Anywhere
        } else {
            ClearText::ThisMachine
        },
        pay_timeout: args.payment_timeout,
        after_refusal: if args.buy_after_refusal {
            AfterRefusal::BuyAgain
        } else {
            AfterRefusal::Wait
        },
        ..Policy::new(limits)
    }
}

const fn paying(args: &GetArgs) -> Paying {
    if args.no_pay { Paying::Off } else { Paying::On }
}

/// Returns the destination that the arguments name.
fn target(args: &GetArgs, output: Output) -> Target<'_> {
    match (args.output.as_deref(), output) {
        (Some(path), _) if path != Path::new("-") => Target::File(path),
        (_, Output::Human) => Target::Stdout,
        (_, Output::Json) => Target::Memory,
    }
}

/// What a response carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Content {
    /// Nothing, an error, or a redirect that could not be followed.
    Other,
    /// What was asked for, which may be empty.
    Requested,
}

impl Content {
    fn of(method: &Method, status: StatusCode) -> Self {
        let is_empty = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT].contains(&status);
        if status.is_success() && !is_empty && method != Method::HEAD {
            Self::Requested
        } else {
            Self::Other
        }
    }
}

/// Returns true for every status but success and "not modified", which the caller asked for with
/// a condition.
fn is_error(status: StatusCode) -> bool {
    !status.is_success() && status != StatusCode::NOT_MODIFIED
}

fn server_failure(parts: &Parts, brings_authorization: bool) -> Failure {
    let status = parts.status;
    let asks = [StatusCode::PAYMENT_REQUIRED, StatusCode::UNAUTHORIZED].contains(&status);
    let stated = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let reason = stated("l402-reason").filter(|reason| is_code(reason));
    let (kind, message) = if status == StatusCode::TOO_MANY_REQUESTS {
        let message = format!("the server responded {status}");
        (FailureKind::RateLimited, message)
    } else if asks && brings_authorization {
        let message = format!(
            "the server responded {status} to the request's own Authorization{}: leave it out to have the request paid for",
            reason.map_or_else(String::new, |reason| format!(" ({reason})"))
        );
        (FailureKind::CredentialRefused, message)
    } else if status == StatusCode::PAYMENT_REQUIRED {
        let message = format!("the server responded {status} without an L402 challenge to pay");
        (FailureKind::ServerError, message)
    } else {
        let message = format!("the server responded {status}");
        (FailureKind::ServerError, message)
    };
    let mut failure = Failure::new(kind, message).with("status", status.as_u16());
    let seconds = stated("retry-after").and_then(|value| value.trim().parse::<u64>().ok());
    if let Some(seconds) = seconds {
        failure = failure.with("retry_after", seconds);
    }
    if let Some(reason) = reason {
        failure = failure.with("reason", reason);
    }
    failure
}

/// Returns true for a code, which may be shown, and not for any other text of a server.
fn is_code(text: &str) -> bool {
    text.len() <= 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The wallet that pays when none is named.
const BUYER: &str = "sandbox:buyer";
