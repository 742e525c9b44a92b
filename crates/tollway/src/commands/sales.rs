//! `tollway sales`: what a gateway earned, and the tokens it sold.
//!
//! Reads the ledger that running gateways write, and changes nothing in it. What they have
//! counted is in it a tenth of a second later.

use std::path::{Path, PathBuf};

use l402::{Identifier, KeyRing, Msat, RevocationSet, RootKeys as _, UnixSeconds};
use serde_json::{Value, json};
use tollway_server::DataDir;
use tollway_server::keys::file::KeyFile;
use tollway_server::ledger::{LedgerReader, Period, Refusals, Reports as _, Sales, TokenRecord};

use super::token::revoked_by;
use crate::cli::SalesArgs;
use crate::exit::Failure;
use crate::input;
use crate::moment;
use crate::output::Output;
use crate::paths::Dirs;
use crate::table::{Heading, Table, counted, in_sat};

/// Prints sums by period, service and reason, or the tokens sold.
pub(crate) async fn run(args: &SalesArgs, dirs: &Dirs, output: Output) -> Result<(), Failure> {
    let now = moment::now()?;
    let first_day = args.since.map(|since| since.first_day(now)).transpose()?;
    let since = first_day.map(moment::start_of_day);
    let folder = args.data_dir.clone().unwrap_or_else(|| dirs.gateway());
    let ledger = DataDir::open_reports(&folder).map_err(Failure::caused)?;
    if args.tokens {
        let last = args.last.get();
        let tokens = tokens(ledger.as_ref(), &folder, since, last).await?;
        let text = tokens_text(&tokens, &folder, since, last);
        return output.line(&text, &tokens_json(&tokens));
    }
    let report = Report::read(ledger.as_ref(), folder, since, now).await?;
    output.line(&report.to_text(), &report.to_json())
}

struct Report {
    folder: PathBuf,
    today: Vec<Sales>,
    month: Vec<Sales>,
    all: Vec<Sales>,
    /// Where the tables begin, if they do not have all.
    since: Option<UnixSeconds>,
    by_service: Vec<Sales>,
    refused: Vec<Refusals>,
}

impl Report {
    async fn read(
        ledger: Option<&LedgerReader>,
        folder: PathBuf,
        since: Option<UnixSeconds>,
        now: UnixSeconds,
    ) -> Result<Self, Failure> {
        let month = moment::start_of_day(moment::first_of_month(now));
        let sales = async |period| match ledger {
            Some(ledger) => ledger.sales(period).await.map_err(Failure::caused),
            None => Ok(Vec::new()),
        };
        let refused = match ledger {
            Some(ledger) => ledger.refusals(period(since)).await,
            None => Ok(Vec::new()),
        };
        Ok(Self {
            today: sales(Period::SinceDayOf(now)).await?,
            month: sales(Period::SinceDayOf(month)).await?,
            all: sales(Period::AllTime).await?,
            by_service: sales(period(since)).await?,
            refused: refused.map_err(Failure::caused)?,
            since,
            folder,
        })
    }

    fn to_text(&self) -> String {
        if self.all.is_empty() && self.refused.is_empty() {
            return nothing_sold(&self.folder);
        }
        let mut sums = sales_table("PERIOD");
        for (name, sales) in [
            ("today (UTC)", &self.today),
            ("this month", &self.month),
            ("in all", &self.all),
        ] {
            sums.row(cells(name, &total(sales)));
        }
        let mut text = format!("{sums}\n\n");
        if let Some(since) = self.since {
            text.push_str(&format!("since {}\n", moment::show(since)));
        }
        let mut services = sales_table("SERVICE");
        for sales in &self.by_service {
            services.row(cells(sales.service.as_str(), &Sum::of(sales)));
        }
        text.push_str(&services.or("no token was used in that time"));
        let mut refused = Table::new([
            Heading::Left("SERVICE"),
            Heading::Left("REFUSED BECAUSE"),
            Heading::Right("REQUESTS"),
        ]);
        for row in &self.refused {
            let service = row.service.as_str().to_owned();
            refused.row([service, row.reason.clone(), row.count.to_string()]);
        }
        if !refused.is_empty() {
            text.push_str(&format!("\n\n{refused}"));
        }
        text.push_str(&self.footnotes());
        text
    }

    fn footnotes(&self) -> String {
        let mut text = "\n\na token counts as sold when it is first used".to_owned();
        let unpriced = total(&self.all).unpriced;
        if unpriced > 0 {
            let tokens = counted(unpriced, "token");
            text.push_str(&format!(
                "\nthe price of {tokens} is not known and not in what was earned"
            ));
        }
        text
    }

    fn to_json(&self) -> Value {
        let by_service: Vec<Value> = self
            .by_service
            .iter()
            .map(|sales| Sum::of(sales).to_json(Some(sales.service.as_str())))
            .collect();
        let refused: Vec<Value> = self
            .refused
            .iter()
            .map(|row| {
                json!({
                    "service": row.service.as_str(),
                    "reason": row.reason,
                    "requests": row.count,
                })
            })
            .collect();
        json!({
            "today": total(&self.today).to_json(None),
            "month": total(&self.month).to_json(None),
            "all": total(&self.all).to_json(None),
            "since": self.since.map_or(0, UnixSeconds::as_secs),
            "services": by_service,
            "refused": refused,
        })
    }
}

/// The sales of one service or of several.
#[derive(Clone, Copy, Debug)]
struct Sum {
    tokens: u64,
    earned: Msat,
    unpriced: u64,
    requests: u64,
}

impl Sum {
    const fn of(sales: &Sales) -> Self {
        Self {
            tokens: sales.payments,
            earned: sales.revenue,
            unpriced: sales.unpriced,
            requests: sales.requests,
        }
    }

    fn to_json(self, service: Option<&str>) -> Value {
        let mut json = json!({
            "tokens_sold": self.tokens,
            "earned_msat": self.earned.as_msat(),
            "tokens_without_price": self.unpriced,
            "requests": self.requests,
        });
        if let (Some(object), Some(service)) = (json.as_object_mut(), service) {
            object.insert("service".to_owned(), Value::from(service));
        }
        json
    }
}

fn total(sales: &[Sales]) -> Sum {
    let none = Sum {
        tokens: 0,
        earned: Msat::ZERO,
        unpriced: 0,
        requests: 0,
    };
    sales.iter().map(Sum::of).fold(none, |sum, sales| Sum {
        tokens: sum.tokens.saturating_add(sales.tokens),
        earned: sum.earned.checked_add(sales.earned).unwrap_or(Msat::MAX),
        unpriced: sum.unpriced.saturating_add(sales.unpriced),
        requests: sum.requests.saturating_add(sales.requests),
    })
}

const fn sales_table(first: &'static str) -> Table<4> {
    Table::new([
        Heading::Left(first),
        Heading::Right("TOKENS SOLD"),
        Heading::Right("EARNED"),
        Heading::Right("REQUESTS ADMITTED"),
    ])
}

fn cells(name: &str, sum: &Sum) -> [String; 4] {
    [
        name.to_owned(),
        sum.tokens.to_string(),
        in_sat(sum.earned),
        sum.requests.to_string(),
    ]
}

fn period(since: Option<UnixSeconds>) -> Period {
    since.map_or(Period::AllTime, Period::SinceDayOf)
}

fn nothing_sold(folder: &Path) -> String {
    // A token may be typed where the directory belongs.
    let typed = folder.display().to_string();
    let shown = input::hide(&typed, std::slice::from_ref(&typed));
    format!(
        "nothing was sold yet with {shown}: name another gateway's directory with --data-dir, or \
         start one with `tollway serve`"
    )
}

/// A token that was sold, and whether it is still honoured.
struct SoldToken {
    record: TokenRecord,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Exhausted,
    Honoured,
    /// The key that minted it was removed.
    KeyRemoved,
    Revoked,
}

impl State {
    const fn words(self) -> &'static str {
        match self {
            Self::KeyRemoved => "its key was removed",
            Self::Exhausted | Self::Honoured | Self::Revoked => self.name(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Honoured => "honoured",
            Self::KeyRemoved => "key_removed",
            Self::Revoked => "revoked",
        }
    }
}

async fn tokens(
    ledger: Option<&LedgerReader>,
    folder: &Path,
    since: Option<UnixSeconds>,
    last: usize,
) -> Result<Vec<SoldToken>, Failure> {
    let Some(ledger) = ledger else {
        return Ok(Vec::new());
    };
    let records = ledger.tokens(period(since), last).await;
    let revoked = revoked_by(ledger)?;
    let keys = KeyFile::read(&DataDir::key_file(folder)).map_err(Failure::caused)?;
    let keys = keys.ring().map_err(Failure::caused)?;
    let records = records.map_err(Failure::caused)?.into_iter();
    Ok(records
        .map(|record| SoldToken {
            state: state(&record, &revoked, &keys),
            record,
        })
        .collect())
}

fn state(record: &TokenRecord, revoked: &RevocationSet, keys: &KeyRing) -> State {
    let identifier = Identifier {
        payment_hash: record.payment_hash,
        token_id: record.token,
    };
    let is_used_up = record.uses_max.is_some_and(|max| record.uses >= max.get());
    if revoked.is_revoked(&record.token, keys.minted_at(&record.token)) {
        State::Revoked
    } else if keys.root_key(&identifier.to_bytes()).is_none() {
        State::KeyRemoved
    } else if is_used_up {
        State::Exhausted
    } else {
        State::Honoured
    }
}

fn tokens_text(
    tokens: &[SoldToken],
    folder: &Path,
    since: Option<UnixSeconds>,
    last: usize,
) -> String {
    if tokens.is_empty() {
        return since.map_or_else(
            || nothing_sold(folder),
            |since| format!("no token was first used since {}", moment::show(since)),
        );
    }
    let mut table = Table::new([
        Heading::Left("ID"),
        Heading::Left("FIRST USED"),
        Heading::Left("SERVICE"),
        Heading::Right("PRICE"),
        Heading::Right("USES"),
        Heading::Left("STATE"),
    ]);
    for SoldToken { record, state } in tokens {
        let uses = record.uses_max.map_or_else(
            || record.requests.to_string(),
            |max| format!("{} of {max}", record.uses),
        );
        let id: String = record.payment_hash.to_string();
        table.row([
            id.chars().take(ID_LEN).collect(),
            moment::show(record.first_used_at),
            record.service.as_str().to_owned(),
            record.paid.map_or_else(|| "unknown".to_owned(), in_sat),
            uses,
            state.words().to_owned(),
        ]);
    }
    let mut text = table.to_string();
    if tokens.len() == last {
        text.push_str(&format!(
            "\n\nno more than the {last} sold last are listed: --last N lists more"
        ));
    }
    text
}

fn tokens_json(tokens: &[SoldToken]) -> Value {
    let tokens: Vec<Value> = tokens
        .iter()
        .map(|SoldToken { record, state }| {
            json!({
                "token_id": record.token.to_string(),
                "payment_hash": record.payment_hash.to_string(),
                "service": record.service.as_str(),
                "price_msat": record.paid.map(Msat::as_msat),
                "first_used_at": record.first_used_at.as_secs(),
                "last_used_at": record.last_used_at.as_secs(),
                "requests": record.requests,
                "uses": record.uses_max.map(|_max| record.uses),
                "max_uses": record.uses_max,
                "state": state.name(),
            })
        })
        .collect();
    json!({ "tokens": tokens })
}

/// How much of a payment hash names a token: as much as `tollway token list` shows its buyer.
const ID_LEN: usize = 8;
