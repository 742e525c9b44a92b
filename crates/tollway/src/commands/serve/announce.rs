//! Start lines: what is served where, what a payment buys, who is paid, the limits in force.
//!
//! With `--json` one object of these fields: `http`, `https`, `admin` (addresses that are bound,
//! or null), `upstream`, `upstream_up`, `service`, `price_msat` (0 when free), `max_uses` and
//! `valid_for_secs` (null without a bound), `trusted_proxies`, `proxy_protocol`, `network`, `wallet` (`name`, and `can_spend`, which
//! is null when the credential does not show it; null when free), `challenges_per_minute`,
//! `upstream_timeout_secs`, `drain_timeout_secs`, `data_dir` and `warnings`.

use std::path::Path;
use std::time::Duration;

use l402::{Msat, Network};
use serde_json::{Value, json};
use tollway_gateway::{
    Addresses, GatewayLimits, ProxiesConfig, ProxyNetwork, ProxyProtocol, UpstreamDown,
    UpstreamLimits,
};
use tollway_lightning::registry::Allowance;
use tollway_server::{ChallengeLimit, Loopback};

use crate::cli::ServeArgs;
use crate::exit::Failure;
use crate::output::Output;

/// What a gateway was started with, as far as the command line does not show it.
pub(super) struct Started<'a> {
    pub(super) args: &'a ServeArgs,
    pub(super) addresses: Addresses,
    pub(super) upstream: UpstreamLimits,
    pub(super) limits: GatewayLimits,
    pub(super) proxies: ProxiesConfig,
    pub(super) down: Vec<UpstreamDown>,
    /// `None` when requests are free.
    pub(super) sale: Option<SaleFacts<'a>>,
}

/// What is sold, to whose wallet.
pub(super) struct SaleFacts<'a> {
    pub(super) price: Msat,
    pub(super) network: Network,
    pub(super) wallet: String,
    pub(super) allowance: Option<Allowance>,
    pub(super) challenges: ChallengeLimit,
    pub(super) data_dir: &'a Path,
}

/// Prints them: the address that serves on the first line, for scripts that wait for it.
pub(super) fn announce(started: &Started<'_>, output: Output) -> Result<(), Failure> {
    let warnings = warnings(started);
    output.line(&text(started), &object(started, &warnings))?;
    for warning in &warnings {
        output.note(&format!("warning: {warning}"));
    }
    Ok(())
}

fn text(started: &Started<'_>) -> String {
    let (args, addresses) = (started.args, started.addresses);
    let http = addresses.http.unwrap_or(args.listen);
    let mut text = format!("serving {} on http://{http}", args.upstream);
    for (name, value) in rows(started) {
        text.push_str(&format!("\n  {name:<7}  {value}"));
    }
    text
}

fn rows(started: &Started<'_>) -> Vec<(&'static str, String)> {
    let (args, addresses) = (started.args, started.addresses);
    let mut rows = Vec::new();
    if let Some(https) = addresses.https {
        rows.push(("https", format!("https://{https}")));
    }
    if let Some(admin) = addresses.admin {
        rows.push((
            "admin",
            format!("http://{admin}/metrics, /healthz, /readyz"),
        ));
    }
    if !started.proxies.trusted.is_empty() {
        rows.push(("proxies", proxies(&started.proxies)));
    }
    let timeouts = format!(
        "{} for the upstream to respond, {} to finish requests at a stop",
        duration(started.upstream.response_timeout),
        duration(started.limits.drain_timeout)
    );
    let Some(sale) = &started.sale else {
        rows.push(("price", "free: every request is forwarded".to_owned()));
        rows.push(("limits", timeouts));
        return rows;
    };
    let bought = bought(args.max_uses.map(Into::into), args.valid_for);
    rows.push(("price", format!("{} buys {bought}", sale.price)));
    rows.push(("paid to", paid_to(sale)));
    rows.push((
        "limits",
        format!("{}, {timeouts}", challenges(sale.challenges)),
    ));
    rows.push(("data", sale.data_dir.display().to_string()));
    rows
}

/// Returns whose word about clients is taken.
fn proxies(config: &ProxiesConfig) -> String {
    let networks = networks(config).join(", ");
    match config.protocol {
        ProxyProtocol::Off => networks,
        ProxyProtocol::Required => format!("{networks}, with the PROXY protocol"),
    }
}

fn networks(config: &ProxiesConfig) -> Vec<String> {
    config.trusted.iter().map(ToString::to_string).collect()
}

/// Returns what one payment buys.
fn bought(uses: Option<u64>, valid_for: Option<Duration>) -> String {
    let requests = match uses {
        None => "any number of requests".to_owned(),
        Some(1) => "1 request".to_owned(),
        Some(uses) => format!("{uses} requests"),
    };
    match (uses, valid_for) {
        (_, Some(validity)) => format!("{requests} within {}", duration(validity)),
        (None, None) => format!("{requests}, for ever"),
        (Some(_), None) => format!("{requests}, whenever they are made"),
    }
}

fn paid_to(sale: &SaleFacts<'_>) -> String {
    let spending = match sale.allowance.as_ref().map(|allowance| allowance.can_spend) {
        Some(true) => ", with a credential that can spend",
        Some(false) => ", with a credential that cannot spend",
        None => "",
    };
    let worth = if sale.network == Network::Mainnet {
        ""
    } else {
        ", where coins are worthless"
    };
    format!(
        "{} on {}{worth}{spending}",
        sale.wallet,
        sale.network.name()
    )
}

fn challenges(limit: ChallengeLimit) -> String {
    let exempt = match limit.loopback {
        Loopback::Exempt => " but this machine's",
        Loopback::Limited => "",
    };
    let per_minute = limit.per_minute;
    format!("{per_minute} challenges a minute for one client network{exempt}")
}

/// Returns a duration in its largest whole unit.
pub(super) fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let whole = units
        .iter()
        .find(|(unit, _name)| secs >= *unit && secs.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) => format!("{} {name}", secs.div_euclid(*unit)),
        None => format!("{secs} s"),
    }
}

/// Returns what should be changed, though the gateway serves.
fn warnings(started: &Started<'_>) -> Vec<String> {
    let sale = started.sale.as_ref();
    let allowance = sale.and_then(|sale| Some((&sale.wallet, sale.allowance.as_ref()?)));
    let excess = allowance.and_then(|(wallet, allowance)| {
        let excess = allowance.beyond_receiving.as_ref()?;
        Some(format!("wallet `{wallet}` can spend: {excess}"))
    });
    let down = started.down.iter().map(|down| {
        let (upstream, error) = (&down.upstream, &down.error);
        format!(
            "the upstream {upstream} {error}: requests get 502 and no invoice until it does (--upstream)"
        )
    });
    let anywhere = started.proxies.trusted.iter();
    let anywhere = anywhere.copied().filter(ProxyNetwork::is_everything);
    let anywhere = anywhere.map(|network| {
        format!(
            "{network} trusts every address: clients choose the address that they are counted by (--trusted-proxy)"
        )
    });
    excess.into_iter().chain(anywhere).chain(down).collect()
}

fn object(started: &Started<'_>, warnings: &[String]) -> Value {
    let (args, addresses) = (started.args, started.addresses);
    let sale = started.sale.as_ref();
    let wallet = sale.map(|sale| {
        let allowance = sale.allowance.as_ref();
        json!({
            "name": sale.wallet,
            "can_spend": allowance.map(|allowance| allowance.can_spend),
        })
    });
    json!({
        "http": addresses.http,
        "https": addresses.https,
        "admin": addresses.admin,
        "upstream": args.upstream.to_string(),
        "upstream_up": started.down.is_empty(),
        "service": args.service,
        "price_msat": sale.map_or(0, |sale| sale.price.as_msat()),
        "max_uses": args.max_uses,
        "valid_for_secs": args.valid_for.map(|validity| validity.as_secs()),
        "trusted_proxies": networks(&started.proxies),
        "proxy_protocol": started.proxies.protocol == ProxyProtocol::Required,
        "network": sale.map(|sale| sale.network.name()),
        "wallet": wallet,
        "challenges_per_minute": sale.map(|sale| sale.challenges.per_minute),
        "upstream_timeout_secs": started.upstream.response_timeout.as_secs(),
        "drain_timeout_secs": started.limits.drain_timeout.as_secs(),
        "data_dir": sale.map(|sale| sale.data_dir.display().to_string()),
        "warnings": warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_payment_buys_is_written_with_its_bounds() {
        let hour = Some(Duration::from_secs(3_600));
        for (uses, valid_for, text) in [
            (None, None, "any number of requests, for ever"),
            (None, hour, "any number of requests within 1 h"),
            (Some(3), hour, "3 requests within 1 h"),
            (Some(1), None, "1 request, whenever they are made"),
        ] {
            assert_eq!(bought(uses, valid_for), text);
        }
    }

    #[test]
    fn a_duration_is_written_in_its_largest_whole_unit() {
        for (secs, text) in [
            (1, "1 s"),
            (90, "90 s"),
            (60, "1 min"),
            (5_400, "90 min"),
            (172_800, "2 d"),
        ] {
            assert_eq!(duration(Duration::from_secs(secs)), text);
        }
    }
}
