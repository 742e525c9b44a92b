//! `tollway spending`: what was paid, what is reserved, and what the limits leave.
//!
//! Reads the book and changes nothing: other processes may buy meanwhile, and where nothing
//! was ever bought no file is created.

use std::collections::BTreeMap;

use l402::{Limits, Msat, UnixSeconds};
use serde_json::{Value, json};
use tollway_client::Book;
use tollway_client::book::Spending;

use crate::cli::{SpendingArgs, SpendingRow};
use crate::config::Config;
use crate::exit::Failure;
use crate::moment;
use crate::output::Output;
use crate::paths::Dirs;
use crate::table::{Heading, Table, counted, in_sat};

/// Prints sums, limits and a table.
pub(crate) fn run(
    args: &SpendingArgs,
    config: &Config,
    dirs: &Dirs,
    output: Output,
) -> Result<(), Failure> {
    let now = moment::now()?;
    let first_day = args.since.map(|since| since.first_day(now)).transpose()?;
    let spending = Book::open_to_report(&dirs.client()).spending();
    let report = Report {
        spending: spending.map_err(Failure::caused)?,
        limits: config.get.limits(),
        first_day,
        row: args.by,
        now,
    };
    output.line(&report.to_text(), &report.to_json())
}

struct Report {
    /// By day and origin.
    spending: Vec<Spending>,
    limits: Limits,
    /// Where the table begins, if it does not have all.
    first_day: Option<u64>,
    row: SpendingRow,
    now: UnixSeconds,
}

impl Report {
    /// Adds up what was spent from a day on. A day in the future counts, as it does for the
    /// limits: the clock may have been ahead.
    fn since(&self, first_day: u64) -> Sum {
        let counted = self.spending.iter().filter(|day| day.utc_day >= first_day);
        counted.fold(Sum::default(), Sum::plus)
    }

    fn today(&self) -> Sum {
        self.since(self.now.utc_day())
    }

    fn this_month(&self) -> Sum {
        self.since(moment::first_of_month(self.now))
    }

    /// Returns the rows of the table: each with its name.
    fn rows(&self) -> BTreeMap<String, Sum> {
        let first_day = self.first_day.unwrap_or(0);
        let mut rows: BTreeMap<String, Sum> = BTreeMap::new();
        for day in &self.spending {
            if day.utc_day >= first_day {
                let name = match self.row {
                    SpendingRow::Day => moment::show_day(day.utc_day),
                    SpendingRow::Origin => day.origin.to_string(),
                };
                let sum = rows.entry(name).or_default();
                *sum = sum.plus(day);
            }
        }
        rows
    }

    fn to_text(&self) -> String {
        if self.spending.is_empty() {
            return format!(
                "nothing was bought yet: `tollway get URL` buys what asks for a payment\n\n{}",
                self.limits_table()
            );
        }
        let mut sums = sums_table("PERIOD");
        sums.row(self.today().cells("today (UTC)"));
        sums.row(self.this_month().cells("this month"));
        sums.row(self.since(0).cells("in all"));
        let heading = match self.row {
            SpendingRow::Day => "DAY",
            SpendingRow::Origin => "SELLER",
        };
        let mut rows = sums_table(heading);
        for (name, sum) in self.rows() {
            rows.row(sum.cells(&name));
        }
        let mut text = format!("{sums}\n\n{}\n\n", self.limits_table());
        if let Some(day) = self.first_day {
            text.push_str(&format!(
                "since {}\n",
                moment::show(moment::start_of_day(day))
            ));
        }
        text.push_str(&rows.or("nothing was bought in that time"));
        let open = self.since(0).open;
        if open > 0 {
            text.push_str(&format!(
                "\n\nreserved for {} whose payment is not known to have ended: `tollway purchases list`",
                counted(open, "purchase")
            ));
        }
        text
    }

    fn limits_table(&self) -> Table<4> {
        let mut table = Table::new([
            Heading::Left("LIMIT"),
            Heading::Right("AMOUNT"),
            Heading::Right("LEFT"),
            Heading::Left("SET WITH"),
        ]);
        let limits = &self.limits;
        for (name, limit, left, set_with) in [
            (
                "price of one response",
                Some(limits.price_max),
                None,
                "--max-cost or max_cost",
            ),
            (
                "routing fee on top",
                Some(limits.fee_max),
                None,
                "--max-fee or max_fee",
            ),
            (
                "one day (UTC)",
                limits.per_day,
                self.left_today(),
                "--max-per-day or max_per_day",
            ),
            ("one host, ever", limits.per_host, None, "max_per_host"),
            (
                "in all, ever",
                limits.total,
                self.left_in_all(),
                "max_total",
            ),
        ] {
            let amount = limit.map_or_else(|| "none".to_owned(), in_sat);
            let left = left.map(in_sat).unwrap_or_default();
            table.row([
                name.to_owned(),
                amount,
                left,
                format!("{set_with} in [get]"),
            ]);
        }
        table
    }

    fn left_today(&self) -> Option<Msat> {
        self.limits.per_day.map(|limit| self.today().left_of(limit))
    }

    fn left_in_all(&self) -> Option<Msat> {
        self.limits.total.map(|limit| self.since(0).left_of(limit))
    }

    fn to_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows()
            .into_iter()
            .map(|(name, sum)| {
                let key = match self.row {
                    SpendingRow::Day => "day",
                    SpendingRow::Origin => "origin",
                };
                let mut row = sum.to_json();
                if let Some(object) = row.as_object_mut() {
                    object.insert(key.to_owned(), Value::from(name));
                }
                row
            })
            .collect();
        let limits = &self.limits;
        let first_day = self.first_day.unwrap_or(0);
        json!({
            "today": self.today().to_json(),
            "month": self.this_month().to_json(),
            "all": self.since(0).to_json(),
            "since": moment::start_of_day(first_day).as_secs(),
            "rows": rows,
            "limits": {
                "max_cost_msat": limits.price_max.as_msat(),
                "max_fee_msat": limits.fee_max.as_msat(),
                "max_per_day_msat": limits.per_day.map(Msat::as_msat),
                "left_today_msat": self.left_today().map(Msat::as_msat),
                "max_per_host_msat": limits.per_host.map(Msat::as_msat),
                "max_total_msat": limits.total.map(Msat::as_msat),
                "left_in_all_msat": self.left_in_all().map(Msat::as_msat),
            },
        })
    }
}

/// What several purchases come to.
#[derive(Clone, Copy, Debug)]
struct Sum {
    purchases: u64,
    price: Msat,
    fee: Msat,
    open: u64,
    reserved: Msat,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            purchases: 0,
            price: Msat::ZERO,
            fee: Msat::ZERO,
            open: 0,
            reserved: Msat::ZERO,
        }
    }
}

impl Sum {
    fn plus(self, day: &Spending) -> Self {
        Self {
            purchases: self.purchases.saturating_add(day.purchases),
            price: plus(self.price, day.price),
            fee: plus(self.fee, day.fee),
            open: self.open.saturating_add(day.open),
            reserved: plus(self.reserved, day.reserved),
        }
    }

    fn paid(&self) -> Msat {
        plus(self.price, self.fee)
    }

    /// Returns what may still be spent: what is reserved counts.
    fn left_of(&self, limit: Msat) -> Msat {
        let charged = plus(self.paid(), self.reserved);
        limit.checked_sub(charged).unwrap_or(Msat::ZERO)
    }

    fn cells(&self, name: &str) -> [String; 6] {
        [
            name.to_owned(),
            self.purchases.to_string(),
            in_sat(self.price),
            in_sat(self.fee),
            in_sat(self.paid()),
            in_sat(self.reserved),
        ]
    }

    fn to_json(self) -> Value {
        json!({
            "purchases": self.purchases,
            "price_msat": self.price.as_msat(),
            "fee_msat": self.fee.as_msat(),
            "paid_msat": self.paid().as_msat(),
            "open_purchases": self.open,
            "reserved_msat": self.reserved.as_msat(),
        })
    }
}

const fn sums_table(first: &'static str) -> Table<6> {
    Table::new([
        Heading::Left(first),
        Heading::Right("PURCHASES"),
        Heading::Right("PRICES"),
        Heading::Right("FEES"),
        Heading::Right("PAID"),
        Heading::Right("RESERVED"),
    ])
}

fn plus(one: Msat, other: Msat) -> Msat {
    one.checked_add(other).unwrap_or(Msat::MAX)
}
