//! Offers: what the gateways that share a ledger sell.
//!
//! A token names its service and not its price. A gateway that sold the same for less, in front
//! of another upstream, would sell what the other one charges more for; a wallet of worthless
//! coins would sell it for nothing, for as long as the tokens are valid.

use l402::{Msat, Network};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::owner::Owner;
use super::pending::saturated;
use crate::name::{Capability, ServiceName};

/// What a gateway sells, and for which coins.
#[derive(Clone, Debug)]
pub struct Sale {
    /// The network on which its wallet is paid.
    pub network: Network,
    /// What it sells.
    pub offers: Vec<Offer>,
}

/// One thing that a gateway sells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    /// The service.
    pub service: ServiceName,
    /// The tier.
    pub tier: u8,
    /// The capability.
    pub capability: Option<Capability>,
    /// The price of a token.
    pub price: Msat,
    /// The URL of the server that is paid for.
    pub upstream: String,
}

/// Why something cannot be sold with a ledger.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SaleConflict {
    /// The ledger was used with a wallet on another network.
    #[error(
        "its tokens were paid on {recorded}, and the wallet is on {network}: use another data \
         directory"
    )]
    Network {
        /// The network of the tokens in the ledger.
        recorded: String,
        /// The network of the wallet.
        network: &'static str,
    },
    /// A gateway that is running sells the same for another price.
    #[error(
        "a running gateway sells service `{service}` in front of {upstream} for {price}, and its \
         tokens would be valid here: use another service name or another data directory"
    )]
    Price {
        /// The service.
        service: ServiceName,
        /// The price of the other gateway.
        price: Msat,
        /// The upstream of the other gateway.
        upstream: String,
    },
}

/// Records a sale for as long as `owner` is alive, unless it is in conflict.
pub(super) fn register(
    connection: &mut Connection,
    owner: &Owner,
    sale: &Sale,
) -> rusqlite::Result<Result<(), SaleConflict>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(conflict) = find_conflict(&transaction, owner, sale)? {
        return Ok(Err(conflict));
    }
    let sql = "UPDATE identity SET network = ?1";
    transaction.execute(sql, [sale.network.name()])?;
    withdraw(&transaction, owner.number)?;
    for offer in &sale.offers {
        transaction.execute(
            "INSERT INTO offers (owner, service, tier, capability, price_msat, upstream)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                owner.number,
                offer.service.as_str(),
                offer.tier,
                offer.capability.as_ref().map(Capability::as_str),
                saturated(offer.price.as_msat()),
                &offer.upstream,
            ),
        )?;
    }
    transaction.commit()?;
    Ok(Ok(()))
}

/// Removes what an owner that has ended offered.
pub(super) fn withdraw(transaction: &Transaction<'_>, owner: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM offers WHERE owner = ?1";
    transaction.execute(sql, [owner]).map(drop)
}

fn find_conflict(
    transaction: &Transaction<'_>,
    owner: &Owner,
    sale: &Sale,
) -> rusqlite::Result<Option<SaleConflict>> {
    let network = sale.network.name();
    let sql = "SELECT network FROM identity";
    let recorded: Option<String> = transaction.query_row(sql, [], |row| row.get(0))?;
    if let Some(recorded) = recorded.filter(|recorded| recorded != network) {
        return Ok(Some(SaleConflict::Network { recorded, network }));
    }
    let mut others = transaction.prepare(
        "SELECT owner, price_msat, upstream FROM offers
         WHERE owner <> ?1 AND service = ?2 AND tier = ?3 AND capability IS ?4
           AND price_msat <> ?5 AND upstream <> ?6",
    )?;
    for offer in &sale.offers {
        let capability = offer.capability.as_ref().map(Capability::as_str);
        let mut rows = others.query((
            owner.number,
            offer.service.as_str(),
            offer.tier,
            capability,
            saturated(offer.price.as_msat()),
            &offer.upstream,
        ))?;
        while let Some(row) = rows.next()? {
            if !owner.is_dead(row.get(0)?) {
                return Ok(Some(SaleConflict::Price {
                    service: offer.service.clone(),
                    price: Msat::from_msat(row.get(1)?),
                    upstream: row.get(2)?,
                }));
            }
        }
    }
    Ok(None)
}
