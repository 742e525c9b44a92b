//! The SQL statements of a book, within one transaction.

use std::path::Path;

use l402::{Charged, Msat, PaymentHash, UnixSeconds};
use rusqlite::{Params, Row, Transaction, named_params, params};

use super::columns::{self, CREDENTIAL, ColumnError, PURCHASE};
use super::schema;
use crate::book::purchase::{FINAL, path_prefix, refusal_secs};
use crate::book::rows::{
    ACCEPTANCES_MAX, CANDIDATES_MAX, CredentialRows, PurchaseRows, RECENT_REFUSALS_MAX,
    REFUSALS_MAX, Which,
};
use crate::book::{
    BookError, Brake, Purchase, Refusal, SessionId, Spending, StoredCredential, TargetResource,
};
use crate::origin::Origin;

pub(super) struct Statements<'a> {
    transaction: &'a Transaction<'a>,
    file: &'a Path,
}

impl<'a> Statements<'a> {
    pub(super) const fn new(transaction: &'a Transaction<'a>, file: &'a Path) -> Self {
        Self { transaction, file }
    }

    fn query<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, ColumnError>,
    ) -> Result<Vec<T>, BookError> {
        let mut found = Vec::new();
        let rows = || {
            let mut statement = self.transaction.prepare_cached(sql)?;
            let mut rows = statement.query(parameters)?;
            while let Some(row) = rows.next()? {
                found.push(read(row)?);
            }
            Ok(())
        };
        rows().map_err(|error| self.error(error))?;
        Ok(found)
    }

    fn execute(&self, sql: &str, parameters: impl Params) -> Result<usize, BookError> {
        let run = || self.transaction.prepare_cached(sql)?.execute(parameters);
        run().map_err(|error| self.error(error.into()))
    }

    fn error(&self, error: ColumnError) -> BookError {
        match error {
            ColumnError::Database(source) => schema::database_error(self.file, source),
            ColumnError::Meaningless(column) => BookError::Damaged {
                path: self.file.to_owned(),
                reason: format!("a value in column `{column}` has no meaning"),
            },
        }
    }
}

impl PurchaseRows for Statements<'_> {
    fn purchase(&self, hash: &PaymentHash) -> Result<Option<Purchase>, BookError> {
        let sql = format!("SELECT {PURCHASE} FROM purchases WHERE payment_hash = ?1");
        let mut found = self.query(&sql, [hash.as_bytes()], columns::purchase)?;
        Ok(found.pop())
    }

    fn put_purchase(&mut self, purchase: &Purchase) -> Result<(), BookError> {
        let (scheme, name, token) = columns::token_columns(&purchase.token);
        let (state, preimage, fee) = columns::state_columns(&purchase.state);
        let resource = &purchase.resource;
        self.execute(
            "INSERT OR REPLACE INTO purchases VALUES (:hash, :origin, :host, :method, :path, \
             :query, :invoice, :price, :fee_max, :scheme, :name, :token, :wallet, :wallet_name, :begun_at, \
             :utc_day, :state, :charge, :preimage, :fee, :reason, :session, :requests)",
            named_params! {
                ":hash": purchase.payment_hash().as_bytes(),
                ":origin": resource.origin.to_string(),
                ":host": purchase.payable.host(),
                ":method": resource.method,
                ":path": resource.path,
                ":query": resource.query.as_str(),
                ":invoice": purchase.payable.invoice().as_str(),
                ":price": purchase.payable.price().as_msat(),
                ":fee_max": columns::amount(purchase.fee_max),
                ":scheme": scheme,
                ":name": name,
                ":token": token,
                ":wallet": purchase.wallet.to_string(),
                ":wallet_name": purchase.wallet_name.as_str(),
                ":begun_at": purchase.begun_at.as_secs(),
                ":utc_day": purchase.begun_at.utc_day(),
                ":state": state,
                ":charge": columns::amount(purchase.charge()),
                ":preimage": preimage,
                ":fee": fee,
                ":reason": purchase.reason,
                ":session": purchase.session.as_str(),
                ":requests": purchase.requests,
            },
        )?;
        Ok(())
    }

    fn purchases(&self, which: Which<'_>) -> Result<Vec<Purchase>, BookError> {
        let select = |condition: &str| {
            format!("SELECT {PURCHASE} FROM purchases {condition} ORDER BY begun_at, payment_hash")
        };
        match which {
            Which::All => self.query(&select(""), [], columns::purchase),
            Which::Open => {
                let sql = select("WHERE state IN ('paying', 'unknown')");
                self.query(&sql, [], columns::purchase)
            }
            Which::OpenAt(origin) => {
                let sql = select("WHERE origin = ?1 AND state IN ('paying', 'unknown')");
                self.query(&sql, [origin.to_string()], columns::purchase)
            }
        }
    }

    fn charged(&self, host: &str, utc_day: u64) -> Result<Charged, BookError> {
        let found = self.query(
            // `sum` fails when it overflows; `total` is exact below 2^53, 90,000 bitcoin.
            "SELECT (SELECT CAST(min(total(charge_msat), ?3) AS INTEGER) FROM purchases WHERE host = ?1), \
             (SELECT CAST(min(total(charge_msat), ?3) AS INTEGER) FROM purchases WHERE utc_day >= ?2), \
             (SELECT CAST(min(total(charge_msat), ?3) AS INTEGER) FROM purchases)",
            params![host, utc_day, CHARGED_MAX],
            |row| {
                Ok(Charged {
                    host: Msat::from_msat(row.get(0)?),
                    today: Msat::from_msat(row.get(1)?),
                    total: Msat::from_msat(row.get(2)?),
                })
            },
        )?;
        Ok(found.into_iter().next().unwrap_or(Charged::NOTHING))
    }

    fn spending(&self) -> Result<Vec<Spending>, BookError> {
        let sum = |amount: &str, state: &str| {
            format!(
                "CAST(min(total(CASE WHEN state IN ({state}) THEN {amount} END), ?1) AS INTEGER)"
            )
        };
        let sql = format!(
            "SELECT utc_day, origin, count(CASE state WHEN 'paid' THEN 1 END) AS paid, {} AS price_msat, \
             {} AS fee_msat, count(CASE WHEN state <> 'paid' THEN 1 END) AS open, {} AS reserved_msat \
             FROM purchases WHERE state <> 'failed' GROUP BY utc_day, origin",
            sum("price_msat", "'paid'"),
            sum("fee_msat", "'paid'"),
            sum("charge_msat", "'paying', 'unknown'"),
        );
        let mut sums = self.query(&sql, [CHARGED_MAX], columns::spending)?;
        sums.sort_by(|one, other| (one.utc_day, &one.origin).cmp(&(other.utc_day, &other.origin)));
        Ok(sums)
    }
}

impl CredentialRows for Statements<'_> {
    fn credential(&self, hash: &PaymentHash) -> Result<Option<StoredCredential>, BookError> {
        let sql = format!("SELECT {CREDENTIAL} FROM credentials WHERE payment_hash = ?1");
        let mut found = self.query(&sql, [hash.as_bytes()], columns::credential)?;
        Ok(found.pop())
    }

    fn credentials(&self) -> Result<Vec<StoredCredential>, BookError> {
        let sql = format!("SELECT {CREDENTIAL} FROM credentials ORDER BY bought_at, payment_hash");
        self.query(&sql, [], columns::credential)
    }

    fn candidates(
        &self,
        resource: &TargetResource,
        now: UnixSeconds,
    ) -> Result<Vec<StoredCredential>, BookError> {
        let in_force = in_force();
        let sql = format!(
            "SELECT {CREDENTIAL}, (path_prefix = :path OR \
             substr(:path, 1, length(path_prefix) + 1) = path_prefix || '/') AS covers, \
             EXISTS (SELECT 1 FROM acceptances AS a WHERE a.payment_hash = c.payment_hash AND \
              (a.path_prefix = :path OR \
               substr(:path, 1, length(a.path_prefix) + 1) = a.path_prefix || '/')) AS accepted \
             FROM credentials AS c WHERE origin = :origin AND NOT EXISTS \
             (SELECT 1 FROM refusals AS r WHERE r.payment_hash = c.payment_hash AND {in_force}) \
             AND (covers OR accepted OR (SELECT count(*) FROM refusals AS r \
              WHERE r.payment_hash = c.payment_hash) < :refusals_max) \
             ORDER BY covers DESC, CASE covers WHEN 1 THEN length(path) END DESC, \
             accepted DESC, bought_at DESC LIMIT :limit"
        );
        self.query(
            &sql,
            named_params! {
                ":origin": resource.origin.to_string(),
                ":method": resource.method,
                ":path": resource.path,
                ":query": resource.query.as_str(),
                ":now": now.as_secs(),
                ":refusals_max": REFUSALS_MAX,
                ":limit": CANDIDATES_MAX,
            },
            columns::credential,
        )
    }

    fn put_credential(&mut self, credential: &StoredCredential) -> Result<(), BookError> {
        let (scheme, name, token) = columns::token_columns(&credential.token);
        let resource = &credential.resource;
        self.execute(
            "INSERT OR REPLACE INTO credentials VALUES (:hash, :origin, :method, :path, :prefix, \
             :query, :scheme, :name, :token, :preimage, :price, :fee, :bought_at, :holder, :lost, \
             :delivered, :failed)",
            named_params! {
                ":hash": credential.payment_hash().as_bytes(),
                ":origin": resource.origin.to_string(),
                ":method": resource.method,
                ":path": resource.path,
                ":prefix": path_prefix(&resource.path),
                ":query": resource.query.as_str(),
                ":scheme": scheme,
                ":name": name,
                ":token": token,
                ":preimage": credential.preimage.expose(),
                ":price": credential.price.as_msat(),
                ":fee": credential.fee.as_msat(),
                ":bought_at": credential.bought_at.as_secs(),
                ":holder": credential.holder.as_ref().map(|holder| holder.as_str()),
                ":lost": count(credential.uses.lost),
                ":delivered": count(credential.uses.delivered),
                ":failed": count(credential.uses.failed),
            },
        )?;
        Ok(())
    }

    fn remove_credential(&mut self, hash: &PaymentHash) -> Result<bool, BookError> {
        self.remove_refusals(hash)?;
        for table in ["acceptances", "presentations"] {
            let sql = format!("DELETE FROM {table} WHERE payment_hash = ?1");
            self.execute(&sql, [hash.as_bytes()])?;
        }
        let sql = "DELETE FROM credentials WHERE payment_hash = ?1";
        Ok(self.execute(sql, [hash.as_bytes()])? > 0)
    }

    fn refusal(
        &self,
        hash: &PaymentHash,
        resource: &TargetResource,
    ) -> Result<Option<Refusal>, BookError> {
        let mut found = self.query(
            "SELECT * FROM refusals WHERE payment_hash = ?1 AND method = ?2 AND path = ?3 \
             AND query = ?4",
            params![
                hash.as_bytes(),
                resource.method,
                resource.path,
                resource.query.as_str()
            ],
            columns::refusal,
        )?;
        Ok(found.pop())
    }

    fn refusals_at(
        &self,
        resource: &TargetResource,
        now: UnixSeconds,
    ) -> Result<Vec<Refusal>, BookError> {
        let in_force = in_force();
        let sql = format!(
            "SELECT * FROM refusals WHERE origin = :origin AND {in_force} \
             ORDER BY until DESC LIMIT :limit"
        );
        self.query(
            &sql,
            named_params! {
                ":origin": resource.origin.to_string(),
                ":method": resource.method,
                ":path": resource.path,
                ":query": resource.query.as_str(),
                ":now": now.as_secs(),
                ":limit": RECENT_REFUSALS_MAX,
            },
            columns::refusal,
        )
    }

    fn put_refusal(&mut self, refusal: &Refusal) -> Result<(), BookError> {
        let resource = &refusal.resource;
        self.execute(
            "INSERT OR REPLACE INTO refusals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                refusal.payment_hash.as_bytes(),
                resource.origin.to_string(),
                resource.method,
                resource.path,
                resource.query.as_str(),
                refusal.times,
                refusal.until.as_secs(),
                refusal.reason.as_str(),
            ],
        )?;
        Ok(())
    }

    fn remove_refusal(
        &mut self,
        hash: &PaymentHash,
        resource: &TargetResource,
    ) -> Result<(), BookError> {
        self.execute(
            "DELETE FROM refusals WHERE payment_hash = ?1 AND method = ?2 AND path = ?3 \
             AND query = ?4",
            params![
                hash.as_bytes(),
                resource.method,
                resource.path,
                resource.query.as_str()
            ],
        )?;
        Ok(())
    }

    fn remove_refusals(&mut self, hash: &PaymentHash) -> Result<(), BookError> {
        let sql = "DELETE FROM refusals WHERE payment_hash = ?1";
        self.execute(sql, [hash.as_bytes()])?;
        Ok(())
    }

    fn is_accepted(&self, hash: &PaymentHash, path: &str) -> Result<bool, BookError> {
        let sql = "SELECT 1 FROM acceptances WHERE payment_hash = ?1 AND (path_prefix = ?2 OR \
                   substr(?2, 1, length(path_prefix) + 1) = path_prefix || '/')";
        let found = self.query(sql, params![hash.as_bytes(), path], |_row| Ok(()))?;
        Ok(!found.is_empty())
    }

    fn put_acceptance(&mut self, hash: &PaymentHash, path: &str) -> Result<(), BookError> {
        self.execute(
            "INSERT OR REPLACE INTO acceptances VALUES (?1, ?2, ?3)",
            params![hash.as_bytes(), path, path_prefix(path)],
        )?;
        self.execute(
            "DELETE FROM acceptances WHERE payment_hash = ?1 AND rowid NOT IN \
             (SELECT rowid FROM acceptances WHERE payment_hash = ?1 \
              ORDER BY rowid DESC LIMIT ?2)",
            params![hash.as_bytes(), ACCEPTANCES_MAX],
        )?;
        Ok(())
    }

    fn acceptances(&self, hash: &PaymentHash) -> Result<Vec<String>, BookError> {
        let sql = "SELECT path FROM acceptances WHERE payment_hash = ?1";
        self.query(sql, [hash.as_bytes()], |row| Ok(row.get(0)?))
    }

    fn is_refused_below(&self, hash: &PaymentHash, path: &str) -> Result<bool, BookError> {
        let sql = "SELECT 1 FROM refusals WHERE payment_hash = ?1 AND (path = ?2 OR \
                   substr(path, 1, length(?2) + 1) = ?2 || '/') LIMIT 1";
        let above = path_prefix(path);
        let found = self.query(sql, params![hash.as_bytes(), above], |_row| Ok(()))?;
        Ok(!found.is_empty())
    }

    fn remove_acceptances(&mut self, hash: &PaymentHash, path: &str) -> Result<(), BookError> {
        let sql = "DELETE FROM acceptances WHERE payment_hash = ?1 AND (path_prefix = ?2 OR \
                   substr(?2, 1, length(path_prefix) + 1) = path_prefix || '/')";
        self.execute(sql, params![hash.as_bytes(), path])?;
        Ok(())
    }

    fn unsettled(&self, origin: &Origin) -> Result<Vec<StoredCredential>, BookError> {
        let sql = format!(
            "SELECT {CREDENTIAL} FROM credentials AS c WHERE origin = ?1 AND \
             (lost > 0 OR failed > 0 OR holder IS NOT NULL OR EXISTS \
              (SELECT 1 FROM presentations AS p WHERE p.payment_hash = c.payment_hash))"
        );
        self.query(&sql, [origin.to_string()], columns::credential)
    }

    fn delivered_since(&self, origin: &Origin, moment: UnixSeconds) -> Result<u64, BookError> {
        let sql = "SELECT 1 FROM credentials WHERE origin = ?1 AND bought_at >= ?2 AND \
                   price_msat > 0 AND delivered > 0";
        let parameters = params![origin.to_string(), moment.as_secs()];
        Ok(self.query(sql, parameters, |_row| Ok(()))?.len() as u64)
    }

    fn put_presentation(
        &mut self,
        hash: &PaymentHash,
        session: &SessionId,
    ) -> Result<u64, BookError> {
        let sql = "INSERT INTO presentations (payment_hash, session) VALUES (?1, ?2) \
                   RETURNING number, session";
        let parameters = params![hash.as_bytes(), session.as_str()];
        let written = self.query(sql, parameters, columns::presentation)?;
        let number = written.first().map(|(number, _session)| *number);
        Ok(number.unwrap_or_default())
    }

    fn presentations(&self, hash: &PaymentHash) -> Result<Vec<(u64, SessionId)>, BookError> {
        let sql = "SELECT number, session FROM presentations WHERE payment_hash = ?1";
        self.query(sql, [hash.as_bytes()], columns::presentation)
    }

    fn remove_presentation(&mut self, number: u64) -> Result<bool, BookError> {
        let sql = "DELETE FROM presentations WHERE number = ?1";
        Ok(self.execute(sql, [count(number)])? > 0)
    }

    fn brakes(&self, origin: &Origin) -> Result<Vec<Brake>, BookError> {
        let sql = "SELECT * FROM brakes WHERE origin = ?1";
        self.query(sql, [&origin.to_string()], columns::brake)
    }

    fn put_brake(&mut self, brake: &Brake) -> Result<(), BookError> {
        let (cause, reason) = columns::cause_columns(&brake.cause);
        self.execute(
            "INSERT OR REPLACE INTO brakes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                brake.origin.to_string(),
                brake.scope.to_text(),
                brake.path,
                brake.payment_hash.as_bytes(),
                columns::amount(brake.paid),
                brake.until.as_secs(),
                cause,
                reason,
            ],
        )?;
        Ok(())
    }

    fn remove_brakes(&mut self, hash: &PaymentHash) -> Result<(), BookError> {
        let sql = "DELETE FROM brakes WHERE payment_hash = ?1";
        self.execute(sql, [hash.as_bytes()])?;
        Ok(())
    }

    fn remove_brakes_until(&mut self, origin: &Origin, now: UnixSeconds) -> Result<(), BookError> {
        let sql = "DELETE FROM brakes WHERE origin = ?1 AND until <= ?2";
        self.execute(sql, params![origin.to_string(), now.as_secs()])?;
        Ok(())
    }
}

/// A count as a column. One that does not fit is the highest that does.
fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns the condition that a refusal is in force at a resource: [`Refusal`]'s rule, of which the
/// clock's part is `is_in_force`.
fn in_force() -> String {
    let [first, second, later, last] = [1, 2, 3, FINAL].map(refusal_secs);
    format!(
        "((method = :method AND path = :path AND query = :query) OR method = '*') \
         AND until > :now AND until <= :now + CASE WHEN times <= 1 THEN {first} \
         WHEN times = 2 THEN {second} WHEN times = {FINAL} THEN {last} ELSE {later} END"
    )
}

/// The highest sum that can be distinguished from a higher one.
const CHARGED_MAX: f64 = 9e18;
