//! Every statement the ledger makes, and nothing else.

use l402::{Msat, PaymentHash, TokenId, UnixSeconds};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row, Transaction};

use super::pending::{Pending, TokenUpdate, day, saturated};
use crate::ledger::{Refusals, Revocation, Sales, TokenRecord, Use};
use crate::name::ServiceName;

/// Takes one use, unless `uses_max` have been taken.
pub(super) fn consume(
    transaction: &Transaction<'_>,
    token: &TokenId,
    uses_max: u64,
) -> rusqlite::Result<Use> {
    let uses_max = saturated(uses_max);
    let used: Option<i64> = transaction
        .prepare_cached(
            "INSERT INTO uses (token_id, used) VALUES (?1, 1)
             ON CONFLICT DO UPDATE SET used = used + 1 WHERE used < ?2
             RETURNING used",
        )?
        .query_row((token.as_bytes(), uses_max), |row| row.get(0))
        .optional()?;
    Ok(used.map_or(Use::Exhausted, |used| Use::Taken {
        left: u64::try_from(uses_max.saturating_sub(used)).unwrap_or(0),
    }))
}

pub(super) fn revoke(
    transaction: &Transaction<'_>,
    revocation: Revocation,
) -> rusqlite::Result<()> {
    match revocation {
        Revocation::MintedBefore(moment) => transaction.execute(
            "INSERT INTO revoked_before (only_row, minted_before) VALUES (0, ?1)
             ON CONFLICT DO UPDATE SET minted_before = max(minted_before, ?1)",
            [saturated(moment.as_secs())],
        ),
        Revocation::Token(token) => transaction.execute(
            "INSERT INTO revoked_tokens (token_id) VALUES (?1) ON CONFLICT DO NOTHING",
            [token.as_bytes()],
        ),
    }?;
    Ok(())
}

pub(super) fn write_events(
    transaction: &Transaction<'_>,
    pending: &Pending,
) -> rusqlite::Result<()> {
    for (token, note) in &pending.tokens {
        if !count_requests(transaction, token, note)? {
            insert_token(transaction, token, note)?;
            count_payment(transaction, note)?;
        }
    }
    let mut requests = transaction.prepare_cached(
        "INSERT INTO sales (service, utc_day, requests) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET requests = requests + ?3",
    )?;
    for ((service, day), count) in &pending.requests {
        requests.execute((service.as_str(), day, count))?;
    }
    let mut refusals = transaction.prepare_cached(
        "INSERT INTO refusals (service, reason, utc_day, count) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET count = count + ?4",
    )?;
    for ((service, reason, day), count) in &pending.refusals {
        refusals.execute((service.as_str(), reason.as_str(), day, count))?;
    }
    Ok(())
}

/// Adds to a token that is known already; false when it is not.
fn count_requests(
    transaction: &Transaction<'_>,
    token: &TokenId,
    note: &TokenUpdate,
) -> rusqlite::Result<bool> {
    let changed = transaction
        .prepare_cached(
            "UPDATE tokens SET requests = requests + ?2, last_used_at = max(last_used_at, ?3)
             WHERE token_id = ?1",
        )?
        .execute((
            token.as_bytes(),
            note.requests,
            saturated(note.last_used_at.as_secs()),
        ))?;
    Ok(changed > 0)
}

fn insert_token(
    transaction: &Transaction<'_>,
    token: &TokenId,
    note: &TokenUpdate,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO tokens (token_id, payment_hash, service, paid_msat,
                                 first_used_at, last_used_at, requests)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            token.as_bytes(),
            note.payment_hash.as_bytes(),
            note.service.as_str(),
            note.paid_msat,
            saturated(note.first_used_at.as_secs()),
            saturated(note.last_used_at.as_secs()),
            note.requests,
        ))?;
    Ok(())
}

/// The sum stops at the largest number there is instead of becoming a floating one.
fn count_payment(transaction: &Transaction<'_>, note: &TokenUpdate) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO sales (service, utc_day, payments, revenue_msat, unpriced)
             VALUES (?1, ?2, 1, ?3, ?4)
             ON CONFLICT DO UPDATE SET
                 payments = payments + 1,
                 revenue_msat = revenue_msat + min(?3, 9223372036854775807 - revenue_msat),
                 unpriced = unpriced + ?4",
        )?
        .execute((
            note.service.as_str(),
            day(note.first_used_at),
            note.paid_msat.unwrap_or(NOTHING_KNOWN),
            i64::from(note.paid_msat.is_none()),
        ))?;
    Ok(())
}

pub(super) fn revocations(connection: &Connection) -> rusqlite::Result<Vec<Revocation>> {
    let mut before = connection.prepare("SELECT minted_before FROM revoked_before")?;
    let before = before.query_map([], |row| {
        Ok(Revocation::MintedBefore(UnixSeconds::new(row.get(0)?)))
    })?;
    let mut tokens = connection.prepare("SELECT token_id FROM revoked_tokens")?;
    let tokens = tokens.query_map([], |row| Ok(Revocation::Token(TokenId::new(row.get(0)?))))?;
    before.chain(tokens).collect()
}

pub(super) fn sales(connection: &Connection) -> rusqlite::Result<Vec<Sales>> {
    connection
        .prepare(
            "SELECT service, sum(payments), sum(revenue_msat), sum(unpriced), sum(requests)
             FROM sales GROUP BY service ORDER BY service",
        )?
        .query_map([], |row| {
            Ok(Sales {
                service: service(row, 0)?,
                payments: row.get(1)?,
                revenue: Msat::from_msat(row.get(2)?),
                unpriced: row.get(3)?,
                requests: row.get(4)?,
            })
        })?
        .collect()
}

pub(super) fn refusals(connection: &Connection) -> rusqlite::Result<Vec<Refusals>> {
    connection
        .prepare(
            "SELECT service, reason, sum(count)
             FROM refusals GROUP BY service, reason ORDER BY service, reason",
        )?
        .query_map([], |row| {
            Ok(Refusals {
                service: service(row, 0)?,
                reason: row.get(1)?,
                count: row.get(2)?,
            })
        })?
        .collect()
}

pub(super) fn token(
    connection: &Connection,
    token: &TokenId,
) -> rusqlite::Result<Option<TokenRecord>> {
    connection
        .query_row(
            "SELECT payment_hash, service, paid_msat, first_used_at, last_used_at, requests
             FROM tokens WHERE token_id = ?1",
            [token.as_bytes()],
            |row| {
                Ok(TokenRecord {
                    payment_hash: PaymentHash::new(row.get(0)?),
                    service: service(row, 1)?,
                    paid: row.get::<_, Option<u64>>(2)?.map(Msat::from_msat),
                    first_used_at: UnixSeconds::new(row.get(3)?),
                    last_used_at: UnixSeconds::new(row.get(4)?),
                    requests: row.get(5)?,
                })
            },
        )
        .optional()
}

fn service(row: &Row<'_>, column: usize) -> rusqlite::Result<ServiceName> {
    let name: String = row.get(column)?;
    name.parse()
        .map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// Added to the revenue for a payment of unknown size, which `unpriced` counts.
const NOTHING_KNOWN: i64 = 0;
