//! `tollway get`: fetches a URL, paying for it when asked and allowed.

mod body;
pub(super) mod failure;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use l402::{Limits, Msat};
use serde_json::{Value, json};
use tollway_client::journal::WalletName;
use tollway_client::{Body, ClearText, Client, Connections, Event, Paying, Policy};

use crate::cli::GetArgs;
use crate::config::Config;
use crate::exit::{Failure, FailureKind};
use crate::output::Output;
use crate::paths::Dirs;
use crate::wallet::Wallets;

/// Sends the request and prints or saves the body.
pub(crate) async fn run(
    args: &GetArgs,
    config: &Config,
    dirs: &Dirs,
    output: Output,
) -> Result<(), Failure> {
    let spent = Spent::default();
    let client = client(args, config, dirs, output, &spent)?;
    let request = request(args).await?;
    let response = client.send(request).await.map_err(failure::of)?;
    let (parts, incoming) = response.into_parts();
    if output == Output::Human && is_error(parts.status) && args.output.is_some() {
        return Err(server_failure(parts.status));
    }
    let saved = body::save(incoming, target(args, output)).await?;
    if output == Output::Json {
        let mut result = json!({
            "url": args.url.to_string(),
            "status": parts.status.as_u16(),
            "content_type": parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()),
            "size": saved.len,
            "output": args.output,
            "paid": spent.to_json(),
        });
        if let (Some(object), Some((name, value))) = (result.as_object_mut(), saved.kept) {
            object.insert(name.to_owned(), value);
        }
        output.line("", &result);
    }
    if is_error(parts.status) {
        Err(server_failure(parts.status))
    } else {
        Ok(())
    }
}

fn client(
    args: &GetArgs,
    config: &Config,
    dirs: &Dirs,
    output: Output,
    spent: &Spent,
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
    let (spent, quiet) = (spent.clone(), args.quiet);
    let observe = move |event: &Event| {
        spent.take(event);
        if !quiet {
            note(event, output);
        }
    };
    Client::builder(dirs.client(), policy(args, config))
        .wallet(payer, WalletName::new(&name))
        .connections(Connections {
            extra_certificates: args.ca_cert.clone(),
            ..Connections::default()
        })
        .observe(observe)
        .build()
        .map_err(Failure::general)
}

fn policy(args: &GetArgs, config: &Config) -> Policy {
    let limits = Limits {
        price_max: args.max_cost.or(config.get.max_cost).unwrap_or(PRICE_MAX),
        fee_max: args.max_fee.or(config.get.max_fee).unwrap_or(FEE_MAX),
        per_host: config.get.max_per_host,
        per_day: config.get.max_per_day,
        total: config.get.max_total,
    };
    Policy {
        paying: if args.no_pay { Paying::Off } else { Paying::On },
        clear_text: if args.allow_insecure {
            ClearText::Anywhere
        } else {
            ClearText::PrivateHosts
        },
        pay_timeout: Duration::from_secs(args.payment_timeout),
        ..Policy::new(limits)
    }
}

async fn request(args: &GetArgs) -> Result<Request<Body>, Failure> {
    let body = body::of_argument(args.data.as_deref()).await?;
    let method = match (&args.method, &args.data) {
        (Some(method), _) => method.clone(),
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = args.url.clone();
    *request.version_mut() = Version::HTTP_11;
    for header in &args.headers {
        let (name, value) = read_header(header)?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

fn read_header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    // The value may be a secret, so only the name is repeated.
    let refuse = |name: &str| {
        Failure::usage(format!(
            "header `{name}`: write it as `Name: value` in visible ASCII"
        ))
    };
    let (name, value) = text.split_once(':').ok_or_else(|| refuse(text))?;
    let parsed = name.trim().parse().map_err(|_not_a_name| refuse(name))?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_not_a_value| refuse(name))?;
    Ok((parsed, value))
}

/// Where the body goes.
fn target(args: &GetArgs, output: Output) -> body::Target<'_> {
    match (args.output.as_deref(), output) {
        (Some(path), _) if path != Path::new("-") => body::Target::File(path),
        (_, Output::Human) => body::Target::Stdout,
        (_, Output::Json) => body::Target::Memory,
    }
}

/// What a person wants to know while it happens.
fn note(event: &Event, output: Output) {
    match event {
        Event::Quoted { price, network, .. } => {
            output.note(&format!("asked to pay {price} on {network}"))
        }
        Event::Paid { price, fee, .. } => output.note(&format!("paid {price}, fee {fee}")),
        Event::NotKept { reason, .. } => {
            output.note(&format!(
                "the credential could not be saved ({reason}); the journal can recover it"
            ));
        }
        Event::Redirected { origin, path } => output.note(&format!("redirected to {origin}{path}")),
        Event::Challenged { .. }
        | Event::Kept { .. }
        | Event::Paying { .. }
        | Event::Refused { .. }
        | Event::Reserved { .. }
        | Event::Responded { .. }
        | Event::Resumed { .. }
        | Event::Sending { .. } => {}
    }
}

/// What this run paid, gathered from the client's events.
#[derive(Clone, Default)]
struct Spent(Arc<Mutex<Option<(Msat, Msat)>>>);

impl Spent {
    fn take(&self, event: &Event) {
        if let Event::Paid { price, fee, .. } = event {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((*price, *fee));
        }
    }

    fn to_json(&self) -> Value {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((price, fee)) => {
                json!({ "price_msat": price.as_msat(), "fee_msat": fee.as_msat() })
            }
            None => Value::Null,
        }
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn server_failure(status: StatusCode) -> Failure {
    let kind = if status == StatusCode::TOO_MANY_REQUESTS {
        FailureKind::RateLimited
    } else {
        FailureKind::ServerError
    };
    Failure::new(kind, format!("the server answered {status}"))
}

/// The wallet that pays when none is named.
const BUYER: &str = "sandbox:buyer";
const PRICE_MAX: Msat = Msat::from_msat(1_000_000);
const FEE_MAX: Msat = Msat::from_msat(10_000);
