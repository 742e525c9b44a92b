//! Every SQL statement of the ledger.

use std::num::NonZeroU64;

use l402::{Msat, PaymentHash, TokenId, UnixSeconds};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row, Transaction};

use super::owner::Owner;
use super::pending::{Pending, TokenUpdate, day, saturated};
use crate::ledger::{Period, Refusals, Reservation, Reserved, Revocation, Sales, TokenRecord};
use crate::name::ServiceName;

/// Sets aside one use, unless `uses_max` have been set aside or committed.
///
/// Reservations of processes that have ended are released first when they are in the way.
pub(super) fn reserve(
    transaction: &Transaction<'_>,
    owner: &Owner,
    token: &TokenId,
    uses_max: NonZeroU64,
) -> rusqlite::Result<Reserved> {
    let uses_max = saturated(uses_max.get());
    if let Some(reserved) = insert_reservation(transaction, owner, token, uses_max)? {
        return Ok(reserved);
    }
    if committed(transaction, token)? >= uses_max {
        return Ok(Reserved::Exhausted);
    }
    if release_dead(transaction, owner, Some(token))? > 0
        && let Some(reserved) = insert_reservation(transaction, owner, token, uses_max)?
    {
        return Ok(reserved);
    }
    Ok(Reserved::InUse)
}

/// `None` when no use is free.
fn insert_reservation(
    transaction: &Transaction<'_>,
    owner: &Owner,
    token: &TokenId,
    uses_max: i64,
) -> rusqlite::Result<Option<Reserved>> {
    let reserved: i64 = transaction
        .prepare_cached("SELECT count(*) FROM reservations WHERE token_id = ?1")?
        .query_row([token.as_bytes()], |row| row.get(0))?;
    let taken = committed(transaction, token)?.saturating_add(reserved);
    let free = u64::try_from(uses_max.saturating_sub(taken)).unwrap_or(0);
    let Some(left) = free.checked_sub(1) else {
        return Ok(None);
    };
    transaction
        .prepare_cached("INSERT INTO reservations (token_id, owner) VALUES (?1, ?2)")?
        .execute((token.as_bytes(), owner.number))?;
    let reservation = Reservation {
        token: *token,
        id: transaction.last_insert_rowid(),
    };
    Ok(Some(Reserved::Held { reservation, left }))
}

fn committed(transaction: &Transaction<'_>, token: &TokenId) -> rusqlite::Result<i64> {
    let used = transaction
        .prepare_cached("SELECT used FROM uses WHERE token_id = ?1")?
        .query_row([token.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(used.unwrap_or(0))
}

/// Releases the reservations of processes that have ended: of those that hold one of `token`,
/// or of all. Returns the number of reservations released.
pub(super) fn release_dead(
    transaction: &Transaction<'_>,
    owner: &Owner,
    token: Option<&TokenId>,
) -> rusqlite::Result<usize> {
    let mut owners = transaction.prepare_cached(
        "SELECT DISTINCT owner FROM reservations WHERE ?1 IS NULL OR token_id = ?1",
    )?;
    let owners = owners.query_map([token.map(TokenId::as_bytes)], |row| row.get(0))?;
    let owners: Vec<i64> = owners.collect::<rusqlite::Result<_>>()?;
    let mut released = 0_usize;
    for number in owners.into_iter().filter(|number| owner.is_dead(*number)) {
        released = released.saturating_add(release_all(transaction, number)?);
    }
    Ok(released)
}

/// Releases all reservations of one owner.
pub(super) fn release_all(transaction: &Transaction<'_>, owner: i64) -> rusqlite::Result<usize> {
    transaction.execute("DELETE FROM reservations WHERE owner = ?1", [owner])
}

/// Turns a reservation into a use; false, without doing so, when the reservation is gone.
pub(super) fn commit(
    transaction: &Transaction<'_>,
    reservation: &Reservation,
) -> rusqlite::Result<bool> {
    if !release(transaction, reservation)? {
        return Ok(false);
    }
    transaction
        .prepare_cached(
            "INSERT INTO uses (token_id, used) VALUES (?1, 1)
             ON CONFLICT DO UPDATE SET used = used + 1",
        )?
        .execute([reservation.token.as_bytes()])?;
    Ok(true)
}

/// Deletes a reservation; false when there is none.
pub(super) fn release(
    transaction: &Transaction<'_>,
    reservation: &Reservation,
) -> rusqlite::Result<bool> {
    let deleted = transaction
        .prepare_cached("DELETE FROM reservations WHERE id = ?1 AND token_id = ?2")?
        .execute((reservation.id, reservation.token.as_bytes()))?;
    Ok(deleted > 0)
}

pub(super) fn revoke(
    transaction: &Transaction<'_>,
    revocation: Revocation,
) -> rusqlite::Result<()> {
    match revocation {
        Revocation::MintedBefore(moment) => transaction.execute(
            "INSERT INTO revocations (minted_before)
             SELECT ?1 WHERE NOT EXISTS
                 (SELECT 1 FROM revocations WHERE minted_before >= ?1)",
            [saturated(moment.as_secs())],
        ),
        Revocation::Token(token) => transaction.execute(
            "INSERT INTO revocations (token_id)
             SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM revocations WHERE token_id = ?1)",
            [token.as_bytes()],
        ),
    }?;
    Ok(())
}

/// Returns the tokens that were used for the first time.
pub(super) fn write_events(
    transaction: &Transaction<'_>,
    pending: &Pending,
) -> rusqlite::Result<Vec<TokenId>> {
    let mut new = Vec::new();
    if let Some(latest) = pending.latest {
        transaction
            .prepare_cached("UPDATE identity SET latest = max(coalesce(latest, 0), ?1)")?
            .execute([latest])?;
    }
    for (token, note) in &pending.tokens {
        if !count_requests(transaction, token, note)? {
            insert_token(transaction, token, note)?;
            count_payment(transaction, note)?;
            new.push(*token);
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
    Ok(new)
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
                                 first_used_at, last_used_at, requests, uses_max)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            token.as_bytes(),
            note.payment_hash.as_bytes(),
            note.service.as_str(),
            note.paid_msat,
            saturated(note.first_used_at.as_secs()),
            saturated(note.last_used_at.as_secs()),
            note.requests,
            note.uses_max,
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
    let rows = revocations_after(connection, 0)?;
    Ok(rows.into_iter().map(|(_, revocation)| revocation).collect())
}

/// Returns the revocations in rows after `row`, in order, with their rows.
pub(super) fn revocations_after(
    connection: &Connection,
    row: i64,
) -> rusqlite::Result<Vec<(i64, Revocation)>> {
    connection
        .prepare_cached(
            "SELECT id, token_id, minted_before FROM revocations WHERE id > ?1 ORDER BY id",
        )?
        .query_map([row], |row| {
            let revocation = match row.get::<_, Option<[u8; 32]>>(1)? {
                Some(token) => Revocation::Token(TokenId::new(token)),
                None => Revocation::MintedBefore(UnixSeconds::new(row.get(2)?)),
            };
            Ok((row.get(0)?, revocation))
        })?
        .collect()
}

/// Returns the last row of the revocations; 0 when there is none.
pub(super) fn last_revocation(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM revocations", [], |row| {
        row.get(0)
    })
}

pub(super) fn sales(connection: &Connection, period: Period) -> rusqlite::Result<Vec<Sales>> {
    connection
        .prepare(
            "SELECT service, sum(payments), sum(revenue_msat), sum(unpriced), sum(requests)
             FROM sales WHERE utc_day >= ?1 GROUP BY service ORDER BY service",
        )?
        .query_map([saturated(period.first_day())], |row| {
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

pub(super) fn refusals(connection: &Connection, period: Period) -> rusqlite::Result<Vec<Refusals>> {
    connection
        .prepare(
            "SELECT service, reason, sum(count)
             FROM refusals WHERE utc_day >= ?1
             GROUP BY service, reason ORDER BY service, reason",
        )?
        .query_map([saturated(period.first_day())], |row| {
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
    let sql = format!("{TOKEN} WHERE token_id = ?1");
    connection
        .query_row(&sql, [token.as_bytes()], token_record)
        .optional()
}

/// Returns the tokens first used in a period, those used first last come first.
pub(super) fn tokens(
    connection: &Connection,
    period: Period,
    count_max: usize,
) -> rusqlite::Result<Vec<TokenRecord>> {
    let sql =
        format!("{TOKEN} WHERE first_used_at >= ?1 ORDER BY first_used_at DESC, token_id LIMIT ?2");
    let first_second = period.first_day().saturating_mul(SECS_PER_DAY);
    let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
    connection
        .prepare(&sql)?
        .query_map((saturated(first_second), count_max), token_record)?
        .collect()
}

/// Returns how many tokens have an id that begins with `prefix`.
pub(super) fn count_tokens(connection: &Connection, prefix: &[u8; 4]) -> rusqlite::Result<u64> {
    let id = |rest: u8| {
        let mut id = [rest; 32];
        if let Some(start) = id.first_chunk_mut() {
            *start = *prefix;
        }
        id
    };
    let sql = "SELECT count(*) FROM tokens WHERE token_id BETWEEN ?1 AND ?2";
    connection.query_row(sql, [id(0), id(u8::MAX)], |row| row.get(0))
}

const TOKEN: &str = "SELECT token_id, payment_hash, service, paid_msat, first_used_at, \
    last_used_at, requests, uses_max, \
    (SELECT used FROM uses WHERE uses.token_id = tokens.token_id) FROM tokens";

fn token_record(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        token: TokenId::new(row.get(0)?),
        payment_hash: PaymentHash::new(row.get(1)?),
        service: service(row, 2)?,
        paid: row.get::<_, Option<u64>>(3)?.map(Msat::from_msat),
        first_used_at: UnixSeconds::new(row.get(4)?),
        last_used_at: UnixSeconds::new(row.get(5)?),
        requests: row.get(6)?,
        uses_max: row.get::<_, Option<u64>>(7)?.and_then(NonZeroU64::new),
        uses: row.get::<_, Option<u64>>(8)?.unwrap_or(0),
    })
}

fn service(row: &Row<'_>, column: usize) -> rusqlite::Result<ServiceName> {
    let name: String = row.get(column)?;
    name.parse()
        .map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// Added to the revenue for a payment of unknown size, which `unpriced` counts.
const NOTHING_KNOWN: i64 = 0;
const SECS_PER_DAY: u64 = 86_400;
