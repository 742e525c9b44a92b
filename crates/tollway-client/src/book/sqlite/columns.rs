//! Values of ours as columns, and back.
//!
//! A column that cannot be read is an error that names it, never a default: guessing would
//! guess about money.

use l402::{Msat, Payable, PaymentHash, Preimage, PurchaseState, SchemeName, Token, UnixSeconds};
use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::book::{
    Brake, BrakeCause, BrakeScope, Purchase, QueryHash, Refusal, SessionId, SoldToken, Spending,
    StoredCredential, TargetResource, UseCounts, WalletName,
};
use crate::refusal_reason::RefusalReason;

/// Why a row cannot be read: the column's name, or an error of the database.
#[derive(Debug)]
pub(super) enum ColumnError {
    Database(rusqlite::Error),
    Meaningless(&'static str),
}

impl From<rusqlite::Error> for ColumnError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

type Read<T> = Result<T, ColumnError>;

pub(super) const PURCHASE: &str = "payment_hash, origin, host, method, path, query, invoice, \
    price_msat, fee_max_msat, scheme, scheme_name, token, wallet, wallet_name, begun_at, state, preimage, \
    fee_msat, reason, session, requests";

pub(super) fn purchase(row: &Row<'_>) -> Read<Purchase> {
    let invoice = parsed(&text(row, "invoice")?, "invoice")?;
    let payable =
        Payable::new(invoice, &text(row, "host")?).ok_or(ColumnError::Meaningless("invoice"))?;
    if payable.payment_hash() != hash(row)? || payable.price() != msat(row, "price_msat")? {
        return Err(ColumnError::Meaningless("invoice"));
    }
    Ok(Purchase {
        resource: resource(row)?,
        fee_max: msat(row, "fee_max_msat")?,
        token: token(row)?,
        wallet: parsed(&text(row, "wallet")?, "wallet")?,
        wallet_name: WalletName::new(text(row, "wallet_name")?),
        begun_at: time(row, "begun_at")?,
        state: state(row, &payable.payment_hash())?,
        reason: text(row, "reason")?,
        session: SessionId::new(text(row, "session")?),
        requests: get(row, "requests")?,
        payable,
    })
}

pub(super) const CREDENTIAL: &str = "payment_hash, origin, method, path, query, scheme, \
    scheme_name, token, preimage, price_msat, fee_msat, bought_at, holder, lost, delivered, failed";

pub(super) fn credential(row: &Row<'_>) -> Read<StoredCredential> {
    Ok(StoredCredential {
        resource: resource(row)?,
        token: token(row)?,
        preimage: preimage(row, &hash(row)?)?,
        price: msat(row, "price_msat")?,
        fee: msat(row, "fee_msat")?,
        bought_at: time(row, "bought_at")?,
        holder: get::<Option<String>>(row, "holder")?.map(SessionId::new),
        uses: UseCounts {
            delivered: get(row, "delivered")?,
            failed: get(row, "failed")?,
            lost: get(row, "lost")?,
        },
    })
}

pub(super) fn refusal(row: &Row<'_>) -> Read<Refusal> {
    Ok(Refusal {
        payment_hash: hash(row)?,
        resource: resource(row)?,
        times: get(row, "times")?,
        until: time(row, "until")?,
        reason: RefusalReason::from_text(&text(row, "reason")?),
    })
}

pub(super) fn brake(row: &Row<'_>) -> Read<Brake> {
    let scope = BrakeScope::from_text(&text(row, "scope")?);
    Ok(Brake {
        origin: parsed(&text(row, "origin")?, "origin")?,
        scope: scope.ok_or(ColumnError::Meaningless("scope"))?,
        cause: cause(row)?,
        path: text(row, "path")?,
        payment_hash: hash(row)?,
        paid: msat(row, "paid_msat")?,
        until: time(row, "until")?,
    })
}

fn cause(row: &Row<'_>) -> Read<BrakeCause> {
    let stated = text(row, "reason")?;
    let reason = RefusalReason::from_text(&stated);
    match text(row, "cause")?.as_str() {
        CONTRADICTED => Ok(BrakeCause::Contradicted(reason)),
        BROUGHT_NOTHING => Ok(BrakeCause::BroughtNothing(reason)),
        EXHAUSTED_EARLY => Ok(BrakeCause::ExhaustedEarly),
        FORBIDDEN => Ok(BrakeCause::Forbidden),
        REDIRECTED => Ok(BrakeCause::Redirected(stated)),
        REFUSED_AGAIN => Ok(BrakeCause::RefusedAgain(reason)),
        REFUSED => Ok(BrakeCause::Refused(reason)),
        UNDELIVERED => Ok(BrakeCause::Undelivered),
        _ => Err(ColumnError::Meaningless("cause")),
    }
}

/// The name of a cause in the `cause` column, with the reason.
pub(super) fn cause_columns(cause: &BrakeCause) -> (&'static str, &str) {
    match cause {
        BrakeCause::Contradicted(reason) => (CONTRADICTED, reason.as_str()),
        BrakeCause::BroughtNothing(reason) => (BROUGHT_NOTHING, reason.as_str()),
        BrakeCause::RefusedAgain(reason) => (REFUSED_AGAIN, reason.as_str()),
        BrakeCause::Redirected(address) => (REDIRECTED, address),
        BrakeCause::ExhaustedEarly => (EXHAUSTED_EARLY, ""),
        BrakeCause::Forbidden => (FORBIDDEN, ""),
        BrakeCause::Refused(reason) => (REFUSED, reason.as_str()),
        BrakeCause::Undelivered => (UNDELIVERED, ""),
    }
}

pub(super) fn presentation(row: &Row<'_>) -> Read<(u64, SessionId)> {
    let session = SessionId::new(text(row, "session")?);
    Ok((get(row, "number")?, session))
}

pub(super) fn spending(row: &Row<'_>) -> Read<Spending> {
    Ok(Spending {
        origin: parsed(&text(row, "origin")?, "origin")?,
        utc_day: get(row, "utc_day")?,
        purchases: get(row, "paid")?,
        price: msat(row, "price_msat")?,
        fee: msat(row, "fee_msat")?,
        open: get(row, "open")?,
        reserved: msat(row, "reserved_msat")?,
    })
}

/// The name of a state in the `state` column, with the preimage and fee.
pub(super) fn state_columns(
    state: &PurchaseState,
) -> (&'static str, Option<&[u8; 32]>, Option<u64>) {
    match state {
        PurchaseState::Failed | PurchaseState::Offered => ("failed", None, None),
        PurchaseState::Paid { preimage, fee } => {
            ("paid", Some(preimage.expose()), Some(fee.as_msat()))
        }
        PurchaseState::Paying | PurchaseState::Reserved => ("paying", None, None),
        PurchaseState::Unknown => ("unknown", None, None),
    }
}

/// An amount that may be without bound. One that does not fit is more than there is.
pub(super) fn amount(amount: Msat) -> i64 {
    i64::try_from(amount.as_msat()).unwrap_or(i64::MAX)
}

/// The scheme, the name it goes by, and the token's text.
pub(super) fn token_columns(token: &SoldToken) -> (&'static str, &'static str, String) {
    let SoldToken::L402 { name, token } = token;
    (L402, name.as_str(), token.as_str().to_owned())
}

fn state(row: &Row<'_>, hash: &PaymentHash) -> Read<PurchaseState> {
    match text(row, "state")?.as_str() {
        "failed" => Ok(PurchaseState::Failed),
        "paying" => Ok(PurchaseState::Paying),
        "unknown" => Ok(PurchaseState::Unknown),
        "paid" => Ok(PurchaseState::Paid {
            preimage: preimage(row, hash)?,
            fee: msat(row, "fee_msat")?,
        }),
        _ => Err(ColumnError::Meaningless("state")),
    }
}

fn token(row: &Row<'_>) -> Read<SoldToken> {
    if text(row, "scheme")? != L402 {
        return Err(ColumnError::Meaningless("scheme"));
    }
    let written = text(row, "scheme_name")?;
    let name = [SchemeName::L402, SchemeName::Lsat]
        .into_iter()
        .find(|name| name.as_str() == written)
        .ok_or(ColumnError::Meaningless("scheme_name"))?;
    let token = Token::from_text(&text(row, "token")?);
    let token = token.map_err(|_secret| ColumnError::Meaningless("token"))?;
    Ok(SoldToken::L402 { name, token })
}

fn resource(row: &Row<'_>) -> Read<TargetResource> {
    Ok(TargetResource {
        origin: parsed(&text(row, "origin")?, "origin")?,
        method: text(row, "method")?,
        path: text(row, "path")?,
        query: QueryHash::from_stored(text(row, "query")?),
    })
}

fn hash(row: &Row<'_>) -> Read<PaymentHash> {
    get(row, "payment_hash").map(PaymentHash::new)
}

/// Reads a preimage that must match the hash: a row damaged there is noticed before use.
fn preimage(row: &Row<'_>, hash: &PaymentHash) -> Read<Preimage> {
    let preimage = Preimage::new(get(row, "preimage")?);
    if preimage.matches(hash) {
        Ok(preimage)
    } else {
        Err(ColumnError::Meaningless("preimage"))
    }
}

fn msat(row: &Row<'_>, column: &'static str) -> Read<Msat> {
    get(row, column).map(Msat::from_msat)
}

fn time(row: &Row<'_>, column: &'static str) -> Read<UnixSeconds> {
    get(row, column).map(UnixSeconds::new)
}

fn text(row: &Row<'_>, column: &'static str) -> Read<String> {
    get(row, column)
}

fn parsed<T: std::str::FromStr>(text: &str, column: &'static str) -> Read<T> {
    text.parse()
        .map_err(|_reason| ColumnError::Meaningless(column))
}

fn get<T: FromSql>(row: &Row<'_>, column: &'static str) -> Read<T> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    row.get(column).map_err(|error| {
        let is_ours = matches!(
            error,
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)
        );
        if is_ours {
            ColumnError::Meaningless(column)
        } else {
            ColumnError::Database(error)
        }
    })
}

const L402: &str = "L402";
const CONTRADICTED: &str = "contradicted";
const BROUGHT_NOTHING: &str = "brought_nothing";
const REDIRECTED: &str = "redirected";
const REFUSED_AGAIN: &str = "refused_again";
const EXHAUSTED_EARLY: &str = "exhausted_early";
const FORBIDDEN: &str = "forbidden";
const REFUSED: &str = "refused";
const UNDELIVERED: &str = "undelivered";
